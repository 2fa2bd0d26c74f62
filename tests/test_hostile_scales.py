"""Features and weights of hostile size: certified at the optimum that plain numpy finds, or refused with a reason."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from tests.problems import Array

from colinear import HingeClassifier, SoftmaxClassifier
from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, Scaling, fit_scaling
from colinear.estimators.base import CertificateWarning
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.solvers import Status, solve_path
from colinear.solvers.path import fit_preconditioner
from colinear.solvers.spectrum import Subspace

REG, TOL, N = 1 / 240, 1e-4, 120
CLASSIFIERS = {"softmax": SoftmaxClassifier, "hinge": HingeClassifier}
every_loss = pytest.mark.parametrize("loss", ["softmax", "hinge"])
every_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def draw() -> tuple[Array, npt.NDArray[np.int64]]:
    """120 rows of 6 features, three classes that overlap."""
    rng, labels = np.random.default_rng(0), np.arange(N) % 3
    return rng.normal(size=(N, 6)) + rng.normal(size=(3, 6))[labels], labels


X, Y = draw()
MIXED = np.array([1e8, 1e-8, 1, 1e8, 1e-8, 1])
REPEATED = np.hstack([X, X, X[:, :1] * 1e6, np.full((N, 1), 7.0), np.zeros((N, 1))])
SPREAD = 10 ** np.random.default_rng(1).uniform(-20, 20, N)
CASES = {
    "plain": (X, None),
    "offset 1e6": (X + 1e6, None),
    "offset 1e8": (X + 1e8, None),
    "columns 1e8 and 1e-8": (X * MIXED, None),
    "a constant of 1e8": (np.hstack([X, np.full((N, 1), 1e8)]), None),
    "repeated, constant and empty columns": (REPEATED, None),
    "one column of 1e-300": (X * np.array([1e-300, 1, 1, 1, 1, 1]), None),
    "weights 1e-300": (X, np.full(N, 1e-300)),
    "weights 1e-20": (X, np.full(N, 1e-20)),
    "weights 1e20": (X, np.full(N, 1e20)),
    "weights 1e300": (X, np.full(N, 1e300)),
    "weights 1e-20 to 1e20": (X, SPREAD),
}
STANDARDIZED = {
    "all of 1e160": X * 1e160,
    "all of 1e-160": X * 1e-160,
    "all of 1e-300": X * 1e-300,
    "one column of 1e160": X * np.array([1e160, 1, 1, 1, 1, 1]),
    "offset 1e8": X + 1e8,
}
REFUSED = {
    "all of 1e160": (X * 1e160, r"at most 1e\+150 in size, or their squares overflow; column 0 of X has 3.2e\+160"),
    "the last of 1e160": (X * np.array([1, 1, 1, 1, 1, 1e160]), "column 5 of X has"),
    "all of 1e-10": (X * 1e-10, r"large enough to be learned from; those of X are at most 4.2e-10 in size"),
    "all of 1e-160": (X * 1e-160, "large enough to be learned from"),
    "all of 1e-300": (X * 1e-300, "large enough to be learned from"),
}


def ordinary_problem(case: str, rows: Array) -> tuple[Array, Array]:
    """Features (n, m) and penalty (m, m) of ordinary size that make the same problem as the raw rows and a constant.

    With W x + b = sum_j<6 W_j (x_j - x_6) + z x_6 / offset + t for rows x + offset, z = offset sum(W) and t = z + b.
    """
    ones, eye = np.ones((N, 1)), np.eye(7)
    if case.startswith("offset"):
        offset = float(case.split()[1])
        x = rows - offset
        last, bias = np.zeros(7), np.zeros(7)  # the sixth weight and the bias, of the coordinates
        last[:5], last[5] = -1, 1 / offset
        bias[5:] = -1, 1
        penalty = np.diag([1.0] * 5 + [0, 0]) + np.outer(last, last) + np.outer(bias, bias)
        return np.hstack([x[:, :5] - x[:, 5:], x[:, 5:] / offset, ones]), penalty
    if case.startswith("columns"):
        seen = MIXED >= 1  # what columns of 1e-8 add is below 1e-13
        return np.hstack([(rows / MIXED)[:, seen], ones]), np.diag([*MIXED[seen] ** -2, 1.0])
    if case.startswith("a constant"):
        return np.hstack([rows[:, :6], ones]), np.diag([1.0] * 6 + [1 / (1e16 + 1)])
    if case.startswith("repeated"):
        return np.hstack([rows[:, :6], ones]), np.diag([1 / (2 + 1e12), *[0.5] * 5, 1 / 50])
    if case.startswith("one column"):
        return np.hstack([rows[:, 1:], ones]), np.eye(6)
    return np.hstack([rows, ones]), eye


def best(loss: str, case: str, rows: Array, weights: Array | None) -> float:
    """The optimum of the problem of ordinary size, by scipy's L-BFGS; the hinge smoothed less and less."""
    features, penalty = ordinary_problem(case, rows)
    share = np.ones(N) if weights is None else weights / weights.max()
    share, truth, m = share / share.sum(), np.eye(3)[Y], features.shape[1]

    def objective(flat: Array, width: float) -> tuple[float, Array]:
        coef = flat.reshape(3, m)
        scores = features @ coef.T
        margins = (scores - (scores * truth).sum(1, keepdims=True) + 1) * (1 - truth)
        if loss == "softmax":
            losses = logsumexp(scores, axis=1) - (scores * truth).sum(1)
            slopes = softmax(scores, axis=1) - truth
        else:
            active = np.clip(margins / width, 0, 1) if width else (margins > 0).astype(float)
            losses = (active * (margins - width * active / 2)).sum(1)
            slopes = active - truth * active.sum(1, keepdims=True)
        gradient = (slopes * share[:, None]).T @ features + 2 * REG * coef @ penalty
        return float(share @ losses + REG * (coef @ penalty * coef).sum()), gradient.ravel()

    at, options = np.zeros(3 * m), {"maxiter": 5000, "maxfun": 5000, "ftol": 0, "gtol": 1e-9, "maxcor": 30}
    for width in (0.0,) if loss == "softmax" else (1.0, 0.1, 1e-2, 1e-3, 1e-4):
        at = minimize(objective, at, (width,), "L-BFGS-B", jac=True, options=options).x
    return objective(at, 0.0)[0]


