"""One strength of regularization: `SoftmaxClassifier` and `HingeClassifier`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError, check_choice, check_count, check_number
from colinear.estimators.base import (
    EXACT_ITERATIONS,
    SoftmaxProbabilities,
    plain,
    warn_uncertified,
)
from colinear.estimators.compat import check_penalty, check_solver, warn_strength_ignored
from colinear.estimators.fitting import Fit
from colinear.estimators.streaming import Streaming
from colinear.losses import LOSSES
from colinear.solvers.path import solve_path
from colinear.solvers.solution import Path
from colinear.solvers.unpenalized import solve_unpenalized

SGD_EPOCHS = 20  # where max_iter is None


@dataclass(kw_only=True, eq=False, repr=False)
class LinearClassifier(Streaming):
    """Common part of the two classifiers; see `SoftmaxClassifier` for parameters and attributes."""

    reg: float | None = None
    C: float | None = None
    class_weight: Any = None
    fit_intercept: bool = True
    intercept_scaling: float = 1.0
    penalize_intercept: bool = True
    standardize: bool = False
    solver: str = "exact"
    tol: float = 1e-4
    max_iter: int | None = None
    learning_rate: float | None = None
    batch_size: int = 256
    random_state: Any = 0
    device: Any = None
    warm_start: bool = False
    penalty: Any = "l2"
    l1_ratio: Any = 0.0
    dual: Any = False
    n_jobs: Any = None
    verbose: Any = 0

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Minimise the objective on rows X (n, d) with labels y (n,).

        sample_weight : None, or (n,) >= 0: weight 2 is the row twice, weight 0 leaves the row out of the mean; its
            class stays in `classes_`, as in scikit-learn.
        Returns  self.
        Raises   `InputError`, a ValueError, before any work.
        Warns    `CertificateWarning` if the certificate misses `tol`.
        """
        if hasattr(self, "loss"):
            check_choice("loss", self.loss, (self._loss.replace("-", "_"),))
        tol, solver = check_number("tol", plain(self.tol), above=0), check_solver(self.solver, "sgd")
        before = getattr(self, "classes_", None)
        fit, _ = self._read(X, y, sample_weight)
        with torch.inference_mode():  # a quarter of a small fit would be autograd's looking on
            path = self._solve(solver, fit, self._strength(fit), tol, self._start(fit, before))
        self._learn(fit, path, path.points[0])
        for name in ("steps_", "learning_rate_"):  # of calls of `partial_fit` before
            self.__dict__.pop(name, None)
        begun = 0 if solver == "sgd" else 1  # the pass at the start, before any step, is no iteration
        self.n_iter_ = np.array([max(0, path.points[0].passes - begun)])
        warn_uncertified(path.points, tol)
        return self

    def _solve(self, solver: str, fit: Fit, reg: float, tol: float, start: Tensor | None) -> Path:
        """The path of one point; reg = 0 is no penalty."""
        seed = self._seed()
        iterations = self._iterations(SGD_EPOCHS if solver == "sgd" else EXACT_ITERATIONS, least=0)
        if reg == 0 and (solver == "sgd" or self._loss != "softmax"):
            raise InputError("no penalty (C=inf) needs a softmax and solver='exact'. Give a large C instead.")
        if iterations == 0:
            return fit.look(reg, start)
        if reg == 0:
            return solve_unpenalized(fit.objective, tol=tol, max_passes=iterations + 1, start=start)
        if solver == "sgd":
            batch_size = check_count("batch_size", plain(self.batch_size))
            return fit.run_sgd(reg, iterations, batch_size, plain(self.learning_rate), seed, start)
        loss = LOSSES[self._loss]
        return solve_path(fit.objective, loss, [reg], tol=tol, max_passes=iterations + 1, start=start, seed=seed)

    def _strength(self, fit: Fit) -> float:
        """The strength as reg; 0 for C=inf and for no penalty."""
        if self.reg is not None and self.C is not None:
            raise InputError(f"give reg or C, not both; got reg={self.reg!r} and C={self.C!r}.")
        if not check_penalty(self.penalty, self.l1_ratio):
            if self.reg is not None or self.C not in (None, 1.0, math.inf):
                warn_strength_ignored("C" if self.reg is None else "reg")
            return 0.0
        if self.reg is not None:
            return check_number("reg", plain(self.reg), above=0)
        if self.C is not None and plain(self.C) == math.inf:
            return 0.0
        cost = check_number("C", 1.0 if self.C is None else plain(self.C), above=0)
        return fit.convert_strength(cost)

    def _start(self, fit: Fit, before: NDArray[Any] | None) -> Tensor | None:
        """The last fit's weights on this fit's scaled rows; None if its classes, `before`, or features are others."""
        if before is None or not self.warm_start or not hasattr(self, "coef_"):
            return None
        if self.coef_.shape[1] != self.n_features_in_ or not np.array_equal(before, self.classes_):
            return None
        return self._weights(fit)


