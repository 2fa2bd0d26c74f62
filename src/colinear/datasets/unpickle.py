"""CIFAR's Python 2 pickles, read as data: a pickle can name any function, so only arrays may be named here.

The unpickler knows five names (`numpy.core.multiarray._reconstruct`, `numpy.ndarray`, `numpy.dtype`,
`_codecs.encode` and numpy 2's spelling of the first). None of them reaches numpy or the codecs: they stand
for the small passive records below, which keep what the file says about an array and check it before numpy
sees it.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from colinear.checks import InputError
from colinear.datasets.doors import REASON
from colinear.texts import shorten, shown_path

PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
GETS = ("GET", "BINGET", "LONG_BINGET")
TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
SAFE_CODE = re.compile(r"[|<>=]?(b1|[iu][1248]|f[248])")


class _NdarrayType:
    """Stands for `numpy.ndarray`, which pickles only pass as an argument."""

    def __new__(cls, *_: object) -> _NdarrayType:
        raise pickle.UnpicklingError("it calls numpy.ndarray directly")


class _Dtype:
    """Stands for one `numpy.dtype`: a number code and a byte order, nothing else."""

    __slots__ = ("code", "order")

    def __init__(self, code: bytes | str, *_flags: object) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(text, str) or SAFE_CODE.fullmatch(text) is None:
            raise InputError(f"has an array of type {shorten(repr(text))}; only numbers are read, object arrays never.")
        self.code, self.order = text.lstrip("|<>="), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, order, subarray, names, fields, *_ = state
        order = order.decode("ascii") if isinstance(order, bytes) else order
        if order not in ("|", "<", ">", "=") or subarray is not None or names is not None or fields is not None:
            raise pickle.UnpicklingError("it has an array of records")
        self.order = order

    def build(self) -> np.dtype[Any]:
        return np.dtype(("=" if self.order == "|" else self.order) + self.code)


class _Array:
    """Stands for one array: `_reconstruct` makes it empty, BUILD hands over shape, type and bytes."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __init__(self, subtype: object, shape: tuple[int, ...], _code: object) -> None:
        if subtype is not _NdarrayType or shape != (0,):
            raise pickle.UnpicklingError("it has an array of an unknown kind")
        self.shape, self.dtype, self.data, self.fortran = (0,), _Dtype("u1"), b"", False

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, fortran, data = state
        whole = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
        if not whole or not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("it has an array without plain shape, type and bytes")
        self.shape, self.dtype, self.data, self.fortran = shape, dtype, data, bool(fortran)

    def build(self) -> NDArray[Any]:
        dtype = self.dtype.build()
        if math.prod(self.shape) * dtype.itemsize != len(self.data):
            raise pickle.UnpicklingError(f"it has {len(self.data)} bytes for an array of shape {shorten(self.shape)}")
        return np.frombuffer(self.data, dtype).reshape(self.shape, order="F" if self.fortran else "C")


class _Encode:
    """Stands for `_codecs.encode`, by which Python 3 writes bytes in protocol 2."""

    def __new__(cls, text: str, encoding: str = "latin1") -> bytes:  # type: ignore[misc]
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
            raise pickle.UnpicklingError("it has bytes in an unknown encoding")
        return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    allowed: ClassVar[dict[tuple[str, str], type]] = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _NdarrayType,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _Encode,
    }

    def find_class(self, module: str, name: str) -> type:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise InputError(
                f"asks to run {shorten(module)}.{shorten(name)}; only dicts, lists, strings, numbers and arrays of "
                "numbers are read. Do not trust this file; fetch it again from its source."
            ) from None


def check_opcodes(content: bytes | IO[bytes], *, shared: int = 0, longest: int | None = None) -> None:
    """Refuse the ways in which a few bytes make an unpickler work without end; `UnpicklingError` says which.

    A memo index of 2^31 allocates tens of GB in Python's own (found by the test that damages single bytes), and
    tuples that hold the same tuple twice, over and over, take 2^depth steps to hash as a key: at most `shared`
    uses of a tuple that was there before are let through. `longest` bounds a text without white space: torch
    searches its own error messages, with such texts in them, in quadratic time.
    Cost: 20 ms for the 20,000 opcodes of a CIFAR batch; its pixels are one opcode.
    """
    memo: set[int] = set()
    tuples: set[int] = set()
    previous = ""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in PUTS:
            index = len(memo) if argument is None else int(argument)
            memo.add(index)
            if previous in TUPLES:
                tuples.add(index)
            if isinstance(content, bytes) and index > len(content):
                raise pickle.UnpicklingError(f"it stores a value under number {index}")
        elif opcode.name == "DUP" or (opcode.name in GETS and argument in tuples):
            shared -= 1
            if shared < 0:
                raise pickle.UnpicklingError("it uses one tuple twice")
        elif longest is not None and isinstance(argument, str | bytes) and _longest_word(argument) > longest:
            raise pickle.UnpicklingError(f"it has a text of {len(argument):,} characters without white space")
        previous = opcode.name


def _longest_word(text: str | bytes) -> int:
    return max(map(len, text.split()), default=0) if len(text) > 1000 else len(text)


def _finish(value: object) -> object:
    """Turn the record of an array into the array; refuse anything that is not plain data."""
    if isinstance(value, _Array):
        return value.build()
    if isinstance(value, _Dtype | type):
        raise pickle.UnpicklingError("it has a type where data should be")
    return value


def unpickle(content: bytes, path: Path, *, known: bool = False) -> dict[str, Any]:
    """Return the dict pickled in `content`, building only dicts, lists, strings, numbers, arrays of numbers.

    content : the bytes of a pickle of protocol 0 to 4 whose top is a dict; Python 2 strings come as bytes.
    path : the file they come from, for messages only.
    known : `content` has passed a digest of its official file: `check_opcodes`, half of the time, is left out.
    Keys come back as str. Arrays are views of read-only bytes; they may be values of the dict, no deeper.
    Raises `InputError` if the pickle names anything else (the name is in the message), holds an object array,
    is cut short, or is no such pickle.

    >>> unpickle(pickle.dumps({b"labels": [3, 8], "name": b"batch"}), Path("batch_1"))
    {'labels': [3, 8], 'name': b'batch'}
    >>> unpickle(b"cos\\nsystem\\n(S'true'\\ntR.", Path("batch_1"))
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: batch_1 asks to run os.system; only dicts, lists, strings, ...
    """
    try:
        if not known:
            check_opcodes(content)
        value = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        if not isinstance(value, dict):
            raise pickle.UnpicklingError(f"it holds a {type(value).__name__}, not a dict")
        names = (key.decode("latin1") if isinstance(key, bytes) else str(key) for key in value)
        return dict(zip(names, map(_finish, value.values()), strict=True))
    except InputError as error:
        raise InputError(f"{shown_path(path)} {error}") from None
    except Exception as error:  # a hostile or damaged pickle can fail in any way; none of them is a defect of ours
        raise InputError(
            f"{shown_path(path)} cannot be read as a pickle of plain data ({shorten(error, REASON)}); it is damaged or "
            "cut short. Fetch it again."
        ) from None
