"""Two classifiers on the same rows: whether one is better, or lucky."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from colinear.checks import InputError

EXACT_UP_TO = 1000  # discordant pairs; a sum of binomial terms takes microseconds each


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

    >>> import torch
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
        return PairedTest(b, c, _binomial_two_sided(min(b, c), b + c), exact=True)
    statistic = max(0, abs(b - c) - 1) ** 2 / (b + c)
    return PairedTest(b, c, math.erfc(math.sqrt(statistic / 2)), exact=False)


def _binomial_two_sided(fewer: int, total: int) -> float:
    """min(1, 2 P(X <= fewer)), X ~ Bin(total, 1/2), in whole numbers until the division."""
    term, tail = 1, 0
    for successes in range(fewer + 1):
        tail += term
        term = term * (total - successes) // (successes + 1)
    return min(1.0, 2 * tail / (1 << total))
