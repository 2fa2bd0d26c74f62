"""From stored rows to the numbers a solver sees: scale, centre, and the constant column of the bias trick.

Rows are converted chunk by chunk: a uint8 image set or a memory-mapped file never exists as floats in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from colinear.checks import MOST_INTERCEPT_SCALING, InputError, check_finite, check_number
from colinear.datasets.base import ArrayDataset, Dataset
from colinear.datasets.moments import Moments, largest_weight, scaled_by_power
from colinear.datasets.sparserows import SparseRows, measure_columns
from colinear.parallel.group import ALONE, Group

LARGEST_SPREAD = 1e304  # and its inverse the smallest: weights on raw columns are numbers divided by it
# a spread of so much of the mean is that of rounding: dividing by it would blow up noise
ROUNDING = {torch.uint8: 1e-7, torch.float32: 1e-7, torch.float64: 1e-13}
CHUNK_ROWS = 2048  # keeps the scores of ~100 matrix rows in cache; measured best of 512..8192 on 2 cores


@dataclass(frozen=True, eq=False)
class Scaling:
    """x = raw * scale - shift, followed by one constant column of value `bias` (none if bias is 0).

    scale : () or (d,) float64, > 0.      shift : (d,) float64.      bias : the intercept scaling.
    penalized : whether the weights of the constant column are penalised as all others are.
    """

    scale: Tensor
    shift: Tensor
    bias: float = 1.0
    penalized: bool = True

    def __post_init__(self) -> None:
        check_number("intercept_scaling", self.bias, least=0, most=MOST_INTERCEPT_SCALING)

    @property
    def n_outputs(self) -> int:
        """Number of columns after scaling: d, and one more if there is a bias column."""
        return len(self.shift) + (self.bias > 0)

    @property
    def free(self) -> bool:
        """Whether there is a constant column without a penalty."""
        return self.bias > 0 and not self.penalized

    def fold(self, coef: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (..., c, d) and bias (..., c), float64, that give raw rows the scores `coef` gives scaled ones.

        coef : (..., c, d + 1), or (..., c, d) without a bias column.
        Raises `InputError` if they are beyond float64.

        >>> scaling = Scaling(torch.tensor([1e300], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
        >>> scaling.fold(torch.full((1, 2), 1e9))
        Traceback (most recent call last):
        ...
        colinear.checks.InputError: the weights for raw rows are beyond float64. Scale the features, or ...
        """
        coef = coef.double().cpu()
        weight = coef[..., : len(self.shift)]
        bias, weight = -weight @ self.shift, weight * self.scale
        if self.bias > 0:
            bias = bias + self.bias * coef[..., -1]
        if not bool(torch.isfinite(weight).all() & torch.isfinite(bias).all()):
            raise InputError("the weights for raw rows are beyond float64. Scale the features, or regularize more.")
        return weight, bias


