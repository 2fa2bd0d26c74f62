"""One label a row and an answer for each class: decided, judged, counted and dealt."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from colinear.datasets.answers import count_rows, decide, is_right, strata

seeds = st.integers(0, 2**31)


def draw(n: int, c: int, seed: int) -> tuple[Tensor, Tensor]:
    """Scores (n, c) and answers (n, c) of 1, 0 and -1."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(n, c, generator=generator)
    return scores, torch.randint(-1, 2, (n, c), generator=generator, dtype=torch.int8)


def test_a_score_of_zero_is_no_and_of_equal_ones_the_first_class_wins() -> None:
    scores = torch.tensor([[0.0, 0.0, -1.0]])
    assert decide(scores, many=False).tolist() == [0]
    assert decide(scores, many=True).tolist() == [[0, 0, 0]]


@given(n=st.integers(1, 30), c=st.integers(1, 5), seed=seeds)
def test_a_row_is_right_where_all_known_answers_are(n: int, c: int, seed: int) -> None:
    scores, labels = draw(n, c, seed)
    found = is_right(scores.mT.unsqueeze(0), labels)[0].tolist()
    told = decide(scores, many=True)
    expected = [
        all(a == t for a, t in zip(row, own, strict=True) if a >= 0) for row, own in zip(labels, told, strict=True)
    ]
    assert found == expected


@given(n=st.integers(1, 30), c=st.integers(1, 5), seed=seeds)
def test_one_class_a_row_is_right_where_it_is_decided(n: int, c: int, seed: int) -> None:
    scores, _ = draw(n, c, seed)
    labels = torch.randint(c, (n,), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(is_right(scores.mT.unsqueeze(0), labels)[0], decide(scores, many=False) == labels)


@given(n=st.integers(1, 40), c=st.integers(1, 6), seed=seeds)
def test_a_stratum_is_the_rarest_class_that_the_row_has(n: int, c: int, seed: int) -> None:
    _, labels = draw(n, c, seed)
    counts = count_rows(labels, c).tolist()
    assert counts == [sum(int(a == 1) for a in column) for column in labels.mT]
    for row, stratum in zip(labels, strata(labels).tolist(), strict=True):
        own = [j for j in range(c) if row[j] == 1]
        assert stratum == min(own, key=lambda j: (counts[j], j), default=c)


@pytest.mark.parametrize("labels", [torch.tensor([2, 0, 2]), torch.tensor([], dtype=torch.int64)], ids=["some", "none"])
def test_classes_are_their_own_strata(labels: Tensor) -> None:
    assert torch.equal(strata(labels), labels)
    assert count_rows(labels, 4).tolist() == [int((labels == j).sum()) for j in range(4)]
