"""Newton's method for problems small enough for a Hessian: certificates that L-BFGS cannot reach.

The softmax is smooth, and a few steps end anywhere. The hinge smoothed over a width mu is piecewise quadratic, so
Newton's method with an exact line search ends after finitely many steps, at the optimum to rounding whatever way it
came; mu shrinks until the gap of the hinge itself is small enough (Nesterov 2005; Keerthi & DeCoste 2005 for Newton on
squared hinges). Neither steps nor their error depend on the scale of a column: a Hessian is divided by its diagonal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from colinear.curvature import Curved, Pair, Rows
from colinear.losses import Hinge, Loss
from colinear.objective import Evaluation, Objective
from colinear.solvers.arguments import check_solve
from colinear.solvers.basis import Basis
from colinear.solvers.roots import FLAT, rising_root
from colinear.solvers.solution import Path, PathPoint, Status
from colinear.solvers.threads import one_thread_if
from colinear.solvers.tuning import USUAL, Tuning

FIRST_WIDTH = 1.0
SMALLEST_WIDTH = 1e-12
NARROWER = (0.01, 0.3)  # bounds of how much the width shrinks at a time
AIM = 0.4  # share of the tolerance aimed at, as on the path
SETTLED = 1e-20  # Newton decrement over the value at which a width is solved: weights to about 1e-10
SLACK = 1e-2  # share of a line's first slope left: a closer look costs more than it saves in the next step
STEP_FLOPS = 1e6  # of a Newton step, for one more pass of L-BFGS before: small problems crawl longer than they need
FACTOR_ALONE = 1e8  # flops of a Cholesky factor up to which one thread is as good as two: 2.5 ms
STEPS_EACH = 50  # a width that takes more is at the end of float64: the next one may still help
IDLE_STEPS = 3  # steps that leave the value and do not halve the gradient: a smooth loss at the end of float64
EPS = torch.finfo(torch.float64).eps
RIDGES = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-4)  # beside a diagonal of 1, the first that makes the Hessian definite


def suits_newton(objective: Objective, loss: Loss | None = None, tuning: Tuning = USUAL) -> bool:
    """Whether a Hessian of the objective, of the rows of all processes, is cheap enough.   loss : the hinge."""
    loss, features = loss or Hinge(), objective.features
    n, c, d = objective.n_samples, features.n_classes, features.n_features
    work = loss.hessian_products(c) * n * d * d
    return c * d <= tuning.newton_weights and n * max(c, d) <= tuning.newton_values and work <= tuning.newton_flops


def solve_newton(
    objective: Objective,
    regs: Sequence[float] | Tensor,
    *,
    loss: Loss | None = None,
    tol: float = 1e-3,
    max_passes: int = 1000,
    held_out: Tensor | None = None,
    start: Tensor | None = None,
) -> Path:
    """Minimise mean loss + reg sum(W*W) for each strength until relative_gap <= tol, in float64.

    regs : k strengths > 0.   loss : `Hinge()` by default, or `Softmax()`.
    held_out : (k,) fold that each leaves out, -1 for none.
    start : (c, d) or (k, c, d) weights to start from; zeros by default.
    max_passes : limit for each strength: Newton steps, and one pass for the certificate at each width.

    Returns  a `Path` as `solve_path` does; candidates are solved one after the other.
    Raises   `InputError` for arguments that cannot be, and for features beyond float64's squares.
    Error    steps do not depend on the scales of columns; see `certify` for what float64 can certify.
    Cost     n c d^2 (softmax: n c^2 d^2 / 2) + (c d)^3 / 3 flops a step, for the hinge fewer as fewer margins lie
             inside the width; 30 to 150 steps, 5 to 15 of the softmax.

    >>> from colinear.datasets import Features, fit_scaling, load_digits
    >>> data = load_digits()
    >>> data = data.subset(data.labels < 2)
    >>> objective = Objective(Features(data, fit_scaling(data), torch.float64))
    >>> solve_newton(objective, [1e-2], tol=1e-9).points[0].status.name
    'CONVERGED'
    """
    began = time.perf_counter()
    strengths = torch.as_tensor(regs, dtype=torch.float64).cpu()
    check_solve(objective, strengths, tol, max_passes, held_out)
    newton = Newton(objective, loss or Hinge())
    setup = time.perf_counter() - began
    k, c, d = len(strengths), objective.features.n_classes, newton.rows.shape[1]
    starts = newton.rows.new_zeros(k, c, d)
    if start is not None:
        starts.copy_(start)
    points = [
        newton.solve(reg, starts[i], tol=tol, max_passes=max_passes, held_out=None if held_out is None else held_out[i])
        for i, reg in enumerate(strengths.tolist())
    ]
    return Path(tuple(points), sum(point.passes for point in points), setup, time.perf_counter() - began)


@dataclass(frozen=True, eq=False)
class Newton:
    """Newton's method on one objective, for one candidate at a time."""

    objective: Objective
    loss: Loss = field(default_factory=Hinge)
    tuning: Tuning = USUAL

    @property
    def patience(self) -> float:
        """Passes that L-BFGS gets before: a hinge crawls; a softmax left open was beyond the spectrum's precision."""
        least, most = self.tuning.patience
        return min(max(self.step_flops / STEP_FLOPS, least), most) if self.loss.kinked else math.inf

    @property
    def step_flops(self) -> float:
        """A bound on the flops of a step, Hessian and Cholesky factor."""
        features = self.objective.features
        n, c, d = features.n_samples, features.n_classes, features.n_features
        return self.loss.hessian_products(c) * float(n) * d * d + float(c * d) ** 3 / 3

    @cached_property
    def rows(self) -> Tensor:
        """All scaled features, (n, d) float64."""
        return self.objective.features.at(torch.float64).gather(slice(0, self.objective.features.n_samples)).clone()

    @cached_property
    def basis(self) -> Basis | None:
        """Coordinates to work in, where those of the features are ill-conditioned."""
        return Basis.fit(self.rows)

    def solve(
        self,
        reg: float,
        start: Tensor,
        *,
        tol: float,
        max_passes: int,
        held_out: Tensor | None = None,
        width: float = FIRST_WIDTH,
    ) -> PathPoint:
        """The point of one strength, from weights (c, d) that are about optimal for the smoothing `width`.

        held_out : fold left out, a tensor of one number, -1 for none.   max_passes : at least 1, the certificate's.
        """
        held = None if held_out is None else held_out.view(1).to(self.rows.device)
        weights = self.objective.features.n_classes * self.rows.shape[1]
        with one_thread_if(float(weights) ** 3 / 3 <= FACTOR_ALONE and self.rows.device.type == "cpu"):
            return _Candidate(self, reg, held, tol, max_passes).solve(start.to(self.rows), width)


