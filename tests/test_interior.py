"""The interior point method for the hinge: certified by slopes of its own, whatever the rows count for."""

from __future__ import annotations

import math

import pytest
import torch
from tests.problems import draw_features
from torch.testing import assert_close

from colinear.checks import InputError
from colinear.losses import Hinge, Loss, Softmax
from colinear.objective import Objective
from colinear.solvers import interior
from colinear.solvers.candidate import Candidate
from colinear.solvers.certificate import certify
from colinear.solvers.interior import Interior
from colinear.solvers.newton import Newton, solve_newton
from colinear.solvers.path import solve_path
from colinear.solvers.solution import Status
from colinear.solvers.tuning import Tuning


def interior_of(objective: Objective) -> Interior:
    candidate = Candidate(Newton(objective, Hinge()), 1.0, None, 1e-4, 100)
    return Interior.of(candidate.rows, candidate.counts, objective.features.n_classes)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("reg", [1e-4, 1e-2, 10.0])
def test_it_ends_certified_within_thirty_steps(classes: int, reg: float) -> None:
    objective = Objective(draw_features(150, 5, classes))
    method = interior_of(objective)
    coef, slopes, steps, reached = method.solve(reg, 1e-5)
    assert reached
    assert steps < 30
    value, gap = certify(objective, Hinge(), coef, reg, slopes=slopes[:, method.order.argsort()])
    assert gap <= 1e-5 * value * (1 + 1e-7)
    assert float(coef.sum(0).abs().max()) <= 1e-12 * float(coef.abs().max())


