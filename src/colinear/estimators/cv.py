"""Strength chosen by cross-validation: all strengths and folds are candidates of one solve."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.estimators.base import EXACT_PASSES, LinearClassifierBase, SoftmaxProbabilities, plain
from colinear.estimators.certificates import warn_uncertified
from colinear.estimators.fitting import Fit
from colinear.estimators.folds import FoldBatch, batch_splits, deal_splits
from colinear.losses import LOSSES
from colinear.search.candidates import rank_candidates
from colinear.search.path_search import default_regs
from colinear.solvers.path import fit_preconditioner, solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import Path, PathPoint

COSTS = (1e-4, 1e4)  # ends of the range that a whole number for Cs spans, scikit-learn's


class LinearClassifierCV(LinearClassifierBase):
    """Common part of the two cross-validated classifiers; see `SoftmaxClassifierCV`."""

    _loss: ClassVar[str]

    def __init__(
        self,
        *,
        regs: Any = None,
        Cs: Any = None,
        cv: Any = 5,
        class_weight: Any = None,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        standardize: bool = False,
        tol: float = 1e-4,
        max_iter: int | None = None,
        random_state: Any = 0,
        device: Any = None,
    ) -> None:
        self.regs = regs
        self.Cs = Cs
        self.cv = cv
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.standardize = standardize
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Compare the strengths on the folds of rows X (n, d) with labels y (n,), and keep the best one.

        sample_weight : None, or (n,) >= 0; weighs rows in training and in the accuracies.
        Returns  self.
        Raises   `InputError`, a ValueError, before any work.
        Warns    `CertificateWarning` if a certificate misses `tol`.
        """
        tol, seed, passes = self._tolerance(), self._seed(), self._passes(EXACT_PASSES)
        fit, weights = self._read(X, y, sample_weight)
        regs = self._strengths(fit)
        labels = fit.objective.features.labels.cpu().numpy()
        splits = deal_splits(self.cv, labels, seed)
        compare = _Comparison(fit, weights, regs, tol, passes, seed)
        path, scores, held, points = compare.run(batch_splits(splits, len(labels)), len(splits))
        means = scores @ (held / held.sum())
        best = rank_candidates(means.tolist(), regs)[0]
        self._learn(fit, path, path.points[best])
        self.regs_ = np.array(regs)
        self.Cs_ = np.array([fit.convert_strength(reg) for reg in regs])
        self.scores_, self.mean_scores_, self.spread_ = scores, means, _spread(scores)
        warn_uncertified(points, tol)
        return self

    def _strengths(self, fit: Fit) -> tuple[float, ...]:
        """The strengths, in the order given; ascending reg where they come from a number or the default."""
        if self.regs is not None and self.Cs is not None:
            raise InputError("give regs or Cs, not both.")
        if self.regs is not None:
            return tuple(check_number("regs", plain(reg), above=0) for reg in _as_list("regs", self.regs))
        if self.Cs is None:
            return default_regs(self._loss)
        if isinstance(self.Cs, numbers.Integral):
            ends = np.log10(COSTS)
            costs: Sequence[Any] = np.logspace(ends[1], ends[0], check_count("Cs", int(self.Cs))).tolist()
        else:
            costs = _as_list("Cs", self.Cs)
        return tuple(fit.convert_strength(check_number("Cs", plain(cost), above=0)) for cost in costs)


