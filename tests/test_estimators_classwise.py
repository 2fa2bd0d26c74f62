"""Logistic and squared hinge as estimators: scikit-learn's weights class by class, and many labels a row."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, average_precision_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_estimator

from colinear import (
    HingeClassifier,
    LogisticClassifier,
    LogisticClassifierCV,
    SoftmaxClassifier,
    SquaredHingeClassifier,
    SquaredHingeClassifierCV,
)
from colinear.checks import InputError

IRIS = load_iris(return_X_y=True)
SINGLE = pytest.mark.parametrize("kind", [LogisticClassifier, SquaredHingeClassifier])
CROSS = pytest.mark.parametrize("kind", [LogisticClassifierCV, SquaredHingeClassifierCV])


def many_labels(n: int = 150, c: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    X, Y = make_multilabel_classification(n, 6, n_classes=c, random_state=seed)
    return (X - X.mean(0)) / X.std(0), Y


def with_constant(X: np.ndarray) -> np.ndarray:
    return np.hstack([X, np.ones((len(X), 1))])


def theirs(kind: type, C: float) -> LogisticRegression | LinearSVC:
    if kind is LogisticClassifier:
        return LogisticRegression(C=C, fit_intercept=False, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
    return LinearSVC(C=C, fit_intercept=False, tol=1e-10, max_iter=100_000, dual=False)


@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticClassifier(),
        SquaredHingeClassifier(),
        LogisticClassifierCV(regs=[1e-2, 1e-1], cv=2),
        SquaredHingeClassifierCV(regs=[1e-2, 1e-1], cv=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_scikit_learns_check_passes_with_no_failure_declared(estimator: object) -> None:
    results = check_estimator(estimator, on_skip=None)
    left = {result["check_name"] for result in results if result["status"] != "passed"} - {"check_array_api_input"}
    no_share = {"check_classifiers_multilabel_output_format_predict_proba"}
    assert left == (set() if hasattr(estimator, "predict_proba") else no_share)
    assert any("multilabel" in result["check_name"] for result in results)


@SINGLE
@pytest.mark.parametrize("cost", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_weights_are_scikit_learns_class_by_class(kind: type, cost: float, classes: int) -> None:
    X, y = (part[IRIS[1] < classes] for part in IRIS)
    ours = kind(C=cost, tol=1e-12).fit(X, y)
    expected = theirs(kind, cost)
    expected = (expected if classes == 2 else OneVsRestClassifier(expected)).fit(with_constant(X), y)
    coef = expected.coef_ if classes == 2 else np.vstack([one.coef_ for one in expected.estimators_])
    np.testing.assert_allclose(ours.coef_, coef[:, :-1], atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, coef[:, -1], atol=1e-4)
    assert (ours.predict(X) == expected.predict(with_constant(X))).all()
    np.testing.assert_allclose(ours.decision_function(X), expected.decision_function(with_constant(X)), atol=1e-3)
    if kind is LogisticClassifier:
        np.testing.assert_allclose(ours.predict_proba(X), expected.predict_proba(with_constant(X)), atol=1e-4)
        np.testing.assert_allclose(np.exp(ours.predict_log_proba(X)), ours.predict_proba(X))
    again = kind(C=cost, tol=1e-12, warm_start=True).fit(X, y)
    np.testing.assert_allclose(again.fit(X, y).coef_, ours.coef_, atol=1e-4)


@SINGLE
def test_many_labels_are_one_problem_for_each_column(kind: type) -> None:
    X, Y = many_labels()
    ours = kind(C=0.5, tol=1e-12).fit(X, Y)
    expected = OneVsRestClassifier(theirs(kind, 0.5)).fit(with_constant(X), Y)
    assert ours.multilabel_
    assert ours.classes_.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(ours.coef_, np.vstack([one.coef_ for one in expected.estimators_])[:, :-1], atol=1e-4)
    assert (ours.predict(X) == expected.predict(with_constant(X))).all()
    assert ours.score(X, Y) == accuracy_score(Y, ours.predict(X))
    assert average_precision_score(Y, ours.decision_function(X)) > 0.7
    if kind is LogisticClassifier:
        np.testing.assert_allclose(ours.predict_proba(X), expected.predict_proba(with_constant(X)), atol=1e-4)
    back = pickle.loads(pickle.dumps(ours))
    assert (back.predict(X) == ours.predict(X)).all()
    assert (clone(ours).fit(X.tolist(), Y.tolist()).predict(X) == ours.predict(X)).all()


@SINGLE
def test_two_columns_are_two_problems_and_no_pair(kind: type) -> None:
    X, Y = many_labels(c=2)
    ours = kind(tol=1e-12).fit(X, Y)
    assert ours.coef_.shape == (2, 6)
    np.testing.assert_allclose(ours.coef_[1:], kind(tol=1e-12).fit(X, Y[:, 1]).coef_, atol=1e-5)
    assert ours.C_ == 1.0


@SINGLE
def test_unknown_answers_are_rows_that_one_class_does_not_have(kind: type) -> None:
    X, Y = many_labels()
    Y = Y.astype(float)
    Y[::3, 1] = np.nan
    ours = kind(reg=0.05, tol=1e-12).fit(X, Y)
    known = ~np.isnan(Y[:, 1])
    alone = kind(reg=0.05 * len(X) / known.sum(), tol=1e-12).fit(X[known], Y[known, 1].astype(int))
    np.testing.assert_allclose(ours.coef_[1:2], alone.coef_, atol=1e-5)
    same = kind(reg=0.05, tol=1e-12).fit(X, np.where(np.isnan(Y), -1, Y).astype(int))
    np.testing.assert_allclose(ours.coef_, same.coef_)


@SINGLE
def test_weights_of_rows_count_rows_of_many_labels(kind: type) -> None:
    X, Y = many_labels()
    counts = np.random.default_rng(0).integers(0, 3, len(X))
    ours = kind(reg=0.02, tol=1e-12).fit(X, Y, counts)
    twice = kind(reg=0.02, tol=1e-12).fit(np.repeat(X, counts, 0), np.repeat(Y, counts, 0))
    np.testing.assert_allclose(ours.coef_, twice.coef_, atol=1e-5)


@SINGLE
def test_sgd_learns_many_labels(kind: type) -> None:
    X, Y = many_labels(400)
    with pytest.warns(match="relative gap"):
        model = kind(reg=0.05, solver="sgd", max_iter=100, batch_size=20, tol=1e-9).fit(X, Y)
    assert model.relative_gap_ < 0.05


@CROSS
@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")
def test_strengths_of_many_labels_are_compared_by_rows_that_are_all_right(kind: type) -> None:
    X, Y = many_labels(90)
    model = kind(regs=[1e-3, 1e-1, 10.0], cv=3, tol=1e-8).fit(X, Y)
    single = LogisticClassifier if kind is LogisticClassifierCV else SquaredHingeClassifier
    splits = [(np.arange(0, 90, 2), np.arange(1, 90, 2)), (np.arange(1, 90, 2), np.arange(0, 90, 2))]
    assert model.scores_.shape == (3, 1, 3)
    given = kind(regs=[1e-3, 1e-1, 10.0], cv=splits, tol=1e-8).fit(X, Y)
    for reg, scores in zip(given.regs_, given.scores_[:, 0].T, strict=True):
        expected = [single(reg=reg, tol=1e-8).fit(X[a], Y[a]).score(X[b], Y[b]) for a, b in splits]
        np.testing.assert_allclose(scores, expected)


def test_scikit_learns_searches_take_many_labels() -> None:
    X, Y = many_labels()
    search = GridSearchCV(LogisticClassifier(), {"C": [0.1, 1.0]}, cv=3, scoring="average_precision").fit(X, Y)
    assert 0.7 < search.best_score_ <= 1
    assert len(cross_val_score(SquaredHingeClassifier(), X, Y, cv=3)) == 3


def test_what_is_no_answer_is_refused() -> None:
    X, Y = many_labels()
    for kind in (SoftmaxClassifier, HingeClassifier):
        with pytest.raises(InputError, match="takes one class a row; rows of y have any number of them"):
            kind().fit(X, Y)
    with pytest.raises(InputError, match=r"row 0, column 0 has 3"):
        LogisticClassifier().fit(X, Y + 3)
    with pytest.raises(InputError, match="got 150 for 149 rows"):
        LogisticClassifier().fit(X[1:], Y)
    with pytest.raises(InputError, match="class_weight weighs rows of one class each"):
        LogisticClassifier(class_weight="balanced").fit(X, Y)
    with pytest.raises(InputError, match="1 or 0 in every row"):
        LogisticClassifier().fit(X[:2], [["a", "b"], ["a"]])
