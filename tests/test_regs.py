"""Strengths from text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colinear.checks import InputError
from colinear.search.regs import parse_regs


def test_dino45_is_c_from_1e_minus_6_to_1e5_in_our_words() -> None:
    n = 49_000
    costs = sorted(1 / (2 * n * reg) for reg in parse_regs("dino45", n))
    assert len(costs) == 45
    assert costs[0] == pytest.approx(1e-6)
    assert costs[-1] == pytest.approx(1e5)
    assert [b / a for a, b in itertools.pairwise(costs)] == pytest.approx([10 ** (11 / 44)] * 44)


def test_lists_are_sorted_and_each_strength_comes_once() -> None:
    assert parse_regs("1e-2, 1e-4,1e-2", 1) == (1e-4, 1e-2)
    assert parse_regs("0.5", 1) == (0.5,)
    assert parse_regs("1e-5:1e-1:5", 1) == (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    assert parse_regs("2:2:1", 1) == (2.0,)


@given(low=st.integers(-12, 5), width=st.integers(1, 8), count=st.integers(2, 40))
def test_a_range_has_its_ends_and_equal_ratios(low: int, width: int, count: int) -> None:
    regs = parse_regs(f"1e{low}:1e{low + width}:{count}", 1)
    assert (regs[0], regs[-1], len(regs)) == (float(f"1e{low}"), float(f"1e{low + width}"), count)
    ratios = [b / a for a, b in itertools.pairwise(regs)]
    assert ratios == pytest.approx([10 ** (width / (count - 1))] * (count - 1), rel=1e-9)


@pytest.mark.parametrize(
    "text",
    ["", "a", "0", "-1", "nan", "inf", "1:2", "1:2:0", "2:1:3", "0:1:3", "1:inf:3", "1:2:1", "1:2:3:4", "1:2:1e3",
     "1,,2", "1:2:5000", "dino", "1e999"],
)  # fmt: skip
def test_anything_else_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(InputError, match=r"--regs must be LOW:HIGH:COUNT.*got"):
        parse_regs(text, 10)
