"""Small copies of the test pictures beside their features, for people to see in a report."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.arrays import open_npy
from colinear.datasets.base import Dataset
from colinear.extractors.base import RowKind
from colinear.texts import shown_path

MOST_SIDE = 32  # pixels
ROWS = 1024  # that are made small together


def write_pictures(target: Path, test: Dataset | None) -> None:
    """Small pictures of the test rows, if these are grey or red, green and blue."""
    if test is None or test.image_shape is None or test.image_shape[0] not in (1, 3) or target.exists():
        return
    kind, aside = RowKind.of(test), target.with_name(f"{target.name}.part")
    factor = -(-max(test.image_shape[1:]) // MOST_SIDE)
    shape = (test.n_samples, test.image_shape[0], *(-(-side // factor) for side in test.image_shape[1:]))
    with open(aside, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, test.n_samples, ROWS):
            pictures = kind.pictures(test.take(slice(start, min(start + ROWS, test.n_samples))))
            small = torch.nn.functional.avg_pool2d(pictures, factor, ceil_mode=True)
            file.write(small.round().clamp(0, 255).to(torch.uint8).numpy().tobytes())
        file.flush()
        os.fsync(file.fileno())
    aside.rename(target)


def read_pictures(path: Path, n: int) -> Tensor:
    """The pictures (n, channels, height, width) of a file. Raises `InputError` for anything else."""
    pictures = open_npy(path)
    sides = pictures.shape[2:]
    whole = pictures.dtype == np.uint8 and pictures.ndim == 4 and pictures.shape[:1] == (n,)
    if not whole or pictures.shape[1] not in (1, 3) or not 0 < min(sides) <= max(sides) <= MOST_SIDE:
        raise InputError(
            f"{shown_path(path)} must be {n} pictures of bytes, at most {MOST_SIDE} pixels a side. Delete it: reports "
            "then do without."
        )
    return torch.from_numpy(pictures)
