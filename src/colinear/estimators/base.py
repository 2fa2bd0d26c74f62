"""What the four estimators share: reading input, predicting by chunk, checking parameters, the warning."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse  # type: ignore[import-untyped]
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from colinear.checks import MOST_INTERCEPT_SCALING, InputError, check_count, check_finite, check_number
from colinear.datasets.base import ArrayDataset
from colinear.datasets.features import Features, Scaling
from colinear.estimators.fitting import Fit, pack_path, pick_device, unpack_path
from colinear.estimators.inputs import (
    as_matrix,
    as_weights,
    encode_answers,
    encode_classes,
    has_answers,
    total_weights,
)
from colinear.lossbase import check_takes
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.solvers.solution import Path, PathPoint, Status

EXACT_ITERATIONS = 1000  # where max_iter is None
_ADVICE = {
    Status.BUDGET_SPENT: "Raise max_iter, set standardize=True, regularize more (larger reg, smaller C) or raise tol.",
    Status.STALLED: "Set standardize=True, regularize more (larger reg, smaller C) or raise tol.",
    Status.COMPLETED: "Use solver='exact', or raise max_iter or tol.",
    Status.DIVERGED: "Lower learning_rate or use solver='exact'; with that, fit without warm_start.",
}
_UNPENALIZED = (
    "Without a penalty there is an optimum only where classes overlap. Give a finite C (or reg); if they do overlap, "
    "raise max_iter."
)


def plain(value: Any) -> Any:
    """numpy's scalars as Python's; all else as it is."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def as_array(coef: Any) -> NDArray[Any]:
    """Weights as an array, whether they are one or `sparsify` made them sparse."""
    array: NDArray[Any] = coef.toarray() if issparse(coef) else coef
    return array


