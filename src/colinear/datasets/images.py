"""One picture of any kind to raw uint8 numbers: modes, transparency, orientation, size."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.base import ImageShape

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
MAX_PIXELS = 64_000_000  # larger than any camera picture that becomes a row of features; stops inflating bombs
# what Pillow's decoders raise for files that are damaged, cut short or no images
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    struct.error,
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def read_image(path: str | Path, image_shape: ImageShape, *, value_range: float = 255.0) -> Tensor:
    """Return a picture file as one raw row (d,) uint8 in the order (channel, row, column).

    image_shape : (channels, height, width), channels 1 (grey) or 3 (red, green, blue); d is their product.
    value_range : the raw value of white (16 for the digits); 255 leaves pixels as they are.
    Any size is stretched to height x width with antialiasing (Pillow's bilinear filter); EXIF orientation is
    followed, transparency lies on white, palettes and CMYK become RGB, 16-bit grey keeps its upper 8 bits.
    Raises `InputError` if the file is missing, no image, damaged, or larger than 64 million pixels.
    """
    path = Path(path).expanduser()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are checked here, by an error
        pixels = decode_image(path, image_shape)
    if value_range != 255.0:
        pixels = np.rint(pixels * (value_range / 255.0)).astype(np.uint8)
    return torch.from_numpy(pixels).reshape(-1)


def decode_image(path: Path, image_shape: ImageShape) -> NDArray[np.uint8]:
    """Return (channels, height, width) uint8; raises as `read_image`. For threads: the GIL is free while it decodes."""
    channels, height, width = image_shape
    if channels not in (1, 3):
        raise InputError(f"pictures have 1 or 3 channels; got image shape {image_shape}. Give raw rows as .npy.")
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file. Check the path.")
    try:
        with Image.open(path) as image:
            _check_size(image)
            flat = _flatten(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
        # lines first, then columns, by two calls: in one call the order, and with it the rounding, is Pillow's choice
        # (13 takes columns first for some sizes), and the report's page has to do the same arithmetic
        for size in ((width, flat.height), (width, height)):
            flat = flat if flat.size == size else flat.resize(size, Image.Resampling.BILINEAR)
    except InputError as error:
        raise InputError(f"{path} {error}") from None
    except DECODE_ERRORS as error:
        reason = "no image format that is known" if isinstance(error, UnidentifiedImageError) else str(error)
        raise InputError(f"{path} cannot be read as an image ({reason}). Give a whole PNG or JPEG file.") from None
    pixels = np.array(flat, dtype=np.uint8)  # (height, width) or (height, width, 3)
    return pixels.reshape(height, width, channels).transpose(2, 0, 1).copy()


def probe_image(path: Path) -> tuple[tuple[int, int], bool] | None:
    """Return ((height, width), is grey) from the file's header, or None if it is no readable image."""
    try:
        with Image.open(path) as image:
            _check_size(image)
            return (image.height, image.width), image.mode in GREY_MODES
    except DECODE_ERRORS:  # InputError is a ValueError
        return None


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise InputError(
            f"has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are read. Make it smaller first."
        )


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """One grey ("L") or colour ("RGB") layer of 8 bits."""
    if image.mode.startswith("I"):  # 16 bits of grey, or 32 bits that hold 16; Pillow's own convert would clip
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise InputError("holds floating-point pixels; only 8 and 16 bits are read. Convert it first.")
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == mode else image.convert(mode)
