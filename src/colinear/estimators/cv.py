"""Strength chosen by cross-validation: all strengths and folds are candidates of one solve."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import check_cv

from colinear.checks import InputError, check_count, check_number
from colinear.datasets.answers import strata
from colinear.datasets.stratified import split_stratified
from colinear.estimators.base import EXACT_PASSES, LinearClassifierBase, SoftmaxProbabilities, plain, warn_uncertified
from colinear.estimators.fitting import Fit
from colinear.losses import LOSSES
from colinear.search.candidates import rank_candidates
from colinear.search.strengths import REFERENCE, default_regs, find_end
from colinear.solvers.folds import Rows, batch_splits, cross_validate
from colinear.solvers.path import fit_preconditioner, solve_path

COSTS = (1e-4, 1e4)  # ends of the range that a whole number for Cs spans, scikit-learn's


class StrengthWarning(UserWarning):
    """The best strength is an end of those that were compared: a better one may lie beyond."""


@dataclass(kw_only=True, eq=False, repr=False)
class LinearClassifierCV(LinearClassifierBase):
    """Common part of the two cross-validated classifiers; see `SoftmaxClassifierCV`."""

    regs: Any = None
    Cs: Any = None
    cv: Any = 5
    class_weight: Any = None
    fit_intercept: bool = True
    intercept_scaling: float = 1.0
    standardize: bool = False
    tol: float = 1e-4
    max_iter: int | None = None
    random_state: Any = 0
    device: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Compare the strengths on the folds of rows X (n, d) with labels y (n,), and keep the best one.

        sample_weight : None, or (n,) >= 0; weighs rows in training and in the accuracies.
        Returns  self.
        Raises   `InputError`, a ValueError, before any work.
        Warns    `CertificateWarning` if a certificate misses `tol`; `StrengthWarning` if the best of three strengths or
                 more is the weakest or the strongest.
        """
        tol = check_number("tol", plain(self.tol), above=0)
        seed, passes = self._seed(), self._passes(EXACT_PASSES)
        fit, weights = self._read(X, y, sample_weight)
        regs = self._strengths(fit)
        labels = fit.objective.features.labels.cpu()
        whole = isinstance(self.cv, numbers.Integral) or self.cv is None
        least = int(5 if self.cv is None else self.cv) if whole else 1
        dealt = strata(labels, least) if whole or isinstance(self.cv, float) else labels
        splits = deal_splits(self.cv, dealt.numpy(), seed)
        with torch.inference_mode():
            pre = fit_preconditioner(fit.objective, seed)
        solve = partial(solve_path, loss=LOSSES[self._loss], tol=tol, max_passes=passes, preconditioner=pre, seed=seed)
        judged = replace(fit.objective, row_weights=weights)
        with torch.inference_mode():  # as in fits of one strength
            found = cross_validate(solve, fit.objective, judged, regs, batch_splits(splits, len(labels)))
        setup = 0.0 if pre is None else pre.spectrum.seconds
        total, seconds = sum(path.passes for path in found.solves), sum(path.seconds for path in found.solves)
        path = replace(found.path, passes=total, setup_seconds=setup, seconds=seconds + setup)
        best = rank_candidates(found.means.tolist(), regs)[0]
        self._learn(fit, path, path.points[best])
        self.regs_ = np.array(regs)
        self.Cs_ = np.array([fit.convert_strength(reg) for reg in regs])
        self.scores_, self.mean_scores_ = found.accuracies.numpy(), found.means.numpy()
        self.spread_ = found.spreads.numpy()
        warn_uncertified([point for path in found.solves for point in path.points], tol)
        end = find_end(regs, found.means.tolist(), best)
        if end is not None:
            warnings.warn(
                f"the best, reg={regs[best]:.3g}, is the {end} of {len(regs)} strengths: a better one may lie beyond. "
                f"Give {end.removesuffix('est')}er regs too ({'larger' if end == 'weakest' else 'smaller'} Cs).",
                StrengthWarning,
                stacklevel=2,
            )
        return self

    def _strengths(self, fit: Fit) -> tuple[float, ...]:
        """The strengths, in the order given; ascending reg where they come from a number or the default."""
        if self.regs is not None and self.Cs is not None:
            raise InputError("give regs or Cs, not both.")
        if self.regs is not None:
            return tuple(check_number("regs", plain(reg), above=0) for reg in _as_list("regs", self.regs))
        if self.Cs is None:
            square, bias = fit.objective.mean_square(), fit.scaling.bias
            # an intercept moves by about bias^2 / (2 reg): rows that are not centred need it, however large they are
            return default_regs(self._loss, square if bias == 0 else min(square, REFERENCE * bias**2))
        if isinstance(self.Cs, numbers.Integral):
            ends = np.log10(COSTS)
            costs: Sequence[Any] = np.logspace(ends[1], ends[0], check_count("Cs", int(self.Cs))).tolist()
        else:
            costs = _as_list("Cs", self.Cs)
        return tuple(fit.convert_strength(check_number("Cs", plain(cost), above=0)) for cost in costs)


