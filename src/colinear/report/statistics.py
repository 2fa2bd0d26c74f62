"""What stands behind an accuracy: calibration, classes one by one, and the paired comparison of two classifiers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

BINS = 15  # as Guo et al., On Calibration of Modern Neural Networks, 2017


def count_bins(confidence: Tensor, correct: Tensor, bins: int = BINS) -> Tensor:
    """Rows (bins, 3) float64 of equal ranges of confidence: how many, their mean confidence, their share correct.

    confidence : (n,) in [0, 1], the largest probability of each row.   correct : (n,) bool.
    An empty bin has 0, NaN, NaN.

    >>> count_bins(torch.tensor([0.2, 0.9, 0.8]), torch.tensor([True, True, False]), bins=2)
    tensor([[1.0000, 0.2000, 1.0000],
            [2.0000, 0.8500, 0.5000]], dtype=torch.float64)
    """
    place = (confidence.double() * bins).long().clamp(0, bins - 1)
    counts = place.bincount(minlength=bins).double()
    means = place.bincount(confidence.double(), minlength=bins) / counts
    return torch.stack([counts, means, place.bincount(correct.double(), minlength=bins) / counts], 1)


def calibration_error(bins: Tensor) -> float:
    """Expected calibration error: mean |confidence - accuracy| over the bins of `count_bins`, by their rows."""
    counts, confidence, accuracy = bins.unbind(1)
    return float(((confidence - accuracy).abs().nan_to_num() * counts).sum() / counts.sum())


def class_table(confusion: Tensor) -> list[dict[str, Any]]:
    """Rows, recall, precision, F1 and the commonest mistake of each class; None where there is nothing to divide."""
    truth, taken = confusion.sum(1).tolist(), confusion.sum(0).tolist()
    table = []
    for number, row in enumerate(confusion):
        right = int(row[number])
        mistakes = row.clone()
        mistakes[number] = 0
        other = int(mistakes.argmax())
        both = truth[number] + taken[number]
        table.append(
            {
                "rows": truth[number],
                "recall": right / truth[number] if truth[number] else None,
                "precision": right / taken[number] if taken[number] else None,
                "f1": 2 * right / both if both else None,
                "taken_for": other if mistakes[other] else None,
                "taken_count": int(mistakes[other]),
            }
        )
    return table


def compare_paired(first: Tensor, second: Tensor) -> dict[str, Any]:
    """Exact McNemar test (McNemar 1947) of two classifiers on the same rows: are both equally often right?

    first, second : (n,) bool or uint8, whether each row was labelled right.
    Returns only_first, only_second, difference (of accuracies, first minus second), p_value (two-sided).
    Numerics: binomial tail by logarithms, accurate to about 1e-12 n relative.

    >>> compare_paired(torch.tensor([1, 1, 1, 1, 0]), torch.tensor([0, 0, 0, 1, 1]))
    {'only_first': 3, 'only_second': 1, 'difference': 0.4, 'p_value': 0.625}
    """
    one, two = first.bool(), second.bool()
    only_first, only_second = int((one & ~two).sum()), int((~one & two).sum())
    n, few = only_first + only_second, min(only_first, only_second)
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(few + 1)]
    p_value = 1.0 if only_first == only_second else min(1.0, 2 * math.fsum(map(math.exp, logs)))
    return {
        "only_first": only_first,
        "only_second": only_second,
        "difference": (only_first - only_second) / len(one),
        "p_value": float(f"{p_value:.12g}"),
    }
