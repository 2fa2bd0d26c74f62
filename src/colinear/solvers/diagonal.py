"""The preconditioner of features with more columns than a spectrum is worth: each column's own second moment.

Columns of words differ by the power of ten in how often they are met, and hardly go together. With G's diagonal g,

    H^-1 gradient  ~  gradient / (a g^T + 2 reg)

as `preconditioner` has it with G's eigenvectors, which here would cost more than the pass that they save. The columns
that most rows have do go together, and with the constant: of the LEADING ones all of G is used, by its eigenvectors.
Nine strengths of sources as words take 313 conjugate gradients without, 208 with 128 such columns, 175 with 256, 158
with 512, whose moment and vectors take as long as that saves.
Source: Hsia, Chiang & Lin 2018, Preconditioned conjugate gradient methods in truncated Newton frameworks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from colinear.objective import Objective
from colinear.solvers.preconditioner import Apart, Preconditioner, divide, free_bias
from colinear.solvers.spectrum import Spectrum, spectrum_size
from colinear.solvers.tuning import USUAL, Tuning

THIN = 0.25  # share of values that are not 0 below which all columns do better than a spectrum that is cut off
DEAREST = 2.0  # numbers of eigenvectors for each number of the rows; dense rows are solved in their own space before
LEADING = 256  # columns with the largest second moments


@dataclass(frozen=True, eq=False)
class Diagonal(Preconditioner):
    """The map g -> H^-1 g by columns, but for the leading ones: a spectrum (its value bounds it) without eigenvectors.

    moments : (d,) float64, of all rows.    leading : (m,) int64 columns whose moment is vectors diag(values) vectors^T.
    """

    moments: Tensor = field(kw_only=True)
    leading: Tensor = field(kw_only=True)
    values: Tensor = field(kw_only=True)
    vectors: Tensor = field(kw_only=True)

    @classmethod
    def fit(cls, objective: Objective, tuning: Tuning = USUAL) -> Diagonal:
        """Moments of all rows, and of about tuning.fewest_rows, evenly spaced, for the leading columns.

        Cost   one read of the rows, 2 fewest_rows LEADING^2 flops (3 GFLOPS at most), 0.02 s for the vectors.
        """
        started = time.perf_counter()
        moments, n = objective.features.penalized(objective.column_squares()), objective.n_samples
        leading = moments.topk(min(LEADING, len(moments))).indices.sort().values
        rows = objective.mine(torch.arange(0, n, max(1, n // tuning.fewest_rows), device=moments.device))
        values, vectors = torch.linalg.eigh(objective.moment_of(leading, rows).double())
        nothing = moments.new_zeros(len(moments), 0, dtype=objective.features.dtype)
        spectrum = Spectrum(moments.sum().view(1), nothing, n, time.perf_counter() - started)
        return cls(
            spectrum,
            free_bias(objective),
            moments=moments,
            leading=leading,
            values=values.clamp(min=0),
            vectors=vectors,
        )

    def _columns(self, a: Tensor, regs: Tensor, dtype: torch.dtype, apart: Apart) -> Callable[[Tensor], Tensor]:
        a, penalty = a.to(dtype), 2 * regs.to(dtype).view(-1, 1, 1)
        # (k, c, d), column by column, as weights of sparse rows lie
        inverse = (self.moments.to(dtype).unsqueeze(-1) * a.mT).add_(penalty).reciprocal_().mT
        bends, vectors = a * self.values.to(dtype) + penalty, self.vectors.to(dtype)  # (k, c, m), (m, m)
        shared = inverse.mean(1, keepdim=True)

        def apart_(gradient: Tensor) -> Tensor:
            ahead = ((gradient.index_select(2, self.leading) @ vectors) / bends) @ vectors.mT
            return gradient.mul_(inverse).index_copy_(2, self.leading, ahead)

        def precondition(gradient: Tensor) -> Tensor:
            if apart is not divide:
                return apart_(gradient.clone())
            common = gradient.mean(1, keepdim=True)
            rest = apart_(gradient - common)
            return rest.add_(common.mul_(shared).sub_(rest.mean(1, keepdim=True)))

        return precondition


def make_preconditioner(objective: Objective, seed: int = 0, tuning: Tuning = USUAL) -> Preconditioner:
    """By the spectrum, or by columns where products with its eigenvectors would cost more than a pass over the rows.

    And where it would be cut off: 1,000 eigenvectors of 100,000 columns are 400 MB, and as many more to find them.
    """
    d = objective.features.n_features
    rank = spectrum_size(objective, tuning)[0]
    cut = rank < d and objective.n_stored < THIN * objective.n_samples * d
    if cut or d * rank > DEAREST * objective.n_stored:
        return Diagonal.fit(objective, tuning)
    return Preconditioner(Spectrum.fit(objective, seed, tuning), free_bias(objective))
