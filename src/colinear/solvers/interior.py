"""A primal-dual interior point method for the hinge: about twenty systems from nothing to a small gap.

The hinge smoothed over `width` is, with a slack xi for the loss of each margin m and u = xi - m + width a for its rest,

    minimise  sum_ij s_i (xi_ij + width a_ij^2 / 2) + reg |W|^2,   optimal where
    2 reg W + U(a) = 0,   a u = 0,   (1 - a) xi = 0,   0 <= a <= 1,   u, xi >= 0,

with U(a) the gradient of the data's part at slopes a. Newton's method on these equations with mu for the zeros, and mu
towards 0, does not have to find out one by one which margins lie inside the width, as it does on the smoothed hinge.
Sources: Mehrotra 1992 (predictor and corrector); Wright, Primal-Dual Interior-Point Methods, 1997, chapter 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from colinear.curvature import CurvedHinge, Rows
from colinear.solvers.systems import conjugate_gradients, factor

FIRST_MU = 3.0  # of 1 to 100; 10 takes an eighth more steps on 24 small problems. Margins start at 1
NEARLY = 0.99  # share of the way to the boundary, and all but mu of it when mu is smaller
WIDE = 0.03  # relative gap down to which the width follows the objective
AIM = 0.4  # share of the tolerance that the width may cost
WIDE_SYSTEM = 200  # weights above which a factor in float32 saves more than its conjugate gradients cost
EXACT = 1e-3  # share of a right-hand side that these leave
MOST_PRODUCTS = 8
MOST_STEPS = 50  # more is the end of float64


@dataclass(frozen=True, eq=False)
class Interior:
    """The method on rows (n, d) float64, sorted by class, with what each counts for: `Interior.of`."""

    rows: Tensor
    counted: Rows
    n_classes: int

    @classmethod
    def of(cls, rows: Tensor, counted: Rows, n_classes: int) -> Interior:
        """Rows that count for nothing are left out."""
        order = counted.true[0].argsort(stable=True)
        order = order[counted.share[order] > 0]
        return cls(rows[order], Rows(counted.true[:, order], counted.share[order]), n_classes)

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

    def solve(self, reg: float, tol: float) -> tuple[Tensor, float, int, bool]:
        """Weights (c, d), the width whose slopes certify them, steps taken, and whether the gap is down to `tol`.

        Where it is not, rounding ended the method, and the weights are the best so far.
        Cost   2 n c d^2 + (c d)^3 / 3 flops a step.
        """
        others, share = self.others, self.counted.share
        coef = self.rows.new_zeros(self.n_classes, self.rows.shape[1])
        found, steps = (coef, 1.0), 0
        change = self._change(coef)  # of the margins, 0 for the true class
        root = 2 * FIRST_MU - 1
        a = others * (2 * FIRST_MU / (root + (root**2 + 4 * FIRST_MU) ** 0.5) - 0.5) + 0.5  # with m = 1 and mu central
        xi, u = 1 + others * (FIRST_MU / (1 - a) - 1), 1 + others * (FIRST_MU / a - 1)
        rows = self.rows.float() if coef.numel() > WIDE_SYSTEM else self.rows
        width, least, best, gap = tol, float("inf"), 0.0, float("inf")
        for steps in range(MOST_STEPS):  # noqa: B007
            b, slopes = 1 - a, others * a * share
            moment, penalty = self._moment(slopes), reg * float(coef.square().sum())
            scores = coef @ self.rows.mT
            if gap > WIDE:
                value = CurvedHinge(self.counted, width).value_and_slopes(scores)[0] + penalty
                gap = 1 - (float(slopes.sum()) - float(moment.square().sum()) / (4 * reg)) / value
                width = max(AIM * tol * value / max(float((slopes * b).sum()), AIM * tol), 1e-12)
            hinge = CurvedHinge(self.counted, width)
            value, smooth = hinge.value_and_slopes(scores)
            value += penalty
            bound = -value
            if gap <= WIDE:
                bound = hinge.dual(scores) - float((smooth @ self.rows).square().sum()) / (4 * reg)
            if not value - bound < float("inf"):
                break
            if value - bound < least or gap > WIDE:
                found, least, best = (coef, width), value - bound, value
            if value - bound <= tol * value:
                break
            weights = others / (width + xi / b + u / a)
            lower, scale = self._factor(weights * share, reg, rows)
            mu = float(((a * u + b * xi) * others * share).sum()) / (2 * self.n_classes - 2)
            rest = (1 + change - width * a - xi + u) * others
            force = -(2 * reg * coef + moment)
            aim, bend = -mu, (0.0, 0.0)
            for correcting in (False, True):
                # a u -> aim,  b xi -> aim,  less the products of the predictor's changes
                first = ((mu + aim if correcting else 0.0) - a * u - bend[0]) * others
                second = ((mu + aim if correcting else 0.0) - b * xi + bend[1]) * others
                known = (first / a - second / b + rest) * weights
                right = force - self._moment(known * share)
                refined = self._refine(lower, scale, right, weights * share, reg)
                if refined is None:
                    rows = self.rows
                    lower, scale = self._factor(weights * share, reg, rows)
                step = _apart(lower, scale, right) if refined is None else refined
                da = weights * self._change(step) + known
                du, dxi = (first - u * da) / a, (second + xi * da) / b
                fastest = max(float(((-da / a).maximum(da / b)).max()), float((-du / u).maximum(-dxi / xi).max()))
                if correcting:
                    break
                length = min(1.0, 1 / fastest) if fastest > 0 else 1.0
                ahead = (a + length * da) * (u + length * du) + (b - length * da) * (xi + length * dxi)
                later = float((ahead * others * share).sum()) / (2 * self.n_classes - 2)
                aim, bend = (later / mu) ** 4 * mu - mu, (da * du, da * dxi)
            length = min(1.0, max(NEARLY, 1 - mu) / fastest) if fastest > 0 else 1.0
            if not length > 0:
                break
            coef, a, u, xi = coef + length * step, a + length * da, u + length * du, xi + length * dxi
            change = self._change(coef)
        return *found, steps, least <= tol * best

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
        return slopes.scatter(0, self.counted.true, -slopes.sum(0, keepdim=True)) @ self.rows

    def _factor(self, weights: Tensor, reg: float, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Cholesky factor of the system divided by its diagonal, and the roots of its inverse, ((c - 1) d, 1).

        A margin of class j in a row of class k adds w (e_j - e_k)(e_j - e_k)^T (x) x x^T. What all classes have in
        common is 0 at the optimum and changes no margin. So the last class stands still in V, and W is V without what
        is common, whose penalty is |W|^2 = |V|^2 - |sum of V over classes|^2 / c.
        """
        (c, _), d = weights.shape, rows.shape[1]
        weights = weights.to(rows.dtype)
        sums = torch.cat((weights[:-1], weights.sum(0, keepdim=True)))  # (c, n): in place of the last class, of all
        hessian = rows.new_zeros(c - 1, c - 1, d, d)
        own = hessian.view(-1, d, d)[::c]  # (c - 1, d, d)
        for k, part in enumerate(self.parts):
            mine = rows[part]
            both = (sums[:, part].mT.unsqueeze(2) * mine.unsqueeze(1)).reshape(-1, c * d)
            blocks = (both.mT @ mine).view(c, d, d)
            own += blocks[:-1]
            if k < c - 1:
                hessian[k, k] += blocks[-1]
                hessian[k] -= blocks[:-1]
                hessian[:, k] -= blocks[:-1]
        penalty = hessian.diagonal(dim1=2, dim2=3)  # (c - 1, c - 1, d)
        penalty += 2 * reg * (torch.eye(c - 1).to(penalty) - 1 / c).unsqueeze(2)
        flat = hessian.transpose(1, 2).reshape((c - 1) * d, (c - 1) * d)
        scale = flat.diagonal().rsqrt().unsqueeze(1)
        flat.mul_(scale).mul_(scale.mT)
        return factor(flat), scale


def _apart(lower: Tensor, scale: Tensor, right: Tensor) -> Tensor:
    """The step (c, d) by the factor alone, without what all classes have in common."""
    free = scale * torch.cholesky_solve(scale * right[:-1].reshape(-1, 1).to(scale), lower)
    step = torch.cat((free.view_as(right[:-1]), free.new_zeros(1, right.shape[1]))).to(right)
    return step - step.mean(0)
