"""Which settings a search tries, and which of them wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from colinear.checks import Range, check_count, check_number, check_range


@dataclass(frozen=True)
class Candidate:
    """One setting of SGD: learning rate and strength of regularization.

    A grid for `SGDSearch` is every pair of a few values, all of them one training:

    >>> len([Candidate(rate, reg) for rate in (1e-3, 1e-2, 1e-1) for reg in (1e-2, 1e-1)])
    6
    """

    learning_rate: float
    reg: float

    def __post_init__(self) -> None:
        check_number("learning rate", self.learning_rate, above=0)
        check_number("reg", self.reg, least=0)


def draw_candidates(count: int, learning_rates: Range, regs: Range, seed: int) -> list[Candidate]:
    """Log-uniform random settings: log10(lr) and log10(reg) uniform in their ranges (Bergstra & Bengio 2012).

    The draw has a generator of its own, so the settings do not depend on data or batch size.

    >>> [f"{c.learning_rate:.3g} {c.reg:.3g}" for c in draw_candidates(2, (1e-4, 1e-1), (1.0, 1.0), seed=0)]
    ['0.0813 1', '0.00239 1']
    """
    check_count("candidates", count)
    check_range("--lr", *learning_rates)
    check_range("--reg", *regs)
    uniform = torch.rand(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rates, strengths = (
        (low * (high / low) ** uniform[:, column]).tolist() for column, (low, high) in enumerate((learning_rates, regs))
    )
    return [Candidate(rate, strength) for rate, strength in zip(rates, strengths, strict=True)]


def rank_candidates(accuracies: Sequence[float], regs: Sequence[float]) -> list[int]:
    """Indices, best first: validation accuracy, then the larger reg (the simpler model), then the lower index.

    NaN, the accuracy of a candidate that diverged, ranks last.

    >>> rank_candidates([0.4, float("nan"), 0.4], [0.1, 9.0, 0.2])
    [2, 0, 1]
    """

    def order(index: int) -> tuple[bool, float, float, int]:
        accuracy = accuracies[index]
        lost = math.isnan(accuracy)
        return lost, 0.0 if lost else -accuracy, -regs[index], index

    return sorted(range(len(accuracies)), key=order)
