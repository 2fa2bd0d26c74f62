"""Datasets that are made of others: what they take over, and two of them one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.base import Counted, Dataset, ImageShape, move_together, sample_weights, take_range
from colinear.datasets.sparse import SparseMatrix, stack_sparse


class DerivedDataset(Counted):
    """A dataset made of another: all but the rows is as there."""

    name: str
    class_names: tuple[str, ...]
    image_shape: ImageShape | None
    n_features: int
    dtype: torch.dtype
    value_range: float

    def take_over(self, origin: Dataset) -> None:
        """Be called and shaped as `origin`: the end of every `__post_init__`."""
        for name in DerivedDataset.__annotations__:
            vars(self)[name] = getattr(origin, name)  # past a frozen class, as cached_property does it


@dataclass(frozen=True, eq=False)
class JoinedDataset(DerivedDataset):
    """The rows of `first`, then those of `second`, for a refit or for folds; features and classes must be the same.

    >>> from colinear.datasets import ArrayDataset
    >>> one = ArrayDataset(torch.eye(2), torch.tensor([0, 1]), ("a", "b"))
    >>> JoinedDataset(one, one).take(torch.tensor([3, 0]))
    tensor([[0., 1.],
            [1., 0.]])
    """

    first: Dataset
    second: Dataset

    def __post_init__(self) -> None:
        mine, theirs = (
            (part.n_features, part.class_names, part.dtype, part.value_range, part.layout)
            for part in (self.first, self.second)
        )
        if mine != theirs:
            raise InputError(
                f"rows to be joined must be alike; got (features, classes, dtype, range, layout) {mine}, {theirs}."
            )
        self.take_over(self.first)

    @cached_property
    def labels(self) -> Tensor:
        return torch.cat([self.first.labels, self.second.labels])

    @cached_property
    def sample_weight(self) -> Tensor | None:
        mine, theirs = sample_weights(self.first), sample_weights(self.second)
        return None if mine is None or theirs is None else torch.cat([mine, theirs])

    @property
    def layout(self) -> torch.layout:
        return self.first.layout

    def stored(self, rows: slice | Tensor) -> SparseMatrix:
        cut = self.first.n_samples
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(self.n_samples)
            ends = (min(start, cut), min(stop, cut)), (max(start - cut, 0), max(stop - cut, 0))
            parts = [
                part.stored(slice(*pair))
                for part, pair in zip((self.first, self.second), ends, strict=True)
                if pair[0] < pair[1]
            ]
            return parts[0] if len(parts) == 1 else stack_sparse(parts or [self.first.stored(slice(0, 0))])
        early = rows < cut
        both = stack_sparse((self.first.stored(rows[early]), self.second.stored(rows[~early] - cut)))
        order = torch.cat((early.nonzero(), (~early).nonzero())).squeeze(1)  # where each of them belongs
        return both.index_select(0, order.argsort())

    def take(self, rows: slice | Tensor) -> Tensor:
        if self.layout == torch.sparse_csr:
            return self.stored(rows).dense()
        cut = self.first.n_samples
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self.n_samples)
            if step == 1 and stop <= cut:
                return self.first.take(slice(start, stop))
            if step == 1 and start >= cut:
                return self.second.take(slice(start - cut, stop - cut))
            rows = torch.arange(start, stop, step, device=self.labels.device)
        early = rows < cut
        parts = (self.first.take(rows[early]), self.second.take(rows[~early] - cut))
        taken = parts[0].new_empty(len(rows), self.n_features)
        taken[early], taken[~early] = parts
        return taken

    def subset(self, rows: slice | Tensor) -> Dataset:
        """A range of rows. Nothing that joins rows needs others; say so rather than copy."""
        if isinstance(rows, Tensor) or rows.step not in (None, 1):
            raise InputError("a joined dataset has no subsets but ranges: take the subset of its parts, then join.")
        start, stop, _ = rows.indices(self.n_samples)
        cut = self.first.n_samples
        first = take_range(self.first, slice(min(start, cut), min(stop, cut)))
        return JoinedDataset(first, take_range(self.second, slice(max(start - cut, 0), max(stop - cut, 0))))

    def to(self, device: torch.device) -> JoinedDataset:
        first, second = move_together((self.first, self.second), device)
        return replace(self, first=first, second=second)
