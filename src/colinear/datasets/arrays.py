"""numpy's files: `.npy` memory-mapped, `.npz` member by member; headers are held against sizes before memory is taken.

numpy parses the header; its own readers then believe it. Here the shape is checked first: a header of 80 bytes
can announce an array of any size.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from colinear.checks import InputError
from colinear.datasets.doors import check_file, check_room, reading
from colinear.texts import listed, shorten, shown_path

METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}  # the two that numpy writes
FEATURE_KEYS = ("X", "x", "features", "embeddings", "data")
LABEL_KEYS = ("y", "Y", "labels", "label", "targets", "target")


def open_npy(path: Path) -> NDArray[Any]:
    """Return the array of a `.npy` file, memory-mapped copy-on-write: pages are read when they are asked for.

    Raises `InputError` for anything but an array of numbers, text or dates that the file holds in full.
    """
    size = check_file(path)
    with reading(path, ".npy"):
        with path.open("rb") as file:
            shape, fortran, dtype = _read_header(file)
            start = file.tell()
        _check_size(path, shape, dtype, size - start)
        if math.prod(shape) * dtype.itemsize == 0:
            return np.empty(shape, dtype)  # nothing to map
        values = _map(path, size)[start : start + math.prod(shape) * dtype.itemsize].view(dtype)
        return values.reshape(shape, order="F" if fortran else "C")


def _map(path: Path, size: int) -> NDArray[np.uint8]:
    """The bytes of a file. torch closes it, where numpy would keep one of a process's 1,024 open files for each map."""
    try:
        str(path).encode()
    except UnicodeEncodeError:  # torch takes names in UTF-8 only
        return np.memmap(path, np.uint8, "c")
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()


def read_npz(path: Path, label: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (features, labels) of a `.npz` archive, numpy's stored or deflated kinds."""
    with zipfile.ZipFile(path) as archive:
        members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
        features, labels = pick_keys(members, path, label)
        return _read_member(archive, members[features], path), _read_member(archive, members[labels], path)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
    name = shorten(member.filename)
    if member.compress_type not in METHODS:
        raise InputError(
            f"{shown_path(path)}: {name} must be stored or deflated, as numpy writes; it is compressed otherwise."
        )
    with archive.open(member) as file:
        shape, _, dtype = _read_header(file)
        _check_size(path, shape, dtype, member.file_size - file.tell())
    check_room(path, member.file_size, member.compress_size, name)
    with archive.open(member) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, whether in column order, dtype); `file` stands at the first value after it."""
    version = np.lib.format.read_magic(file)
    # version 3 differs from 2 in the encoding of field names only, and records are no features
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = parse(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never loaded")
    return shape, bool(fortran), dtype


def _check_size(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
    if math.prod(shape) * dtype.itemsize > held:
        raise InputError(
            f"{shown_path(path)} announces {shorten(dtype)} of shape {shorten(shape)}, "
            f"but holds {held:,} bytes of values. It is damaged or cut short: copy it again."
        )


def pick_keys(keys: Collection[str], path: Path, label: str | None) -> tuple[str, str]:
    """Return (key of the features, key of the labels); `label` names the latter, else the usual names are tried.

    >>> pick_keys(["ids", "X", "species"], Path("a.npz"), "species")
    ('X', 'species')
    """
    features = next((key for key in FEATURE_KEYS if key in keys and key != label), None)
    labels = label if label is not None else next((key for key in LABEL_KEYS if key in keys), None)
    if features is None:
        rest = [key for key in keys if key != labels]
        features = rest[0] if len(rest) == 1 else None
    if features is None or labels is None or labels not in keys:
        wanted = "y, labels, ..." if labels is None else shorten(labels, 30)
        raise InputError(
            f"{shown_path(path)} must have features (one of {', '.join(FEATURE_KEYS)}) and labels ({wanted}); "
            f"it has {listed(keys) or 'nothing'}. Name the labels with --label."
        )
    return features, labels
