"""Files of arrays, numpy's, torch's and safetensors', whose headers are held against sizes before memory is taken.

numpy parses its header; its own readers then believe it. Here the shape is checked first: a header of 80 bytes
can announce an array of any size.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.doors import check_claim, check_file, check_room, reading
from colinear.datasets.unpickle import check_opcodes
from colinear.texts import listed, shorten, shown_path

METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}  # the two that numpy writes
FEATURE_KEYS = ("X", "x", "features", "embeddings", "data")
LABEL_KEYS = ("y", "Y", "labels", "label", "targets", "target")
OLD_PICKLES = 5  # magic number, version, sizes of types, the content, the names of its storages
SHARED_TUPLES = 24  # of at most 24 uses no tuple can be made whose hash takes more than 3^8 steps
LONGEST_WORD = 10_000  # characters; torch needs half a second to search such a word in a message, and minutes for ten
NUMBERS = frozenset(
    (
        torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32,
        torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64,
    )
)  # fmt: skip


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


def read_npz(path: Path, label: str | None, weight: str | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (features, labels) of a `.npz` archive, numpy's stored or deflated kinds; `weight` is neither."""
    with zipfile.ZipFile(path) as archive:
        members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
        features, labels = pick_keys([name for name in members if name != weight], path, label)
        return read_member(archive, members[features], path), read_member(archive, members[labels], path)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> NDArray[Any]:
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


def plain_tensor(tensor: Tensor, what: str) -> Tensor:
    """Return `tensor` on the processor and out of any graph (a Parameter becomes a tensor), sharing its memory.

    Raises `InputError` naming its type if it is not dense, real, unquantized numbers that lie somewhere.

    >>> plain_tensor(torch.nn.Parameter(torch.ones(2)), "features")
    tensor([1., 1.])
    >>> plain_tensor(torch.eye(2).to_sparse(), "features")
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: features must be dense, real numbers; got a sparse_coo tensor of float32. ...
    """
    kind = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
    kind = "meta" if tensor.is_meta else "" if kind == "strided" else kind
    if kind or tensor.dtype not in NUMBERS:
        got = f"{kind} tensor of {str(tensor.dtype).removeprefix('torch.')}".strip()
        raise InputError(f"{what} must be dense, real numbers; got a {got}. Convert it to a dense float32 one.")
    return tensor.detach().cpu()


def read_torch(path: Path, label: str | None, weight: str | None = None) -> tuple[Tensor, Any]:
    """Return (features, labels as they stand) of a dict of tensors in a file of `torch.save`; no code is run."""
    mapped = zipfile.is_zipfile(path)  # files of torch < 1.6 cannot be memory-mapped
    if mapped:
        _check_archive(path)
    else:
        with path.open("rb") as file:
            for _ in range(OLD_PICKLES):
                check_opcodes(file, shared=SHARED_TUPLES, longest=LONGEST_WORD)
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise InputError(
            f"{shown_path(path)} must hold a dict of tensors, as features and labels; got a {shorten(kind)}."
        )
    features, labels = pick_keys([key for key in content if isinstance(key, str) and key != weight], path, label)
    if not isinstance(content[features], Tensor):
        kind = type(content[features]).__name__
        raise InputError(f"{shown_path(path)}: {shorten(features)} must be a tensor; got a {shorten(kind)}.")
    if isinstance(content[labels], Tensor):  # rows that share memory were announced by a few bytes
        check_claim(path, content[labels].numel() * content[labels].itemsize, check_file(path), "its array of labels")
    return content[features], content[labels]


def _check_archive(path: Path) -> None:
    """torch maps stored records, but would inflate others without end; its pickle is looked through first."""
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
                check_room(path, record.file_size, record.compress_size, shorten(record.filename))
            if record.filename.endswith("data.pkl"):
                with archive.open(record) as file:
                    check_opcodes(file, shared=SHARED_TUPLES, longest=LONGEST_WORD)


def read_safetensors(path: Path, label: str | None, weight: str | None = None) -> tuple[Tensor, Tensor]:
    """Return (features, labels) of a safetensors file."""
    with safe_open(path, framework="pt") as tensors:
        features, labels = pick_keys([key for key in tensors.keys() if key != weight], path, label)  # noqa: SIM118
        return tensors.get_tensor(features), tensors.get_tensor(labels)
