"""What a program of scikit-learn's relies on beside the optimum: parameters, counts, types, `partial_fit`, storage."""

from __future__ import annotations

import io
import math
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import issparse
from sklearn.datasets import load_digits, load_iris
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import colinear.estimators
from colinear.checks import InputError
from colinear.estimators import (
    CertificateWarning,
    HingeClassifier,
    LogisticClassifier,
    SoftmaxClassifier,
    SoftmaxClassifierCV,
    SquaredHingeClassifier,
)
from colinear.estimators.compat import EXACT

X, Y = load_iris(return_X_y=True)
KINDS = [getattr(colinear.estimators, name) for name in colinear.estimators.__all__ if "Classifier" in name]
CROSS = [kind for kind in KINDS if kind.__name__.endswith("CV")]
SINGLE = [SoftmaxClassifier, HingeClassifier, LogisticClassifier, SquaredHingeClassifier]
WEIGHED = {  # of scikit-learn's checks: those that fit with weights and do not expect a ValueError
    "check_sample_weights_list", "check_sample_weights_not_overwritten", "check_class_weight_classifiers",
    "check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data",
}  # fmt: skip
quiet = pytest.mark.filterwarnings(
    "ignore::colinear.estimators.CertificateWarning", "ignore::colinear.estimators.StrengthWarning"
)


# Parameters


@pytest.mark.parametrize("solver", EXACT)
def test_every_solver_of_scikit_learn_is_the_exact_one(solver: str) -> None:
    options = {"penalty": "l2", "l1_ratio": 0, "dual": False, "n_jobs": 2, "verbose": 1}
    model = SoftmaxClassifier(C=0.5, solver=solver, **options).fit(X, Y)
    np.testing.assert_array_equal(model.coef_, SoftmaxClassifier(C=0.5).fit(X, Y).coef_)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (SoftmaxClassifier(penalty="l1"), r"l1_ratio=0; got penalty='l1'.*SelectFromModel.*solver='saga'"),
        (SoftmaxClassifier(l1_ratio=0.5), r"got penalty='l2' and l1_ratio=0.5"),
        (SoftmaxClassifier(penalty="elasticnet"), "got penalty='elasticnet'"),
        (SoftmaxClassifier(penalty="ridge"), "penalty must be 'l2', or None for no penalty; got 'ridge'"),
        (SoftmaxClassifierCV(l1_ratios=(0.0, 1.0)), r"l1_ratios=0; got .*l1_ratios=\(0.0, 1.0\)"),
        (SoftmaxClassifierCV(penalty=None), "without a penalty there is no strength to choose"),
        (SoftmaxClassifierCV(solver="sgd"), "solver must be one of exact, lbfgs"),
        (SoftmaxClassifierCV(use_legacy_attributes=True), "use_legacy_attributes must be False"),
        (SoftmaxClassifierCV(scoring="beauty"), "scoring"),
        (SoftmaxClassifierCV(Cs=[math.inf]), "Cs must be a finite number > 0; got inf"),
        (HingeClassifier(loss="squared_hinge"), "loss must be one of hinge; got 'squared_hinge'"),
        (SquaredHingeClassifier(loss="hinge"), "loss must be one of squared_hinge; got 'hinge'"),
        (HingeClassifier(C=math.inf), "no penalty .C=inf. needs a softmax and solver='exact'"),
        (LogisticClassifier(penalty=None), "no penalty .C=inf. needs a softmax"),
        (SoftmaxClassifier(C=math.inf, solver="sgd"), "no penalty .C=inf. needs a softmax and solver='exact'"),
    ],
    ids=str,
)
def test_what_is_refused_says_what_to_do(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y)


# Counts and types


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_max_iter_counts_steps(kind: type, steps: int) -> None:
    with pytest.warns(CertificateWarning):
        model = kind(max_iter=steps, tol=1e-15).fit(X, Y == 1)
    assert model.n_iter_.shape == (1,)
    if kind is SoftmaxClassifier or steps < 2:
        assert model.n_iter_ == steps
    assert model.n_iter_ <= steps
    assert bool(model.coef_.any()) == (steps > 0)