class LinearClassifierBase(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fitted weights at work: scores by chunk, labels in the user's own terms."""

    _loss: ClassVar[str]

    classes_: NDArray[Any]
    multilabel_: bool
    coef_: Any  # an array, or what `sparsify` makes of it
    intercept_: NDArray[Any]
    n_iter_: NDArray[np.int64]
    n_features_in_: int
    _wide: bool  # whether scores are summed in float64 whatever the rows are
    _path: dict[str, Any]

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn is told: sparse rows are taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Scores (n, c) of each class; for two classes their difference (n,), > 0 where the second wins.

        X : (n, d), anything `fit` takes.     Returns float64 for float64 rows, else float32.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels (n,), of the type of those in `fit`; the first class wins ties. Of many labels (n, c) of 1 and 0."""
        scores = self._scores(X)
        if getattr(self, "multilabel_", False):
            return (scores > 0).astype(np.int64)
        best = scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.int64)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def _scores(self, X: Any) -> NDArray[Any]:
        """Scores (n, c), of two classes their difference (n, 1), of raw rows, a chunk at a time.

        They are computed in float64 for float64 rows, and where float32 would show (see `model.rounding_shows`).
        Raises   `InputError` for values that are not finite, and for scores that are not.
        """
        check_is_fitted(self)
        rows = as_matrix(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        rows = rows.to(pick_device(getattr(self, "device", None), rows))
        given = torch.float64 if rows.dtype == torch.float64 else torch.float32
        dtype = torch.float64 if self._wide else given
        weights = as_array(self.coef_)
        n, c = len(rows), len(weights)
        nothing = torch.zeros(1, dtype=torch.int64, device=rows.device).expand(n)  # the rows have no labels
        unit = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(rows.shape[1], dtype=torch.float64), 0.0)
        features = Features(ArrayDataset(rows, nothing, ("",), name="X"), unit, dtype)
        coef = torch.as_tensor(weights).to(rows.device, dtype).unsqueeze(0)
        intercept = torch.as_tensor(self.intercept_).to(rows.device, dtype)
        out = torch.empty(n, c, dtype=given)
        for where, scores in Objective(features).scores(coef):
            part = scores[0].mT + intercept  # (b, c)
            out[where] = part.cpu()
            if not bool(torch.isfinite(out[where]).all()):
                if isinstance(rows, Tensor):  # sparse ones were looked at
                    check_finite(rows[where], "features", where.start)
                raise InputError(
                    f"scores of rows {where.start} to {where.stop - 1} are beyond {str(given).removeprefix('torch.')}: "
                    "features are too large for these weights. Predict for rows like those of fit, or scale both."
                )
        return out.numpy()

    @torch.inference_mode()
    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[Fit, Tensor | None]:
        """The objective of a fit and the sample weights; learns classes_ and the features' number and names."""
        bias = self._bias()
        if y is None:
            encode_classes(y, 0)
        rows = as_matrix(X)
        validate_data(self, X, reset=True, skip_check_array=True)
        weights = as_weights(sample_weight, len(rows))
        if has_answers(y):
            check_takes(LOSSES[self._loss], torch.empty(0, 2), "y")
            codes, classes = encode_answers(y, len(rows))
            if self.class_weight is not None:
                raise InputError("class_weight weighs rows of one class each; y has an answer for each class.")
            total = weights
        else:
            codes, classes = encode_classes(y, len(rows))
            total = total_weights(codes, classes, weights, self.class_weight)
        fit = Fit.prepare(
            rows, codes, len(classes), total, self._loss, bias=bias, penalize=bool(self.penalize_intercept),
            standardize=bool(self.standardize),
            center=bias > 0 and not self.penalize_intercept and isinstance(rows, Tensor),
            device=pick_device(self.device, rows),
        )  # fmt: skip
        self.classes_, self.multilabel_ = classes, codes.ndim == 2
        return fit, weights

    def _bias(self) -> float:
        """The value of the constant column; 0 without one."""
        if not self.fit_intercept:
            return 0.0
        scaling = plain(self.intercept_scaling)
        return check_number("intercept_scaling", scaling, above=0, most=MOST_INTERCEPT_SCALING)

    @torch.inference_mode()
    def _learn(self, fit: Fit, path: Path, point: PathPoint) -> None:
        """Take over one point of a path as the fitted weights."""
        self._take(fit, point.coef)
        self.reg_, self.C_ = point.reg, fit.convert_strength(point.reg)
        self.objective_, self.gap_, self.relative_gap_ = point.objective, point.gap, point.relative_gap
        self._path = pack_path(path)

    def _take(self, fit: Fit, coef: Tensor) -> None:
        """Take over weights (c, d [+ 1]) on scaled rows."""
        self._hold(fit, *fit.fold(coef))

    def _hold(self, fit: Fit, weight: Tensor, intercept: Tensor) -> None:
        """Set float64 weights for raw rows: as float32 for float32 rows, unless rounding shows in their scores."""
        self._wide = fit.needs_float64(weight, intercept)
        narrow = fit.objective.features.dataset.dtype == torch.float32 and not self._wide
        dtype = np.float32 if narrow else np.float64
        self.coef_, self.intercept_ = weight.numpy().astype(dtype), intercept.numpy().astype(dtype)

    @property
    def path_(self) -> Path:
        """The solver's `Path`, made anew of the arrays that the estimator keeps: weights on scaled features."""
        if not hasattr(self, "_path"):
            raise AttributeError(f"{type(self).__name__} has no path_ before fit.")
        return unpack_path(self._path)

    def sparsify(self) -> Self:
        """Turn `coef_` into a scipy CSR matrix, smaller in memory where most weights are zero. Returns self."""
        check_is_fitted(self)
        self.coef_ = csr_matrix(self.coef_)
        return self

    def densify(self) -> Self:
        """Turn `coef_` back into an array. Returns self."""
        check_is_fitted(self)
        self.coef_ = as_array(self.coef_)
        return self

    def _iterations(self, default: int, least: int = 1) -> int:
        return default if self.max_iter is None else check_count("max_iter", plain(self.max_iter), least)

    def _seed(self) -> int:
        if isinstance(self.random_state, numbers.Integral):
            seed = int(self.random_state)
            if seed < 0:
                raise InputError(f"random_state must be >= 0; got {seed}.")
            return seed
        return int(check_random_state(self.random_state).randint(2**31 - 1))


class SoftmaxProbabilities(LinearClassifierBase):
    """What only a softmax has: its scores are log-probabilities, up to a number for each row."""

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Probabilities (n, c): the softmax of the scores."""
        return self._logits(X).softmax(1).numpy()

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Logarithms of the probabilities, (n, c), without rounding to -inf."""
        return self._logits(X).log_softmax(1).numpy()

    def _logits(self, X: Any) -> Tensor:
        """Scores (n, c), of two classes too: 0 and their difference."""
        scores = torch.as_tensor(self._scores(X))
        return torch.cat((torch.zeros_like(scores), scores), 1) if scores.shape[1] == 1 else scores


class SigmoidProbabilities(LinearClassifierBase):
    """What a logistic loss has: the score of each class is the logit of its probability against the rest."""

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Probabilities (n, c): the sigmoids of the scores; of one class a row over their sum."""
        return self._logs(X).exp().numpy()

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Logarithms of the probabilities, (n, c), without rounding to -inf."""
        return self._logs(X).numpy()

    def _logs(self, X: Any) -> Tensor:
        scores = torch.as_tensor(self._scores(X))
        scores = torch.cat((-scores, scores), 1) if scores.shape[1] == 1 else scores
        logs = torch.nn.functional.logsigmoid(scores)
        return logs if self.multilabel_ else logs.log_softmax(1)


class ManyLabels(LinearClassifierBase):
    """What a loss that works class by class has: y may be (n, c) of 1 and 0, and -1 or NaN where unknown."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags


class CertificateWarning(ConvergenceWarning):  # type: ignore[misc]
    """The duality gap of a fit is larger than `tol`: the objective may be that far from its optimum."""


def warn_uncertified(points: Sequence[PathPoint], tol: float) -> None:
    """Warn once about the points whose relative gap is above `tol` (or is not a number)."""
    open_points = [point for point in points if not point.relative_gap <= tol]
    if not open_points:
        return
    worst = max(open_points, key=lambda point: 1e308 if math.isnan(point.relative_gap) else point.relative_gap)
    several = f"{len(open_points)} of {len(points)} strengths miss it, the worst is " if len(points) > 1 else ""
    advice = _UNPENALIZED if worst.reg == 0 else _ADVICE.get(worst.status, worst.status.advice)
    warnings.warn(
        f"the relative gap is {worst.relative_gap:.2g}, tol={tol:g} was asked ({several}reg={worst.reg:.3g} after "
        f"{worst.passes} passes: {worst.status.value}). {advice}",
        CertificateWarning,
        stacklevel=4,
    )
