"""Column files and sparse text: Parquet and svmlight to a dense matrix and a label column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_svmlight_file

from colinear.checks import InputError
from colinear.datasets.labels import RawLabels

LABEL_COLUMNS = ("label", "labels", "y", "target", "class")
DENSE_BYTES = 8 << 30  # a sparse file that needs more than this as a dense matrix is not for this program


def read_parquet(path: Path, label: str | None) -> tuple[NDArray[Any], RawLabels]:
    """Return (features, labels): the one list column, or else every other column, which must be numeric."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise InputError(f"{path} needs pyarrow, which is not installed: pip install 'colinear[parquet]'.") from None
    table = parquet.ParquetFile(path).read()
    names: list[str] = table.column_names
    found = label if label is not None else next((name for name in LABEL_COLUMNS if name in names), None)
    if found is None or names.count(found) != 1:
        raise InputError(
            f"{path} must have a column of labels, {found or 'label'}; it has {', '.join(names[:12])}"
            f"{', ...' if len(names) > 12 else ''}. Name it with --label."
        )
    labels = table.column(found)
    if labels.null_count:
        raise InputError(f"{path}: column {found} has {labels.null_count} missing labels. Drop those rows first.")
    rest = table.drop_columns([found])
    lists = [name for name in rest.column_names if _is_list(rest.schema.field(name).type)]
    if len(lists) > 1:
        raise InputError(f"{path} has {len(lists)} columns of lists: {', '.join(lists)}. Keep one of them.")
    features = _from_lists(rest.column(lists[0]), lists[0], path) if lists else _from_columns(rest, path)
    return features, _label_values(labels)


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _label_values(column: Any) -> RawLabels:
    values: RawLabels = column.to_numpy() if _is_number(column.type) else column.to_pylist()
    return values


def _from_lists(column: Any, name: str, path: Path) -> NDArray[Any]:
    """(n, d) from a column of n lists, all of length d."""
    from pyarrow import compute

    if not _is_number(column.type.value_type):
        raise InputError(f"{path}: column {name} must hold lists of numbers; got {column.type}.")
    lengths = compute.list_value_length(column).to_numpy()  # a missing list has length nan
    bad = np.flatnonzero(lengths != lengths[0]) if len(lengths) else np.empty(0)
    values = compute.list_flatten(column)
    if len(bad) or values.null_count or not len(values):
        row = (
            f"row {bad[0]} has {lengths[bad[0]]:g} values, row 0 has {lengths[0]:g}" if len(bad) else "some lack values"
        )
        raise InputError(f"{path}: the lists of column {name} must be of one length, without gaps; {row}.")
    flat: NDArray[Any] = values.to_numpy()
    return flat.reshape(len(lengths), -1)


def _from_columns(table: Any, path: Path) -> NDArray[Any]:
    """(n, d) from d numeric columns; uint8 if all are, float64 if any is, else float32."""
    if not table.num_columns or not table.num_rows:
        raise InputError(f"{path} must have rows and feature columns; got {table.num_rows} x {table.num_columns}.")
    for field in table.schema:
        if not _is_number(field.type):
            raise InputError(
                f"{path}: feature columns must be numbers; column {field.name} is {field.type}. "
                "Drop it or encode it as numbers, or name the labels with --label."
            )
    kinds = {str(field.type) for field in table.schema}
    dtype = np.uint8 if kinds == {"uint8"} else np.float64 if "double" in kinds else np.float32
    matrix = np.empty((table.num_rows, table.num_columns), dtype)
    for number, name in enumerate(table.column_names):
        column = table.column(number)
        if column.null_count:
            raise InputError(f"{path}: column {name} has {column.null_count} missing values. Drop or fill them.")
        matrix[:, number] = column.to_numpy()
    return matrix


def read_svmlight(path: Path, label: str | None) -> tuple[NDArray[Any], RawLabels]:
    """Return (features float32 (n, d), labels); index 0 or 1 first, as scikit-learn's `zero_based="auto"` finds."""
    if label is not None:
        raise InputError(f"{path}: svmlight text has its labels first in each line; leave --label out.")
    sparse, labels = load_svmlight_file(str(path), dtype=np.float32)
    needed = 4 * sparse.shape[0] * sparse.shape[1]
    if needed > DENSE_BYTES:
        raise InputError(
            f"{path} has {sparse.shape[0]} x {sparse.shape[1]} values, {needed / 2**30:.0f} GiB as a dense matrix; "
            f"at most {DENSE_BYTES >> 30} GiB are read. Reduce its features first."
        )
    return sparse.toarray(), labels