@dataclass
class _Candidate:
    """One strength."""

    newton: Newton
    reg: float
    held_out: Tensor | None
    tol: float
    max_passes: int
    passes: int = 0

    def __post_init__(self) -> None:
        objective, self.basis = self.newton.objective, self.newton.basis
        self.rows = self.newton.rows if self.basis is None else self.basis.rows
        weights = objective.unit_weights
        share = torch.ones(len(self.rows), dtype=torch.float64, device=self.rows.device)
        share = share if weights is None else weights.to(share)
        if self.held_out is not None and objective.folds is not None:
            share = share * (objective.folds != self.held_out)
        self.counts = Rows(objective.features.labels.unsqueeze(0), share / share.sum())
        self.moments = self.counts.share @ self.rows.square()  # (d,)

    def solve(self, coef: Tensor, width: float) -> PathPoint:
        kinked, best = self.newton.loss.kinked, None
        while True:
            coef, moved, scores = self._settle(coef, self.curved(width))
            there = self._certify(coef, width, scores)
            gap = float(there.relative_gap[0])
            spent = self.passes >= self.max_passes - 1  # a step needs a pass for its certificate
            status = Status.at_end(float(there.objective[0]), gap, self.tol, spent=spent)
            value, distance = float(there.objective[0]), float(there.gap[0])
            point = PathPoint(self.reg, coef, value, distance, self.passes, status, width)
            best = point.better(best)
            if gap <= self.tol or spent or not kinked or (width <= SMALLEST_WIDTH and not moved):
                return replace(best, passes=self.passes, status=status)
            shrink = (AIM * self.tol / gap) ** 0.5 if gap > 0 else 0.0
            width = max(SMALLEST_WIDTH, width * min(max(shrink, NARROWER[0]), NARROWER[1]))

    def smooth(self, width: float) -> Loss:
        return self.newton.loss.smooth(torch.tensor([width], dtype=torch.float64, device=self.rows.device))

    def curved(self, width: float) -> Curved:
        return self.smooth(width).curved(self.counts)

    def _certify(self, coef: Tensor, width: float, scores: Tensor | None) -> Evaluation:
        """The certificate of weights.

        scores : (c, n), as exact as the coordinates are: whatever the rounding of the weights, any dual point does.
        """
        self.passes += 1
        reg = torch.tensor([self.reg], dtype=torch.float64, device=coef.device)
        there = self.newton.objective.evaluate(coef.unsqueeze(0), reg, self.smooth(width), self.held_out)
        if scores is None:
            return there
        loss = self.curved(width)
        moment = loss.value_and_slopes(scores)[1] @ self.newton.rows
        gap = there.objective - loss.dual(scores) + moment.square().sum() / (4 * self.reg)
        return replace(there, gap=torch.minimum(there.gap, gap.clamp(min=0)))  # below 0 is rounding

    def _settle(self, coef: Tensor, loss: Curved) -> tuple[Tensor, bool, Tensor | None]:
        """Minimise at one width; whether any step was taken, and the scores of the coordinates, where there are any."""
        if self.basis is None:
            return *self._descend(coef, loss), None
        at, moved = self._descend(self.basis.coordinates(coef), loss)
        return self.basis.weights(at) if moved else coef, moved, at @ self.rows.mT

    def _descend(self, coef: Tensor, loss: Curved) -> tuple[Tensor, bool]:
        """Take Newton steps from coordinates (c, d), which are the weights where there is no basis."""
        moved, idle, least = False, 0, math.inf
        for _ in range(min(STEPS_EACH, self.max_passes - 1 - self.passes)):
            self.passes += 1
            here = self._look(coef, loss)
            # the Hessian is at least 2 reg, which bounds the decrement before there is one
            enough = 2 * SETTLED if loss.exact else 4 * AIM * self.tol
            if not here.squares > self.reg * enough * here.value:
                break
            direction = self._direction(coef, here.gradient, loss, here.scores)
            decrement = -float((here.gradient * direction).sum())
            flat = decrement <= EPS * here.value  # no value along the line shows a difference, but gradients do
            idle, least = (idle + 1 if flat and here.squares > 0.5 * least else 0), min(least, here.squares)
            if not decrement > (SETTLED * here.value if loss.exact else 0) or (idle >= IDLE_STEPS and not loss.exact):
                break
            step = 1.0 if flat and not loss.exact else self._line_search(coef, direction, here.scores, loss)
            if step == 0:
                break
            coef, moved = coef + step * direction, True
        return coef, moved

    def _look(self, coef: Tensor, loss: Curved) -> _Look:
        scores = coef @ self.rows.mT  # (c, n)
        mean, slopes = loss.value_and_slopes(scores)
        weights = self._weights(coef)
        value, penalty = mean + self.reg * float(weights.square().sum()), 2 * self.reg * weights
        gradient = _without_common(slopes @ self.rows) + self._gradient(penalty)
        full = gradient if self.basis is None else _without_common(slopes @ self.newton.rows) + penalty
        return _Look(scores, value, gradient, float(full.square().sum()))

    def _weights(self, coordinates: Tensor) -> Tensor:
        return coordinates if self.basis is None else self.basis.weights(coordinates)

    def _gradient(self, gradient: Tensor) -> Tensor:
        return gradient if self.basis is None else self.basis.gradient(gradient)

    def _direction(self, coef: Tensor, gradient: Tensor, loss: Curved, scores: Tensor) -> Tensor:
        """-H^-1 gradient, (c, d).

        What all classes have in common is seen by the penalty alone, whose Hessian may be nothing beside the loss's: it
        is stepped to 0 by itself, and its directions get the curvature of the others, which changes no other step.
        A penalty below the rounding of the loss's curvature counts as that: where no margin lies inside the width, a
        step by the penalty alone would be as many times too long as it is smaller, and in the wrong metric.
        """
        c, d = gradient.shape
        common = coef.mean(0)
        hessian = self._hessian(loss.pairs(scores), c)
        diagonals = hessian.diagonal(dim1=1, dim2=3)  # (c, c, d), of each block
        diagonals += diagonals.diagonal().mean(1) / c
        penalty = 2 * self.reg * (torch.eye(d).to(hessian) if self.basis is None else self.basis.metric)
        rounding = 4 * EPS * loss.steepest * self.moments
        penalty.diagonal().add_((rounding - penalty.diagonal()).clamp_(min=0))
        hessian.diagonal(dim1=0, dim2=2).add_(penalty.unsqueeze(2))
        flat = hessian.view(c * d, c * d)
        scale = flat.diagonal().rsqrt().unsqueeze(1)
        flat.mul_(scale).mul_(scale.mT)
        right = scale * _without_common(gradient).reshape(-1, 1)
        step = (scale * torch.cholesky_solve(right, _factor(flat))).view(c, d)
        return -_without_common(step) - common

    def _hessian(self, pairs: Iterable[Pair], c: int) -> Tensor:
        """Second derivatives of the mean loss, (c, d, c, d).

        A pair of classes a and b adds w (e_a - e_b)(e_a - e_b)^T (x) x x^T. So it counts for four blocks alike, two of
        them negative, and each pair needs one product.
        """
        d = self.rows.shape[1]
        hessian = self.rows.new_zeros(c, d, c, d)
        for a, b, mine, weights in pairs:
            rows = self.rows[mine]
            block = (rows * weights.unsqueeze(1)).mT @ rows
            hessian[a, :, a] += block
            hessian[b, :, b] += block
            hessian[a, :, b] = hessian[b, :, a] = -block
        return hessian

    def _line_search(self, coef: Tensor, direction: Tensor, scores: Tensor, loss: Curved) -> float:
        """The step at which the slope along the line is 0."""
        data = loss.line(scores, direction @ self.rows.mT)
        weights, change = self._weights(coef), self._weights(direction)
        first, second = float((weights * change).sum()), float(change.square().sum())

        def slope(step: float) -> tuple[float, float]:
            here, bend = data(step)
            return here + 2 * self.reg * (first + step * second), bend + 2 * self.reg * second

        return rising_root(slope, FLAT if loss.exact else SLACK)


@dataclass(frozen=True, eq=False)
class _Look:
    """What there is at one point: scores (c, n), objective, gradient (c, d) by the coordinates, |gradient by W|^2."""

    scores: Tensor
    value: float
    gradient: Tensor
    squares: float


def _without_common(gradient: Tensor) -> Tensor:
    """A gradient of the loss (c, d) without what all classes have in common, which is rounding."""
    return gradient - gradient.mean(0)


def _factor(matrix: Tensor) -> Tensor:
    """Cholesky factor of a matrix with a diagonal of 1; where rounding left it indefinite, with a small ridge."""
    for ridge in RIDGES:
        ridged = matrix.clone() if ridge else matrix
        ridged.diagonal().add_(ridge)
        factor: Tensor
        factor, failed = torch.linalg.cholesky_ex(ridged)
        if not int(failed):
            break
    return factor
