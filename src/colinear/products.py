"""The two products every solver lives on, for one batch of rows x after another:

    scores = W x^T        target += factor * slopes x

`FloatProducts` scales the rows to floats and multiplies, `ByteProducts` leaves images as they are stored, and
`SparseProducts` rows that are nearly all zeros. Which of them serves what is decided here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from colinear.byteproducts import MOST_SUMMANDS, ByteProducts
from colinear.datasets.features import Features
from colinear.datasets.sparse import BLOCK
from colinear.datasets.sparserows import SparseRows
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


class SparseProducts:
    """Rows of a `SparseMatrix` as they are stored: scale, shift and constant column are in what is multiplied.

        W x = (W scale) raw - W shift + bias w        S x = (S raw) scale - sum(S) shift

    Products are those of bags, see `SparseMatrix.times`: of the rows with W^T, and of their transpose with S^T. The
    transpose is kept: torch's `rows.t() @ S` of a CSR tensor takes 4 to 90 times as long as that of a stored one.
    """

    def __init__(self, rows: SparseRows) -> None:
        self.rows, self._width = rows, rows.dataset.n_features
        self._plain = rows.scale.ndim == 0 and float(rows.scale) == 1

    def hold(self, coef: Tensor) -> None:
        self._tables = [self._turn(block) for block in torch.split(coef, BLOCK)]
        self._offset = self._constant_scores(coef)

    def load(self, rows: Tensor | slice) -> None:
        self._chunk, self._turned = self.rows.load_both(rows)

    def scores_into(self, out: Tensor) -> Tensor:
        for part, table in zip(torch.split(out, BLOCK), self._tables, strict=True):
            part.copy_(self._chunk.times(table).mT)
        return out if self._offset is None else out.add_(self._offset)

    def add_gradient_(self, target: Tensor, slopes: Tensor, factor: Tensor | None = None) -> None:
        slopes = slopes if factor is None else slopes.mul_(factor)
        for mine, block in zip(torch.split(target, BLOCK), torch.split(slopes, BLOCK), strict=True):
            self._add_columns_(mine, self._turned.times(block.mT.contiguous()).mT)
        self._add_constant_(target, slopes)

    def _turn(self, block: Tensor) -> Tensor:
        """Weights (m, d [+ 1]) as a table (d, m) for raw rows."""
        raw = block[:, : self._width]
        return (raw if self._plain else raw * self.rows.scale).mT.contiguous()

    def _add_columns_(self, target: Tensor, sums: Tensor) -> None:
        mine = target[:, : self._width]
        mine.add_(sums) if self._plain else mine.addcmul_(sums, self.rows.scale)

    def _constant_scores(self, coef: Tensor) -> Tensor | None:
        """What every row has of scores, (m, 1)."""
        shift, bias = self.rows.shift, self.rows.scaling.bias
        offset = coef[:, -1:] * bias if bias else None
        if shift is None:
            return offset
        below = (coef[:, : self._width] * shift).sum(1, keepdim=True)  # of each row by itself, whatever else is there
        return -below if offset is None else offset - below

    def _add_constant_(self, target: Tensor, slopes: Tensor) -> None:
        totals = slopes.sum(1, keepdim=True)
        if self.rows.shift is not None:
            target[:, : self._width].addcmul_(totals, self.rows.shift, value=-1)
        if self.rows.scaling.bias:
            target[:, -1:].add_(totals, alpha=self.rows.scaling.bias)


class SparseStepProducts(SparseProducts):
    """The same for one batch at a time, which has few of the columns: only their weights are read and turned."""

    def hold(self, coef: Tensor) -> None:
        self._coef, self._offset = coef, self._constant_scores(coef)

    def load(self, rows: Tensor | slice) -> None:
        batch = self.rows.load(rows)
        self._columns, columns = torch.unique(batch.columns, return_inverse=True)
        self._chunk = replace(batch, columns=columns.to(batch.columns.dtype), width=len(self._columns))
        self._turned = self._chunk.transposed()

    def scores_into(self, out: Tensor) -> Tensor:
        self._tables = [self._turn(block) for block in torch.split(self._coef, BLOCK)]
        return super().scores_into(out)

    def _turn(self, block: Tensor) -> Tensor:
        held = block.index_select(1, self._columns)
        return held.mul_(self._scale).mT.contiguous()

    def _add_columns_(self, target: Tensor, sums: Tensor) -> None:
        target.index_add_(1, self._columns, sums * self._scale)

    @property
    def _scale(self) -> Tensor:
        return self.rows.scale[self._columns] if self.rows.scale.ndim else self.rows.scale


def step_products(
    features: Features, loss: Loss, batch_size: int, *, block: int | None = None, unweighted: bool = True
) -> Products:
    """What multiplies a new matrix with every batch (SGD). block : of `FloatProducts`.   unweighted : no row weights.

    Only the hinge, whose slopes are bytes already, gains wherever bytes are: three bytes of a softmax step's slopes and
    the splitting of its weights take 0.8 to 0.9 of its float32 time at batch 200, and more on other processors.
    """
    if features.sparse is not None:
        return SparseStepProducts(features.sparse)
    whole = unweighted and loss.whole_slopes and features.n_classes <= MOST_CLASSES
    if whole and FEWEST_STEPPED <= batch_size <= MOST_SUMMANDS and suits_bytes(features):
        return ByteProducts(features, whole=True)
    return FloatProducts(features, block)


def pass_products(features: Features, coef: Tensor) -> Products:
    """What multiplies the weights (m, d) with all rows, chunk by chunk: bytes wherever that is possible."""
    products: Products = ByteProducts(features) if suits_bytes(features) else row_products(features)
    products.hold(coef)
    return products


def row_products(features: Features) -> Products:
    """What multiplies any rows, in the features' precision."""
    return FloatProducts(features) if features.sparse is None else SparseProducts(features.sparse)


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
