"""Newton's method for the hinge: certificates where L-BFGS ends, and the same optimum from anywhere."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.datasets import load_wine
from tests.problems import draw_features
from torch.testing import assert_close

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, fit_scaling, load_digits
from colinear.losses import Hinge
from colinear.objective import Objective
from colinear.solvers.newton import FLAT, Newton, _Candidate, rising_root, solve_newton, suits_newton
from colinear.solvers.path import solve_path
from colinear.solvers.solution import Status


def wine(*, standardize: bool, folds: torch.Tensor | None = None) -> Objective:
    X, y = load_wine(return_X_y=True)
    data = ArrayDataset(torch.from_numpy(X), torch.from_numpy(y), ("a", "b", "c"))
    scaling = fit_scaling(data, center=standardize, standardize=standardize)
    return Objective(Features(data, scaling, torch.float64), folds=folds)


@pytest.mark.parametrize("standardize", [True, False], ids=["standard", "raw"])
def test_weak_strengths_are_certified_whatever_the_features_scale(standardize: bool) -> None:
    path = solve_newton(wine(standardize=standardize), [1.0, 1e-2, 1e-4], tol=1e-4)
    assert [point.status for point in path.points] == [Status.CONVERGED] * 3
    assert all(point.relative_gap <= 1e-4 for point in path.points)
    assert path.passes == sum(point.passes for point in path.points)


def test_it_agrees_with_the_path() -> None:
    objective = wine(standardize=True)
    newton = solve_newton(objective, [0.1], tol=1e-10).points[0]
    path = solve_path(objective, Hinge(), [0.1], tol=1e-7).points[0]
    assert path.objective - path.gap <= newton.objective <= path.objective
    assert_close(newton.coef, path.coef, rtol=0, atol=1e-3)


def test_the_start_does_not_matter() -> None:
    objective = wine(standardize=True)
    start = torch.randn(3, 14, generator=torch.Generator().manual_seed(0)).double()
    near, far = (solve_newton(objective, [1e-2], tol=1e-8, start=s).points[0] for s in (None, start))
    assert_close(near.coef, far.coef, rtol=0, atol=1e-7)


def test_a_fold_held_out_is_a_fit_on_the_other_rows() -> None:
    folds = torch.arange(178) % 3
    objective = wine(standardize=True, folds=folds)
    held = solve_newton(objective, [1e-2] * 2, tol=1e-8, held_out=torch.tensor([1, -1]))
    weighted = Objective(objective.features, row_weights=(folds != 1).double())
    assert_close(held.points[0].coef, solve_newton(weighted, [1e-2], tol=1e-8).points[0].coef, rtol=0, atol=1e-7)
    plain = Objective(objective.features)
    assert_close(held.points[1].coef, solve_newton(plain, [1e-2], tol=1e-8).points[0].coef, rtol=0, atol=1e-7)


def test_a_spent_budget_is_a_status_with_its_gap() -> None:
    point = solve_newton(wine(standardize=False), [1e-3], tol=1e-8, max_passes=5).points[0]
    assert point.status is Status.BUDGET_SPENT
    assert point.passes <= 5
    assert point.relative_gap > 1e-8


def test_one_pass_is_the_certificate_of_the_start() -> None:
    objective = wine(standardize=True)
    near = solve_newton(objective, [1e-2, 1.0], tol=1e-8)
    again = solve_newton(objective, [1e-2, 1.0], tol=1e-8, start=near.coef, max_passes=1)
    assert [point.passes for point in again.points] == [1, 1]
    assert torch.equal(again.coef, near.coef)
    assert [point.objective for point in again.points] == [point.objective for point in near.points]


def test_the_hessian_is_that_of_the_gradient() -> None:
    candidate = _Candidate(Newton(wine(standardize=True)), 0.1, None, 1e-3, 100)
    coef = 0.1 * torch.randn(3, 14, generator=torch.Generator().manual_seed(0)).double()
    width = 1.0

    def gradient(at: torch.Tensor) -> torch.Tensor:
        margins = candidate._margins(at @ candidate.rows.mT) + 1
        margins = margins.scatter(0, candidate.true, 0.0)
        return candidate._slopes(margins, width)[0] @ candidate.rows

    margins = (candidate._margins(coef @ candidate.rows.mT) + 1).scatter(0, candidate.true, 0.0)
    hessian = candidate._hessian(candidate._slopes(margins, width)[1]).view(42, 42)
    steps = 1e-7 * torch.eye(42).double().view(42, 3, 14)
    numeric = torch.stack([(gradient(coef + s) - gradient(coef - s)).flatten() / 2e-7 for s in steps])
    assert_close(hessian, numeric, rtol=0, atol=1e-6)
    assert_close(hessian, hessian.mT)


def along(candidate: _Candidate, coef: torch.Tensor, direction: torch.Tensor, width: float) -> tuple[float, float]:
    """Value of the smoothed objective at coef, and its slope along the direction, by the definitions."""
    margins = (candidate._margins(coef @ candidate.rows.mT) + 1).scatter(0, candidate.true, 0.0)
    active = (margins / width).clamp(0, 1)
    value = ((active * (margins - width * active / 2)).sum(0) * candidate.share).sum()
    gradient = candidate._slopes(margins, width)[0] @ candidate.rows + 2 * candidate.reg * coef
    return float(value + candidate.reg * coef.square().sum()), float((gradient * direction).sum())


@pytest.mark.parametrize("width", [1.0, 1e-2, 1e-5])
def test_every_line_search_ends_where_the_slope_is_zero_and_never_higher(width: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for seed in range(60):
        features, reg = draw_features(40, 4, 3, seed), 10.0 ** -(seed % 7)
        candidate = _Candidate(Newton(Objective(features)), reg, None, 1e-3, 100)
        coef = torch.randn(3, 5, generator=generator).double()
        margins = (candidate._margins(coef @ candidate.rows.mT) + 1).scatter(0, candidate.true, 0.0)
        slopes, inside = candidate._slopes(margins, width)
        gradient = slopes @ candidate.rows + 2 * reg * coef
        direction = candidate._direction(gradient, inside) * 10.0 ** (seed % 5 - 2)  # the full step: too short, too far
        step = candidate._line_search(coef, direction, margins, width)
        before, downhill = along(candidate, coef, direction, width)
        after, slope = along(candidate, coef + step * direction, direction, width)
        assert downhill < 0 < step
        assert abs(slope) <= 1e-8 * abs(downhill)
        assert after < before


@pytest.mark.parametrize("root", [1e-9, 1e-3, 0.7, 3.0, 1e6, 1e12])
@pytest.mark.parametrize("jump", [1.0, 1e-6, 1e6, 1e12], ids="curvature times {:g} at the root".format)
def test_the_root_of_a_bent_slope_is_found_from_below(root: float, jump: float) -> None:
    computed: dict[float, float] = {}

    def slope(step: float) -> tuple[float, float]:
        bend = 1.0 if step < root else jump
        computed[step] = bend * (step - root)
        return computed[step], bend

    found = rising_root(slope)
    assert found == pytest.approx(root, rel=1e-12)
    assert computed[found] <= FLAT * root  # computed, and downhill or flat


def test_a_slope_that_rises_at_once_has_no_step_and_one_that_never_does_has_one_that_was_computed() -> None:
    assert rising_root(lambda step: (1.0 if step else -1e-3, 0.0)) == 0
    steps: list[float] = []
    far = rising_root(lambda step: (steps.append(step) or -1.0, 0.0))  # type: ignore[func-returns-value]
    assert far in steps
    assert math.isfinite(far)


def test_arguments_that_cannot_be_are_refused() -> None:
    objective = wine(standardize=True, folds=torch.zeros(178, dtype=torch.int64))
    with pytest.raises(InputError, match="reg must be a finite number > 0"):
        solve_newton(objective, [0.0])
    with pytest.raises(InputError, match="fold 0 leaves none"):
        solve_newton(objective, [0.1], held_out=torch.tensor([0]))


def test_large_problems_are_not_for_it() -> None:
    data = load_digits()
    assert suits_newton(Objective(Features(data, fit_scaling(data))))
    wide = ArrayDataset(torch.ones(4, 1000), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    assert not suits_newton(Objective(Features(wide, fit_scaling(wide))))
