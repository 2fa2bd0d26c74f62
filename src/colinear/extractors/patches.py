"""Activations of a dictionary of whitened patches, summed over the quadrants of a picture.

    p = (patch - its mean) / sqrt(its variance + contrast)          contrast normalisation
    w = (p - mean) U (L + whitening)^-1/2 U^T                       ZCA, with U L U^T the covariance of p
    z_k = |w - c_k| ,   a_k = max(0, mean_j z_j - z_k)              triangle activation of the centres of k-means
    features = sum of a over the patches of each quadrant, (4 count)

Source   A. Coates, H. Lee, A. Y. Ng, *An analysis of single-layer networks in unsupervised feature learning*, 2011.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.datasets.base import Dataset
from colinear.extractors.base import Extractor, RowKind, Told, need_pictures

MOST_CENTRES = 65_536
OF_EACH = 10  # patches of a picture that k-means learns from
FITTED_ON = 400_000  # patches that k-means learns from, Coates's; or FOR_CENTRE for each centre
FOR_CENTRE = 50
ROUNDS = 20  # of k-means: Coates's 50 move 400 patches by less than the spread on 5,000 rows that judge, 0.007
START = 0.1  # spread of the numbers of a centre at first, Coates's; whitened patches have one near 1
CACHE_NUMBERS = (
    3_000_000  # distances held at a time, 12 MB: with fewer, two threads meet too often (3 % to 25 % slower)
)


@dataclass(frozen=True)
class Patches(Extractor):
    """`count` patches, learned by k-means from training pictures; 4 * count features.

    count : centres, 1 to 65,536.   size : pixels a side of a patch.   contrast, whitening : > 0, added to the variance
    of a patch (of pixels from 0 to 255) and of a direction.
    Cost     2 * positions * patch * count flops a picture, 0.25 GFLOP for 1,600 on CIFAR-10: a product that runs at
             three quarters of the processor's float32 speed, as no more distances are held than fit into its cache.

    >>> from colinear.datasets import load_digits
    >>> Patches(20, size=3).fit(load_digits()).transform(load_digits().take(slice(0, 5))).shape
    torch.Size([5, 80])
    """

    count: int
    size: int = 6
    contrast: float = 10.0
    whitening: float = 0.1

    kind: ClassVar[str] = "patches"

    def __post_init__(self) -> None:
        check_count("patches", self.count, most=MOST_CENTRES)
        check_count("size of patches", self.size, minimum=2, most=256)
        check_number("contrast", self.contrast, above=0)
        check_number("whitening", self.whitening, above=0)

    @property
    def name(self) -> str:
        return f"patches:{self.count}"

    def check(self, rows: RowKind) -> None:
        need_pictures(self.name, rows, self.size + 1)

    def width(self, rows: RowKind) -> int:
        return 4 * self.count

    def shapes(self, rows: RowKind) -> dict[str, tuple[int, ...]]:
        d = need_pictures(self.name, rows, self.size + 1)[0] * self.size**2
        return {"mean": (d,), "whitener": (d, d), "centres": (self.count, d)}

    def learn(self, dataset: Dataset, seed: int, progress: Told | None) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        sample = self._sample(dataset, generator)
        if len(sample) < self.count:
            raise InputError(
                f"{self.name} needs as many patches to learn from; {dataset.n_samples:,} pictures give {len(sample):,}."
            )
        mean = sample.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(sample.double().mT))
        whitener = (vectors / (values.clamp(min=0) + self.whitening).sqrt() @ vectors.mT).float()
        white = (sample - mean) @ whitener
        tell = None if progress is None else partial(progress, f"{self.name}: k-means")
        centres = k_means(white, self.count, generator, tell)
        return {"mean": mean, "whitener": whitener, "centres": centres}

    def _sample(self, dataset: Dataset, generator: torch.Generator) -> Tensor:
        """Patches (m, d) of mean 0 and contrast about 1, the same number of each of some pictures."""
        kind = RowKind.of(dataset)
        wanted = max(FITTED_ON, FOR_CENTRE * self.count)
        chosen = torch.randperm(dataset.n_samples, generator=generator)[: -(-wanted // OF_EACH)]
        picked = []
        for few in torch.split(chosen, 64):
            images = kind.pictures(dataset.take(few))
            patches = images.unfold(2, self.size, 1).unfold(
                3, self.size, 1
            )  # a view: (b, channels, rows, columns, ...)
            high, wide = patches.shape[2:4]
            order = torch.rand(len(few), high * wide, generator=generator).argsort(1)[:, :OF_EACH]
            which = torch.arange(len(few)).unsqueeze(1).expand_as(order)
            picked.append(patches[which, :, order // wide, order % wide].flatten(2).flatten(0, 1))
        return self._normalize(torch.cat(picked))

    def _patches(self, images: Tensor) -> Tensor:
        """Every patch of every picture (b, channels, height, width), normalised: (b * positions, d)."""
        patches = images.unfold(2, self.size, 1).unfold(3, self.size, 1)  # (b, channels, rows, columns, size, size)
        return self._normalize(patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, images.shape[1] * self.size**2))

    def _normalize(self, patches: Tensor) -> Tensor:
        """Patches (m, d) of mean 0 and contrast about 1, in place."""
        patches.sub_(patches.mean(1, keepdim=True))
        variance = patches.square().sum(1, keepdim=True).div_(patches.shape[1] - 1)  # a sixth of var_mean's time
        return patches.div_(variance.add_(self.contrast).sqrt_())

    def apply(self, rows: Tensor, kind: RowKind, tensors: Mapping[str, Tensor]) -> Tensor:
        images, count, reach = kind.pictures(rows), self.count, self.size - 1
        # |w - c|^2 is one product: (w, |w|^2, 1) with (-2 c, 1, |c|^2)
        centres = tensors["centres"]
        bank = torch.cat([-2 * centres.mT, torch.ones(1, count), centres.square().sum(1)[None]])  # (d + 2, count)
        features = torch.zeros(len(images), 4, count)
        down, right = (_halves(side - reach) for side in images.shape[2:])
        for quadrant, (high, wide) in enumerate(itertools.product(down, right)):
            lines = min(len(high), max(1, CACHE_NUMBERS // (len(wide) * count)))  # of positions, together
            some = max(1, CACHE_NUMBERS // (lines * len(wide) * count))  # pictures, together
            room = torch.empty(min(some, len(images)) * lines * len(wide) * count)
            for start, low in itertools.product(range(0, len(images), some), high[::lines]):
                strip = slice(low, min(low + lines, high.stop) + reach), slice(wide.start, wide.stop + reach)
                few = images[start : start + some, :, strip[0], strip[1]]
                features[start : start + some, quadrant] += self._activate(few, tensors, bank, room)
        return features.flatten(1)

    def _activate(self, images: Tensor, tensors: Mapping[str, Tensor], bank: Tensor, room: Tensor) -> Tensor:
        """Activations summed over all patches of each picture (b, channels, height, width), (b, count)."""
        white, count = self._whiten(images, tensors), self.count
        distance = torch.mm(white, bank, out=room[: len(white) * count].view(-1, count))
        distance.clamp_(min=0).sqrt_()
        mean = distance.mean(1, keepdim=True)
        # sum of max(0, m - z) = sum of m - sum of min(z, m)
        near = torch.minimum(distance, mean, out=distance).view(len(images), -1, count).sum(1)
        return torch.sub(mean.view(len(images), -1).sum(1, keepdim=True), near, out=near)

    def _whiten(self, images: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
        """Whitened patches with two columns more: (b * positions, d + 2), the square of each and 1."""
        patches = self._patches(images).sub_(tensors["mean"])
        white = patches.new_ones(len(patches), patches.shape[1] + 2)
        inner = white[:, :-2]
        torch.mm(patches, tensors["whitener"], out=inner)
        torch.sum(inner.square(), 1, out=white[:, -2])
        return white


def _halves(positions: int) -> tuple[range, range]:
    return range(positions // 2), range(positions // 2, positions)


def k_means(
    points: Tensor, count: int, generator: torch.Generator, tell: Callable[[int, int], None] | None = None
) -> Tensor:
    """Centres (count, d) of points (m, d) of spread 1, after ROUNDS rounds; `tell` hears how many of them.

    Each starts near the origin and is drawn to where points are. Centres that start at points stay alone there: of 60
    that began at 4,000 points of long-tailed norms in 108 dimensions, 29 served at most two of them, of these 1 does.
    A centre that serves none becomes a point, for want of better: a quarter would, where each has 8 to learn from.
    """
    centres = START * torch.randn(count, points.shape[1], generator=generator)
    for done in range(ROUNDS):
        centres = _move(centres, points, generator)
        if tell is not None:
            tell(done + 1, ROUNDS)
    return centres


def _move(centres: Tensor, points: Tensor, generator: torch.Generator) -> Tensor:
    """A round of k-means: each centre at the mean of the points nearest to it; if there are none, at a point."""
    count, half = len(centres), centres.square().sum(1) / 2
    nearest = torch.cat(
        [torch.addmm(half, block, centres.mT, alpha=-1).argmin(1) for block in torch.split(points, 4096)]
    )
    sums = torch.zeros_like(centres).index_add_(0, nearest, points)
    sizes = torch.bincount(nearest, minlength=count).unsqueeze(1)
    anywhere = points[torch.randint(len(points), (count,), generator=generator)]
    return torch.where(sizes > 0, sums / sizes.clamp(min=1), anywhere)
