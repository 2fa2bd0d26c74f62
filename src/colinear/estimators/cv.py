"""Strength chosen by cross-validation: all strengths and folds are candidates of one solve."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from colinear.checks import InputError, check_count, check_number
from colinear.datasets.answers import strata
from colinear.estimators.base import (
    EXACT_ITERATIONS,
    SoftmaxProbabilities,
    plain,
    warn_uncertified,
)
from colinear.estimators.compat import check_penalty, check_solver
from colinear.estimators.dealing import deal_splits
from colinear.estimators.fitting import Fit
from colinear.estimators.held_out import HeldOut, with_labels
from colinear.estimators.routing import Scored
from colinear.losses import LOSSES
from colinear.search.candidates import rank_candidates
from colinear.search.strengths import REFERENCE, default_regs, find_end
from colinear.solvers.folds import Rows, batch_splits, cross_validate
from colinear.solvers.path import fit_preconditioner, solve_path

COSTS = (1e-4, 1e4)  # ends of the range that a whole number for Cs spans, scikit-learn's


class StrengthWarning(UserWarning):
    """The best strength is an end of those that were compared: a better one may lie beyond."""


@dataclass(kw_only=True, eq=False, repr=False)
class LinearClassifierCV(Scored):
    """Common part of the two cross-validated classifiers; see `SoftmaxClassifierCV`."""

    regs: Any = None
    Cs: Any = None
    cv: Any = 5
    scoring: Any = None
    refit: bool = True
    class_weight: Any = None
    fit_intercept: bool = True
    intercept_scaling: float = 1.0
    penalize_intercept: bool = True
    standardize: bool = False
    solver: str = "exact"
    tol: float = 1e-4
    max_iter: int | None = None
    random_state: Any = 0
    device: Any = None
    penalty: Any = "l2"
    l1_ratios: Any = None
    dual: Any = False
    n_jobs: Any = None
    verbose: Any = 0
    use_legacy_attributes: Any = False

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Self:
        """Compare the strengths on the folds of rows X (n, d) with labels y (n,), and keep the best one.

        sample_weight : None, or (n,) >= 0; weighs rows in training and in the scores.
        params : `groups` (n,) for a splitter that asks for them; with scikit-learn's metadata routing on, whatever
            splitter and scorer request.
        Returns  self.
        Raises   `InputError`, a ValueError, before any work.
        Warns    `CertificateWarning` if a certificate misses `tol`; `StrengthWarning` if the best of three strengths or
                 more is the weakest or the strongest.
        """
        tol = check_number("tol", plain(self.tol), above=0)
        seed, passes = self._seed(), self._iterations(EXACT_ITERATIONS) + 1
        self._check_familiar()
        routed = self._route(sample_weight, params)
        fit, weights = self._read(X, y, sample_weight)
        regs, costs = self._strengths(fit)
        labels = fit.objective.features.labels.cpu()
        whole = isinstance(self.cv, numbers.Integral) or self.cv is None
        least = int(5 if self.cv is None else self.cv) if whole else 1
        dealt = strata(labels, least) if whole or isinstance(self.cv, float) else labels
        splits = deal_splits(self.cv, dealt.numpy(), seed, routed["split"])
        held_out = self._hold_out(fit, splits, len(regs), X, labels.numpy(), routed["score"])
        with torch.inference_mode():
            pre = fit_preconditioner(fit.objective, seed)
        solve = partial(solve_path, loss=LOSSES[self._loss], tol=tol, max_passes=passes, preconditioner=pre, seed=seed)
        judged = replace(fit.objective, row_weights=weights)
        with torch.inference_mode():  # as in fits of one strength
            batches = batch_splits(splits, len(labels))
            found = cross_validate(solve, fit.objective, judged, regs, batches, watch=held_out)
        setup = 0.0 if pre is None else pre.spectrum.seconds
        total, seconds = sum(path.passes for path in found.solves), sum(path.seconds for path in found.solves)
        path = replace(found.path, passes=total, setup_seconds=setup, seconds=seconds + setup)
        scores = found.accuracies.numpy() if self.scoring is None else held_out.scores.T  # (k, splits)
        shares = found.weights.numpy() / float(found.weights.sum())
        means = found.means.numpy() if self.scoring is None else scores @ shares
        best = rank_candidates(means.tolist(), regs)[0]
        self._learn(fit, path, path.points[best])
        self.C_ = costs[best]
        if not self.refit:
            self._average(fit, held_out, scores, regs, costs)
        self.regs_, self.Cs_ = np.array(regs), np.array(costs)
        self.scores_, self.mean_scores_ = scores.T[:, np.newaxis], means
        self.spread_ = scores.std(1, ddof=1) if len(splits) > 1 else np.full(len(regs), np.nan)
        self.n_iter_ = held_out.passes[:, np.newaxis] - 1
        self.l1_ratios_, self.l1_ratio_ = np.zeros(1), 0.0
        self.__dict__.pop("coefs_paths_", None)  # of a fit before
        if held_out.coefs:
            self.coefs_paths_ = held_out.coefs_paths
        warn_uncertified([point for path in found.solves for point in path.points], tol)
        end = find_end(regs, means.tolist(), best)
        if end is not None:
            warnings.warn(
                f"the best, reg={regs[best]:.3g}, is the {end} of {len(regs)} strengths: a better one may lie beyond. "
                f"Give {end.removesuffix('est')}er regs too ({'larger' if end == 'weakest' else 'smaller'} Cs).",
                StrengthWarning,
                stacklevel=2,
            )
        return self

    def _hold_out(
        self, fit: Fit, splits: Sequence[Rows], n_strengths: int, X: Any, labels: NDArray[Any], params: dict[str, Any]
    ) -> HeldOut:
        """What takes the strengths as they are solved, and scores them by `scoring` if that is given."""
        model, scorer = copy(self), None if self.scoring is None else self._get_scorer()
        y = labels if self.multilabel_ else self.classes_[labels]
        if scorer is not None and not self.multilabel_:
            scorer = with_labels(scorer, self.classes_)
        take, fold = partial(model._take, fit), partial(fit.fold_together, with_intercept=bool(self.fit_intercept))
        return HeldOut(model, take, fold, splits, n_strengths, X, y, scorer, params, keep=not self.refit)

    def _check_familiar(self) -> None:
        check_solver(self.solver)
        if not check_penalty(self.penalty, self.l1_ratios, "l1_ratios"):
            raise InputError("penalty must be 'l2' here: without a penalty there is no strength to choose.")
        if self.use_legacy_attributes not in (None, False, "warn"):
            raise InputError(
                "use_legacy_attributes must be False: attributes have the layout that scikit-learn 1.10 keeps, arrays "
                f"and no dictionaries; got {self.use_legacy_attributes!r}."
            )

    def _average(
        self, fit: Fit, held_out: HeldOut, scores: NDArray[Any], regs: Sequence[float], costs: Sequence[float]
    ) -> None:
        """Weights and strength as means over the splits, each with its own best strength, as in scikit-learn."""
        best = [rank_candidates(column.tolist(), regs)[0] for column in scores.T]
        mean = np.mean([held_out.coefs[split, strength] for split, strength in enumerate(best)], axis=0)
        d = self.n_features_in_
        weight, intercept = torch.from_numpy(mean[:, :d].copy()), torch.zeros(len(mean), dtype=torch.float64)
        if self.fit_intercept:
            intercept = torch.from_numpy(mean[:, d].copy())
        self._hold(fit, weight, intercept)
        self.C_ = float(np.mean([costs[strength] for strength in best]))
        self.reg_ = fit.convert_strength(self.C_)
        with torch.inference_mode():
            [point] = fit.look(self.reg_, fit.unfold(weight, intercept)).points
        self.objective_, self.gap_, self.relative_gap_ = point.objective, point.gap, point.relative_gap

    def _strengths(self, fit: Fit) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The strengths as reg and as C, in the order given; ascending where they come from a number or the default."""
        if self.regs is not None and self.Cs is not None:
            raise InputError("give regs or Cs, not both.")
        if self.Cs is not None:
            if isinstance(self.Cs, numbers.Integral):
                listed: Sequence[Any] = np.geomspace(*COSTS, check_count("Cs", int(self.Cs))).tolist()
            else:
                listed = _as_list("Cs", self.Cs)
            costs = tuple(check_number("Cs", plain(cost), above=0) for cost in listed)
            return tuple(fit.convert_strength(cost) for cost in costs), costs
        if self.regs is not None:
            regs = tuple(check_number("regs", plain(reg), above=0) for reg in _as_list("regs", self.regs))
        else:
            # a penalised intercept moves by about bias^2 / (2 reg): rows that are not centred need it, however large
            square, bias = fit.objective.mean_square(), fit.scaling.bias * fit.scaling.penalized
            regs = default_regs(self._loss, square if bias == 0 else min(square, REFERENCE * bias**2))
        return regs, tuple(fit.convert_strength(reg) for reg in regs)


