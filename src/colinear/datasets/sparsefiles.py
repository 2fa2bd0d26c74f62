"""Files of `scipy.sparse.save_npz`, read without scipy's own reader: what a member may be is said in `arrays`.

The matrix is as large as its shape says, which a few bytes announce: its rows and columns are held against the file.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colinear.checks import InputError
from colinear.datasets.arrays import LABEL_KEYS, read_member
from colinear.datasets.doors import check_file, check_room
from colinear.datasets.sparse import SparseMatrix
from colinear.texts import shorten, shown_path

PARTS = {"csr": ("indptr", "indices"), "csc": ("indptr", "indices"), "coo": ("row", "col")}
# A column needs a weight for each of some classes, and a row a bound and a label.
COLUMN_BYTES, ROW_BYTES = 64, 16


def read_sparse(path: Path, label: str | None) -> tuple[SparseMatrix, NDArray[Any] | None] | None:
    """Return (features, labels) of a file of `save_npz`; None for any other archive.

    labels : the member called `label`, else y, labels, targets, ...; None if there is none.
    Raises   `InputError` for kinds other than CSR, CSC and COO, for places outside the matrix, values that are not
             finite, and a shape that the file is too small for.
    """
    with zipfile.ZipFile(path) as archive:
        members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
        if not {"format", "shape", "data"} <= set(members):
            return None
        kind = str(read_member(archive, members["format"], path).astype("U20"))
        if kind not in PARTS:
            raise InputError(
                f"{shown_path(path)} must hold a CSR, CSC or COO matrix; it is {shorten(repr(kind), 30)}. Save "
                "its tocsr()."
            )
        missing = [name for name in PARTS[kind] if name not in members]
        if missing:
            raise InputError(f"{shown_path(path)} must have {missing[0]}, as a {kind} matrix. Save it again.")
        shape, data, *places = (
            _plain(read_member(archive, members[name], path)) for name in ("shape", "data", *PARTS[kind])
        )
        key = label if label is not None else next((name for name in LABEL_KEYS if name in members), None)
        labels = read_member(archive, members[key], path) if key in members else None
    n, d = _check_shape(shape, path)
    what = f"features of {shown_path(path)}"
    if kind == "csr":
        return SparseMatrix.checked(places[0], places[1], data, d, what=what), labels
    if kind == "csc":
        return SparseMatrix.checked(places[0], places[1], data, n, what=f"columns as {what}").transposed(), labels
    from scipy.sparse import coo_array  # type: ignore[import-untyped]

    return SparseMatrix.from_scipy(coo_array((data, tuple(places)), shape=(n, d)), what=what), labels


def check_size(path: Path, n: int, d: int) -> None:
    """Refuse a sparse matrix whose rows or columns `path` is too small for."""
    check_room(path, ROW_BYTES * n + COLUMN_BYTES * d, check_file(path), f"what {n:,} rows and {d:,} columns need")


def _check_shape(shape: NDArray[Any], path: Path) -> tuple[int, int]:
    if shape.shape != (2,) or shape.dtype.kind != "i" or shape.min() < 1:
        raise InputError(
            f"{shown_path(path)} must hold a matrix of rows and columns; its shape is {shorten(shape.tolist())}. "
            "Save a matrix of two dimensions."
        )
    n, d = (int(size) for size in shape)
    check_size(path, n, d)
    return n, d


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """In this machine's order of bytes, whole numbers as int64 unless they are int32."""
    if array.dtype.kind in "iu":
        return array.astype(np.int32 if array.dtype == np.int32 else np.int64, copy=False)
    return array.astype(np.float64 if array.dtype.itemsize > 8 else array.dtype.newbyteorder("="), copy=False)
