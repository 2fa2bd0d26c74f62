"""Threats by folders of pictures: pipes among them, sizes that add up, names that no terminal should be sent."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from PIL import Image


def _classes(root: Path, *names: str) -> list[Path]:
    """Class folders of two small pictures each."""
    places = [root / name for name in names]
    for place in places:
        place.mkdir(parents=True)
        for row in range(2):
            Image.new("RGB", (4, 4), (row, 0, 0)).save(place / f"{row}.png")
    return places


def folder_with_a_pipe(folder: Path) -> Path:
    os.mkfifo(_classes(folder / "data", "a", "b")[0] / "x.png")
    return folder / "data"


def folder_with_a_device(folder: Path) -> Path:
    (_classes(folder / "data", "a", "b")[1] / "x.jpg").symlink_to("/dev/zero")
    return folder / "data"


def folder_of_pictures_that_inflate(folder: Path) -> Path:
    """Six files of 62 kB with 64 million pixels each."""
    packer = zlib.compressobj(9)
    data = b"".join([packer.compress(bytes(8_000_001) * 1) for _ in range(8)] + [packer.flush()])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 8000, 8000, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    for number in range(6):
        place = folder / "data" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return folder / "data"


def folder_of_unreadable_pictures_with_long_names(folder: Path) -> Path:
    for place in _classes(folder / "data", "a" * 250, "b\n" * 120):
        for row in range(10):
            (place / (str(row) + "\x1b[31m" * 40 + ".png")).write_bytes(b"no picture")
    return folder / "data"


def folder_of_one_class(folder: Path) -> Path:
    _classes(folder / "data", "\x1b[31m\n" * 40)
    return folder / "data"


def folder_without_classes(folder: Path) -> Path:
    (folder / "data").mkdir()
    return folder / "data"


def folder_whose_test_classes_are_others(folder: Path) -> Path:
    _classes(folder / "data" / "train", *(f"{n}{'a' * 240}" for n in range(15)))
    _classes(folder / "data" / "test", *(str(n) + "b\n" * 100 for n in range(15)))
    return folder / "data"
