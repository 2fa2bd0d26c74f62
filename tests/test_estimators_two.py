"""Two classes: scikit-learn's C, its one vector of coefficients, and its optima."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_class_weight

from colinear.estimators import HingeClassifier, HingeClassifierCV, SoftmaxClassifier, SoftmaxClassifierCV
from colinear.estimators.fitting import Fit, strength_of_cost

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
NAMES = np.array(["malignant", "benign"])
SINGLE = pytest.mark.parametrize("kind", [SoftmaxClassifier, HingeClassifier])


def with_constant(rows: np.ndarray, value: float) -> np.ndarray:
    return np.hstack([rows, np.full((len(rows), 1), value)])


def loss_of(kind: type, decision: np.ndarray) -> np.ndarray:
    margins = (2 * Y - 1) * decision
    return np.logaddexp(0, -margins) if kind is SoftmaxClassifier else np.maximum(0, 1 - margins)


def cost_of(kind: type, cost: float, coef: np.ndarray, intercept: float, scaling: float) -> float:
    """scikit-learn's objective: C sum_i loss_i + |u|^2 / 2, the intercept's weight in u."""
    loss = loss_of(kind, X @ coef + intercept).sum()
    return cost * loss + ((coef**2).sum() + (intercept / scaling) ** 2) / 2


def theirs(kind: type, cost: float, scaling: float) -> tuple[np.ndarray, float]:
    """Coefficients and intercept of scikit-learn's class for that loss."""
    if kind is SoftmaxClassifier:
        model = LogisticRegression(C=cost, fit_intercept=False, tol=1e-12, max_iter=10_000, solver="newton-cg")
        coef = model.fit(with_constant(X, scaling), Y).coef_[0]
        return coef[:-1], scaling * coef[-1]
    svc = LinearSVC(loss="hinge", C=cost, intercept_scaling=scaling, tol=1e-10, max_iter=10_000_000, random_state=0)
    svc.fit(X, Y)
    return svc.coef_[0], svc.intercept_[0]


@SINGLE
@pytest.mark.parametrize(("cost", "scaling"), [(1e-3, 1.0), (0.1, 1.0), (0.1, 5.0), (1.0, 1.0)])
def test_coefficients_and_objective_are_scikit_learns_at_equal_c(kind: type, cost: float, scaling: float) -> None:
    coef, intercept = theirs(kind, cost, scaling)
    tol = 1e-10 if kind is SoftmaxClassifier else 1e-8  # float64 certifies 1e-9 of the hinge here, not 1e-10
    ours = kind(C=cost, intercept_scaling=scaling, tol=tol).fit(X, Y)
    assert (ours.coef_.shape, ours.intercept_.shape) == ((1, 30), (1,))
    np.testing.assert_allclose(ours.coef_[0], coef, rtol=0, atol=1e-4 * np.abs(coef).max())
    np.testing.assert_allclose(ours.intercept_[0], intercept, rtol=0, atol=1e-4 * np.abs(coef).max())
    best = cost_of(kind, cost, coef, intercept, scaling)
    assert cost_of(kind, cost, ours.coef_[0], ours.intercept_[0], scaling) == pytest.approx(best, rel=1e-6)
    assert ours.objective_ * cost * len(X) == pytest.approx(best, rel=1e-6)  # ours is the same, a mean
    assert ours.reg_ == pytest.approx(1 / (len(X) * cost))
    assert pytest.approx(cost) == ours.C_


def test_c_is_scikit_learns_with_weights_on_rows_and_classes() -> None:
    weights = np.random.default_rng(0).uniform(0, 2, len(X))
    options = {"C": 0.1, "class_weight": "balanced", "fit_intercept": False}
    ours = SoftmaxClassifier(tol=1e-12, **options).fit(X, Y, weights)
    if (
        "sample_weight" not in inspect.signature(compute_class_weight).parameters
    ):  # scikit-learn 1.6 balances rows alone
        options["class_weight"] = dict(enumerate(weights.sum() / (2 * np.bincount(Y, weights))))
    reference = LogisticRegression(tol=1e-12, max_iter=10_000, solver="newton-cg", **options).fit(X, Y, weights)
    np.testing.assert_allclose(ours.coef_, reference.coef_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(X), reference.predict_proba(X), rtol=0, atol=1e-5)


