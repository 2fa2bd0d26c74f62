"""Which settings are tried, and which of them wins."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colinear.checks import InputError
from colinear.search import Candidate, draw_candidates, rank_candidates

RATES, REGS = (1e-4, 1e-1), (1e-3, 1.0)


def test_a_draw_repeats_with_its_seed_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    drawn = draw_candidates(20, RATES, REGS, seed=3)
    torch.rand(1)
    assert draw_candidates(20, RATES, REGS, seed=3) == drawn
    assert draw_candidates(20, RATES, REGS, seed=4) != drawn
    torch.set_rng_state(before)
    draw_candidates(20, RATES, REGS, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert draw_candidates(20, RATES, REGS, seed=3)[:5] == draw_candidates(5, RATES, REGS, seed=3)


@given(low=st.floats(1e-9, 1.0), factor=st.floats(1.0, 1e6), seed=st.integers(0, 1000))
def test_draws_lie_in_their_ranges(low: float, factor: float, seed: int) -> None:
    for candidate in draw_candidates(5, (low, low * factor), (1.0, 1.0), seed):
        assert low * (1 - 1e-12) <= candidate.learning_rate <= low * factor * (1 + 1e-12)
        assert candidate.reg == 1.0


def test_draws_are_uniform_in_the_logarithm() -> None:
    drawn = draw_candidates(4000, RATES, REGS, seed=0)
    logs = torch.tensor([[math.log10(c.learning_rate), math.log10(c.reg)] for c in drawn], dtype=torch.float64)
    # thirds of three decades: 4000 / 3 each, standard deviation 30
    for column, low in ((0, -4.0), (1, -3.0)):
        counts = torch.histc(logs[:, column], 3, low, low + 3)
        assert float((counts - 4000 / 3).abs().max()) < 150


@pytest.mark.parametrize(
    ("accuracies", "regs", "expected"),
    [
        ([0.1, 0.3, 0.2], [1, 1, 1], [1, 2, 0]),
        ([0.3, 0.3, 0.3], [1, 3, 2], [1, 2, 0]),
        ([0.3, 0.3], [1, 1], [0, 1]),
        ([math.nan, 0.0], [9, 1], [1, 0]),
        ([math.nan, math.nan, 0.2], [1, 2, 0], [2, 1, 0]),
        ([], [], []),
    ],
    ids=["accuracy", "larger reg", "lower index", "NaN is worse than 0", "NaN among themselves", "nobody"],
)
def test_ranks(accuracies: list[float], regs: list[float], expected: list[int]) -> None:
    assert rank_candidates(accuracies, regs) == expected


@given(st.lists(st.tuples(st.one_of(st.just(math.nan), st.floats(0, 1)), st.floats(0, 9)), max_size=9))
def test_ranking_is_a_permutation_with_nan_last_and_accuracy_falling(pairs: list[tuple[float, float]]) -> None:
    accuracies = [accuracy for accuracy, _ in pairs]
    order = rank_candidates(accuracies, [reg for _, reg in pairs])
    assert sorted(order) == list(range(len(pairs)))
    ranked = [accuracies[index] for index in order]
    known = [accuracy for accuracy in ranked if not math.isnan(accuracy)]
    assert known == sorted(known, reverse=True)
    assert all(math.isnan(accuracy) for accuracy in ranked[len(known) :])


@pytest.mark.parametrize(
    ("count", "rates", "regs", "message"),
    [
        (0, RATES, REGS, "candidates must be a whole number >= 1; got 0"),
        (1, (0.0, 1.0), REGS, "--lr must be a range LOW:HIGH with 0 < LOW <= HIGH; got 0:1"),
        (1, RATES, (2.0, 1.0), "--reg must be a range"),
        (1, RATES, (1.0, math.inf), "--reg must be a range"),
        (1, (math.nan, 1.0), REGS, "--lr must be a range"),
    ],
)
def test_draws_that_cannot_be_are_refused(
    count: int, rates: tuple[float, float], regs: tuple[float, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        draw_candidates(count, rates, regs, seed=0)


def test_candidates_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="learning rate must be a finite number > 0; got 0"):
        Candidate(0.0, 1.0)
    with pytest.raises(InputError, match="reg must be a finite number >= 0"):
        Candidate(1.0, -1.0)
