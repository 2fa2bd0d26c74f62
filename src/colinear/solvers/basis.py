"""Coordinates in which badly conditioned features are well conditioned, for Newton's method.

A large common offset, say, makes all columns alike: scores are then small differences of large numbers, and neither a
Hessian nor a slope keeps a digit. With columns divided by their size (the largest first) and X D^-1 = Q R,

    W = V R^-T D^-1    gives    X W^T = Q V^T,

the same scores from orthonormal columns. What changes is the penalty, |W|^2 = |V R^-T D^-1|^2, which grows with the
weights that the directions of small R need.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

BAD = 1e-4  # smallest of R's diagonal, for columns of size 1, below which Newton's method changes coordinates
NEGLIGIBLE = 1e-13  # at or below it a column is a combination of others, to rounding


@dataclass(frozen=True, eq=False)
class Basis:
    """The coordinates. rows : (n, d) float64, the features in them.   free : the last of these has no penalty."""

    rows: Tensor
    sizes: Tensor  # (d,), of the columns in this order
    triangle: Tensor  # (d, d), upper
    order: Tensor  # (d,) int64
    free: bool = False

    @classmethod
    def fit(cls, features: Tensor, *, free: bool = False) -> Basis | None:
        """Coordinates for the features (n, d) float64; None where theirs are good enough, or n < d.

        Cost   about 4 n d^2 flops.
        """
        n, d = features.shape
        if n >= d and _well_conditioned(features):
            return None
        sizes = features.abs().amax(0)
        sizes = torch.where(sizes > 0, sizes, 1.0)
        scaled = features / sizes
        moment = scaled.mT @ scaled
        length = moment.diagonal().sqrt().clamp(min=1.0)
        if n < d or not bool(torch.isfinite(length).all()):
            return None
        sizes, order = sizes.sort(descending=True, stable=True)
        length = length[order]
        moment = moment[order][:, order] / (length * length.unsqueeze(1))
        moment.diagonal().add_((moment.diagonal() == 0).to(moment))  # of columns of zeros: they are no trouble
        factor, failed = torch.linalg.cholesky_ex(moment)  # R^T, to 1e-8; a fifth of the time of a QR decomposition
        if not int(failed) and bool((factor.diagonal() > 2 * BAD).all()):
            return None
        scaled = scaled[:, order] / length
        triangle = torch.linalg.qr(scaled, mode="r").R
        diagonal = triangle.diagonal().abs()
        negligible = diagonal <= NEGLIGIBLE
        if not bool((~negligible & (diagonal < BAD)).any()):
            return None
        triangle.diagonal().copy_(torch.where(negligible, 1.0, triangle.diagonal()))
        rows = torch.linalg.solve_triangular(triangle, scaled, upper=True, left=False)
        return cls(rows, sizes * length, triangle, order, free)

    def coordinates(self, coef: Tensor) -> Tensor:
        """V of weights W (c, d)."""
        return (coef[:, self.order] * self.sizes) @ self.triangle.mT

    def weights(self, coordinates: Tensor) -> Tensor:
        """W of coordinates V (c, d)."""
        solved = torch.linalg.solve_triangular(self.triangle.mT, coordinates, upper=False, left=False)
        return torch.empty_like(solved).index_copy_(1, self.order, solved / self.sizes)

    def gradient(self, gradient: Tensor) -> Tensor:
        """d/dV of d/dW (c, d)."""
        scaled = gradient[:, self.order] / self.sizes
        turned: Tensor = torch.linalg.solve_triangular(self.triangle, scaled, upper=True, left=False)
        return turned

    @cached_property
    def metric(self) -> Tensor:
        """(d, d): |W|^2 = sum(V metric * V), of the columns of W that have a penalty."""
        eye = torch.eye(len(self.order), dtype=self.triangle.dtype, device=self.triangle.device)
        turned = self.weights(eye)  # row j: the weights of coordinate j
        turned = turned[:, :-1] if self.free else turned
        return turned @ turned.mT


def _well_conditioned(features: Tensor) -> bool:
    """Whether no order of the columns could leave a small diagonal in R: all are <= 1, none is below their product."""
    moment = features.mT @ features
    inverse = moment.diagonal().rsqrt()
    factor, failed = torch.linalg.cholesky_ex(moment * inverse * inverse.unsqueeze(1))  # R^T, to 1e-8
    return not int(failed) and float(factor.diagonal().prod()) > 2 * BAD
