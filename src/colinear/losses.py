"""The losses, for K candidates at once: scores and labels in, value and gradient out.

Scores are class-major, (n_candidates, n_classes, n_rows): the softmax then runs along rows that lie side by
side, 1.1 to 1.8 times faster than row-major for 10 classes on 2 cores. A loss sees scores and labels only,
never data or weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from colinear.classwise import Logistic, SquaredHinge
from colinear.curvature import CurvedHinge, CurvedSoftmax, Rows
from colinear.lossbase import Loss, LossSums, SmoothLoss, add_up, flatten_classes, truth_in
from colinear.model import Link

__all__ = ["LOSSES", "Hinge", "Logistic", "Loss", "LossSums", "Softmax", "SquaredHinge"]


@dataclass(frozen=True)
class Softmax(SmoothLoss):
    """Mean cross-entropy of the softmax of the scores: multinomial logistic regression.

    loss_i = log(sum_j exp s_ij) - s_i,y_i ;   d loss_i / d s_ij = p_ij - [j = y_i]

    >>> scores = torch.zeros(1, 2, 1)
    >>> Softmax().value_and_gradient_(scores, torch.tensor([0]))
    tensor([0.6931], dtype=torch.float64)
    >>> scores.flatten()
    tensor([-0.5000,  0.5000])
    """

    name: ClassVar[str] = "softmax"
    formula: ClassVar[str] = "log Σ_{j} exp(s_{ij}) − s_{i,yᵢ}"
    link: ClassVar[Link | None] = "softmax"
    shift_invariant: ClassVar[bool] = True
    steepest: ClassVar[float] = 0.5

    def sums_(
        self, scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, curvature: bool = False
    ) -> LossSums:
        """As `value_and_gradient_`; curvature_i = p_i (1 - p_i).

        Error    relative 2 eps per row: the row maximum is subtracted first.
        Cost     one (k, n) buffer.      Source: Bishop 2006, 4.3.4.
        """
        losses = self._probabilities_(scores, labels)  # (k, n); scores -> p
        bent = self._curvature(scores, weights) if curvature else None
        _subtract_truth_(scores, labels)
        if weights is not None:
            scores *= weights.unsqueeze(-2)
        total = add_up(losses, weights)
        return LossSums(total, total, None, bent)

    def curved(self, rows: Rows) -> CurvedSoftmax:
        return CurvedSoftmax(rows)

    def hessian_products(self, n_classes: int) -> float:
        return n_classes * (n_classes - 1) / 2

    def anchor_dual(self, q: Tensor, has: Tensor, hasnt: Tensor) -> Tensor:
        """The entropy of q: every row has the same probabilities."""
        entropy: Tensor = torch.special.entr(q).sum(1)
        return entropy

    def _curvature(self, shares: Tensor, weights: Tensor | None) -> Tensor:
        weighted = shares if weights is None else shares * weights.unsqueeze(-2)  # (k, c, n)
        bent: Tensor = weighted.sum(-1) - torch.linalg.vecdot(weighted, shares)
        return bent

    def _probabilities_(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Turn scores into probabilities in place; return the losses (k, n)."""
        truth, flat = truth_in(labels, scores), flatten_classes(scores)
        scores -= scores.amax(1, keepdim=True)
        right = flat.index_select(1, truth)  # (k, n), score of the true class
        own = right.exp()
        scores.exp_()
        flat.index_fill_(1, truth, 0)
        others = scores.sum(1)
        flat.index_copy_(1, truth, own)
        scores /= (others + own).unsqueeze(1)
        # where the true class has the largest score, own = 1: what the others add keeps its digits however small it is
        return others.add_(own.sub_(1)).log1p_() - right


