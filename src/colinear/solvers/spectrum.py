"""The spectrum of the features' second moment, from a sample of rows; the principal subspace built on it.

G = mean of x x^T,  G = V diag(e) V^T.  The preconditioner of the exact path and the subspace search share it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from colinear.checks import InputError, check_number
from colinear.datasets.base import ArrayDataset, sample_weights
from colinear.datasets.features import Features, Scaling
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.solvers.arguments import check_scale
from colinear.solvers.tuning import USUAL, Tuning

LONG = 4.0  # times the mean squared norm; no row of CIFAR-10's pixels is, 2 % of its patches


def sample_rows(n_samples: int, count: int, seed: int, device: torch.device | str = "cpu") -> Tensor:
    """`count` different row numbers, sorted, drawn with `seed`; all rows if there are no more."""
    if count >= n_samples:
        return torch.arange(n_samples, device=device)
    drawn = torch.randperm(n_samples, generator=torch.Generator().manual_seed(seed))[:count]
    return drawn.sort().values.to(device)


@dataclass(frozen=True, eq=False)
class RowSample:
    """Rows that stand for all in a second moment: all that are long, at most half of the sample, and some others.

    A long row may be all there is in its direction: a column that is 0 but for a few rows, standardized. If the sample
    misses it, the Hessian is as many times steeper there than its preconditioner says as the row outweighs the rest.
    x^T (G + 2e-3 I)^-1 x in a dictionary of 800 patches of CIFAR-10: 2e3 in the mean, 4e6 of a long row left out.

    drawn, long : (m,), (l,) int64, of the rows of this process.   count : of all processes.
    share : of the long rows in the weight of all.
    """

    drawn: Tensor
    long: Tensor
    count: int
    share: float = 0.0

    @classmethod
    def draw(cls, objective: Objective, count: int, seed: int) -> RowSample:
        """`count` rows of all processes, or all if there are no more; all are walked once if one of `count` is long."""
        device, n = objective.features.device, objective.n_samples
        drawn = sample_rows(n, count, seed, device)
        squares = torch.cat(objective.group.gather(objective.row_squares(objective.mine(drawn)).cpu()))
        if count >= n or not bool((squares > LONG * squares.mean()).any()):
            return cls(objective.mine(drawn), drawn[:0], len(drawn))
        squares = objective.join(objective.row_squares())
        long = (squares > LONG * squares.mean()) & (squares > squares.topk(count // 2 + 1).values[-1])
        others = (~long).nonzero().squeeze(1)
        weights = objective.unit_weights
        weights = torch.ones(objective.features.n_samples, device=device) if weights is None else weights
        mine = long[objective.numbers]
        totals = torch.stack((weights[mine].sum(dtype=torch.float64), weights.sum(dtype=torch.float64)))
        objective.group.sum_(totals)
        drawn = objective.mine(others[sample_rows(len(others), count - int(long.sum()), seed, device)])
        return cls(drawn, mine.nonzero().squeeze(1), count, float(totals[0] / totals[1]))

    def average(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """The mean over all rows of what `of` takes a weighted mean of, over the rows it is given."""
        drawn = of(self.drawn)
        return torch.lerp(drawn, of(self.long), self.share) if self.share else drawn


def spectrum_size(objective: Objective, tuning: Tuning = USUAL) -> tuple[int, int]:
    """Eigenvectors to compute for an objective, and rows to sample for them: `Tuning.spectrum_size`."""
    features = objective.features
    d = features.n_features
    return tuning.spectrum_size(d, objective.n_stored // features.dataset.n_features, features.n_classes)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues (r,), largest first, > 0, and eigenvectors (d, r) in columns, of the second moment.

    r = d where tuning.spectrum_size has all of them computed; else the tuning.nystroem_rank leading pairs of a
    randomized Nystroem approximation. A constant column without a penalty is left out: d is one less.
    """

    values: Tensor
    vectors: Tensor
    n_rows: int
    seconds: float

    @classmethod
    def fit(cls, objective: Objective, seed: int = 0, tuning: Tuning = USUAL) -> Spectrum:
        """Second moment of sampled rows (weighted as the objective weighs them) and its eigenvectors.

        Rows   max(tuning.fewest_rows, tuning.rows_per_feature r), or all there are.
        Cost   n_rows d^2 + about 9 d^3 flops; for d = 3,073 on 2 cores 1.2 s + 1.3 s in float32.
        Error  an eigenvalue below eps (sum_j |v_j| s_j)^2, s_j^2 the diagonal of G, is rounding and counts as that
               where all are computed: columns may differ by powers of ten. Of leading ones, eps times the largest.
        """
        started = time.perf_counter()
        features = objective.features
        d = features.n_features
        rank, count = spectrum_size(objective, tuning)
        rows = RowSample.draw(objective, count, seed)
        dtype = torch.float64 if d <= tuning.double_up_to else features.dtype
        if rank == d:
            moment = rows.average(partial(objective.second_moment, dtype=dtype))
            if not bool(torch.isfinite(moment.diagonal()).all()):  # squares beyond float32
                moment = rows.average(partial(objective.second_moment, dtype=torch.float64))
            moment = features.penalized(features.penalized(moment).mT).mT
            values, vectors, floor = _decompose(moment)
        else:
            values, vectors = _nystroem(objective, rows, rank, seed)
            floor = torch.finfo(values.dtype).eps * values[:1]
        info, largest = torch.finfo(values.dtype), float(values[0])
        floor = floor.clamp(min=info.eps * max(info.eps * largest, info.tiny))  # of dead columns
        return cls(values.maximum(floor), vectors, rows.count, time.perf_counter() - started)

    def summary(self) -> dict[str, Any]:
        """Size and cost: for results.json."""
        kept, columns = self.vectors.shape[1], self.vectors.shape[0]
        return {"eigenvectors": kept, "of": columns, "rows": self.n_rows, "seconds": self.seconds}


