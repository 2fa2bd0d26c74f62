"""Few-shot subsets: so many rows of every class, and nothing but the seed decides which."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, draw_shots


def dataset(labels: list[int], n_classes: int) -> ArrayDataset:
    """Rows that hold their own number."""
    names = tuple(f"class {number}" for number in range(n_classes))
    return ArrayDataset(torch.arange(float(len(labels))).view(-1, 1), torch.tensor(labels), names)


@given(
    sizes=st.lists(st.integers(1, 8), min_size=2, max_size=5),
    seed=st.integers(0, 99),
    mixer=st.randoms(use_true_random=False),
    data=st.data(),
)
def test_every_class_has_so_many_rows_each_once(sizes, seed, mixer, data) -> None:  # type: ignore[no-untyped-def]
    labels = [number for number, size in enumerate(sizes) for _ in range(size)]
    mixer.shuffle(labels)
    whole = dataset(labels, len(sizes))
    shots = data.draw(st.integers(1, min(sizes)))
    before = torch.random.get_rng_state()
    drawn = draw_shots(whole, shots, seed)
    rows = drawn.take(slice(0, drawn.n_samples))[:, 0].long()
    assert torch.equal(drawn.labels.bincount(), torch.full((len(sizes),), shots))
    assert torch.equal(drawn.labels, whole.labels[rows])
    assert torch.equal(rows, rows.unique())  # each once, in the order they had
    assert torch.equal(torch.random.get_rng_state(), before)
    more = draw_shots(whole, min(sizes), seed)
    assert set(rows.tolist()) <= set(more.take(slice(0, more.n_samples))[:, 0].long().tolist())


def test_the_seed_decides() -> None:
    whole = dataset([0, 1] * 50, 2)
    one, again, other = (draw_shots(whole, 5, seed).fingerprint for seed in (0, 0, 1))
    assert one == again != other


def test_a_subset_of_a_subset_is_drawn_from_the_subset() -> None:
    whole = dataset([0, 1] * 10, 2)
    drawn = draw_shots(whole.subset(torch.arange(4, 12)), 4, 0)
    assert drawn.take(slice(0, 8))[:, 0].tolist() == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0]


@pytest.mark.parametrize(("labels", "name", "size"), [([0, 0, 1, 1, 1], "class 0", 2), ([0, 0, 0], "class 1", 0)])
def test_too_many_shots_are_refused_with_the_smallest_class(labels: list[int], name: str, size: int) -> None:
    with pytest.raises(InputError, match=f"smallest class; got 3, class '{name}' has {size}"):
        draw_shots(dataset(labels, 2), 3, 0)


def test_no_shots_are_refused() -> None:
    with pytest.raises(InputError, match=r"--shots must be .*>= 1"):
        draw_shots(dataset([0, 1], 2), 0, 0)
