"""Features with a long spectrum: activations of a dictionary of whitened patches, summed over an image's quadrants.

Source   A. Coates, H. Lee, A. Y. Ng, *An analysis of single-layer networks in unsupervised feature learning*, 2011.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import unfold

SIZE = 6  # pixels a side
CONTRAST, WHITENING = 10.0, 0.1  # added to the variance of a patch, and of a direction
FITTED_ON, OF_EACH, ROUNDS = 100_000, 10, 12  # patches for k-means, of each image, and its rounds
BLOCK = 8  # images whose activations are in the cache together


def patch_features(images: Tensor, count: int, seed: int = 0) -> Tensor:
    """Rows (n, 4 count) float32 of images (n, 3, side, side) uint8: triangle activations, summed over quadrants."""
    mean, whitener, centres = _dictionary(images, count, torch.Generator().manual_seed(seed))
    side = images.shape[-1] - SIZE + 1
    halves = (slice(0, side // 2), slice(side // 2, side))
    rows = torch.empty(len(images), 4 * count)
    for start in range(0, len(images), BLOCK):
        white = (_patches(images[start : start + BLOCK]) - mean) @ whitener
        distance = torch.cdist(white, centres)  # (b, side side, count)
        active = (distance.mean(-1, keepdim=True) - distance).clamp_(min=0).view(-1, side, side, count)
        sums = [active[:, high, wide].sum((1, 2)) for high in halves for wide in halves]
        rows[start : start + BLOCK] = torch.cat(sums, 1)
    return rows


def _patches(images: Tensor) -> Tensor:
    """Every patch of every image, of mean 0 and contrast about 1: (n, positions, 3 SIZE SIZE)."""
    patches = unfold(images.float(), SIZE).mT
    variance, mean = torch.var_mean(patches, -1, keepdim=True)
    return (patches - mean) / (variance + CONTRAST).sqrt()


def _dictionary(images: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (p,), whitener (p, p) and centres (count, p) of k-means on sampled patches, whitened by ZCA."""
    chosen = torch.randperm(len(images), generator=generator)[: FITTED_ON // OF_EACH].split(BLOCK)
    positions = (images.shape[-1] - SIZE + 1) ** 2
    picks = [torch.randint(positions, (OF_EACH,), generator=generator) for _ in chosen]
    sample = torch.cat([_patches(images[few])[:, pick].flatten(0, 1) for few, pick in zip(chosen, picks, strict=True)])
    mean = sample.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(sample.mT))
    whitener = vectors / (values + WHITENING).sqrt() @ vectors.mT
    white = (sample - mean) @ whitener
    centres = white[torch.randperm(len(white), generator=generator)[:count]]
    for _ in range(ROUNDS):
        nearest = torch.cdist(white, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest, white)
        sizes = torch.bincount(nearest, minlength=count).unsqueeze(1)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return mean, whitener, centres
