"""The two products every solver lives on, for one batch of rows x after another:

    scores = W x^T        target += factor * slopes x

`FloatProducts` scales the rows to floats and multiplies, `ByteProducts` leaves images as they are stored. Which of them
serves what is decided here.
"""

from __future__ import annotations

from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from colinear.byteproducts import MOST_SUMMANDS, ByteProducts
from colinear.datasets.features import Features
from colinear.losses import Loss
from colinear.processor import multiplies_bytes

# Below these, splitting numbers costs more than the products save. With AVX-512 VNNI a pass takes 0.5 to 0.9 of its
# float32 time at 10,000 rows of 256 pixels, 2,000 of 784 and 500 of 3,072, and is no faster with a fifth of that; steps
# of the hinge are faster from batches of 80 to 150 on. How many candidates there are does not count: each shall have
# the same numbers beside others as alone.
FEWEST_COLUMNS = 256
FEWEST_PIXELS = 1_000_000  # of all rows
FEWEST_STEPPED = 128  # rows of a batch
MOST_CANCELLED = 3.0  # |scale v| / |x| up to which rows are used as bytes; CIFAR-10 has 1.0, dark images 40
SAMPLE = 256  # rows that tell that ratio
MOST_CLASSES = 128  # the hinge's slopes are whole numbers in [1 - classes, 1]: one byte


class Products(Protocol):
    """Products of one weight matrix (m, d) with batches of scaled rows (b, d)."""

    def hold(self, coef: Tensor) -> None:
        """Use the weights (m, d) as they are now until they are held anew."""
        ...

    def load(self, rows: Tensor | slice) -> None:
        """Make the rows with these numbers the batch."""
        ...

    def scores_into(self, out: Tensor) -> Tensor:
        """coef x^T, (m, b), written to `out`."""
        ...

    def add_gradient_(self, target: Tensor, slopes: Tensor, factor: Tensor | None = None) -> None:
        """target (m, d) += factor (m, 1) * slopes x, with slopes (m, b), which may be overwritten."""
        ...


class FloatProducts:
    """Rows scaled to the features' precision; `block` rows at most go into one product of scores."""

    def __init__(self, features: Features, block: int | None = None) -> None:
        self.features, self.block = features, block

    def hold(self, coef: Tensor) -> None:
        self._coef = coef

    def load(self, rows: Tensor | slice) -> None:
        self._chunk = self.features.gather(rows)

    def scores_into(self, out: Tensor) -> Tensor:
        width = self.block or len(self._chunk)
        for start in range(0, len(self._chunk), width):
            part = slice(start, start + width)
            torch.mm(self._coef, self._chunk[part].mT, out=out[:, part])
        return out

    def add_gradient_(self, target: Tensor, slopes: Tensor, factor: Tensor | None = None) -> None:
        target.addmm_(slopes if factor is None else slopes.mul_(factor), self._chunk)


def step_products(
    features: Features, loss: Loss, batch_size: int, *, block: int | None = None, unweighted: bool = True
) -> Products:
    """What multiplies a new matrix with every batch (SGD). block : of `FloatProducts`.   unweighted : no row weights.

    Only the hinge, whose slopes are bytes already, gains wherever bytes are: three bytes of a softmax step's slopes and
    the splitting of its weights take 0.8 to 0.9 of its float32 time at batch 200, and more on other processors.
    """
    whole = unweighted and loss.kinked and not loss.smoothed and features.n_classes <= MOST_CLASSES
    if whole and FEWEST_STEPPED <= batch_size <= MOST_SUMMANDS and suits_bytes(features):
        return ByteProducts(features, whole=True)
    return FloatProducts(features, block)


def pass_products(features: Features, coef: Tensor) -> Products:
    """What multiplies the weights (m, d) with all rows, chunk by chunk: bytes wherever that is possible."""
    products: Products = ByteProducts(features) if suits_bytes(features) else FloatProducts(features)
    products.hold(coef)
    return products


def suits_bytes(features: Features) -> bool:
    """Whether the rows are bytes, scaled all alike to float32, and enough, on a processor that multiplies bytes fast.

    Rows that all have nearly the same pixels are not: sums over v would cancel.
    """
    return (
        features.device.type == "cpu"
        and features.dtype == torch.float32
        and features.dataset.dtype == torch.uint8
        and features.scaling.scale.ndim == 0
        and FEWEST_COLUMNS <= features.dataset.n_features <= MOST_SUMMANDS
        and features.n_samples * features.dataset.n_features >= FEWEST_PIXELS
        and multiplies_bytes()
        and _cancelled(features) <= MOST_CANCELLED
    )


_RATIOS: WeakKeyDictionary[Features, float] = WeakKeyDictionary()


def _cancelled(features: Features) -> float:
    """|scale v| / |x|, of evenly spaced rows taken as one; looked at once for each `Features`."""
    if features not in _RATIOS:
        step = max(1, features.n_samples // SAMPLE)
        signed = features.dataset.take(torch.arange(0, features.n_samples, step)).float().sub_(128)
        signed *= float(features.scaling.scale)
        scaled = signed + (128 * features.scaling.scale - features.scaling.shift).float()
        _RATIOS[features] = float(signed.norm()) / max(float(scaled.norm()), torch.finfo(torch.float32).tiny)
    return _RATIOS[features]
