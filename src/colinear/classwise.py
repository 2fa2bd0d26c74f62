"""Losses that work class by class, one against the rest: of one label a row, or of any number of them.

    loss_i = sum_j h(-t_ij s_ij),   t_ij = 1 if row i has class j, -1 if it has not, 0 (and no loss) if nobody knows

with h convex and differentiable. Everything about one of them follows from h as a function of the margin m = -t s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from colinear.curvature import ClassBends, Rows, Slope
from colinear.lossbase import LossSums, SmoothLoss, add_up, flatten_classes, truth_in
from colinear.model import Link

EXACT = 40.0  # log(1 + exp(m)) is m beyond, in float64


class ClasswiseLoss(SmoothLoss):
    """The sum over classes of h(margin); a class of its own is four lines of h."""

    by_class: ClassVar[bool] = True
    takes_many: ClassVar[bool] = True

    def values(self, margins: Tensor) -> Tensor:
        """h(m)."""
        raise NotImplementedError

    def slopes_(self, margins: Tensor) -> Tensor:
        """h'(m), in place."""
        raise NotImplementedError

    def bends(self, slopes: Tensor) -> Tensor:
        """h''(m) as a function of h'(m)."""
        raise NotImplementedError

    def duals(self, slopes: Tensor) -> Tensor:
        """-conjugate of h at h'(m): h(m) - m h'(m)."""
        raise NotImplementedError

    def sums_(
        self, scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, curvature: bool = False
    ) -> LossSums:
        """As `value_and_gradient_`; curvature_ij = h''(m_ij).

        labels : (n,) int64 in [0, c), or (n, c) int8 of 1, 0 and -1.      Cost: one buffer of scores' size.
        """
        turn = _Turn(scores, labels)
        turn.apply_(scores)  # margins
        losses = turn.known(self.values(scores))
        self.slopes_(scores)
        bent = None
        if curvature:
            bends = turn.known(self.bends(scores))
            bent = bends.sum(-1) if weights is None else torch.linalg.vecdot(bends, weights.unsqueeze(-2))
        turn.apply_(scores)
        if weights is not None:
            scores *= weights.unsqueeze(-2)
        total = add_up(losses.sum(1), weights)
        return LossSums(total, total, None, bent)

    def curved(self, rows: Rows) -> CurvedClasses:
        return CurvedClasses(rows, self)

    def hessian_products(self, n_classes: int) -> float:
        return n_classes

    def anchor_dual(self, q: Tensor, has: Tensor, hasnt: Tensor) -> Tensor:
        return (hasnt * self.duals(q) + has * self.duals(1 - q)).sum(1)


@dataclass(frozen=True)
class Logistic(ClasswiseLoss):
    """Logistic regression of every class against the rest: h(m) = log(1 + exp(m)).

    d loss_i / d s_ij = p_ij - [row i has class j],   p_ij = 1 / (1 + exp(-s_ij)).   Source: Bishop 2006, 4.3.2.

    >>> scores = torch.zeros(1, 2, 1)
    >>> Logistic().value_and_gradient_(scores, torch.tensor([[1, -1]], dtype=torch.int8))
    tensor([0.6931], dtype=torch.float64)
    >>> scores.flatten()
    tensor([-0.5000,  0.0000])
    """

    name: ClassVar[str] = "logistic"
    formula: ClassVar[str] = "Σ_{j} log(1 + exp(−t_{ij} s_{ij}))"
    link: ClassVar[Link | None] = "sigmoid"
    steepest: ClassVar[float] = 0.25

    def values(self, margins: Tensor) -> Tensor:
        found: Tensor = softplus(margins, threshold=EXACT)
        return found

    def slopes_(self, margins: Tensor) -> Tensor:
        return margins.sigmoid_()

    def bends(self, slopes: Tensor) -> Tensor:
        return slopes * (1 - slopes)

    def duals(self, slopes: Tensor) -> Tensor:
        entropy: Tensor = torch.special.entr(slopes) + torch.special.entr(1 - slopes)
        return entropy


