"""What a loss is to the rest of the house, and where the true classes stand among scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.curvature import Curved, Rows
from colinear.model import Link
from colinear.texts import shorten


@dataclass(frozen=True)
class LossSums:
    """What one block of rows adds to an objective; every sum runs over rows, with their weights.

    value : (k,) float64, the loss that the gradient belongs to, smoothed if it is smoothed.
    original : (k,) float64, the loss without smoothing.
    dual : (k,) float64, -conjugate of the original loss at the gradient, for the duality gap; None without smoothing,
    where it is value - <gradient, scores> (Fenchel-Young) and the gap a norm of the gradient.
    curvature : (k, c), the diagonal of the Hessian of the loss with respect to one row's scores, or of a bound that
    stands for it; None unless asked for.
    """

    value: Tensor
    original: Tensor
    dual: Tensor | None
    curvature: Tensor | None


class Loss(Protocol):
    """Value, gradient, dual value and curvature of a convex loss of the scores of one row.

    Solvers, searches and models know a loss by this alone. labels are (n,) int64 classes, or of a loss that
    `takes_many` also (n, c) int8: 1 and 0 for a class that the row has or has not, -1 where nobody knows.
    """

    name: ClassVar[str]
    formula: ClassVar[str]  # of one row, for people; _{...} is a subscript
    link: ClassVar[Link | None]  # what makes probabilities of scores; None if they are no log-probabilities
    kinked: ClassVar[bool]  # has no gradient somewhere: a solver needs `smooth`
    shift_invariant: ClassVar[bool]  # sees differences of scores only: gradients sum to 0 over the classes
    by_class: ClassVar[bool]  # a sum over classes, each by itself: its Hessian is one block for each
    takes_many: ClassVar[bool]  # labels may be (n, c), any number of classes a row
    has_interior: ClassVar[bool]  # the sum over margins that the interior point method solves
    steepest: ClassVar[float]  # about the largest curvature of a row along the score of one class

    @property
    def smoothed(self) -> bool:
        """Whether value and gradient belong to a smooth stand-in for the loss."""
        ...

    @property
    def whole_slopes(self) -> bool:
        """Whether gradients are whole numbers in [1 - c, 1]: a byte each."""
        ...

    def smooth(self, widths: Tensor) -> Loss:
        """The loss with kinks rounded over `widths` (k,); itself if it has none."""
        ...

    def value_and_gradient_(self, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Overwrite scores (k, c, n) with the gradient; return the summed loss (k,) float64."""
        ...

    def sums_(
        self, scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, curvature: bool = False
    ) -> LossSums:
        """The same, with the dual value of a smoothed loss and, where asked for, the curvature."""
        ...

    def curved(self, rows: Rows) -> Curved:
        """The loss as Newton's method sees it, on all rows of one candidate; a kinked one has to be smoothed."""
        ...

    def hessian_products(self, n_classes: int) -> float:
        """How many products of all rows with themselves a Hessian takes at most; infinity: `curved` is never asked."""
        ...

    def anchor_dual(self, q: Tensor, has: Tensor, hasnt: Tensor) -> Tensor:
        """Mean dual value (k,) of the loss, as it is smoothed, at slopes q_j - [row has class j], which are feasible.

        q : (k, c) in [0, 1], of sum 1 unless `by_class`.   has, hasnt : (k, c), shares of the rows that have class j or
        not.    For an intercept without a penalty, see `balance`.
        """
        ...


class SmoothLoss:
    """What a `Loss` is unless it says otherwise; one that defines `name` and `sums_` is whole, and L-BFGS solves it."""

    name: ClassVar[str] = "a loss"
    formula: ClassVar[str] = "loss(s_{i}, y_{i})"
    link: ClassVar[Link | None] = None
    kinked: ClassVar[bool] = False
    shift_invariant: ClassVar[bool] = False
    by_class: ClassVar[bool] = False
    takes_many: ClassVar[bool] = False
    has_interior: ClassVar[bool] = False
    steepest: ClassVar[float] = 1.0

    @property
    def smoothed(self) -> bool:
        return False

    @property
    def whole_slopes(self) -> bool:
        return False

    def smooth(self, widths: Tensor) -> Self:
        return self

    def value_and_gradient_(self, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Turn scores into the gradient of the summed loss, in place.

        scores : (k, c, n) float32/64, overwritten.      labels : (n,) int64 in [0, c), or see `Loss`.
        weights : None, (n,) or (k, n), >= 0, of scores' dtype.
        Returns  loss (k,) float64, summed over rows.
        Cost     O(k c n) time.
        """
        return self.sums_(scores, labels, weights).value

    def sums_(
        self, scores: Tensor, labels: Tensor, weights: Tensor | None = None, *, curvature: bool = False
    ) -> LossSums:
        raise NotImplementedError

    def curved(self, rows: Rows) -> Curved:
        raise NotImplementedError

    def hessian_products(self, n_classes: int) -> float:
        return math.inf

    def anchor_dual(self, q: Tensor, has: Tensor, hasnt: Tensor) -> Tensor:
        raise InputError(f"{self.name} has no `anchor_dual`, which an intercept without a penalty needs.")


def check_takes(loss: Loss, labels: Tensor, name: str) -> None:
    """Raise `InputError` where rows of the dataset `name` have an answer for each class and the loss takes none."""
    if labels.ndim == 2 and not loss.takes_many:
        raise InputError(
            f"{loss.name} takes one class a row; rows of {shorten(name)} have any number of them. Use logistic or "
            "squared-hinge."
        )


def add_up(values: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted sum over rows of (k, n), in float64: (k,)."""
    return (values if weights is None else values * weights).sum(-1, dtype=torch.float64)


def truth_in(labels: Tensor, scores: Tensor) -> Tensor:
    """Where the true classes stand among the c n numbers of a candidate, (n,); half the time of gather and scatter."""
    n = scores.shape[-1]
    return labels * n + torch.arange(n, device=labels.device)


def flatten_classes(scores: Tensor) -> Tensor:
    """The same numbers as (k, c n): writing there writes to `scores`, which have to be contiguous."""
    return scores.view(len(scores), -1)
