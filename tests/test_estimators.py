"""The estimators: scikit-learn's own contract, optima known from elsewhere, and identities of weights."""

from __future__ import annotations

import io
import math
import pickle
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris, load_wine, make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from colinear.checks import InputError
from colinear.estimators import (
    CertificateWarning,
    HingeClassifier,
    HingeClassifierCV,
    SoftmaxClassifier,
    SoftmaxClassifierCV,
    StrengthWarning,
)
from colinear.estimators.base import warn_uncertified
from colinear.solvers.solution import PathPoint, Status

# Two float64 optima with certificates at 1e-10 and below agree to about the root of that, relative to their size.
CLOSE = 1e-5
IRIS = load_iris(return_X_y=True)
GRID = (1e-3, 1e-2, 1e-1)
SINGLE = pytest.mark.parametrize("kind", [SoftmaxClassifier, HingeClassifier])
CROSS = pytest.mark.parametrize("kind", [SoftmaxClassifierCV, HingeClassifierCV])


def with_constant(X: np.ndarray, value: float = 1.0) -> np.ndarray:
    return np.hstack([X, np.full((len(X), 1), value)])


def blobs(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping groups, so that no fit is separable."""
    return make_blobs(n, centers=3, n_features=4, cluster_std=4.0, random_state=seed)


@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        SoftmaxClassifier(),
        HingeClassifier(),
        SoftmaxClassifierCV(cv=3),  # some checks have three rows of a class
        HingeClassifierCV(regs=[1e-2, 1e-1], cv=2),  # the default grid passes too, in half a minute
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_scikit_learns_check_passes_with_no_failure_declared(estimator: object) -> None:
    results = check_estimator(estimator, on_skip=None)
    assert {result["status"] for result in results if result["check_name"] != "check_array_api_input"} == {"passed"}


# Known optima


@pytest.mark.parametrize("cost", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize("intercept_scaling", [1.0, 7.0])
def test_coefficients_are_scikit_learns_at_equal_objective(cost: float, intercept_scaling: float) -> None:
    X, y = IRIS
    ours = SoftmaxClassifier(C=cost, intercept_scaling=intercept_scaling, tol=1e-12).fit(X, y)
    theirs = LogisticRegression(C=cost, fit_intercept=False, tol=1e-10, max_iter=10_000, solver="newton-cg")
    theirs.fit(with_constant(X, intercept_scaling), y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_[:, :-1], atol=CLOSE * np.abs(theirs.coef_).max())
    np.testing.assert_allclose(ours.intercept_, intercept_scaling * theirs.coef_[:, -1], atol=1e-4)
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(with_constant(X, intercept_scaling)), atol=1e-5
    )


def test_a_large_intercept_scaling_is_an_intercept_without_penalty() -> None:
    X, y = IRIS
    ours = SoftmaxClassifier(C=1.0, intercept_scaling=1e3, tol=1e-12).fit(X, y)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000, solver="newton-cg").fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)


def test_without_intercept_there_is_none() -> None:
    X, y = IRIS
    ours = SoftmaxClassifier(C=1.0, fit_intercept=False, tol=1e-12).fit(X, y)
    theirs = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=10_000, solver="newton-cg").fit(X, y)
    assert not ours.intercept_.any()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=CLOSE)


@SINGLE
@pytest.mark.parametrize("standardize", [False, True])
def test_the_gap_bounds_the_objective_of_the_raw_weights(kind: type, standardize: bool) -> None:
    X, y = load_wine(return_X_y=True)
    loose = kind(reg=0.01, tol=1e-2, standardize=standardize).fit(X, y)
    tight = kind(reg=0.01, tol=1e-7, standardize=standardize).fit(X, y)
    assert tight.objective_ <= loose.objective_ <= tight.objective_ + loose.gap_
    assert loose.relative_gap_ == pytest.approx(loose.gap_ / loose.objective_)
    assert loose.relative_gap_ <= 1e-2
    assert tight.relative_gap_ <= 1e-7


def test_the_objective_is_the_documented_one() -> None:
    X, y = blobs()
    weights = np.random.default_rng(0).uniform(0, 3, len(X))
    model = SoftmaxClassifier(reg=0.05, intercept_scaling=2.0).fit(X, y, weights)
    losses = -np.log(model.predict_proba(X)[np.arange(len(X)), y])
    penalty = (model.coef_**2).sum() + ((model.intercept_ / 2.0) ** 2).sum()
    assert model.objective_ == pytest.approx(np.average(losses, weights=weights) + 0.05 * penalty, rel=1e-9)


def test_hinge_objective_is_weston_and_watkins() -> None:
    X, y = blobs()
    model = HingeClassifier(reg=0.05, tol=1e-8).fit(X, y)
    scores = model.decision_function(X)
    margins = scores - scores[np.arange(len(X)), y][:, None] + 1
    margins[np.arange(len(X)), y] = 0
    penalty = (model.coef_**2).sum() + (model.intercept_**2).sum()
    assert model.objective_ == pytest.approx(np.maximum(margins, 0).sum(1).mean() + 0.05 * penalty, rel=1e-9)


# Weights, strengths and starts


@SINGLE
@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"standardize": True}], ids=str)
@pytest.mark.parametrize("strength", [{"reg": 0.01}, {"C": 0.5}], ids=str)
def test_weight_two_is_the_row_twice_and_weight_zero_no_row(kind: type, options: dict, strength: dict) -> None:
    X, y = blobs()
    times = np.random.default_rng(1).integers(0, 3, len(X))
    weighted = kind(tol=1e-8, **strength, **options).fit(X, y, times)
    repeated = kind(tol=1e-8, **strength, **options).fit(X.repeat(times, axis=0), y.repeat(times))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(weighted.intercept_, repeated.intercept_, rtol=0, atol=1e-6)
    assert weighted.reg_ == pytest.approx(repeated.reg_)
    assert pytest.approx(repeated.C_) == weighted.C_


@SINGLE
def test_class_weights_are_sample_weights(kind: type) -> None:
    X, y = blobs()
    by_class = kind(reg=0.01, class_weight={0: 2.0, 2: 0.5}, tol=1e-8).fit(X, y)
    by_row = kind(reg=0.01, tol=1e-8).fit(X, y, np.array([2.0, 1.0, 0.5])[y])
    np.testing.assert_allclose(by_class.coef_, by_row.coef_, atol=1e-8)


def test_balanced_weights_are_scikit_learns() -> None:
    X, y = blobs(90)
    X, y = X[: 90 - 20 * 2], y[: 90 - 20 * 2]
    ours = SoftmaxClassifier(C=1.0, class_weight="balanced", tol=1e-12).fit(X, y)
    theirs = LogisticRegression(C=1.0, class_weight="balanced", fit_intercept=False, tol=1e-10, solver="newton-cg")
    theirs.fit(with_constant(X), y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_[:, :-1], atol=CLOSE)


def test_balanced_weights_share_among_the_classes_that_have_any() -> None:
    X, y = blobs()
    present = y != 1
    weights = np.random.default_rng(3).uniform(1, 2, len(X)) * present
    ours = SoftmaxClassifier(reg=0.01, class_weight="balanced", tol=1e-10).fit(X, y, weights)
    share = {label: weights.sum() / (2 * weights[y == label].sum()) for label in (0, 2)}
    own = SoftmaxClassifier(reg=0.01, tol=1e-10).fit(X, y, weights * np.array([share[0], 0, share[2]])[y])
    np.testing.assert_allclose(ours.coef_, own.coef_, atol=1e-7)
    assert pytest.approx(ours.C_) == own.C_  # the sum of weights is what it was
    assert pytest.approx(1 / (2 * 0.01 * weights.sum())) == ours.C_
    assert np.isfinite(ours.coef_).all()


def test_reg_and_c_are_one_strength() -> None:
    X, y = IRIS
    by_cost = SoftmaxClassifier(C=2.0).fit(X, y)
    by_reg = SoftmaxClassifier(reg=by_cost.reg_).fit(X, y)
    assert by_cost.reg_ == pytest.approx(1 / (2 * len(X) * 2.0))
    assert pytest.approx(2.0) == by_reg.C_
    np.testing.assert_array_equal(by_cost.coef_, by_reg.coef_)
    assert pytest.approx(1.0) == SoftmaxClassifier().fit(X, y).C_


@SINGLE
@pytest.mark.parametrize("options", [{}, {"standardize": True}, {"fit_intercept": False}], ids=str)
def test_a_warm_start_goes_on_from_the_last_fit(kind: type, options: dict) -> None:
    X, y = IRIS
    model = kind(reg=0.01, tol=1e-6, warm_start=True, **options).fit(X, y)
    first, coef = model.n_iter_, model.coef_
    model.fit(X, y)
    assert model.n_iter_ < first or (kind is HingeClassifier and model.n_iter_ == first)  # a small hinge begins anew
    np.testing.assert_allclose(model.coef_, coef, atol=1e-2)
    model.fit(X[:, :2], y)  # other features: a fresh start
    assert model.coef_.shape == (3, 2)


@SINGLE
def test_a_warm_start_on_other_classes_is_a_fresh_start(kind: type) -> None:
    X, y = IRIS
    fresh = kind(reg=0.01, tol=1e-6).fit(X, 2 - y)
    for other in (y + 3, y.astype(str)):  # as many classes under other names
        model = kind(reg=0.01, tol=1e-6, warm_start=True).fit(X, other).fit(X, 2 - y)
        np.testing.assert_array_equal(model.coef_, fresh.coef_)
        assert model.n_iter_ == fresh.n_iter_


@SINGLE
def test_sgd_comes_close_and_says_how_close(kind: type) -> None:
    X, y = blobs(300)
    exact = kind(reg=0.05, standardize=True).fit(X, y)
    sgd = kind(reg=0.05, standardize=True, solver="sgd", tol=0.2, max_iter=50, batch_size=32).fit(X, y)
    assert exact.objective_ <= sgd.objective_ <= exact.objective_ + sgd.gap_ + exact.gap_
    assert sgd.relative_gap_ < 0.2
    again = clone(sgd).fit(X, y)
    np.testing.assert_array_equal(again.coef_, sgd.coef_)


def test_no_fit_touches_the_global_generators() -> None:
    before, numpys = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    SoftmaxClassifier(solver="sgd", tol=1e9, max_iter=1).fit(*IRIS)
    SoftmaxClassifierCV(regs=[0.1], cv=0.3).fit(*IRIS)
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpys, np.random.get_state()[1])


# The warning


def test_a_missed_certificate_warns_with_gap_tolerance_and_advice() -> None:
    with pytest.warns(CertificateWarning, match=r"relative gap is .*, tol=1e-06 was asked \(reg=.* after 5 .*max_iter"):
        model = SoftmaxClassifier(C=100.0, tol=1e-6, max_iter=4).fit(*IRIS)
    assert model.relative_gap_ > 1e-6


def test_reaching_the_certificate_at_the_last_pass_is_no_warning() -> None:
    [steps] = SoftmaxClassifier(tol=1e-6).fit(*IRIS).n_iter_
    SoftmaxClassifier(tol=1e-6, max_iter=steps).fit(*IRIS)  # warnings are errors here


@pytest.mark.parametrize(("gaps", "warns"), [([0.1, 0.1], False), ([0.1, 0.2], True), ([0.1, math.nan], True)])
def test_one_gap_above_the_tolerance_warns(gaps: list[float], warns: bool) -> None:
    points = [PathPoint(0.1, torch.zeros(1, 1), 1.0, gap, 3, Status.BUDGET_SPENT) for gap in gaps]
    with pytest.warns(CertificateWarning, match="1 of 2 strengths") if warns else nullcontext():
        warn_uncertified(points, 0.1)


def test_sgd_warns_by_its_certificate() -> None:
    with pytest.warns(CertificateWarning, match="solver='exact'"):
        SoftmaxClassifier(solver="sgd", max_iter=1).fit(*IRIS)


# Cross-validation


@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")
@CROSS
def test_a_fold_is_scored_as_by_a_fit_on_its_rows(kind: type) -> None:
    X, y = blobs()
    single = SoftmaxClassifier if kind is SoftmaxClassifierCV else HingeClassifier
    model = kind(regs=GRID, tol=1e-8).fit(X, y)
    assert model.scores_.shape == (5, 1, 3)
    for fold, (train, test) in enumerate(StratifiedKFold(5).split(X, y)):
        for number, reg in enumerate(GRID):
            own = single(reg=reg, tol=1e-8).fit(X[train], y[train])
            assert model.scores_[fold, 0, number] == pytest.approx(own.score(X[test], y[test]))
    np.testing.assert_allclose(model.mean_scores_, model.scores_[:, 0].mean(0))
    np.testing.assert_allclose(model.spread_, model.scores_[:, 0].std(0, ddof=1))


@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")
@CROSS
def test_the_winner_is_a_fit_on_all_rows(kind: type) -> None:
    X, y = blobs()
    single = SoftmaxClassifier if kind is SoftmaxClassifierCV else HingeClassifier
    model = kind(regs=GRID, tol=1e-8).fit(X, y)
    own = single(reg=model.reg_, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(model.coef_, own.coef_, atol=1e-5)
    assert [point.reg for point in model.path_.points] == list(GRID)
    assert all(point.relative_gap <= 1e-8 for point in model.path_.points)
    best = np.flatnonzero(model.mean_scores_ == model.mean_scores_.max())
    assert model.reg_ == max(np.array(GRID)[best])


@pytest.mark.parametrize(
    "cv",
    [ShuffleSplit(3, test_size=0.3, random_state=0), RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0)],
    ids=["shuffled", "repeated"],
)
def test_splits_that_overlap_are_scored_as_by_fits_of_their_own(cv: object) -> None:
    X, y = blobs()
    model = SoftmaxClassifierCV(regs=[1e-2, 1.0], cv=cv, tol=1e-8).fit(X, y)
    for number, reg in enumerate((1e-2, 1.0)):
        own = cross_val_score(SoftmaxClassifier(reg=reg, tol=1e-8), X, y, cv=cv)
        np.testing.assert_allclose(model.scores_[:, 0, number], own)


@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")
def test_row_weights_count_in_splits_that_train_on_a_part_of_the_other_rows() -> None:
    X, y = blobs()
    weights = np.random.default_rng(3).choice([0.1, 1.0, 30.0], len(X))
    cv = ShuffleSplit(3, train_size=0.4, test_size=0.4, random_state=0)
    model = SoftmaxClassifierCV(regs=GRID, cv=cv, tol=1e-8).fit(X, y, weights)
    for split, (train, test) in enumerate(cv.split(X, y)):
        for number, reg in enumerate(GRID):
            own = SoftmaxClassifier(reg=reg, tol=1e-8).fit(X[train], y[train], weights[train])
            assert model.scores_[split, 0, number] == pytest.approx(own.score(X[test], y[test], weights[test]))


@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")
def test_a_split_counts_by_the_weight_of_its_rows() -> None:
    X, y = blobs()
    groups = np.repeat([0, 1, 2], [5, 15, 40])
    splits = [(np.flatnonzero(groups != g), np.flatnonzero(groups == g)) for g in range(3)]
    model = SoftmaxClassifierCV(regs=GRID, cv=splits).fit(X, y)
    np.testing.assert_allclose(model.mean_scores_, np.array([5, 15, 40]) / 60 @ model.scores_[:, 0])
    weights = np.arange(60) % 4 + 1.0
    held = np.array([weights[groups == g].sum() for g in range(3)])
    weighted = SoftmaxClassifierCV(regs=GRID, cv=splits).fit(X, y, weights)
    np.testing.assert_allclose(weighted.mean_scores_, held / held.sum() @ weighted.scores_[:, 0])


@pytest.mark.parametrize(("regs", "end"), [([1e-1, 1, 10], "weakest"), ([1e-7, 1e-6, 1e-5], "strongest")])
def test_a_best_strength_at_an_end_is_warned_of(regs: list[float], end: str) -> None:
    X, y = load_digits(return_X_y=True)
    with pytest.warns(StrengthWarning, match=f"is the {end} of 3 strengths"):
        SoftmaxClassifierCV(regs=regs, cv=3, standardize=True).fit(X, y)


@CROSS
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_strengths_by_default_follow_the_scale_of_the_features(kind: type, scale: float) -> None:
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    plain, scaled = (kind(cv=2, tol=1e-2, fit_intercept=False).fit(rows, y) for rows in (X, X * scale))
    np.testing.assert_allclose(scaled.regs_, plain.regs_ * scale**2, rtol=1e-9)
    np.testing.assert_allclose(scaled.mean_scores_, plain.mean_scores_, atol=0.02)


@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")  # of a tolerance this loose
def test_the_strengths_by_default_leave_the_intercept_free() -> None:
    X, y = load_wine(return_X_y=True)  # squares of 1e5
    tops = [
        SoftmaxClassifierCV(cv=2, tol=0.5, **intercept).fit(X, y).regs_.max()
        for intercept in ({}, {"intercept_scaling": 10.0}, {"fit_intercept": False})
    ]
    assert tops == pytest.approx([0.1, 10.0, 0.1 * 10**2.5])


@CROSS
def test_of_strengths_that_score_alike_the_strongest_wins(kind: type) -> None:
    X = np.repeat([[-1.0], [1.0]], 10, axis=0)
    model = kind(regs=[1e-3, 1e-1, 1e-2], cv=2).fit(X, np.repeat([0, 1], 10))
    assert model.mean_scores_.tolist() == [1.0] * 3
    assert model.reg_ == 1e-1


def test_a_hold_out_is_one_stratified_split() -> None:
    X, y = blobs()
    model = SoftmaxClassifierCV(regs=GRID, cv=0.25).fit(X, y)
    assert model.scores_.shape == (1, 1, 3)
    assert not np.any(model.scores_ * 15 % 1)  # 15 of 60 rows
    assert np.isnan(model.spread_).all()  # one number has no spread
    np.testing.assert_array_equal(model.scores_, SoftmaxClassifierCV(regs=GRID, cv=0.25).fit(X, y).scores_)


def test_scores_count_rows_by_weight() -> None:
    X, y = blobs()
    times = np.random.default_rng(2).integers(1, 3, len(X))
    groups = np.arange(len(X)) % 2
    splits = [(np.flatnonzero(groups != g), np.flatnonzero(groups == g)) for g in (0, 1)]
    wide = groups.repeat(times)
    repeats = [(np.flatnonzero(wide != g), np.flatnonzero(wide == g)) for g in (0, 1)]
    weighted = SoftmaxClassifierCV(regs=GRID, cv=splits, tol=1e-8).fit(X, y, times)
    repeated = SoftmaxClassifierCV(regs=GRID, cv=repeats, tol=1e-8).fit(X.repeat(times, axis=0), y.repeat(times))
    np.testing.assert_allclose(weighted.scores_, repeated.scores_)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)


def test_costs_may_be_counted_or_listed() -> None:
    counted = SoftmaxClassifierCV(Cs=3, cv=3).fit(*IRIS)
    np.testing.assert_allclose(counted.Cs_, [1e-4, 1.0, 1e4])
    listed = SoftmaxClassifierCV(Cs=[1.0, 1e-4], cv=3).fit(*IRIS)
    np.testing.assert_allclose(listed.regs_, counted.regs_[1::-1])
    np.testing.assert_allclose(listed.scores_, counted.scores_[:, :, 1::-1])


# In scikit-learn's company


@SINGLE
def test_pipeline_search_and_cross_validation(kind: type) -> None:
    X, y = load_wine(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), kind(reg=0.01))
    assert cross_val_score(pipe, X, y, cv=3).mean() > 0.95
    search = GridSearchCV(pipe, {f"{kind.__name__.lower()}__reg": [0.01, 10.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {f"{kind.__name__.lower()}__reg": 0.01}


def test_calibration_gives_the_hinge_probabilities() -> None:
    X, y = IRIS
    calibrated = CalibratedClassifierCV(HingeClassifier(reg=0.01), cv=3).fit(X, y)
    probabilities = calibrated.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert calibrated.score(X, y) > 0.9
    assert not hasattr(HingeClassifier, "predict_proba")


@pytest.mark.parametrize("kind", [SoftmaxClassifier, HingeClassifier, SoftmaxClassifierCV, HingeClassifierCV])
def test_copies_of_a_fitted_model_predict_the_same(kind: type, tmp_path: Path) -> None:
    X, y = IRIS
    model = kind().fit(X, y) if not kind.__name__.endswith("CV") else kind(regs=GRID).fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    for copy in (pickle.load(io.BytesIO(pickle.dumps(model))), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(copy.decision_function(X), model.decision_function(X))
        for mine, theirs in zip(copy.path_.points, model.path_.points, strict=True):
            assert torch.equal(mine.coef, theirs.coef)
            for fact in ("reg", "objective", "gap", "passes", "status"):
                assert getattr(mine, fact) == getattr(theirs, fact)
    assert not hasattr(clone(model), "coef_")
    assert clone(model).get_params() == model.get_params()


def parts_of(value: Any) -> Iterator[Any]:
    """A value and everything inside it."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for part in inner:
        yield from parts_of(part)


@pytest.mark.parametrize("kind", [SoftmaxClassifier, HingeClassifier, SoftmaxClassifierCV, HingeClassifierCV])
def test_a_fitted_model_holds_numpy_numbers_and_text_alone(kind: type) -> None:
    model = (kind(regs=GRID) if kind.__name__.endswith("CV") else kind()).fit(*IRIS)
    held = {type(part) for part in parts_of(vars(model))}
    assert held <= {dict, list, tuple, str, bool, int, float, type(None), np.ndarray, np.float64, np.int64}, held
    assert all(part.dtype != object for part in parts_of(vars(model)) if isinstance(part, np.ndarray))


def test_there_is_no_path_before_fit() -> None:
    assert not hasattr(SoftmaxClassifier(), "path_")


@pytest.mark.parametrize("kind", [SoftmaxClassifier, HingeClassifier, SoftmaxClassifierCV, HingeClassifierCV])
def test_skops_saves_and_loads_a_fitted_model(kind: type, tmp_path: Path) -> None:
    io = pytest.importorskip("skops.io")
    X, y = IRIS
    model = (kind(regs=GRID) if kind.__name__.endswith("CV") else kind()).fit(X, y)
    io.dump(model, tmp_path / "model.skops")
    unknown = io.get_untrusted_types(file=tmp_path / "model.skops")
    assert [name.rsplit(".", 1)[1] for name in unknown] == [kind.__name__]  # the class itself, which is to be trusted
    again = io.load(tmp_path / "model.skops", trusted=unknown)
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    assert again.path_.points[0].relative_gap == model.path_.points[0].relative_gap


def test_log_probabilities_do_not_round_to_minus_infinity() -> None:
    X, y = IRIS
    model = SoftmaxClassifier().fit(X, y)
    far = model.predict_log_proba(1e4 * X)
    assert np.isfinite(far).all()
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


def test_nothing_warns_by_default_on_the_small_datasets() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for load in (load_iris, load_wine):
            for kind in (SoftmaxClassifier, HingeClassifier):
                kind().fit(*load(return_X_y=True))


@pytest.mark.parametrize("cost", [1e-5, 1e-4])
@pytest.mark.parametrize("kind", [SoftmaxClassifier, HingeClassifier])
def test_the_default_rate_of_sgd_bears_strong_regularization(kind: type, cost: float) -> None:
    rows, labels = load_iris(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CertificateWarning)
        found = kind(solver="sgd", C=cost, standardize=True).fit(rows, labels, np.ones(len(labels)))
    assert found.objective_ <= 1.1 * kind(C=cost, standardize=True).fit(rows, labels).objective_


@pytest.mark.parametrize(
    "split",
    [
        (np.arange(150), np.arange(-30, 0)),
        (np.arange(100), np.arange(140, 160)),
        (np.r_[np.arange(100), 5], np.arange(120, 150)),
        (np.arange(100), np.r_[120, 120]),
    ],
    ids=["negative", "beyond", "trains twice", "held out twice"],
)
def test_a_split_names_each_of_its_rows_once(split: tuple[Any, Any]) -> None:
    rows, labels = load_iris(return_X_y=True)
    with pytest.raises(InputError, match=r"must name each of its rows once, from 0 to 149; split 0 of cv does not"):
        SoftmaxClassifierCV(regs=[1e-3], cv=[split]).fit(rows, labels)
