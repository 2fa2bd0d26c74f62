"""A sparse dataset seen through a `Scaling`: what `Features` asks of rows, without a zero of them being written.

    x = raw * scale - shift, and the constant column

Scale, shift and constant are never put into the rows: products carry them in the weights (see `products`), and what is
summed here over the numbers of a row or column is corrected for the zeros. So rows may even be centred.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from colinear.datasets.base import Dataset
from colinear.datasets.moments import largest_weight, scaled_by_power
from colinear.datasets.sparse import SparseMatrix
from colinear.parallel.group import Group

if TYPE_CHECKING:
    from colinear.datasets.features import Scaling

# A chunk adds to the gradient of every column, whether or not its rows have it: with 32 numbers for each column that
# costs little beside the products. Float32 sums of more rows than the most would lose digits.
NUMBERS_PER_COLUMN = 32
MOST_ROWS = 32768

Chunk = tuple[SparseMatrix, SparseMatrix]  # rows, and their transpose


@dataclass(eq=False)
class SparseRows:
    """Raw rows (b, d) of `dataset` in `dtype`, and sums over them scaled.

    kept : ranges of rows with their transposes: made once, in the stored precision, for all precisions.
    """

    dataset: Dataset
    scaling: Scaling
    dtype: torch.dtype
    kept: dict[tuple[int, int], Chunk] = field(default_factory=dict, repr=False)

    @cached_property
    def scale(self) -> Tensor:
        """(d,), or () if all columns have one."""
        return self.scaling.scale.to(self.dataset.labels.device, self.dtype)

    @cached_property
    def shift(self) -> Tensor | None:
        """(d,); None where nothing is taken off."""
        shift = self.scaling.shift
        return shift.to(self.dataset.labels.device, self.dtype) if bool(shift.any()) else None

    def at(self, dtype: torch.dtype) -> SparseRows:
        return SparseRows(self.dataset, self.scaling, dtype, self.kept)

    @property
    def columns(self) -> Tensor:
        """Of each number, of all rows."""
        return self.dataset.stored(slice(0, self.dataset.n_samples)).columns

    @cached_property
    def n_stored(self) -> int:
        """Numbers of all rows."""
        return len(self.dataset.stored(slice(0, self.dataset.n_samples)).values)

    @cached_property
    def fewest_rows(self) -> int:
        """Rows that a chunk should have at least."""
        each = max(self.n_stored, 1) / max(self.dataset.n_samples, 1)
        return min(MOST_ROWS, int(NUMBERS_PER_COLUMN * self.dataset.n_features / each))

    def load(self, rows: Tensor | slice) -> SparseMatrix:
        """Raw rows, of `dtype`."""
        return self.dataset.stored(rows).to(dtype=self.dtype)

    def load_both(self, rows: Tensor | slice) -> Chunk:
        """Raw rows and their transpose, of `dtype`; those of a range are kept."""
        if isinstance(rows, Tensor):
            mine = self.load(rows)
            return mine, mine.transposed()
        place = rows.start, rows.stop
        if place not in self.kept:
            mine = self.dataset.stored(rows)
            self.kept[place] = mine, mine.transposed()
        mine, turned = self.kept[place]
        return mine.to(dtype=self.dtype), turned.to(dtype=self.dtype)

    def gather(self, rows: Tensor | slice) -> Tensor:
        """Scaled rows, dense, and the constant column: for few rows."""
        raw = self.load(rows).dense()
        scaled = raw.mul_(self.scale) if self.shift is None else raw.mul_(self.scale).sub_(self.shift)
        return scaled if not self.scaling.bias else torch.cat((scaled, self._constant(len(scaled), 1)), 1)

    def gather_columns(self, rows: Tensor | slice, columns: Tensor) -> Tensor:
        """Scaled values in these columns (m,), the constant one perhaps among them, dense, (b, m)."""
        held, n = self.load(rows), self.dataset.n_features
        place = torch.full((n + 1,), -1, device=held.device)
        place[columns] = torch.arange(len(columns), device=held.device)
        at = place[held.columns]
        wanted = at >= 0
        out = torch.zeros(len(held), len(columns), dtype=self.dtype, device=held.device)
        out[held.row_of()[wanted], at[wanted]] = held.values[wanted]
        shift = torch.zeros(n, dtype=self.dtype, device=held.device) if self.shift is None else self.shift
        out *= self._with_constant(self.scale.expand(n), 0.0)[columns]
        return out.sub_(self._with_constant(shift, -self.scaling.bias)[columns])

    def column_sizes(self, rows: Tensor | slice) -> Tensor:
        """Largest magnitude of each scaled column, (d [+ 1],) float64."""
        held, n = self.load(rows), self.dataset.n_features
        ends = torch.zeros(2, n, dtype=self.dtype, device=held.device)
        columns = held.columns.long()
        ends[0].scatter_reduce_(0, columns, held.values, "amax")
        ends[1].scatter_reduce_(0, columns, held.values, "amin")
        sizes = (ends * self.scale if self.shift is None else ends * self.scale - self.shift).abs().amax(0)
        return self._with_constant(sizes, self.scaling.bias).double()

    def weighted_sum(self, rows: Tensor | slice, weights: Tensor) -> Tensor:
        """Sum of weights (b,) times scaled rows, (d [+ 1],) of `dtype`."""
        held = self.load(rows)
        sums = _add_up(held, weights.to(self.dtype)[held.row_of()] * held.values) * self.scale
        total = weights.to(self.dtype).sum()
        sums = sums if self.shift is None else sums - total * self.shift
        return self._with_constant(sums, float(total) * self.scaling.bias)

    def column_squares(self, rows: Tensor | slice, weights: Tensor) -> Tensor:
        """Sum of weights (b,) times squares of scaled rows, (d [+ 1],) of `dtype`."""
        held = self.load(rows)
        weights = weights.to(self.dtype)
        each, total = weights[held.row_of()] * held.values, weights.sum()
        sums = _add_up(held, each * held.values) * self.scale.square()
        if self.shift is not None:
            sums = (sums - 2 * self.scale * self.shift * _add_up(held, each) + total * self.shift.square()).clamp_(
                min=0
            )
        return self._with_constant(sums, float(total) * self.scaling.bias**2)

    def squared_distances(self, rows: Tensor | slice, point: Tensor | None) -> Tensor:
        """Squared distance of each scaled row from `point` (d [+ 1],), the origin if None, (b,) float64."""
        held, n = self.load(rows), self.dataset.n_features
        scale = self.scale.expand(n)[held.columns]
        away = torch.zeros(n, dtype=self.dtype, device=held.device) if self.shift is None else self.shift
        rest = self.scaling.bias**2
        if point is not None:
            away = away + point[:n]
            rest = float(point[n] - self.scaling.bias) ** 2 if self.scaling.bias else 0.0
        scaled = held.values * scale
        # |x - a|^2 = |a|^2 + sum of x (x - 2 a) over the numbers of x
        each = scaled * (scaled - 2 * away[held.columns])
        sums = torch.zeros(len(held), dtype=torch.float64, device=held.device)
        sums.index_add_(0, held.row_of(), each.double())
        return (sums + (away.square().sum(dtype=torch.float64) + rest)).clamp_(min=0)

    def _constant(self, *shape: int) -> Tensor:
        return torch.full(shape, self.scaling.bias, dtype=self.dtype, device=self.dataset.labels.device)

    def _with_constant(self, columns: Tensor, value: float) -> Tensor:
        return torch.cat((columns, columns.new_full((1,), value))) if self.scaling.bias else columns


def _add_up(rows: SparseMatrix, values: Tensor) -> Tensor:
    """Sum in each column of numbers (nnz,) that stand where those of `rows` do, (d,)."""
    return values.new_zeros(rows.width).index_add_(0, rows.columns, values)


def measure_columns(dataset: Dataset, row_weights: Tensor | None, group: Group) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, standard deviation and largest magnitude of each column over the rows of all processes, (d,) float64.

    Columns are divided by their largest magnitude first: no square over- or underflows.
    """
    d, device = dataset.n_features, dataset.labels.device
    weights = torch.ones(dataset.n_samples, dtype=torch.float64, device=device)
    if row_weights is not None:
        weights = scaled_by_power(row_weights, largest_weight(row_weights, group))
    largest, held, first, second = torch.zeros(4, d, dtype=torch.float64, device=device).unbind()

    def walk() -> Iterator[tuple[SparseMatrix, Tensor, Tensor]]:
        """Rows, the weight of each number, and each number over its unit."""
        for start in range(0, dataset.n_samples, MOST_ROWS):
            rows = dataset.stored(slice(start, start + MOST_ROWS))
            each = weights[start : start + MOST_ROWS][rows.row_of()]
            yield rows, each, rows.values.double() / unit[rows.columns]

    unit = torch.ones_like(largest)
    for rows, _, shares in walk():
        largest.scatter_reduce_(0, rows.columns.long(), shares.abs(), "amax")
    group.max_(largest)
    unit = torch.where(largest > 0, largest, 1.0)
    for rows, each, shares in walk():
        held += _add_up(rows, each)
        first += _add_up(rows, each * shares)
    total = weights.sum().view(1)
    group.sum_(total, held, first)
    mean = first / total
    for rows, each, shares in walk():
        second += _add_up(rows, each * (shares - mean[rows.columns]).square())
    group.sum_(second)
    spread = ((second + (total - held).clamp_(min=0) * mean.square()) / total).sqrt()
    return (mean * unit).cpu(), (spread * unit).cpu(), largest.cpu()
