"""The exact path: optima known otherwise, and certificates that hold on two hundred nasty problems."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from tests.problems import Reference, as_features, draw_features, draw_rows, matrix, reference_of
from tests.processes import run_well
from torch import Tensor

from colinear import SoftmaxClassifier
from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, fit_scaling
from colinear.estimators import CertificateWarning
from colinear.losses import LOSSES, Hinge, Softmax
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.solvers import Status, Tuning
from colinear.solvers.path import FARTHEST, _extrapolate, _groups, solve_path
from colinear.solvers.solution import PathPoint
from colinear.solvers.threads import one_thread_if

every_loss = pytest.mark.parametrize("name", ["softmax", "hinge"])
REGS = [1e-1, 1e-2, 3e-2]
TOL = {"softmax": 1e-6, "hinge": 1e-3}  # smoothing makes tighter tolerances of the hinge a matter of hundreds of passes
TWO_A_GROUP = Tuning(newton_first=0, batch_bytes=2 * 28 * 4 * 7 * 8)  # in float64, 4 classes and 7 columns
NO_NEWTON = Tuning(newton_weights=0)
WIDTHS = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True)
class RecordingHinge(Hinge):
    """The hinge, with a note of every smoothing width it was asked for: the certificate's is among them."""

    name: ClassVar[str] = "hinge"
    asked: list[float] = field(default_factory=list)

    def smooth(self, widths: Tensor) -> Hinge:
        self.asked.extend(widths.tolist())
        return Hinge(widths)


def minimum(reference: Reference) -> float:
    """Value of the original loss at the best point that Newton's method finds."""
    start = np.zeros((reference.c, reference.x.shape[1]))
    return reference.value(reference.minimise(start, (0.0,) if reference.loss == "softmax" else WIDTHS))


def assert_certified(point: PathPoint, reference: Reference, tol: float, widths: list[float]) -> None:
    """The point's numbers are those of plain numpy, its gap bounds its distance, its status is the truth."""
    assert point.coef.dtype == torch.float64
    coef = point.coef.numpy()
    rounding = 1e-13 * point.coef.shape[1] * max(1.0, point.objective) + 1e-15
    assert point.objective == pytest.approx(reference.value(coef), rel=1e-11)
    gaps = np.array([reference.gap(coef, width) for width in dict.fromkeys(widths)] or [reference.gap(coef)])
    if point.slopes is not None:
        gaps = np.append(gaps, reference.gap(coef, margins=point.slopes.numpy().T))
    assert np.abs(gaps - point.gap).min() <= 1e-8 * point.gap + 100 * rounding
    assert point.gap >= point.objective - minimum(reference) - rounding
    assert point.relative_gap == pytest.approx(point.gap / point.objective)
    assert (point.status is Status.CONVERGED) == (point.relative_gap <= tol)
    assert point.status in (Status.CONVERGED, Status.BUDGET_SPENT, Status.STALLED)


# Known optima


def test_two_opposite_rows_have_the_optimum_of_a_scalar_equation() -> None:
    """x = +1 of class 0 and -1 of class 1: w_0 = -w_1 = w minimises log(1 + exp(-2 w)) + 2 reg w^2."""
    data = ArrayDataset(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([0, 1]), ("a", "b"))
    reg = 0.05
    point = solve_path(as_features(data, bias=0), Softmax(), [reg], tol=1e-12).points[0]
    low, high = 0.0, 20.0
    for _ in range(100):  # bisection of the derivative
        middle = (low + high) / 2
        rises = 4 * reg * middle > 2 / (1 + np.exp(2 * middle))
        low, high = (low, middle) if rises else (middle, high)
    assert point.coef.flatten().tolist() == pytest.approx([middle, -middle], abs=1e-5)


