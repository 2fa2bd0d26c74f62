"""Column files and sparse text: Parquet and svmlight to a matrix and a label column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colinear.checks import InputError
from colinear.datasets.doors import check_claim, check_file, check_memory, guarded
from colinear.datasets.labels import RawLabels
from colinear.datasets.sparse import SparseMatrix
from colinear.datasets.sparsefiles import check_size
from colinear.texts import listed, shorten, shown_path

EXACT = 2**24  # whole numbers up to this size are float32 numbers
LABEL_COLUMNS = ("label", "labels", "y", "target", "class")
LISTS = ("list<", "large_list<", "fixed_size_list<")  # as pyarrow writes their types
SPARSE_UP_TO = 0.25  # share of values that are not 0 up to which they, their places and both once more take less memory


def read_parquet(path: Path, label: str | None, weight: str | None = None) -> tuple[NDArray[Any], RawLabels]:
    """Return (features, labels): the one list column, or else every other column but `weight`, all numeric."""
    return read_parquets([path], path, label, weight)


def read_parquets(
    files: Sequence[Path], path: Path, label: str | None, weight: str | None = None
) -> tuple[NDArray[Any], RawLabels]:
    """`read_parquet` of the rows of `files` one after the other, as one table; errors of the whole name `path`."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise InputError(
            f"{shown_path(path)} needs pyarrow, which is not installed: pip install 'colinear[parquet]'."
        ) from None
    schema, tables, held = None, [], 0
    for file in files:
        check_file(file)
        with guarded(file, ".parquet"):
            one = parquet.ParquetFile(file)
            if schema is None:
                schema = one.schema_arrow
                found = _label_columns(schema.names, file, label)
                # text as a dictionary: what a small file names in every row is held once
                texts = [found[0]] if str(schema.field(found[0]).type) in ("string", "large_string") else []
            _check_columns(one.schema_arrow, schema, file, files[0])
            held = _check_cells(one.metadata, file, held)
            tables.append(parquet.ParquetFile(file, read_dictionary=texts).read())
    table = pyarrow.concat_tables(tables)
    rest = table.drop_columns([name for name in dict.fromkeys((*found, weight)) if name in table.column_names])
    lists = [field.name for field in rest.schema if str(field.type).startswith(LISTS)]
    if len(lists) > 1:
        raise InputError(f"{shown_path(path)} has {len(lists)} columns of lists: {listed(lists)}. Keep one of them.")
    features = _from_lists(rest.column(lists[0]), lists[0], path) if lists else _from_columns(rest, path)
    if len(found) > 1:  # of answers, where missing ones are unknown
        return features, {name: _answers(table.column(name), name, path) for name in found}
    labels = table.column(found[0])
    if labels.null_count:
        raise InputError(
            f"{shown_path(path)}: column {shorten(found[0])} has {labels.null_count} missing labels. "
            "Drop those rows first."
        )
    return features, _label_values(labels)


def _label_columns(names: list[str], path: Path, label: str | None) -> list[str]:
    """The column of labels; or several with a comma, each with the answers for one class."""
    several = [] if label is None or label in names else [name.strip() for name in label.split(",")]
    if len(set(several)) > 1 and all(names.count(name) == 1 for name in several):
        return list(dict.fromkeys(several))
    found = label if label is not None else next((name for name in LABEL_COLUMNS if name in names), None)
    if found is None or names.count(found) != 1:
        raise InputError(
            f"{shown_path(path)} must have a column of labels, {shorten(found or 'label', 30)}; it has {listed(names)}"
            ". Name it with --label."
        )
    return [found]


def _answers(column: Any, name: str, path: Path) -> NDArray[Any]:
    """Numbers of a column, NaN where they are missing."""
    if not _is_number(column.type):
        raise InputError(
            f"{shown_path(path)}: column {shorten(name)} must hold answers, 1 and 0; it is {shorten(column.type)}. "
            "Name one column of labels, or columns of answers only."
        )
    return np.asarray(column.to_numpy())


def _check_columns(schema: Any, first: Any, path: Path, first_path: Path) -> None:
    """The same columns, of the same types and in the same order, in every file of a table."""
    mine, theirs = ([f"{field.name} ({field.type})" for field in one] for one in (schema, first))
    if mine != theirs:
        number = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), len(theirs))
        pair = [shorten(one[number], 60) if number < len(one) else "none" for one in (mine, theirs)]
        raise InputError(
            f"{shown_path(path)} must have the columns of {shown_path(Path(first_path.name))}, in their order; "
            f"column {number} is {pair[0]}, there {pair[1]}. Write all files alike."
        )


