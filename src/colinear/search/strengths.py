"""The range of strengths by itself: where it starts for features of any scale, and when it goes on beyond an end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from colinear.search.candidates import rank_candidates
from colinear.search.regs import half_decades

End = Literal["weakest", "strongest"]
Rule = Literal["best", "1se"]

# half-decades of reg for CIFAR-10, whose scaled rows have a mean squared distance of 193 from their mean: first, count
RANGES = {"softmax": (-10, 9), "hinge": (-6, 7), "squared-hinge": (-8, 9)}
USUAL = RANGES["softmax"]  # of any other loss
REFERENCE = 193.0
N_FIRST = 4  # of a range that finds itself, the strongest: weak ones are dear, 42 passes where strong ones take 3
LEAST, MOST = -40, 40  # half-decades: what --regs takes, 1e-20 to 1e20
AHEAD = 2  # strengths on each side of the winner for which accuracy has to have stopped rising
MOST_ADDED = 12  # beyond an end: six decades
LONE = 1e-6  # mean square of all other columns beside one's: no strength suits both. Of scikit-learn's wine 2e-3


def default_regs(loss: str, mean_square: float = REFERENCE) -> tuple[float, ...]:
    """Half-decades of strength, ascending, about the one that is best for features of a usual kind.

    mean_square : of the distances of the scaled rows from their mean. A loss sees scores W x, so features s times as
    large with weights 1 / s times as large are the same problem with reg s^2 times as large: strengths follow the
    square, to the nearest half-decade. 0 (or a number that is none) counts as CIFAR-10's.
    A range that finds itself begins with the strongest four.

    >>> default_regs("softmax")
    (1e-05, 3.16227766017e-05, 0.0001, 0.000316227766017, 0.001, 0.00316227766017, 0.01, 0.0316227766017, 0.1)
    >>> [f"{reg:.2g}" for reg in default_regs("hinge", 1.0)]
    ['3.2e-06', '1e-05', '3.2e-05', '0.0001', '0.00032', '0.001', '0.0032']
    """
    weakest, count = RANGES.get(loss, USUAL)
    known = 0 < mean_square < math.inf
    first = weakest + (round(2 * math.log10(mean_square / REFERENCE)) if known else 0)
    first = min(max(first, LEAST), MOST - count + 1)
    return half_decades(first, count)


def find_lone(squares: Tensor) -> tuple[int, float] | None:
    """The column whose mean square leaves nothing of all others', and its share of theirs in size; None without.

    squares : (d,) mean square of each column.

    >>> import torch
    >>> find_lone(torch.tensor([1.0, 1e14, 3.0], dtype=torch.float64)), find_lone(torch.tensor([1.0, 1e4]))
    ((1, 5000000.0), None)
    """
    column = int(squares.argmax())
    rest = float(squares[:column].sum() + squares[column + 1 :].sum())
    ratio = float(squares[column]) / rest if rest > 0 else 0.0
    return (column, math.sqrt(ratio)) if ratio * LONE > 1 else None


def choose(accuracies: Sequence[float], errors: Sequence[float], regs: Sequence[float], rule: Rule) -> list[int]:
    """Indices, the winner first, then the others as `rank_candidates` has them.

    rule : 'best', or '1se': the strongest of those whose accuracy is within one standard error, that of the best, of
    the best (Breiman, Friedman, Olshen & Stone 1984, 3.4.3; Hastie, Tibshirani & Friedman 2009, 7.10). Its reg is that
    of the best or larger.

    >>> choose([0.90, 0.91, 0.89], [0.01, 0.01, 0.01], [1e-3, 1e-2, 1e-1], "best")
    [1, 0, 2]
    >>> choose([0.90, 0.91, 0.905], [0.01, 0.01, 0.01], [1e-3, 1e-2, 1e-1], "1se")
    [2, 1, 0]
    """
    order = rank_candidates(accuracies, regs)
    if rule == "1se":
        best = order[0]
        least = accuracies[best] - errors[best]
        winner = max((number for number in order if accuracies[number] >= least), key=lambda number: regs[number])
        order.remove(winner)
        order.insert(0, winner)
    return order


def find_end(regs: Sequence[float], accuracies: Sequence[float], winner: int) -> End | None:
    """The end of the range at which the winner or the best accuracy is, beyond which a better one may lie.

    None of one strength or two, which have no middle, and where the accuracy of the strong end is that of another, too:
    it no longer rises.

    >>> find_end([1.0, 2.0, 3.0], [0.7, 0.6, 0.5], 0), find_end([1.0, 2.0, 3.0], [0.5, 0.7, 0.7], 2)
    ('weakest', None)
    """
    if len(regs) < 3:
        return None
    best = rank_candidates(accuracies, regs)[0]
    if regs[best] == min(regs):
        return "weakest"
    level = winner == best and list(accuracies).count(accuracies[best]) > 1
    return "strongest" if regs[winner] == max(regs) and not level else None


def list_missing(regs: Sequence[float], accuracies: Sequence[float], winner: int) -> dict[End, int]:
    """How many strengths are missing beyond each end until AHEAD of them, beyond the best, have not risen above it.

    At the strong end, where ties go to the stronger, the weakest of equal ones counts; a winner other than the best (of
    the rule 1se) counts itself.

    >>> list_missing([1.0, 2.0, 3.0], [0.7, 0.6, 0.5], 0), list_missing([1.0, 2.0, 3.0], [0.5, 0.7, 0.7], 2)
    ({'weakest': 2, 'strongest': 0}, {'weakest': 0, 'strongest': 1})
    """
    ascending = sorted(range(len(regs)), key=regs.__getitem__)
    best = rank_candidates(accuracies, regs)[0]
    equal = [place for place, number in enumerate(ascending) if accuracies[number] == accuracies[best]]
    inner = equal[0] if winner == best else ascending.index(winner)
    return {
        "weakest": max(0, AHEAD - ascending.index(best)),
        "strongest": max(0, AHEAD - (len(regs) - 1 - inner)),
    }


def go_on(regs: Sequence[float], missing: dict[End, int], start: Sequence[float]) -> tuple[float, ...]:
    """The strengths to add, ascending: half-decades beyond the ends, as many as are missing and the limit allows.

    >>> go_on([1.0, 10.0], {"weakest": 2, "strongest": 1}, [1.0, 10.0])
    (0.1, 0.316227766017, 31.6227766017)
    """
    low, high = (round(2 * math.log10(end)) for end in (min(regs), max(regs)))
    first, last = (round(2 * math.log10(end)) for end in (min(start), max(start)))
    weakest = max(low - missing["weakest"], first - MOST_ADDED, LEAST)
    strongest = min(high + missing["strongest"], last + MOST_ADDED, MOST)
    return half_decades(weakest, low - weakest) + half_decades(high + 1, strongest - high)
