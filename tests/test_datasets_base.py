"""Rows, views and splits."""

from __future__ import annotations

import pytest
import torch

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Dataset, split_tail
from colinear.datasets.base import FINGERPRINT_ROWS, Split, move_together
from colinear.datasets.blocks import Blocks
from colinear.datasets.derived import JoinedDataset


def make(n: int = 7, d: int = 2) -> ArrayDataset:
    return ArrayDataset(torch.arange(float(n * d)).view(n, d), torch.arange(n) % 3, ("a", "b", "c"))


def test_array_dataset_is_a_dataset() -> None:
    assert isinstance(make(), Dataset)


@pytest.mark.parametrize(
    "rows",
    [slice(2, 5), torch.tensor([4, 0, 4]), torch.tensor([True, False] * 3 + [True])],
    ids=["slice", "rows", "mask"],
)
@pytest.mark.parametrize("inner", [slice(1, 3), torch.tensor([1, 0])], ids=["slice", "rows"])
def test_subset_of_subset_is_indexing_twice(rows: slice | torch.Tensor, inner: slice | torch.Tensor) -> None:
    data = make()
    view = data.subset(rows)
    torch.testing.assert_close(view.take(slice(0, view.n_samples)), data.features[rows])
    torch.testing.assert_close(view.take(inner), data.features[rows][inner])
    torch.testing.assert_close(view.subset(inner).labels, data.labels[rows][inner])
    torch.testing.assert_close(view.subset(inner).take(slice(0, 2)), data.features[rows][inner])


def test_subset_shares_the_features() -> None:
    data = make()
    assert data.subset(torch.tensor([3, 1])).features is data.features
    assert data.subset(slice(2, 4)).features.data_ptr() == data.features[2:].data_ptr()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": torch.zeros(6, dtype=torch.int64)}, "one label per row"),
        ({"labels": torch.full((7,), 3)}, r"lie in \[0, 3\); row 0 has 3"),
        ({"labels": torch.zeros(7)}, "must be int64"),
        ({"image_shape": (1, 1, 3)}, "has 3 values; rows have 2"),
        ({"features": torch.zeros(7, 2, dtype=torch.int64)}, "uint8, float32 or float64"),
        ({"features": torch.zeros(7, 0)}, "neither 0"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, object], message: str) -> None:
    data = make()
    with pytest.raises(InputError, match=message):
        ArrayDataset(**{"features": data.features, "labels": data.labels, "class_names": data.class_names, **fields})


def test_fingerprint_sees_values_labels_and_names() -> None:
    data = make()
    same = make()
    other = make()
    other.features[3, 1] += 1
    prints = {
        data.fingerprint,
        other.fingerprint,
        ArrayDataset(data.features, data.labels.flip(0), data.class_names).fingerprint,
        ArrayDataset(data.features, data.labels, ("a", "b", "d")).fingerprint,
    }
    assert data.fingerprint == same.fingerprint
    assert len(prints) == 4


@pytest.mark.parametrize("n", [1, FINGERPRINT_ROWS, FINGERPRINT_ROWS + 1, 3 * FINGERPRINT_ROWS - 1])
def test_fingerprint_hashes_at_most_its_rows(n: int) -> None:
    seen: list[int] = []

    class Watched(ArrayDataset):
        def take(self, rows: slice | torch.Tensor) -> torch.Tensor:
            assert isinstance(rows, torch.Tensor)
            seen.append(len(rows))
            return super().take(rows)

    assert len(Watched(torch.zeros(n, 1), torch.zeros(n, dtype=torch.int64), ("a",)).fingerprint) == 16
    assert 0 < seen[0] <= FINGERPRINT_ROWS


def test_tail_is_the_last_rows() -> None:
    train, tail = split_tail(make(), 0.3)
    assert train.labels.tolist() == [0, 1, 2, 0, 1]
    assert tail.take(slice(0, 2)).tolist() == [[10.0, 11.0], [12.0, 13.0]]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.99, 1.0])
def test_tail_that_leaves_a_part_empty_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="validation share"):
        split_tail(make(), share)


def test_parts_of_one_matrix_are_moved_to_a_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, other = make(30), make(8)
    train, validation = (whole.subset(torch.arange(start, 30, 2)) for start in (0, 1))
    moved: list[int] = []
    real = torch.Tensor.to

    def count(tensor: torch.Tensor, *where: object) -> torch.Tensor:
        if tensor.ndim == 2:
            moved.append(len(tensor))
        return real(tensor, *where)  # type: ignore[call-overload]

    monkeypatch.setattr(torch.Tensor, "to", count)
    monkeypatch.setattr("colinear.datasets.base.check_targets", lambda *_: None)  # labels on meta have no values
    device = torch.device("meta")
    split = Split(train, validation, other).to(device)
    assert sorted(moved) == [8, 30]
    assert isinstance(split.train, ArrayDataset)
    assert isinstance(split.validation, ArrayDataset)
    assert split.train.features is split.validation.features
    assert [part.labels.device.type for part in (split.train, split.validation, split.test)] == ["meta"] * 3
    assert Split(train, validation, None).to(device).test is None
    joined = JoinedDataset(train, validation).to(device)
    assert joined.first.features is joined.second.features  # type: ignore[attr-defined]
    assert sorted(moved) == [8, 30, 30, 30]


def test_moved_parts_have_the_rows_they_had() -> None:
    whole = make(30)
    parts = [whole.subset(torch.tensor([4, 2])), whole.subset(slice(5, 9)), whole.subset(torch.tensor([7]))]
    there = Split(*parts).to(torch.device("cpu"))
    for part, now in zip(parts, (there.train, there.validation, there.test), strict=True):
        assert now is not None
        assert torch.equal(now.take(slice(0, 9)), part.take(slice(0, 9)))
        assert torch.equal(now.labels, part.labels)


def test_rows_are_moved_from_the_first_that_belongs_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another device gets these alone, once for all parts of one matrix: a process of several has a range."""
    data = ArrayDataset(Blocks((torch.arange(40.0).view(20, 2),)), torch.zeros(20, dtype=torch.int64), ("a", "b"))
    chosen = ([5, 7, 11], [6, 9], [])
    parts = [data.subset(torch.tensor(rows, dtype=torch.int64)) for rows in chosen]
    monkeypatch.setattr(Blocks, "device", property(lambda _: torch.device("meta")))
    moved = move_together(parts, torch.device("cpu"))
    held = {id(part.features) for part in moved if isinstance(part, ArrayDataset)}
    assert len(held) == 1
    assert isinstance(moved[0], ArrayDataset)
    assert len(moved[0].features) == 7
    for part, rows in zip(moved, chosen, strict=True):
        assert part.take(slice(0, 3))[:, 0].tolist() == [2.0 * row for row in rows]
    [whole] = move_together([data], torch.device("cpu"))
    assert torch.equal(whole.take(slice(0, 20)), torch.arange(40.0).view(20, 2))