def _check_cells(metadata: Any, path: Path, held: int) -> int:
    """Hold the values that the footer announces against the size of the file: runs of one value take next to none.

    held : bytes of the files before it.     Returns  the same with this one.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    values = sum(one.num_values * (8 if one.physical_type in ("DOUBLE", "INT64") else 4) for one in columns)
    needed = int(max(values, sum(group.total_byte_size for group in groups)))
    check_claim(path, needed, check_file(path), "the table")
    check_memory(path, held + needed, "the table")
    return held + needed


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _label_values(column: Any) -> RawLabels:
    """Numbers as they are; text by way of the distinct texts, so that equal ones are one object."""
    from pyarrow import types

    if _is_number(column.type):
        return np.asarray(column.to_numpy())
    if not types.is_dictionary(column.type):
        return list(column.to_pylist())
    values: list[Any] = []
    for chunk in column.chunks:
        words = chunk.dictionary.to_pylist()
        values += [words[number] for number in chunk.indices.to_pylist()]
    return values


def _from_lists(column: Any, name: str, path: Path) -> NDArray[Any]:
    """(n, d) from a column of n lists, all of length d."""
    from pyarrow import compute

    if not _is_number(column.type.value_type):
        raise InputError(
            f"{shown_path(path)}: column {shorten(name)} must hold lists of numbers; got {shorten(column.type)}."
        )
    lengths = compute.list_value_length(column).to_numpy()  # a missing list has length nan
    bad = np.flatnonzero(lengths != lengths[0]) if len(lengths) else np.empty(0)
    values = compute.list_flatten(column)
    if len(bad) or values.null_count or not len(values):
        row = (
            f"row {bad[0]} has {lengths[bad[0]]:g} values, row 0 has {lengths[0]:g}" if len(bad) else "some lack values"
        )
        raise InputError(
            f"{shown_path(path)}: the lists of column {shorten(name)} must be of one length, without gaps; {row}."
        )
    return np.asarray(values.to_numpy()).reshape(len(lengths), -1)


def _from_columns(table: Any, path: Path) -> NDArray[Any]:
    """(n, d) from d numeric columns; uint8 if all are, float64 if any is or needs to be, else float32."""
    if not table.num_columns or not table.num_rows:
        raise InputError(
            f"{shown_path(path)} must have rows and feature columns; got {table.num_rows} x {table.num_columns}."
        )
    for field in table.schema:
        if not _is_number(field.type):
            raise InputError(
                f"{shown_path(path)}: feature columns must be numbers; column {shorten(field.name)} is "
                f"{shorten(field.type)}. Drop it or encode it as numbers, or name the labels with --label."
            )
    kinds = {str(field.type) for field in table.schema}
    dtype: type[np.generic] = np.uint8 if kinds == {"uint8"} else np.float64 if "double" in kinds else np.float32
    matrix = np.empty((table.num_rows, table.num_columns), dtype)
    for number, name in enumerate(table.column_names):
        column = table.column(number)
        if column.null_count:
            raise InputError(
                f"{shown_path(path)}: column {shorten(name)} has {column.null_count} missing values. Drop or fill them."
            )
        values = column.to_numpy()
        if matrix.dtype == np.float32 and needs_float64(values):  # those before it are exact in float32
            matrix = matrix.astype(np.float64)
        matrix[:, number] = values
    return matrix


def needs_float64(values: NDArray[Any]) -> bool:
    """Whether whole numbers are among `values` that float32 would round: timestamps, identifiers.

    >>> needs_float64(np.array([1_700_000_000])), needs_float64(np.array([-(2**24)])), needs_float64(np.array([1e30]))
    (True, False, False)
    """
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 4 or not values.size:
        return False
    return int(values.max()) > EXACT or int(values.min()) < -EXACT


WHOLE = 2**53  # up to which float64 holds every whole number


def read_svmlight(
    path: Path, label: str | None, weight: str | None = None
) -> tuple[NDArray[Any] | SparseMatrix, RawLabels]:
    """Return (features float32 (n, d), labels); index 0 or 1 first, as scikit-learn's `zero_based="auto"` finds.

    They are a `SparseMatrix` if at most `SPARSE_UP_TO` of them are not 0. Where a line has several labels, `1,3`, every
    line has an answer for each: columns of them, called as the numbers are.
    """
    if label is not None:
        raise InputError(f"{shown_path(path)}: svmlight text has its labels first in each line; leave --label out.")
    from sklearn.datasets import load_svmlight_file  # a second to import, for this format alone

    labels: RawLabels
    try:
        sparse, labels = load_svmlight_file(str(path), dtype=np.float32)
    except ValueError:  # a comma in a label is no number; neither is what else may be wrong, which is told then
        sparse, several = load_svmlight_file(str(path), dtype=np.float32, multilabel=True)
        labels = _answers_of(several, path)
    n, d = sparse.shape
    check_size(path, n, d)
    if sparse.nnz <= SPARSE_UP_TO * n * d:
        return SparseMatrix.from_scipy(sparse, what=f"features of {shown_path(path)}"), labels
    return sparse.toarray(), labels


def _answers_of(rows: list[tuple[float, ...]], path: Path) -> dict[str, NDArray[np.int8]]:
    """Columns of 1 and 0, by the numbers that are in the rows."""
    numbers = sorted({number for row in rows for number in row})
    wrong = [number for number in numbers if not (number.is_integer() and abs(number) < WHOLE)]
    if wrong:
        raise InputError(f"{shown_path(path)}: labels must be whole numbers, `1,3`; got {wrong[0]:g}.")
    check_memory(path, len(rows) * len(numbers), "the answers of its rows")
    columns = {str(int(number)): np.zeros(len(rows), np.int8) for number in numbers}
    for place, row in enumerate(rows):
        for number in row:
            columns[str(int(number))][place] = 1
    return columns
