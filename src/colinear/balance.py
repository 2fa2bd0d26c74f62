"""The dual of an objective whose constant column has no penalty: its points have to balance, class by class.

    minimise  mean_i loss(W x_i + b, y_i) + reg sum(W * W)
    maximise  mean_i dual_i(a_i) - |mean_i a_i x_i^T|^2 / (4 reg)   over slopes a with  mean_i a_ij = 0 for each class j

The slopes a at some weights have a mean u that is 0 only where the bias is optimal. With the anchor

    q_ij = q_j - [row i has class j]      (0 where nobody knows),   0 <= q <= 1,  sum_j q_j = 1 unless class by class

which is feasible for every loss of this house, (1 - t) a + t (anchor) balances where its mean is -(1 - t) / t u, that
is q_j = (has_j - u_j / r) / (has_j + hasnt_j) with r = t / (1 - t); the least r that keeps q in its bounds is
max_j u_j / has_j (class by class also max_j -u_j / hasnt_j). Dual values are concave, so those of the mixture are at
least the mixture of both, and no pass over the rows is needed: the anchor's moment is known from sums of each class.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.lossbase import Loss


@dataclass(frozen=True, eq=False)
class ClassSums:
    """What rows that have a class, or have it not, count for and add up to, in the mean over all rows.

    has, hasnt : (k, c) float64, shares of the weight, of sum 1 where everything is known; k is 1 if all candidates
    learn from the same rows.
    with_class, known : (k, c, d) float64, mean of [row i has class j] x_i and of [it is known] x_i; `known` may be
    (k, 1, d), the same for all classes.      bias : the value of the constant column, the last of d.
    """

    has: Tensor
    hasnt: Tensor
    with_class: Tensor
    known: Tensor
    bias: float

    def balance(self, loss: Loss, slopes: Tensor) -> Balance:
        """The anchor for slopes whose means are (k, c) float64.

        Cost   O(k c d).
        """
        u = slopes
        if not loss.by_class:
            u = u - u.mean(1, keepdim=True)  # rounding, which would leave no anchor at all
        excess = torch.where(u > 0, u / self.has, 0.0).amax(1)
        if loss.by_class:
            excess = excess.maximum(torch.where(u < 0, -u / self.hasnt, 0.0).amax(1))
        ratio = excess.clamp(min=torch.finfo(torch.float64).tiny).unsqueeze(1)
        total = self.has + self.hasnt
        q = torch.where(total > 0, (self.has - u / ratio) / total, 0.0).clamp(0, 1)
        share = torch.where(excess < torch.inf, excess / (1 + excess), 1.0)
        moment = q.unsqueeze(2) * self.known - self.with_class
        plain = loss.smooth(torch.zeros_like(share))
        smoothed, original = (one.anchor_dual(q, self.has, self.hasnt) for one in (loss, plain))
        return Balance(share, moment, smoothed, original)


@dataclass(frozen=True, eq=False)
class Balance:
    """What is mixed into slopes to balance them: `share` (k,) of an anchor.

    moment : (k, c, d) float64, its mean of slope times row.   smoothed, original : (k,) float64, its mean dual values,
    of the loss as smoothed and without smoothing.
    """

    share: Tensor
    moment: Tensor
    smoothed: Tensor
    original: Tensor

    def dual_value(self, dual: Tensor, moment: Tensor, regs: Tensor) -> Tensor:
        """A lower bound (k,) float64 on the optimum, from mean dual value (k,) and moment (k, c, d) of slopes."""
        mixed = _lerp(moment, self.moment, self.share)[..., :-1]
        return torch.lerp(dual, self.original, self.share) - _squares(mixed) / (4 * regs)

    def gap(self, value: Tensor, gradient: Tensor, coef: Tensor, regs: Tensor) -> Tensor:
        """Mean loss as smoothed plus penalty, minus the bound from its own slopes, (k,) float64; without cancellation.

        value : (k,) float64, the mean loss alone.     gradient : (k, c, d), of the objective, penalty included.

        t (value - dual(anchor) - <anchor's moment, W>) + |(1 - t) gradient + t (moment + 2 reg W)|^2 / (4 reg): the
        bracket is what the inequality of Fenchel and Young lacks at the anchor.
        """
        steep = _lerp(gradient, self.moment + 2 * regs.view(-1, 1, 1) * coef, self.share)[..., :-1]
        return self.lost(value, coef) + _squares(steep) / (4 * regs)

    def lost(self, value: Tensor, coef: Tensor) -> Tensor:
        """The part of the gap that is there because the slopes did not balance, (k,) float64."""
        along: Tensor = torch.linalg.vecdot(self.moment.flatten(1), coef.double().flatten(1))
        return self.share * (value - self.smoothed - along).clamp(min=0)


def _lerp(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(one, other.to(one.dtype), share.to(one.dtype).view(-1, 1, 1))


def _squares(coef: Tensor) -> Tensor:
    return coef.flatten(1).square().sum(1, dtype=torch.float64)
