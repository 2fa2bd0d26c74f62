"""Labels of one class a row, (n,) int64, or of an answer for each class, (n, c) int8: what both have in common.

An answer is 1 for a class that the row has, 0 for one that it has not, -1 where nobody knows. A classifier answers by
the sign of a score, and for one class a row by the largest.
"""

from __future__ import annotations

import torch
from torch import Tensor


def decide(scores: Tensor, *, many: bool) -> Tensor:
    """Labels of scores (n, c): (n,) int64, the lowest class on ties; or (n, c) int8, 1 for scores above 0.

    >>> decide(torch.tensor([[2.0, 1.0]]), many=False), decide(torch.tensor([[2.0, 1.0]]), many=True)
    (tensor([0]), tensor([[1, 1]], dtype=torch.int8))
    """
    return (scores > 0).to(torch.int8) if many else scores.argmax(1)


def is_right(scores: Tensor, labels: Tensor) -> Tensor:
    """Whether each row gets its label, or all of its known answers, (k, n) bool, from scores (k, c, n).

    >>> is_right(torch.tensor([[[1.0], [-1.0]]]), torch.tensor([[1, -1]], dtype=torch.int8))
    tensor([[True]])
    """
    if labels.ndim == 1:
        # max gives the lowest class among ties, as argmax does, in a tenth of its time along this dimension
        return scores.max(1).indices == labels
    answers = labels.mT
    return ((scores > 0) == (answers > 0)).logical_or_(answers < 0).all(1)


def count_rows(labels: Tensor, n_classes: int) -> Tensor:
    """Rows that have each class, (c,) int64."""
    return labels.bincount(minlength=n_classes) if labels.ndim == 1 else (labels > 0).sum(0)


def strata(labels: Tensor, least: int = 1) -> Tensor:
    """What rows are dealt by, (n,) int64: their class, or the rarest of their classes, and c where they have none.

    Dealt evenly, the rows of the rarest class are exactly so, and of any other those that have no rarer one; its other
    rows go where the rarer classes go, by chance.
    least : of many labels, groups of fewer rows join the largest.

    >>> strata(torch.tensor([[1, 0], [1, 1], [0, -1], [1, 0]], dtype=torch.int8))
    tensor([0, 1, 2, 0])
    """
    if labels.ndim == 1:
        return labels
    c = labels.shape[1]
    rarest_first = count_rows(labels, c).argsort(stable=True)
    has = (labels > 0)[:, rarest_first]
    first = has.to(torch.int8).argmax(1)  # the lowest place among ties
    found = torch.where(has.any(1), rarest_first[first], c)
    sizes = found.bincount(minlength=c + 1)
    return torch.where(sizes[found] < least, sizes.argmax(), found)
