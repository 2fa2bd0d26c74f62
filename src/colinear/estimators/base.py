"""What the four estimators share: reading input, predicting by chunk, checking parameters."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from colinear.checks import InputError, check_count, check_finite, check_number
from colinear.datasets.base import ArrayDataset
from colinear.datasets.features import Features, Scaling
from colinear.estimators.fitting import Fit, on_host, pick_device, strength_of_cost
from colinear.estimators.inputs import as_matrix, as_weights, encode_classes, total_weights
from colinear.objective import Objective
from colinear.solvers.solution import Path, PathPoint

EXACT_PASSES = 1000  # where max_iter is None


def plain(value: Any) -> Any:
    """numpy's scalars as Python's; all else as it is."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


class LinearClassifierBase(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fitted weights at work: scores by chunk, labels in the user's own terms."""

    _loss: ClassVar[str]

    classes_: NDArray[Any]
    coef_: NDArray[np.float64]
    intercept_: NDArray[np.float64]
    n_features_in_: int

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Scores (n, c) of each class; for two classes their difference (n,), > 0 where the second wins.

        X : (n, d), anything `fit` takes.     Returns float64 for float64 rows, else float32.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels (n,), of the type of those in `fit`; the first class wins ties."""
        best = self._scores(X).argmax(1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def _scores(self, X: Any) -> NDArray[Any]:
        """Scores (n, c) of raw rows, a chunk at a time. Raises `InputError` for values that are not finite."""
        check_is_fitted(self)
        rows = as_matrix(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        rows = rows.to(pick_device(getattr(self, "device", None), rows))
        dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
        n, c = len(rows), len(self.classes_)
        nothing = torch.zeros(1, dtype=torch.int64, device=rows.device).expand(n)  # the rows have no labels
        unit = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(rows.shape[1], dtype=torch.float64), 0.0)
        features = Features(ArrayDataset(rows, nothing, ("",), name="X"), unit, dtype)
        coef = torch.as_tensor(self.coef_).to(rows.device, dtype).unsqueeze(0)
        intercept = torch.as_tensor(self.intercept_).to(rows.device, dtype)
        out = torch.empty(n, c, dtype=dtype)
        for where, scores in Objective(features).scores(coef):
            part = scores[0].mT + intercept  # (b, c)
            if not bool(torch.isfinite(part).all()):
                check_finite(rows[where], "features", where.start)
            out[where] = part.cpu()
        return out.numpy()

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[Fit, Tensor | None]:
        """The objective of a fit and the sample weights; learns classes_ and the features' number and names."""
        bias = check_number("intercept_scaling", plain(self.intercept_scaling), above=0) if self.fit_intercept else 0.0
        if y is None:
            encode_classes(y, 0)
        rows = as_matrix(X)
        validate_data(self, X, reset=True, skip_check_array=True)
        codes, classes = encode_classes(y, len(rows))
        weights = as_weights(sample_weight, len(rows))
        total = total_weights(codes, classes, weights, self.class_weight)
        fit = Fit.prepare(
            rows, codes, len(classes), total, self._loss, bias=bias, standardize=bool(self.standardize),
            device=pick_device(self.device, rows),
        )  # fmt: skip
        self.classes_ = classes
        return fit, weights

    def _learn(self, fit: Fit, path: Path, point: PathPoint) -> None:
        """Take over one point of a path as the fitted weights."""
        weight, intercept = fit.fold(point.coef)
        self.coef_, self.intercept_ = weight.numpy(), intercept.numpy()
        self.reg_, self.C_ = point.reg, strength_of_cost(point.reg, fit.total_weight)
        self.objective_, self.gap_, self.relative_gap_ = point.objective, point.gap, point.relative_gap
        self.n_iter_ = path.passes
        self.path_ = on_host(path)

    def _tolerance(self) -> float:
        return check_number("tol", plain(self.tol), above=0)

    def _passes(self, default: int) -> int:
        return default if self.max_iter is None else check_count("max_iter", plain(self.max_iter))

    def _seed(self) -> int:
        if isinstance(self.random_state, numbers.Integral):
            seed = int(self.random_state)
            if seed < 0:
                raise InputError(f"random_state must be >= 0; got {seed}.")
            return seed
        return int(check_random_state(self.random_state).randint(2**31 - 1))


def softmax_rows(scores: NDArray[Any]) -> NDArray[Any]:
    """Probabilities (n, c) from scores (n, c)."""
    return torch.as_tensor(scores).softmax(1).numpy()
