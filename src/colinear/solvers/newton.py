"""Newton's method for the hinge on problems small enough for a Hessian: certificates that L-BFGS cannot reach.

The hinge smoothed over a width mu is piecewise quadratic, so Newton's method with an exact line search ends after
finitely many steps, at the optimum to rounding whatever way it came. mu shrinks until the gap of the hinge itself is
small enough (Nesterov 2005; Keerthi & DeCoste 2005 for Newton on squared hinges).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.losses import Hinge
from colinear.objective import Evaluation, Objective
from colinear.solvers.path import Path, PathPoint
from colinear.solvers.solution import Status

MOST_WEIGHTS = 1500  # c d of one candidate: its Hessian takes 18 MB, its Cholesky factor 1 Gflop
MOST_VALUES = 4_000_000  # n d: rows are held in float64 here, 32 MB
MOST_WORK = 5e8  # n c d^2, a bound on the flops of a Hessian: about 0.03 s on 2 cores
FIRST_WIDTH = 1.0
SMALLEST_WIDTH = 1e-12
NARROWER = (0.01, 0.3)  # bounds of how much the width shrinks at a time
AIM = 0.4  # share of the tolerance aimed at, as on the path
SETTLED = 1e-20  # Newton decrement over the value at which a width is solved: weights to about 1e-10
STEPS_EACH = 50  # a width that takes more is at the end of float64: the next one may still help
BRACKETINGS = 60


def suits_newton(objective: Objective) -> bool:
    """Whether a Hessian of the objective is cheap enough."""
    features = objective.features
    n, c, d = features.n_samples, features.n_classes, features.n_features
    return c * d <= MOST_WEIGHTS and n * d <= MOST_VALUES and float(n) * c * d * d <= MOST_WORK


def solve_newton(
    objective: Objective,
    regs: Sequence[float],
    *,
    tol: float = 1e-3,
    max_passes: int = 1000,
    held_out: Tensor | None = None,
    start: Tensor | None = None,
) -> Path:
    """Minimise mean hinge + reg sum(W*W) for each strength until relative_gap <= tol, in float64.

    regs : k strengths > 0.   held_out : (k,) fold that each leaves out, -1 for none.   start : (c, d) weights.
    max_passes : limit of Newton steps for each strength.

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
    rows = objective.features.at(torch.float64).gather(slice(0, objective.features.n_samples)).clone()
    setup = time.perf_counter() - began
    points = []
    for number, reg in enumerate(torch.as_tensor(regs, dtype=torch.float64).tolist()):
        held = None if held_out is None else held_out[number : number + 1].to(rows.device)
        points.append(_Newton(objective, rows, reg, held, tol, max_passes).solve(start))
    return Path(tuple(points), sum(point.passes for point in points), setup, time.perf_counter() - began)


@dataclass
class _Newton:
    """One candidate."""

    objective: Objective
    rows: Tensor  # (n, d) float64
    reg: float
    held_out: Tensor | None
    tol: float
    max_steps: int
    steps: int = 0

    def __post_init__(self) -> None:
        weights = self.objective.row_weights
        share = torch.ones(len(self.rows), dtype=torch.float64, device=self.rows.device)
        share = share if weights is None else weights.to(share)
        if self.held_out is not None and self.objective.folds is not None:
            share = share * (self.objective.folds != self.held_out)
        self.share = share / share.sum()  # (n,), what each row's loss counts for in the mean
        self.true = self.objective.features.labels.unsqueeze(0)  # (1, n)

    def solve(self, start: Tensor | None) -> PathPoint:
        c, d = self.objective.features.n_classes, self.rows.shape[1]
        coef = self.rows.new_zeros(c, d) if start is None else start.to(self.rows)
        width = FIRST_WIDTH
        while True:
            coef, moved = self._settle(coef, width)
            there = self._certify(coef, width)
            gap = float(there.relative_gap[0])
            spent = self.steps >= self.max_steps
            if gap <= self.tol or spent or (width <= SMALLEST_WIDTH and not moved):
                status = Status.BUDGET_SPENT if spent else Status.STALLED
                status = Status.CONVERGED if gap <= self.tol else status
                return PathPoint(self.reg, coef, float(there.objective[0]), float(there.gap[0]), self.steps, status)
            shrink = (AIM * self.tol / gap) ** 0.5 if gap > 0 else 0.0
            width = max(SMALLEST_WIDTH, width * min(max(shrink, NARROWER[0]), NARROWER[1]))

    def _certify(self, coef: Tensor, width: float) -> Evaluation:
        regs, widths = (torch.tensor([v], dtype=torch.float64, device=coef.device) for v in (self.reg, width))
        return self.objective.evaluate(coef.unsqueeze(0), regs, Hinge(widths), self.held_out)

    def _settle(self, coef: Tensor, width: float) -> tuple[Tensor, bool]:
        """Minimise at one width; whether any step was taken."""
        moved = False
        for _ in range(min(STEPS_EACH, self.max_steps - self.steps)):
            self.steps += 1
            margins = self._margins(coef @ self.rows.mT) + 1
            margins.scatter_(0, self.true, 0.0)
            slopes, inside = self._slopes(margins, width)
            gradient = slopes @ self.rows + 2 * self.reg * coef
            direction = self._direction(gradient, inside)
            decrement = -float((gradient * direction).sum())
            value = float((margins.clamp(min=0).sum(0) * self.share).sum() + self.reg * coef.square().sum())
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
        """-H^-1 gradient, (c, d); H by blocks of two classes, from the rows that have a part in them."""
        c, d = gradient.shape
        own = torch.zeros_like(inside).scatter_(0, self.true, 1.0)  # (c, n), [j = y_i]
        hessian = gradient.new_zeros(c, d, c, d)
        for a in range(c):
            for b in range(a + 1):
                mixed = own[a] * inside[b] + own[b] * inside[a]
                weight = inside[a] + own[a] * inside.sum(0) if a == b else -mixed
                taking = weight.nonzero().squeeze(1)
                if len(taking):
                    rows = self.rows[taking]
                    block = (rows * weight[taking].unsqueeze(1)).mT @ rows
                    hessian[a, :, b], hessian[b, :, a] = block, block
        flat = hessian.view(c * d, c * d)
        flat.diagonal().add_(2 * self.reg)
        factor, failed = torch.linalg.cholesky_ex(flat)
        if int(failed):  # conditioned beyond float64: a ridge of its rounding makes it definite
            flat.diagonal().add_(1e-13 * float(flat.diagonal().max()))
            factor = torch.linalg.cholesky_ex(flat).L
        return -torch.cholesky_solve(gradient.reshape(-1, 1), factor).view(c, d)

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

        low, high, step = 0.0, float("inf"), 1.0
        tiny = 1e-14 * abs(slope(0.0)[0])
        for _ in range(BRACKETINGS):
            here, bend = slope(step)
            if abs(here) <= tiny:
                return step
            low, high = (step, high) if here < 0 else (low, step)
            halfway = 2 * step if high == float("inf") else (low + high) / 2
            newton = step - here / bend
            step = newton if low < newton < high else halfway
            if high - low <= 1e-15 * high:
                return step
        return step
