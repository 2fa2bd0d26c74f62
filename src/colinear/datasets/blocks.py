"""Matrices one below the other as one, none of them copied: shards, and half precision kept as it is stored."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.sparse import SparseMatrix, stack_sparse

HALVES = (torch.float16, torch.bfloat16)  # read as float32, a chunk at a time


@dataclass(frozen=True, eq=False)
class Blocks:
    """Rows of `parts`, one after the other, with as much of a tensor's interface as a dataset needs.

    parts : matrices (n_i, d), at least one, all of d columns; memory-mapped or not, and never copied here.
    dtype : that of rows when they are read: what all parts can be held in, float32 for half precision.
    Cost    memory for the rows that are asked for; `take` of unsorted rows sorts them first.

    >>> rows = Blocks((torch.eye(2), torch.zeros(1, 2, dtype=torch.float16)))
    >>> rows.shape, rows.dtype
    (torch.Size([3, 2]), torch.float32)
    >>> rows.index_select(0, torch.tensor([2, 0]))
    tensor([[0., 0.],
            [1., 0.]])
    """

    parts: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        if len(widths := {part.shape[1] for part in self.parts}) != 1:
            raise InputError(f"rows to be joined must have the same columns; got {sorted(widths)} of them.")

    @cached_property
    def ends(self) -> Tensor:
        """Number of rows up to the end of each part, (parts,) int64."""
        return torch.tensor([len(part) for part in self.parts]).cumsum(0)

    @cached_property
    def dtype(self) -> torch.dtype:
        held = reduce(torch.promote_types, (part.dtype for part in self.parts))
        return torch.float32 if held in HALVES else held

    @cached_property
    def shape(self) -> torch.Size:
        return torch.Size((int(self.ends[-1]), self.parts[0].shape[1]))

    @property
    def ndim(self) -> int:
        return 2

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Blocks:
        """These rows, not read yet."""
        start, stop, step = rows.indices(len(self))
        if step < 1:
            raise InputError(f"rows must be in order; got a step of {step}.")
        met = range(bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop))
        firsts = [(self.parts[number], start - self._starts[number], stop - self._starts[number]) for number in met]
        cut = [part[max(first, first % step) : last : step] for part, first, last in firsts]
        return Blocks(tuple(part for part in cut if len(part)) or (self.parts[0][:0],))

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """Copy of `rows` (b,) int64, (b, d); each part is read in order."""
        if len(self.parts) == 1:
            return self.parts[0].index_select(dim, rows).to(self.dtype)
        order = None if bool((rows[1:] >= rows[:-1]).all()) else rows.argsort()
        taken = torch.empty(len(rows), self.shape[1], dtype=self.dtype)
        for first, part, span in self._spans(rows if order is None else rows[order]):
            place = slice(first, first + len(span)) if order is None else order[first : first + len(span)]
            taken[place] = part.index_select(dim, span).to(self.dtype)
        return taken

    def to(self, device: torch.device) -> Tensor | Blocks:
        """As they are on the processor; on another device one tensor, moved part by part."""
        if device == self.device:
            return self
        return self.whole(device)

    def whole(self, device: torch.device | None = None) -> Tensor:
        """All rows as one tensor, (n, d); a view of a single part that is stored as it is read."""
        if len(self.parts) == 1:
            return self.parts[0].to(device=device, dtype=self.dtype)
        rows = torch.empty(self.shape, dtype=self.dtype, device=device)
        for first, part in zip(self._starts, self.parts, strict=True):
            rows[first : first + len(part)] = part if device is None else part.to(device)
        return rows

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *self.ends[:-1].tolist()]

    def _spans(self, rows: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(place in `rows`, part, rows of that part) for each part that sorted `rows` reach into."""
        place, owners = 0, torch.bucketize(rows, self.ends, right=True)
        for number, count in enumerate(owners.bincount().tolist()):
            if count:
                yield place, self.parts[number], rows[place : place + count] - self._starts[number]
            place += count


Matrix = Tensor | Blocks | SparseMatrix


def stack(matrices: Sequence[Matrix]) -> Matrix:
    """`matrices` (n_i, d) as one of sum n_i rows; a single one as it is. Nothing is copied but sparse rows."""
    if len(matrices) == 1:
        return matrices[0]
    sparse = [one for one in matrices if isinstance(one, SparseMatrix)]
    dense = [one for one in matrices if not isinstance(one, SparseMatrix)]
    if sparse and dense:
        raise InputError(f"rows to be joined must all be sparse, or none; {len(sparse)} of {len(matrices)} parts are.")
    if sparse:
        return stack_sparse(sparse)
    return Blocks(tuple(part for one in dense for part in (one.parts if isinstance(one, Blocks) else (one,))))


def in_memory(matrix: Matrix) -> Tensor:
    """`matrix` as one tensor of the type that its rows are read in."""
    if isinstance(matrix, SparseMatrix):
        return matrix.dense()
    return matrix.whole() if isinstance(matrix, Blocks) else matrix
