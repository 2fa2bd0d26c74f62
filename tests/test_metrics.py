"""Scores of a classifier: an accuracy's interval, and what hides behind an accuracy."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colinear.checks import InputError
from colinear.metrics import confusion_matrix, wilson_interval
from colinear.metrics.shares import Z95


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
    ids=["none", "half", "Newcombe 1998"],
)
def test_intervals_known_from_tables(correct: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0.1, 5))
def test_the_ends_are_the_shares_that_lie_z_deviations_away(total: int, part: float, z: float) -> None:
    correct = round(part * total)
    share, ends = correct / total, wilson_interval(correct, total, z)
    assert 0 <= ends[0] <= share + 1e-12
    assert share - 1e-12 <= ends[1] <= 1
    for end in ends:
        variance = end * (1 - end) / total
        assert (share - end) ** 2 == pytest.approx(z * z * variance, rel=1e-6, abs=1e-14)
    mirrored = wilson_interval(total - correct, total, z)
    assert mirrored == pytest.approx((1 - ends[1], 1 - ends[0]), abs=1e-12)


def test_the_quantile_is_that_of_the_normal_distribution() -> None:
    assert math.erf(Z95 / math.sqrt(2)) == pytest.approx(0.95, abs=1e-15)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(correct: int, total: int) -> None:
    with pytest.raises(InputError, match=f"got {correct} of {total}"):
        wilson_interval(correct, total)


def test_a_confusion_matrix_counts_truth_in_rows_and_predictions_in_columns() -> None:
    labels, predicted = torch.tensor([0, 0, 1, 2, 2, 2]), torch.tensor([0, 1, 1, 0, 2, 2])
    assert confusion_matrix(labels, predicted, 4).tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0] * 4]


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_its_margins_are_the_counts_of_labels_and_its_trace_the_hits(c: int, pairs: list[tuple[int, int]]) -> None:
    labels, predicted = (torch.tensor([pair[side] % c for pair in pairs], dtype=torch.int64) for side in (0, 1))
    found = confusion_matrix(labels, predicted, c)
    assert torch.equal(found.sum(1), labels.bincount(minlength=c))
    assert torch.equal(found.sum(0), predicted.bincount(minlength=c))
    assert int(found.trace()) == int((labels == predicted).sum())


def test_labels_beyond_the_classes_are_refused() -> None:
    fine, wrong = torch.tensor([0, 1]), torch.tensor([0, 2])
    with pytest.raises(InputError, match=r"labels must lie in \[0, 2\); row 1 has 2"):
        confusion_matrix(wrong, fine, 2)
    with pytest.raises(InputError, match=r"predicted labels must lie in \[0, 2\); row 1 has 2"):
        confusion_matrix(fine, wrong, 2)
