"""Fewer rows than columns: the whole path in the space that the rows span, which loses nothing.

The best weights are combinations of training rows (representer theorem): a part at right angles to all of them
changes no score and costs penalty. With X^T = Q R, Q (d, n) orthonormal, W = V Q^T has the scores X W^T = R^T V^T and
the penalty of V, so problem, optimum and certificate are the same with n columns for d.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from colinear.datasets.base import ArrayDataset
from colinear.datasets.features import Features
from colinear.objective import Objective
from colinear.solvers.spectrum import as_they_are, beside_bias
from colinear.solvers.tuning import USUAL, Tuning

MOST_BYTES = 1 << 30  # of basis and projected rows
SPARSE_SHARE = 1 / 16  # of that, at most, for rows that are nearly all zeros and would be made dense for it


def suits_row_space(objective: Objective, tuning: Tuning = USUAL) -> bool:
    """Whether the path is to be solved there: few rows in all processes, and a basis that fits into memory."""
    n, d = objective.n_samples, objective.features.n_features
    room = MOST_BYTES * max(SPARSE_SHARE, min(1.0, objective.n_stored / (n * d) if n else 1.0))
    return tuning.columns_per_row * n <= d and 8 * n * (n + d) <= room


@dataclass(frozen=True, eq=False)
class RowSpace:
    """`objective`, its rows as their coordinates (n, n) float64 in `basis` (d, n), orthonormal columns.

    A constant column without a penalty, in which weights are free, stays beside them: (n, n + 1), (d, n + 1).

    Error    that of float64 in the scores, far below that of float32 rows.
    Cost     n d numbers and 2 n^2 d flops, once.
    Example  100 rows of CIFAR-10, 3,073 columns: without it the hinge spends all of its 300 passes.
    """

    objective: Objective
    basis: Tensor

    @classmethod
    def of(cls, objective: Objective) -> RowSpace:
        """The space of the rows of `objective`, with its row weights and folds."""
        features = objective.features
        rows = features.penalized(features.at(torch.float64).gather(slice(0, features.n_samples)))
        basis, coordinates = torch.linalg.qr(rows.mT)
        basis = beside_bias(basis, features)
        data, n = features.dataset, features.n_samples
        held = ArrayDataset(coordinates.mT.contiguous(), data.labels, data.class_names, name=data.name)
        return cls(replace(objective, features=Features(held, as_they_are(n, features), torch.float64)), basis)

    def restrict(self, coef: Tensor) -> Tensor:
        """Weights (..., d) as weights (..., n): the part that scores the rows."""
        return coef.to(self.basis) @ self.basis

    def lift(self, coef: Tensor) -> Tensor:
        """Weights (..., n) as weights (..., d) of the features themselves: the same scores, the same penalty."""
        return coef @ self.basis.mT
