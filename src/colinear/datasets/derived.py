"""Datasets that are made of others: what they take over, and two of them one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.base import Dataset, ImageShape, fingerprint, move_together, take_range


class DerivedDataset(Dataset, Protocol):
    """A dataset made of another, its `origin`: all but the rows is as there."""

    @property
    def origin(self) -> Dataset: ...

    @property
    def name(self) -> str:
        return self.origin.name

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.origin.class_names

    @property
    def image_shape(self) -> ImageShape | None:
        return self.origin.image_shape

    @property
    def n_samples(self) -> int:
        return len(self.labels)

    @property
    def n_features(self) -> int:
        return self.origin.n_features

    @property
    def n_classes(self) -> int:
        return self.origin.n_classes

    @property
    def dtype(self) -> torch.dtype:
        return self.origin.dtype

    @property
    def value_range(self) -> float:
        return self.origin.value_range

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self)


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
            (part.n_features, part.class_names, part.dtype, part.value_range) for part in (self.first, self.second)
        )
        if mine != theirs:
            raise InputError(
                f"rows to be joined must be alike; got (features, classes, dtype, range) {mine}, {theirs}."
            )

    @property
    def origin(self) -> Dataset:
        return self.first

    @cached_property
    def labels(self) -> Tensor:
        return torch.cat([self.first.labels, self.second.labels])

    def take(self, rows: slice | Tensor) -> Tensor:
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
