"""torch's and safetensors' files, and which tensors are plain numbers in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.arrays import pick_keys
from colinear.datasets.doors import check_room
from colinear.datasets.unpickle import check_opcodes
from colinear.texts import shorten, shown_path

OLD_PICKLES = 5  # magic number, version, sizes of types, the content, the names of its storages
SHARED_TUPLES = 24  # of at most 24 uses no tuple can be made whose hash takes more than 3^8 steps
LONGEST_WORD = 10_000  # characters; torch needs half a second to search such a word in a message, and minutes for ten
NUMBERS = frozenset(
    (
        torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32,
        torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64,
    )
)  # fmt: skip


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


def read_torch(path: Path, label: str | None) -> tuple[Tensor, Any]:
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
    features, labels = pick_keys([key for key in content if isinstance(key, str)], path, label)
    if not isinstance(content[features], Tensor):
        kind = type(content[features]).__name__
        raise InputError(f"{shown_path(path)}: {shorten(features)} must be a tensor; got a {shorten(kind)}.")
    return content[features], content[labels]


def _check_archive(path: Path) -> None:
    """torch stores its records, but would inflate others without end; its pickle is looked through first."""
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            check_room(path, record.file_size, record.compress_size, shorten(record.filename))
            if record.filename.endswith("data.pkl"):
                with archive.open(record) as file:
                    check_opcodes(file, shared=SHARED_TUPLES, longest=LONGEST_WORD)


def read_safetensors(path: Path, label: str | None) -> tuple[Tensor, Tensor]:
    """Return (features, labels) of a safetensors file."""
    with safe_open(path, framework="pt") as tensors:
        features, labels = pick_keys(list(tensors.keys()), path, label)
        return tensors.get_tensor(features), tensors.get_tensor(labels)
