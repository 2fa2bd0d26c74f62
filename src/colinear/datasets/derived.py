"""What a dataset that is made of another one takes over from it."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import torch

from colinear.datasets.base import Dataset, ImageShape, fingerprint


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