@pytest.mark.parametrize(("reg", "expected"), [(10.0, 0.05), (1.0, 0.5), (0.01, 0.5)])
def test_two_opposite_rows_have_the_hinge_optimum_known_in_closed_form(reg: float, expected: float) -> None:
    """max(0, 1 - 2 w) + 2 reg w^2 is least at w = min(1 / 2, 1 / (2 reg))."""
    data = ArrayDataset(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([0, 1]), ("a", "b"))
    point = solve_path(as_features(data, bias=0), Hinge(), [reg], tol=1e-3).points[0]
    assert point.status is Status.CONVERGED
    assert point.coef.flatten().tolist() == pytest.approx([expected, -expected], abs=(point.gap / reg) ** 0.5)
    assert point.objective == pytest.approx(max(0, 1 - 2 * expected) + 2 * reg * expected**2, rel=1e-3)


@every_loss
def test_a_strength_beyond_all_bounds_leaves_the_loss_of_no_weights(name: str) -> None:
    features = draw_features(50, 3, 4)
    point = solve_path(features, LOSSES[name], [1e12]).points[0]
    assert point.objective == pytest.approx(np.log(4) if name == "softmax" else 3)
    assert point.status is Status.CONVERGED


@pytest.mark.parametrize("seed", range(4))
def test_softmax_objectives_are_those_of_scikit_learn(seed: int) -> None:
    n, c = 120, 3 + seed
    features = draw_features(n, 5, c, seed, spread=0.7)
    x, labels = matrix(features), features.labels.numpy()  # the penalised bias column is the last
    path = solve_path(features, Softmax(), REGS, tol=1e-8)
    for reg, point in zip(REGS, path.points, strict=True):
        peer = LogisticRegression(
            C=1 / (2 * n * reg), solver="newton-cg", tol=1e-12, max_iter=1000, fit_intercept=False
        )
        theirs = reference_of("softmax", features, reg).value(peer.fit(x, labels).coef_)
        assert point.status is Status.CONVERGED
        assert point.objective == pytest.approx(theirs, rel=1e-6)
        np.testing.assert_allclose(point.coef.numpy(), peer.coef_, atol=1e-3)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_however_small_the_limit_a_step_is_taken(name: str, dtype: torch.dtype) -> None:
    """Fits of one pass each, every one from the end of the last, get to the optimum."""
    features = draw_features(60, 3, 4).at(dtype)
    optimum = solve_path(features, LOSSES[name], [1e-2], tol=1e-6).points[0].objective
    coef, values = torch.zeros(4, features.n_features), []
    for _ in range(60):
        point = solve_path(features, LOSSES[name], [1e-2], max_passes=1, tol=1e-9, start=coef.to(dtype)).points[0]
        coef = point.coef
        values.append(point.objective)
    assert values[0] < (np.log(4) if name == "softmax" else 3)
    assert values[-1] <= 1.02 * optimum


def test_warm_starts_of_one_pass_each_get_somewhere() -> None:
    rows, labels = load_wine(return_X_y=True)
    model = SoftmaxClassifier(C=1.0, standardize=True, warm_start=True, max_iter=1, tol=1e-6)
    gaps = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CertificateWarning)
        for _ in range(30):
            gaps.append(model.fit(rows, labels).relative_gap_)
    assert gaps[-1] <= 0.01 * gaps[0]


# Two hundred problems


