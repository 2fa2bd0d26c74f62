"""Pictures inside the page: many small ones side by side in one PNG, as a data URL.

A PNG is shown as it is, so the page needs neither to unpack numbers nor to read pixels back, which some browsers
forbid.
"""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from colinear.datasets.base import ImageShape

Pixels = NDArray[np.uint8]
MOST_BYTES = 1_600_000  # of all candidates' templates of one loss: 50 x 10 x 32 x 32 x 3 fit
MOST_CLASSES = 20  # templates a candidate shows
# ColorBrewer's RdBu, from against (blue) over 0 to for (red): told apart by colour-blind readers
DIVERGING = ("#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d",
             "#b2182b", "#67001f")  # fmt: skip


def shrink_templates(
    coef: Tensor, shape: ImageShape, most_bytes: int = MOST_BYTES, most_classes: int = MOST_CLASSES
) -> Tensor:
    """Weights (k, c, d) as pictures (k, c', channels, h', w') uint8, each class stretched to its own range.

    Colour: least to largest weight. Grey: symmetric, 0 is 128. At most `most_classes`; large images are averaged down
    until all fit in `most_bytes`. Weights that are not finite are shown as 128.

    >>> shrink_templates(torch.tensor([[[-1.0, 0.0, 0.5, 1.0]]]), (1, 2, 2)).flatten().tolist()
    [1, 128, 192, 255]
    """
    coef = coef[:, :most_classes]
    pictures = coef.reshape(-1, *shape)
    factor = max(1, math.ceil(math.sqrt(pictures.numel() / most_bytes)))
    if factor > 1:
        pictures = torch.nn.functional.avg_pool2d(pictures, factor, ceil_mode=True)
    return stretch(pictures.flatten(1), symmetric=shape[0] == 1).view(*coef.shape[:2], *pictures.shape[1:])


def stretch(rows: Tensor, *, symmetric: bool = True) -> Tensor:
    """Each row (m, d) to uint8: 0 at 128 and the largest size at 255 or 1, or from its least (0) to its largest."""
    fine = torch.isfinite(rows).all(1, keepdim=True)
    rows = torch.where(fine, rows, 0.0)
    if symmetric:
        peak = rows.abs().amax(1, keepdim=True)
        scaled = 128 + rows / torch.where(peak > 0, peak, 1.0) * 127
    else:
        low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
        scaled = torch.where(high > low, (rows - low) / (high - low) * 255, 128.0)
    return scaled.round().clamp(0, 255).to(torch.uint8)


def make_sprite(pictures: Tensor, *, signed: bool = False, levels: int = 256) -> dict[str, Any]:
    """Lay pictures (m, channels, h, w) uint8 in one PNG: {src, columns, count, w, h}.

    signed : grey levels are signed weights around 128 and get colours, blue below and red above.
    levels : how many of the 256 levels are told apart; 64 look alike and make the file a third smaller.
    """
    count, channels, height, width = pictures.shape
    columns = max(1, math.ceil(math.sqrt(count * height / width)))
    lines = math.ceil(count / columns)
    step = 256 // levels
    values = pictures.numpy() // step * step if step > 1 else pictures.numpy()
    board = np.zeros((lines * height, columns * width, channels), dtype=np.uint8)
    for number, picture in enumerate(values):
        top, left = number // columns * height, number % columns * width
        board[top : top + height, left : left + width] = picture.transpose(1, 2, 0)
    image = Image.fromarray(board[:, :, 0] if channels == 1 else board)
    if signed and channels == 1:
        image.putpalette(_palette(step).tobytes())
    buffer = io.BytesIO()
    # runs are all that repeats in weights: a tenth of the time of zlib's longest search, and 4 % smaller
    image.save(buffer, "PNG", compress_type=Image.RLE)
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"src": source, "columns": columns, "count": count, "w": width, "h": height}


def _palette(step: int) -> Pixels:
    """256 colours of `DIVERGING`, its middle at 128; of `step` levels that share a colour, each shows the middle."""
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in DIVERGING], dtype=np.float64)
    shown = np.arange(256) // step * step
    places = (np.clip((shown - 128) / 127, -1, 1) + 1) / 2 * (len(stops) - 1)
    colours = [np.interp(places, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return np.stack(colours, 1).round().astype(np.uint8)
