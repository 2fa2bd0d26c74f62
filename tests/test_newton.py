"""Newton's method: certificates where L-BFGS ends, and the same optimum from anywhere."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine, make_blobs
from tests.problems import as_features, draw_features, draw_rows, reference_of
from torch.testing import assert_close

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, fit_scaling, load_digits
from colinear.losses import LOSSES, Hinge, Loss, Softmax
from colinear.objective import Evaluation, Objective
from colinear.solvers.basis import Basis
from colinear.solvers.candidate import SLACK, Candidate
from colinear.solvers.newton import Newton, solve_newton, suits_newton
from colinear.solvers.path import solve_path
from colinear.solvers.roots import FLAT, rising_root
from colinear.solvers.solution import Status
from colinear.solvers.systems import factor


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


@pytest.mark.parametrize("loss", ["squared-hinge", "logistic", "softmax"])
def test_smooth_losses_get_there_by_stronger_penalties_where_steps_are_short(loss: str) -> None:
    """Large features, nearly apart: most rows have no curvature where the weights are, but on the way of a step."""
    X, y = make_blobs(500, 100, centers=10, cluster_std=15, random_state=1)
    labels = torch.from_numpy(y[::2]).clamp(max=2)
    large = as_features(ArrayDataset(torch.from_numpy(X[::2].copy()), labels, ("a", "b", "c")))
    point = solve_newton(Objective(large), [2e-3], loss=LOSSES[loss], tol=1e-6).points[0]
    assert (point.status.name, point.relative_gap <= 1e-6) == ("CONVERGED", True)
    assert point.passes < 60  # the squared hinge gets nowhere in 50 short steps


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


both = pytest.mark.parametrize("loss", [Softmax(), Hinge()], ids=["softmax", "hinge"])


def candidate_of(features: Features, loss: Loss, reg: float) -> Candidate:
    return Candidate(Newton(Objective(features), loss), reg, None, 1e-3, 100)


@both
def test_the_hessian_is_that_of_the_gradient(loss: Loss) -> None:
    candidate = candidate_of(wine(standardize=True).features, loss, 0.1)
    coef = 0.1 * torch.randn(3, 14, generator=torch.Generator().manual_seed(0)).double()
    curved = candidate.curved(1.0)

    def gradient(at: torch.Tensor) -> torch.Tensor:
        return curved.value_and_slopes(at @ candidate.rows.mT)[1] @ candidate.rows

    hessian = candidate._hessian(curved.pairs(coef @ candidate.rows.mT), 3).view(42, 42)
    steps = 1e-7 * torch.eye(42).double().view(42, 3, 14)
    numeric = torch.stack([(gradient(coef + s) - gradient(coef - s)).flatten() / 2e-7 for s in steps])
    assert_close(hessian, numeric, rtol=0, atol=1e-6)
    assert_close(hessian, hessian.mT)


@both
@pytest.mark.parametrize("width", [1.0, 1e-2])
def test_values_slopes_and_duals_are_those_of_the_loss(loss: Loss, width: float) -> None:
    features, coef = draw_features(40, 4, 3), torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).double()
    candidate = candidate_of(features, loss, 0.1)
    scores = coef @ candidate.rows.mT
    gradient = scores.clone().unsqueeze(0)
    sums = loss.smooth(torch.tensor([width]).double()).sums_(gradient, features.labels)
    curved = candidate.curved(width)
    value, slopes = curved.value_and_slopes(scores.clone())
    reference = reference_of(loss.name, features, 0.1)
    assert value == pytest.approx(float(sums.original) / 40)
    dual = sums.value - (gradient * scores).sum() if sums.dual is None else sums.dual
    assert curved.dual(scores) == pytest.approx(float(dual) / 40)
    expected = reference.slopes(coef.numpy(), 0.0 if loss.name == "softmax" else width)[0].T / 40
    assert_close(slopes, torch.from_numpy(expected))


@both
def test_a_newton_step_solves_the_system_of_the_whole_hessian(loss: Loss) -> None:
    """What the classes have in common is stepped to 0 apart; together that is the step of the full Hessian."""
    features, coef = draw_features(40, 4, 3), torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).double()
    candidate = candidate_of(features, loss, 0.1)
    curved, scores = candidate.curved(1.0), coef @ candidate.rows.mT
    gradient = curved.value_and_slopes(scores)[1] @ candidate.rows + 0.2 * coef
    hessian = candidate._hessian(curved.pairs(scores), 3).view(15, 15) + 0.2 * torch.eye(15).double()
    step = candidate._direction(coef, candidate._look(coef, curved), curved)
    assert_close(hessian @ step.flatten(), -gradient.flatten())


def along(
    candidate: Candidate, loss: Loss, coef: torch.Tensor, direction: torch.Tensor, width: float
) -> tuple[float, float]:
    """Value of the smoothed objective at coef, and its slope along the direction."""
    regs, widths = (torch.tensor([number]).double() for number in (candidate.reg, width))
    there = candidate.newton.objective.evaluate(coef.unsqueeze(0), regs, loss.smooth(widths))
    return float(there.value), float((there.gradient * direction).sum())


@both
@pytest.mark.parametrize("width", [1.0, 1e-2, 1e-5])
def test_every_line_search_ends_where_the_slope_is_zero_and_never_higher(loss: Loss, width: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for seed in range(60):
        candidate = candidate_of(draw_features(40, 4, 3, seed), loss, 10.0 ** -(seed % 7))
        coef, curved = torch.randn(3, 5, generator=generator).double(), candidate.curved(width)
        scores = coef @ candidate.rows.mT
        direction = candidate._direction(coef, candidate._look(coef, curved), curved)
        direction *= 10.0 ** (seed % 5 - 2)  # the full step: too short, too far
        step = candidate._line_search(coef, direction, scores, curved)
        before, downhill = along(candidate, loss, coef, direction, width)
        after, slope = along(candidate, loss, coef + step * direction, direction, width)
        assert downhill < 0 < step
        assert abs(slope) <= max(1e-8, SLACK if loss.name == "softmax" else 0) * abs(downhill)
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
    assert suits_newton(Objective(Features(data, fit_scaling(data))), Softmax())
    many = as_features(draw_rows(4000, 20, 60))  # 1,770 pairs of classes for the softmax, 60 products for the hinge
    assert [suits_newton(Objective(many), loss) for loss in (Softmax(), Hinge())] == [False, True]
    wide = ArrayDataset(torch.ones(4, 1000), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    assert not suits_newton(Objective(Features(wide, fit_scaling(wide))))


@both
def test_a_softmax_and_a_hinge_end_at_the_optimum_of_plain_numpy(loss: Loss) -> None:
    features = draw_features(60, 4, 3)
    point = solve_newton(Objective(features), [1e-2], loss=loss, tol=1e-9).points[0]
    reference = reference_of(loss.name, features, 1e-2)
    widths = (0.0,) if loss.name == "softmax" else (1.0, 1e-2, 1e-4, 1e-6)
    best = reference.value(reference.minimise(np.zeros((3, 5)), widths))
    assert point.status is Status.CONVERGED
    assert point.objective == pytest.approx(best, rel=1e-6)
    assert point.objective - point.gap <= best


def test_a_start_that_is_not_finite_ends_as_diverged_never_as_converged() -> None:
    for loss in (Softmax(), Hinge()):
        for value in (math.nan, math.inf, 1e200):
            start = torch.full((3, 5), value, dtype=torch.float64)
            start[0] = 0
            point = solve_newton(Objective(draw_features(40, 4, 3)), [1e-2], loss=loss, start=start).points[0]
            assert point.status is Status.DIVERGED
            assert math.isnan(point.relative_gap)


# Coordinates for features that are badly conditioned


def shifted(offset: float, d: int = 5) -> Features:
    rows = draw_rows(80, d, 3)
    return as_features(replace(rows, features=rows.features + offset))


def test_well_conditioned_features_keep_their_coordinates() -> None:
    scales = 10.0 ** torch.arange(-8.0, 8.0, 3.2).double()
    rows = draw_rows(80, 5, 3)
    for features in (rows.features, rows.features * scales, torch.cat([rows.features, rows.features], 1)):
        assert Basis.fit(features) is None
    assert Basis.fit(shifted(1e6).gather(slice(0, 4))) is None  # fewer rows than columns


def test_coordinates_give_the_same_scores_penalties_and_slopes() -> None:
    features = torch.cat([draw_features(80, 5, 3).gather(slice(0, 80)) + 1e6, torch.ones(80, 2).double()], 1)
    basis = Basis.fit(features)
    assert basis is not None
    v = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)).double()
    w = basis.weights(v)
    assert_close(w @ features.mT, v @ basis.rows.mT, rtol=1e-8, atol=1e-8 * float(w.abs().max()) * 1e6)
    assert_close(basis.coordinates(w), v, rtol=1e-8, atol=1e-8)
    assert_close((v @ basis.metric * v).sum(), w.square().sum(), rtol=1e-10, atol=0)
    slopes = torch.randn(3, 8, generator=torch.Generator().manual_seed(1)).double()
    assert_close((basis.gradient(slopes) * v).sum(), (slopes * w).sum(), rtol=1e-8, atol=0)
    gram = basis.rows.mT @ basis.rows
    assert float(torch.linalg.eigvalsh(gram)[2:].min()) > 1e-3  # all but the directions of three equal columns


@both
@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_a_large_offset_is_certified_though_weights_are_rounded(loss: Loss, offset: float) -> None:
    point = solve_newton(Objective(shifted(offset)), [1e-2], loss=loss, tol=1e-4).points[0]
    assert point.status is Status.CONVERGED
    # an offset without end: a sum of weights other than 0 is a bias without penalty, and nothing else
    rows = draw_rows(80, 5, 3).features
    centred = replace(draw_rows(80, 5, 3), features=rows - rows.mean(1, keepdim=True))
    free = solve_newton(Objective(as_features(centred, bias=1e4)), [1e-2], loss=loss, tol=1e-6).points[0]
    assert point.objective >= free.objective - free.gap
    assert point.objective == pytest.approx(free.objective, rel=1e-3)


def sized(size: float) -> Objective:
    rows = draw_rows(80, 5, 3)
    return Objective(as_features(replace(rows, features=rows.features * size)))


def test_the_best_certificate_of_all_widths_is_the_one_that_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    gaps: list[float] = []
    certify = Candidate._certify

    def noting(self: Candidate, *rest: torch.Tensor) -> Evaluation:
        there = certify(self, *rest)  # type: ignore[arg-type]
        gaps.append(float(there.gap[0]))
        return there

    monkeypatch.setattr(Candidate, "_certify", noting)
    point = solve_newton(sized(1e13), [1e-2], tol=1e-9).points[0]
    assert gaps[-1] > min(gaps)
    assert point.gap == min(gaps)


def test_a_matrix_that_rounding_left_singular_is_factorized_with_a_small_ridge() -> None:
    ones = torch.ones(4, 4, dtype=torch.float64)
    lower = factor(ones.clone())
    assert_close(lower @ lower.mT, ones, rtol=0, atol=1e-9)
    assert float(lower.diagonal().min()) > 0
    identity = torch.eye(4, dtype=torch.float64)
    assert torch.equal(factor(identity.clone()), identity)
