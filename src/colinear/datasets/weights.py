"""Sample weights: what each row counts, from a column of its file or from a `.npy` file beside the rows."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from colinear.checks import InputError, check_weights
from colinear.datasets.arrays import open_npy, plain_tensor, read_member
from colinear.datasets.base import ArrayDataset
from colinear.datasets.doors import as_path, reading
from colinear.texts import shorten, shown_path

Column = Callable[[Path, str], "Tensor | NDArray[Any] | None"]  # the values of a name, None if the file has no such


def read_column(path: Path, name: str, n_rows: int) -> Tensor:
    """The weights (n,) float64 under a column or key `name` of a feature file that was read before.

    Raises `InputError` if there is none, the kind of file has none, or they are no weights of n rows.
    """
    kind = path.suffix.lower()
    reader = COLUMNS.get(kind)
    if reader is None:
        raise InputError(
            f"{shown_path(path)} has no column of weights. Give --sample-weight a .npy file with one number a row."
        )
    with reading(path, kind):
        values = reader(path, name)
    if values is None:
        raise InputError(f"{shown_path(path)} has no column or key {shorten(name, 60)}. Name one with --sample-weight.")
    return _as_weights(values, n_rows, f"column {shorten(name, 60)} of {shown_path(path)}")


def attach_files(parts: dict[str, ArrayDataset], name: str, home: Path) -> dict[str, ArrayDataset]:
    """The same parts with weights from `.npy` files: `name`, or for a source of several parts NAME_train.npy, ...

    name : a path as it stands, or in `home`.
    """
    several = len(parts) > 1

    def attach(part: str, dataset: ArrayDataset) -> ArrayDataset:
        given = as_path(name)
        file = given.with_name(f"{given.stem}_{part}{given.suffix}") if several else given
        beside = home / file
        file = beside if not os.path.isfile(file) and os.path.isfile(beside) else file
        if not os.path.isfile(file):
            also = f", one for each of {', '.join(parts)}" if several else ""
            raise InputError(
                f"{shown_path(file)} must be a file of weights{also}; there is none. Check --sample-weight."
            )
        weights = _as_weights(np.asarray(open_npy(file)), dataset.n_samples, f"weights of {shown_path(file)}")
        return replace(dataset, sample_weight=weights)

    return {part: attach(part, dataset) for part, dataset in parts.items()}


def _as_weights(values: Tensor | NDArray[Any], n_rows: int, what: str) -> Tensor:
    array = np.asarray(plain_tensor(values, what).float() if isinstance(values, Tensor) else values)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be numbers; got {shorten(array.dtype)}.")
    return check_weights(torch.from_numpy(array.astype(np.float64)), n_rows, what)


def _of_parquet(path: Path, name: str) -> NDArray[Any] | None:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    if file.schema_arrow.names.count(name) != 1:
        return None
    column = file.read([name]).column(0)
    if column.null_count:
        raise InputError(f"{shown_path(path)}: column {shorten(name)} lacks {column.null_count} weights. Fill them.")
    return np.asarray(column.to_numpy())


def _of_npz(path: Path, name: str) -> NDArray[Any] | None:
    with zipfile.ZipFile(path) as archive:
        members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
        return read_member(archive, members[name], path) if name in members else None


def _of_torch(path: Path, name: str) -> Any:
    content = torch.load(path, map_location="cpu", weights_only=True)  # its opcodes were looked at with the features
    values = content.get(name)
    return values if isinstance(values, Tensor) else None


def _of_safetensors(path: Path, name: str) -> Tensor | None:
    with safe_open(path, framework="pt") as tensors:
        return tensors.get_tensor(name) if name in tensors.keys() else None  # noqa: SIM118


COLUMNS: dict[str, Column] = {
    ".parquet": _of_parquet, ".npz": _of_npz, ".pt": _of_torch, ".pth": _of_torch, ".safetensors": _of_safetensors,
}  # fmt: skip
