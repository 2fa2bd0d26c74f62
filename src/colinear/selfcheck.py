"""Do the losses tell the truth on this data? Gradients by differences, and loops against matrices.

What `colinear check` prints: for each loss its gradient against centred differences, and the naive loops against
the vectorised version: difference of value and gradient in both precisions, and the speed-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.checks import InputError, check_features, check_finite, check_targets
from colinear.gradcheck import GradientCheck, check_gradient
from colinear.losses import LOSSES, Loss
from colinear.reference import LOOPS, Problem, vectorized

STEP = 1e-7  # the course's step for centred differences
SCORE_STEP = 3e-5  # (3 eps |f| / |third derivative|)^(1/3), near 2.3 and 0.03: rounding and truncation balance
GRADIENT_ROWS = 64  # the course's minibatch for its gradient checks
GRADIENT_TOLERANCE = 1e-6  # bounds on relative errors and differences that count as passed
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-12}


@dataclass(frozen=True)
class Agreement:
    """The naive loops against the vectorised version, in one precision.

    naive_value, vectorized_value : the loss, penalty included.
    value_difference : |naive - vectorised| / |naive|.   gradient_difference : the same in the Frobenius norm.
    naive_seconds, vectorized_seconds : the faster of two runs each, value and gradient together.
    """

    dtype: torch.dtype
    naive_value: float
    vectorized_value: float
    value_difference: float
    gradient_difference: float
    naive_seconds: float
    vectorized_seconds: float

    @property
    def speedup(self) -> float:
        return self.naive_seconds / self.vectorized_seconds

    @property
    def passed(self) -> bool:
        """Both differences below 1e-6 in float32, 1e-12 in float64."""
        return max(self.value_difference, self.gradient_difference) < TOLERANCES[self.dtype]


@dataclass(frozen=True)
class LossReport:
    """Everything checked about one loss.

    gradient : centred differences without penalty, then with one of size 1.
    agreement : float32, then float64.
    """

    loss: str
    gradient: tuple[GradientCheck, ...]
    agreement: tuple[Agreement, ...]

    @property
    def worst_relative_error(self) -> float:
        return max(check.relative_error for check in self.gradient)

    @property
    def passed(self) -> bool:
        return self.worst_relative_error < GRADIENT_TOLERANCE and all(a.passed for a in self.agreement)


def check_losses(
    features: Tensor, labels: Tensor, n_classes: int | None = None, *, n_checks: int = 10, seed: int = 0
) -> tuple[LossReport, ...]:
    """Check every loss that takes these labels on these rows, at one random point.

    The features are multiplied by one number first, so that a step of 1e-7 in a weight moves a score by about
    3e-5, where centred differences are most exact (Press et al., Numerical Recipes, 5.7). A mistake in a gradient
    shows as before, rounding does not: with the pixels of CIFAR-10 as they are, 1 to 7 in 100 coordinates have
    slopes so near 0 that rounding alone exceeds 1e-6; so scaled, fewer than 1 in 1,000.

    features : (n, d) float64, scaled as for training.   labels : (n,) int64, or (n, c) int8.
    n_classes : None = largest label + 1, or c.
    n_checks : coordinates per gradient check; the gradient is checked on the first 64 rows, twice per loss.
    Returns  one report per loss, in the order of `losses.LOSSES`. A report that failed is a result, not an exception.
    Raises   `InputError` on features or labels that do not fit or are not finite.
    Cost     four runs of the loops per loss: 0.05 s each per 1,000 rows of 3,073 features in 10 classes.

    >>> features = torch.linspace(-1, 1, 60, dtype=torch.float64).view(20, 3)
    >>> [(report.loss, report.passed) for report in check_losses(features, torch.arange(20) % 3)]
    [('softmax', True), ('hinge', True), ('logistic', True), ('squared-hinge', True)]
    """
    check_finite(check_features(features))
    if features.dtype != torch.float64:
        raise InputError(f"features must be float64 for a check of gradients; got {features.dtype}. Convert them.")
    if n_classes is None:
        n_classes = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1 if len(labels) else 0
    check_targets(labels, n_classes)
    size = float(features.square().mean().sqrt())
    X = features * (SCORE_STEP / STEP / (size or 1.0))
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(X.shape[1], n_classes, generator=generator, dtype=torch.float64).to(X.device)
    W /= float(X.square().sum(1).mean().sqrt()) or 1.0  # scores of size 1: probabilities and margins of every kind
    checked = [name for name, loss in LOSSES.items() if loss.takes_many or labels.ndim == 1]
    return tuple(_report(name, W, X, labels, n_checks, generator) for name in checked)


def _report(name: str, W: Tensor, X: Tensor, y: Tensor, n_checks: int, generator: torch.Generator) -> LossReport:
    def problem(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
        return vectorized(LOSSES[name], W, X, y, reg)

    some, theirs = _away_from_bends(LOSSES[name], W, X[:GRADIENT_ROWS], y[:GRADIENT_ROWS])
    gradient: tuple[GradientCheck, ...] = ()
    for reg in (0.0, 1.0 / float(W.square().sum())):
        analytic = problem(W, some, theirs, reg)[1]

        def value(point: Tensor, reg: float = reg) -> Tensor:
            return problem(point, some, theirs, reg)[0]

        gradient += check_gradient(value, W, analytic, n_checks=n_checks, h=STEP, generator=generator)
    reg = 0.1 / float(W.square().sum())
    agreement = tuple(_agree(LOOPS[name], problem, W.to(t), X.to(t), y, reg) for t in TOLERANCES)
    return LossReport(name, gradient, agreement)


def _away_from_bends(loss: Loss, W: Tensor, X: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Leave out the rows of which a step could carry a score across a point where the slope has a kink, or a jump.

    There g(s + r) - 2 g(s) + g(s - r) is of the size of r or more; elsewhere of r^2, which is a thousandth of that.
    """
    scores = (X @ W).mT  # (c, n)
    reach = 10 * STEP * float(X.abs().max())
    steps = reach * torch.eye(len(scores), dtype=scores.dtype, device=scores.device).unsqueeze(2)  # (c, c, 1)
    places = torch.cat((scores + steps, scores.unsqueeze(0), scores - steps))  # (2 c + 1, c, n)
    loss.value_and_gradient_(places, y)
    c = len(scores)
    bent = places[:c] - 2 * places[c] + places[c + 1 :]
    far = (bent.abs() < 0.1 * reach).all(0).all(0)
    return (X[far], y[far]) if bool(far.any()) else (X, y)


def _agree(naive: Problem, fast: Problem, W: Tensor, X: Tensor, y: Tensor, reg: float) -> Agreement:
    (value, gradient), naive_seconds = _timed(lambda: naive(W, X, y, reg), X.device)
    (other, slope), fast_seconds = _timed(lambda: fast(W, X, y, reg), X.device)
    value_difference = abs(float(value) - float(other)) / (abs(float(value)) or 1.0)
    apart = float((gradient.double() - slope.double()).norm()) / (float(gradient.double().norm()) or 1.0)
    return Agreement(W.dtype, float(value), float(other), value_difference, apart, naive_seconds, fast_seconds)


def _timed(run: Callable[[], tuple[Tensor, Tensor]], device: torch.device) -> tuple[tuple[Tensor, Tensor], float]:
    """The result and the faster of two runs, in seconds; the first run warms up."""
    seconds = []
    for _ in range(2):
        _wait(device)
        start = time.perf_counter()
        result = run()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
