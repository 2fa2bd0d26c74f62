"""The preconditioner of features with more columns than a spectrum is worth: each column's own second moment.

Columns of words differ by the power of ten in how often they are met, and hardly go together. With G's diagonal g,

    H^-1 gradient  ~  gradient / (a g^T + 2 reg)

as `preconditioner` has it with G's eigenvectors, which here would cost more than the pass that they save.
Source: Hsia, Chiang & Lin 2018, Preconditioned conjugate gradient methods in truncated Newton frameworks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.objective import Objective
from colinear.solvers.preconditioner import Preconditioner, divide
from colinear.solvers.spectrum import Spectrum, spectrum_size
from colinear.solvers.tuning import USUAL, Tuning

THIN = 0.25  # share of values that are not 0 below which all columns do better than a spectrum that is cut off
DEAREST = 2.0  # numbers of eigenvectors for each number of the rows; dense rows are solved in their own space before


@dataclass(frozen=True, eq=False)
class Diagonal(Preconditioner):
    """The map g -> H^-1 g by columns, moments (d,) float64: a spectrum (their sum bounds it) without eigenvectors."""

    moments: Tensor

    @classmethod
    def fit(cls, objective: Objective) -> Diagonal:
        """Of all rows. Cost: one read of them."""
        started = time.perf_counter()
        moments = objective.column_squares()
        nothing = moments.new_zeros(len(moments), 0, dtype=objective.features.dtype)
        spectrum = Spectrum(moments.sum().view(1), nothing, objective.n_samples, time.perf_counter() - started)
        return cls(spectrum, moments)

    def at(self, curvature: Tensor, regs: Tensor, *, shift_invariant: bool = True) -> Callable[[Tensor], Tensor]:
        """The map of (k, c, d) gradients at curvatures (k, c) of their precision and strengths (k,) float64."""
        c = curvature.shape[1]
        a = curvature.double().unsqueeze(-1).clamp(min=0)  # (k, c, 1)
        a = a * (c / max(c - 1, 1)) if shift_invariant else a
        apart = divide if shift_invariant else torch.div

        def precondition(gradient: Tensor) -> Tensor:
            return apart(gradient, (a * self.moments + 2 * regs.view(-1, 1, 1)).to(gradient.dtype))

        return precondition


def make_preconditioner(objective: Objective, seed: int = 0, tuning: Tuning = USUAL) -> Preconditioner:
    """By the spectrum, or by columns where products with its eigenvectors would cost more than a pass over the rows.

    And where it would be cut off: 1,000 eigenvectors of 100,000 columns are 400 MB, and as many more to find them.
    """
    d = objective.features.n_features
    rank = spectrum_size(objective, tuning)[0]
    cut = rank < d and objective.n_stored < THIN * objective.n_samples * d
    if cut or d * rank > DEAREST * objective.n_stored:
        return Diagonal.fit(objective)
    return Preconditioner(Spectrum.fit(objective, seed, tuning))
