"""Two datasets one after the other are their concatenation, whatever rows are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Dataset
from colinear.datasets.base import fingerprint
from colinear.datasets.derived import JoinedDataset


def part(first: int, count: int) -> ArrayDataset:
    """Rows whose numbers tell where they come from."""
    rows = torch.arange(first, first + count)
    return ArrayDataset(torch.stack([rows, -rows], 1).float(), rows % 3, ("a", "b", "c"), name=f"from {first}")


JOINED = JoinedDataset(part(0, 5), part(5, 4))
WHOLE = replace(part(0, 9), name="from 0")


@pytest.mark.parametrize(
    "rows",
    [
        slice(0, 9), slice(0, 5), slice(5, 9), slice(1, 3), slice(6, 8), slice(3, 7), slice(4, 4), slice(5, 5),
        slice(0, 9, 2), slice(None), slice(-6, -1), torch.tensor([8, 0, 4, 5, 5]), torch.tensor([0, 1]),
        torch.tensor([7, 6]),
    ],
    ids=str,
)  # fmt: skip
def test_any_rows_are_those_of_the_whole(rows: slice | Tensor) -> None:
    torch.testing.assert_close(JOINED.take(rows), WHOLE.take(rows), rtol=0, atol=0)


def test_everything_else_is_that_of_the_whole() -> None:
    assert isinstance(JOINED, Dataset)
    assert JOINED.labels.tolist() == WHOLE.labels.tolist()
    for name in ("name", "class_names", "image_shape", "n_samples", "n_features", "n_classes", "dtype", "value_range"):
        assert getattr(JOINED, name) == getattr(WHOLE, name)
    assert JOINED.fingerprint == fingerprint(WHOLE)
    assert JOINED.to(torch.device("cpu")).take(slice(3, 7)).tolist() == WHOLE.take(slice(3, 7)).tolist()


@pytest.mark.parametrize(
    "other",
    [
        replace(part(5, 4), class_names=("a", "b", "d")),
        replace(part(5, 4), value_range=2.0),
        replace(part(5, 4), features=torch.zeros(4, 3)),
        replace(part(5, 4), features=torch.zeros(4, 2, dtype=torch.float64)),
    ],
    ids=["classes", "range", "columns", "type"],
)
def test_rows_that_are_not_alike_are_refused(other: ArrayDataset) -> None:
    with pytest.raises(InputError, match="rows to be joined must be alike"):
        JoinedDataset(part(0, 5), other)


@pytest.mark.parametrize(
    "rows", [slice(0, 9), slice(0, 5), slice(2, 4), slice(3, 7), slice(6, 9), slice(4, 4)], ids=str
)
def test_a_range_is_that_of_the_whole(rows: slice) -> None:
    mine = JOINED.subset(rows)
    assert torch.equal(mine.labels, WHOLE.labels[rows])
    assert torch.equal(mine.take(slice(0, mine.n_samples)), WHOLE.features[rows])


@pytest.mark.parametrize("rows", [slice(0, 9, 2), torch.tensor([0, 1])], ids=str)
def test_there_are_no_other_subsets(rows: slice | Tensor) -> None:
    with pytest.raises(InputError, match="take the subset of its parts"):
        JOINED.subset(rows)
