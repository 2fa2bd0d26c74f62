"""Shares of rows: accuracy with its interval, what hides behind one, and whether two of them differ by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_labels
from colinear.schemas import plain_number

EXACT_UP_TO = 1000  # discordant pairs; a sum of binomial terms takes microseconds each
Z95 = 1.959963984540054  # the normal quantile of a two-sided 95 % interval


def wilson_interval(correct: int, total: int, z: float = Z95) -> tuple[float, float]:
    """Interval for a share of `correct` of `total` independent trials (Wilson 1927); 95 % by default.

    >>> low, high = wilson_interval(4065, 10000)
    >>> round(low, 4), round(high, 4)
    (0.3969, 0.4162)
    """
    if total < 1 or not 0 <= correct <= total:
        raise InputError(f"correct must lie in [0, total], total >= 1; got {correct} of {total}.")
    return wilson_bounds(correct / total, total, z)


def wilson_bounds(share: float, total: float, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval for a share in [0, 1] known as well as that of `total` > 0 rows, perhaps no whole number."""
    square = z * z
    center = (share + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return max(0.0, center - half), min(1.0, center + half)


def confusion_matrix(labels: Tensor, predicted: Tensor, n_classes: int) -> Tensor:
    """Counts (c, c) int64: row = true class, column = predicted class."""
    check_labels(labels, n_classes)
    check_labels(predicted, n_classes, "predicted labels")
    pairs = labels * n_classes + predicted
    return torch.bincount(pairs, minlength=n_classes * n_classes).view(n_classes, n_classes)


def top_k_accuracy(scores: Tensor, labels: Tensor, k: int) -> float:
    """Share of rows whose true class is among the k largest scores; of equal scores the lower class ranks first.

    scores : (n, c).   labels : (n,) int64 in [0, c).   k : 1 to c.

    >>> top_k_accuracy(torch.tensor([[3.0, 2.0, 1.0], [1.0, 1.0, 0.0]]), torch.tensor([1, 1]), 1)
    0.0
    """
    check_scores(scores, labels)
    if check_count("k", k) > scores.shape[1]:
        raise InputError(f"k must be at most the number of classes, {scores.shape[1]}; got {k}.")
    true = scores.gather(1, labels.unsqueeze(1))  # (n, 1)
    lower = torch.arange(scores.shape[1], device=scores.device) < labels.unsqueeze(1)
    ahead = ((scores > true) | ((scores == true) & lower)).sum(1)
    return float((ahead < k).double().mean())


def balanced_accuracy(confusion: Tensor) -> float:
    """Mean recall over the classes that have rows, from counts (c, c), rows = true class.

    >>> balanced_accuracy(torch.tensor([[9, 1], [1, 1]]))
    0.7
    """
    rows = _check_counts(confusion).sum(1)
    return float((confusion.diagonal()[rows > 0] / rows[rows > 0].double()).mean())


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Per class, (c,) float64: precision, recall, their harmonic mean f1; support (c,) int64, rows of the class."""

    precision: Tensor
    recall: Tensor
    f1: Tensor
    support: Tensor


def class_scores(confusion: Tensor, zero_division: float = 0.0) -> ClassScores:
    """Precision, recall and F1 of each class from counts (c, c), rows = true class.

    precision_j = n_jj / (rows labelled j);  recall_j = n_jj / (rows of j);  f1 = 2 n_jj / (sum of both).
    zero_division : what a share of no rows counts as: precision of a class that is never predicted, recall of a
    class without rows, f1 of a class with neither. NaN leaves them out of sight.

    >>> class_scores(torch.tensor([[2, 0], [1, 0]])).precision.tolist()
    [0.6666666666666666, 0.0]
    """
    right = _check_counts(confusion).diagonal().double()
    predicted, actual = confusion.sum(0), confusion.sum(1)

    def share(part: Tensor, whole: Tensor) -> Tensor:
        return torch.where(whole > 0, part / whole.clamp(min=1), torch.full_like(part, zero_division))

    return ClassScores(
        share(right, predicted), share(right, actual), share(2 * right, predicted + actual), actual.clone()
    )


def class_table(confusion: Tensor) -> list[dict[str, Any]]:
    """Rows, recall, precision, F1 and the commonest mistake of each class; None where there is nothing to divide.

    >>> class_table(torch.tensor([[2, 1], [0, 0]]))[1]
    {'rows': 0, 'recall': None, 'precision': 0.0, 'f1': 0.0, 'taken_for': None, 'taken_count': 0}
    """
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


def log_loss(scores: Tensor, labels: Tensor) -> float:
    """Mean cross-entropy -log p_i,y_i of the softmax of scores (n, c), in float64; finite for finite scores.

    Pass probabilities as their logarithms: the softmax gives them back.

    >>> round(log_loss(torch.zeros(1, 4), torch.tensor([2])), 4)
    1.3863
    """
    check_scores(scores, labels)
    return float(torch.nn.functional.cross_entropy(scores.double(), labels))


@dataclass(frozen=True)
class PairedTest:
    """McNemar's test of two classifiers on the same rows.

    only_first, only_second : rows that only this one labels right.   p_value : two-sided.   exact : which form.
    """

    only_first: int
    only_second: int
    p_value: float
    exact: bool


def mcnemar(labels: Tensor, first: Tensor, second: Tensor) -> PairedTest:
    """Whether two classifiers differ in accuracy, from their labels (n,) for the same rows.

    Only the b + c discordant rows count. Up to 1,000 of them: the exact binomial test, 2 P(X <= min(b, c)) with
    X ~ Bin(b + c, 1/2), at most 1. Above: chi square with continuity correction, (|b - c| - 1)^2 / (b + c), one
    degree of freedom, which differs from it by less than 1e-3 there.
    Source   McNemar 1947; Edwards 1948 (correction).

    >>> truth = torch.zeros(10, dtype=torch.int64)
    >>> second = truth.clone()
    >>> second[:6] = 1                                 # wrong where the first is right, six times
    >>> mcnemar(truth, truth, second)
    PairedTest(only_first=6, only_second=0, p_value=0.03125, exact=True)
    """
    for name, values in (("first", first), ("second", second)):
        if values.shape != labels.shape or labels.ndim != 1:
            raise InputError(
                f"labels and the {name} classifier's labels must both have shape (n,); got {tuple(labels.shape)} "
                f"and {tuple(values.shape)}."
            )
    right_first, right_second = first == labels, second == labels
    b, c = int((right_first & ~right_second).sum()), int((~right_first & right_second).sum())
    if b + c <= EXACT_UP_TO:
        term, tail = 1, 0  # in whole numbers until the division
        for successes in range(min(b, c) + 1):
            tail += term
            term = term * (b + c - successes) // (successes + 1)
        return PairedTest(b, c, min(1.0, 2 * tail / (1 << (b + c))), exact=True)
    statistic = max(0, abs(b - c) - 1) ** 2 / (b + c)
    return PairedTest(b, c, math.erfc(math.sqrt(statistic / 2)), exact=False)


def check_scores(scores: Tensor, labels: Tensor) -> None:
    if scores.ndim != 2 or 0 in scores.shape or not scores.is_floating_point():
        raise InputError(
            f"scores must be floats of shape (n_samples, n_classes), neither 0; got {scores.dtype} of shape "
            f"{tuple(scores.shape)}."
        )
    if not bool(torch.isfinite(scores).all()):
        raise InputError("scores must be finite; at least one is NaN or infinite.")
    check_labels(labels, scores.shape[1])
    if len(labels) != len(scores):
        raise InputError(f"there must be one label per row; got {len(labels)} labels for {len(scores)} rows.")


def _check_counts(confusion: Tensor) -> Tensor:
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or confusion.dtype != torch.int64:
        raise InputError(
            f"confusion must be int64 counts of shape (n_classes, n_classes); got {confusion.dtype} of shape "
            f"{tuple(confusion.shape)}."
        )
    if bool((confusion < 0).any()) or int(confusion.sum()) == 0:
        raise InputError("confusion must hold counts >= 0 of at least one row.")
    return confusion
