"""One strength of Newton's method, from a start to its certificate.

A smooth loss takes Newton's own step where that falls enough, and a search along it elsewhere; its systems are
factorized, or solved by conjugate gradients where these are cheaper. Where the search ends early, since rows that have
no curvature here have some on the way, stronger penalties lead there. The hinge is minimised at one width of smoothing
after another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from colinear.curvature import AllPairs, ClassBends, Curved, Pair
from colinear.losses import Loss
from colinear.objective import Evaluation
from colinear.solvers.interior import MOST_STEPS, Interior
from colinear.solvers.roots import FLAT, rising_root
from colinear.solvers.slopes import count_rows, hinge_dual
from colinear.solvers.solution import PathPoint, Status
from colinear.solvers.systems import conjugate_gradients, factor, gram

if TYPE_CHECKING:
    from colinear.solvers.newton import Newton

SMALLEST_WIDTH = 1e-12
NARROWER = (0.01, 0.3)  # bounds of how much the width shrinks at a time
AIM = 0.4  # share of the tolerance aimed at, as on the path
SMOOTH_AIM = 0.95  # where there is no width, whose certificate is another sum of the same numbers
SETTLED = 1e-20  # Newton decrement over the value at which a width is solved: weights to about 1e-10
ARMIJO = 0.1  # share of the decrement by which a smooth loss must fall for Newton's own step, which costs no search
SLACK = 1e-2  # share of a line's first slope left: a closer look costs more than it saves in the next step
STEPS_EACH = 50  # a width that takes more is at the end of float64: the next one may still help
FORCING = 0.1  # share of the gradient that conjugate gradients leave; 0.03 takes a fifth more products, 0.3 more steps
USUAL_PRODUCTS = 4  # conjugate gradients of a step, where the preconditioner is good
SHORT = 0.1  # of Newton's step: a smooth loss that goes no further along it makes a detour
DETOUR = 10.0  # by so many times stronger penalties: 54 steps for blobs that 50 do not bring anywhere; by 3, 95 steps
IDLE_STEPS = 3  # steps that leave the value and do not halve the gradient: a smooth loss at the end of float64
EPS = torch.finfo(torch.float64).eps


@dataclass
class Candidate:
    """One strength."""

    newton: Newton
    reg: float
    held_out: Tensor | None
    tol: float
    max_passes: int
    passes: int = 0
    _held: tuple[float, float, Tensor] | None = None  # the penalty of a strength and a steepest curvature

    def __post_init__(self) -> None:
        self.at = self.reg  # the strength at which steps are taken
        objective, self.basis = self.newton.objective, self.newton.basis
        self.rows = self.newton.rows if self.basis is None else self.basis.rows
        self.counts = count_rows(objective, self.held_out)
        self.moments = self.counts.share @ self.rows.square()  # (d,)
        held = None if self.held_out is None or objective.folds is None else self.held_out.view(1)
        self.sums = objective.class_sums(held) if objective.features.free else None
        self.by_products = self.newton.factor_cost > USUAL_PRODUCTS * self.newton.product_cost

    def solve(self, coef: Tensor, width: float, *, first: bool = False) -> PathPoint:
        """The point of weights (c, d) that nobody has moved, if `first`: they may be certified, or far from it."""
        kinked, best = self.newton.loss.kinked, None
        settled = first and bool(coef.any())
        if first and kinked and self.suits_interior:
            best = self._begin(len(coef), width)
            if best.status in (Status.CONVERGED, Status.BUDGET_SPENT):
                return best
        while True:
            moved, scores = settled, None
            if not settled:
                coef, moved, scores = self._settle(coef, self.curved(width))
            looked, settled = settled, False
            point = self._point(coef, width, scores=scores)
            gap, best = point.relative_gap, point.better(best)
            if gap <= self.tol or self.spent or (not kinked and not looked) or (width <= SMALLEST_WIDTH and not moved):
                return replace(best, passes=self.passes, status=point.status)
            if not kinked:
                continue
            shrink = (AIM * self.tol / gap) ** 0.5 if gap > 0 else 0.0
            width = max(SMALLEST_WIDTH, width * min(max(shrink, NARROWER[0]), NARROWER[1]))

    def _begin(self, n_classes: int, width: float) -> PathPoint:
        """The point of the interior point method, certified by its own slopes: the best there is, or no start at all.

        Where rounding ended it, what it found is not what Newton's method gets further from, on 53 drawn problems.
        """
        interior = Interior.of(self.rows, self.counts, n_classes)
        coef, known, self.passes, _ = interior.solve(self.reg, self.tol)
        slopes = self.rows.new_zeros(n_classes, len(self.rows))
        slopes[:, interior.order] = known
        return self._point(coef, width, slopes=slopes)

    def _point(
        self, coef: Tensor, width: float, *, scores: Tensor | None = None, slopes: Tensor | None = None
    ) -> PathPoint:
        """Weights with their certificate; arguments as of `_certify`."""
        there = self._certify(coef, width, scores, slopes)
        value, gap, relative = (float(part[0]) for part in (there.objective, there.gap, there.relative_gap))
        status = Status.at_end(value, relative, self.tol, spent=self.spent)
        return PathPoint(self.reg, coef, value, gap, self.passes, status, width, slopes)

    @property
    def spent(self) -> bool:
        """Whether no pass is left: a step needs one for its certificate."""
        return self.passes >= self.max_passes - 1

    @property
    def suits_interior(self) -> bool:
        """Whether the interior point method may begin: its factors are not as exact as Newton's coordinates."""
        features = self.newton.objective.features
        return (
            self.newton.loss.has_interior
            and features.n_classes > 1
            and not features.free
            and self.basis is None
            and self.max_passes > MOST_STEPS
        )

    def smooth(self, width: float) -> Loss:
        return self.newton.loss.smooth(torch.tensor([width], dtype=torch.float64, device=self.rows.device))

    def curved(self, width: float) -> Curved:
        return self.smooth(width).curved(self.counts)

    def _certify(self, coef: Tensor, width: float, scores: Tensor | None, slopes: Tensor | None) -> Evaluation:
        """The certificate of weights.

        scores : (c, n), as exact as the coordinates are: whatever the rounding of the weights, any dual point does.
        slopes : (c, n) of margins, in place of those of the smoothed hinge.
        """
        self.passes += 1
        reg = torch.tensor([self.reg], dtype=torch.float64, device=coef.device)
        there = self.newton.objective.evaluate(coef.unsqueeze(0), reg, self.smooth(width), self.held_out)
        if slopes is not None:
            dual = hinge_dual(slopes, self.counts, self.newton.rows, self.reg)
        elif scores is not None:
            loss = self.curved(width)
            moment, dual = loss.value_and_slopes(scores)[1] @ self.newton.rows, loss.dual(scores)
            if self.sums is None:
                dual -= float(moment.square().sum()) / (4 * self.reg)
            else:
                balance = self.sums.balance(self.smooth(width), moment[:, -1].unsqueeze(0) / self.sums.bias)
                dual = float(balance.dual_value(reg.new_tensor([dual]), moment.unsqueeze(0), reg))
        else:
            return there
        gap = (there.objective - dual).clamp(min=0)  # below 0 is rounding
        return replace(there, gap=torch.minimum(there.gap, gap))

    def _settle(self, coef: Tensor, loss: Curved) -> tuple[Tensor, bool, Tensor | None]:
        """Minimise at one width; whether any step was taken, and the scores of the coordinates, where there are any."""
        if self.basis is None:
            return *self._minimise(coef, loss), None
        at, moved = self._minimise(self.basis.coordinates(coef), loss)
        return self.basis.weights(at) if moved else coef, moved, at @ self.rows.mT

    def _minimise(self, coef: Tensor, loss: Curved) -> tuple[Tensor, bool]:
        """Take Newton steps from coordinates (c, d), which are the weights where there is no basis.

        By way of stronger penalties where a smooth loss's steps are short, and back from the first where they are not.
        """
        coef, moved, short = self._descend(coef, loss)
        while short:
            self.at *= DETOUR
            coef, _, short = self._descend(coef, loss)
        while self.at > self.reg:
            self.at = max(self.at / DETOUR, self.reg)
            coef, _, _ = self._descend(coef, loss, back=True)
        return coef, moved

    def _descend(self, coef: Tensor, loss: Curved, *, back: bool = False) -> tuple[Tensor, bool, bool]:
        """Take steps at the strength `at`; whether there was any, and whether a short one ended them, unless `back`."""
        moved, short, idle, least = False, False, 0, math.inf
        there: _Look | None = None
        for _ in range(min(STEPS_EACH, self.max_passes - 1 - self.passes)):
            self.passes += 1
            here, there = there or self._look(coef, loss), None
            # the Hessian is at least 2 reg, which bounds the decrement before there is one
            enough = 2 * SETTLED if loss.exact else 4 * SMOOTH_AIM * self.tol
            if not here.squares > self.at * enough * here.value:
                break
            direction = self._direction(coef, here, loss)
            decrement = -float((here.gradient * direction).sum())
            flat = decrement <= EPS * here.value  # no value along the line shows a difference, but gradients do
            idle, least = (idle + 1 if flat and here.squares > 0.5 * least else 0), min(least, here.squares)
            if not decrement > (SETTLED * here.value if loss.exact else 0) or (idle >= IDLE_STEPS and not loss.exact):
                break
            step = 1.0
            if not loss.exact:
                there = self._look(coef + direction, loss)
            if there is None or not (flat or there.value <= here.value - ARMIJO * decrement):
                step, there = self._line_search(coef, direction, here.scores, loss), None
            if step == 0:
                break
            coef, moved = coef + step * direction, True
            short = step < SHORT and not (loss.exact or back)
            if short:
                break
        return coef, moved, short

    def _look(self, coef: Tensor, loss: Curved) -> _Look:
        scores = coef @ self.rows.mT  # (c, n)
        mean, slopes = loss.value_and_slopes(scores)
        weights = self._weights(coef)
        value = mean + self.at * float(self._penalized(weights).square().sum())
        penalty = self._slope_of_penalty(weights)
        gradient = self._level(slopes @ self.rows) + self._gradient(penalty)
        full = gradient if self.basis is None else self._level(slopes @ self.newton.rows) + penalty
        squares = float(full.square().sum())
        if self.sums is not None and not loss.exact:
            reg = self.rows.new_tensor([self.at])
            balance = self.sums.balance(self.newton.loss, full[:, -1].unsqueeze(0) / self.sums.bias)
            gap = balance.gap(self.rows.new_tensor([mean]), full.unsqueeze(0), weights.unsqueeze(0), reg)
            squares = 4 * self.at * float(gap)
        return _Look(scores, value, gradient, squares)

    def _penalized(self, weights: Tensor) -> Tensor:
        """The columns of weights (c, d) that have a penalty."""
        return self.newton.objective.features.penalized(weights)

    def _slope_of_penalty(self, weights: Tensor) -> Tensor:
        slope = 2 * self.at * weights
        if self.sums is not None:
            slope[:, -1] = 0
        return slope

    def _weights(self, coordinates: Tensor) -> Tensor:
        return coordinates if self.basis is None else self.basis.weights(coordinates)

    def _gradient(self, gradient: Tensor) -> Tensor:
        return gradient if self.basis is None else self.basis.gradient(gradient)

    def _direction(self, coef: Tensor, here: _Look, loss: Curved) -> Tensor:
        """-H^-1 gradient, (c, d): by conjugate gradients where they are cheaper, as long as they get there.

        What all classes have in common, a shift-invariant loss does not see: its Hessian is the penalty's there, which
        may be nothing beside the loss's. So it is stepped to 0 by itself, and its directions get the curvature of the
        others, which changes no other step.
        A penalty below the rounding of the loss's curvature counts as that: where no margin lies inside the width, a
        step by the penalty alone would be as many times too long as it is smaller, and in the wrong metric.
        """
        pairs = loss.pairs(here.scores)
        step: Tensor | None = None
        if isinstance(pairs, AllPairs | ClassBends) and self.basis is None and self.by_products:
            step = self._conjugate(here, pairs)
            self.by_products = step is not None
        if step is None:
            step = self._solve(here.gradient, pairs, loss)
        return self._level(coef - step) - coef

    def _level(self, gradient: Tensor) -> Tensor:
        """A gradient of the loss (c, d) without what all classes have in common, if that is rounding."""
        return _without_common(gradient) if self.newton.loss.shift_invariant else gradient

    def _conjugate(self, here: _Look, pairs: AllPairs | ClassBends) -> Tensor | None:
        newton, regs = self.newton, torch.tensor([self.at], dtype=torch.float64, device=self.rows.device)
        inverse = newton.preconditioner.at(
            pairs.mean_diagonal().unsqueeze(0), regs, shift_invariant=newton.loss.shift_invariant
        )
        rows, pairs = newton.narrow, pairs.to(newton.narrow.dtype)
        gradient = self._level(here.gradient)
        # of the squared gradient; without a penalty on the bias its own part counts for more, by its size
        aimed = 4 * self.at * SMOOTH_AIM * self.tol * here.value if self.sums is None else 0.0

        def product(along: Tensor) -> Tensor:
            bent = pairs.times(along.to(rows.dtype) @ rows.mT) @ rows
            return bent + self._slope_of_penalty(along) if self.sums else torch.add(bent, along, alpha=2 * self.at)

        return conjugate_gradients(
            product, lambda rest: inverse(rest.unsqueeze(0))[0], gradient,
            max(FORCING * float(torch.linalg.vector_norm(gradient)), 0.5 * aimed**0.5),
            int(newton.factor_cost / newton.product_cost),
        )  # fmt: skip

    def _solve(self, gradient: Tensor, pairs: AllPairs | ClassBends | Iterable[Pair], loss: Curved) -> Tensor:
        """H^-1 gradient, (c, d), by factors."""
        if isinstance(pairs, ClassBends):  # a block for each class
            penalty = self._penalty(loss.steepest).squeeze(2)
            blocks = ((self.rows.mT * weights) @ self.rows + penalty for weights in pairs.weighted)
            return torch.cat([_solve_system(block, own) for block, own in zip(blocks, gradient, strict=True)], 1).mT
        c, d = gradient.shape
        if c == 2:  # one direction is all that is left of two classes
            flat, right = 2 * self._one_pair(pairs), (gradient[1] - gradient[0]) / 2**0.5
            flat += self._penalty(loss.steepest).squeeze(2)
        else:
            hessian, right = self._hessian(pairs, c), _without_common(gradient)
            diagonals = hessian.diagonal(dim1=1, dim2=3)  # (c, c, d), of each block
            diagonals += diagonals.diagonal().sum(1) / c**2
            hessian.diagonal(dim1=0, dim2=2).add_(self._penalty(loss.steepest))
            flat = hessian.view(c * d, c * d)
        step = _solve_system(flat, right)
        return torch.cat((-step, step), 1).mT / 2**0.5 if c == 2 else step.view(c, d)

    def _one_pair(self, pairs: AllPairs | Iterable[Pair]) -> Tensor:
        """Sum of w x x^T of the only pair of classes, (d, d)."""
        if isinstance(pairs, AllPairs):
            weights, rows = pairs.weighted[0] * pairs.probabilities[1], self.rows
            return (rows * weights.unsqueeze(1)).mT @ rows
        return self._hessian(pairs, 2)[0, :, 0]

    def _penalty(self, steepest: float) -> Tensor:
        """Second derivatives of the penalty in one class, (d, d, 1), at least what rounding leaves of the loss's."""
        if self._held is None or self._held[:2] != (self.at, steepest):
            d = self.rows.shape[1]
            penalty = 2 * self.at * (torch.eye(d).to(self.rows) if self.basis is None else self.basis.metric)
            if self.sums is not None and self.basis is None:
                penalty[-1, -1] = 0
            rounding = 4 * EPS * steepest * self.moments
            penalty.diagonal().add_((rounding - penalty.diagonal()).clamp_(min=0))
            self._held = self.at, steepest, penalty.unsqueeze(2)
        return self._held[2]

    def _hessian(self, pairs: AllPairs | Iterable[Pair], c: int) -> Tensor:
        """Second derivatives of the mean loss, (c, d, c, d).

        A pair of classes a and b adds w (e_a - e_b)(e_a - e_b)^T (x) x x^T. So it counts for four blocks alike, two of
        them negative, and each pair needs one product; all pairs are the product of one matrix with itself.
        """
        d = self.rows.shape[1]
        if isinstance(pairs, AllPairs):
            hessian = -gram(pairs.roots(), self.rows)
            blocks = hessian.diagonal(dim1=0, dim2=2)  # (d, d, c)
            blocks.zero_()  # then what a class has in common with the others: no cancellation
            blocks.sub_(hessian.sum(2).permute(1, 2, 0))
            return hessian
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
        weights, change = (self._penalized(self._weights(part)) for part in (coef, direction))
        first, second = float((weights * change).sum()), float(change.square().sum())

        def slope(step: float) -> tuple[float, float]:
            here, bend = data(step)
            return here + 2 * self.at * (first + step * second), bend + 2 * self.at * second

        return rising_root(slope, FLAT if loss.exact else SLACK)


@dataclass(frozen=True, eq=False)
class _Look:
    """What there is at one point: scores (c, n), objective, gradient (c, d) by the coordinates, and |gradient by W|^2,
    or of a smooth loss with an intercept without a penalty what stands for it: 4 reg times the gap.
    """

    scores: Tensor
    value: float
    gradient: Tensor
    squares: float


def _solve_system(matrix: Tensor, right: Tensor) -> Tensor:
    """The solution (m, 1) of a system (m, m), which is overwritten: it is divided by its diagonal first."""
    scale = matrix.diagonal().rsqrt().unsqueeze(1)
    matrix.mul_(scale).mul_(scale.mT)
    return scale * torch.cholesky_solve(scale * right.reshape(-1, 1), factor(matrix))


def _without_common(gradient: Tensor) -> Tensor:
    """A gradient of the loss (c, d) without what all classes have in common, which is rounding."""
    return torch.sub(gradient, gradient.sum(0), alpha=1 / len(gradient))
