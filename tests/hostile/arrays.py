"""Threats by .npy and .npz: headers that no parser survives, shapes that no file holds, members that are none."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np


def _npy(path: Path, header: str, data: bytes = b"\0" * 96, version: bytes = b"\x01\x00") -> Path:
    """An .npy of any header text, with labels beside it."""
    text = header.encode("latin1") + b"\n"
    size = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    path.write_bytes(b"\x93NUMPY" + version + size + text + data)
    np.save(path.with_name("labels.npy"), np.arange(12) % 3)
    return path


def _shaped(path: Path, shape: object, descr: object = "<f4", data: bytes = b"\0" * 96) -> Path:
    return _npy(path, repr({"descr": descr, "fortran_order": False, "shape": shape}), data)


def _bytes_of(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


ROWS, CODES = _bytes_of(np.zeros((12, 2), np.float32)), _bytes_of(np.arange(12) % 3)


def npy_header_of_open_brackets(folder: Path) -> Path:
    return _npy(folder / "x.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (12, 2")  # tokenize.TokenError


def npy_header_nested_deep(folder: Path) -> Path:
    return _npy(folder / "x.npy", "(" * 5000)


def npy_header_is_long(folder: Path) -> Path:
    return _npy(folder / "x.npy", "{" + " " * 50_000 + "}")


def npy_header_is_binary(folder: Path) -> Path:
    return _npy(folder / "x.npy", "\x00\xff\x1b[31m" * 20)


def npy_shape_beyond_int64(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (10**30, 2))  # OverflowError


def npy_shape_of_400_digits(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (10**400, 2))


def npy_shape_beyond_the_file(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (10**9, 1000))


def npy_shape_that_wraps(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (2**62, 4))  # 2^66 bytes are 0 in 64 bits


def npy_shape_negative(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (-12, -2))


def npy_shape_of_booleans(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (True, True))


def npy_shape_of_many_zeros(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (0, 2**62))


def npy_type_is_empty_tuple(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (12, 2), ())  # IndexError


def npy_type_is_a_list_of_nothing(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (12, 2), [()])


def npy_type_of_no_bytes(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (12, 2), "<U0")


def npy_rows_of_no_bytes(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (10**12, 2), "|V0")


def npy_type_of_subarrays(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (12,), ("<f4", (100_000_000,)))


def npy_records_with_long_names(folder: Path) -> Path:
    return _shaped(folder / "x.npy", (12,), [(chr(97 + place) * 200, "<f4") for place in range(20)], b"\0" * 960)


def npy_of_objects(folder: Path) -> Path:
    np.save(folder / "x.npy", np.array([[print]], dtype=object), allow_pickle=True)
    return folder / "x.npy"


def npy_of_version_nine(folder: Path) -> Path:
    return _npy(folder / "x.npy", "{}", version=b"\x09\x00")


def npy_larger_than_memory_as_float32(folder: Path) -> Path:
    """A terabyte as float32; the file has no blocks on the disk."""
    path = _shaped(folder / "x.npy", (2**19, 2**19), "<i2", b"")
    os.truncate(path, path.stat().st_size + 2**39)
    return path


def npy_labels_of_a_million_characters(folder: Path) -> Path:
    np.save(folder / "x.npy", np.zeros((1000, 2)))
    path = _shaped(folder / "x_labels.npy", (1000,), "<U1300000", b"")
    os.truncate(path, path.stat().st_size + 5_200_000_000)
    return folder / "x.npy"


def npy_labels_are_a_pipe(folder: Path) -> Path:
    np.save(folder / "x.npy", np.zeros((12, 2)))
    os.mkfifo(folder / "labels.npy")
    return folder / "x.npy"


def npz_of_raw_members(folder: Path) -> Path:
    return _npz(folder / "x.npz", {"X.npy": ROWS, "y": b"no array\x1b[31m"})


def npz_of_empty_members(folder: Path) -> Path:
    return _npz(folder / "x.npz", {"X.npy": b"", "y.npy": b""})


def npz_member_announces_too_much(folder: Path) -> Path:
    huge = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 1000)}
    header = repr(huge).encode() + b"\n"
    return _npz(
        folder / "x.npz",
        {"X.npy": b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header, "y.npy": CODES},
    )


def npz_by_lzma_damaged(folder: Path) -> Path:
    path = _npz(folder / "x.npz", {"X.npy": ROWS, "y.npy": CODES}, zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    content[60:70] = b"\xff" * 10
    path.write_bytes(content)
    return path


def npz_by_lzma(folder: Path) -> Path:
    return _npz(folder / "x.npz", {"X.npy": ROWS, "y.npy": CODES}, zipfile.ZIP_LZMA)


def npz_of_many_long_names(folder: Path) -> Path:
    return _npz(folder / "x.npz", {f"{place:03}{'n' * 5000}.npy": CODES for place in range(50)})


def npz_that_inflates(folder: Path) -> Path:
    """300 MB of zeros in 300 kB."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": (12, 25_000_000)}).encode() + b"\n"
    path = folder / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y.npy", CODES)
        with archive.open("X.npy", "w") as member:
            member.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
            for _ in range(300):
                member.write(bytes(1_000_000))
    return path


def npz_encrypted(folder: Path) -> Path:
    path = _npz(folder / "x.npz", {"X.npy": ROWS, "y.npy": CODES})
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + place] |= 1
            start = content.find(mark, start + 4)
    path.write_bytes(content)
    return path


def npz_cut_short(folder: Path) -> Path:
    path = _npz(folder / "x.npz", {"X.npy": ROWS, "y.npy": CODES})
    path.write_bytes(path.read_bytes()[:-30])
    return path