def draw_nasty(seed: int) -> Features:
    """Sizes, scalings up to 1e6 between features, duplicated and constant columns, absent classes, n < d, ..."""
    rng = np.random.default_rng(seed)
    c = int(rng.choice([2, 3, 4, 7, 20], p=[0.3, 0.3, 0.2, 0.1, 0.1]))
    d = int(rng.integers(1, 4 if c > 4 else 9))
    n = int(rng.integers(2, 8)) if seed % 4 == 0 else int(rng.integers(8, 60))  # every fourth: few rows, often n < d
    data = draw_rows(n, d, c, seed, spread=[0.0, 1.0, 10.0][seed % 3])  # shifts of 10: separable
    x = data.features * 10 ** torch.from_numpy(rng.uniform(-3, 3, d) * (seed % 2))
    if seed % 5 == 1:
        x = torch.cat([x, x[:, :1], x[:, -1:]], 1)
    if seed % 5 == 2:
        x = torch.cat([x, torch.full((n, 1), 7.0).double(), torch.zeros(n, 1).double()], 1)
    labels = data.labels
    if seed % 7 == 0:  # sorted, so that a chunk sees few classes; and the last class has no row at all
        labels = labels.clamp(max=c - 2).sort().values
    dtype = torch.float32 if seed % 3 == 1 else torch.float64
    return as_features(replace(data, features=x.to(dtype), labels=labels), bias=[1.0, 0.0, 30.0][seed % 11 % 3])


