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
from colinear.datasets.doors import check_room, shown, shown_path
from colinear.datasets.keys import pick_keys

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
    if tensor.is_nested or tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in NUMBERS:
        kind = "meta" if tensor.is_meta else kind
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise InputError(
            f"{what} must be dense, real numbers; got a {kind} tensor of {dtype}. Convert it to a dense float32 one."
        )
    return tensor.detach().cpu()


def read_torch(path: Path, label: str | None) -> tuple[Tensor, Any]:
    """Return (features, labels as they stand) of a dict of tensors in a file of `torch.save`; no code is run."""
    mapped = zipfile.is_zipfile(path)  # files of torch < 1.6 cannot be memory-mapped
    if mapped:
        with zipfile.ZipFile(path) as archive:  # torch stores its records, but would inflate them without end
            for record in archive.infolist():
                check_room(path, record.file_size, record.compress_size, shown(record.filename))
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise InputError(
            f"{shown_path(path)} must hold a dict of tensors, as features and labels; got a {shown(kind)}."
        )
    features, labels = pick_keys([key for key in content if isinstance(key, str)], path, label)
    if not isinstance(content[features], Tensor):
        kind = type(content[features]).__name__
        raise InputError(f"{shown_path(path)}: {shown(features)} must be a tensor; got a {shown(kind)}.")
    return content[features], content[labels]


def read_safetensors(path: Path, label: str | None) -> tuple[Tensor, Tensor]:
    """Return (features, labels) of a safetensors file."""
    with safe_open(path, framework="pt") as tensors:
        features, labels = pick_keys(list(tensors.keys()), path, label)
        return tensors.get_tensor(features), tensors.get_tensor(labels)
