"""Random Fourier features: a linear classifier of them is one of a Gaussian kernel, nearly.

    k(x, y) = exp(-|x - y|^2 / (2 s^2))  ~  f(x) . f(y) ,     f(x) = sqrt(2 / D) cos(W (x - m) + b)

with the rows of W normal of variance 1 / s^2 and b uniform in [0, 2 pi).

Source   A. Rahimi, B. Recht, *Random features for large-scale kernel machines*, 2007.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.datasets.base import Dataset
from colinear.datasets.features import fit_scaling
from colinear.extractors.base import Extractor, RowKind, Told

MOST_FEATURES = 1 << 18
PAIRS = 2000  # rows whose distances give the bandwidth


@dataclass(frozen=True)
class Kernel(Extractor):
    """`count` random features of a Gaussian kernel, for tables and pictures.

    count : features, 1 to 262,144.   width_factor : s over the root median square of the distances of training rows.
    Columns of a table are divided by their standard deviation first, pictures are not.
    Error    of the kernel, about 1 / sqrt(count).

    >>> from colinear.datasets import load_digits
    >>> Kernel(50).fit(load_digits()).transform(load_digits().take(slice(0, 5))).shape
    torch.Size([5, 50])
    """

    count: int
    width_factor: float = 0.5

    kind: ClassVar[str] = "kernel"

    def __post_init__(self) -> None:
        check_count("kernel features", self.count, most=MOST_FEATURES)
        check_number("width_factor", self.width_factor, above=0, most=1e6)

    @property
    def name(self) -> str:
        return f"kernel:{self.count}"

    def check(self, rows: RowKind) -> None:
        """Any rows will do."""

    def width(self, rows: RowKind) -> int:
        return self.count

    def shapes(self, rows: RowKind) -> dict[str, tuple[int, ...]]:
        return {"center": (rows.n_inputs,), "directions": (rows.n_inputs, self.count), "phases": (self.count,)}

    def learn(self, dataset: Dataset, seed: int, progress: Told | None) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        scaling = fit_scaling(dataset, standardize=dataset.image_shape is None)
        scale = scaling.scale.expand(dataset.n_features)
        chosen = torch.randperm(dataset.n_samples, generator=generator)[:PAIRS]
        rows = dataset.take(chosen).double() * scale
        squares = torch.pdist(rows).square()
        spread = float(squares.median()) if len(squares) else 0.0
        if not spread > 0:
            raise InputError(
                f"{self.name} needs training rows that differ; of n_samples={dataset.n_samples}, most are equal."
            )
        width = self.width_factor * math.sqrt(spread)
        directions = torch.randn(dataset.n_features, self.count, generator=generator, dtype=torch.float64)
        phases = torch.rand(self.count, generator=generator, dtype=torch.float64) * (2 * math.pi)
        return {
            "center": (scaling.shift / scale).float(),
            "directions": (directions * (scale / width).unsqueeze(1)).float(),
            "phases": phases.float(),
        }

    def apply(self, rows: Tensor, kind: RowKind, tensors: Mapping[str, Tensor]) -> Tensor:
        centred = (rows.double() - tensors["center"]).float()  # whole numbers near 1e9 keep their differences
        angles = torch.addmm(tensors["phases"], centred, tensors["directions"])
        return angles.cos_().mul_(math.sqrt(2 / self.count))