@dataclass(frozen=True)
class Hinge(SmoothLoss):
    """Weston-Watkins multiclass hinge, margin 1, optionally smoothed.

    m_ij = s_ij - s_i,y_i + 1 (j != y_i) ;   loss_i = sum_j h(m_ij) ;   h(m) = max(0, m) if width = 0, else
    h(m) = max over a in [0, 1] of a m - width a^2 / 2: quadratic up to m = width, then linear (Nesterov 2005).

    width : 0 (the hinge itself), a number > 0, or a (k,) tensor with one width per candidate.
    At a kink (m = 0, width 0) the gradient is 0, as in the course.   Source: Weston & Watkins 1999.

    >>> scores = torch.tensor([[[3.0], [2.5]]])          # one row, two classes, label 1: margin 3 - 2.5 + 1
    >>> Hinge().value_and_gradient_(scores, torch.tensor([1]))
    tensor([1.5000], dtype=torch.float64)
    >>> scores.flatten()
    tensor([ 1., -1.])
    """

    name: ClassVar[str] = "hinge"
    formula: ClassVar[str] = "Σ_{j≠yᵢ} max(0, s_{ij} − s_{i,yᵢ} + 1)"
    kinked: ClassVar[bool] = True
    shift_invariant: ClassVar[bool] = True
    has_interior: ClassVar[bool] = True
    width: float | Tensor = 0.0

    def smooth(self, widths: Tensor) -> Hinge:
        return Hinge(widths)

    @property
    def smoothed(self) -> bool:
        return isinstance(self.width, Tensor) or self.width != 0

    @property
    def whole_slopes(self) -> bool:
        return not self.smoothed

    def sums_(
        self, scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, curvature: bool = False
    ) -> LossSums:
        """As `value_and_gradient_`, with the original hinge, its dual and the curvature.

        dual_i = sum_j a_ij with a_ij = h'(m_ij): any a in [0, 1] is feasible for the hinge's dual, so the gap
        it gives is an upper bound for the hinge itself, whatever the width.
        curvature_i : the diagonal of sum_j [m_ij > 0] / max(m_ij, width) (e_j - e_y)(e_j - e_y)^T ; zero if width is 0.
        That is the parabola that touches h at m_ij > 0 and lies above it everywhere (Huber 1981), not the Hessian: this
        is 0 for m > width and lets a preconditioned step go far too far. On 10,000 CIFAR-10 images it saves up to 30 %
        of the passes; on features of unequal scale it decides whether the solver gets anywhere.
        Cost     no buffer of scores' size if width is 0 and no curvature is asked for.
        """
        _margins_(scores, labels)
        bent = self._curvature(scores, labels, weights) if curvature else None
        original = add_up(scores.sum(1), weights) if self.smoothed else None
        value = add_up(self._slopes_(scores), weights)
        dual = add_up(scores.sum(1), weights) if self.smoothed else None
        _put_truth_(scores, labels, weights)
        return LossSums(value, value if original is None else original, dual, bent)

    def curved(self, rows: Rows) -> CurvedHinge:
        return CurvedHinge(rows, float(self.width))

    def hessian_products(self, n_classes: int) -> float:
        return n_classes

    def anchor_dual(self, q: Tensor, has: Tensor, hasnt: Tensor) -> Tensor:
        """sum_j has_j sum_{l != j} (q_l - width q_l^2 / 2): the true class's slope is minus the sum of the others."""
        width = torch.as_tensor(self.width, dtype=q.dtype, device=q.device).view(-1, 1)
        return (hasnt * (q - 0.5 * width * q.square())).sum(1)

    def _width_of(self, scores: Tensor) -> Tensor | None:
        """Width as (k or 1, 1, 1) in scores' dtype; None without smoothing."""
        if not self.smoothed:
            return None
        return torch.as_tensor(self.width, dtype=scores.dtype, device=scores.device).view(-1, 1, 1)

    def _slopes_(self, margins: Tensor) -> Tensor:
        """Turn margins m >= 0 into slopes h'(m), in place; return sum_j h(m_ij), (k, n)."""
        width = self._width_of(margins)
        if width is None:
            losses = margins.sum(1)
            margins.sign_()
            return losses
        slopes = (margins / width).clamp_(max=1)
        losses = (slopes * (margins - 0.5 * width * slopes)).sum(1)
        margins.copy_(slopes)
        return losses

    def _curvature(self, margins: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        k, c, _ = margins.shape
        width = self._width_of(margins)
        if width is None:
            return margins.new_zeros(k, c)
        inside = (margins > 0).to(margins.dtype) / torch.maximum(margins, width)
        if weights is not None:
            inside = inside * weights.unsqueeze(-2)
        return inside.sum(-1).index_add_(1, labels, inside.sum(1))


def _margins_(scores: Tensor, labels: Tensor) -> None:
    """Turn scores into max(0, s_j - s_y + 1), 0 for the true class, in place."""
    truth, flat = truth_in(labels, scores), flatten_classes(scores)
    scores += (1 - flat.index_select(1, truth)).unsqueeze(1)
    flat.index_fill_(1, truth, 0.0)
    scores.clamp_(min=0)


def _put_truth_(slopes: Tensor, labels: Tensor, weights: Tensor | None) -> None:
    """Put minus the sum of slopes in the true class's place, then weigh rows: the gradient, in place."""
    flatten_classes(slopes).index_copy_(1, truth_in(labels, slopes), -slopes.sum(1))
    if weights is not None:
        slopes *= weights.unsqueeze(-2)


def _subtract_truth_(scores: Tensor, labels: Tensor) -> None:
    """scores -= [j = y_i], in place."""
    k, _, n = scores.shape
    flatten_classes(scores).index_add_(1, truth_in(labels, scores), scores.new_ones(()).expand(k, n), alpha=-1)


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (Softmax(), Hinge(), Logistic(), SquaredHinge())}
