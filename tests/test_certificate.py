"""How far from the optimum weights are at most, whatever trained them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.problems import as_features, draw_coef, draw_rows, reference_of

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, fit_scaling
from colinear.losses import Hinge, Loss, Softmax
from colinear.objective import Objective
from colinear.solvers import Bracket, Status, bracket_optimum, certify, solve_path
from colinear.solvers.certificate import WIDTHS
from colinear.solvers.tuning import Tuning

SMOOTHED = Tuning(interior_first=0)  # certified by slopes that follow from the weights


def problem(seed: int) -> Objective:
    generator = torch.Generator().manual_seed(seed)
    rows, labels = torch.randn(40, 5, generator=generator, dtype=torch.float64), torch.arange(40) % 3
    rows[:, 0] += labels
    data = ArrayDataset(rows, labels, tuple("abc"))
    return Objective(Features(data, fit_scaling(data), torch.float64))


@given(
    seed=st.integers(0, 1000), loss=st.sampled_from([Softmax(), Hinge()]), reg=st.sampled_from([1e-3, 1e-2, 1.0]),
    scale=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
)  # fmt: skip
def test_the_gap_is_never_smaller_than_the_distance(seed: int, loss: Loss, reg: float, scale: float) -> None:
    objective = problem(seed)
    best = solve_path(objective, loss, [reg], tol=1e-4).points[0]
    noise = torch.randn(best.coef.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    value, gap = certify(objective, loss, best.coef + scale * noise, reg)
    assert value - (best.objective - best.gap) <= gap + best.gap + 1e-9 * value
    assert value - best.objective <= gap * (1 + 1e-9) + 1e-12


def test_at_the_optimum_of_the_hinge_smoothed_slopes_prove_far_more_than_its_own() -> None:
    objective, reg = problem(0), 1e-2
    best = solve_path(objective, Hinge(), [reg], tol=1e-3, tuning=SMOOTHED).points[0]
    gap = certify(objective, Hinge(), best.coef, reg)[1]
    regs = torch.tensor([reg], dtype=torch.float64)
    at_the_kinks = float(objective.evaluate(best.coef.unsqueeze(0), regs, Hinge()).gap)
    assert gap < 0.2 * at_the_kinks
    assert gap < 0.2 * best.objective


@pytest.mark.parametrize("loss", [Softmax(), Hinge()], ids=["softmax", "hinge"])
def test_certificates_of_float32_weights_are_float64_numbers(loss: Loss) -> None:
    rows = draw_rows(3000, 6, 3, dtype=torch.float32)
    features = as_features(rows)
    coef = draw_coef(1, features)[0].float()
    value, gap = certify(Objective(features), loss, coef, 1e-2)
    reference = reference_of(loss.name, features, 1e-2)
    assert value == pytest.approx(reference.value(coef.double().numpy()), rel=1e-13)
    widths = (0.0,) if loss.name == "softmax" else (*WIDTHS, *torch.linspace(1, 3, 50).tolist())
    gaps = [reference.gap(coef.double().numpy(), width) for width in widths]
    assert 0.999 * min(gaps) <= gap <= min(gaps) * (1 + 1e-11)  # of the softmax the same number


@pytest.mark.parametrize("reg", [1e-3, 1e-4, 1e-6])
def test_the_gap_of_a_path_is_found_again_without_its_width(reg: float) -> None:
    """Twelve widths in twos and tens give 0.2, 1.5 and 500 objectives: the right one is a ditch."""
    objective = problem(0)
    point = solve_path(objective, Hinge(), [reg], tol=1e-3, tuning=SMOOTHED).points[0]
    assert certify(objective, Hinge(), point.coef, reg)[1] <= 1.02 * point.gap


def test_without_a_penalty_nothing_is_certified() -> None:
    with pytest.raises(InputError, match="reg"):
        certify(problem(0), Softmax(), torch.zeros(3, 6, dtype=torch.float64), 0.0)


# Above the optimum


@pytest.mark.parametrize("loss", [Softmax(), Hinge()], ids=["softmax", "hinge"])
@pytest.mark.parametrize("scale", [0.0, 0.01, 0.3, 30.0])
def test_a_bracket_holds_the_optimum_and_is_as_tight_as_asked(loss: Loss, scale: float) -> None:
    objective, reg = problem(1), 1e-2
    exact = solve_path(objective, loss, [reg], tol=1e-9, max_passes=2000).points[0]
    noise = torch.randn(exact.coef.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coef = exact.coef + scale * noise
    found = bracket_optimum(objective, loss, coef, reg, tol=1e-4)
    assert found.lower <= exact.objective * (1 + 1e-9)
    assert exact.objective - exact.gap <= found.upper <= found.value
    assert found.upper - found.lower <= 1e-4 * found.upper * (1 + 1e-9)
    assert found.value == pytest.approx(certify(objective, loss, coef, reg)[0])
    low, high = found.above
    assert low - 1e-9 <= found.value / exact.objective - 1 <= high + 1e-9
    assert 0 <= found.relative_gap <= 1


def test_weights_worse_than_none_are_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[torch.Tensor | None] = []

    def solve(*arguments: object, start: torch.Tensor | None, **more: object) -> object:
        starts.append(start)
        return solve_path(*arguments, start=start, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("colinear.solvers.certificate.solve_path", solve)
    objective = problem(0)
    near = solve_path(objective, Softmax(), [1e-2], tol=1e-2).points[0].coef
    for coef in (near, 1e6 * near):
        assert bracket_optimum(objective, Softmax(), coef, 1e-2).status is Status.CONVERGED
    assert starts[0] is near
    assert starts[1] is None


def test_without_passes_the_weights_own_gap_is_what_is_known() -> None:
    objective = problem(0)
    best = solve_path(objective, Hinge(), [1e-2], tol=1e-3).points[0].coef
    value, gap = certify(objective, Hinge(), best, 1e-2)
    found = bracket_optimum(objective, Hinge(), best, 1e-2, max_passes=0)
    assert (found.value, found.upper, found.passes, found.status) == (value, value, 0, Status.BUDGET_SPENT)
    assert found.lower == pytest.approx(value - gap)
    far = bracket_optimum(objective, Hinge(), 100 * best, 1e-2, max_passes=0)
    assert (far.lower, far.above) == (0, (0, torch.inf))


def test_bounds_stay_on_their_sides_of_the_weights() -> None:
    objective = problem(0)
    best = solve_path(objective, Softmax(), [1e-2], tol=1e-12, max_passes=1000).points[0].coef
    found = bracket_optimum(objective, Softmax(), best, 1e-2, tol=0.5)  # the weights are better than the solution
    assert 0 <= found.lower <= found.upper <= found.value
    assert found.relative_gap <= 1e-11  # and their own gap is the better bound
    assert Bracket(0.0, 0.0, 0.0, 1, Status.CONVERGED).above == (0, 0)