def _spread(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation (n - 1) of each row; NaN where there is one number only."""
    return scores.std(1, ddof=1) if scores.shape[1] > 1 else np.full(len(scores), np.nan)


def _as_list(name: str, values: Any) -> Sequence[Any]:
    listed = np.asarray(values)
    if listed.ndim != 1 or not len(listed):
        raise InputError(f"{name} must be a list of numbers > 0, at least one; got {values!r}.")
    numbers_: Sequence[Any] = listed.tolist()
    return numbers_


@dataclass(frozen=True, eq=False)
class _Comparison:
    """All strengths on all folds and on all rows."""

    fit: Fit
    weights: Tensor | None
    regs: tuple[float, ...]
    tol: float
    passes: int
    seed: int

    def run(
        self, batches: list[FoldBatch], n_splits: int
    ) -> tuple[Path, NDArray[np.float64], NDArray[np.float64], list[PathPoint]]:
        """The path on all rows, accuracies (strengths, splits), held-out weights (splits,), every point solved."""
        preconditioner = fit_preconditioner(self.fit.objective, self.seed)
        scores, weights = np.empty((len(self.regs), n_splits)), np.empty(n_splits)
        whole: Path | None = None
        points: list[PathPoint] = []
        setup = 0.0 if preconditioner is None else preconditioner.spectrum.seconds
        total, seconds = 0, 0.0
        for batch in batches:
            held = list(range(len(batch.splits))) + ([-1] if whole is None and batch.trained is None else [])
            path, found = self._solve(batch, held, preconditioner)
            if -1 in held:
                whole = replace(path, points=tuple(row.pop() for row in found))
            scores[:, list(batch.splits)], weights[list(batch.splits)] = self._accuracies(batch, found)
            total, seconds = total + path.passes, seconds + path.seconds
            points += path.points
        if whole is None:  # no splitter that trains on all other rows: a solve of its own
            whole = solve_path(
                self.fit.objective, LOSSES[self.fit.loss], self.regs, tol=self.tol, max_passes=self.passes,
                preconditioner=preconditioner, seed=self.seed,
            )  # fmt: skip
            total, seconds, points = total + whole.passes, seconds + whole.seconds, points + list(whole.points)
        return replace(whole, passes=total, setup_seconds=setup, seconds=seconds + setup), scores, weights, points

    def _solve(
        self, batch: FoldBatch, held: list[int], preconditioner: Preconditioner | None
    ) -> tuple[Path, list[list[PathPoint]]]:
        """One solve of every pair of strength and held-out fold; points as [strength][fold]."""
        objective = self.fit.objective
        device = objective.features.device
        row_weights = objective.row_weights
        if batch.trained is not None:
            trained = batch.trained.to(device).double()
            row_weights = trained if row_weights is None else row_weights * trained
        folded = replace(objective, row_weights=row_weights, folds=batch.folds.to(device))
        path = solve_path(
            folded, LOSSES[self.fit.loss], [reg for reg in self.regs for _ in held], tol=self.tol,
            max_passes=self.passes, held_out=torch.tensor(held * len(self.regs), device=device),
            preconditioner=preconditioner, seed=self.seed,
        )  # fmt: skip
        width = len(held)
        return path, [list(path.points[i : i + width]) for i in range(0, len(path.points), width)]

    def _accuracies(
        self, batch: FoldBatch, found: list[list[PathPoint]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share of weight in each fold that is labelled correctly, (strengths, folds), and that weight, (folds,)."""
        features = self.fit.objective.features
        device, n_folds = features.device, len(batch.splits)
        coef = torch.stack([point.coef for row in found for point in row]).to(features.dtype)  # (k f, c, d)
        folds = batch.folds.to(device)
        weights = torch.ones(len(folds), dtype=torch.float64) if self.weights is None else self.weights
        weights = weights.to(device)
        counted = torch.bincount(folds, weights, n_folds + 1)[:n_folds]
        if not bool((counted > 0).all()):
            raise InputError("every fold must hold rows of weight > 0; give other sample_weight or cv.")
        correct = torch.zeros(len(found), n_folds, dtype=torch.float64, device=device)
        for rows, scores in self.fit.objective.scores(coef):
            right = (scores.argmax(1) == features.labels[rows]).view(len(found), n_folds, -1)
            mine = folds[rows] == torch.arange(n_folds, device=device).unsqueeze(1)  # (f, b)
            correct += (right & mine).double() @ weights[rows]
        return (correct / counted).cpu().numpy(), counted.cpu().numpy()


class SoftmaxClassifierCV(SoftmaxProbabilities, LinearClassifierCV):
    """`SoftmaxClassifier` with its strength chosen by cross-validation.

    Every pair of strength and fold, and every strength on all rows, is a candidate of one batched solve: a pass over
    the rows serves them all, and the winner needs no second fit. The best mean accuracy wins, the stronger
    regularization on ties; a split counts by the weight of its held-out rows. A strength keeps its `reg` on every
    fold; scikit-learn keeps C.

    Parameters
    ----------
    regs, Cs : strengths, one of them: a list, or for Cs a whole number of values from 1e-4 to 1e4, log-spaced.
        Neither: 1e-5 to 1e-1 in half-decades of reg (hinge: 1e-3 to 1).
    cv : number of stratified folds; a share in (0, 1) for one stratified hold-out; a scikit-learn splitter; or an
        iterable of (training rows, test rows). Splits whose test sets overlap are solved one after the other.
    The others are those of `SoftmaxClassifier`; the solver is the exact one.

    Attributes
    ----------
    Those of `SoftmaxClassifier`, for the winner trained on all rows, and
    regs_, Cs_ (k,) : the strengths.     scores_ (k, n_splits) : weighted accuracies of held-out rows.
    mean_scores_, spread_ (k,) : their mean, by weight of the splits, and standard deviation (n - 1; NaN of one split).
    path_ : all strengths on all rows.
    n_iter_ : passes over the rows, for everything.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxClassifierCV(regs=[1e-3, 1e-1]).fit(X, y)
    >>> model.scores_.shape, model.reg_, len(model.path_.points)
    ((2, 5), 0.001, 2)
    """

    _loss = "softmax"


class HingeClassifierCV(LinearClassifierCV):
    """`HingeClassifier` with its strength chosen by cross-validation; see `SoftmaxClassifierCV`.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> HingeClassifierCV(regs=[1e-2, 1.0], cv=0.2).fit(X, y).reg_
    0.01
    """

    _loss = "hinge"