@dataclass(frozen=True)
class SquaredHinge(ClasswiseLoss):
    """Squared hinge of every class against the rest: h(m) = max(0, 1 + m)^2. LIBLINEAR's default.

    d loss_i / d s_ij = -2 t_ij max(0, 1 - t_ij s_ij).   Source: Chang, Hsieh & Lin 2008.

    >>> scores = torch.tensor([[[0.5], [-2.0]]])          # margins -0.5 and -2: inside 1, and beyond
    >>> SquaredHinge().value_and_gradient_(scores, torch.tensor([0]))
    tensor([0.2500], dtype=torch.float64)
    >>> scores.flatten()
    tensor([-1.,  0.])
    """

    name: ClassVar[str] = "squared-hinge"
    formula: ClassVar[str] = "Σ_{j} max(0, 1 − t_{ij} s_{ij})²"
    steepest: ClassVar[float] = 2.0

    def values(self, margins: Tensor) -> Tensor:
        return (1 + margins).clamp_(min=0).square_()

    def slopes_(self, margins: Tensor) -> Tensor:
        return margins.add_(1).clamp_(min=0).mul_(2)

    def bends(self, slopes: Tensor) -> Tensor:
        return 2 * (slopes > 0).to(slopes.dtype)

    def duals(self, slopes: Tensor) -> Tensor:
        return slopes - slopes.square() / 4


class _Turn:
    """Scores (k, c, n) to margins -t s, and slopes by margins to those by scores, in place: the same signs."""

    def __init__(self, scores: Tensor, labels: Tensor) -> None:
        self._single = labels.ndim == 1
        self._where = truth_in(labels, scores) if self._single else signs_of(labels.mT, scores)

    def apply_(self, numbers: Tensor) -> None:
        if self._single:
            flat = flatten_classes(numbers)
            flat.index_copy_(1, self._where, -flat.index_select(1, self._where))
        else:
            numbers *= self._where

    def known(self, numbers: Tensor) -> Tensor:
        """Numbers, 0 where nobody knows whether the row has the class; in place."""
        return numbers if self._single else numbers.mul_(self._where.abs())


def signs_of(labels: Tensor, like: Tensor) -> Tensor:
    """-t of labels (c, n) int8 in the precision of `like`: -1 for 1, 1 for 0, 0 for -1."""
    return torch.where(labels < 0, 0, 1 - 2 * labels).to(like)


@dataclass(frozen=True, eq=False)
class CurvedClasses:
    """A classwise loss on all rows of one candidate, for Newton's method: every class has a curvature of its own."""

    rows: Rows
    loss: ClasswiseLoss
    exact: ClassVar[bool] = False

    @property
    def steepest(self) -> float:
        return self.loss.steepest

    @cached_property
    def _share(self) -> Tensor:
        """The share of each row in the mean, (n,), or of each of its known classes, (c, n)."""
        return self.rows.share if self.rows.true.dtype == torch.int64 else self.rows.share * (self.rows.true >= 0)

    def value_and_slopes(self, scores: Tensor) -> tuple[float, Tensor]:
        margins, signs = self._margins(scores)
        value = float((self.loss.values(margins) * self._share).sum())
        return value, self.loss.slopes_(margins).mul_(signs).mul_(self._share)

    def dual(self, scores: Tensor) -> float:
        margins, _ = self._margins(scores)
        return float((self.loss.duals(self.loss.slopes_(margins)) * self._share).sum())

    def pairs(self, scores: Tensor) -> ClassBends:
        margins, _ = self._margins(scores)
        return ClassBends(self.loss.bends(self.loss.slopes_(margins)) * self._share)

    def line(self, scores: Tensor, change: Tensor) -> Slope:
        margins, signs = self._margins(scores)
        change = signs * change

        def slope(step: float) -> tuple[float, float]:
            slopes = self.loss.slopes_(margins + step * change)
            bends = self.loss.bends(slopes) * self._share
            return float((slopes * change * self._share).sum()), float((bends * change.square()).sum())

        return slope

    def _margins(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """m (c, n), a new tensor, and the signs -t that made it of the scores."""
        true = self.rows.true
        single = true.dtype == torch.int64
        signs = torch.ones_like(scores).scatter_(0, true, -1.0) if single else signs_of(true, scores)
        return scores * signs, signs
