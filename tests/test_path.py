"""The exact path: optima known otherwise, and certificates that hold on two hundred nasty problems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests.problems import Reference, as_features, draw_features, draw_rows, matrix, reference_of
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features
from colinear.losses import LOSSES, Hinge, Softmax
from colinear.objective import Objective
from colinear.solvers import Status, spectrum
from colinear.solvers import path as path_module
from colinear.solvers.path import PathPoint, solve_path

every_loss = pytest.mark.parametrize("name", ["softmax", "hinge"])
REGS = [1e-1, 1e-3, 1e-2]
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
    assert np.abs(gaps - point.gap).min() <= 1e-8 * point.gap + 100 * rounding
    assert point.gap >= point.objective - minimum(reference) - rounding
    assert point.relative_gap == pytest.approx(point.gap / point.objective)
    assert (point.status is Status.CONVERGED) == (point.relative_gap <= tol)
    assert point.status in (Status.CONVERGED, Status.BUDGET_SPENT, Status.STALLED)


# Known optima


def test_two_opposite_rows_have_the_optimum_of_a_scalar_equation() -> None:
    """One feature, x = +1 of class 0 and -1 of class 1: w_0 = -w_1 = w solves 2 reg w = 1 / (1 + exp(2 w)) / ... = p."""
    data = ArrayDataset(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([0, 1]), ("a", "b"))
    reg = 0.05
    point = solve_path(as_features(data, bias=0), Softmax(), [reg], tol=1e-12).points[0]
    low, high = 0.0, 20.0
    for _ in range(100):  # d/dw [log(1 + exp(-2 w)) + 2 reg w^2] = 0
        middle = (low + high) / 2
        rises = 4 * reg * middle > 2 / (1 + np.exp(2 * middle))
        low, high = (low, middle) if rises else (middle, high)
    assert point.coef.flatten().tolist() == pytest.approx([middle, -middle], abs=1e-5)


@pytest.mark.parametrize(("reg", "expected"), [(10.0, 0.05), (1.0, 0.5), (0.01, 0.5)])
def test_two_opposite_rows_have_the_hinge_optimum_known_in_closed_form(reg: float, expected: float) -> None:
    """max(0, 1 - 2 w) + 2 reg w^2 is least at w = min(1 / 2, 1 / (2 reg))."""
    data = ArrayDataset(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([0, 1]), ("a", "b"))
    point = solve_path(as_features(data, bias=0), Hinge(), [reg], tol=1e-6).points[0]
    assert point.status is Status.CONVERGED
    assert point.coef.flatten().tolist() == pytest.approx([expected, -expected], rel=2e-3)


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
        peer = LogisticRegression(C=1 / (2 * n * reg), solver="newton-cg", tol=1e-12, max_iter=1000, fit_intercept=False)
        theirs = reference_of("softmax", features, reg).value(peer.fit(x, labels).coef_)
        assert point.status is Status.CONVERGED
        assert point.objective == pytest.approx(theirs, rel=1e-6)
        np.testing.assert_allclose(point.coef.numpy(), peer.coef_, atol=1e-3)


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
    statuses = []
    for name, features, reg, tol in nasty_problems():
        hinge = RecordingHinge()
        objective = Objective(features, chunk_rows=16)
        path = solve_path(objective, Softmax() if name == "softmax" else hinge, [reg], tol=tol, max_passes=150)
        point = path.points[0]
        assert point.passes == path.passes <= 150
        assert_certified(point, reference_of(name, features, reg), tol, hinge.asked)
        statuses.append(point.status)
    assert statuses.count(Status.CONVERGED) >= 180
