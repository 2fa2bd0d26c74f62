"""The softmax without a penalty: scikit-learn's optima, a certificate of its own, and where there is no optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, fit_scaling
from colinear.losses import Softmax
from colinear.objective import Objective
from colinear.solvers.path import solve_path
from colinear.solvers.solution import Status
from colinear.solvers.unpenalized import PATIENCE, solve_unpenalized


def drawn(
    seed: int, n: int = 80, d: int = 3, c: int = 3, *, bias: float = 1.0, weights: torch.Tensor | None = None
) -> Objective:
    """Rows whose labels are drawn from a softmax of theirs, so that classes overlap."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, d, generator=generator, dtype=torch.float64) * torch.logspace(-2, 2, d, dtype=torch.float64)
    scores = rows / rows.std(0) @ torch.randn(d, c, generator=generator, dtype=torch.float64)
    labels = torch.multinomial((0.7 * scores).softmax(1), 1, generator=generator).squeeze(1)
    labels[:c] = torch.arange(c)
    data = ArrayDataset(rows, labels, tuple(map(str, range(c))))
    scaling = fit_scaling(data, center=False, intercept_scaling=bias, row_weights=weights)
    return Objective(Features(data, scaling, torch.float64), weights)


def loss_at(objective: Objective, coef: torch.Tensor) -> float:
    one = torch.ones(1, dtype=torch.float64)
    found = objective.evaluate(coef.unsqueeze(0), one, Softmax())
    return float(found.objective) - float(coef.square().sum())


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), c=st.integers(2, 5), bias=st.sampled_from([0.0, 1.0, 7.0]), weighted=st.booleans())
def test_optima_are_those_of_scikit_learn(seed: int, c: int, bias: float, weighted: bool) -> None:
    weights = torch.rand(80, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) if weighted else None
    objective = drawn(seed, c=c, bias=bias, weights=weights)
    [point] = solve_unpenalized(objective, tol=1e-11).points
    rows = objective.features.gather(slice(0, 80)).numpy()
    theirs = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    if point.status is not Status.CONVERGED:  # classes part, by chance: scikit-learn's weights grow until it stops
        return
    theirs.fit(rows, objective.features.labels.numpy(), None if weights is None else weights.numpy())
    coef = torch.as_tensor(theirs.coef_)
    coef = torch.cat((-coef, coef)) / 2 if c == 2 else coef
    assert point.objective == pytest.approx(loss_at(objective, point.coef), rel=1e-10)
    assert point.objective <= loss_at(objective, coef) * (1 + 1e-10)
    if float(objective.features.at(torch.float64).gather(slice(0, 80)).mm(coef.mT).abs().max()) > 20:
        return  # some classes part: both are near the infimum, far out
    torch.testing.assert_close(point.coef, coef, rtol=1e-5, atol=1e-6 * float(coef.abs().max()))
    torch.testing.assert_close(
        point.coef.sum(0), torch.zeros_like(coef[0]), rtol=0, atol=1e-9 * float(coef.abs().max())
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_gap_bounds_what_is_missing_after_every_step(seed: int) -> None:
    objective = drawn(seed, n=60)
    best = solve_unpenalized(objective, tol=1e-13).points[0]
    gaps = []
    for passes in range(1, 12):
        [point] = solve_unpenalized(objective, tol=1e-13, max_passes=passes).points
        assert point.passes <= passes
        assert point.objective >= best.objective - best.gap - 1e-15
        assert point.objective - best.objective <= point.gap + 1e-14
        gaps.append(point.gap)
    assert gaps[-1] < 1e-9 * gaps[0]


def test_dependent_columns_have_the_limit_of_a_vanishing_penalty() -> None:
    objective = drawn(3)
    rows = objective.features.dataset.take(slice(0, 80))
    twice = ArrayDataset(
        torch.cat((rows, rows[:, :1], rows @ torch.ones(3, 1).double()), 1), objective.features.labels, ("a", "b", "c")
    )
    both = Objective(Features(twice, fit_scaling(twice, center=False), torch.float64))
    [point] = solve_unpenalized(both, tol=1e-12).points
    [small] = solve_path(both, Softmax(), [1e-12], tol=1e-9).points
    assert point.objective == pytest.approx(solve_unpenalized(objective, tol=1e-12).points[0].objective, rel=1e-10)
    torch.testing.assert_close(point.coef, small.coef, rtol=0, atol=1e-4 * float(small.coef.abs().max()))


def test_a_start_at_the_optimum_takes_no_more_than_a_step() -> None:
    objective = drawn(5)
    [point] = solve_unpenalized(objective, tol=1e-9).points
    again = solve_unpenalized(objective, tol=1e-9, start=point.coef)
    assert again.passes <= 2
    assert again.points[0].objective <= point.objective * (1 + 1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_from_far_away_steps_are_damped(seed: int) -> None:
    objective = drawn(seed, n=300)
    [point] = solve_unpenalized(objective, tol=1e-10).points
    far = 20 * point.coef.roll(1, 0)  # the weights of other classes: full steps from there overshoot for ever
    [found] = solve_unpenalized(objective, tol=1e-10, start=far).points
    assert found.status is Status.CONVERGED
    torch.testing.assert_close(found.coef, point.coef, rtol=1e-5, atol=1e-7)


def test_weights_are_rows_repeated() -> None:
    times = torch.randint(0, 3, (80,), generator=torch.Generator().manual_seed(0))
    times[:3] = 1
    plain = drawn(7)
    rows = plain.features.dataset.take(slice(0, 80)).repeat_interleave(times, 0)
    data = ArrayDataset(rows, plain.features.labels.repeat_interleave(times), ("a", "b", "c"))
    repeated = Objective(Features(data, fit_scaling(data, center=False), torch.float64))
    weighted = drawn(7, weights=times.double())
    one, other = (solve_unpenalized(objective, tol=1e-12).points[0] for objective in (weighted, repeated))
    torch.testing.assert_close(one.coef, other.coef, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("c", [2, 3])
def test_where_classes_part_nothing_is_certified(c: int) -> None:
    rows = torch.arange(12, dtype=torch.float64).unsqueeze(1)
    data = ArrayDataset(rows, torch.arange(12) * c // 12, tuple(map(str, range(c))))
    path = solve_unpenalized(Objective(Features(data, fit_scaling(data), torch.float64)), max_passes=1000)
    [point] = path.points
    assert point.status is Status.STALLED
    assert point.relative_gap > 0.1
    assert path.passes <= PATIENCE
    assert bool(torch.isfinite(point.coef).all())


def test_what_is_too_large_for_a_hessian_is_refused() -> None:
    data = ArrayDataset(torch.zeros(4, 2000, dtype=torch.float64), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    with pytest.raises(InputError, match="small enough for a Hessian"):
        solve_unpenalized(Objective(Features(data, fit_scaling(data), torch.float64)))


def test_rows_of_zeros_have_the_loss_of_chance() -> None:
    data = ArrayDataset(torch.zeros(4, 2, dtype=torch.float64), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    objective = Objective(Features(data, fit_scaling(data, center=False, intercept_scaling=0.0), torch.float64))
    [point] = solve_unpenalized(objective).points
    assert (point.objective, point.status) == (pytest.approx(np.log(2)), Status.CONVERGED)
