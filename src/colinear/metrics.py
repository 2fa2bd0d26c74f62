"""How a classifier is scored: accuracy with its interval, and what hides behind an accuracy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from colinear.checks import InputError, check_labels

Z95 = 1.959963984540054  # the normal quantile of a two-sided 95 % interval


def wilson_interval(correct: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Interval for a share of `correct` of `total` independent trials (Wilson 1927); 95 % by default.

    >>> low, high = wilson_interval(4065, 10000)
    >>> round(low, 4), round(high, 4)
    (0.3969, 0.4162)
    """
    if total < 1 or not 0 <= correct <= total:
        raise InputError(f"correct must lie in [0, total], total >= 1; got {correct} of {total}.")
    share, square = correct / total, z * z
    center = (share + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, center - half), min(1.0, center + half)


def confusion_matrix(labels: Tensor, predicted: Tensor, n_classes: int) -> Tensor:
    """Counts (c, c) int64: row = true class, column = predicted class."""
    check_labels(labels, n_classes)
    check_labels(predicted, n_classes, "predicted labels")
    pairs = labels * n_classes + predicted
    return torch.bincount(pairs, minlength=n_classes * n_classes).view(n_classes, n_classes)