class SoftmaxClassifier(SoftmaxProbabilities, LinearClassifier):
    """Multinomial logistic regression to a certificate.

        sum_i w_i log(1 / p_i,y_i) / sum_i w_i + reg sum(W*W),   W (c, d [+ 1]), the constant column penalised too

    is the objective of scikit-learn's `LogisticRegression(C=C, fit_intercept=False)` on rows with a constant column
    of value `intercept_scaling`, at C = 1 / (2 reg sum_i w_i); for two classes, which have one vector there and two
    opposite ones here, at C = 1 / (reg sum_i w_i). With `penalize_intercept=False` the constant column is left out of
    the sum of squares, and it is that of `LogisticRegression(C=C)`.

    Parameters
    ----------
    reg, C : strength of regularization, one of them, > 0; C = 1 if neither is given. `reg_` and `C_` tell both.
        C = inf is no penalty (softmax; up to 1,500 weights): of all optima the one of smallest norm, see
        `solvers.solve_unpenalized`. Where a plane parts all classes there is none, and a `CertificateWarning` says so.
    class_weight : None, 'balanced', or {label: weight}; multiplies `sample_weight`.
    fit_intercept, intercept_scaling : whether there is a constant column, and its value, > 0.
    penalize_intercept : whether the constant column is penalised as all others are. If not, every class must have rows
        of weight > 0.
    standardize : train on columns of (weighted) mean 0 and variance 1; `coef_` is for raw features all the same.
    solver : 'exact' reads all rows in each pass and stops at the certificate; so does every name of a solver of
        scikit-learn's. 'sgd' takes minibatches of `batch_size` rows at `learning_rate` (None: from the size of features
        and reg), has what gap it has, and takes no weights; it alone has `partial_fit`.
    tol : largest relative gap, gap / objective.
    max_iter : steps at most, None is 1000, 0 looks at the weights to start from; sgd: passes over the rows, 20.
    random_state : seed of the solvers' draws of rows; the same numbers give the same weights.
    device : None computes where X is; 'auto' on a GPU if there is one; or a name of PyTorch.
    warm_start : start from the weights of the last fit if classes and features are the same.
    penalty, l1_ratio : 'l2' and 0; penalty=None is C = inf. An L1 part is refused.
    dual, n_jobs, verbose : scikit-learn's, without a meaning here.

    Attributes
    ----------
    coef_ (c, d), intercept_ (c,) : for raw features, one row a class; (1, d) and (1,) for two classes, > 0 where the
        second wins. float64; float32 for float32 rows, unless rounding would move their scores by 1e-4 of the spread.
    classes_, n_features_in_, feature_names_in_ : as in scikit-learn.
    n_iter_ (1,) : steps; of sgd passes.
    objective_, gap_ : at the end, float64; the optimum is at least objective_ - gap_.     relative_gap_ : the ratio.
    path_ : the solver's `Path`, weights (c, d [+ 1]) on scaled features, made anew of arrays at each look: the
        estimator itself holds numpy, numbers and text alone.

    Inputs : numpy arrays, memory maps (never copied: chunks are read as they are needed), torch tensors, pandas and
    polars frames. float64 is computed in float64, float32 and uint8 in float32 with a float64 certificate.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxClassifier(C=1.0).fit(X, y)
    >>> model.coef_.shape, model.relative_gap_ <= 1e-4, round(model.score(X, y), 2)
    ((3, 4), True, 0.99)
    """

    _loss = "softmax"


@dataclass(kw_only=True, eq=False, repr=False)
class HingeClassifier(LinearClassifier):
    """Linear support vector machine of Weston and Watkins to a certificate.

        sum_i w_i sum_{j != y_i} max(0, s_ij - s_i,y_i + 1) / sum_i w_i + reg sum(W*W)

    With two classes it is `LinearSVC(loss="hinge", C=C, intercept_scaling=intercept_scaling)` of scikit-learn.
    Parameters and attributes are those of `SoftmaxClassifier`, and loss='hinge'. There is no `predict_proba`: scores
    of a hinge are no log-probabilities; put `CalibratedClassifierCV` around it.

    Small problems take 10 to 25 passes, of an interior point method (see `solvers.Tuning`), and begin anew whatever
    `warm_start` says. Larger ones with weak regularization and features of unequal scale take hundreds, most of which
    `standardize=True` saves; `solvers.suits_newton` says where Newton's method finishes them.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = HingeClassifier(reg=0.01).fit(X, y)
    >>> model.coef_.shape, model.relative_gap_ <= 1e-4, round(model.C_, 3)
    ((3, 4), True, 0.333)
    """

    loss: str = "hinge"

    _loss = "hinge"