def nasty_problems() -> Iterator[tuple[str, Features, float, float]]:
    for seed in range(200):
        name = "softmax" if seed % 2 else "hinge"
        features = draw_nasty(seed // 2)
        reg = 10.0 ** np.random.default_rng(seed).uniform(-5, 1)
        yield name, features, reg, [1e-3, 1e-2, 1e-5][seed % 3]


def test_certificates_hold_on_two_hundred_nasty_problems() -> None:
    reached = {"softmax": 0, "hinge": 0}
    for name, features, reg, tol in nasty_problems():
        hinge = RecordingHinge()
        objective = Objective(features, chunk_rows=16)
        path = solve_path(objective, Softmax() if name == "softmax" else hinge, [reg], tol=tol, max_passes=150)
        point = path.points[0]
        assert point.passes == path.passes <= 150
        assert_certified(point, reference_of(name, features, reg), tol, hinge.asked)
        reached[name] += point.status is Status.CONVERGED
    assert reached["softmax"] >= 97, reached
    assert reached["hinge"] >= 97, reached


# One solve for many


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_strengths_at_once_are_each_alone(name: str, dtype: torch.dtype) -> None:
    features, tol = draw_features(90, 6, 4, dtype=dtype), TOL[name]
    together = solve_path(features, LOSSES[name], REGS, tol=tol)
    assert [point.reg for point in together.points] == REGS
    assert together.coef.shape == (3, 4, 7)
    for reg, point in zip(REGS, together.points, strict=True):
        alone = solve_path(features, LOSSES[name], [reg], tol=tol).points[0]
        assert point.status is alone.status is Status.CONVERGED
        # both lie within their gaps of one optimum, and the objective curves at least like reg |W|^2
        assert abs(point.objective - alone.objective) <= max(point.gap, alone.gap)
        distance = (point.coef - alone.coef).norm()
        assert float(distance) <= (point.gap / reg) ** 0.5 + (alone.gap / reg) ** 0.5
    assert max(point.passes for point in together.points) <= together.passes


@every_loss
def test_groups_that_do_not_fit_in_memory_at_once_find_the_same_optima(name: str) -> None:
    features, regs = draw_features(90, 6, 4), [1e-2, 1.0, 2e-2, 3.0, 1e-1]
    whole = solve_path(features, LOSSES[name], regs, tol=TOL[name])
    seen: list[tuple[int, int, int, float]] = []
    grouped = solve_path(
        features, LOSSES[name], regs, tol=TOL[name], report=lambda *now: seen.append(now), tuning=TWO_A_GROUP
    )
    for one, other in zip(whole.points, grouped.points, strict=True):
        assert one.status is other.status is Status.CONVERGED
        assert abs(one.objective - other.objective) <= max(one.gap, other.gap)
    assert grouped.passes > max(point.passes for point in grouped.points)
    finished = [done for done, _, _, _ in seen]
    assert finished == sorted(finished)
    assert (seen[-1][:2], {of for _, of, _, _ in seen}) == ((5, 5), {5})


def test_groups_are_as_wide_in_float32_as_the_float64_end_allows() -> None:
    features, regs = draw_features(90, 6, 4, dtype=torch.float32), [1e-2, 1.0, 2e-2]
    grouped = solve_path(features, Softmax(), regs, tuning=TWO_A_GROUP)
    assert grouped.passes == max(grouped.points[1].passes, grouped.points[2].passes) + grouped.points[0].passes


@pytest.mark.parametrize(
    ("strengths", "shape", "product", "started", "sizes"),
    [
        (9, (10, 3073), 1.3e8, False, [9]),
        (45, (10, 3073), 1.3e8, False, [9] * 5),
        (7, (1000, 513), 2.1e9, False, [1] * 7),
        (7, (1000, 513), 2.1e9, True, [4, 3]),  # as many as memory holds: each has its start
        (45, (1000, 2049), 8.4e9, True, [1] * 45),
        (45, (50, 10), 1e6, False, [45]),  # small: a pass takes no longer for all
    ],
)
def test_groups_are_as_wide_as_products_gain_by_it_and_memory_holds(
    strengths: int, shape: tuple[int, int], product: float, started: bool, sizes: list[int]
) -> None:
    regs = torch.logspace(-5, -1, strengths, dtype=torch.float64)
    groups = _groups(regs, shape, product, started, Tuning())
    assert [len(group) for group in groups] == sizes
    assert [number for group in groups for number in group] == list(range(strengths))[::-1]


def test_a_strength_starts_on_the_line_through_the_two_weakest_before_it_of_its_rows() -> None:
    def point(reg: float, weight: float, status: Status = Status.CONVERGED) -> PathPoint:
        return PathPoint(reg, torch.full((2, 3), weight, dtype=torch.float64), 1.0, 0.0, 1, status)

    def start(found: list[PathPoint | None], held_out: list[int] | None = None, number: int = 3) -> float | None:
        coef = _extrapolate(number, regs, None if held_out is None else torch.tensor(held_out), found)
        assert coef is None or bool((coef == coef[0, 0]).all())
        return None if coef is None else pytest.approx(float(coef[0, 0]))

    regs = torch.tensor([1e-1, 1e-2, 1e-3, 1e-4], dtype=torch.float64)
    one, two, lost = point(1e-1, 1.0), point(1e-2, 3.0), point(1e-3, torch.nan, Status.DIVERGED)
    assert start([None, None, None, None]) is None
    assert start([one, None, None, None]) == 1.0
    assert start([one, two, None, None], number=2) == 5.0
    assert start([one, two, lost, None]) == 7.0
    assert start([one, one, None, None]) == 1.0  # one strength twice
    assert start([one, two, point(1e-3, 0.0), None], held_out=[0, 0, 1, 0]) == 7.0
    assert start([one, two, None, None], held_out=[0, 0, 1, 1]) == 7.0  # better than nothing
    regs[3] = 1e-30
    assert start([one, two, None, None]) == 3.0 + 2 * FARTHEST


@every_loss
def test_a_fold_held_out_is_solved_as_if_its_rows_were_not_there(name: str) -> None:
    features, folds = draw_features(60, 4, 3), torch.arange(60) % 3
    held_out, regs, tol = torch.tensor([1, -1, 0]), [1e-2] * 3, TOL[name]
    path = solve_path(Objective(features, folds=folds), LOSSES[name], regs, tol=tol, held_out=held_out)
    for fold, point in zip(held_out.tolist(), path.points, strict=True):
        rows = (folds != fold).nonzero().squeeze(1)
        kept = Features(features.dataset.subset(rows), features.scaling, features.dtype)
        alone = solve_path(kept, LOSSES[name], [1e-2], tol=tol).points[0]
        assert point.status is alone.status is Status.CONVERGED
        assert abs(point.objective - alone.objective) <= max(point.gap, alone.gap)


@every_loss
def test_a_start_at_the_optimum_needs_less(name: str) -> None:
    features = draw_features(90, 6, 4)
    cold = solve_path(features, LOSSES[name], [1e-2], tol=TOL[name])
    shared = solve_path(features, LOSSES[name], [1e-2, 1.1e-2], tol=TOL[name], start=cold.coef[0])
    each = solve_path(features, LOSSES[name], [1e-2], tol=TOL[name], start=cold.coef)
    assert each.passes <= cold.passes
    assert {point.status for point in (*shared.points, *each.points)} == {Status.CONVERGED}
    if name == "softmax":
        assert each.passes == 1


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_truncated_spectrum_only_costs_passes(name: str, dtype: torch.dtype) -> None:
    features, hinge = draw_features(150, 30, 3, dtype=dtype), RecordingHinge()
    loss, leading = (
        Softmax() if name == "softmax" else hinge,
        Tuning(eigh_freely=10, eigh_up_to=10, nystroem_rank=6, newton_weights=0),
    )
    point = solve_path(features, loss, [0.1], tol=1e-2, tuning=leading).points[0]
    assert point.status is Status.CONVERGED
    assert_certified(point, reference_of(name, features, 0.1), 1e-2, hinge.asked)


# What L-BFGS leaves open goes to Newton's method


def raw_wine(dtype: torch.dtype = torch.float64) -> Features:
    """Columns of very unequal scale: L-BFGS crawls."""
    X, y = load_wine(return_X_y=True)
    data = ArrayDataset(torch.from_numpy(X), torch.from_numpy(y), ("a", "b", "c"))
    return Features(data, fit_scaling(data, center=False), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_hinge_where_lbfgs_crawls_is_finished_by_newton(dtype: torch.dtype) -> None:
    features, hinge, regs = raw_wine(dtype), RecordingHinge(), [1e-1, 1e-4]
    seen: list[tuple[int, int, int, float]] = []
    path = solve_path(features, hinge, regs, tol=1e-4, report=lambda *now: seen.append(now))
    for reg, point in zip(regs, path.points, strict=True):
        assert point.status is Status.CONVERGED
        assert point.passes <= 300
        assert_certified(point, reference_of("hinge", features, reg), 1e-4, hinge.asked)
    finished = [done for done, _, _, _ in seen]
    assert finished == sorted(finished)
    assert seen[-1] == (2, 2, path.passes, 0.0)
    alone = solve_path(features, Hinge(), regs, tol=1e-4, tuning=NO_NEWTON)
    assert Status.CONVERGED is not alone.points[1].status


@pytest.mark.parametrize("budget", [6, 7, 9, 30, 60])
def test_newton_keeps_to_the_limit_and_never_loses_what_lbfgs_had(budget: int) -> None:
    features, hinge = raw_wine(), RecordingHinge()
    path = solve_path(features, hinge, [1e-4], tol=1e-9, max_passes=budget, tuning=Tuning(interior_first=0))
    assert (path.passes, path.points[0].passes) == (budget, budget)
    assert path.points[0].status is Status.BUDGET_SPENT
    assert_certified(path.points[0], reference_of("hinge", features, 1e-4), 1e-9, hinge.asked)
    passes = min(2 * budget // 3, NO_NEWTON.patience[0])
    before = solve_path(features, Hinge(), [1e-4], tol=1e-9, max_passes=passes, tuning=NO_NEWTON)
    assert path.points[0].relative_gap <= before.points[0].relative_gap


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_softmax_that_lbfgs_leaves_open_is_finished_by_newton(dtype: torch.dtype) -> None:
    rows = draw_rows(90, 6, 4)
    features = as_features(replace(rows, features=(rows.features + 1e6).to(dtype)))
    point = solve_path(features, Softmax(), [1e-2], tol=1e-6, tuning=Tuning(newton_first=0)).points[0]
    assert point.status is Status.CONVERGED
    reference = reference_of("softmax", features, 1e-2)
    assert point.objective == pytest.approx(reference.value(point.coef.numpy()), rel=1e-10)
    alone = solve_path(features, Softmax(), [1e-2], tol=1e-6, tuning=NO_NEWTON).points[0]
    assert alone.status is Status.STALLED
    assert alone.objective >= point.objective * (1 - 1e-10)


@pytest.mark.parametrize("tuning", [Tuning(), NO_NEWTON], ids=["newton", "lbfgs"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_columns_of_any_size_are_solved_by_both(dtype: torch.dtype, tuning: Tuning) -> None:
    rows = draw_rows(90, 6, 4)
    features = as_features(
        replace(rows, features=(rows.features * torch.tensor([1e8, 1e-8, 1, 1e8, 1e-8, 1])).to(dtype))
    )
    point = solve_path(features, Softmax(), [1e-2], tol=1e-6, tuning=tuning).points[0]
    assert point.status is Status.CONVERGED
    assert_certified(point, reference_of("softmax", features, 1e-2), 1e-6, [])


def test_a_softmax_that_lbfgs_finishes_never_goes_to_newton() -> None:
    whole = solve_path(draw_features(90, 6, 4), Softmax(), REGS, tol=1e-8, tuning=Tuning(newton_first=0))
    alone = solve_path(draw_features(90, 6, 4), Softmax(), REGS, tol=1e-8, tuning=NO_NEWTON)
    assert torch.equal(alone.coef, whole.coef)


def test_the_number_of_threads_is_put_back() -> None:
    threads, seen = torch.get_num_threads(), []
    try:
        torch.set_num_threads(2)
        solve_path(raw_wine(), Hinge(), [1e-2], report=lambda *_: seen.append(torch.get_num_threads()))
        with pytest.raises(KeyboardInterrupt), one_thread_if(True):
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
        assert set(seen) == {1}
    finally:
        torch.set_num_threads(threads)


# Budgets, precision, inputs


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("budget", [1, 2, 3, 7])
def test_a_spent_budget_is_said_with_the_gap_there_is(name: str, dtype: torch.dtype, budget: int) -> None:
    features, hinge = draw_features(90, 6, 4, dtype=dtype), RecordingHinge()
    path = solve_path(features, Softmax() if name == "softmax" else hinge, [1e-5], tol=1e-7, max_passes=budget)
    assert path.passes == max(budget, 2)  # the start and one step, which is certified
    assert path.points[0].status is Status.BUDGET_SPENT
    assert_certified(path.points[0], reference_of(name, features, 1e-5), 1e-7, hinge.asked)


def test_a_tolerance_beyond_float64_ends_as_stalled_with_its_gap() -> None:
    features = draw_features(90, 6, 4)
    point = solve_path(features, Softmax(), [1e-2], tol=1e-36, max_passes=500).points[0]
    assert point.status is Status.STALLED
    assert point.gap <= 1e-12
    assert_certified(point, reference_of("softmax", features, 1e-2), 1e-36, [])


@pytest.mark.parametrize("tuning", [Tuning(), NO_NEWTON], ids=["newton", "l-bfgs"])
def test_float32_rows_are_certified_beyond_float32(tuning: Tuning) -> None:
    features = draw_features(90, 6, 4, dtype=torch.float32)
    point = solve_path(features, Softmax(), [1e-3], tol=1e-10, tuning=tuning).points[0]
    assert point.status is Status.CONVERGED
    assert_certified(point, reference_of("softmax", features, 1e-3), 1e-10, [])


def test_a_dataset_is_centred_and_given_a_bias_column() -> None:
    data = draw_rows(60, 4, 3)
    path = solve_path(replace(data, features=data.features + 100), Softmax(), [1e-2], tol=1e-8)
    centred = replace(data, features=data.features - data.features.mean(0))
    expected = solve_path(as_features(centred), Softmax(), [1e-2], tol=1e-8)
    assert path.coef.shape == (1, 3, 5)
    assert path.points[0].objective == pytest.approx(expected.points[0].objective, rel=1e-7)


@every_loss
def test_one_class_is_solved_at_once(name: str) -> None:
    data = ArrayDataset(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64), ("only",))
    point = solve_path(as_features(data), LOSSES[name], [0.1]).points[0]
    assert (point.objective, point.gap, point.relative_gap, point.status) == (0, 0, 0, Status.CONVERGED)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    solve_path(draw_features(30, 2, 2), Hinge(), [0.1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("regs", "options", "message"),
    [
        ([], {}, "regs must be a list of at least one strength; got shape (0,)"),
        ([[0.1]], {}, "regs must be a list of at least one strength; got shape (1, 1)"),
        ([0.1, 0.0], {}, "reg must be a finite number > 0; got 0.0"),
        ([float("nan")], {}, "reg must be a finite number > 0"),
        ([0.1], {"tol": 0.0}, "tol must be a finite number > 0; got 0.0"),
        ([0.1], {"max_passes": 0}, "max_passes must be a whole number >= 1; got 0"),
    ],
    ids=["no strengths", "a table", "zero", "NaN", "tolerance", "budget"],
)
def test_arguments_that_cannot_be_are_refused(regs: list[float], options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        solve_path(draw_features(5, 2, 2), Softmax(), regs, **options)  # type: ignore[arg-type]


@every_loss
def test_a_fold_that_leaves_nothing_to_learn_from_is_refused(name: str) -> None:
    features, folds = draw_features(6, 2, 2), torch.tensor([0, 0, 0, 1, 1, 1])
    weights = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    for objective in (Objective(features, folds=folds * 0), Objective(features, weights, folds)):
        with pytest.raises(
            InputError, match=r"held_out must leave rows of weight > 0 to learn from; fold 0 leaves none"
        ):
            solve_path(objective, LOSSES[name], [0.1, 0.1], held_out=torch.tensor([-1, 0]))
    with pytest.raises(InputError, match="held_out needs folds"):
        solve_path(features, LOSSES[name], [0.1], held_out=torch.tensor([0]))
    with pytest.raises(InputError, match=r"one fold for each of the 2 strengths; got shape \(1,\)"):
        solve_path(Objective(features, folds=folds), LOSSES[name], [0.1, 0.1], held_out=torch.tensor([0]))


# Processes

WORKER = """
import sys, torch
from colinear.parallel.group import Group
from colinear.parallel.launch import Launch
from tests.test_path import solve_shards
group = Group.join(Launch.find(), 300)
torch.set_num_threads(1)
torch.save(solve_shards(slice(0, 60) if group.leads else slice(60, 90), group), f"{sys.argv[1]}/found-{group.rank}.pt")
group.end()
"""


def solve_shards(rows: slice, group: Group = ALONE) -> tuple[Tensor, list[float]]:
    """Weights and gaps of 40 strengths on some rows, where pairs and groups depend on how many there are."""
    features = as_features(draw_rows(90, 5, 3).subset(rows), bias=0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("colinear.solvers.path.ROWS_OF_A_PAIR", 3)
        patched.setattr("colinear.solvers.path.PRODUCT_ALONE", 20 * 2.0 * 3 * 5 * 60)
        tuning = Tuning(batch_rows=3, newton_weights=0)
        objective = Objective(features, group=group)
        path = solve_path(objective, Hinge(), np.logspace(0, -3, 40).tolist(), tol=1e-4, tuning=tuning)
    return path.coef, [point.gap for point in path.points]


def test_two_processes_of_unlike_sizes_take_the_same_steps(tmp_path: Path) -> None:
    run_well(["-c", WORKER, str(tmp_path)], 2, Path(__file__).parent.parent)
    (first, gaps), (second, _) = (torch.load(tmp_path / f"found-{rank}.pt") for rank in (0, 1))
    assert torch.equal(first, second)
    assert min(gaps) >= 0
