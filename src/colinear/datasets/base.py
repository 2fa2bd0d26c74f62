"""What a dataset is to the rest of the house: rows of raw numbers, labels, names.

A dataset knows nothing of scaling, weights or devices. Rows stay as they are stored (images uint8, feature
files float32 or float64, perhaps memory-mapped) until a `Features` view turns a chunk of them into numbers
to train on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from colinear.checks import InputError, check_features, check_targets
from colinear.datasets.blocks import Matrix, in_memory
from colinear.datasets.sparse import SparseMatrix

ImageShape = tuple[int, int, int]  # channels, height, width
LABEL_KINDS = ("int", "bool", "text")
Progress = Callable[[str, int, int], None]  # what, how much is done, how much there is
FINGERPRINT_ROWS = 4096  # rows hashed in full; a fingerprint tells data apart, it does not authenticate them


@runtime_checkable
class Dataset(Protocol):
    """Rows of raw features (n_samples, n_features) with labels: (n,) in [0, n_classes), or answers (n, n_classes)."""

    @property
    def name(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def image_shape(self) -> ImageShape | None: ...
    @property
    def labels(self) -> Tensor: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def n_features(self) -> int: ...
    @property
    def n_classes(self) -> int: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def value_range(self) -> float: ...

    def take(self, rows: slice | Tensor) -> Tensor:
        """Raw features (len(rows), n_features) of the given rows, in their stored dtype."""
        ...

    @property
    def layout(self) -> torch.layout:
        """`torch.strided`, or `torch.sparse_csr` for rows that are nearly all zeros."""
        ...

    def stored(self, rows: slice | Tensor) -> SparseMatrix:
        """The same rows as `take` of a sparse dataset, as they are stored."""
        ...

    def subset(self, rows: slice | Tensor) -> Dataset:
        """The dataset of these rows only, without copying features unless they are sparse."""
        ...

    def to(self, device: torch.device) -> Dataset:
        """The same rows held on `device`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Short hash of shape, dtype, labels and up to 4,096 evenly spaced rows."""
        ...


class Counted:
    """What every kind of dataset says of itself by its rows and names."""

    @property
    def layout(self) -> torch.layout:
        """How rows are stored: `torch.strided`, or `torch.sparse_csr` if `stored` gives a `SparseMatrix`."""
        return torch.strided

    def stored(self, rows: slice | Tensor) -> SparseMatrix:
        """Raw features of the given rows of a sparse dataset, as they are stored."""
        raise InputError("these rows are dense: take() them.")

    @property
    def n_samples(self: Dataset) -> int:
        return len(self.labels)

    @property
    def n_classes(self: Dataset) -> int:
        return len(self.class_names)

    @cached_property
    def fingerprint(self: Dataset) -> str:
        return fingerprint(self)


@dataclass(frozen=True, eq=False)
class ArrayDataset(Counted):
    """A dataset over one matrix, in memory or memory-mapped.

    features : (n, d) uint8, float32 or float64: a tensor, `Blocks` of several one below the other, or a `SparseMatrix`
        of float32 or float64, of which a subset is a copy.
    labels : (n,) int64 in [0, len(class_names)), or an answer for each class, (n, c) int8; see `answers`.
    image_shape : (channels, height, width) with product d if rows are images, else None.
    value_range : what raw values are divided by before training: 255 for uint8 images, 16 for digits, else 1.
    rows : None, or the int64 row numbers of `features` that belong (a view: features are never copied).
    label_kind : what the class names were as labels: 'int', 'bool' or 'text'.
    sample_weight : None, or (n,) float64 >= 0: what each row counts.
    extractor : the `extractors.Fitted` that made these rows of raw ones, which a model of them keeps, or None.
    pictures : None, or (n, channels, height, width) uint8 of the rows, for people to see; a subset has none.

    >>> data = ArrayDataset(torch.eye(3), torch.tensor([0, 1, 1]), ("a", "b"))
    >>> data.n_samples, data.n_features, data.n_classes
    (3, 3, 2)
    >>> data.subset(torch.tensor([2])).take(slice(0, 1))
    tensor([[0., 0., 1.]])
    """

    features: Matrix
    labels: Tensor
    class_names: tuple[str, ...]
    image_shape: ImageShape | None = None
    name: str = "array"
    value_range: float = 1.0
    rows: Tensor | None = field(default=None, repr=False)
    label_kind: str = "text"
    sample_weight: Tensor | None = None
    extractor: Any = field(default=None, repr=False)
    pictures: Tensor | None = field(default=None, repr=False)
    # taking rows never waits for the device: a CUDA graph may do it; a dataset that does not say so may not
    capturable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if len(self.features) or self.layout == torch.strided:  # a range of sparse rows is a copy, perhaps of none
            check_features(self.features)
        check_targets(self.labels, len(self.class_names))
        expected = len(self.features) if self.rows is None else len(self.rows)
        if len(self.labels) != expected:
            raise InputError(f"there must be one label per row; got {len(self.labels)} for {expected} rows.")
        if self.sample_weight is not None and len(self.sample_weight) != len(self.labels):
            raise InputError(
                f"there must be one weight per row; got {len(self.sample_weight)} for {len(self.labels)} rows."
            )
        if self.image_shape is not None:
            channels, height, width = self.image_shape
            if channels * height * width != self.features.shape[1]:
                raise InputError(
                    f"image shape {self.image_shape} has {channels * height * width} values; "
                    f"rows have {self.features.shape[1]}."
                )

    @property
    def n_features(self) -> int:
        return self.features.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.features.dtype

    @property
    def layout(self) -> torch.layout:
        return torch.sparse_csr if isinstance(self.features, SparseMatrix) else torch.strided

    def stored(self, rows: slice | Tensor) -> SparseMatrix:
        if not isinstance(self.features, SparseMatrix):
            return super().stored(rows)
        return self.features[rows] if isinstance(rows, slice) else self.features.index_select(0, rows)

    def take(self, rows: slice | Tensor) -> Tensor:
        if isinstance(self.features, SparseMatrix):
            return self.stored(rows).dense()
        if self.rows is not None:
            rows = self.rows[rows]
        elif isinstance(rows, slice):
            return in_memory(self.features[rows])
        return self.features.index_select(0, rows)

    def subset(self, rows: slice | Tensor) -> ArrayDataset:
        if isinstance(rows, Tensor) and rows.dtype == torch.bool:
            rows = rows.nonzero().squeeze(1)
        labels, weights = self.labels[rows], None if self.sample_weight is None else self.sample_weight[rows]
        if isinstance(self.features, SparseMatrix):  # rows out of order would be sorted out by every pass
            return replace(self, features=self.stored(rows), labels=labels, sample_weight=weights, pictures=None)
        if self.rows is not None:
            rows = self.rows[rows]
        elif isinstance(rows, slice):
            return replace(self, features=self.features[rows], labels=labels, sample_weight=weights, pictures=None)
        return replace(self, labels=labels, sample_weight=weights, rows=rows.to(self.features.device), pictures=None)

    def to(self, device: torch.device) -> ArrayDataset:
        return self.on(self.features.to(device))

    @property
    def span(self) -> tuple[int, int]:
        """From the first row of `features` that belongs to behind the last one; (0, 1) if none does."""
        if self.rows is None:
            return 0, len(self.features)
        return (int(self.rows.min()), int(self.rows.max()) + 1) if len(self.rows) else (0, 1)

    def on(self, features: Matrix, first: int = 0) -> ArrayDataset:
        """The same rows of `features`, which are those of this dataset on some device, from row `first` on."""
        rows = None if self.rows is None else self.rows.to(features.device) - first
        weights = None if self.sample_weight is None else self.sample_weight.to(features.device)
        labels = self.labels.to(features.device)
        return replace(self, features=features, labels=labels, rows=rows, sample_weight=weights)


def sample_weights(dataset: Dataset) -> Tensor | None:
    """What each row of `dataset` counts, (n,) float64; None where all count the same."""
    weights: Tensor | None = getattr(dataset, "sample_weight", None)
    return weights


def weights_fingerprint(dataset: Dataset) -> str | None:
    """The same of the weights of the rows, None where all count the same."""
    weights = sample_weights(dataset)
    return None if weights is None else hashlib.sha256(weights.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def fingerprint(dataset: Dataset) -> str:
    """Return 16 hex digits of SHA-256 over shape, dtype, names, labels and <= 4,096 evenly spaced rows."""
    digest = hashlib.sha256()
    digest.update(f"{dataset.n_samples},{dataset.n_features},{dataset.dtype},{dataset.class_names}".encode())
    digest.update(dataset.labels.cpu().contiguous().numpy().tobytes())
    step = max(1, -(-dataset.n_samples // FINGERPRINT_ROWS))
    rows = torch.arange(0, dataset.n_samples, step, device=dataset.labels.device)
    if dataset.layout == torch.sparse_csr:
        held = dataset.stored(rows)
        parts = [held.starts.long(), held.columns.long(), held.values]
    else:
        parts = [dataset.take(rows)]
    for part in parts:
        digest.update(part.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Split:
    """Training, validation and test rows. Validation selects; test is scored once, by the winner."""

    train: Dataset
    validation: Dataset
    test: Dataset | None = None

    @property
    def name(self) -> str:
        return self.train.name

    def to(self, device: torch.device) -> Split:
        """The same parts on `device`; parts that are rows of one matrix are so there, and it is moved once."""
        parts = [part for part in (self.train, self.validation, self.test) if part is not None]
        return Split(*move_together(parts, device))


def move_together(parts: Sequence[Dataset], device: torch.device) -> list[Dataset]:
    """Each of `parts` on `device`; a matrix that several of them are rows of is moved once, from first to last row."""
    spans: dict[int, tuple[int, int]] = {}
    for part in parts:
        if isinstance(part, ArrayDataset) and part.n_samples:
            first, last = part.span
            before = spans.get(id(part.features), (first, last))
            spans[id(part.features)] = min(first, before[0]), max(last, before[1])
    moved: dict[int, Matrix] = {}

    def move(part: Dataset) -> Dataset:
        if not isinstance(part, ArrayDataset):
            return part.to(device)
        held = part.features
        first, last = spans.get(id(held), part.span)
        if device == held.device or last - first == len(held):
            first, cut = 0, held
        else:
            cut = held[first:last]
        if id(held) not in moved:
            moved[id(held)] = cut.to(device)
        return part.on(moved[id(held)], first if part.n_samples else 0)

    return [move(part) for part in parts]


def take_range(dataset: Dataset, rows: slice) -> Dataset:
    """A range of rows, perhaps of none: no array is empty, but a choice of its rows may be."""
    return dataset.subset(rows if rows.start < rows.stop else torch.empty(0, dtype=torch.int64))


def split_tail(dataset: Dataset, share: float) -> tuple[Dataset, Dataset]:
    """Split off the last `share` of the rows, as the course does: (first rows, last rows)."""
    held = round(share * dataset.n_samples)
    if not 0 < held < dataset.n_samples:
        raise InputError(
            f"validation share {share:g} of {dataset.n_samples} rows leaves {held} for validation and "
            f"{dataset.n_samples - held} for training; both must be >= 1."
        )
    kept = dataset.n_samples - held
    return dataset.subset(slice(0, kept)), dataset.subset(slice(kept, dataset.n_samples))
