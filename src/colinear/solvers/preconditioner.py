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

from colinear.objective import Objective
from colinear.solvers.spectrum import Spectrum

Apart = Callable[[Tensor, Tensor], Tensor]
LEAST_BEND = 1e-3  # of the largest curvature of the bias: classes that no row is in doubt about have none


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """The map g -> H^-1 g. Directions beyond a truncated spectrum count as its smallest eigenvalue.

    A constant column without a penalty is no part of the spectrum and has a curvature of its own, a bias^2: features
    that are centred have nothing in common with it.   bias : its value; 0 if there is no such column.
    """

    spectrum: Spectrum
    bias: float = 0.0

    def at(self, curvature: Tensor, regs: Tensor, *, shift_invariant: bool = True) -> Callable[[Tensor], Tensor]:
        """The map of (k, c, d) gradients at curvatures (k, c) of their precision and strengths (k,) float64.

        shift_invariant : whether the loss sees differences of scores only.
        Cost   O(k c r) flops here, 4 k c d r for each gradient, r the number of eigenvectors kept.
        """
        a, apart = bends_of(curvature, shift_invariant=shift_invariant)
        inner = self._columns(a, regs, curvature.dtype, apart)
        if not self.bias:
            return inner
        last = bias_map(a, regs, self.bias, apart, curvature.dtype)
        return lambda gradient: torch.cat((inner(gradient[..., :-1]), last(gradient[..., -1:])), -1)

    def _columns(self, a: Tensor, regs: Tensor, dtype: torch.dtype, apart: Apart) -> Callable[[Tensor], Tensor]:
        """The map on the columns that have a penalty."""
        values, vectors = self.spectrum.values.double(), self.spectrum.vectors.to(dtype)
        bends = (a * values + 2 * regs.view(-1, 1, 1)).to(dtype)  # (k, c, r), smallest last

        def precondition(gradient: Tensor) -> Tensor:
            inner = gradient @ vectors  # (k, c, r)
            solved = apart(inner, bends) @ vectors.mT
            if vectors.shape[1] < vectors.shape[0]:
                solved += apart(gradient - inner @ vectors.mT, bends[..., -1:])
            return solved

        return precondition


def bends_of(curvature: Tensor, *, shift_invariant: bool) -> tuple[Tensor, Apart]:
    """a (k, c, 1) float64 of curvatures (k, c), and what divides gradients by it."""
    c = curvature.shape[1]
    a = curvature.double().unsqueeze(-1).clamp(min=0)
    a = a * (c / max(c - 1, 1)) if shift_invariant else a
    apart = divide if shift_invariant else torch.div
    return a, apart


def bias_map(a: Tensor, regs: Tensor, bias: float, apart: Apart, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """The map of gradients (k, c, 1) by the weights of a constant column of value `bias` without a penalty."""
    floor = (LEAST_BEND * a.amax(1, keepdim=True)).maximum(2 * regs.view(-1, 1, 1) / bias**2)
    bends = (a.maximum(floor) * bias**2).to(dtype)  # (k, c, 1)
    return lambda gradient: apart(gradient, bends)


def free_bias(objective: Objective) -> float:
    """The value of a constant column without a penalty, 0 if there is none."""
    scaling = objective.features.scaling
    return scaling.bias if scaling.free else 0.0


def divide(gradient: Tensor, bends: Tensor) -> Tensor:
    """What all classes have in common (k, 1, r) and the rest of a gradient (k, c, r), each by itself."""
    common = gradient.mean(1, keepdim=True)
    rest = (gradient - common) / bends
    return rest + (common * bends.reciprocal().mean(1, keepdim=True) - rest.mean(1, keepdim=True))
