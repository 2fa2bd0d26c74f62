"""The preconditioner of features with more columns than a spectrum is worth: each column's own second moment.

Columns of words differ by the power of ten in how often they are met, and hardly go together. With G's diagonal g,

    H^-1 gradient  ~  gradient / (a g^T + 2 reg)

as `preconditioner` has it with G's eigenvectors, which here would cost more than the pass that they save.
Source: Hsia, Chiang & Lin 2018, Preconditioned conjugate gradient methods in truncated Newton frameworks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from colinear.objective import Objective
from colinear.solvers.preconditioner import Apart, Preconditioner, free_bias
from colinear.solvers.spectrum import Spectrum, spectrum_size
from colinear.solvers.tuning import USUAL, Tuning

THIN = 0.25  # share of values that are not 0 below which all columns do better than a spectrum that is cut off
DEAREST = 2.0  # numbers of eigenvectors for each number of the rows; dense rows are solved in their own space before


@dataclass(frozen=True, eq=False)
class Diagonal(Preconditioner):
    """The map g -> H^-1 g by columns, moments (d,) float64: a spectrum (their sum bounds it) without eigenvectors."""

    moments: Tensor = field(kw_only=True)

    @classmethod
    def fit(cls, objective: Objective) -> Diagonal:
        """Of all rows. Cost: one read of them."""
        started = time.perf_counter()
        moments = objective.features.penalized(objective.column_squares())
        nothing = moments.new_zeros(len(moments), 0, dtype=objective.features.dtype)
        spectrum = Spectrum(moments.sum().view(1), nothing, objective.n_samples, time.perf_counter() - started)
        return cls(spectrum, free_bias(objective), moments=moments)

    def _columns(self, a: Tensor, regs: Tensor, dtype: torch.dtype, apart: Apart) -> Callable[[Tensor], Tensor]:
        def precondition(gradient: Tensor) -> Tensor:
            return apart(gradient, (a * self.moments + 2 * regs.view(-1, 1, 1)).to(dtype))

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
    return Preconditioner(Spectrum.fit(objective, seed, tuning), free_bias(objective))