def _as_list(name: str, values: Any) -> Sequence[Any]:
    listed = np.asarray(values)
    if listed.ndim != 1 or not len(listed):
        raise InputError(f"{name} must be a list of numbers > 0, at least one; got {values!r}.")
    return list(listed.tolist())


def deal_splits(cv: Any, y: NDArray[Any], seed: int) -> list[Rows]:
    """Training and test rows of every split.

    cv : a number of stratified folds >= 2 (None is 5), a share of rows in (0, 1) for one stratified hold-out drawn
    with `seed`, a scikit-learn splitter, or an iterable of (training rows, test rows).
    """
    if isinstance(cv, float | np.floating):
        share = check_number("cv, as a share of rows,", float(cv), above=0)
        if share >= 1:
            raise InputError(f"cv must be a number of folds, a share in (0, 1) or a splitter; got {cv!r}.")
        kept, held = split_stratified(torch.as_tensor(y), (1 - share, share), seed)
        splits: Iterable[Rows] = [(kept.numpy(), held.numpy())]
    else:
        splits = check_cv(cv, y, classifier=True).split(np.zeros((len(y), 1)), y)
    dealt = [(np.asarray(train), np.asarray(test)) for train, test in splits]
    dealt = [tuple(np.flatnonzero(rows) if rows.dtype == bool else rows for rows in split) for split in dealt]  # type: ignore[misc]
    for number, (train, test) in enumerate(dealt):
        if len(train) == 0 or len(test) == 0:
            raise InputError(f"every split must have training and test rows; split {number} of cv has none of one.")
        for rows in (train, test):
            if rows.min() < 0 or rows.max() >= len(y) or len(np.unique(rows)) < len(rows):
                raise InputError(
                    f"a split must name each of its rows once, from 0 to {len(y) - 1}; split {number} of cv does not. "
                    "Rows that count more than once have a sample_weight."
                )
        if len(np.intersect1d(train, test)):
            raise InputError(f"training and test rows must differ; split {number} of cv has rows in both.")
    if not dealt:
        raise InputError("cv must give at least one split of the rows.")
    return dealt


class SoftmaxClassifierCV(SoftmaxProbabilities, LinearClassifierCV):
    """`SoftmaxClassifier` with its strength chosen by cross-validation.

    Every pair of strength and fold, and every strength on all rows, is a candidate of one batched solve: a pass over
    the rows serves them all, and the winner needs no second fit. The best mean accuracy wins, the stronger
    regularization on ties; a split counts by the weight of its held-out rows. A strength keeps its `reg` on every
    fold; scikit-learn keeps C.

    Parameters
    ----------
    regs, Cs : strengths, one of them: a list, or for Cs a whole number of values from 1e-4 to 1e4, log-spaced.
        Neither: 9 half-decades of reg (hinge: 7) that follow the features' scale, see `default_regs`; with an
        intercept 1e-1 at most (hinge: 1), times the square of intercept_scaling.
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