@SINGLE
def test_labels_decisions_and_probabilities_say_the_same(kind: type) -> None:
    model = kind(C=0.1).fit(X, NAMES[Y])  # benign sorts first
    decision = model.decision_function(X)
    np.testing.assert_allclose(decision, X @ model.coef_[0] + model.intercept_[0], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X), np.where(decision > 0, "malignant", "benign"))
    if kind is SoftmaxClassifier:
        probabilities = model.predict_proba(X)
        np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-decision)), rtol=1e-10)
        np.testing.assert_allclose(probabilities.sum(1), 1)
        np.testing.assert_allclose(model.predict_log_proba(X), np.log(probabilities), rtol=1e-6, atol=1e-12)
        assert np.isfinite(model.predict_log_proba(1e5 * X)).all()


@SINGLE
def test_the_first_class_wins_a_tie(kind: type) -> None:
    model = kind(C=0.1, fit_intercept=False).fit(X, NAMES[Y])
    nothing = np.zeros((2, 30))
    assert model.decision_function(nothing).tolist() == [0, 0]
    assert model.predict(nothing).tolist() == ["benign", "benign"]


@SINGLE
@pytest.mark.parametrize("options", [{}, {"standardize": True}, {"fit_intercept": False}], ids=str)
def test_a_warm_start_unfolds_one_vector_into_two(kind: type, options: dict) -> None:
    rows = X[:, :8] + 3
    model = kind(C=0.1, tol=1e-6, warm_start=True, **options).fit(rows, Y)
    first, coef = model.n_iter_, model.coef_
    model.fit(rows, Y)
    assert model.n_iter_ <= (1 if kind is SoftmaxClassifier else first)
    np.testing.assert_allclose(model.coef_, coef, rtol=0, atol=1e-2)  # a gap of 1e-6 allows its root


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("bias", [0.0, 1.0, 5.0])
def test_unfolding_undoes_folding(n_classes: int, bias: float) -> None:
    rows, codes = torch.from_numpy(X[:40] + 3), torch.arange(40) % n_classes
    cpu = torch.device("cpu")
    fit = Fit.prepare(rows, codes, n_classes, None, "softmax", bias=bias, penalize=True, standardize=True, device=cpu)
    coef = torch.randn(n_classes, 30 + (bias > 0), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    coef -= coef.mean(0)  # what all classes share is nothing that one vector could hold
    if bias == 0:
        fit.scaling.shift.zero_()  # without a constant column there is no intercept to take a shift back
    torch.testing.assert_close(fit.unfold(*fit.fold(coef)), coef)


@SINGLE
def test_the_two_vectors_of_the_path_are_opposite(kind: type) -> None:
    model = kind(reg=0.01, tol=1e-8).fit(X, Y)
    [point] = model.path_.points
    assert point.coef.shape == (2, 31)
    np.testing.assert_allclose(point.coef[0], -point.coef[1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(2 * point.coef[1, :-1], model.coef_[0], rtol=0, atol=1e-8)
    penalty = 0.01 * ((model.coef_**2).sum() + model.intercept_[0] ** 2) / 2
    assert loss_of(kind, model.decision_function(X)).mean() + penalty == pytest.approx(model.objective_, rel=1e-9)


@pytest.mark.filterwarnings("ignore::colinear.estimators.StrengthWarning")
@pytest.mark.parametrize("kind", [SoftmaxClassifierCV, HingeClassifierCV])
def test_cross_validation_has_the_same_c_and_the_same_shapes(kind: type) -> None:
    single = SoftmaxClassifier if kind is SoftmaxClassifierCV else HingeClassifier
    model = kind(Cs=[1.0, 0.01], cv=3, tol=1e-8).fit(X, Y)
    np.testing.assert_allclose(model.regs_, [1 / len(X), 100 / len(X)])
    np.testing.assert_allclose(model.Cs_, [1.0, 0.01])
    own = single(C=model.C_, tol=1e-8).fit(X, Y)
    assert (model.coef_.shape, model.intercept_.shape) == ((1, 30), (1,))
    np.testing.assert_allclose(model.coef_, own.coef_, rtol=0, atol=1e-4)
    np.testing.assert_allclose(kind(Cs=3, cv=2).fit(X[:60], Y[:60]).Cs_, [1e-4, 1.0, 1e4])


def test_strengths_convert_both_ways() -> None:
    for n_classes, factor in ((2, 1), (3, 2), (10, 2)):
        reg = strength_of_cost(0.5, 80.0, n_classes)
        assert reg == pytest.approx(1 / (factor * 0.5 * 80))
        assert strength_of_cost(reg, 80.0, n_classes) == pytest.approx(0.5)
