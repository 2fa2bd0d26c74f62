"""A dataset whose rows are extracted when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.base import Dataset
from colinear.datasets.derived import DerivedDataset
from colinear.extractors.base import Fitted


@dataclass(frozen=True, eq=False)
class ExtractedDataset(DerivedDataset):
    """Features of the rows of `base`, float32, computed anew each time: for one pass over them.

    >>> from colinear.datasets import load_digits
    >>> from colinear.extractors import Kernel
    >>> ExtractedDataset(load_digits(), Kernel(7).fit(load_digits())).take(slice(0, 3)).shape
    torch.Size([3, 7])
    """

    base: Dataset
    extractor: Fitted

    def __post_init__(self) -> None:
        rows = self.extractor.rows
        if self.base.n_features != rows.n_inputs or (rows.image_shape and self.base.image_shape != rows.image_shape):
            shape = "" if rows.image_shape is None else f", pictures of {' x '.join(map(str, rows.image_shape))}"
            raise InputError(
                f"{self.extractor.name} takes rows of {rows.n_inputs} numbers{shape}; {self.base.name} has "
                f"{self.base.n_features}. Give the kind of data it was fitted on."
            )
        self.take_over(self.base)
        for name, value in {
            "n_features": self.extractor.n_features, "image_shape": None, "dtype": torch.float32, "value_range": 1.0
        }.items():  # fmt: skip
            vars(self)[name] = value

    @cached_property
    def labels(self) -> Tensor:
        return self.base.labels

    def take(self, rows: slice | Tensor) -> Tensor:
        return self.extractor.transform(self.base.take(rows))

    def subset(self, rows: slice | Tensor) -> ExtractedDataset:
        return replace(self, base=self.base.subset(rows))

    def to(self, device: torch.device) -> ExtractedDataset:
        return replace(self, base=self.base.to(device))
