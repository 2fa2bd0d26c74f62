"""One strength and cross-validation for the losses that work class by class, with one label a row or many."""

from __future__ import annotations

from colinear.estimators.base import ManyLabels, SigmoidProbabilities
from colinear.estimators.classifiers import LinearClassifier
from colinear.estimators.cv import LinearClassifierCV


class LogisticClassifier(SigmoidProbabilities, ManyLabels, LinearClassifier):
    """Logistic regression of every class against the rest, to a certificate; many labels a row too.

        sum_i w_i sum_j log(1 + exp(-t_ij s_ij)) / sum_i w_i + reg sum(W*W),   t_ij = 1 if row i has class j, else -1

    Each class is the objective of scikit-learn's `LogisticRegression(C=C, fit_intercept=False)` on rows with a constant
    column of value `intercept_scaling`, at C = 1 / (2 reg sum_i w_i): `OneVsRestClassifier` around it has the same
    weights. For two classes one vector is told, and the objective is twice its own.

    y is (n,), one label a row; or (n, c) of 1 and 0, and -1 or NaN where nobody knows, which costs no loss. Of such y
    `multilabel_` is true, `classes_` counts the columns, and `predict`, `predict_proba` and `decision_function` give
    (n, c), as those of `OneVsRestClassifier` and `MLPClassifier` do; `score` is the share of rows that are all right.
    Probabilities are sigmoids of the scores; of one label a row they are divided by their sum.
    Parameters and attributes are those of `SoftmaxClassifier`; `class_weight` takes one label a row.

    >>> import numpy as np
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    >>> model = LogisticClassifier(C=100.0).fit(X, X.astype(int))  # the labels are the columns themselves
    >>> model.predict([[1, 0.1]]), model.coef_.shape, model.relative_gap_ <= 1e-4
    (array([[1, 0]]), (2, 2), True)
    """

    _loss = "logistic"


class SquaredHingeClassifier(ManyLabels, LinearClassifier):
    """Linear support vector machine of every class against the rest, squared, to a certificate; many labels too.

        sum_i w_i sum_j max(0, 1 - t_ij s_ij)^2 / sum_i w_i + reg sum(W*W),   t_ij = 1 if row i has class j, else -1

    It is the objective of scikit-learn's default `LinearSVC(C=C, intercept_scaling=intercept_scaling)` at
    C = 1 / (2 reg sum_i w_i), two classes included; for these the objective is twice its own. y, parameters and
    attributes are those of `LogisticClassifier`. There is no `predict_proba`.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SquaredHingeClassifier(C=1.0).fit(X, y)
    >>> model.coef_.shape, model.relative_gap_ <= 1e-4, round(model.score(X, y), 2)
    ((3, 4), True, 0.97)
    """

    _loss = "squared-hinge"


class LogisticClassifierCV(SigmoidProbabilities, ManyLabels, LinearClassifierCV):
    """`LogisticClassifier` with its strength chosen by cross-validation; see `SoftmaxClassifierCV`.

    Rows with many labels are dealt into folds by the rarest class they have, and count as right where all known labels
    are.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> LogisticClassifierCV(regs=[1e-4, 1.0]).fit(X, y).reg_
    0.0001
    """

    _loss = "logistic"


class SquaredHingeClassifierCV(ManyLabels, LinearClassifierCV):
    """`SquaredHingeClassifier` with its strength chosen by cross-validation; see `LogisticClassifierCV`.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> SquaredHingeClassifierCV(regs=[1e-4, 1.0], cv=0.2).fit(X, y).reg_
    0.0001
    """

    _loss = "squared-hinge"