@every_loss
@every_dtype
@pytest.mark.parametrize("case", CASES)
def test_what_can_be_certified_is_and_at_the_right_optimum(loss: str, dtype: type, case: str) -> None:
    rows, weights = CASES[case][0].astype(dtype), CASES[case][1]
    model = CLASSIFIERS[loss](reg=REG, tol=TOL).fit(rows, Y, weights)
    assert model.path_.points[0].status is Status.CONVERGED
    assert 0 <= model.relative_gap_ <= TOL
    optimum = best(loss, case, rows.astype(np.float64), weights)
    assert model.objective_ == pytest.approx(optimum, rel=2 * TOL)
    assert model.objective_ - model.gap_ <= optimum * (1 + 1e-6)


@every_loss
@pytest.mark.parametrize("case", STANDARDIZED)
def test_standardized_columns_of_any_size_give_the_fit_of_ordinary_ones(loss: str, case: str) -> None:
    ordinary = CLASSIFIERS[loss](reg=REG, tol=TOL, standardize=True).fit(X, Y)
    model = CLASSIFIERS[loss](reg=REG, tol=TOL, standardize=True).fit(STANDARDIZED[case], Y)
    assert model.relative_gap_ <= TOL
    assert model.objective_ == pytest.approx(ordinary.objective_, rel=2 * TOL)
    assert (model.predict(STANDARDIZED[case]) == ordinary.predict(X)).mean() > 0.98


@every_loss
@pytest.mark.parametrize("case", REFUSED)
def test_what_float64_cannot_hold_is_refused_with_a_reason(loss: str, case: str) -> None:
    rows, reason = REFUSED[case]
    with pytest.raises(InputError, match=reason) as refused:
        CLASSIFIERS[loss](reg=REG).fit(rows, Y)
    assert "standardize=True" in str(refused.value)
    scaling = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(6, dtype=torch.float64), 1.0)
    data = ArrayDataset(torch.from_numpy(rows), torch.from_numpy(Y), ("a", "b", "c"), name="X")
    with pytest.raises(InputError, match=reason):
        solve_path(Features(data, scaling, torch.float64), LOSSES[loss], [REG])