@pytest.mark.parametrize("most", [0, 8])
def test_a_factor_in_float32_leads_to_the_same_end_or_is_made_anew(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Objective(draw_features(150, 5, 4))
    exact = interior_of(objective).solve(1e-3, 1e-5)
    made, factor = [], Interior._factor

    def noting(
        self: Interior, weights: torch.Tensor, reg: float, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        made.append(rows.dtype)
        return factor(self, weights, reg, rows)

    monkeypatch.setattr(Interior, "_factor", noting)
    monkeypatch.setattr(interior, "WIDE_SYSTEM", 0)
    monkeypatch.setattr(interior, "MOST_PRODUCTS", most)
    narrow = interior_of(objective).solve(1e-3, 1e-5)
    assert_close(narrow[0], exact[0], rtol=0, atol=1e-2 * float(exact[0].abs().max()))
    assert abs(narrow[2] - exact[2]) <= 2
    assert made[0] == torch.float32
    assert made.count(torch.float64) == (0 if most else narrow[2])  # beside the first, which did not do


def test_a_small_hinge_begins_with_it_and_needs_a_fraction_of_the_passes() -> None:
    objective = Objective(draw_features(200, 8, 5))
    fast = solve_path(objective, Hinge(), [1e-3], tol=1e-4)
    slow = solve_path(objective, Hinge(), [1e-3], tol=1e-4, tuning=Tuning(interior_first=0))
    assert fast.points[0].status is slow.points[0].status is Status.CONVERGED
    assert fast.points[0].objective == pytest.approx(slow.points[0].objective, rel=1e-4)
    assert 2 * fast.passes < slow.passes


@pytest.mark.parametrize("reg", [1e-4, 1e-2])
def test_slopes_certify_weights_that_no_smoothing_does(reg: float) -> None:
    """The certificate counts the textbook's way, from nothing but rows, labels, weights and slopes."""
    features = draw_features(150, 5, 4)
    objective, rows = Objective(features, row_weights=1.0 + torch.arange(150) % 3), features.gather(slice(0, 150))
    point = solve_path(objective, Hinge(), [reg], tol=1e-3).points[0]
    slopes, true = point.slopes, torch.nn.functional.one_hot(features.labels).T
    assert slopes is not None
    assert 0 <= float(slopes.min()) <= float(slopes.max()) <= 1
    assert not bool((slopes * true).any())
    share = (1.0 + torch.arange(150).double() % 3) / (1.0 + torch.arange(150).double() % 3).sum()
    scores = point.coef @ rows.T
    losses = ((scores - (scores * true).sum(0) + 1).clamp(min=0) * (1 - true)).sum(0)
    value = float(losses @ share) + reg * float(point.coef.square().sum())
    moment = (share * (slopes - true * slopes.sum(0))) @ rows
    dual = float(share @ slopes.sum(0)) - float(moment.square().sum()) / (4 * reg)
    assert point.objective == pytest.approx(value, rel=1e-12)
    assert point.gap == pytest.approx(value - dual, rel=1e-6)
    assert 0 < point.gap <= 1e-3 * value
    assert certify(objective, Hinge(), point.coef, reg, slopes=slopes) == pytest.approx((value, value - dual))


def test_slopes_that_are_no_dual_point_are_made_one() -> None:
    """Beyond the bounds, in the direction of the optimum, they would prove more than is true."""
    objective = Objective(draw_features(60, 4, 3))
    point = solve_path(objective, Hinge(), [1e-2], tol=1e-7).points[0]
    assert point.slopes is not None
    true = torch.nn.functional.one_hot(objective.features.labels).T
    for factor, added in ((1.02, 0.0), (-1.0, 0.0), (1.0, 0.5)):
        wrong = factor * point.slopes + added * true
        value, gap = certify(objective, Hinge(), point.coef, 1e-2, slopes=wrong)
        assert gap >= point.gap * (1 - 1e-6)
        assert value == pytest.approx(point.objective)
    assert math.isnan(certify(objective, Hinge(), point.coef, 1e-2, slopes=math.nan * point.slopes)[1])


@pytest.mark.parametrize(("loss", "shape"), [(Softmax(), (3, 60)), (Hinge(), (60, 3))])
def test_slopes_of_another_loss_or_shape_are_refused(loss: Loss, shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="slopes are those of the hinge's margins"):
        certify(Objective(draw_features(60, 4, 3)), loss, torch.zeros(3, 5).double(), 1e-2, slopes=torch.zeros(shape))


def test_in_the_space_of_the_rows_slopes_certify_the_weights_of_all_columns() -> None:
    objective = Objective(draw_features(20, 50, 3))
    point = solve_path(objective, Hinge(), [1e-2], tol=1e-5).points[0]
    assert point.slopes is not None
    assert point.coef.shape == (3, 51)
    value, gap = certify(objective, Hinge(), point.coef, 1e-2, slopes=point.slopes)
    assert (value, gap) == pytest.approx((point.objective, point.gap), rel=1e-6)


@pytest.mark.parametrize("tol", [1e-4, 1e-7, 1e-8, 1e-10])
def test_every_tolerance_that_float64_allows_is_reached(tol: float) -> None:
    point = solve_newton(Objective(draw_features(100, 4, 3)), [1e-2], tol=tol).points[0]
    assert point.status is Status.CONVERGED


@pytest.mark.parametrize("seed", range(4))
def test_a_tolerance_beyond_float64_costs_nothing_of_what_another_reaches(seed: int) -> None:
    """What the interior point method found stands where Newton's method, which goes on, does not get as far."""
    objective = Objective(draw_features(60, 5, 3, seed, spread=8.0))  # far apart: the optimum is tiny
    loose, tight, beyond = (solve_path(objective, Hinge(), [1e-6], tol=tol).points[0] for tol in (1e-6, 1e-9, 1e-18))
    assert loose.status is tight.status is Status.CONVERGED
    assert tight.passes <= 50
    assert beyond.status is not Status.CONVERGED
    assert beyond.relative_gap <= 1e-9


def test_no_pass_is_taken_beyond_the_limit_where_rounding_ends_it() -> None:
    point = solve_path(Objective(draw_features(40, 5, 2)), Hinge(), [1e-6], tol=1e-18, max_passes=51).points[0]
    assert point.passes <= 51


def test_rows_that_are_held_out_or_weigh_nothing_are_as_rows_that_are_not_there() -> None:
    features = draw_features(90, 4, 3)
    kept = torch.arange(90) % 3 != 1
    folds = (~kept).long()
    alone = Objective(type(features)(features.dataset.subset(kept), features.scaling, torch.float64))
    expected = solve_path(alone, Hinge(), [1e-2], tol=1e-8).points[0]
    held = Objective(features, folds=folds)
    weighed = Objective(features, row_weights=kept.double())
    for objective, out in ((held, torch.tensor([1])), (weighed, None)):
        point = solve_path(objective, Hinge(), [1e-2], tol=1e-8, held_out=out).points[0]
        assert_close(point.coef, expected.coef, rtol=0, atol=1e-4)
        assert point.objective == pytest.approx(expected.objective, rel=1e-7)


@pytest.mark.parametrize("tol", [0.3, 0.1, 0.03, 0.01])
@pytest.mark.parametrize("reg", [1e-4, 1.0, 1e2, 1e6])
def test_loose_tolerances_are_reached_however_strong_the_penalty(reg: float, tol: float) -> None:
    for n_samples, classes in ((40, 6), (150, 3), (2, 2)):
        *_, steps, reached = interior_of(Objective(draw_features(n_samples, 5, classes))).solve(reg, tol)
        assert reached
        assert steps < 25


@pytest.mark.parametrize(("n_samples", "reg", "tol"), [(2, 1e-6, 1e-16), (40, 1e-6, 1e-14)])
def test_the_end_of_the_barrier_is_the_end_of_the_method_and_no_division_by_nothing(
    n_samples: int, reg: float, tol: float
) -> None:
    *_, steps, reached = interior_of(Objective(draw_features(n_samples, 5, 2))).solve(reg, tol)
    assert not reached
    assert steps < interior.MOST_STEPS


@pytest.mark.parametrize(("n_samples", "classes", "first"), [(14_000, 50, False), (1_000, 10, True)])
def test_many_margins_of_few_columns_begin_with_lbfgs(n_samples: int, classes: int, first: bool) -> None:
    """Systems of a few hundred weights are cheap; numbers for 700,000 margins are not."""
    newton = Newton(Objective(draw_features(n_samples, 5, classes)), Hinge())
    assert newton.comes_first(1) is first
