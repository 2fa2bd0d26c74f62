"""Threats by pictures: programs to be started, pixels without end, files that are none."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
0 0 8 8 rectfill
showpage
%%EOF
"""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, data: bytes, *before: bytes, colours: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    body = [_chunk(b"IHDR", header), *before, _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def _deflated(parts: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def _picture(kind: str, size: tuple[int, int] = (32, 32)) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)  # the same bytes every time
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def eps_named_png(folder: Path) -> Path:
    return _write(folder / "x.png", EPS)  # Pillow would run Ghostscript


def eps_with_a_preview_named_jpg(folder: Path) -> Path:
    dos = struct.pack("<IIIIIIIH", 0xC6D3D0C5, 30, len(EPS), 0, 0, 0, 0, 0xFFFF)
    return _write(folder / "x.jpg", dos + EPS)


def tiff_named_webp(folder: Path) -> Path:
    return _write(folder / "x.webp", _picture("TIFF"))


def gif_named_png(folder: Path) -> Path:
    return _write(folder / "x.png", _picture("GIF"))


def avif_damaged_named_jpg(folder: Path) -> Path:
    box = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + b"\0\0\0\xf8meta" + b"\xff" * 240
    return _write(folder / "x.jpg", box)


def png_of_one_long_column(folder: Path) -> Path:
    """124 kB that took 3.7 GB and minutes: each line of a picture has a cost of its own."""
    return _write(folder / "x.png", _png(1, 64_000_000, _deflated(bytes(1_000_000) for _ in range(128))))


def png_of_one_long_line(folder: Path) -> Path:
    return _write(folder / "x.png", _png(64_000_000, 1, _deflated(bytes(1_000_001) for _ in range(64))))


def png_too_large(folder: Path) -> Path:
    return _write(folder / "x.png", _png(50_000, 50_000, _deflated([b"\0" * 1000]), colours=2))


def png_larger_than_pillow_allows(folder: Path) -> Path:
    return _write(folder / "x.png", _png(2**31 - 1, 2**31 - 1, _deflated([b"\0" * 1000])))


def png_of_no_pixels(folder: Path) -> Path:
    return _write(folder / "x.png", _png(0, 0, _deflated([b""])))


def png_with_text_that_inflates(folder: Path) -> Path:
    text = _chunk(b"zTXt", b"note\0\0" + _deflated(bytes(1_000_000) for _ in range(20)))
    return _write(folder / "x.png", _png(8, 8, _deflated([b"\0" * 72]), text))


def png_with_a_profile_that_inflates(folder: Path) -> Path:
    """Pillow leaves such a profile out; the pixels are not there either."""
    profile = _chunk(b"iCCP", b"note\0\0" + _deflated(bytes(1_000_000) for _ in range(20)))
    return _write(folder / "x.png", _png(8, 8, _deflated([b"\0" * 8]), profile))


def png_cut_short(folder: Path) -> Path:
    return _write(folder / "x.png", _picture("PNG")[:400])


def jpeg_cut_short(folder: Path) -> Path:
    return _write(folder / "x.jpg", _picture("JPEG")[:700])


def jpeg_of_endless_scans(folder: Path) -> Path:
    """A progressive JPEG that says the same 3,000 times; each time costs a pass over 64 million pixels."""
    buffer = io.BytesIO()
    Image.new("L", (8000, 8000)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    return _write(folder / "x.jpg", content[:-2] + content[last:-2] * 3000 + content[-2:])


def webp_cut_short(folder: Path) -> Path:
    return _write(folder / "x.webp", _picture("WEBP")[:200])


def bmp_cut_short(folder: Path) -> Path:
    return _write(folder / "x.bmp", _picture("BMP")[:200])


def bmp_too_large(folder: Path) -> Path:
    content = bytearray(_picture("BMP"))
    content[18:26] = struct.pack("<ii", 60_000, -60_000)
    return _write(folder / "x.bmp", bytes(content))


def webp_of_damage(folder: Path) -> Path:
    content = bytearray(_picture("WEBP"))
    content[20:60] = b"\xff" * 40
    return _write(folder / "x.webp", bytes(content))


def picture_of_text(folder: Path) -> Path:
    return _write(folder / "x.png", b"<html>not found</html>")


def picture_is_empty(folder: Path) -> Path:
    return _write(folder / "x.png", b"")


def picture_is_a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "x.png")
    return folder / "x.png"


def picture_is_a_device(folder: Path) -> Path:
    (folder / "x.png").symlink_to("/dev/zero")
    return folder / "x.png"


def picture_is_a_dead_link(folder: Path) -> Path:
    (folder / "x.png").symlink_to(folder / "nowhere.png")
    return folder / "x.png"


def picture_is_a_folder(folder: Path) -> Path:
    (folder / "x.png").mkdir()
    return folder / "x.png"
