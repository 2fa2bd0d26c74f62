"""Files that are whole and valid, with contents that nobody expects: types, layouts, shapes, names."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fuzz.corpus import torch_bytes
from fuzz.structure import write_zip

Maker = Callable[[random.Random], bytes]
ROWS = 12


def _labels(rng: random.Random) -> Any:
    y = np.arange(ROWS) % 3
    return rng.choice((
        y, y.astype(">i2"), y.astype(np.float64), y.astype(bool), y + 0.5, y[:, None], y[:-1], y.astype("U3"),
        y.astype("S3"), np.array(["a\udcff", "b", "c"])[y] if rng.random() < 0.5 else np.array(["", "b", "\x00"])[y],
        y.astype(np.uint64) + 2**63, np.where(y > 0, np.nan, 1.0), y.astype(np.complex64), np.zeros(ROWS, "M8[s]"),
        y * 0, np.empty(0), np.zeros((ROWS, 0)), np.zeros(ROWS, np.longdouble), np.array("x"),
        np.zeros(ROWS, [("a", "i4")]),
    ))  # fmt: skip


def _rows(rng: random.Random) -> Any:
    x = np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)
    huge = np.full((ROWS, 3), 3e38, np.float32)
    return rng.choice((
        x, x.astype(">f8"), np.zeros((ROWS, 3), np.longdouble), x[None], x.ravel(), x[:, :0], x[:0], huge,
        x.astype(np.float64) * 1e300, x.astype(complex), x.astype(bool), x.astype("U5"), x.astype("M8[s]"),
        np.where(x > 5, np.inf, x), np.zeros((ROWS, 2), [("a", "f4")]), np.zeros(ROWS, [("a", "f4"), ("b", "f4")]),
        np.asfortranarray(x), x.astype(np.uint64), x.astype("V4"), np.float32(1.0), np.zeros((ROWS, 1, 1), np.float32),
        np.zeros((ROWS, 3), "f2") + 65504, np.full((ROWS, 3), 2**63, np.uint64),
    ))  # fmt: skip


def npz(rng: random.Random) -> bytes:
    members = [("X.npy", _npy(_rows(rng))), ("y.npy", _npy(_labels(rng)))]
    return write_zip(members, rng.choice((0, 8, 12, 14)))


def npy(rng: random.Random) -> bytes:
    return _npy(_rows(rng))


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _tensor(rng: random.Random) -> Any:
    x = torch.arange(ROWS * 3, dtype=torch.float32).view(ROWS, 3) / 8
    makers: tuple[Callable[[], Any], ...] = (
        lambda: x, lambda: torch.nn.Parameter(x), lambda: x.clone().requires_grad_(), lambda: x.to(torch.float8_e4m3fn),
        lambda: x.to(torch.float8_e5m2), lambda: x.to(torch.bfloat16), lambda: x.to(torch.complex64),
        lambda: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), lambda: x.to_sparse(), lambda: x.to_sparse_csr(),
        lambda: torch.nested.nested_tensor([x[0], x[1, :2]]), lambda: x.to("meta"), lambda: x.T,
        lambda: x[:, :1].expand(ROWS, 3),
        lambda: x[0], lambda: x[None], lambda: torch.empty(0, 3), lambda: torch.tensor(1.0),
        lambda: x.conj(), lambda: x.to(torch.complex64).conj(),
        lambda: x.to(torch.uint16), lambda: x.to(torch.uint8).view(torch.bits8), lambda: x.numpy(), lambda: x.tolist(),
        lambda: None, lambda: 3, lambda: "text", lambda: {"a": x}, lambda: torch.Size([3]), lambda: x * float("nan"),
        lambda: torch.full((ROWS, 3), 2**62), lambda: x.expand(2, ROWS, 3)[0], lambda: torch._neg_view(x),
        lambda: x.bool(), lambda: torch.zeros(1).expand(10**9, 3),
    )  # fmt: skip
    return rng.choice(makers)()


def torch_file(rng: random.Random) -> bytes:
    names = rng.choice((("features", "labels"), ("X", "y"), ("X", "Y"), ("x", "targets")))
    y: Any = torch.arange(ROWS) % 3
    odd = rng.choice(("X", "y", "both", "whole"))
    rows = _tensor(rng) if odd in ("X", "both") else torch.ones(ROWS, 3)
    y = _tensor(rng) if odd in ("y", "both") else y
    content = {names[0]: rows, names[1]: y}
    content |= rng.choice(({}, {3: x} if (x := rng.random()) else {}, {"more": [1]}, {("a", 1): None}))
    if rng.random() < 0.2:  # the old form of several odd tensors is never twice the same
        x = torch.arange(ROWS * 3.0).view(ROWS, 3)
        one = rng.choice((x, torch.nn.Parameter(x), x.half(), x.to(torch.complex64), x.to(torch.float8_e5m2)))
        return torch_bytes({names[0]: one, names[1]: rng.choice(([0, 1, 2] * 4, None, 3, "text"))}, old=True)
    return torch_bytes(_tensor(rng) if odd == "whole" else content)


def safetensors_file(rng: random.Random) -> bytes:
    from safetensors.torch import save

    while True:
        rows, y = _tensor(rng), _tensor(rng) if rng.random() < 0.5 else torch.arange(ROWS) % 3
        try:
            return save({"X": rows, "y": y}, rng.choice((None, {}, {"colinear": "[]"}, {"a": "b" * 5000})))
        except Exception:  # a kind of tensor that safetensors does not write
            continue


def parquet_file(rng: random.Random) -> bytes:
    import pyarrow
    from pyarrow import parquet

    def column() -> Any:
        numbers = list(range(ROWS))
        return rng.choice((
            pyarrow.array(numbers), pyarrow.array([None, *numbers[1:]]), pyarrow.array([str(n) for n in numbers]),
            pyarrow.array([[1.0, 2.0]] * ROWS), pyarrow.array([[1.0]] * (ROWS - 1) + [[]]),
            pyarrow.array([[[1]]] * ROWS), pyarrow.array([{"a": 1}] * ROWS), 
            pyarrow.array(numbers, pyarrow.date32()), pyarrow.array([b"\xff"] * ROWS),
            pyarrow.array(numbers, pyarrow.timestamp("us")), pyarrow.array(["a", "b", "c"] * 4).dictionary_encode(),
            pyarrow.array(numbers, pyarrow.decimal128(9, 2)), pyarrow.nulls(ROWS), pyarrow.array([True, False] * 6),
            pyarrow.array([[None, 1.0]] * ROWS), pyarrow.array([None] + [[1.0, 2.0]] * (ROWS - 1)),
            pyarrow.array(np.arange(ROWS, dtype=np.float16)), pyarrow.array([1e300] * ROWS),
            pyarrow.array([float("nan")] * ROWS),
            pyarrow.array([2**64 - 1] * ROWS, pyarrow.uint64()), pyarrow.array([[["a"]]] * ROWS),
            pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(list(range(ROWS * 2))), 2),
            pyarrow.array(numbers, pyarrow.duration("s")), pyarrow.array(numbers, pyarrow.time32("s")),
        ))  # fmt: skip

    names = rng.choice(
        (
            ("x", "label"),
            ("a", "b", "y"),
            ("label", "label"),
            ("x",),
            ("x", "y", "z", "class"),
            ("", "y"),
            ("é\x1b", "y"),
            ("y" * 3000, "target"),
        )
    )
    columns = [column() for _ in names]
    if rng.random() < 0.6:
        columns[-1] = pyarrow.array(["a", "b", "c"] * 4)
    if rng.random() < 0.1:
        columns = [one.slice(0, 0) for one in columns]
    file = io.BytesIO()
    try:
        parquet.write_table(pyarrow.Table.from_arrays(columns, names=list(names)), file)
    except pyarrow.ArrowException:  # a kind of column that Parquet does not hold
        return parquet_file(rng)
    return file.getvalue()


def svmlight_file(rng: random.Random) -> bytes:
    return rng.choice((
        b"1 1000000000:1\n", b"1 2147483648:1\n0 1:1\n", b"1\n0\n", b"", b"\n\n", b"# nothing\n", b"1 1:1 1:2\n0 1:1\n",
        b"1 2:1 1:2\n", b"1,2 1:1\n", b"1 qid:1 1:1\n0 qid:2 1:1\n", b"1 -1:1\n", b"1 0:1\n0 0:2\n",
        b"1 1:nan\n0 1:1\n",
        b"1 1:1e39\n0 1:1\n", b"x 1:1\n", b"1 1:\n", b"1 :1\n", b"1.5 1:1\n0 1:2\n", b"1e300 1:1\n0 1:1\n",
        b"1 1:1\n" * 5 + b"0 100000:1\n", b"1 1:1\r\n0 1:0\r\n", b"\xef\xbb\xbf1 1:1\n0 1:1\n",
        b"1 99999999999999999999:1\n",
        b"1 1:1 " + b" ".join(b"%d:1" % n for n in range(2, 3000)) + b"\n0 1:1\n", b"1 30000000:1\n" * 10,
    ))  # fmt: skip


ODD: dict[str, Maker] = {
    "odd.npy": npy, "odd.npz": npz, "odd.pt": torch_file, "odd.pth": torch_file, "odd.safetensors": safetensors_file,
    "odd.parquet": parquet_file, "odd.svm": svmlight_file,
}  # fmt: skip


def make_odd(rng: random.Random, name: str) -> bytes:
    """The content of an odd file. Those who make such tensors are warned; here they are meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ODD[name](rng)
