"""How light the border of pictures is: by it a drawing of dark ink is told from one of light ink."""

from __future__ import annotations

import torch
from torch import Tensor

from colinear.datasets.base import Dataset, ImageShape

HALF = 0.5
PLAIN = 0.25  # a border this near to black or white is a background; CIFAR-10's is at 0.48
MOST_ROWS = 2000  # evenly spaced


def border_of(rows: Tensor, shape: ImageShape, value_range: float) -> float:
    """Mean of the outermost pixels of raw rows (n, d), as a share of `value_range`.

    >>> border_of(torch.tensor([[0.0, 8, 8, 8, 16, 8, 8, 8, 0]]), (1, 3, 3), 16.0)
    0.375
    """
    channels, height, width = shape
    edge = torch.ones(height, width, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    return float(rows.double().view(-1, channels, height, width)[..., edge].mean() / value_range)


def training_border(train: Dataset) -> float | None:
    """`border_of` up to 2,000 rows; None where rows are no pictures, or are features of some."""
    shape = train.image_shape
    if shape is None or min(shape[1:]) < 3 or getattr(train, "extractor", None) is not None:
        return None
    step = max(1, train.n_samples // MOST_ROWS)
    rows = torch.arange(0, train.n_samples, step, device=train.labels.device)
    return border_of(train.take(rows).cpu(), shape, train.value_range)


def draws_light(border: object) -> bool | None:
    """Whether pictures of a mean `border` are light ink on dark; None where they lie on neither black nor white.

    >>> [draws_light(border) for border in (0.03, 0.48, 0.97, None)]
    [True, None, False, None]
    """
    if not isinstance(border, float) or not 0 <= border <= 1 or PLAIN < border < 1 - PLAIN:
        return None
    return border < HALF


def looks_inverted(row: Tensor, shape: ImageShape, value_range: float, border: object) -> bool:
    """Whether training pictures lie on plain black or white, by their mean `border`, and this one on the other.

    >>> picture = torch.full((1, 9), 255.0)
    >>> [looks_inverted(picture, (1, 3, 3), 255.0, border) for border in (0.03, 0.48, 0.97, None)]
    [True, False, False, False]
    """
    light, own = draws_light(border), draws_light(border_of(row, shape, value_range))
    return None not in (light, own) and light != own
