"""The arithmetic of successive halving."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colinear.checks import InputError
from colinear.search import plan_rungs


@pytest.mark.parametrize(
    ("candidates", "steps", "eta", "expected"),
    [
        (50, 5000, 3, [(185, 50, 17), (556, 17, 6), (1667, 6, 2)]),
        (27, 2700, 3, [(100, 27, 9), (300, 9, 3), (900, 3, 2)]),
        (16, 1600, 2, [(200, 16, 8), (400, 8, 4), (800, 4, 2)]),
        (3, 90, 3, [(30, 3, 2)]),
        (5, 100, 100, [(1, 5, 2)]),
        (2, 5000, 3, []),
        (1, 5000, 3, []),
        (50, 1, 3, []),
        (50, 10, 3, [(1, 50, 6), (3, 6, 2)]),
        (16, 5, 2, [(1, 16, 4), (2, 4, 2)]),
    ],
    ids=[
        "the course's search", "whole powers", "halves", "one rung", "eta beyond the line-up", "two finalists",
        "one candidate", "one step", "a rung before step 1", "two rungs in one step",
    ],
)  # fmt: skip
def test_rungs(candidates: int, steps: int, eta: int, expected: list[tuple[int, int, int]]) -> None:
    assert [(rung.step, rung.entered, rung.stayed) for rung in plan_rungs(candidates, steps, eta)] == expected


@given(st.integers(1, 300), st.integers(1, 5000), st.integers(2, 12))
def test_every_rung_takes_those_that_the_last_one_left(candidates: int, steps: int, eta: int) -> None:
    entered, last = candidates, 0
    for rung in plan_rungs(candidates, steps, eta):
        assert last < rung.step < steps
        assert rung.entered == entered
        assert 2 <= rung.stayed < rung.entered
        entered, last = rung.stayed, rung.step


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 10), "candidates"), ((5, 0), "steps"), ((5, 10, 1), "eta must be at least 2; got 1"), ((5, 10, 0), "eta")],
)
def test_plans_that_cannot_be_are_refused(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_rungs(*arguments)