def test_no_step_is_a_look_at_the_weights_there_are() -> None:
    model = SoftmaxClassifier(reg=0.01, warm_start=True).fit(X, Y)
    coef, objective, gap = model.coef_, model.objective_, model.gap_
    model.set_params(max_iter=0).fit(X, Y)
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-13)
    assert (model.objective_, model.n_iter_[0]) == (pytest.approx(objective), 0)
    assert model.gap_ == pytest.approx(gap, rel=1e-3)
    with pytest.warns(CertificateWarning):
        started = SoftmaxClassifier(reg=0.01, max_iter=0).fit(X, Y)
    assert started.objective_ == pytest.approx(math.log(3))


@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_epochs_are_the_iterations_of_sgd(solver: str) -> None:
    model = SoftmaxClassifier(reg=1.0, solver=solver, max_iter=7, tol=1e3).fit(X, Y)
    assert model.n_iter_ == (7 if solver == "sgd" else model.path_.passes - 1)


@pytest.mark.parametrize("kind", SINGLE)
def test_float32_rows_give_float32_weights_where_these_do(kind: type) -> None:
    digits, labels = load_digits(return_X_y=True)
    for dtype, expected in ((np.float32, np.float32), (np.float64, np.float64), (np.uint8, np.float64)):
        model = kind(reg=0.1, standardize=True).fit(digits[:300].astype(dtype), labels[:300])
        assert model.coef_.dtype == model.intercept_.dtype == expected
    far = np.rint(8 * X + 1e7).astype(np.float32)
    assert kind(reg=1e-3, standardize=True).fit(far, Y).coef_.dtype == np.float64  # float32 would move its scores


def test_float32_weights_score_as_float64_ones_do() -> None:
    narrow, wide = SoftmaxClassifier().fit(X.astype(np.float32), Y), SoftmaxClassifier().fit(X, Y)
    np.testing.assert_allclose(narrow.decision_function(X), wide.decision_function(X), atol=2e-2)  # gaps of 1e-4
    again = SoftmaxClassifier(warm_start=True).fit(X.astype(np.float32), Y).fit(X.astype(np.float32), Y)
    assert again.n_iter_ == 0


# Storage


@pytest.mark.parametrize("labels", [Y, Y == 1], ids=["three", "two"])
def test_sparse_weights_say_the_same(labels: np.ndarray) -> None:
    model = SoftmaxClassifier(warm_start=True).fit(X, labels)
    before, scores = model.coef_.copy(), model.decision_function(X)
    assert model.sparsify() is model
    assert issparse(model.coef_)
    np.testing.assert_array_equal(model.decision_function(X), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).decision_function(X), scores)
    np.testing.assert_array_equal(model.densify().densify().coef_, before)
    assert model.sparsify().fit(X, labels).n_iter_ == 0  # started from them


