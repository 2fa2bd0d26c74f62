"""A preconditioner for all strengths at once, from the spectrum of the features and the curvature of the loss.

The Hessian of the mean loss is  mean_i A_i (x) x_i x_i^T  + 2 reg I,  A_i the c x c curvature of row i's scores.
Replacing the mean of products by the product of means, A (x) G, gives with A = Q diag(a) Q^T, G = V diag(e) V^T

    H^-1 g  ~  Q [ (Q^T g V) / (a e^T + 2 reg) ] V^T :

two products with V for all candidates together. A costs nothing: a pass over the rows yields it. On CIFAR-10 it
needs 22 passes for nine strengths where Boehning's bound A <= I / 2 needs 31 (same sample of rows).
Sources: Boehning 1992; Martens & Grosse 2015 (Kronecker factors); Frangella, Tropp & Udell 2021 (Nystroem).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.solvers.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """The map g -> H^-1 g. Directions beyond a truncated spectrum count as its smallest eigenvalue."""

    spectrum: Spectrum

    def at(self, curvature: Tensor, regs: Tensor) -> Callable[[Tensor], Tensor]:
        """The map of (k, c, d) gradients at curvatures (k, c, c) of their precision and strengths (k,) float64.

        Cost   O(k c^3) flops here, 4 k c d r + O(k c^2 d) for each gradient, r the number of eigenvectors kept.
        """
        dtype = curvature.dtype
        # a lost point (NaN) would make eigh raise for all
        curvature = torch.where(torch.isfinite(curvature), curvature, 0)
        a, modes = torch.linalg.eigh(curvature.double())  # (k, c), (k, c, c)
        a, modes = a.clamp(min=0), modes.to(dtype)
        values, vectors = self.spectrum.values.double(), self.spectrum.vectors.to(dtype)
        bends = (a.unsqueeze(-1) * values + 2 * regs.view(-1, 1, 1)).to(dtype)  # (k, c, r), smallest last

        def precondition(gradient: Tensor) -> Tensor:
            rotated = modes.mT @ gradient  # (k, c, d)
            inner = rotated @ vectors  # (k, c, r)
            solved = (inner / bends) @ vectors.mT
            if vectors.shape[1] < vectors.shape[0]:
                solved += (rotated - inner @ vectors.mT) / bends[..., -1:]
            result: Tensor = modes @ solved
            return result

        return precondition
