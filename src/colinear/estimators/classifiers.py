"""One strength of regularization: `SoftmaxClassifier` and `HingeClassifier`."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError, check_choice, check_count, check_number
from colinear.estimators.base import EXACT_PASSES, LinearClassifierBase, SoftmaxProbabilities, plain
from colinear.estimators.certificates import warn_uncertified
from colinear.estimators.fitting import Fit
from colinear.losses import LOSSES
from colinear.solvers.path import solve_path
from colinear.solvers.solution import Path

SGD_PASSES = 20  # where max_iter is None


class LinearClassifier(LinearClassifierBase):
    """Common part of the two classifiers; see `SoftmaxClassifier` for parameters and attributes."""

    _loss: ClassVar[str]

    def __init__(
        self,
        *,
        reg: float | None = None,
        C: float | None = None,
        class_weight: Any = None,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        standardize: bool = False,
        solver: str = "exact",
        tol: float = 1e-4,
        max_iter: int | None = None,
        learning_rate: float | None = None,
        batch_size: int = 256,
        random_state: Any = 0,
        device: Any = None,
        warm_start: bool = False,
    ) -> None:
        self.reg = reg
        self.C = C
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.standardize = standardize
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.random_state = random_state
        self.device = device
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Minimise the objective on rows X (n, d) with labels y (n,).

        sample_weight : None, or (n,) >= 0: weight 2 is the row twice, weight 0 the row removed.
        Returns  self.
        Raises   `InputError`, a ValueError, before any work.
        Warns    `CertificateWarning` if the certificate misses `tol`.
        """
        tol, seed = self._tolerance(), self._seed()
        check_choice("solver", self.solver, ("exact", "sgd"))
        before = self._fitted() if self.warm_start else None
        fit, _ = self._read(X, y, sample_weight)
        reg = self._strength(fit)
        path = self._solve(fit, reg, tol, seed, self._start(fit, before))
        self._learn(fit, path, path.points[0])
        warn_uncertified(path.points, tol)
        return self

    @torch.inference_mode()  # a quarter of a small fit would be autograd's looking on
    def _solve(self, fit: Fit, reg: float, tol: float, seed: int, start: Tensor | None) -> Path:
        if self.solver == "sgd":
            batch_size = check_count("batch_size", plain(self.batch_size))
            return fit.run_sgd(reg, self._passes(SGD_PASSES), batch_size, plain(self.learning_rate), seed, start)
        passes = self._passes(EXACT_PASSES)
        return solve_path(fit.objective, LOSSES[self._loss], [reg], tol=tol, max_passes=passes, start=start, seed=seed)

    def _strength(self, fit: Fit) -> float:
        if self.reg is not None and self.C is not None:
            raise InputError(f"give reg or C, not both; got reg={self.reg!r} and C={self.C!r}.")
        if self.reg is not None:
            return check_number("reg", plain(self.reg), above=0)
        cost = check_number("C", 1.0 if self.C is None else plain(self.C), above=0)
        return fit.convert_strength(cost)

    def _fitted(self) -> tuple[NDArray[Any], Tensor, Tensor] | None:
        """Classes, weights and intercepts of the last fit, None if there was none."""
        if not hasattr(self, "coef_"):
            return None
        return self.classes_, torch.as_tensor(self.coef_), torch.as_tensor(self.intercept_)

    def _start(self, fit: Fit, before: tuple[NDArray[Any], Tensor, Tensor] | None) -> Tensor | None:
        """The last fit's weights on this fit's scaled rows; None if classes or features are others."""
        if before is None or before[1].shape[1] != self.n_features_in_ or not np.array_equal(before[0], self.classes_):
            return None
        return fit.unfold(*before[1:])


class SoftmaxClassifier(SoftmaxProbabilities, LinearClassifier):
    """Multinomial logistic regression to a certificate.

        sum_i w_i log(1 / p_i,y_i) / sum_i w_i + reg sum(W*W),   W (c, d [+ 1]), the constant column penalised too

    is the objective of scikit-learn's `LogisticRegression(C=C, fit_intercept=False)` on rows with a constant column
    of value `intercept_scaling`, at C = 1 / (2 reg sum_i w_i); for two classes, which have one vector there and two
    opposite ones here, at C = 1 / (reg sum_i w_i). A large `intercept_scaling` (1e3) comes close to an intercept
    without penalty.

    Parameters
    ----------
    reg, C : strength of regularization, one of them, > 0; C = 1 if neither is given. `reg_` and `C_` tell both.
    class_weight : None, 'balanced', or {label: weight}; multiplies `sample_weight`.
    fit_intercept, intercept_scaling : whether there is a constant column, and its value, > 0.
    standardize : train on columns of (weighted) mean 0 and variance 1; `coef_` is for raw features all the same.
    solver : 'exact' reads all rows in each pass and stops at the certificate; 'sgd' takes minibatches of
        `batch_size` rows at `learning_rate` (None: from the size of features and reg), has what gap it has, and
        takes no weights.
    tol : largest relative gap, gap / objective.     max_iter : passes over the rows; None is 1000 (sgd: 20).
    random_state : seed of the solvers' draws of rows; the same numbers give the same weights.
    device : None computes where X is; 'auto' on a GPU if there is one; or a name of PyTorch.
    warm_start : start from the weights of the last fit if classes and features are the same.

    Attributes
    ----------
    coef_ (c, d), intercept_ (c,) : float64, for raw features, one row a class; (1, d) and (1,) for two classes, > 0
        where the second wins.
    classes_, n_features_in_, feature_names_in_ : as in scikit-learn.
    n_iter_ : passes.     objective_, gap_ : at the end, float64; the optimum is at least objective_ - gap_.
    relative_gap_ : gap_ / objective_.     path_ : the solver's `Path`, weights (c, d [+ 1]) on scaled features, made
        anew of arrays at each look: the estimator itself holds numpy, numbers and text alone.

    Inputs : numpy arrays, memory maps (never copied: chunks are read as they are needed), torch tensors, pandas and
    polars frames. float64 is computed in float64, float32 and uint8 in float32 with a float64 certificate.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxClassifier(C=1.0).fit(X, y)
    >>> model.coef_.shape, model.relative_gap_ <= 1e-4, round(model.score(X, y), 2)
    ((3, 4), True, 0.99)
    """

    _loss = "softmax"


class HingeClassifier(LinearClassifier):
    """Linear support vector machine of Weston and Watkins to a certificate.

        sum_i w_i sum_{j != y_i} max(0, s_ij - s_i,y_i + 1) / sum_i w_i + reg sum(W*W)

    With two classes it is `LinearSVC(loss="hinge", C=C, intercept_scaling=intercept_scaling)` of scikit-learn.
    Parameters and attributes are those of `SoftmaxClassifier`. There is no `predict_proba`: scores of a hinge are no
    log-probabilities; put `CalibratedClassifierCV` around it.

    Small problems take 10 to 25 passes, of an interior point method (see `solvers.Tuning`), and begin anew whatever
    `warm_start` says. Larger ones with weak regularization and features of unequal scale take hundreds, most of which
    `standardize=True` saves; `solvers.suits_newton` says where Newton's method finishes them.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = HingeClassifier(reg=0.01).fit(X, y)
    >>> model.coef_.shape, model.relative_gap_ <= 1e-4, round(model.C_, 3)
    ((3, 4), True, 0.333)
    """

    _loss = "hinge"
