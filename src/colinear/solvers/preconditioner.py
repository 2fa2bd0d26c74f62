"""A preconditioner for all strengths at once, from the spectrum of the features and the curvature of the loss.

The Hessian of the mean loss is  mean_i A_i (x) x_i x_i^T  + 2 reg I,  A_i the c x c curvature of row i's scores.
Put the product of means, A (x) G, in place of the mean of products, and a diagonal a in place of A. With
G = V diag(e) V^T,

    H^-1 g  ~  [ (g V) / (a e^T + 2 reg) ] V^T ,    a = c / (c - 1) diag(A) :

two products with V for all candidates together, and a costs 3 c n flops of a pass. That is for losses that see
differences of scores only, whose gradients sum to 0 over the classes, and so do the steps: with P taking off the mean
over classes, P diag(1/a) P is the pseudo-inverse of diag(a) - a a^T / sum(a), the curvature of a row whose
probabilities are a / sum(a). Of fourteen drawn problems of 9 to 49 classes, picked because they were slow, 762 passes
in all where steps that do not sum to 0 take 1,622; nine strengths of the digits, 48 and 49. All of A would cost 2 c^2 n
flops a pass and its eigenvectors, 9 c^3 flops a step. Of any other loss a = diag(A), and every class has its own step.
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

    def at(self, curvature: Tensor, regs: Tensor, *, shift_invariant: bool = True) -> Callable[[Tensor], Tensor]:
        """The map of (k, c, d) gradients at curvatures (k, c) of their precision and strengths (k,) float64.

        shift_invariant : whether the loss sees differences of scores only.
        Cost   O(k c r) flops here, 4 k c d r for each gradient, r the number of eigenvectors kept.
        """
        dtype, c = curvature.dtype, curvature.shape[1]
        a = curvature.double().unsqueeze(-1).clamp(min=0)  # (k, c, 1)
        a = a * (c / max(c - 1, 1)) if shift_invariant else a
        apart = divide if shift_invariant else torch.div
        values, vectors = self.spectrum.values.double(), self.spectrum.vectors.to(dtype)
        bends = (a * values + 2 * regs.view(-1, 1, 1)).to(dtype)  # (k, c, r), smallest last

        def precondition(gradient: Tensor) -> Tensor:
            inner = gradient @ vectors  # (k, c, r)
            solved = apart(inner, bends) @ vectors.mT
            if vectors.shape[1] < vectors.shape[0]:
                solved += apart(gradient - inner @ vectors.mT, bends[..., -1:])
            return solved

        return precondition


def divide(gradient: Tensor, bends: Tensor) -> Tensor:
    """What all classes have in common (k, 1, r) and the rest of a gradient (k, c, r), each by itself."""
    common = gradient.mean(1, keepdim=True)
    rest = (gradient - common) / bends
    return rest + (common * bends.reciprocal().mean(1, keepdim=True) - rest.mean(1, keepdim=True))