def _decompose(moment: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues (d,), largest first, eigenvectors (d, d), and what rounding leaves of each value, (d,).

    LAPACK reduces the lower triangle from its first column on. With the largest columns first, small eigenvalues keep
    their digits where columns differ by powers of ten; in another order 1.7e9 beside 1 leaves none.
    """
    sizes, order = moment.diagonal().sort(descending=True, stable=True)
    values, sorted_vectors = torch.linalg.eigh(moment[order][:, order].neg_())
    floor = torch.finfo(values.dtype).eps * (sizes.sqrt() @ sorted_vectors.abs()).square()
    vectors = torch.empty_like(sorted_vectors)
    vectors[order] = sorted_vectors
    return -values, vectors, floor


def _nystroem(objective: Objective, rows: RowSample, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    """Leading eigenpairs (rank,), (d, rank) from one product with G, in float64 where it is small or would overflow.

    Source   Frangella, Tropp & Udell 2021, algorithm 2.1: a shift of eps keeps the Cholesky factor real.
    """
    features = objective.features
    generator = torch.Generator().manual_seed(seed)
    sketch = torch.randn(
        features.n_features - features.free, rank, generator=generator, dtype=features.dtype
    ).to(features.device)  # fmt: skip
    sketch = torch.linalg.qr(sketch).Q

    def times(sketch: Tensor) -> Tensor:
        """G times (d, r); without a penalty the constant column has no part in it."""
        whole = torch.nn.functional.pad(sketch, (0, 0, 0, int(features.free)))
        return features.penalized(rows.average(partial(objective.second_moment_times, whole)).mT).mT

    product = times(sketch)  # (d, r)
    if not bool(torch.isfinite(torch.linalg.matrix_norm(product))):  # squares beyond float32
        sketch = sketch.double()
        product = times(sketch)
    shift = torch.finfo(product.dtype).eps * torch.linalg.matrix_norm(product)
    if not float(shift) > 0:  # rows of zeros, or none of weight: nothing to tell directions apart
        return torch.zeros_like(product[0]), sketch
    product = product + shift * sketch
    core = (sketch.mT @ product).double()
    factor = torch.linalg.cholesky((core + core.mT) / 2).to(product.dtype)
    half = torch.linalg.solve_triangular(factor, product.mT, upper=False).mT  # (d, r)
    vectors, singular, _ = torch.linalg.svd(half, full_matrices=False)
    return (singular.square() - shift).clamp(min=0), vectors


def beside_bias(vectors: Tensor, features: Features) -> Tensor:
    """Directions (d, r) in columns; a constant column without a penalty, which is none of d, is one of its own."""
    if not features.free:
        return vectors
    beside = torch.nn.functional.pad(vectors, (0, 1, 0, 1))
    beside[-1, -1] = 1
    return beside


def as_they_are(n_columns: int, features: Features) -> Scaling:
    """For rows whose columns are directions of `features`, the constant one among them unless it has no penalty."""
    bias = features.scaling.bias if features.free else 0.0
    return Scaling(torch.ones((), dtype=torch.float64), torch.zeros(n_columns, dtype=torch.float64), bias, not bias)


@dataclass(frozen=True, eq=False)
class Subspace:
    """The leading eigenvectors that hold a share of the features' second moment.

    vectors : (d, r), orthonormal columns, so the penalty of weights in the subspace is that of the full weights.
    """

    vectors: Tensor
    share: float
    seconds: float

    @classmethod
    def fit(cls, features: Features, share: float, seed: int = 0, group: Group = ALONE) -> Subspace:
        """Fewest eigenvectors whose eigenvalues sum to at least `share`, in (0, 1], of the trace.

        group : of the processes that hold the rows, those of `features` here.
        """
        if not 0 < check_number("subspace", share, above=0) <= 1:
            raise InputError(f"subspace is a share of variance in (0, 1]; got {share:g}. Try 0.985.")
        objective = Objective(features, group=group)
        check_scale(objective)
        spectrum = Spectrum.fit(objective, seed, replace(USUAL, eigh_freely=USUAL.eigh_up_to))
        values = spectrum.values.double()  # of the columns with a penalty: a constant one without stays as it is
        # what is left without a direction and all behind it, summed from the smallest: a share of 1 is the whole space
        left = values.flip(0).cumsum(0).flip(0) / values.sum()
        count = int((left > 1 - share).sum())
        reached = values[:count].sum() / values.sum()
        vectors = spectrum.vectors[:, :count].to(features.dtype).contiguous()
        return cls(beside_bias(vectors, features), float(reached), spectrum.seconds)

    @property
    def n_inputs(self) -> int:
        return self.vectors.shape[0]

    @property
    def n_outputs(self) -> int:
        return self.vectors.shape[1]

    def restrict(self, coef: Tensor) -> Tensor:
        """Weights (..., d) seen from the subspace, (..., r)."""
        return coef @ self.vectors

    def lift(self, coef: Tensor) -> Tensor:
        """Weights (..., r) of projected features as weights (..., d) of the features themselves: same scores."""
        return coef @ self.vectors.mT.to(coef.device)

    def project(self, features: Features) -> Features:
        """The rows' coordinates in the subspace, computed once and held in memory: (n, r) of features' dtype."""
        vectors = features.penalized(self.vectors)
        projected = torch.empty(features.n_samples, vectors.shape[1], dtype=features.dtype, device=features.device)
        for rows, block in Objective(features).scores(vectors.mT.unsqueeze(0)):
            projected[rows] = block[0].mT
        data = features.dataset
        weights = sample_weights(data)
        none = None
        if not len(projected):  # no array is empty, but a choice of its rows may be
            projected, none = projected.new_zeros(1, vectors.shape[1]), data.labels.new_empty(0, dtype=torch.int64)
        held = ArrayDataset(projected, data.labels, data.class_names, None, data.name, rows=none, sample_weight=weights)
        return Features(held, as_they_are(vectors.shape[1], features), features.dtype, features.copies)

    def summary(self) -> dict[str, Any]:
        """Directions kept, of how many, and the share they hold: for results.json."""
        return {"directions": self.n_outputs, "of": self.n_inputs, "share": self.share}


@dataclass(frozen=True, eq=False)
class Projection:
    """Training and validation rows in the principal subspace of the training rows: made once for several searches.

    subspace : None where nothing is left out; the rows are then as they were.
    """

    subspace: Subspace | None
    train: Features
    validation: Features

    @classmethod
    def fit(
        cls, train: Features, validation: Features, share: float | None, seed: int = 0, group: Group = ALONE
    ) -> Projection:
        """Keep `share` of the variance; None keeps the rows as they are."""
        if share is None:
            return cls(None, train, validation)
        subspace = Subspace.fit(train, share, seed, group)
        return cls(subspace, subspace.project(train), subspace.project(validation))
