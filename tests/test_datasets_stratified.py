"""Parts and folds: complete, disjoint, as even as whole rows allow, and drawn by the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from colinear.checks import InputError
from colinear.datasets import split_stratified
from colinear.datasets.answers import count_rows, strata
from colinear.datasets.stratified import apportion_classes, deal_folds

counts_of_classes = st.lists(st.integers(0, 30), min_size=1, max_size=8)
shares_of_parts = st.lists(st.just(0.0) | st.floats(0, 1), min_size=0, max_size=4).map(
    lambda held: (torch.tensor([1.0, *held], dtype=torch.float64) / (1 + sum(held))).tolist()
)


def labels_of(counts: list[int]) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def names(count: int) -> list[str]:
    return [f"class {number}" for number in range(count)]


@given(counts=counts_of_classes, shares=shares_of_parts, seed=st.integers(0, 2**31))
def test_parts_are_disjoint_complete_and_sorted(counts: list[int], shares: list[float], seed: int) -> None:
    labels = labels_of(counts)
    parts = split_stratified(labels, shares, seed)
    assert torch.cat(parts).sort().values.tolist() == list(range(len(labels)))
    table = apportion_classes(labels.bincount(), torch.tensor(shares, dtype=torch.float64))
    for number, part in enumerate(parts):
        assert part.tolist() == sorted(part.tolist())
        assert labels[part].bincount(minlength=len(table)).tolist() == table[:, number].tolist()


@given(counts=counts_of_classes, shares=shares_of_parts)
def test_every_class_and_every_part_is_its_share_rounded_up_or_down(counts: list[int], shares: list[float]) -> None:
    sizes = torch.tensor(counts)
    table = apportion_classes(sizes, torch.tensor(shares, dtype=torch.float64))
    exact = sizes.unsqueeze(1) * torch.tensor(shares, dtype=torch.float64)
    assert bool(((table - exact).abs() < 1 + 1e-9).all())
    assert table.sum(1).tolist() == counts
    assert not bool(table[:, torch.tensor(shares) == 0].any())
    assert not bool((table[:, 0] == 0).logical_and(sizes > 0).any())  # every class is learned
    if bool((exact[:, 0] >= 1).logical_or(sizes == 0).all()):  # else a first part may have to be larger
        assert bool(((table.sum(0) - exact.sum(0)).abs() < 1 + 1e-9).all())


def test_a_part_without_a_share_stays_empty() -> None:
    assert apportion_classes(torch.tensor([3, 4, 1]), torch.tensor([0.5, 0.0, 0.5]))[:, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("classes", "rows"), [(20, 12), (100, 14), (1000, 8), (7, 11)])
def test_parts_of_many_small_classes_are_as_large_as_scikit_learns(classes: int, rows: int) -> None:
    y = np.repeat(np.arange(classes), rows)
    kept, held = split_stratified(torch.from_numpy(y), (0.85, 0.15), seed=0)
    size = round(0.15 * len(y))
    theirs = next(StratifiedShuffleSplit(1, test_size=size, random_state=0).split(y, y))
    assert (len(kept), len(held)) == (len(theirs[0]), len(theirs[1]))
    assert sorted(np.bincount(y[held], minlength=classes)) == sorted(np.bincount(y[theirs[1]], minlength=classes))


def test_shares_that_are_whole_up_to_rounding_are_whole() -> None:
    assert 0.29 * 100 < 29  # but a class of 100 rows has no odd row that another part could get
    sizes = torch.tensor([3] * 10 + [100] * 10)
    table = apportion_classes(sizes, torch.tensor([0.71, 0.29], dtype=torch.float64))
    assert table[10:].tolist() == [[71, 29]] * 10
    assert table.sum(0).tolist() == [731, 299]


def test_a_first_part_that_was_rounded_up_gets_no_second_odd_row() -> None:
    shares = torch.tensor([8, 8, 4, 4, 3], dtype=torch.float64) / 27
    assert apportion_classes(torch.tensor([3, 9, 30]), shares)[0, 0] == 1  # 0.89 of 3 rows; found by hypothesis


def test_single_rows_of_rare_classes_train() -> None:
    table = apportion_classes(torch.tensor([1, 1, 1, 20]), torch.tensor([0.5, 0.5]))
    assert table.tolist() == [[1, 0], [1, 0], [1, 0], [10, 10]]


def test_parts_depend_on_the_seed_alone() -> None:
    labels = torch.arange(60) % 3
    state = torch.get_rng_state()
    first, second, other = (split_stratified(labels, (0.5, 0.5), seed)[0].tolist() for seed in (0, 0, 1))
    assert first == second
    assert first != other
    assert torch.equal(state, torch.get_rng_state())


# Folds


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=8), n_folds=st.integers(2, 12), seed=st.integers(0, 99))
def test_folds_have_the_sizes_of_scikit_learns(counts: list[int], n_folds: int, seed: int) -> None:
    n_folds = min(n_folds, *counts)
    labels = labels_of(counts)[torch.randperm(sum(counts), generator=torch.Generator().manual_seed(seed))]
    folds = deal_folds(labels, n_folds, seed, names(len(counts)))
    ours = np.stack([labels[folds == fold].bincount(minlength=len(counts)).numpy() for fold in range(n_folds)])
    y = labels.sort().values.numpy()  # theirs numbers classes by appearance
    theirs = [np.bincount(y[test], minlength=len(counts)) for _, test in StratifiedKFold(n_folds).split(y, y)]
    np.testing.assert_array_equal(ours, theirs)
    assert np.ptp(ours.sum(1)) <= 1
    assert np.ptp(ours, axis=0).max() <= 1


def test_a_hundred_classes_of_fourteen_rows_in_ten_folds_give_140_each() -> None:
    folds = deal_folds(labels_of([14] * 100), 10, 0, names(100))
    assert folds.bincount().tolist() == [140] * 10


def test_folds_depend_on_the_seed_alone() -> None:
    labels = torch.arange(60) % 3
    state = torch.get_rng_state()
    first, second, other = (deal_folds(labels, 5, seed, names(3)).tolist() for seed in (0, 0, 1))
    assert first == second
    assert first != other
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("absent", [0, 1, 2], ids=["first", "middle", "last"])
def test_an_absent_class_is_refused_whichever_it_is(absent: int) -> None:
    labels = torch.tensor([label for label in range(3) for _ in range(9) if label != absent])
    with pytest.raises(InputError, match=f"got 3 folds, class 'class {absent}' has 0 rows"):
        deal_folds(labels, 3, 0, names(3))


def test_a_class_smaller_than_the_folds_is_refused() -> None:
    deal_folds(labels_of([9, 3]), 3, 0, names(2))
    with pytest.raises(InputError, match="got 4 folds, class 'class 1' has 3 rows"):
        deal_folds(labels_of([9, 3]), 4, 0, names(2))


@given(n=st.integers(20, 200), c=st.integers(2, 5), seed=st.integers(0, 2**31))
def test_rows_of_many_labels_are_dealt_by_the_rarest_class_they_have(n: int, c: int, seed: int) -> None:
    rates = torch.linspace(0.1, 0.6, c)
    drawn = torch.rand(n, c, generator=torch.Generator().manual_seed(seed))
    labels = torch.where(drawn > 0.95, -1, drawn < rates).to(torch.int8)
    parts = split_stratified(labels, (0.5, 0.5), seed)
    assert torch.cat(parts).sort().values.tolist() == list(range(n))
    first, second = (strata(labels)[part].bincount(minlength=c + 1) for part in parts)
    assert int((first - second).abs().max()) <= 1
    # rows that are alone in their group all train; the odd rows of the others make up for them as far as they go
    sizes = strata(labels).bincount()
    alone, odd = int((sizes == 1).sum()), int(((sizes > 1) & (sizes % 2 == 1)).sum())
    assert abs(len(parts[0]) - len(parts[1])) == max(n % 2, alone - odd)
    rarest = int(count_rows(labels, c).argmin())
    assert abs(int((labels[parts[0], rarest] == 1).sum() - (labels[parts[1], rarest] == 1).sum())) <= 1
    if int(count_rows(labels, c).min()) < 2:
        return
    folds = deal_folds(labels, 2, seed, names(c))
    sizes = torch.stack([strata(labels)[folds == fold].bincount(minlength=c + 1) for fold in (0, 1)])
    assert int(sizes.sum(1).diff().abs()) <= 1
    assert int(sizes.diff(dim=0).abs().max()) <= 1


def test_a_rare_class_of_many_labels_is_refused_in_too_many_folds() -> None:
    labels = torch.tensor([[1, 1], [1, 0], [1, 0]], dtype=torch.int8)
    with pytest.raises(InputError, match="got 3 folds, class 'class 1' has 1 rows"):
        deal_folds(labels, 3, 0, names(2))
