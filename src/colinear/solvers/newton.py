"""Newton's method for the hinge on problems small enough for a Hessian: certificates that L-BFGS cannot reach.

The hinge smoothed over a width mu is piecewise quadratic, so Newton's method with an exact line search ends after
finitely many steps, at the optimum to rounding whatever way it came. mu shrinks until the gap of the hinge itself is
small enough (Nesterov 2005; Keerthi & DeCoste 2005 for Newton on squared hinges).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.distributed as dist
from torch import Tensor

from colinear.losses import Hinge
from colinear.objective import Evaluation, Objective
from colinear.solvers.arguments import check_solve
from colinear.solvers.solution import Path, PathPoint, Status
from colinear.solvers.threads import one_thread_if

MOST_WEIGHTS = 1500  # c d of one candidate: its Hessian takes 18 MB, its Cholesky factor 1 Gflop
MOST_VALUES = 4_000_000  # n d and n c: rows and margins are held in float64 here, 32 MB each
MOST_WORK = 5e8  # n c d^2, a bound on the flops of a Hessian: about 0.03 s on 2 cores
FIRST_WIDTH = 1.0
SMALLEST_WIDTH = 1e-12
NARROWER = (0.01, 0.3)  # bounds of how much the width shrinks at a time
AIM = 0.4  # share of the tolerance aimed at, as on the path
SETTLED = 1e-20  # Newton decrement over the value at which a width is solved: weights to about 1e-10
FACTOR_ALONE = 1e8  # flops of a Cholesky factor up to which one thread is as good as two: 2.5 ms
STEPS_EACH = 50  # a width that takes more is at the end of float64: the next one may still help
BRACKETINGS = 100  # 53 halve a bracket to rounding; the others double the step, or are Newton's from one side
FLAT = 1e-14  # share of the slope at 0 that is rounding


def rising_root(slope: Callable[[float], tuple[float, float]]) -> float:
    """The step > 0 at which a convex function of one number is least, 0 if there is none beyond rounding.

    slope : gives the first and the second derivative at a step; the first one rises, from below 0 at step 0.
    Returns  a step whose slope was computed: flat to rounding, or the last one downhill in a bracket as narrow as
             float64 allows, so that the function is never higher there than at 0. Newton's step is taken where it falls
             into the bracket, and exact where the slope is piecewise linear.

    >>> rising_root(lambda step: (2 * step - 6, 2.0))
    3.0
    """
    low, high, step = 0.0, math.inf, 1.0
    flat = FLAT * abs(slope(0.0)[0])
    for _ in range(BRACKETINGS):
        here, bend = slope(step)
        if abs(here) <= flat:
            return step
        low, high = (step, high) if here < 0 else (low, step)
        if high < math.inf and high - low <= 4 * FLAT * high:
            break
        halfway = (low + high) / 2 if high < math.inf else 2 * step
        newton = step - here / bend if bend > 0 else math.inf
        step = newton if low < newton < high else halfway
    return low


def suits_newton(objective: Objective) -> bool:
    """Whether a Hessian of the objective is cheap enough, and all rows are in this process."""
    features = objective.features
    n, c, d = features.n_samples, features.n_classes, features.n_features
    cheap = c * d <= MOST_WEIGHTS and n * max(c, d) <= MOST_VALUES and float(n) * c * d * d <= MOST_WORK
    return cheap and not (dist.is_available() and dist.is_initialized())


def solve_newton(
    objective: Objective,
    regs: Sequence[float] | Tensor,
    *,
    tol: float = 1e-3,
    max_passes: int = 1000,
    held_out: Tensor | None = None,
    start: Tensor | None = None,
) -> Path:
    """Minimise mean hinge + reg sum(W*W) for each strength until relative_gap <= tol, in float64.

    regs : k strengths > 0.   held_out : (k,) fold that each leaves out, -1 for none.
    start : (c, d) or (k, c, d) weights to start from; zeros by default.
    max_passes : limit for each strength: Newton steps, and one pass for the certificate at each width.

    Returns  a `Path` as `solve_path` does; candidates are solved one after the other.
    Cost     n c d^2 + (c d)^3 / 3 flops a step, fewer as fewer margins lie inside the width; 30 to 150 steps.

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
    newton = Newton(objective)
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
    loss: Hinge = field(default_factory=Hinge)

    @property
    def step_flops(self) -> float:
        """A bound on the flops of a step, Hessian and Cholesky factor."""
        features = self.objective.features
        n, c, d = features.n_samples, features.n_classes, features.n_features
        return float(n) * c * d * d + float(c * d) ** 3 / 3

    @cached_property
    def rows(self) -> Tensor:
        """All scaled features, (n, d) float64."""
        return self.objective.features.at(torch.float64).gather(slice(0, self.objective.features.n_samples)).clone()

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
        objective, self.rows = self.newton.objective, self.newton.rows
        weights = objective.row_weights
        share = torch.ones(len(self.rows), dtype=torch.float64, device=self.rows.device)
        share = share if weights is None else weights.to(share)
        if self.held_out is not None and objective.folds is not None:
            share = share * (objective.folds != self.held_out)
        self.share = share / share.sum()  # (n,), what each row's loss counts for in the mean
        self.true = objective.features.labels.unsqueeze(0)  # (1, n)

    def solve(self, coef: Tensor, width: float) -> PathPoint:
        while True:
            coef, moved = self._settle(coef, width)
            there = self._certify(coef, width)
            gap = float(there.relative_gap[0])
            spent = self.passes >= self.max_passes - 1  # a step needs a pass for its certificate
            if gap <= self.tol or spent or (width <= SMALLEST_WIDTH and not moved):
                status = Status.BUDGET_SPENT if spent else Status.STALLED
                status = Status.CONVERGED if gap <= self.tol else status
                return PathPoint(self.reg, coef, float(there.objective[0]), float(there.gap[0]), self.passes, status)
            shrink = (AIM * self.tol / gap) ** 0.5 if gap > 0 else 0.0
            width = max(SMALLEST_WIDTH, width * min(max(shrink, NARROWER[0]), NARROWER[1]))

    def _certify(self, coef: Tensor, width: float) -> Evaluation:
        self.passes += 1
        regs, widths = (torch.tensor([v], dtype=torch.float64, device=coef.device) for v in (self.reg, width))
        loss = self.newton.loss.smooth(widths)
        return self.newton.objective.evaluate(coef.unsqueeze(0), regs, loss, self.held_out)

    def _settle(self, coef: Tensor, width: float) -> tuple[Tensor, bool]:
        """Minimise at one width; whether any step was taken."""
        moved = False
        for _ in range(min(STEPS_EACH, self.max_passes - 1 - self.passes)):
            self.passes += 1
            margins = self._margins(coef @ self.rows.mT) + 1
            margins.scatter_(0, self.true, 0.0)
            slopes, inside = self._slopes(margins, width)
            gradient = slopes @ self.rows + 2 * self.reg * coef
            value = float((margins.clamp(min=0).sum(0) * self.share).sum() + self.reg * coef.square().sum())
            # the Hessian is at least 2 reg, which bounds the decrement before there is one
            if not float(gradient.square().sum()) > 2 * self.reg * SETTLED * value:
                break
            direction = self._direction(gradient, inside)
            decrement = -float((gradient * direction).sum())
            if not decrement > SETTLED * value:
                break
            step = self._line_search(coef, direction, margins, width)
            if step == 0:
                break
            coef, moved = coef + step * direction, True
        return coef, moved

    def _margins(self, scores: Tensor) -> Tensor:
        """Scores (c, n) minus that of the true class."""
        return scores - scores.gather(0, self.true)

    def _slopes(self, margins: Tensor, width: float) -> tuple[Tensor, Tensor]:
        """Derivatives of the mean loss by the scores (c, n), and second derivatives by the margins (c, n)."""
        slopes = (margins / width).clamp(0, 1) * self.share
        slopes.scatter_(0, self.true, 0.0)
        inside = ((margins > 0) & (margins <= width)) * (self.share / width)
        inside.scatter_(0, self.true, 0.0)
        return slopes.scatter(0, self.true, -slopes.sum(0, keepdim=True)), inside

    def _direction(self, gradient: Tensor, inside: Tensor) -> Tensor:
        """-H^-1 gradient, (c, d)."""
        c, d = gradient.shape
        flat = self._hessian(inside).view(c * d, c * d)
        flat.diagonal().add_(2 * self.reg)
        factor, failed = torch.linalg.cholesky_ex(flat)
        if int(failed):  # conditioned beyond float64: a ridge of its rounding makes it definite
            flat.diagonal().add_(1e-13 * float(flat.diagonal().max()))
            factor = torch.linalg.cholesky_ex(flat).L
        return -torch.cholesky_solve(gradient.reshape(-1, 1), factor).view(c, d)

    def _hessian(self, inside: Tensor) -> Tensor:
        """Second derivatives of the mean loss, (c, d, c, d), from the pairs of a row and a class inside the width.

        A pair of a row of class y and another class j adds h (e_j - e_y)(e_j - e_y)^T (x) x x^T. So it counts for four
        blocks alike, two of them negative, and each pair of classes needs one product.
        """
        c, d = len(inside), self.rows.shape[1]
        hessian = self.rows.new_zeros(c, d, c, d)
        other, row = inside.nonzero(as_tuple=True)
        true = self.true[0, row]
        pair = torch.minimum(other, true) * c + torch.maximum(other, true)
        order = pair.argsort(stable=True)
        curvature, row = inside[other, row][order].unsqueeze(1), row[order]
        stop = 0
        for number, count in enumerate(pair.bincount(minlength=c * c).tolist()):
            if count:
                start, stop = stop, stop + count
                rows = self.rows[row[start:stop]]  # (count, d)
                block = (rows * curvature[start:stop]).mT @ rows
                a, b = divmod(number, c)
                hessian[a, :, a] += block
                hessian[b, :, b] += block
                hessian[a, :, b] = hessian[b, :, a] = -block
        return hessian

    def _line_search(self, coef: Tensor, direction: Tensor, margins: Tensor, width: float) -> float:
        """The step with slope 0, exact to rounding: the slope along a line is piecewise linear and rises."""
        change = self._margins(direction @ self.rows.mT)  # (c, n)
        first, second = float((coef * direction).sum()), float(direction.square().sum())

        def slope(step: float) -> tuple[float, float]:
            moved = margins + step * change
            active = (moved / width).clamp(0, 1)
            curved = ((moved > 0) & (moved <= width)) * change.square()  # the true class has change 0
            data = (active * change).sum(0) @ self.share
            bend = curved.sum(0) @ self.share / width
            return float(data) + 2 * self.reg * (first + step * second), float(bend) + 2 * self.reg * second

        return rising_root(slope)
