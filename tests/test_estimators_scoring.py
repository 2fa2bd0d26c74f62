"""`scoring`, `refit`, `groups`, metadata routing, and what is kept of every split, against a grid search."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix
from sklearn import config_context
from sklearn.datasets import load_iris, make_blobs
from sklearn.metrics import brier_score_loss, get_scorer, log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit, StratifiedKFold, cross_val_score

import colinear.estimators.held_out
from colinear.checks import InputError
from colinear.estimators import (
    HingeClassifier,
    HingeClassifierCV,
    LogisticClassifierCV,
    SoftmaxClassifier,
    SoftmaxClassifierCV,
)

X, Y = make_blobs(90, centers=3, n_features=4, cluster_std=4.0, random_state=0)
NAMES = np.array(["x", "y", "z"])[Y]
GRID = [1e-3, 1e-2, 1e-1]
pytestmark = pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")


@pytest.fixture
def routing() -> Iterator[None]:
    with config_context(enable_metadata_routing=True):
        yield


def plain_log_loss(estimator: Any, rows: Any, labels: Any) -> float:
    return -log_loss(labels, estimator.predict_proba(rows), labels=estimator.classes_)


@pytest.mark.parametrize("labels", [NAMES, Y == 1], ids=["three", "two"])
@pytest.mark.parametrize("scoring", ["neg_log_loss", "f1_macro", "roc_auc_ovr", "neg_brier_score", plain_log_loss])
def test_scores_and_winner_are_those_of_a_grid_search(scoring: Any, labels: np.ndarray) -> None:
    if scoring == "neg_brier_score" and "labels" not in inspect.signature(brier_score_loss).parameters:
        pytest.skip("scikit-learn 1.6 has it for two classes only")
    ours = SoftmaxClassifierCV(regs=GRID, cv=5, scoring=scoring, tol=1e-9).fit(X, labels)
    theirs = GridSearchCV(SoftmaxClassifier(tol=1e-9), {"reg": GRID}, scoring=scoring, cv=5).fit(X, labels)
    for fold in range(5):
        np.testing.assert_allclose(ours.scores_[fold, 0], theirs.cv_results_[f"split{fold}_test_score"], rtol=1e-6)
    np.testing.assert_allclose(ours.mean_scores_, theirs.cv_results_["mean_test_score"], rtol=1e-6)
    np.testing.assert_allclose(ours.spread_, ours.scores_[:, 0].std(0, ddof=1))
    assert ours.reg_ == theirs.best_params_["reg"]
    assert ours.score(X, labels) == pytest.approx(theirs.score(X, labels), rel=1e-6)


def test_a_hinge_is_scored_by_its_decisions() -> None:
    ours = HingeClassifierCV(regs=GRID, scoring="roc_auc", tol=1e-6).fit(X, Y == 1)
    theirs = cross_val_score(HingeClassifier(reg=GRID[1], tol=1e-6), X, Y == 1, cv=5, scoring="roc_auc")
    np.testing.assert_allclose(ours.scores_[:, 0, 1], theirs)


def test_many_labels_are_scored_too() -> None:
    many = np.eye(3, dtype=int)[Y]
    model = LogisticClassifierCV(regs=GRID, cv=KFold(3), scoring="roc_auc_ovr").fit(X, many)
    assert model.scores_.shape == (3, 1, 3)
    assert model.score(X, many) == get_scorer("roc_auc_ovr")(model, X, many)


@pytest.mark.parametrize("cv", [5, ShuffleSplit(3, test_size=0.3, random_state=0), 0.25], ids=str)
def test_a_scorer_sees_rows_labels_and_weights_one_split_after_the_other(cv: Any) -> None:
    frame, weights = pd.DataFrame(X, columns=list("abcd")), np.arange(90.0) % 5 + 1
    seen: list[Any] = []

    def scorer(estimator: Any, rows: Any, labels: Any, sample_weight: Any) -> float:
        assert isinstance(rows, pd.DataFrame)
        np.testing.assert_array_equal(labels, NAMES[rows.index])
        np.testing.assert_array_equal(sample_weight, weights[rows.index])
        assert set(estimator.predict(rows)) <= set(NAMES)
        seen.append(tuple(rows.index))
        return -float(len(seen))

    model = SoftmaxClassifierCV(regs=GRID, cv=cv, scoring=scorer).fit(frame, NAMES, sample_weight=list(weights))
    splits = len(model.scores_)
    assert seen == [rows for rows in dict.fromkeys(seen) for _ in GRID]
    np.testing.assert_array_equal(model.scores_[:, 0].ravel(), -np.arange(1, 3 * splits + 1))
    held = np.array([weights[list(rows)].sum() for rows in dict.fromkeys(seen)])
    np.testing.assert_allclose(model.mean_scores_, held / held.sum() @ model.scores_[:, 0])
    assert model.reg_ == GRID[0]


def test_a_test_set_may_lack_classes() -> None:
    rows, labels = load_iris(return_X_y=True)  # sorted: each fold holds a class out
    model = SoftmaxClassifierCV(regs=GRID, cv=KFold(3), scoring="neg_log_loss").fit(rows, labels)
    assert (model.scores_ < 0).all()
    two = SoftmaxClassifierCV(regs=GRID, cv=KFold(2), scoring="neg_brier_score").fit(rows[:100], labels[:100])
    assert (two.scores_ < -0.5).all()


@pytest.mark.parametrize("wrong", [lambda *_: "good", lambda *_: None, lambda *_: np.ones(2)])
def test_a_score_is_a_number(wrong: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="scoring must give one number; got"):
        SoftmaxClassifierCV(regs=GRID, scoring=wrong).fit(X, Y)


def test_a_strength_without_a_score_ranks_last() -> None:
    scores = iter([np.nan, 0.1, 0.2] * 3)
    assert SoftmaxClassifierCV(regs=GRID, cv=3, scoring=lambda *_: next(scores)).fit(X, Y).reg_ == GRID[2]


# What is kept of the splits


@pytest.mark.parametrize("labels", [Y, Y == 1], ids=["three", "two"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
def test_weights_of_every_split_are_those_of_fits_on_its_rows(
    labels: np.ndarray, fit_intercept: bool, standardize: bool
) -> None:
    options = {"fit_intercept": fit_intercept, "tol": 1e-11}
    model = SoftmaxClassifierCV(regs=GRID, cv=3, standardize=standardize, **options).fit(X, labels)
    rows = (X - X.mean(0)) / X.std(0) if standardize else X  # by all rows, as all strengths and splits share a scaling
    assert model.coefs_paths_.shape == (3, 1, 3, 1 if labels.dtype == bool else 3, 4 + fit_intercept)
    for split, (train, _) in enumerate(StratifiedKFold(3).split(X, labels)):
        own = SoftmaxClassifier(reg=GRID[1], **options).fit(rows[train], labels[train])
        coef = own.coef_ / X.std(0) if standardize else own.coef_
        np.testing.assert_allclose(model.coefs_paths_[split, 0, 1, :, :4], coef, rtol=1e-4, atol=1e-5)
        if fit_intercept:
            intercept = own.intercept_ - (coef @ X.mean(0) if standardize else 0)
            np.testing.assert_allclose(model.coefs_paths_[split, 0, 1, :, 4], intercept, rtol=1e-4, atol=1e-5)
    assert model.n_iter_.shape == (3, 1, 3)
    assert (model.n_iter_ >= 1).all()


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
@pytest.mark.parametrize("labels", [Y, Y == 1], ids=["three", "two"])
def test_without_a_refit_weights_are_means_of_each_splits_best(labels: np.ndarray, scoring: str | None) -> None:
    model = SoftmaxClassifierCV(Cs=[1e-3, 0.1, 10.0], scoring=scoring, refit=False).fit(X, labels)
    ranked = np.asarray(model.scores_[:, 0])
    best = [max(range(3), key=lambda k: (fold[k], -model.Cs_[k])) for fold in ranked]
    assert len(set(best)) > 1  # else the test would not tell it from one strength for all
    mean = np.mean([model.coefs_paths_[split, 0, k] for split, k in enumerate(best)], axis=0)
    np.testing.assert_allclose(model.coef_, mean[:, :4])
    np.testing.assert_allclose(model.intercept_, mean[:, 4])
    assert pytest.approx(np.mean(model.Cs_[best])) == model.C_
    assert pytest.approx(1 / ((1 if labels.dtype == bool else 2) * 90 * model.C_)) == model.reg_
    exact = SoftmaxClassifier(C=model.C_, tol=1e-9).fit(X, labels)
    assert exact.objective_ - 1e-9 <= model.objective_ <= exact.objective_ + model.gap_


def test_weights_of_splits_are_kept_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SoftmaxClassifierCV(regs=GRID, cv=3, scoring="neg_log_loss").fit(X, Y)
    monkeypatch.setattr(colinear.estimators.held_out, "HELD_BYTES", 8 * 9 * 15 - 1)
    without = SoftmaxClassifierCV(regs=GRID, cv=3, scoring="neg_log_loss").fit(X, Y)
    assert not hasattr(without, "coefs_paths_")
    np.testing.assert_array_equal(without.scores_, kept.scores_)
    assert hasattr(without.set_params(refit=False).fit(X, Y), "coefs_paths_")
    assert not hasattr(without.set_params(refit=True).fit(X, Y), "coefs_paths_")


def test_a_c_that_was_given_is_told_to_the_bit() -> None:
    costs = [0.003, 0.7, 3.0]
    model = SoftmaxClassifierCV(Cs=costs).fit(X, Y)
    assert model.Cs_.tolist() == costs
    assert model.C_ in costs


def test_sparse_rows_are_scored_whatever_their_kind() -> None:
    full, thin = (SoftmaxClassifierCV(regs=GRID, scoring="f1_macro").fit(rows, Y) for rows in (X, csc_matrix(X)))
    np.testing.assert_allclose(thin.scores_, full.scores_)


# Metadata


GROUPS = np.arange(90) % 6


def test_groups_reach_the_splitter() -> None:
    model = SoftmaxClassifierCV(regs=GRID, cv=GroupKFold(3)).fit(X, Y, groups=GROUPS)
    own = cross_val_score(SoftmaxClassifier(reg=GRID[0]), X, Y, cv=GroupKFold(3), groups=GROUPS)
    np.testing.assert_allclose(model.scores_[:, 0, 0], own)
    with pytest.raises(ValueError, match="groups"):
        SoftmaxClassifierCV(regs=GRID, cv=GroupKFold(3)).fit(X, Y)


def test_without_routing_nothing_else_is_taken() -> None:
    model = SoftmaxClassifierCV(regs=GRID).fit(X, Y)
    message = r"passing beta to SoftmaxClassifierCV.{} is only supported if enable_metadata_routing=True"
    with pytest.raises(InputError, match=message.format("fit")):
        model.fit(X, Y, groups=GROUPS, beta=2)
    with pytest.raises(InputError, match=message.format("score")):
        model.score(X, Y, beta=2)


@pytest.mark.usefixtures("routing")
def test_with_routing_splitter_and_scorer_get_what_they_request() -> None:
    scorer = get_scorer("neg_log_loss").set_score_request(sample_weight="by")
    weights = np.arange(90.0) % 4 + 1
    model = SoftmaxClassifierCV(regs=GRID, cv=GroupKFold(3), scoring=scorer).fit(
        X, Y, weights, groups=GROUPS, by=weights
    )
    alike = SoftmaxClassifierCV(regs=GRID, cv=GroupKFold(3), scoring="neg_log_loss")
    with config_context(enable_metadata_routing=False):
        alike.fit(X, Y, weights, groups=GROUPS)
        expected = alike.score(X, Y, sample_weight=weights)
    np.testing.assert_allclose(model.scores_, alike.scores_)
    assert model.score(X, Y, by=weights) == pytest.approx(expected)
    with pytest.raises(TypeError, match="unexpected argument"):
        model.fit(X, Y, beta=1)


@pytest.mark.usefixtures("routing")
def test_with_routing_weights_train_and_are_not_scored_unless_requested() -> None:
    weights = np.where(Y == 0, 10.0, 1.0)
    unasked = get_scorer("accuracy").set_score_request(sample_weight=False)
    silent = SoftmaxClassifierCV(regs=GRID, scoring=unasked).fit(X, Y, sample_weight=weights)
    asked = get_scorer("accuracy").set_score_request(sample_weight=True)
    loud = SoftmaxClassifierCV(regs=GRID, scoring=asked).fit(X, Y, sample_weight=weights)
    np.testing.assert_allclose(silent.coefs_paths_, loud.coefs_paths_)
    assert not np.allclose(silent.scores_, loud.scores_)


@pytest.mark.parametrize("refit", [True, False])
def test_float32_rows_have_float32_weights_whatever_was_scored(refit: bool) -> None:
    model = SoftmaxClassifierCV(regs=GRID, scoring="neg_log_loss", refit=refit).fit(X.astype(np.float32), Y)
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    assert model.coefs_paths_.dtype == np.float64
