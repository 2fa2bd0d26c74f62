"""Losses that work class by class, through every solver: scikit-learn's optima, certificates, a third loss as guest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from tests.problems import as_features, draw_coef, draw_features, draw_rows, matrix
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import Features
from colinear.lossbase import Loss, LossSums, SmoothLoss, add_up
from colinear.losses import LOSSES, Logistic, SquaredHinge
from colinear.objective import Objective
from colinear.solvers import SGD, Path, Tuning, bracket_optimum, certify, solve_newton, solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.spectrum import Spectrum

both_losses = pytest.mark.parametrize("loss", [Logistic(), SquaredHinge()], ids=lambda loss: loss.name)
LBFGS = Tuning(newton_weights=0)
SOLVERS: dict[str, Callable[..., Path]] = {
    "path": solve_path,
    "l-bfgs": lambda objective, loss, regs, **options: solve_path(objective, loss, regs, tuning=LBFGS, **options),
    "newton": lambda objective, loss, regs, **options: solve_newton(objective, regs, loss=loss, **options),
}
each_solver = pytest.mark.parametrize("solver", SOLVERS)


def draw_answers(n: int, c: int, seed: int = 0) -> Tensor:
    """Answers (n, c) int8: 1, 0, and -1 for every tenth."""
    drawn = torch.randint(10, (n, c), generator=torch.Generator().manual_seed(seed + 1))
    return torch.where(drawn == 0, -1, drawn % 2).to(torch.int8)


def with_answers(features: Features, seed: int = 0) -> Features:
    labels = draw_answers(features.n_samples, features.n_classes, seed)
    return replace(features, dataset=replace(features.dataset, labels=labels))


def value_by_hand(loss: Loss, coef: Tensor, features: Features, reg: float) -> float:
    """The objective of weights (c, d), in numpy."""
    labels = features.labels.numpy()
    has = np.eye(features.n_classes, dtype=int)[labels] if labels.ndim == 1 else labels
    signed = np.where(has == 1, 1, -1) * (matrix(features) @ coef.numpy().T)
    each = np.logaddexp(0, -signed) if isinstance(loss, Logistic) else np.maximum(0, 1 - signed) ** 2
    return float((each * (has >= 0)).sum() / len(has)) + reg * float((coef.numpy() ** 2).sum())


def solve_with_sklearn(loss: Loss, features: Features, reg: float) -> Tensor:
    """Weights (c, d), one class after the other, on its known rows; the constant column is one of the features."""
    rows, labels, found = matrix(features), features.labels.numpy(), []
    for j in range(features.n_classes):
        has = (labels == j).astype(int) if labels.ndim == 1 else labels[:, j]
        known = has >= 0
        common: dict[str, Any] = {"C": 1 / (2 * len(labels) * reg), "fit_intercept": False, "max_iter": 100_000}
        if isinstance(loss, Logistic):
            one = LogisticRegression(tol=1e-10, solver="newton-cholesky", **common)
        else:  # LIBLINEAR's own Newton method
            one = LinearSVC(loss="squared_hinge", dual=False, tol=1e-10, **common)
        found.append(one.fit(rows[known], has[known]).coef_[0])
    return torch.tensor(np.array(found))


@both_losses
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6), n=st.integers(30, 120), d=st.integers(1, 8), c=st.integers(2, 6),
    reg=st.sampled_from([1e-4, 1e-3, 1e-2, 0.1, 1.0]), many=st.booleans(), solver=st.sampled_from(sorted(SOLVERS)),
)  # fmt: skip
def test_objectives_are_those_of_scikit_learn_class_by_class(
    loss: Loss, seed: int, n: int, d: int, c: int, reg: float, many: bool, solver: str
) -> None:
    features = draw_features(n, d, c, seed)
    features = with_answers(features, seed) if many else features
    labels = features.labels if many else torch.nn.functional.one_hot(features.labels, c)
    if not bool(((labels == 1).any(0) & (labels == 0).any(0)).all()):
        return  # scikit-learn wants rows of both kinds
    [point] = SOLVERS[solver](Objective(features), loss, [reg], tol=1e-9, max_passes=2000).points
    mine, theirs = (
        value_by_hand(loss, coef, features, reg) for coef in (point.coef, solve_with_sklearn(loss, features, reg))
    )
    assert mine == pytest.approx(point.objective, rel=1e-12)
    assert point.relative_gap <= 1e-9
    assert mine <= theirs * (1 + 1e-7)
    assert mine == pytest.approx(theirs, rel=1e-7)


@both_losses
@given(
    seed=st.integers(0, 10**6), reg=st.sampled_from([1e-3, 1e-2, 1.0]), scale=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
    many=st.booleans(),
)  # fmt: skip
def test_the_gap_is_never_smaller_than_the_distance(
    loss: Loss, seed: int, reg: float, scale: float, many: bool
) -> None:
    features = draw_features(40, 4, 3, seed)
    objective = Objective(with_answers(features, seed) if many else features)
    best = solve_path(objective, loss, [reg], tol=1e-8).points[0]
    noise = torch.randn(best.coef.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    value, gap = certify(objective, loss, best.coef + scale * noise, reg)
    assert best.relative_gap <= 1e-8
    assert value - best.objective <= gap * (1 + 1e-9) + 1e-12
    assert value - (best.objective - best.gap) <= gap + best.gap + 1e-9 * value


@both_losses
@each_solver
def test_classes_are_solved_as_if_each_were_alone(loss: Loss, solver: str) -> None:
    features = with_answers(draw_features(200, 5, 4))
    [whole] = SOLVERS[solver](Objective(features), loss, [1e-2], tol=1e-10, max_passes=2000).points
    parts = []
    for j in range(4):
        known = features.labels[:, j] >= 0
        rows = features.dataset.subset(known)
        weight = float(known.sum()) / 200  # a mean over fewer rows
        own = as_features(replace(rows, labels=rows.labels[:, j : j + 1], class_names=("one",)))
        parts.append(solve_path(Objective(own), loss, [1e-2 / weight], tol=1e-10).points[0].coef[0])
    torch.testing.assert_close(whole.coef, torch.stack(parts), rtol=1e-4, atol=1e-5)


@both_losses
def test_folds_weights_and_float32_rows_change_nothing(loss: Loss) -> None:
    features = with_answers(draw_features(300, 6, 3))
    folds = torch.arange(300) % 3
    counts = torch.randint(1, 3, (300,), generator=torch.Generator().manual_seed(0)).double()
    path = solve_path(Objective(features, counts, folds), loss, [1e-2, 1e-2], tol=1e-9, held_out=torch.tensor([1, -1]))
    rows = torch.arange(300).repeat_interleave(counts.long())
    for point, kept in zip(path.points, (rows[folds[rows] != 1], rows), strict=True):
        alone = solve_path(as_features(features.dataset.subset(kept)), loss, [1e-2], tol=1e-9).points[0]
        assert point.objective == pytest.approx(alone.objective, rel=1e-8)
    narrow = as_features(replace(features.dataset, features=features.dataset.features.float()), dtype=torch.float32)
    assert solve_path(narrow, loss, [1e-2], tol=1e-6, tuning=LBFGS).points[0].relative_gap <= 1e-6


@both_losses
def test_badly_scaled_columns_and_few_rows_are_certified(loss: Loss) -> None:
    data = draw_rows(100, 4, 3)
    shifted = replace(data, features=data.features * torch.tensor([1e-4, 1.0, 1e3, 1e5]) + 1e3)
    wide = draw_rows(20, 90, 3)
    for rows in (shifted, wide):
        point = solve_path(as_features(rows), loss, [1e-3], tol=1e-6, max_passes=1000).points[0]
        assert point.relative_gap <= 1e-6


def test_the_preconditioner_inverts_the_hessian_of_a_classwise_loss() -> None:
    features, reg = draw_features(60, 4, 3), 0.05
    regs = torch.tensor([reg], dtype=torch.float64)
    zero = torch.zeros(1, 3, 5, dtype=torch.float64)
    curvature = Objective(features).evaluate(zero, regs, SquaredHinge(), curvature=True).curvature
    gradient = draw_coef(1, features)
    spectrum = Spectrum.fit(Objective(features))
    applied = Preconditioner(spectrum).at(curvature, regs, shift_invariant=False)(gradient)
    rows = torch.from_numpy(matrix(features))
    hessian = 2 * rows.mT @ rows / 60 + 2 * reg * torch.eye(5, dtype=torch.float64)  # every margin is inside at 0
    torch.testing.assert_close(applied[0] @ hessian, gradient[0])
    unequal = torch.tensor([[0.1, 0.5, 2.0]], dtype=torch.float64)
    plain = Spectrum(torch.ones(5).double(), torch.eye(5, dtype=torch.float64), 5, 0.0)
    applied = Preconditioner(plain).at(unequal, regs, shift_invariant=False)(gradient)
    torch.testing.assert_close(applied, gradient / (unequal.unsqueeze(2) + 2 * reg))


@both_losses
def test_sgd_comes_near_the_optimum_of_many_labels(loss: Loss) -> None:
    features, reg = with_answers(draw_features(500, 5, 4)), 0.05
    sgd = SGD(2000, 50, schedule="cosine", averaging=0.5)
    rate = torch.tensor([0.1 / loss.steepest / 6], dtype=torch.float64)
    state = sgd.start(torch.zeros(4, 6, dtype=torch.float64), rate, torch.tensor([reg]), torch.Generator())
    coef = sgd.result(sgd.advance(state, features, loss, 2000))[0]
    found = bracket_optimum(Objective(features), loss, coef, reg, tol=1e-6)
    assert found.above[1] < 0.01


@pytest.mark.parametrize("name", ["softmax", "hinge"])
def test_many_labels_are_refused_by_losses_of_one_class_a_row(name: str) -> None:
    features, loss = with_answers(draw_features(30, 2, 3)), LOSSES[name]
    message = f"{name} takes one class a row; rows of array have any number of them. Use logistic or squared-hinge"
    coef = torch.zeros(3, 3, dtype=torch.float64)
    sgd = SGD(1, 1)
    state = sgd.start(coef, torch.ones(1), torch.ones(1), torch.Generator())
    doors: tuple[Callable[[], object], ...] = (
        lambda: solve_path(features, loss, [0.1]),
        lambda: solve_newton(Objective(features), [0.1], loss=loss),
        lambda: certify(Objective(features), loss, coef, 0.1),
        lambda: sgd.advance(state, features, loss, 1),
    )
    for door in doors:
        with pytest.raises(InputError, match=message):
            door()


@dataclass(frozen=True)
class LeastSquares(SmoothLoss):
    """A guest: (s - e_y)^T M (s - e_y) / 2 with M = 1 + ones, whose classes meet and which sees more than differences.

    It says what it is by `name` and `sums_` alone, and nothing in the package knows it.
    """

    name: ClassVar[str] = "least-squares"

    def sums_(
        self, scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, curvature: bool = False
    ) -> LossSums:
        k, c, n = scores.shape
        scores -= torch.nn.functional.one_hot(labels, c).mT
        slopes = scores + scores.sum(1, keepdim=True)
        value = add_up((scores * slopes).sum(1) / 2, weights)
        scores.copy_(slopes if weights is None else slopes * weights.unsqueeze(-2))
        share = torch.full((n,), 1.0) if weights is None else weights
        bent = (2 * share.to(scores)).expand(k, n).sum(-1, keepdim=True).expand(k, c) if curvature else None
        return LossSums(value, value, None, bent)


@pytest.mark.parametrize("wide", [False, True], ids=["rows", "row-space"])
def test_a_third_loss_needs_no_change_anywhere(wide: bool) -> None:
    """Through the path, the certificate, the bracket, folds and SGD; the optimum is that of its normal equations."""
    features, reg, loss = draw_features(*((20, 60, 3) if wide else (200, 5, 3))), 0.05, LeastSquares()
    n, c, d = features.n_samples, features.n_classes, features.n_features
    rows = torch.from_numpy(matrix(features))
    one_hot = torch.nn.functional.one_hot(features.labels, c).double()
    coupled = torch.eye(c, dtype=torch.float64) + 1
    left = torch.kron(coupled, rows.mT @ rows / n) + 2 * reg * torch.eye(c * d, dtype=torch.float64)
    best = torch.linalg.solve(left, (coupled @ one_hot.mT @ rows / n).flatten()).view(c, d)
    value, gap = certify(Objective(features), loss, best, reg)
    assert gap <= 1e-12
    [point] = solve_path(Objective(features), loss, [reg], tol=1e-9).points
    assert point.relative_gap <= 1e-9
    torch.testing.assert_close(point.coef, best, rtol=1e-3, atol=1e-4)
    folds = torch.arange(n) % 2
    held = solve_path(Objective(features, folds=folds), loss, [reg, reg], tol=1e-9, held_out=torch.tensor([0, -1]))
    assert held.points[1].objective == pytest.approx(value, rel=1e-8)
    found = bracket_optimum(Objective(features), loss, best + 0.1, reg, tol=1e-6)
    assert found.lower <= value <= found.upper < found.value
    sgd = SGD(2000, 20, schedule="cosine", averaging=0.5)
    rate = torch.tensor([0.2 / float(rows.square().sum(1).mean())], dtype=torch.float64)
    state = sgd.start(torch.zeros(c, d, dtype=torch.float64), rate, torch.tensor([reg]), torch.Generator())
    coef = sgd.result(sgd.advance(state, features, loss, 2000))[0]
    assert bracket_optimum(Objective(features), loss, coef, reg, tol=1e-6).above[1] < 0.05


@dataclass(frozen=True)
class OneHinge(SmoothLoss):
    """A guest with kinks: sum_j max(0, 1 - t_ij s_ij), smoothed over a width; its dual value is the sum of slopes."""

    name: ClassVar[str] = "one-hinge"
    kinked: ClassVar[bool] = True
    width: float | Tensor = 0.0

    @property
    def smoothed(self) -> bool:
        return isinstance(self.width, Tensor) or self.width != 0

    def smooth(self, widths: Tensor) -> OneHinge:
        return OneHinge(widths)

    def sums_(
        self, scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, curvature: bool = False
    ) -> LossSums:
        signs = 2 * torch.nn.functional.one_hot(labels, scores.shape[1]).mT.to(scores) - 1
        margins = (1 - signs * scores).clamp(min=0)
        width = torch.as_tensor(self.width).view(-1, 1, 1).to(scores)
        slopes = (margins / width).clamp(max=1) if self.smoothed else margins.sign()
        each = slopes * (margins - 0.5 * width * slopes)
        share = torch.ones(scores.shape[-1]).to(scores) if weights is None else weights
        bent = ((margins > 0) / margins.maximum(width) * share.unsqueeze(-2)).sum(-1) if curvature else None
        scores.copy_(-signs * slopes * share.unsqueeze(-2))
        value, original, dual = (add_up(part.sum(1), weights) for part in (each, margins, slopes))
        return LossSums(value, original, dual if self.smoothed else None, bent)


@pytest.mark.parametrize("c", [2, 4])
def test_a_loss_with_kinks_needs_no_change_either(c: int) -> None:
    """It is smoothed and certified as the hinge is; no interior point method is asked of it."""
    features, reg, loss = draw_features(150, 4, c, spread=0.5), 0.02, OneHinge()
    [point] = solve_path(Objective(features), loss, [reg], tol=1e-4, max_passes=2000).points
    assert point.relative_gap <= 1e-4
    rows, theirs = matrix(features), []
    for j in range(c):
        one = LinearSVC(loss="hinge", C=1 / (2 * 150 * reg), fit_intercept=False, tol=1e-8, max_iter=1_000_000)
        theirs.append(one.fit(rows, features.labels.numpy() == j).coef_[0])
    value, gap = certify(Objective(features), loss, torch.tensor(np.array(theirs)), reg)
    assert value - gap <= point.objective <= value * (1 + 1e-4)
    assert value <= point.objective * (1 + 1e-6)
