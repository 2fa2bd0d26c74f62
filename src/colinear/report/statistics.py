"""What stands behind an accuracy, in the page's words: calibration from confidences alone, classes one by one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from colinear.metrics import class_scores
from colinear.schemas import plain_number

BINS = 15  # as Guo et al., On Calibration of Modern Neural Networks, 2017


def count_bins(confidence: Tensor, correct: Tensor, bins: int = BINS) -> Tensor:
    """Rows (bins, 3) float64 of equal ranges of confidence: how many, their mean confidence, their share correct.

    confidence : (n,) in [0, 1], the largest probability of each row.   correct : (n,) bool.
    Bins are those of `metrics.reliability` (right-closed), which needs every probability of every row at once.
    An empty bin has 0, NaN, NaN.

    >>> count_bins(torch.tensor([0.2, 0.9, 0.8]), torch.tensor([True, True, False]), bins=2)
    tensor([[1.0000, 0.2000, 1.0000],
            [2.0000, 0.8500, 0.5000]], dtype=torch.float64)
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    place = (torch.bucketize(confidence.double(), edges) - 1).clamp(0, bins - 1)
    counts = place.bincount(minlength=bins).double()
    means = place.bincount(confidence.double(), minlength=bins) / counts
    return torch.stack([counts, means, place.bincount(correct.double(), minlength=bins) / counts], 1)


def calibration_error(bins: Tensor) -> float:
    """Expected calibration error: mean |confidence - accuracy| over the bins of `count_bins`, by their rows."""
    counts, confidence, accuracy = bins.unbind(1)
    return float(((confidence - accuracy).abs().nan_to_num() * counts).sum() / counts.sum())


def class_table(confusion: Tensor) -> list[dict[str, Any]]:
    """Rows, recall, precision, F1 and the commonest mistake of each class; None where there is nothing to divide."""
    scores = class_scores(confusion, zero_division=math.nan)
    wrong = confusion.clone().fill_diagonal_(0)
    counts, others = wrong.max(1)  # ties: the lowest class
    columns = (scores.support, scores.recall, scores.precision, scores.f1, others, counts)
    return [
        {
            "rows": rows,
            "recall": plain_number(recall),
            "precision": plain_number(precision),
            "f1": plain_number(f1),
            "taken_for": other if count else None,
            "taken_count": count,
        }
        for rows, recall, precision, f1, other, count in zip(*(column.tolist() for column in columns), strict=True)
    ]
