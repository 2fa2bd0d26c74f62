"""The file of a model: tensors and a JSON header in safetensors, and a digest of both. Reading runs no code.

    digest = SHA-256 of the header's canonical JSON (keys sorted, without the digest), then for weight, bias and the
    tensors of an extractor, in the order of names, the name, dtype, shape and bytes

It finds damage and edits; it is no signature: whoever can write the file can write its digest. Files of the first
format have none and are read as they are. A model with an extractor has the third format and, beside the facts of it in
its header, what it has learned as tensors `extractor.NAME`; all others have the second.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from colinear.checks import InputError
from colinear.schemas import plain_number
from colinear.texts import shorten, shown_path

FORMAT = "colinear-linear-model-2"
WITHOUT_DIGEST = "colinear-linear-model-1"
WITH_EXTRACTOR = "colinear-linear-model-3"
LEARNED = "extractor."  # begins the names of an extractor's tensors
TENSORS = ("weight", "bias")
DTYPES = ("F32", "F64")  # safetensors' names
MOST_DEPTH = 16  # lists in lists in a header; what we write has 3, and printing must not run out of stack

Header = dict[str, Any]
Tensors = dict[str, Tensor]


def encode(header: Header, tensors: Tensors) -> bytes:
    """The content of a model file, the same bytes for the same model in every process.

    header : JSON-able; NaN and infinities become null, and what UTF-8 cannot write is written as \\udc80.
    tensors : weight, bias, and those of the extractor, if `header` has one.
    Raises   `InputError` for what JSON cannot hold.
    """
    kind = FORMAT if header.get("extractor") is None else WITH_EXTRACTOR
    try:
        header = json.loads(json.dumps(_plain({"format": kind, **header}), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"provenance must hold what JSON can hold: {error}. Leave the rest out.") from None
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    header["digest"] = digest(header, tensors)
    # one entry: safetensors writes several in an order that changes from process to process
    return save(tensors, {"colinear": _canonical(header)})


def read(path: Path) -> tuple[Header, Tensors]:
    """Header and tensors of a file, which is checked against its digest.

    Raises   `InputError` for a file that is missing, damaged, cut short, changed, or no model of this package.
    """
    if not os.path.isfile(path):  # False for names that no file can have, too
        raise InputError(f"model {shown_path(path)} does not exist. Train one with `colinear tune` or `colinear fit`.")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("colinear", "{}")
            names = sorted(file.keys())
            ours = set(TENSORS) <= set(names) and all(name in TENSORS or name.startswith(LEARNED) for name in names)
            kinds = {file.get_slice(name).get_dtype() for name in names} if ours else set()
            # tensors of any other type are not even opened: not all have arithmetic
            tensors = {name: file.get_tensor(name) for name in names} if kinds and kinds <= set(DTYPES) else {}
    except (SafetensorError, OSError) as error:
        reason = shorten(" ".join(str(error).split()), 120)  # it quotes the file
        raise InputError(f"model {path} cannot be read ({reason}). It may be cut short: copy it again.") from None
    header = _parse(path, text)
    kind = header.get("format")
    extracted = kind == WITH_EXTRACTOR and isinstance(header.get("extractor"), dict)
    if (
        not ours
        or (kind not in (FORMAT, WITHOUT_DIGEST) and not extracted)
        or (len(names) > len(TENSORS) and not extracted)
    ):
        raise InputError(f"{path} is a safetensors file but no colinear model; expected format {FORMAT}.")
    if not tensors:
        raise InputError(f"model {path} is inconsistent: weight and bias must be float32 or float64. Copy it again.")
    if kind != WITHOUT_DIGEST:
        said = header.pop("digest", None)
        if said != digest(header, tensors):
            raise InputError(f"model {path} was changed after it was saved: its digest is another. Copy it again.")
    return header, tensors


def digest(header: Header, tensors: Tensors) -> str:
    """64 hex digits of SHA-256 over header and tensors, as the module says."""
    found = hashlib.sha256(_canonical(header).encode())
    for name in (*TENSORS, *sorted(tensors.keys() - set(TENSORS))):
        values = tensors[name]
        found.update(f"\n{name} {values.dtype} {tuple(values.shape)}\n".encode())
        found.update(values.numpy().tobytes())
    return found.hexdigest()


def _canonical(header: Header) -> str:
    return json.dumps(header, sort_keys=True)


def _parse(path: Path, text: str) -> Header:
    try:
        header = json.loads(text)
        if not isinstance(header, dict):
            raise ValueError("no JSON object")
        return dict(_plain(header))
    except (ValueError, RecursionError) as error:  # deep brackets; whole numbers of thousands of digits
        reason = "brackets in brackets" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"model {path} has a damaged header ({reason}). Copy it again.") from None


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` with null for numbers that JSON has no word for, and text that UTF-8 can write."""
    if depth > MOST_DEPTH:
        raise ValueError("brackets in brackets")
    if isinstance(value, dict):
        return {_plain(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else plain_number(value)
