"""A primal-dual interior point method for the hinge: about fifteen systems from nothing to a small gap.

The hinge is, with a slack xi for the loss of each margin m and u = xi - m for its rest,

    minimise  sum_ij s_i xi_ij + reg |W|^2,   optimal where
    2 reg W + U(a) = 0,   a u = 0,   (1 - a) xi = 0,   0 <= a <= 1,   u, xi >= 0,

with U(a) the gradient of the data's part at slopes a. Newton's method on these equations with mu for the zeros, and mu
towards 0, does not have to find out one by one which margins lie at the kink, as it does on the smoothed hinge. Its
slopes are a dual point, and certify weights two to four steps before smoothed slopes of these weights do.
Sources: Mehrotra 1992 (predictor and corrector); Wright, Primal-Dual Interior-Point Methods, 1997, chapter 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from colinear.curvature import Rows
from colinear.solvers.slopes import against_true, hinge_dual
from colinear.solvers.systems import conjugate_gradients, factor

FIRST_MU = 3.0  # of 1 to 100; 10 takes an eighth more steps on 24 small problems. Margins start at 1
LEAST_MU = 1e-40  # its part of a gap that float64 can tell is gone, and the next one might be divided by 0
NEARLY = 0.99  # share of the way to the boundary, and all but mu of it when mu is smaller
WIDE_SYSTEM = 200  # weights above which a factor in float32 saves more than its conjugate gradients cost
EXACT = 0.1  # share of a right-hand side that these leave
MOST_PRODUCTS = 8
MOST_STEPS = 50  # more is the end of float64


@dataclass(frozen=True, eq=False)
class _Point:
    """Weights (c, d), slopes a, and slacks u and xi, (c, n); or a change of them all."""

    coef: Tensor
    a: Tensor
    u: Tensor
    xi: Tensor

    def moved(self, length: float, step: _Point) -> _Point:
        pairs = ((self.coef, step.coef), (self.a, step.a), (self.u, step.u), (self.xi, step.xi))
        return _Point(*(torch.add(mine, change, alpha=length) for mine, change in pairs))

    def room(self, step: _Point) -> float:
        """The length of a step that ends at the bounds, 0 < a < 1 and u, xi > 0; infinite if there is none."""
        slopes = (step.a / (1 - self.a)).maximum(-step.a / self.a)
        fastest = float(slopes.maximum((-step.u / self.u).maximum(-step.xi / self.xi)).max())
        return 1 / fastest if fastest > 0 else math.inf if fastest <= 0 else math.nan


@dataclass(frozen=True, eq=False)
class Interior:
    """The method on rows (n, d) float64, sorted by class, with what each counts for: `Interior.of`."""

    rows: Tensor
    counted: Rows
    n_classes: int
    order: Tensor  # (n,) int64: where they stand among all

    @classmethod
    def of(cls, rows: Tensor, counted: Rows, n_classes: int) -> Interior:
        """Rows that count for nothing are left out."""
        order = counted.true[0].argsort(stable=True)
        order = order[counted.share[order] > 0]
        return cls(rows[order], Rows(counted.true[:, order], counted.share[order]), n_classes, order)

    @cached_property
    def others(self) -> Tensor:
        """(c, n): 1 for the classes that are not the true one."""
        ones = self.rows.new_ones(self.n_classes, len(self.rows))
        return ones.scatter_(0, self.counted.true, 0.0)

    @cached_property
    def parts(self) -> list[slice]:
        """The rows of each class."""
        ends = self.counted.true[0].bincount(minlength=self.n_classes).cumsum(0).tolist()
        return [slice(start, stop) for start, stop in zip([0, *ends], ends, strict=False)]

    def solve(self, reg: float, tol: float) -> tuple[Tensor, Tensor, int, bool]:
        """Weights (c, d), the slopes (c, m) that certify them, steps taken, and whether the gap is down to `tol`.

        Slopes are those of these rows, in `order`. Where the gap is not down, rounding ended the method, and the
        weights are the best so far.
        Cost   2 n c d^2 + (c d)^3 / 3 flops a step.
        """
        here, rows = self._start(), self.rows
        found, least, steps = here, math.inf, 0
        if here.coef.numel() > WIDE_SYSTEM:
            rows = rows.float()
        while True:
            change = self._change(here.coef)  # of the margins, which are all that a loss sees of scores
            gap = self._gap(here, change, reg)
            if gap < least:
                found, least = here, gap
            if gap <= tol or steps == MOST_STEPS:
                break
            length, step, rows = self._direction(here, change, reg, rows)
            if not (length > 0 and gap < math.inf):
                break
            here, steps = here.moved(length, step), steps + 1
        return found.coef, self.others * found.a, steps, least <= tol

    def _start(self) -> _Point:
        """Weights of 0, where every margin is 1, and slopes and slacks whose products are all FIRST_MU."""
        coef, root = self.rows.new_zeros(self.n_classes, self.rows.shape[1]), 2 * FIRST_MU - 1
        slope = 2 * FIRST_MU / (root + (root**2 + 4 * FIRST_MU) ** 0.5)
        a = torch.where(self.others > 0, slope, 0.5)  # of the true class anything inside the bounds, and it stays
        return _Point(coef, a, FIRST_MU / a, FIRST_MU / (1 - a))

    def _gap(self, here: _Point, change: Tensor, reg: float) -> float:
        """The relative gap of the weights and the slopes at hand."""
        losses = (change + 1).clamp_(min=0).mul_(self.others).sum(0)
        value = float(losses @ self.counted.share) + reg * float(here.coef.square().sum())
        return 1 - hinge_dual(self.others * here.a, self.counted, self.rows, reg) / value

    def _direction(self, here: _Point, change: Tensor, reg: float, rows: Tensor) -> tuple[float, _Point, Tensor]:
        """How far to go, in which direction, and the rows to make factors of from now on.

        The predictor goes for mu = 0; from how far it gets follow the mu that the corrector goes for and what products
        of changes have to be made up for.
        """
        a, b, u, xi, share = here.a, 1 - here.a, here.u, here.xi, self.counted.share
        weights = self.others / (xi / b + u / a)
        lower, scale = self._factor(weights * share, reg, rows)
        rest = (1 + change - xi + u) * self.others
        force = -(2 * reg * here.coef + self._moment(self.others * a * share))
        mu = self._mean(a * u + b * xi)
        if not mu > LEAST_MU:
            return 0.0, here, rows

        def toward(aim: float, ahead: _Point | None) -> _Point:
            nonlocal rows, lower, scale
            first, second = aim - a * u, aim - b * xi
            if ahead is not None:
                first, second = first - ahead.a * ahead.u, second + ahead.a * ahead.xi
            first, second = first * self.others, second * self.others
            known = (first / a - second / b + rest) * weights
            right = force - self._moment(known * share)
            # the predictor only sets the aim, and may be rough
            refined = None if ahead is None else self._refine(lower, scale, right, weights * share, reg)
            if ahead is not None and refined is None:
                rows = self.rows
                lower, scale = self._factor(weights * share, reg, rows)
            step = _apart(lower, scale, right) if refined is None else refined
            slopes = weights * self._change(step) + known
            return _Point(step, slopes, (first - u * slopes) / a, (second + xi * slopes) / b)

        ahead = toward(0.0, None)
        there = here.moved(min(1.0, here.room(ahead)), ahead)
        later = self._mean(there.a * there.u + (1 - there.a) * there.xi)
        step = toward((later / mu) ** 4 * mu, ahead)
        return min(1.0, max(NEARLY, 1 - mu) * here.room(step)), step, rows

    def _mean(self, products: Tensor) -> float:
        return float((products * self.others * self.counted.share).sum()) / (2 * self.n_classes - 2)

    def _refine(self, lower: Tensor, scale: Tensor, right: Tensor, weights: Tensor, reg: float) -> Tensor | None:
        """The step (c, d) of a right-hand side; a factor in float32 is the preconditioner of conjugate gradients."""
        if lower.dtype == right.dtype:
            return _apart(lower, scale, right)
        return conjugate_gradients(
            lambda step: torch.add(self._moment(weights * self._change(step)), step, alpha=2 * reg),
            lambda rest: _apart(lower, scale, rest), right,
            EXACT * float(torch.linalg.vector_norm(right)), MOST_PRODUCTS,
        )  # fmt: skip

    def _change(self, coef: Tensor) -> Tensor:
        scores = coef @ self.rows.mT
        return scores - scores.gather(0, self.counted.true)

    def _moment(self, slopes: Tensor) -> Tensor:
        """The gradient (c, d) of slopes (c, n), share included, 0 for the true class."""
        return against_true(slopes, self.counted) @ self.rows

    def _factor(self, weights: Tensor, reg: float, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Cholesky factor of the system divided by its diagonal, and the roots of its inverse, ((c - 1) d, 1).

        A margin of class j in a row of class k adds w (e_j - e_k)(e_j - e_k)^T (x) x x^T. What all classes have in
        common is 0 at the optimum and changes no margin. So the last class stands still in V, and W is V without what
        is common, whose penalty is |W|^2 = |V|^2 - |sum of V over classes|^2 / c.
        """
        (c, _), d, true = weights.shape, rows.shape[1], self.counted.true
        weights = weights.to(rows.dtype)
        # in place of the true class, which has no margin, the sum over all; the last class gets no block
        sums = weights.scatter(0, true, weights.sum(0, keepdim=True))[:-1].mT.contiguous()  # (n, c - 1)
        flat = rows.new_zeros((c - 1) * d, (c - 1) * d)
        hessian = flat.view(c - 1, d, c - 1, d).transpose(1, 2)  # (c - 1, c - 1, d, d)
        own = hessian.diagonal().permute(2, 0, 1)  # (c - 1, d, d)
        for k, part in enumerate(self.parts):
            mine = rows[part]
            both = (sums[part].unsqueeze(2) * mine.unsqueeze(1)).view(-1, (c - 1) * d)
            blocks = (both.mT @ mine).view(c - 1, d, d)
            own += blocks
            if k < c - 1:  # the lower triangle, which is all that a factor is made of
                hessian[k, :k] -= blocks[:k]
                hessian[k + 1 :, k] -= blocks[k + 1 :]
        penalty = hessian.diagonal(dim1=2, dim2=3)  # (c - 1, c - 1, d)
        penalty += 2 * reg * (torch.eye(c - 1).to(penalty) - 1 / c).unsqueeze(2)
        scale = flat.diagonal().rsqrt().unsqueeze(1)
        flat.mul_(scale).mul_(scale.mT)
        return factor(flat), scale


def _apart(lower: Tensor, scale: Tensor, right: Tensor) -> Tensor:
    """The step (c, d) by the factor alone, without what all classes have in common."""
    free = scale * torch.cholesky_solve(scale * right[:-1].reshape(-1, 1).to(scale), lower)
    step = torch.cat((free.view_as(right[:-1]), free.new_zeros(1, right.shape[1]))).to(right)
    return step - step.mean(0)