def fit_scaling(
    dataset: Dataset,
    *,
    center: bool | None = None,
    standardize: bool = False,
    max_abs: bool = False,
    intercept_scaling: float = 1.0,
    penalize_intercept: bool = True,
    row_weights: Tensor | None = None,
    group: Group = ALONE,
) -> Scaling:
    """Statistics of the training rows, those of all processes of the group, in one pass, float64.

    Images: divided by `value_range`, minus the mean of each channel (the course's preprocessing). Feature
    tables: minus the mean of each column; sparse rows: as they are. `standardize` also divides each column by its
    standard deviation, sparse ones too, whose mean is taken off as well (products carry it, see `products`); `max_abs`
    divides by its largest magnitude. A constant column keeps its scale.
    center : whether means are taken off; None is what is said above.
    `row_weights` (n,), >= 0: row i counts that many times.
    penalize_intercept : whether solvers penalise the weights of the constant column.
    Raises `InputError` on a value that is not finite, and on a column whose spread is beyond float64 (1e-304 to 1e304).
    Error    squares are of differences from the first row over the largest of them: none over- or underflows.
    """
    center = (standardize or dataset.layout == torch.strided) if center is None else center
    if standardize and max_abs:
        raise InputError("columns are divided by their standard deviation or by their largest magnitude, not by both.")
    first_row, before = _join_rows(dataset, group, standardize, max_abs, row_weights is not None)
    wanted = center or standardize, standardize, max_abs
    if dataset.layout == torch.sparse_csr and any(wanted):
        mean, spread, largest = measure_columns(dataset, row_weights, group)
    elif dataset.layout == torch.sparse_csr:  # whose values were looked at when they came
        mean = spread = largest = torch.zeros(dataset.n_features, dtype=torch.float64)
    else:
        mean, spread, largest = _measure_dense(dataset, row_weights, group, first_row, before, *wanted)
    scale = torch.tensor(1.0 / dataset.value_range, dtype=torch.float64)
    mean, spread, largest = (part / dataset.value_range for part in (mean, spread, largest))
    if dataset.image_shape is not None and not (standardize or max_abs):
        channels = dataset.image_shape[0]
        mean = mean.view(channels, -1).mean(1, keepdim=True).expand(channels, mean.numel() // channels).reshape(-1)
    unit = _check_spread(dataset, spread, mean) if standardize else _check_sizes(dataset, largest) if max_abs else None
    mean = mean if center else torch.zeros_like(mean)
    if unit is not None:
        scale, mean = scale / unit, mean / unit
    return Scaling(scale, mean, intercept_scaling, penalize_intercept)


def _measure_dense(
    dataset: Dataset, row_weights: Tensor | None, group: Group, first_row: Tensor, before: int,
    means: bool, spreads: bool, sizes: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Mean, standard deviation and largest magnitude of each column, (d,) float64; zeros for those not asked for."""
    # whole numbers below 256 sum exactly in float32 (2,048 * 255 < 2^24), nine times faster than in float64
    whole = dataset.dtype == torch.uint8 and row_weights is None and not spreads
    moments = Moments(torch.zeros_like(first_row) if whole else first_row, squares=spreads)
    room = torch.empty(CHUNK_ROWS if whole else 0, dataset.n_features, device=dataset.labels.device)
    weights = None if row_weights is None else scaled_by_power(row_weights, largest_weight(row_weights, group))
    largest = torch.zeros(dataset.n_features, dtype=torch.float64, device=dataset.labels.device)
    for start in range(0, dataset.n_samples, CHUNK_ROWS):
        raw = dataset.take(slice(start, start + CHUNK_ROWS))
        check_finite(raw, f"features of {dataset.name}", before + start)
        if sizes:
            largest = torch.maximum(largest, torch.maximum(raw.amax(0).double(), -raw.amin(0).double()))
        if not means:
            continue
        if whole:
            moments.add_whole(room[: len(raw)].copy_(raw))
        else:
            moments.add(raw, None if weights is None else weights[start : start + CHUNK_ROWS])
    nothing = torch.zeros(dataset.n_features, dtype=torch.float64)
    if sizes:
        group.max_(largest)
    if not means:
        return nothing, nothing, largest.cpu()
    moments.sum_over(group)
    return moments.mean, moments.spread if spreads else nothing, largest.cpu()


def _join_rows(dataset: Dataset, group: Group, *settings: bool) -> tuple[Tensor, int]:
    """The first row (1, d) of all processes, and how many rows come before those of this one."""
    facts = {
        "number of columns": dataset.n_features,
        "precision": str(dataset.dtype),
        "value range": dataset.value_range,
    }
    group.agree({**facts, "settings of the scaling": settings})
    first = dataset.take(slice(0, 1))
    every = group.gather((dataset.n_samples, first.cpu()))
    row = next((row for count, row in every if count), first)
    return row.to(first.device), sum(count for count, _ in every[: group.rank])


def _check_sizes(dataset: Dataset, largest: Tensor) -> Tensor:
    """The magnitudes to divide by: 1 for columns of zeros; `InputError` beyond float64."""
    bad = ((largest > 0) & ~((largest >= 1 / LARGEST_SPREAD) & (largest <= LARGEST_SPREAD))).nonzero()
    if len(bad):
        column = int(bad[0])
        raise InputError(
            f"features must have magnitudes between {1 / LARGEST_SPREAD:g} and {LARGEST_SPREAD:g} to be divided by "
            f"them; the largest of column {column} of {dataset.name} is {float(largest[column]):.2g}. Rescale it."
        )
    return torch.where(largest > 0, largest, 1.0)


def _check_spread(dataset: Dataset, spread: Tensor, mean: Tensor) -> Tensor:
    """The spreads to divide by: 1 for constant columns, which rounding leaves; `InputError` beyond float64."""
    constant = spread <= ROUNDING.get(dataset.dtype, ROUNDING[torch.float32]) * mean.abs()
    bad = (~constant & ~((spread >= 1 / LARGEST_SPREAD) & (spread <= LARGEST_SPREAD))).nonzero()
    if len(bad):
        column = int(bad[0])
        raise InputError(
            f"features must have standard deviations between {1 / LARGEST_SPREAD:g} and {LARGEST_SPREAD:g} to be "
            f"standardized; column {column} of {dataset.name} has {float(spread[column]):.2g}. Rescale or drop it."
        )
    return torch.where(constant, torch.ones_like(spread), spread)


@dataclass(eq=False)
class Features:
    """A dataset seen through a `Scaling`: what solvers and objectives walk over.

    Rows come as (b, n_features) of `dtype` on the dataset's device; the buffer is reused, so a chunk is valid
    until the next one is asked for. n_features counts the bias column.
    copies : how often each row comes, as an `AugmentedDataset` orders them, all once, then all again; by it the rows of
        several processes are numbered.
    """

    dataset: Dataset
    scaling: Scaling
    dtype: torch.dtype = torch.float32
    copies: int = 1

    def __post_init__(self) -> None:
        dataset, scaling = self.dataset, self.scaling
        if len(scaling.shift) != dataset.n_features:
            raise InputError(f"{dataset.name} must have {len(scaling.shift)} features; got {dataset.n_features}.")
        self.labels, self.n_samples = dataset.labels, dataset.n_samples
        self.n_classes, self.n_features = dataset.n_classes, scaling.n_outputs
        self._scale = scaling.scale.to(self.device, self.dtype)
        self._factor = float(scaling.scale) if scaling.scale.ndim == 0 else 1.0  # of all columns; read once
        self._minus_shift = -scaling.shift.to(self.device, self.dtype)
        self._buffer = self._scale.new_empty(0, self.n_features)
        self._as_stored = not scaling.bias and bool((scaling.scale == 1).all()) and not bool(scaling.shift.any())
        self._other: Features | None = None
        # what knows rows that are nearly all zeros; nobody but `products` and this class asks for it
        self.sparse = SparseRows(dataset, scaling, self.dtype) if dataset.layout == torch.sparse_csr else None

    @property
    def device(self) -> torch.device:
        return self.labels.device

    @property
    def free(self) -> bool:
        """Whether the last column is constant, and its weights have no penalty."""
        return self.scaling.free

    def penalized(self, coef: Tensor) -> Tensor:
        """The columns of weights (..., n_features) that have a penalty, as a view."""
        return coef[..., :-1] if self.free else coef

    def at(self, dtype: torch.dtype) -> Features:
        """The same rows in another precision (float64 for certificates)."""
        if dtype == self.dtype:
            return self
        if self._other is None or self._other.dtype != dtype:
            self._other = Features(self.dataset, self.scaling, dtype, self.copies)
            self._other.sparse = None if self.sparse is None else self.sparse.at(dtype)
        return self._other

    @cached_property
    def n_stored(self) -> int:
        """Numbers that a pass reads: those of all rows that are there, the constant column aside."""
        return self.n_samples * self.dataset.n_features if self.sparse is None else self.sparse.n_stored

    def gather(self, rows: Tensor | slice) -> Tensor:
        """Scaled features (len(rows), n_features), in the reused buffer, to be read only.

        Of a sparse dataset they are made dense, for what wants a few rows or has few columns.
        """
        if self.sparse is not None:
            return self.sparse.gather(rows)
        raw = self.dataset.take(rows)
        if self._as_stored:
            return raw.to(self.dtype)
        out = self._rows(len(raw))
        values = out[:, : raw.shape[1]]
        if self._scale.ndim == 0:
            values.copy_(raw)  # converting first is twice as fast as adding bytes to floats
            torch.add(self._minus_shift, values, alpha=self._factor, out=values)
        else:
            torch.mul(raw, self._scale, out=values).add_(self._minus_shift)
        return out

    def present(self) -> Tensor:
        """Which columns of the dataset have a number that scaling leaves or makes, (d,) bool: all of dense rows."""
        if self.sparse is None:
            return torch.ones(self.dataset.n_features, dtype=torch.bool, device=self.device)
        there = self._minus_shift != 0
        there[self.sparse.columns] = True
        return there

    def only(self, columns: Tensor) -> Features:
        """The same sparse rows with these columns (m,) int64, ascending, of the dataset alone; others are empty."""
        data, scaling = self.dataset, self.scaling
        rows = data.stored(slice(0, data.n_samples)).only(columns)
        held, on_host = ArrayDataset(rows, data.labels, data.class_names, name=data.name), columns.cpu()
        scale = scaling.scale[on_host] if scaling.scale.ndim else scaling.scale
        return Features(held, replace(scaling, scale=scale, shift=scaling.shift[on_host]), self.dtype, self.copies)

    def gather_columns(self, rows: Tensor | slice, columns: Tensor) -> Tensor:
        """Scaled features in some columns (m,) int64, (len(rows), m)."""
        if self.sparse is not None:
            return self.sparse.gather_columns(rows, columns)
        return self.gather(rows)[:, columns]

    def ranges(self, size: int = CHUNK_ROWS) -> Iterator[slice]:
        """Ranges of `size` rows that cover all rows in order; of more rows where they are sparse."""
        size = size if self.sparse is None else max(size, self.sparse.fewest_rows)
        for start in range(0, self.n_samples, size):
            yield slice(start, min(start + size, self.n_samples))

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[tuple[slice, Tensor]]:
        """Walk all rows in order: (row range, scaled features)."""
        for rows in self.ranges(size):
            yield rows, self.gather(rows)

    def column_sizes(self, rows: Tensor | slice) -> Tensor:
        """Largest magnitude of each column in the given rows, (n_features,), not negative."""
        if self.sparse is not None:
            return self.sparse.column_sizes(rows)
        chunk = self.gather(rows)
        return torch.maximum(chunk.amax(0), -chunk.amin(0))

    def weighted_sum(self, rows: Tensor | slice, weights: Tensor) -> Tensor:
        """Sum of the given rows, each times its weight (b,), (n_features,)."""
        return weights @ self.gather(rows) if self.sparse is None else self.sparse.weighted_sum(rows, weights)

    def column_squares(self, rows: Tensor | slice, weights: Tensor) -> Tensor:
        """Sum of squares in each column, each row times its weight (b,), (n_features,)."""
        if self.sparse is not None:
            return self.sparse.column_squares(rows, weights)
        return weights.to(self.dtype) @ self.gather(rows).square()

    def squared_distances(self, rows: Tensor | slice, point: Tensor | None = None) -> Tensor:
        """Squared distance of each given row from `point` (n_features,), by default the origin, (b,) float64."""
        if self.sparse is not None:
            return self.sparse.squared_distances(rows, point)
        chunk = self.gather(rows)
        return (chunk if point is None else chunk - point).square().sum(1, dtype=torch.float64)

    def _rows(self, count: int) -> Tensor:
        if len(self._buffer) < count:
            self._buffer = self._buffer.new_empty(count, self.n_features)
            if self.scaling.bias > 0:
                self._buffer[:, -1] = self.scaling.bias
        return self._buffer[:count]
