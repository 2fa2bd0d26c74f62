"""Rows that are nearly all zeros: the numbers that are not, in the order of rows (CSR), and what is asked of them.

Products are `embedding_bag`s: a bag is a row, its words are the columns that it has. On rows of text (20,000 x 65,536,
65 numbers a row) that takes 1 ms for 20 columns of weights and 7 ms for 180, on 2 cores; scipy's product takes 4 and
76, torch's of CSR tensors 2 and 41. A sum over the numbers of a row depends on nothing else that is multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from colinear.checks import InputError, check_features, check_finite
from colinear.parallel.group import Group

BLOCK = 64  # columns of a table that is read at once: 180 in three blocks take 6 ms, not 7, and 12 turned, not 21
NARROW = 2**31 - 1  # what int32 counts


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A matrix (n, d) in compressed rows, with as much of a tensor's interface as a dataset needs.

    starts : (n + 1,) int32 or int64: row i has the numbers starts[i] to starts[i + 1] - 1.
    columns : (nnz,) of the same type, ascending in each row, none twice.   values : (nnz,) float32 or float64.
    Whatever comes from outside is made by `SparseMatrix.checked` or `from_scipy`.

    >>> rows = SparseMatrix.checked([0, 1, 3], [1, 0, 1], torch.tensor([5.0, 6.0, 7.0]), 2)
    >>> rows.shape, rows.dense()
    (torch.Size([2, 2]), tensor([[0., 5.],
            [6., 7.]]))
    >>> rows.times(torch.tensor([[1.0], [10.0]]))
    tensor([[50.],
            [76.]])
    """

    starts: Tensor
    columns: Tensor
    values: Tensor
    width: int

    @classmethod
    def checked(cls, starts: Any, columns: Any, values: Any, width: int, *, what: str = "features") -> SparseMatrix:
        """The matrix of these parts: arrays or tensors of whole numbers, and of numbers.

        Columns out of order are sorted, and numbers of the same place added, as scipy reads them. What is as it has to
        be is not copied. float16 becomes float32; booleans and integers float32, float64 beyond 2^24.
        Raises `InputError` for places outside the matrix, bounds of rows that do not ascend, and values that are not
        finite.
        """
        starts, columns, values = (torch.as_tensor(part) for part in (starts, columns, values))
        nnz = len(columns) if columns.ndim == 1 else -1
        whole = not (starts.is_floating_point() or columns.is_floating_point())
        bounded = starts.ndim == 1 and len(starts) > 0 and int(starts[0]) == 0 and int(starts[-1]) == nnz
        if not (whole and bounded and values.shape == columns.shape and bool((starts.diff() >= 0).all())):
            raise InputError(
                f"{what} must be rows of a sparse matrix: {shown_shape(columns)} columns, as many values "
                f"({shown_shape(values)}), and {shown_shape(starts)} bounds of rows that ascend from 0 to their "
                "number. Write them again, with scipy.sparse.save_npz."
            )
        if nnz and not 0 <= int(columns.min()) <= int(columns.max()) < width:
            bad = columns if int(columns.max()) < width else -columns
            raise InputError(
                f"{what} must have columns in [0, {width}); number {int(bad.argmin())} of them is "
                f"{int(columns[bad.argmin()])}. Write the matrix again."
            )
        index = torch.int32 if max(nnz, width) <= NARROW else torch.int64
        matrix = cls(starts.to(index), columns.to(index), _as_numbers(values, what), width)
        check_features(matrix, what=what)
        matrix = matrix if matrix._in_order() else matrix._sorted()
        return matrix._check_finite(what)

    @classmethod
    def from_scipy(cls, matrix: Any, *, what: str = "features") -> SparseMatrix:
        """Of any of scipy's sparse matrices or arrays of two dimensions; canonical CSR is shared, not copied."""
        rows = matrix.tocsr()
        return cls.checked(rows.indptr, rows.indices, rows.data, rows.shape[1], what=what)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.starts) - 1, self.width))

    @property
    def ndim(self) -> int:
        return 2

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        return self.values.device

    @property
    def nbytes(self) -> int:
        return sum(part.numel() * part.itemsize for part in (self.starts, self.columns, self.values))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, rows: slice) -> SparseMatrix:
        """These rows; those that lie side by side are no copy."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            return self.index_select(0, torch.arange(start, stop, step, device=self.device))
        starts = self.starts[start : max(start, stop) + 1]
        held = slice(int(starts[0]), int(starts[-1]))
        return SparseMatrix(starts - starts[0], self.columns[held], self.values[held], self.width)

    def index_select(self, dim: int, rows: Tensor) -> SparseMatrix:
        """Copy of the rows with the numbers `rows` (b,) int64."""
        first, counts = self.starts[:-1][rows], self.starts.diff()[rows]
        starts = torch.cat((counts.new_zeros(1), counts.cumsum(0, dtype=counts.dtype)))
        place = torch.arange(int(starts[-1]), device=self.device, dtype=starts.dtype)
        place += torch.repeat_interleave(first - starts[:-1], counts)
        return SparseMatrix(starts, self.columns[place], self.values[place], self.width)

    def only(self, columns: Tensor) -> SparseMatrix:
        """The matrix of the columns (m,) int64, ascending, where no other has a number: values are shared."""
        place = self.columns.new_zeros(self.width)
        place[columns] = torch.arange(len(columns), dtype=place.dtype, device=place.device)
        return SparseMatrix(self.starts, place[self.columns], self.values, len(columns))

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> SparseMatrix:
        """On another device or in another precision; the same tensors where nothing changes."""
        parts = [part.to(device) if device is not None else part for part in (self.starts, self.columns, self.values)]
        return SparseMatrix(parts[0], parts[1], parts[2] if dtype is None else parts[2].to(dtype), self.width)

    def dense(self) -> Tensor:
        """(n, d), zeros and all: for few rows or columns."""
        out = self.values.new_zeros(self.shape)
        out[self.row_of(), self.columns] = self.values
        return out

    def row_of(self) -> Tensor:
        """The row of each number, (nnz,)."""
        return torch.repeat_interleave(self.starts.diff())

    def times(self, table: Tensor) -> Tensor:
        """matrix table, (n, m), of a table (d, m) of the values' type.

        Cost     2 nnz m flops.     Error   of a sum of as many numbers as a row has, one after the other.
        """
        return embedding_bag(
            self.columns, table, self.starts, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )

    def transposed(self) -> SparseMatrix:
        """The transpose (d, n), in compressed rows of its own."""
        from scipy.sparse import csr_array  # type: ignore[import-untyped]

        parts = [part.cpu().numpy() for part in (self.values, self.columns, self.starts)]
        turned = csr_array((parts[0], parts[1], parts[2]), shape=tuple(self.shape)).tocsc()
        starts, columns, values = (torch.from_numpy(part) for part in (turned.indptr, turned.indices, turned.data))
        index = self.columns.dtype
        return SparseMatrix(starts.to(index), columns.to(index), values, len(self)).to(self.device)

    def _check_finite(self, what: str) -> SparseMatrix:
        """This matrix, if every value is finite; the message names row and column of the first that is not."""
        if not bool(torch.isfinite(self.values.sum(dtype=torch.float64))):
            bad = (~torch.isfinite(self.values)).nonzero()
            if len(bad):
                number = int(bad[0])
                row = int(torch.searchsorted(self.starts, number, right=True)) - 1
                check_finite(self[row : row + 1].dense(), what, row)
        return self

    def _in_order(self) -> bool:
        """Whether the columns of each row ascend, none twice."""
        rising = self.columns.diff() > 0
        bounds = self.starts[1:-1].long() - 1  # between the last number of a row and the first of the next
        rising[bounds[(bounds >= 0) & (bounds < len(rising))]] = True
        return bool(rising.all())

    def _sorted(self) -> SparseMatrix:
        from scipy.sparse import csr_array

        parts = [part.cpu().numpy() for part in (self.values, self.columns, self.starts)]
        rows = csr_array((parts[0], parts[1], parts[2]), shape=tuple(self.shape), copy=True)
        rows.sum_duplicates()
        starts, columns, values = (torch.from_numpy(part) for part in (rows.indptr, rows.indices, rows.data))
        index = self.columns.dtype
        return SparseMatrix(starts.to(index), columns.to(index), values, self.width).to(self.device)


def stack_sparse(matrices: Sequence[SparseMatrix]) -> SparseMatrix:
    """`matrices` (n_i, d) as one of sum n_i rows: a copy."""
    if len({one.width for one in matrices}) != 1:
        raise InputError(
            f"rows to be joined must have the same columns; got {sorted({one.width for one in matrices})}."
        )
    nnz = sum(len(one.columns) for one in matrices)
    index = torch.int32 if nnz <= NARROW else torch.int64
    ends, starts = 0, [torch.zeros(1, dtype=index, device=matrices[0].device)]
    for one in matrices:
        starts.append((one.starts[1:].long() + ends).to(index))
        ends += len(one.columns)
    columns = torch.cat([one.columns.to(index) for one in matrices])
    return SparseMatrix(torch.cat(starts), columns, torch.cat([one.values for one in matrices]), matrices[0].width)


def gather_sparse(mine: SparseMatrix, group: Group) -> SparseMatrix:
    """The rows of all processes of a group, in the order of ranks, on the processor."""
    every = group.gather((mine.starts.cpu(), mine.columns.cpu(), mine.values.cpu(), mine.width))
    return stack_sparse([SparseMatrix(*parts) for parts in every])


def shown_shape(part: Tensor) -> str:
    return " x ".join(str(size) for size in part.shape) or "one"


def _as_numbers(values: Tensor, what: str) -> Tensor:
    if values.dtype in (torch.float32, torch.float64):
        return values
    if values.is_complex():
        raise InputError(f"{what} must be real numbers; got {values.dtype}. Take their real part, or both as columns.")
    wide = not values.is_floating_point() and values.numel() > 0 and values.dtype != torch.bool
    wide = wide and max(abs(int(values.max())), abs(int(values.min()))) > 2**24
    return values.to(torch.float64 if wide else torch.float32)
