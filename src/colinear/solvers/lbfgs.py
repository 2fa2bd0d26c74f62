"""L-BFGS for K candidates at once: one history, one step length and one line search each, one pass for all.

Every pass evaluates one trial point per candidate. A candidate whose trial is accepted turns to a new
direction; one whose trial is refused shortens its step; neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from colinear.objective import Evaluation
from colinear.solvers.tuning import USUAL

Precondition = Callable[[Tensor], Tensor]
ARMIJO = 1e-4  # share of the predicted decrease that a step must bring
SHORTEST_STEP = 1e-6
TRUST = (0.1, 10.0)  # bounds of how far one pair may rescale the preconditioner


@dataclass
class History:
    """The last pairs (s, y) of each candidate. A pair with rho = 0 counts for nothing."""

    memory: int = USUAL.memory
    pairs: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)  # (k, c, d), (k, c, d), (k,)

    def push(self, step: Tensor, change: Tensor, valid: Tensor) -> None:
        """Add a pair of step and gradient change for the candidates where `valid`, if s^T y is safely positive."""
        product = dot(step, change)
        floor = torch.finfo(step.dtype).eps * (dot(step, step) * dot(change, change)).sqrt()
        good = valid & (product > floor)
        rho = torch.where(good, 1 / product, torch.zeros_like(product))
        if bool(good.any()):
            self.pairs.append((step, change, rho))
        del self.pairs[: -self.memory]

    def forget(self, members: Tensor) -> None:
        """Drop all pairs of the candidates where the mask `members` is true."""
        for _, _, rho in self.pairs:
            rho[members] = 0

    def keep(self, members: Tensor) -> None:
        """Compact to the candidates `members` (int64)."""
        self.pairs = [(s[members], y[members], rho[members]) for s, y, rho in self.pairs]

    def direction(self, gradient: Tensor, precondition: Precondition) -> Tensor:
        """-H g by the two-loop recursion, with `precondition` as initial inverse Hessian (Nocedal & Wright 7.4)."""
        q, alphas = gradient.clone(), []
        for s, y, rho in reversed(self.pairs):
            alpha = rho * dot(s, q)
            q -= _column(alpha, q) * y
            alphas.append(alpha)
        r = precondition(q)
        if self.pairs:
            r *= _column(self._trust(precondition), r)
        for (s, y, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            r += _column(alpha - rho * dot(y, r), r) * s
        return -r

    def _trust(self, precondition: Precondition) -> Tensor:
        """s^T y / y^T P y of the last pair, (k,): how long the preconditioner's steps should have been.

        Nocedal & Wright 7.20, seen through the preconditioner P; it halves the passes where the curvature of the
        loss changes quickly (nearly separable data).
        """
        _, y, rho = self.pairs[-1]
        ratio = torch.where(rho > 0, 1 / (rho * dot(y, precondition(y))), torch.ones_like(rho))
        return ratio.nan_to_num(1.0).clamp(*TRUST)


@dataclass
class LineSearch:
    """Where each candidate is, where it is heading and how far it tries to go.

    coef, direction (k, c, d);   here : evaluation at coef;   slope, step (k,) float64;
    turned : (k,) bool, those that need a new direction.
    """

    coef: Tensor
    here: Evaluation
    direction: Tensor
    slope: Tensor
    step: Tensor
    turned: Tensor

    @classmethod
    def at(cls, coef: Tensor) -> LineSearch:
        """At `coef`, not yet evaluated, heading nowhere."""
        zeros = coef.new_zeros(len(coef), dtype=torch.float64)
        nothing = Evaluation(*(zeros,) * 4, zeros, zeros)
        return cls(coef, nothing, torch.zeros_like(coef), zeros, zeros + 1, zeros == 0)

    def keep(self, members: Tensor) -> None:
        """Compact to the candidates `members` (int64)."""
        self.coef, self.direction, self.here = self.coef[members], self.direction[members], self.here.keep(members)
        self.slope, self.step, self.turned = self.slope[members], self.step[members], self.turned[members]

    def trial(self) -> Tensor:
        """The points to evaluate next, coef + step * direction, (k, c, d)."""
        return self.coef + _column(self.step, self.direction) * self.direction

    def noise(self) -> Tensor:
        """Differences of the value below this are rounding, (k,) float64."""
        return 4 * torch.finfo(self.coef.dtype).eps * self.here.value.abs()

    def accepts(self, there: Evaluation) -> Tensor:
        """Armijo's test (k,) bool; within rounding of the value, Hager & Zhang's slope test stands in for it."""
        enough = there.value <= self.here.value + ARMIJO * self.step * self.slope
        slope = dot(there.gradient, self.direction)
        flat = (there.value <= self.here.value + self.noise()) & (slope <= (2 * ARMIJO - 1) * self.slope)
        return (enough | flat) & torch.isfinite(there.value)

    def advance(self, trial: Tensor, there: Evaluation, accepted: Tensor) -> None:
        """Move the accepted to their trial points (k, c, d)."""
        self.coef = torch.where(accepted.view(-1, 1, 1), trial, self.coef)
        self.here = self.here.merge(there, accepted)
        self.turned = accepted

    def shorten(self, there: Evaluation, refused: Tensor) -> None:
        """Steps of the refused: the minimum of the parabola through value, slope and trial, in [0.1, 0.5] of old."""
        excess = there.value - self.here.value - self.step * self.slope
        factor = (-self.slope * self.step / (2 * excess)).nan_to_num(0.1, 0.1, 0.1).clamp(0.1, 0.5)
        self.step = torch.where(refused, self.step * factor, self.step)

    def turn(self, direction: Tensor, slope: Tensor, turning: Tensor) -> None:
        """Head in a new direction with a full step, where `turning`."""
        self.direction = torch.where(turning.view(-1, 1, 1), direction, self.direction)
        self.slope = torch.where(turning, slope, self.slope)
        self.step = torch.where(turning, torch.ones_like(self.step), self.step)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products per candidate, (k,) float64."""
    product: Tensor = torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    return product.double()


def _column(values: Tensor, like: Tensor) -> Tensor:
    """(k,) as (k, 1, 1) in the precision of `like`."""
    return values.to(like.dtype).view(-1, 1, 1)
