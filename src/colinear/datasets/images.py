"""One picture of any kind to raw uint8 numbers: modes, transparency, orientation, size.

Only Pillow's PNG, JPEG, BMP and WEBP decoders are ever reached, whatever a file is called and holds: others start
programs (EPS runs Ghostscript) or open what the file names.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.base import ImageShape
from colinear.datasets.doors import as_path, check_regular, guarded, quiet
from colinear.texts import shown_path

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
MAX_PIXELS = 64_000_000  # larger than any camera picture that becomes a row of features; stops inflating bombs
MAX_SIDE = 65_535  # JPEG's own limit; each line costs memory of its own: 1 x 64,000,000 took 3.7 GB and minutes
MOST_SCANS = 100  # of a progressive JPEG of MAX_PIXELS, 6 s; encoders write 10 to 64
SCAN_BYTES = 8  # no scan is shorter
MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # but those inside a scan: stuffing and restarts
START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF's orientation, as Pillow's ImageOps.exif_transpose undoes it


class _Room:
    """Lets threads decode side by side while their pictures have at most `most` pixels together."""

    def __init__(self, most: int) -> None:
        self.most, self.taken = most, 0
        self.changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: not self.taken or self.taken + pixels <= self.most)
            self.taken += pixels
        try:
            yield
        finally:
            with self.changed:
                self.taken -= pixels
                self.changed.notify_all()


_room = _Room(MAX_PIXELS)  # a decoded picture takes up to 16 bytes a pixel: 1 GB, however many threads there are


def read_image(path: str | Path, image_shape: ImageShape, *, value_range: float = 255.0) -> Tensor:
    """Return a picture file as one raw row (d,) uint8 in the order (channel, row, column).

    image_shape : (channels, height, width), channels 1 (grey) or 3 (red, green, blue); d is their product.
    value_range : the raw value of white (16 for the digits); 255 leaves pixels as they are.
    PNG, JPEG, BMP and WEBP are read. Any size is stretched to height x width with antialiasing (Pillow's bilinear
    filter); EXIF orientation is followed, transparency lies on white, palettes and CMYK become RGB, 16-bit grey
    keeps its upper 8 bits.
    Raises `InputError` if the file is missing, no regular file, none of the four formats, damaged, larger than
    64 million pixels, or longer than 65,535 on one side. EXIF that cannot be read is passed over.
    """
    with quiet():
        pixels = decode_image(as_path(path), image_shape)
    if value_range != 255.0:
        pixels = np.rint(pixels * (value_range / 255.0)).astype(np.uint8)
    return torch.from_numpy(pixels).reshape(-1)


def decode_image(path: Path, image_shape: ImageShape) -> NDArray[np.uint8]:
    """Return (channels, height, width) uint8; raises as `read_image`. For threads: the GIL is free while it decodes."""
    channels, height, width = image_shape
    if channels not in (1, 3):
        raise InputError(f"pictures have 1 or 3 channels; got image shape {image_shape}. Give raw rows as .npy.")
    check_regular(path)
    with _opening(path) as image:
        _check_size(image, path, width)
        _check_scans(image, path)
        with _room.of(image.width * image.height):
            image.load()  # before the EXIF is asked for: PNG may hold it behind the pixels
            flat = _flatten(_turned(image), "L" if channels == 1 else "RGB")
            # lines first, then columns, by two calls: in one call the order, and with it the rounding, is Pillow's
            # choice (13 takes columns first for some sizes), and the report's page has to do the same arithmetic
            for size in ((width, flat.height), (width, height)):
                flat = flat if flat.size == size else flat.resize(size, Image.Resampling.BILINEAR)
    pixels = np.array(flat, dtype=np.uint8)  # (height, width) or (height, width, 3)
    return pixels.reshape(height, width, channels).transpose(2, 0, 1).copy()


def probe_image(path: Path) -> tuple[tuple[int, int], bool] | None:
    """Return ((height, width), is grey) from the file's header, or None if it is no readable image."""
    try:
        check_regular(path)
        with _opening(path) as image:
            _check_size(image, path)
            return (image.height, image.width), image.mode in GREY_MODES
    except InputError:
        return None


@contextmanager
def _opening(path: Path) -> Iterator[Image.Image]:
    """The picture in a file, its header read; whatever Pillow makes of it, here or inside, is an `InputError`."""
    with guarded(path, "an image", "Give a whole PNG, JPEG, BMP or WEBP file."):
        try:
            opened = Image.open(path, formats=FORMATS)
        except UnidentifiedImageError:
            raise ValueError(f"none of {', '.join(FORMATS)}") from None
        with opened as image:
            yield image


def _check_size(image: Image.Image, path: Path, width: int = 1) -> None:
    """Bound a picture, and what lies between it and `width` columns, before it is decoded."""
    long = max(image.size)
    if image.width * image.height > MAX_PIXELS or long > MAX_SIDE or width * long > MAX_PIXELS:
        raise InputError(
            f"{shown_path(path)} has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are read, and "
            f"{min(MAX_SIDE, MAX_PIXELS // max(width, 1)):,} on a side. Make it smaller first."
        )


def _check_scans(image: Image.Image, path: Path) -> None:
    """Refuse a JPEG of many scans: each has a hundred bytes and passes over all pixels, 1 ns for each.

    Counted as libjpeg finds them, up to the end of the image: what follows it, such as a video, has any bytes.
    """
    pixels, size = image.width * image.height, check_regular(path)
    if image.format not in ("JPEG", "MPO") or pixels * (size // SCAN_BYTES) <= MAX_PIXELS * MOST_SCANS:
        return
    content, at, scans = path.read_bytes(), 0, 0
    while found := MARKER.search(content, at):
        at = found.end()
        if found[0] == END_OF_IMAGE:
            break
        if found[0] != START_OF_IMAGE:
            scans += found[0] == START_OF_SCAN
            at += int.from_bytes(content[at : at + 2], "big")
        if scans * pixels > MAX_PIXELS * MOST_SCANS:
            raise InputError(f"{shown_path(path)} has more than {scans - 1:,} scans. Save it again.")


def _turned(image: Image.Image) -> Image.Image:
    """`image` as it was held when it was taken; an orientation that cannot be made out is none."""
    try:
        turn = TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF: struct.error, TypeError, ZeroDivisionError, ... while the pixels are all there
        turn = None
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """One grey ("L") or colour ("RGB") layer of 8 bits."""
    if image.mode.startswith("I"):  # 16 bits of grey, or 32 bits that hold 16; Pillow's own convert would clip
        values = np.asarray(image)
        image = Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8))
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == mode else image.convert(mode)