@quiet
@pytest.mark.parametrize("storage", ["pickle", "skops"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_estimator_is_stored_and_comes_back(kind: type, storage: str, tmp_path: Path) -> None:
    model = kind()
    if "CV" in kind.__name__:
        model.set_params(regs=[1e-2, 1.0], cv=3, scoring="f1_macro", refit=False)
    model.fit(X, Y)
    if storage == "pickle":
        again = pickle.load(io.BytesIO(pickle.dumps(model)))
    else:
        skops = pytest.importorskip("skops.io")
        skops.dump(model, tmp_path / "model.skops")
        unknown = skops.get_untrusted_types(file=tmp_path / "model.skops")
        assert all(name.startswith("colinear.") for name in unknown)
        again = skops.load(tmp_path / "model.skops", trusted=unknown)
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    assert again.get_params() == model.get_params()
    assert vars(again).keys() == vars(model).keys()


def test_frames_go_through_a_pipeline_as_frames() -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    pipe = make_pipeline(StandardScaler(), SelectFromModel(SoftmaxClassifier()), SoftmaxClassifier())
    pipe.set_output(transform="pandas").fit(frame, Y)
    kept = list(pipe[1].get_feature_names_out())
    assert 0 < len(kept) < 4
    assert list(pipe[-1].feature_names_in_) == kept


@quiet
@pytest.mark.parametrize(
    ("kind", "options"),
    [(kind, {"cv": 3, "regs": [1e-2, 1e-1], "scoring": "accuracy", "refit": False}) for kind in CROSS]
    + [(kind, {"solver": "sgd", "reg": 0.01}) for kind in SINGLE],
)
def test_scikit_learns_checks_pass_with_other_options(kind: type, options: dict[str, Any]) -> None:
    """The plain ones are run in test_estimators.py and test_estimators_classwise.py."""
    model = kind(**options)
    refused = dict.fromkeys(WEIGHED, "sgd takes no weights") if "solver" in options else {}
    results = check_estimator(model, on_skip=None, expected_failed_checks=refused)
    found = {result["check_name"]: result["status"] for result in results}
    assert {name for name, status in found.items() if status == "xfail"} == set(refused)
    skipped = {name for name, status in found.items() if status == "skipped"}
    assert skipped <= {"check_array_api_input", "check_classifiers_multilabel_output_format_predict_proba"}


# partial_fit


def stream(model: Any, parts: int, rows: np.ndarray, labels: np.ndarray) -> Any:
    for part in np.array_split(np.random.default_rng(0).permutation(len(rows)), parts):
        model.partial_fit(rows[part], labels[part], classes=np.unique(labels))
    return model


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("labels", [np.array(["x", "y", "z"])[Y], Y == 1], ids=["three", "two"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_rows_in_parts_come_close_to_the_optimum(kind: type, labels: np.ndarray, fit_intercept: bool) -> None:
    rows = StandardScaler().fit_transform(X)
    best = kind(reg=0.05, fit_intercept=fit_intercept).fit(rows, labels)
    model = kind(reg=0.05, fit_intercept=fit_intercept, solver="sgd", batch_size=16, learning_rate=0.05)
    for _ in range(20):
        stream(model, 5, rows, labels)
    with pytest.warns(CertificateWarning):
        seen = model.set_params(warm_start=True, max_iter=0, tol=1e-9).fit(rows, labels)
    assert best.objective_ - best.gap_ <= seen.objective_ <= 1.05 * best.objective_


def test_parts_repeat_and_are_counted() -> None:
    options = {"reg": 0.01, "solver": "sgd", "batch_size": 32}
    first, second = (stream(SoftmaxClassifier(**options), 3, X, Y) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    assert (first.steps_, first.reg_, first.n_iter_[0]) == (6, 0.01, 1)
    other = stream(SoftmaxClassifier(random_state=1, **options), 3, X, Y)
    assert not np.array_equal(first.coef_, other.coef_)
    twice = SoftmaxClassifier(**options).partial_fit(X, Y, classes=[0, 1, 2]).coef_
    assert not np.array_equal(twice, SoftmaxClassifier(**options).partial_fit(X, Y, [0, 1, 2]).partial_fit(X, Y).coef_)


def test_the_learning_rate_falls_with_the_steps_taken() -> None:
    """One step from zero moves weights by the rate of its call; the rate after t steps is r / (1 + 2 reg r t)."""
    moved = []
    for steps in (0, 1000):
        model = SoftmaxClassifier(reg=0.5, solver="sgd", learning_rate=0.1, batch_size=len(X)).partial_fit(
            X, Y, [0, 1, 2]
        )
        model.coef_, model.intercept_ = np.zeros_like(model.coef_), np.zeros_like(model.intercept_)
        model.steps_ = 0
        fixed = model.set_params(random_state=-steps % 7919)  # the same draw, seed + steps
        fixed.steps_, fixed.random_state = steps, 5000 - steps
        moved.append(np.abs(fixed.partial_fit(X, Y).coef_).max())
    assert moved[0] / moved[1] == pytest.approx(1 + 2 * 0.5 * 0.1 * 1000)


def test_parts_leave_no_certificate_of_a_fit_before_and_a_fit_none_of_parts() -> None:
    model = SoftmaxClassifier(reg=0.1, solver="sgd", tol=1e3).fit(X, Y)
    model.partial_fit(X[:50], Y[:50])  # one class alone, and no classes: they are known
    assert not {"gap_", "objective_", "relative_gap_", "C_"} & vars(model).keys()
    with pytest.raises(AttributeError, match="no path_"):
        _ = model.path_
    assert not {"steps_", "learning_rate_"} & vars(model.fit(X, Y)).keys()
    assert model.gap_ > 0


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({}, {}, "classes must be passed on the first call"),
        ({}, {"classes": [0, 1]}, r"labels must be among classes, \[0, 1\]; got 2"),
        ({}, {"classes": [0]}, "classes must list at least 2 labels"),
        ({"reg": None}, {"classes": [0, 1, 2]}, "needs the strength as reg: C counts all rows"),
        ({"standardize": True}, {"classes": [0, 1, 2]}, "standardize them before"),
        ({"class_weight": "balanced"}, {"classes": [0, 1, 2]}, "takes no weights"),
        ({}, {"classes": [0, 1, 2], "sample_weight": np.ones(150)}, "takes no weights"),
        ({"learning_rate": 1e300, "batch_size": 16}, {"classes": [0, 1, 2]}, "diverged"),
    ],
    ids=str,
)
def test_parts_that_make_no_sense(options: dict[str, Any], arguments: dict[str, Any], message: str) -> None:
    model = SoftmaxClassifier(**{"reg": 0.1, "solver": "sgd", **options})
    with pytest.raises(InputError, match=message):
        model.partial_fit(X, Y, **arguments).partial_fit(X, Y)


def test_later_parts_have_the_classes_of_the_first() -> None:
    model = SoftmaxClassifier(reg=0.1, solver="sgd").partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(InputError, match="classes must be those of the first call"):
        model.partial_fit(X, Y, classes=[0, 1, 2, 3])
    with pytest.raises(InputError, match="one label a row"):
        model.partial_fit(X, np.eye(3)[Y])
    with pytest.raises(ValueError, match="X has 3 features"):
        model.partial_fit(X[:, :3], Y)


def test_only_sgd_takes_parts() -> None:
    assert not hasattr(SoftmaxClassifier(), "partial_fit")
    with pytest.raises(AttributeError) as refused:
        SoftmaxClassifier().partial_fit(X, Y)
    assert "no attribute 'partial_fit': it needs solver='sgd'; got solver='exact'" in str(refused.value.__cause__)


# No penalty: the solver's own tests are in test_unpenalized.py


@pytest.mark.parametrize(
    "free", [{"C": np.inf}, {"penalty": None}, {"C": np.float64("inf"), "solver": "lbfgs"}], ids=str
)
def test_no_penalty_is_scikit_learns(free: dict[str, Any]) -> None:
    rows, labels = X[50:, :2], Y[50:]
    ours = SoftmaxClassifier(tol=1e-10, **free).fit(rows, labels)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(rows, labels)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6)
    assert (ours.reg_, ours.C_) == (0.0, math.inf)
    assert ours.relative_gap_ <= 1e-10


def test_no_penalty_ignores_a_strength_and_says_so() -> None:
    for option in ({"C": 4.0}, {"reg": 0.1}):
        with pytest.warns(UserWarning, match=f"Setting penalty=None will ignore the {next(iter(option))}"):
            SoftmaxClassifier(penalty=None, **option).fit(X[50:, :2], Y[50:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxClassifier(penalty=None, C=1.0).fit(X[50:, :2], Y[50:])


def test_classes_that_part_have_no_optimum_without_a_penalty() -> None:
    with pytest.warns(CertificateWarning, match="only where classes overlap. Give a finite C"):
        model = SoftmaxClassifier(C=np.inf).fit(X, Y == 0)
    assert np.isfinite(model.coef_).all()
    assert model.score(X, Y == 0) == 1
