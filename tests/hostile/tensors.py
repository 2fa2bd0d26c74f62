"""Threats by .pt and .safetensors: tensors that are no matrix in memory, pickles that trip torch's own reader."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch


def _save(path: Path, features: Any, labels: Any, **more: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({"X": features, "y": labels}, path, **more)
    return path


def _rows() -> torch.Tensor:
    return torch.zeros(12, 2)


def _codes() -> torch.Tensor:
    return torch.arange(12) % 3


def _pickled(path: Path, content: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    """A torch archive whose pickle is `content`."""
    whole = _save(path.with_name("whole"), _rows(), _codes())
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", method) as target:
        for member in source.infolist():
            name = "archive/" + member.filename.partition("/")[2]
            target.writestr(name, content if name.endswith("data.pkl") else source.read(member))
    return path


def pt_sparse(folder: Path) -> Path:
    return _save(folder / "x.pt", torch.eye(12).to_sparse(), _codes())


def pt_sparse_in_rows(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _save(folder / "x.pt", torch.eye(12).to_sparse_csr(), _codes())


def pt_nested(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _save(folder / "x.pt", torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), _codes())


def pt_quantized(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _save(folder / "x.pt", torch.quantize_per_tensor(_rows(), 0.1, 0, torch.quint8), _codes())


def pt_meta(folder: Path) -> Path:
    return _save(folder / "x.pt", torch.empty(12, 2, device="meta"), _codes())


def pt_float8(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows().to(torch.float8_e4m3fn), _codes())


def pt_bits8(folder: Path) -> Path:
    return _save(folder / "x.pt", torch.zeros(12, 2, dtype=torch.uint8).view(torch.bits8), _codes())


def pt_complex(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows().to(torch.complex64), _codes())


def pt_labels_none(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), None)


def pt_labels_one_number(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), 3)


def pt_labels_one_text(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), "abcabcabcabc")


def pt_labels_a_dict(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), {row: row % 3 for row in range(12)})


def pt_labels_without_shape(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), torch.tensor(3))


def pt_labels_float8(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), _codes().to(torch.float8_e5m2))


def pt_labels_sparse(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), _codes().to_sparse())


def pt_labels_meta(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), torch.empty(12, dtype=torch.int64, device="meta"))


def pt_labels_one_of_five_megabytes(folder: Path) -> Path:
    """As numpy text, each of the 1,000 rows would take the room of the longest: 18 GB."""
    return _save(folder / "x.pt", torch.zeros(1000, 2), ["a", "b"] * 499 + ["a", "c" * 5_000_000])


def pt_labels_of_half_pairs(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), ["\ud800", "b", "c"] * 4)


def pt_labels_of_lists(folder: Path) -> Path:
    return _save(folder / "x.pt", _rows(), [[list(range(10_000))]] * 12)


def pt_keys_long_and_many(folder: Path) -> Path:
    torch.save({f"{place}" * 5000 + "\x1b[31m": _rows() for place in range(30)}, folder / "x.pt")
    return folder / "x.pt"


def pt_rows_that_share_memory(folder: Path) -> Path:
    return _save(folder / "x.pt", torch.zeros(1).expand(10**6, 10**6), _codes())


def pt_labels_that_share_memory(folder: Path) -> Path:
    """Answers of a billion rows for three classes, from one number."""
    return _save(folder / "x.pt", _rows(), torch.zeros(1, dtype=torch.int64).expand(10**9, 3))


def pt_no_dict(folder: Path) -> Path:
    torch.save([_rows(), _codes()], folder / "x.pt")
    return folder / "x.pt"


def pt_pickle_of_an_empty_stack(folder: Path) -> Path:
    return _pickled(folder / "x.pt", b"\x80\x02.")  # IndexError


def pt_pickle_of_a_bad_identity(folder: Path) -> Path:
    return _pickled(folder / "x.pt", b"\x80\x02K\x01Q.")  # AssertionError


def pt_pickle_cut_short(folder: Path) -> Path:
    return _pickled(folder / "x.pt", b"\x80\x02}q\x00(X\x01")


def pt_pickle_of_a_long_name(folder: Path) -> Path:
    return _pickled(folder / "x.pt", b"\x80\x02c" + b"m" * 100_000 + b"\n" + b"n" * 100_000 + b"\n.")


def pt_pickle_that_calls_a_long_text(folder: Path) -> Path:
    """torch searches `... must be ... to load` in its own message, in quadratic time: hours for 1 MB."""
    return _pickled(folder / "x.pt", b"\x80\x02X" + (10**6).to_bytes(4, "little") + b"m" * 10**6 + b")R.")


def pt_old_pickle_of_a_long_name(folder: Path) -> Path:
    (folder / "x.pt").write_bytes(b"\x80\x02c" + b"m" * 100_000 + b"\n" + b"n" * 100_000 + b"\n.")
    return folder / "x.pt"


def pt_pickle_of_a_key_that_doubles(folder: Path) -> Path:
    """A tuple of twice the tuple before, 60 times: its hash takes 2^60 steps."""
    content = b"\x80\x02}K\x01\x85q\x00"
    for level in range(60):
        content += b"h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
    return _pickled(folder / "x.pt", content + b"K\x01s.")


def pt_pickle_that_inflates(folder: Path) -> Path:
    """A pickle of 300 MB in 300 kB: torch inflates what it would never deflate."""
    return _pickled(folder / "x.pt", b"\x80\x02" + b"]" * 300_000_000 + b".", zipfile.ZIP_DEFLATED)


def pt_without_records(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "x.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return folder / "x.pt"


def pt_old_and_cut_short(folder: Path) -> Path:
    path = _save(folder / "x.pt", _rows(), _codes(), _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def _safetensors(path: Path, header: object, data: bytes = b"\0" * 96, length: int | None = None) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def safetensors_header_beyond_the_file(folder: Path) -> Path:
    return _safetensors(folder / "x.safetensors", {}, length=2**63)


def safetensors_data_beyond_the_file(folder: Path) -> Path:
    entry = {"dtype": "F32", "shape": [10**9, 1000], "data_offsets": [0, 4 * 10**12]}
    return _safetensors(folder / "x.safetensors", {"X": entry, "y": entry})


def safetensors_shape_that_wraps(folder: Path) -> Path:
    entry = {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}
    return _safetensors(folder / "x.safetensors", {"X": entry, "y": entry})


def safetensors_of_float8(folder: Path) -> Path:
    X = {"dtype": "F8_E4M3", "shape": [12, 2], "data_offsets": [0, 24]}
    y = {"dtype": "U8", "shape": [12], "data_offsets": [24, 36]}
    return _safetensors(folder / "x.safetensors", {"X": X, "y": y}, bytes(range(12)) * 3)


def safetensors_of_names(folder: Path) -> Path:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return _safetensors(folder / "x.safetensors", {f"{n}" + "k\n" * 5000: entry for n in range(20)}, b"")
