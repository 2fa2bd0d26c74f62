"""scikit-learn's examples of multinomial logistic regression, with only the classifier's name changed.

Each example is written once, as the gallery has it, and run with scikit-learn's class and with ours. scikit-learn does
not penalise its intercept; where coefficients are compared both get a constant column in X instead (equal objective).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from colinear.estimators import SoftmaxClassifier

Classifier = Callable[..., Any]
THEIRS = partial(LogisticRegression, fit_intercept=False, tol=1e-10, max_iter=10_000, solver="newton-cg")
OURS = partial(SoftmaxClassifier, fit_intercept=False, tol=1e-12)


def multinomial(classifier: Classifier) -> tuple[Any, np.ndarray, np.ndarray]:
    """plot_logistic_multinomial: decision boundaries of multinomial logistic regression, three sheared blobs."""
    X, y = make_blobs(n_samples=1_000, centers=[[-5, 0], [0, 1.5], [5, -1]], random_state=40)
    X = np.dot(X, [[0.4, 0.2], [-0.4, 1.2]])
    X = np.hstack([X, np.ones((len(X), 1))])
    return classifier().fit(X, y), X, y


def iris(classifier: Classifier) -> tuple[Any, np.ndarray, np.ndarray]:
    """plot_iris_logistic: the first two features of iris, C=1e5."""
    X, y = load_iris(return_X_y=True)
    X = np.hstack([X[:, :2], np.ones((len(X), 1))])
    return classifier(C=1e5).fit(X, y), X, y


def digits(classifier: Classifier) -> tuple[Any, np.ndarray, np.ndarray]:
    """After plot_sparse_logistic_regression_mnist: standardised digits, C=50 / n_train, l2."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=1_000, random_state=0)
    scaler = StandardScaler().fit(X_train)
    model = classifier(C=50.0 / len(X_train)).fit(scaler.transform(X_train), y_train)
    return model, scaler.transform(X_test), y_test


@pytest.mark.parametrize("example", [multinomial, iris, digits], ids=lambda example: example.__name__)
def test_an_example_has_the_same_coefficients(example: Callable[[Classifier], Any]) -> None:
    ours, X, y = example(OURS)
    theirs, _, _ = example(THEIRS)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5 * np.abs(theirs.coef_).max())
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    assert ours.score(X, y) == theirs.score(X, y)


def test_chaining_pca_and_logistic_regression() -> None:
    """plot_digits_pipe: a grid search over the components and C, as it stands but for the class (and tol=0.1)."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    found = []
    for classifier in (LogisticRegression(max_iter=10_000), SoftmaxClassifier(intercept_scaling=10.0)):
        pipe = Pipeline(steps=[("scaler", StandardScaler()), ("pca", PCA(random_state=0)), ("logistic", classifier)])
        search = GridSearchCV(pipe, {"pca__n_components": [15, 45], "logistic__C": [1e-4, 1e-1]}, cv=3).fit(X, y)
        found.append(search)
    assert found[0].best_params_ == found[1].best_params_
    assert found[1].best_score_ == pytest.approx(found[0].best_score_, abs=0.01)