def _as_list(name: str, values: Any) -> Sequence[Any]:
    listed = np.asarray(values)
    if listed.ndim != 1 or not len(listed):
        raise InputError(f"{name} must be a list of numbers > 0, at least one; got {values!r}.")
    return list(listed.tolist())


class SoftmaxClassifierCV(SoftmaxProbabilities, LinearClassifierCV):
    """`SoftmaxClassifier` with its strength chosen by cross-validation.

    Every pair of strength and fold, and every strength on all rows, is a candidate of one batched solve: a pass over
    the rows serves them all, and the winner needs no second fit. The best mean score wins, the stronger
    regularization on ties; a split counts by the weight of its held-out rows. A strength keeps its `reg` on every
    fold; scikit-learn keeps C.

    Parameters
    ----------
    regs, Cs : strengths, one of them: a list, or for Cs a whole number of values from 1e-4 to 1e4, log-spaced.
        Neither: 9 half-decades of reg (hinge: 7) that follow the features' scale, see `default_regs`; with an
        intercept 1e-1 at most (hinge: 1), times the square of intercept_scaling.
    cv : number of stratified folds; a share in (0, 1) for one stratified hold-out; a scikit-learn splitter; or an
        iterable of (training rows, test rows). A splitter of groups is given those of `fit(X, y, groups=...)`. Splits
        whose test sets overlap are solved one after the other.
    scoring : None for accuracy, a name of scikit-learn's scorers, or a function (estimator, X, y) -> number, the larger
        the better. A scorer that can be is told all classes: a test set may lack some.
    refit : whether the winner is what training on all rows gives; if not, weights and C are means over the splits, each
        with its own best strength, and `gap_` is that of these weights.
    use_legacy_attributes : False: attributes have the layout that scikit-learn 1.10 keeps.
    The others are those of `SoftmaxClassifier`; the solver is the exact one, and there is always a penalty.

    Attributes
    ----------
    Those of `SoftmaxClassifier`, for the winner trained on all rows, and
    regs_, Cs_ (k,) : the strengths.
    scores_ (n_splits, 1, k) : scores of held-out rows; the axis of length 1 is scikit-learn's, of L1 ratios.
    mean_scores_, spread_ (k,) : their mean, by weight of the splits, and standard deviation (n - 1; NaN of one split).
    coefs_paths_ (n_splits, 1, k, c or 1, d [+ 1]) : weights of all splits for raw rows, intercepts last; only where
        they take 512 MiB at most.
    n_iter_ (n_splits, 1, k) : steps.     path_ : all strengths on all rows; its passes are those for everything.
    l1_ratio_, l1_ratios_ : 0.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxClassifierCV(regs=[1e-3, 1e-1]).fit(X, y)
    >>> model.scores_.shape, model.reg_, len(model.path_.points)
    ((5, 1, 2), 0.001, 2)
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
