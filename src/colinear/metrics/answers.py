"""What a classifier says of rows that may have many classes, counted class by class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colinear.checks import InputError, check_targets


def answer_counts(labels: Tensor, predicted: Tensor) -> Tensor:
    """Counts (c, 4) int64 of each class: yes and right, yes and wrong, no and wrong, no and right.

    labels : (n, c) int8, 1 and 0 for classes that a row has or has not, -1 unknown: counted nowhere.
    predicted : (n, c) int8 of 1 and 0.

    >>> labels = torch.tensor([[1, 0], [1, -1]], dtype=torch.int8)
    >>> answer_counts(labels, torch.tensor([[1, 1], [0, 1]], dtype=torch.int8)).tolist()
    [[1, 0, 1, 0], [0, 1, 0, 0]]
    """
    for name, values in (("labels", labels), ("predicted answers", predicted)):
        if values.ndim != 2 or values.shape != labels.shape:
            raise InputError(f"{name} must have the shape (n, c) of both; got {tuple(values.shape)}.")
        check_targets(values, labels.shape[1], name)
    has, not_has, yes = labels == 1, labels == 0, predicted == 1
    return torch.stack(
        [(one & two).sum(0) for one, two in ((has, yes), (not_has, yes), (has, ~yes), (not_has, ~yes))], 1
    )


def answer_table(counts: Tensor) -> list[dict[str, Any]]:
    """Rows, recall, precision and F1 of each class, as `class_table` has them; one class is taken for no other.

    >>> answer_table(torch.tensor([[1, 0, 1, 0]]))[0]
    {'rows': 2, 'recall': 0.5, 'precision': 1.0, 'f1': 0.6666666666666666, 'taken_for': None, 'taken_count': 0}
    """

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    return [
        {
            "rows": right + missed,
            "recall": share(right, right + missed),
            "precision": share(right, right + wrong),
            "f1": share(2 * right, 2 * right + wrong + missed),
            "taken_for": None,
            "taken_count": 0,
        }
        for right, wrong, missed, _ in counts.tolist()
    ]
