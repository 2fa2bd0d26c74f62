"""Histograms of oriented gradients, as scikit-image's `hog` makes them, and of hues beside them.

Source   N. Dalal, B. Triggs, *Histograms of oriented gradients for human detection*, 2005.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from colinear.checks import InputError, check_choice, check_count
from colinear.extractors.base import WHITE, Extractor, RowKind, need_pictures

EPS = 1e-5  # scikit-image's
NUMBERS = 1 << 23  # of the histograms of pixels, 64 MB
CLIP = 0.2  # of L2-Hys


def _l1(blocks: Tensor) -> Tensor:
    return blocks / (blocks.abs().sum(-1, keepdim=True) + EPS)


def _l2(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum(-1, keepdim=True) + EPS**2).sqrt()


NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "L1": _l1,
    "L1-sqrt": lambda blocks: _l1(blocks).sqrt(),
    "L2": _l2,
    "L2-Hys": lambda blocks: _l2(_l2(blocks).clamp(max=CLIP)),
}


@dataclass(frozen=True)
class Hog(Extractor):
    """Gradient histograms of cells, normalised over blocks of cells; with `color` a hue histogram of each cell too.

    orientations : bins of [0, 180) degrees.   cell : pixels a side of a cell.   block : cells a side of a block.
    norm : 'L1', 'L1-sqrt', 'L2' or 'L2-Hys'.   sqrt : whether gradients are of the square roots of pixels.
    In colour the gradient of a pixel is that of the channel where it is largest. Rows and columns that fill no cell are
    left out. Features are ordered (block row, block column, cell row, cell column, orientation).
    Error    equal to scikit-image's `hog(image, orientations, (cell, cell), (block, block), norm,
             transform_sqrt=sqrt, channel_axis=0)` within 1e-6.

    >>> Hog().width(RowKind(3 * 32 * 32, (3, 32, 32), 255.0))
    1764
    """

    color: bool = False
    orientations: int = 9
    cell: int = 4
    block: int = 2
    norm: str = "L2-Hys"
    sqrt: bool = False
    hues: int = 12

    kind: ClassVar[str] = "hog"

    def __post_init__(self) -> None:
        for name, least, most in (("orientations", 1, 360), ("cell", 1, 4096), ("block", 1, 64), ("hues", 1, 360)):
            check_count(name, getattr(self, name), minimum=least, most=most)
        if not all(isinstance(one, bool) for one in (self.color, self.sqrt)):
            raise InputError("color and sqrt must be true or false.")
        check_choice("norm", self.norm, tuple(NORMS))

    @property
    def name(self) -> str:
        return "hog+color" if self.color else "hog"

    def check(self, rows: RowKind) -> None:
        need_pictures(self.name, rows, self.cell * self.block, (3,) if self.color else (1, 3))

    def width(self, rows: RowKind) -> int:
        _, high, wide = need_pictures(self.name, rows, self.cell * self.block)
        cells = high // self.cell, wide // self.cell
        blocks = (cells[0] - self.block + 1) * (cells[1] - self.block + 1)
        return blocks * self.block**2 * self.orientations + self.color * cells[0] * cells[1] * self.hues

    def together(self, rows: RowKind) -> int:
        return max(1, NUMBERS // (rows.n_inputs * max(self.orientations, self.hues)))

    def apply(self, rows: Tensor, kind: RowKind, tensors: Mapping[str, Tensor]) -> Tensor:
        images = kind.pictures(rows)
        features = self._gradients(images)
        return torch.cat([features, self._hues(images)], 1) if self.color else features

    def _gradients(self, images: Tensor) -> Tensor:
        images = images.double()  # as scikit-image: whole numbers have angles such as 45 degrees, the edge of a bin
        images = images.sqrt() if self.sqrt else images
        down, right = torch.zeros_like(images), torch.zeros_like(images)
        torch.sub(images[:, :, 2:], images[:, :, :-2], out=down[:, :, 1:-1])
        torch.sub(images[..., 2:], images[..., :-2], out=right[..., 1:-1])
        size, channel = torch.hypot(down, right).max(1, keepdim=True)  # (b, 1, height, width)
        angle = torch.atan2(down.gather(1, channel), right.gather(1, channel)).rad2deg_().remainder_(180)
        step = 180 / self.orientations
        cells = self._histogram(size, (angle / step).long().clamp_(max=self.orientations - 1), self.orientations)
        cells = cells / self.cell**2
        # (b, block rows, block columns, orientations, cell row, cell column)
        blocks = cells.unfold(1, self.block, 1).unfold(2, self.block, 1).permute(0, 1, 2, 4, 5, 3)
        return NORMS[self.norm](blocks.flatten(3)).flatten(1).float()

    def _hues(self, images: Tensor) -> Tensor:
        """Hue histograms of cells, each pixel counted by its chroma, (b, cells * hues)."""
        high, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
        chroma = high - low
        red, green, blue = torch.split(images, 1, 1)
        safe = chroma.clamp(min=1e-6)
        others = torch.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4)
        sixth = torch.where(high == red, (green - blue) / safe % 6, others)
        place = (sixth * (self.hues / 6)).long().clamp_(0, self.hues - 1)
        return (self._histogram(chroma, place, self.hues) / (WHITE * self.cell**2)).sqrt().flatten(1)

    def _histogram(self, weight: Tensor, place: Tensor, bins: int) -> Tensor:
        """Sums of `weight` (b, 1, height, width) over the pixels of each cell and bin: (b, rows, columns, bins)."""
        b, _, high, wide = weight.shape
        rows, columns = high // self.cell, wide // self.cell
        spread = weight.new_zeros(b, bins, high, wide).scatter_(1, place, weight)
        spread = spread[:, :, : rows * self.cell, : columns * self.cell]
        return spread.reshape(b, bins, rows, self.cell, columns, self.cell).sum((3, 5)).permute(0, 2, 3, 1)
