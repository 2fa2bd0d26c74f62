"""A preconditioner for all strengths at once, from the spectrum of the features and the curvature of the loss.

The Hessian of the mean loss is  mean_i A_i (x) x_i x_i^T  + 2 reg I,  A_i the c x c curvature of row i's scores.
Put the product of means, A (x) G, in place of the mean of products, and a diagonal a in place of A. With
G = V diag(e) V^T,

    H^-1 g  ~  [ (g V) / (a e^T + 2 reg) ] V^T ,    a = c / (c - 1) diag(A) :

two products with V for all candidates together, and a costs 3 c n flops of a pass. Gradients sum to 0 over the classes,
and on such A is a where all pairs of classes weigh alike, as they do at weights of 0 and for two classes.
All of A, for 2 c^2 n flops a pass and its eigenvectors, 9 c^3 flops a step, saves next to nothing: nine strengths take
17 passes of CIFAR-10 either way, and 80 of the digits, where it takes 79; seven one by one, of 14,000 x 257 rows in 300
classes, 140 where it takes 137. Boehning's bound A <= I / 2 takes 31 of CIFAR-10, and 1,168 there.
Sources: Boehning 1992; Martens & Grosse 2015 (Kronecker factors); Frangella, Tropp & Udell 2021 (Nystroem).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from colinear.solvers.spectrum import Spectrum


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """The map g -> H^-1 g. Directions beyond a truncated spectrum count as its smallest eigenvalue."""

    spectrum: Spectrum

    def at(self, curvature: Tensor, regs: Tensor) -> Callable[[Tensor], Tensor]:
        """The map of (k, c, d) gradients at curvatures (k, c) of their precision and strengths (k,) float64.

        Cost   O(k c r) flops here, 4 k c d r for each gradient, r the number of eigenvectors kept.
        """
        dtype, c = curvature.dtype, curvature.shape[1]
        a = curvature.double().unsqueeze(-1).clamp(min=0) * (c / max(c - 1, 1))  # (k, c, 1)
        values, vectors = self.spectrum.values.double(), self.spectrum.vectors.to(dtype)
        bends = (a * values + 2 * regs.view(-1, 1, 1)).to(dtype)  # (k, c, r), smallest last

        def precondition(gradient: Tensor) -> Tensor:
            inner = gradient @ vectors  # (k, c, r)
            solved: Tensor = (inner / bends) @ vectors.mT
            if vectors.shape[1] < vectors.shape[0]:
                solved += (gradient - inner @ vectors.mT) / bends[..., -1:]
            return solved

        return precondition