def test_a_spread_whose_inverse_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match=r"deviations between 1e-304 and 1e\+304 .* column 2 of X has 1.\de-310"):
        SoftmaxClassifier(standardize=True).fit(X * np.array([1, 1, 1e-310, 1, 1, 1]), Y)


def test_features_too_small_for_one_strength_are_not_for_a_weaker_one() -> None:
    scaling = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(6, dtype=torch.float64), 1.0)
    data = ArrayDataset(torch.from_numpy(X * 1e-9), torch.from_numpy(Y), ("a", "b", "c"), name="X")
    path = solve_path(Features(data, scaling, torch.float64), LOSSES["softmax"], [1.0, 1e-20])
    assert [point.status for point in path.points] == [Status.CONVERGED] * 2
    assert path.points[1].objective < 0.5 < path.points[0].objective
    empty = ArrayDataset(torch.zeros(N, 6), torch.from_numpy(Y), ("a", "b", "c"), name="X")
    assert solve_path(Features(empty, scaling), LOSSES["softmax"], [1.0]).points[0].status is Status.CONVERGED


@every_loss
@every_dtype
@pytest.mark.parametrize("size", [1e20, 1e30])
def test_what_float64_cannot_certify_is_solved_all_the_same_and_said(loss: str, dtype: type, size: float) -> None:
    """The penalty of weights of 1e-20 is far below the rounding of the loss: no gap can be small."""
    rows = (X * size).astype(dtype)
    with pytest.warns(CertificateWarning, match=r"no further progress.*standardize=True"):
        model = CLASSIFIERS[loss](reg=REG, tol=TOL).fit(rows, Y)
    assert model.path_.points[0].status is Status.STALLED
    assert model.score(rows, Y) > 0.9


@every_loss
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_a_start_that_is_not_finite_is_said_and_never_certified(loss: str, value: float) -> None:
    scaling = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(6, dtype=torch.float64), 1.0)
    data = ArrayDataset(torch.from_numpy(X), torch.from_numpy(Y), ("a", "b", "c"), name="X")
    start = torch.full((3, 7), value, dtype=torch.float64)
    start[0] = 0
    for dtype in (torch.float64, torch.float32):
        point = solve_path(Features(data, scaling, dtype), LOSSES[loss], [REG], start=start).points[0]
        assert point.status is Status.DIVERGED
        assert not point.relative_gap <= 1e300


@every_loss
def test_only_the_ratios_of_weights_count_to_the_bit(loss: str) -> None:
    scaling = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(6, dtype=torch.float64), 1.0)
    data = ArrayDataset(torch.from_numpy(X), torch.from_numpy(Y), ("a", "b", "c"), name="X")
    weights = torch.rand(N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coef = torch.randn(1, 3, 7, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float64, torch.float32):
        one, other = (
            Objective(Features(data, scaling, dtype), weights * size).evaluate(
                coef.to(dtype), torch.ones(1).double(), LOSSES[loss].smooth(torch.ones(1))
            )
            for size in (1.0, 2.0**900)
        )
        for name in ("objective", "gap", "gradient", "curvature"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_a_penalty_far_below_the_rounding_of_the_curvature_does_not_lead_the_steps() -> None:
    model = HingeClassifier(reg=REG, tol=1e-3).fit(X * 1e10, Y)
    assert model.relative_gap_ <= 1e-3
    assert model.score(X * 1e10, Y) > 0.9


def test_what_is_made_before_a_solve_refuses_squares_that_overflow_too() -> None:
    data = ArrayDataset(torch.from_numpy(X) * 1e300, torch.from_numpy(Y), ("a", "b", "c"))
    features = Features(data, fit_scaling(data), torch.float64)
    with pytest.raises(InputError, match=r"features must be at most 1e\+150 in size"):
        fit_preconditioner(Objective(features))
    with pytest.raises(InputError, match=r"features must be at most 1e\+150 in size"):
        Subspace.fit(features, 0.9)
