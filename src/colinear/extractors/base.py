"""What an extractor is: options before it has seen data, and then a `Fitted` that turns raw rows into features.

An extractor that learns does so from training rows alone. What it has learned are tensors with names, which a model's
file keeps beside the weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_features, check_finite, check_number, check_seed
from colinear.datasets.base import Dataset, ImageShape

WHITE = 255.0  # constants of extractors are for pixels of 0 to 255, whatever the raw values reach
MOST_COLUMNS = 1 << 20  # features of a row; a thousand rows of them take 4 GiB
Told = Callable[[str, int, int], None]  # as datasets.Progress


@dataclass(frozen=True)
class RowKind:
    """What raw rows are: how many numbers, which pictures, and the value of white.

    n_inputs : columns.   image_shape : (channels, height, width), or None for rows of a table.   value_range : > 0.
    """

    n_inputs: int
    image_shape: ImageShape | None = None
    value_range: float = 1.0

    def __post_init__(self) -> None:
        check_count("n_inputs", self.n_inputs, most=MOST_COLUMNS)
        check_number("value_range", self.value_range, above=0)
        shape = self.image_shape
        if shape is None:
            return
        whole = len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)
        if not whole or shape[0] * shape[1] * shape[2] != self.n_inputs:
            raise InputError(f"image_shape must be three whole numbers > 0 whose product is {self.n_inputs}.")

    @classmethod
    def of(cls, dataset: Dataset) -> RowKind:
        return cls(dataset.n_features, dataset.image_shape, dataset.value_range)

    def pictures(self, rows: Tensor) -> Tensor:
        """Raw rows (b, d) as pictures (b, channels, height, width) float32 with white at 255."""
        if self.image_shape is None:
            raise InputError("rows of a table are no pictures.")
        images = rows.view(len(rows), *self.image_shape).float()
        return images if self.value_range == WHITE else images * (WHITE / self.value_range)


@dataclass(frozen=True)
class Extractor(ABC):
    """Options of a way from raw rows to features; `fit` makes it one that can be used.

    Its fields are its options, which files keep and name. All kinds: `Hog`, `Patches`, `Kernel`, `Network`, `Custom`.
    """

    kind: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ("colinear", "torch")  # whose versions decide the last digits

    @property
    @abstractmethod
    def name(self) -> str:
        """As the command line names it."""

    @abstractmethod
    def check(self, rows: RowKind) -> None:
        """Raise `InputError` for rows that it cannot take."""

    @abstractmethod
    def width(self, rows: RowKind) -> int:
        """Features that it makes of a row."""

    def apart(self) -> list[Extractor]:
        """Extractors whose features, side by side, are its own: each of them is kept by itself."""
        return [self]

    def together(self, rows: RowKind) -> int:
        """Rows that are turned at a time."""
        return 1024

    def shapes(self, rows: RowKind) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor that it learns."""
        return {}

    def learn(self, dataset: Dataset, seed: int, progress: Told | None) -> dict[str, Tensor]:
        """The tensors of `shapes`, float32."""
        return {}

    @abstractmethod
    def apply(self, rows: Tensor, kind: RowKind, tensors: Mapping[str, Tensor]) -> Tensor:
        """Features (b, width) float32 of raw rows (b, d)."""

    def options(self) -> dict[str, Any]:
        """Its fields, as JSON can hold them."""
        return asdict(self)

    def fit(self, dataset: Dataset, seed: int = 0, progress: Told | None = None) -> Fitted:
        """Learn from `dataset`, which has to be training rows.

        seed : draws samples and starts.     progress : called as progress(what, done, total).
        Raises `InputError` for rows that it cannot take.
        """
        kind = RowKind.of(dataset)
        self.check(kind)
        width = self.width(kind)
        if not 1 <= width <= MOST_COLUMNS:
            raise InputError(f"{self.name} makes {width:,} features of a row; at most {MOST_COLUMNS:,} are held.")
        return Fitted(self, kind, self.learn(dataset, seed, progress), seed, width)


@dataclass(frozen=True, eq=False)
class Fitted:
    """An extractor with what it has learned: `transform` turns raw rows into features.

    extractor : its options.   rows : what raw rows are.   tensors : what it has learned, float32 by name.
    seed : that it learned with.   n_features : columns that it makes.
    trained_on : fingerprint of the raw training rows, where that is known.
    Raises   `InputError` for tensors that do not fit the options and the rows.
    """

    extractor: Extractor
    rows: RowKind
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    seed: int = 0
    n_features: int = 0
    trained_on: str | None = None

    def __post_init__(self) -> None:
        self.extractor.check(self.rows)
        check_count("n_features", self.n_features, most=MOST_COLUMNS)
        check_seed("seed", self.seed)
        if not isinstance(self.trained_on, str | None):
            raise InputError("the fingerprint that an extractor was trained on must be text.")
        wanted = self.extractor.shapes(self.rows)
        for name, shape in wanted.items():
            found = self.tensors.get(name)
            if found is None or found.shape != shape or found.dtype != torch.float32:
                got = "none" if found is None else f"{tuple(found.shape)} of {found.dtype}"
                raise InputError(f"{self.name} must have {name}, float32 of shape {shape}; got {got}.")
            if not bool(found.isfinite().all()):
                raise InputError(f"{self.name}: {name} must be finite.")
        if len(self.tensors) > len(wanted):
            raise InputError(f"{self.name} must have {len(wanted)} tensors; it has {len(self.tensors)}.")

    @property
    def name(self) -> str:
        return self.extractor.name

    def transform(self, rows: Tensor) -> Tensor:
        """Features (n, n_features) float32 of raw rows (n, d): uint8, float32 or float64.

        Each row's features are its own, up to the rounding of products of other sizes.
        Raises   `InputError` for rows of another width, and for values that are not finite.
        """
        check_finite(check_features(rows, self.rows.n_inputs, "rows to extract features from"))
        size = self.extractor.together(self.rows)
        parts = (rows[start : start + size] for start in range(0, len(rows), size))
        blocks = [self.extractor.apply(part, self.rows, self.tensors) for part in parts]
        features = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return check_finite(features, f"features of {self.name}")

    def facts(self) -> dict[str, Any]:
        """All but the tensors, as JSON can hold it."""
        shape = self.rows.image_shape
        return {
            "name": self.name, "kind": self.extractor.kind, "options": self.extractor.options(), "seed": self.seed,
            "n_inputs": self.rows.n_inputs, "image_shape": None if shape is None else list(shape),
            "value_range": self.rows.value_range, "n_features": self.n_features, "trained_on": self.trained_on,
        }  # fmt: skip


def need_pictures(name: str, rows: RowKind, least: int, channels: tuple[int, ...] = ()) -> ImageShape:
    """The shape of the pictures; raises `InputError` for tables and for pictures that are too small."""
    shape = rows.image_shape
    if shape is None:
        raise InputError(f"{name} takes pictures; these are rows of a table. Try kernel:1000.")
    if min(shape[1:]) < least:
        raise InputError(f"{name} takes pictures of at least {least} x {least} pixels; got {shape[1]} x {shape[2]}.")
    if channels and shape[0] not in channels:
        raise InputError(f"{name} takes pictures in colour; these have {shape[0]} channel(s). Try hog.")
    return shape
