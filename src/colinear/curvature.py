"""The losses as Newton's method sees them: all rows of one candidate, curvature as weights of pairs of classes.

Softmax and hinge see differences of scores only, so the Hessian of row i with respect to its scores is

    A_i = sum over pairs of classes a < b of  w_iab (e_a - e_b)(e_a - e_b)^T,   w >= 0

with w_iab = p_ia p_ib for the softmax, and 1 / width for the smoothed hinge where one of the two is the true class and
the margin of the other lies inside the width. Of a loss that works class by class A_i is a diagonal: `ClassBends`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from torch import Tensor

Slope = Callable[[float], tuple[float, float]]  # step -> first and second derivative
Pair = tuple[int, int, Tensor | slice, Tensor]  # classes a < b, rows (m,), weights (m,) share included


@dataclass(frozen=True, eq=False)
class AllPairs:
    """w_iab = share_i p_ia p_ib: probabilities (c, n), share (n,)."""

    probabilities: Tensor
    share: Tensor

    @cached_property
    def weighted(self) -> Tensor:
        """share_i p_ia, (c, n)."""
        return self.probabilities * self.share

    def to(self, dtype: torch.dtype) -> AllPairs:
        return AllPairs(self.probabilities.to(dtype), self.share.to(dtype))

    def by_rows(self, factor: float) -> AllPairs:
        """The same times a factor, row by row in memory, as products of sparse rows read and write."""
        return AllPairs(self.probabilities.mT.contiguous().mT, self.share * factor)

    def roots(self) -> Tensor:
        """(c, n): w_iab = roots_ia roots_ib."""
        return self.probabilities * self.share.sqrt()

    def times(self, change: Tensor) -> Tensor:
        """A_i change_i, share included, (c, n)."""
        return self.weighted * (change - (self.probabilities * change).sum(0))

    def mean(self) -> Tensor:
        """Mean of A_i over the rows, (c, c)."""
        return torch.diag(self.weighted.sum(1)) - self.weighted @ self.probabilities.mT

    def mean_diagonal(self) -> Tensor:
        """Diagonal of the mean of A_i over the rows, (c,)."""
        return self.mean().diagonal()


@dataclass(frozen=True, eq=False)
class ClassBends:
    """A_i = diag(weighted_i): the curvature (c, n) of each class by itself, share included."""

    weighted: Tensor

    def to(self, dtype: torch.dtype) -> ClassBends:
        return ClassBends(self.weighted.to(dtype))

    def by_rows(self, factor: float) -> ClassBends:
        """The same times a factor, row by row in memory, as products of sparse rows read and write."""
        return ClassBends((self.weighted * factor).mT.contiguous().mT)

    def times(self, change: Tensor) -> Tensor:
        """A_i change_i, share included, (c, n)."""
        return self.weighted * change

    def mean_diagonal(self) -> Tensor:
        """Diagonal of the mean of A_i over the rows, (c,)."""
        return self.weighted.sum(1)


@dataclass(frozen=True, eq=False)
class Rows:
    """What a loss counts for in the mean: share (n,) float64, of sum 1.

    true : (1, n) int64, the true classes; or (c, n) int8, 1 and 0 for classes that a row has or has not, -1 unknown.
    """

    true: Tensor
    share: Tensor


class Curved(Protocol):
    """Value, slopes, curvature and lines of one loss on scores (c, n) float64."""

    exact: ClassVar[bool]  # the slope along a line is piecewise linear: Newton's steps end at its root to rounding

    @property
    def steepest(self) -> float:
        """Largest curvature of a row along the difference of two classes."""
        ...

    def value_and_slopes(self, scores: Tensor) -> tuple[float, Tensor]:
        """Mean of the original loss, and derivatives (c, n) of the mean loss as smoothed."""
        ...

    def dual(self, scores: Tensor) -> float:
        """Mean of the dual value, -conjugate of the original loss at the slopes."""
        ...

    def pairs(self, scores: Tensor) -> AllPairs | ClassBends | Iterator[Pair]:
        """The pairs of classes that have curvature: all at once where every pair has it in every row, or each class."""
        ...

    def line(self, scores: Tensor, change: Tensor) -> Slope:
        """Derivatives of the mean loss at scores + step * change."""
        ...


@dataclass(frozen=True, eq=False)
class CurvedSoftmax:
    """The softmax: every pair of classes has curvature in every row."""

    exact: ClassVar[bool] = False
    steepest: ClassVar[float] = 0.5
    rows: Rows

    def value_and_slopes(self, scores: Tensor) -> tuple[float, Tensor]:
        logs = scores.log_softmax(0)
        value = -float(logs.gather(0, self.rows.true).squeeze(0) @ self.rows.share)
        slopes = logs.exp_().scatter_add_(0, self.rows.true, scores.new_full(self.rows.true.shape, -1.0))
        return value, slopes.mul_(self.rows.share)

    def dual(self, scores: Tensor) -> float:
        return float(torch.special.entr(scores.softmax(0)).sum(0) @ self.rows.share)

    def pairs(self, scores: Tensor) -> AllPairs:
        return AllPairs(scores.softmax(0), self.rows.share)

    def line(self, scores: Tensor, change: Tensor) -> Slope:
        right = float(change.gather(0, self.rows.true).squeeze(0) @ self.rows.share)

        def slope(step: float) -> tuple[float, float]:
            shares = (scores + step * change).softmax(0)
            mean = (shares * change).sum(0)
            spread = (shares * (change - mean).square()).sum(0)
            return float(mean @ self.rows.share) - right, float(spread @ self.rows.share)

        return slope


@dataclass(frozen=True, eq=False)
class CurvedHinge:
    """The hinge smoothed over `width`: curvature in the pairs of a true class and a margin inside the width."""

    exact: ClassVar[bool] = True
    rows: Rows
    width: float

    @property
    def steepest(self) -> float:
        return 1 / self.width

    def value_and_slopes(self, scores: Tensor) -> tuple[float, Tensor]:
        margins = self._margins(scores)
        value = float(margins.clamp(min=0).sum(0) @ self.rows.share)
        slopes = (margins / self.width).clamp_(0, 1).mul_(self.rows.share)
        return value, slopes.scatter_(0, self.rows.true, -slopes.sum(0, keepdim=True))

    def dual(self, scores: Tensor) -> float:
        return float((self._margins(scores) / self.width).clamp_(0, 1).sum(0) @ self.rows.share)

    def pairs(self, scores: Tensor) -> Iterator[Pair]:
        c = len(scores)
        other, row = self._inside(self._margins(scores)).nonzero(as_tuple=True)
        true = self.rows.true[0, row]
        pair = torch.minimum(other, true) * c + torch.maximum(other, true)
        row = row[pair.argsort(stable=True)]
        stop = 0
        for number, count in enumerate(pair.bincount(minlength=c * c).tolist()):
            if count:
                start, stop = stop, stop + count
                mine = row[start:stop]
                yield *divmod(number, c), mine, self.rows.share[mine] / self.width

    def line(self, scores: Tensor, change: Tensor) -> Slope:
        margins, change = self._margins(scores), change - change.gather(0, self.rows.true)

        def slope(step: float) -> tuple[float, float]:
            moved = margins + step * change
            first = ((moved / self.width).clamp_(0, 1) * change).sum(0)  # the true class has change 0
            second = (self._inside(moved) * change.square()).sum(0)
            return float(first @ self.rows.share), float(second @ self.rows.share) / self.width

        return slope

    def _margins(self, scores: Tensor) -> Tensor:
        """m_ij (c, n), 0 for the true class."""
        return (scores - scores.gather(0, self.rows.true) + 1).scatter_(0, self.rows.true, 0.0)

    def _inside(self, margins: Tensor) -> Tensor:
        return (margins > 0) & (margins <= self.width)
