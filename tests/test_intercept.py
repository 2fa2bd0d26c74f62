"""An intercept without a penalty: scikit-learn's optimum, and a certificate whose dual point balances."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC
from tests.problems import draw_rows
from tests.program import Program, assert_refused
from tests.test_parallel import found
from torch import Tensor

from colinear import HingeClassifier, LogisticClassifier, SoftmaxClassifier, SoftmaxClassifierCV, SquaredHingeClassifier
from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, Scaling, fit_scaling
from colinear.lossbase import SmoothLoss
from colinear.losses import LOSSES, Loss
from colinear.objective import Objective, squared_norm
from colinear.solvers import Status, Tuning, certify, solve_newton, solve_path
from colinear.solvers import settle as settling
from colinear.solvers.diagonal import Diagonal
from colinear.solvers.rowspace import RowSpace, suits_row_space
from colinear.solvers.settle import settle_
from colinear.solvers.sgd import SGD
from colinear.solvers.spectrum import Projection

BY_LBFGS = Tuning(newton_weights=0, newton_first=0, interior_first=0)
every_loss = pytest.mark.parametrize("name", sorted(LOSSES))


def free(
    data: ArrayDataset, bias: float = 1.0, dtype: torch.dtype = torch.float64, *, center: bool | None = None
) -> Features:
    return Features(data, fit_scaling(data, center=center, intercept_scaling=bias, penalize_intercept=False), dtype)


def draw(seed: int, name: str) -> Objective:
    """A small problem with classes of unequal size, and mostly with weights, an offset and another constant."""
    generator = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    n, d, c = whole(12, 60), whole(1, 6), whole(2, 5)
    labels = torch.randint(c, (n,), generator=generator)
    labels[:c] = torch.arange(c)
    if seed % 3 == 0:
        labels[c : n * 3 // 4] = 0
    if LOSSES[name].takes_many and seed % 2:
        labels = torch.randint(-1, 2, (n, c), generator=generator).to(torch.int8)
        labels[0], labels[1] = 1, 0
    rows = draw_rows(n, d, c, seed).features + seed % 2
    weights = torch.rand(n, generator=generator, dtype=torch.float64) if seed % 5 else None
    bias = float(10 ** (2 * torch.rand(1, generator=generator, dtype=torch.float64) - 1))
    data = ArrayDataset(rows, labels, tuple(f"class {j}" for j in range(c)))
    return Objective(free(data, bias, center=False), weights)


def near(coef: Tensor, seed: int, count: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sizes = 10 ** (4 * torch.rand(count, 1, 1, generator=generator, dtype=torch.float64) - 3)
    return coef + sizes * torch.randn(count, *coef.shape, generator=generator, dtype=torch.float64)


def smooth(name: str, count: int, width: float = 0.02) -> Loss:
    return LOSSES[name].smooth(torch.full((count,), width, dtype=torch.float64))


# The certificate


@every_loss
@pytest.mark.parametrize("seed", range(12))
def test_the_gap_is_never_smaller_than_the_distance(name: str, seed: int) -> None:
    objective, reg = draw(seed, name), 10 ** -(seed % 5 * 0.8)
    tol = 1e-6 if LOSSES[name].kinked else 1e-10
    [point] = solve_newton(objective, [reg], loss=LOSSES[name], tol=tol).points
    assert point.status is Status.CONVERGED
    regs = torch.full((6,), reg, dtype=torch.float64)
    there = objective.evaluate(near(point.coef, seed), regs, smooth(name, 6))
    assert bool((there.gap >= there.objective - point.objective - 1e-12 * there.objective).all())
    assert bool((there.value_gap >= 0).all())


@every_loss
@pytest.mark.parametrize("seed", range(6))
def test_the_mixed_slopes_balance_and_have_at_least_the_bound_as_dual_value(name: str, seed: int) -> None:
    """Row by row: the mixture of slopes and anchor is feasible, and the gap is that of a value below its own."""
    objective, reg = draw(seed, name), torch.tensor([0.1], dtype=torch.float64)
    features, loss = objective.features, smooth(name, 1)
    rows = features.gather(slice(0, features.n_samples)).clone()
    weights = torch.ones(len(rows), dtype=torch.float64) if objective.row_weights is None else objective.row_weights
    share, coef = weights / weights.sum(), near(torch.zeros(features.n_classes, rows.shape[1]).double(), seed, 1)
    slopes = (coef @ rows.mT).contiguous()
    sums = loss.sums_(slopes, features.labels, share)
    labels = features.labels
    truth = torch.nn.functional.one_hot(labels, features.n_classes) if labels.ndim == 1 else (labels == 1)
    known = torch.ones_like(truth) if labels.ndim == 1 else (labels >= 0)
    balance = objective.class_sums().balance(loss, (slopes.sum(-1)))
    t = float(balance.share)
    u, ratio = slopes.sum(-1)[0], t / (1 - t)
    q = (share @ truth.double() - u / ratio) / (share @ known.double())
    assert bool((q >= -1e-12).all() & (q <= 1 + 1e-12).all())
    anchor = ((q - truth.double()) * known.double() * share.unsqueeze(1)).mT  # (c, n)
    mixed = (1 - t) * slopes[0] + t * anchor
    assert float(mixed.sum(1).abs().max()) < 1e-14
    torch.testing.assert_close(balance.moment[0], anchor @ rows, atol=1e-12, rtol=0)
    moment = (mixed @ rows)[:, :-1]
    there = objective.evaluate(coef, reg, loss)
    value = float(sums.value) + 0.1 * float(coef[..., :-1].square().sum())
    along = float((slopes * (coef @ rows.mT)).sum())
    dual = (1 - t) * (float(sums.value) - along) + t * float(balance.smoothed) - float(moment.square().sum()) / 0.4
    assert float(there.value) == pytest.approx(value)
    assert float(there.value_gap) == pytest.approx(value - dual)
    if loss.smoothed:
        mean = (1 - t) * float(sums.dual) + t * float(balance.original)  # type: ignore[arg-type]
        whole = float(sums.original) + value - float(sums.value)
        assert float(there.gap) == pytest.approx(whole - mean + float(moment.square().sum()) / 0.4)


def test_a_loss_without_an_anchor_is_refused() -> None:
    class Own(SmoothLoss):
        name = "own"
        sums_ = LOSSES["softmax"].sums_  # type: ignore[assignment]

    with pytest.raises(InputError, match="own has no `anchor_dual`"):
        solve_path(draw(1, "softmax"), Own(), [0.1], tuning=BY_LBFGS)


def test_a_class_without_rows_has_no_optimum_and_is_refused() -> None:
    data = draw_rows(40, 3, 3)
    folds = (data.labels != 1).long()
    objective = Objective(free(data), folds=folds)
    held_out = torch.tensor([-1, 0])
    with pytest.raises(InputError, match="class 1 has no rows without those of fold 0"):
        solve_path(objective, LOSSES["softmax"], [0.1, 0.1], held_out=held_out)
    with pytest.raises(InputError, match="class 1 has no rows"):
        solve_path(Objective(free(data), (data.labels != 1).double()), LOSSES["softmax"], [0.1])
    many = ArrayDataset(data.features, torch.ones(40, 2, dtype=torch.int8), ("a", "b"))
    with pytest.raises(InputError, match="a has all rows"):
        solve_path(free(many), LOSSES["logistic"], [0.1])
    value, gap = certify(Objective(free(data), (data.labels != 1).double()), LOSSES["softmax"], torch.zeros(3, 4), 0.1)
    assert 0 < value < gap < math.inf  # of weights that somebody else has found


# Every way to the optimum


@every_loss
@pytest.mark.parametrize("way", ["lbfgs", "float32", "folds", "wide", "diagonal", "nystroem", "uncentred", "ill"])
def test_every_way_ends_at_the_optimum(name: str, way: str) -> None:
    data, loss, tuning = draw_rows(150, 7, 3, spread=0.5), LOSSES[name], BY_LBFGS
    if way == "wide":
        data, tuning = draw_rows(20, 60, 3), Tuning()
    if way == "ill":  # other coordinates for Newton's method
        data, tuning = replace(data, features=data.features * 10.0 ** torch.arange(-6, 8, 2)), Tuning()
    features = free(data, 2.0, center=False if way in ("uncentred", "ill") else None)
    exact, held_out = Objective(features), None
    objective = replace(exact, features=features.at(torch.float32)) if way == "float32" else exact
    if way == "folds":
        exact = objective = Objective(features, folds=torch.arange(150) % 3)
        held_out = torch.tensor([1, -1])
    if way == "nystroem":
        tuning = replace(tuning, eigh_up_to=3, nystroem_rank=4)
    preconditioner = Diagonal.fit(objective) if way == "diagonal" else None
    tol, regs = 1e-4 if loss.kinked else 1e-6, [1e-1, 1e-2]
    found = solve_path(
        objective, loss, regs, tol=tol, held_out=held_out, tuning=tuning, preconditioner=preconditioner, max_passes=2000
    )
    best = solve_newton(exact, regs, loss=loss, tol=tol / 10, held_out=held_out)
    assert suits_row_space(objective) == (way == "wide")
    for point, optimum in zip(found.points, best.points, strict=True):
        assert point.status is Status.CONVERGED
        assert point.relative_gap <= tol
        assert abs(point.objective - optimum.objective) <= (tol + tol / 10) * optimum.objective
        assert point.objective - point.gap <= optimum.objective
    held = None if held_out is None else held_out
    there = exact.evaluate(found.coef, torch.tensor(regs).double(), loss, held)
    assert torch.allclose(there.objective, torch.tensor([point.objective for point in found.points]).double())


def test_the_space_of_the_rows_keeps_the_constant_column() -> None:
    objective = Objective(free(draw_rows(20, 60, 3), 2.0, center=False))
    space = RowSpace.of(objective)
    coef = torch.randn(4, 3, 21, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lifted = space.lift(coef)
    assert torch.equal(lifted[..., -1], coef[..., -1])
    torch.testing.assert_close(space.restrict(lifted), coef)
    torch.testing.assert_close(squared_norm(lifted[..., :-1]), squared_norm(coef[..., :-1]))
    for (_, mine), (_, theirs) in zip(objective.scores(lifted), space.objective.scores(coef), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_an_offset_of_the_features_changes_nothing_but_the_intercept() -> None:
    data = draw_rows(90, 4, 3)
    moved = replace(data, features=data.features + torch.tensor([3.0, -2.0, 0.5, 9.0]).double())
    here, there = (
        solve_path(free(rows, center=False), LOSSES["softmax"], [1e-3], tol=1e-13).coef for rows in (data, moved)
    )
    torch.testing.assert_close(here[..., :-1], there[..., :-1], atol=1e-6, rtol=1e-6)


def test_weight_two_is_the_row_twice_and_the_constants_value_is_no_matter() -> None:
    data = draw_rows(60, 4, 3)
    twice = data.subset(torch.cat((torch.arange(60), torch.arange(20))))
    weights = 1 + (torch.arange(60) < 20).double()
    objectives = Objective(free(data, 1.0, center=False), weights), Objective(free(twice, 50.0, center=False))
    one, other = (solve_path(objective, LOSSES["logistic"], [1e-2], tol=1e-12) for objective in objectives)
    torch.testing.assert_close(one.coef[..., :-1], other.coef[..., :-1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(one.coef[..., -1], 50 * other.coef[..., -1], atol=1e-6, rtol=1e-5)


# The bias of given weights


@every_loss
def test_a_settled_bias_balances_and_its_scores_are_those_of_the_weights(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "MOST_STEPS", 60)  # for a hinge, far from the optimum
    objective = Objective(free(draw_rows(200, 5, 4), 3.0), folds=torch.arange(200) % 2)
    held_out = torch.tensor([0, -1, 1])
    coef = near(torch.zeros(4, 6).double(), 1, 3)
    before, regs = coef.clone(), torch.full((3,), 0.1, dtype=torch.float64)
    loss = smooth(name, 3, 0.1)
    scored = settle_(objective, loss, coef, regs, held_out, torch.full((3,), 1e-3, dtype=torch.float64))
    assert scored is not None
    assert torch.equal(coef[..., :-1], before[..., :-1])
    for (rows, mine), (_, theirs) in zip(scored, objective.scores(coef), strict=True):
        torch.testing.assert_close(mine, theirs)
        assert rows.stop <= 200
    plain = objective.evaluate(coef, regs, loss, held_out)
    given = objective.evaluate(coef, regs, loss, held_out, scored=scored)
    torch.testing.assert_close(given.gradient, plain.gradient)
    balance = objective.class_sums(held_out).balance(loss, plain.gradient[..., -1] / 3.0)
    value = plain.value - regs * squared_norm(coef[..., :-1])
    assert bool((balance.lost(value, coef) <= 1.01e-4 * value).all())


def test_scores_that_are_too_many_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Objective(free(draw_rows(200, 5, 4)))
    coef, one = near(torch.zeros(4, 6).double(), 1, 1), torch.ones(1, dtype=torch.float64)
    before = coef.clone()
    monkeypatch.setattr(settling, "MOST_BYTES", 8 * 4 * 200 - 1)
    assert settle_(objective, LOSSES["softmax"], coef, one, None, one) is None
    assert torch.equal(coef, before)
    path = solve_path(objective, LOSSES["softmax"], [1e-2], tol=1e-5, tuning=BY_LBFGS)
    assert path.points[0].status is Status.CONVERGED


def test_several_processes_are_one(tmp_path: Path) -> None:
    """By L-BFGS, folds and a process without rows included; they are gathered for Newton's method."""
    code = """
import dataclasses
data = draw_rows(90, 4, 3)
cut = (slice(0, 60), slice(60, 60), slice(60, 90))[group.rank]
found = []
for tuning in (Tuning(), Tuning(newton_weights=0, newton_values=1)):
    features = Features(data.subset(torch.arange(90)[cut]), fit_scaling(data, penalize_intercept=False), torch.float64)
    objective = Objective(features, torch.linspace(1, 2, 90)[cut], (torch.arange(90) % 2)[cut], group=group)
    held_out = torch.tensor([0, -1])
    found.append(solve_path(objective, LOSSES["softmax"], [1e-2] * 2, tol=1e-9, held_out=held_out, tuning=tuning).coef)
"""
    every = found(tmp_path, code, 3)
    data = draw_rows(90, 4, 3)
    whole = Objective(free(data), torch.linspace(1, 2, 90), torch.arange(90) % 2)
    coef = solve_path(whole, LOSSES["softmax"], [1e-2] * 2, tol=1e-11, held_out=torch.tensor([0, -1])).coef
    for one in every:
        for part in one:
            torch.testing.assert_close(part, coef, rtol=1e-4, atol=1e-4)


# SGD


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_does_not_shrink_the_bias(momentum: float) -> None:
    """Rows of zeros: weights shrink, and the bias alone is learned, as by one that has only rows of its constant."""
    data = ArrayDataset(torch.zeros(30, 2, dtype=torch.float64), torch.arange(30) % 3, ("a", "b", "c"))
    scaling = Scaling(torch.ones(()).double(), torch.zeros(2).double(), 1.0, penalized=False)
    rates, regs = torch.tensor([0.5]), torch.tensor([0.1])
    first = torch.ones(3, 3, dtype=torch.float64)
    sgd = SGD(20, 10, momentum=momentum)
    results, losses = [], []
    for penalized, reg in ((False, regs), (True, 0 * regs)):
        features = Features(data, replace(scaling, penalized=penalized), torch.float64)
        state = sgd.start(first, rates, reg, torch.Generator().manual_seed(0))
        results.append(sgd.result(sgd.advance(state, features, LOSSES["softmax"], 20)))
        losses.append(state.history)
    torch.testing.assert_close(results[0][..., -1], results[1][..., -1])
    assert torch.equal(results[1][..., :-1], torch.ones(1, 3, 2, dtype=torch.float64))
    assert float(results[0][..., :-1].abs().max()) < 0.9
    assert float(losses[0][0, 0] - losses[1][0, 0]) == pytest.approx(0.1 * 6)  # the penalty without the bias


def test_the_principal_subspace_keeps_the_bias() -> None:
    features = free(draw_rows(80, 6, 3), 2.0)
    projection = Projection.fit(features, features, 0.7)
    subspace, rows = projection.subspace, projection.train
    assert subspace is not None
    assert rows.free
    assert rows.scaling.bias == 2.0
    assert rows.n_features == subspace.n_outputs < 7
    coef = near(torch.zeros(3, subspace.n_outputs).double(), 0, 1)
    for (_, mine), (_, theirs) in zip(
        Objective(rows).scores(coef), Objective(features).scores(subspace.lift(coef)), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


# scikit-learn's numbers


def objective_of(X: Any, y: Any, weights: Any, cost: float, coef: Any, intercept: Any) -> float:
    scores = X @ coef.T + intercept
    scores = np.column_stack([np.zeros(len(X)), scores[:, 0]]) if len(coef) == 1 else scores
    losses = np.logaddexp.reduce(scores, 1) - scores[np.arange(len(X)), y]
    return float(cost * (weights * losses).sum() + 0.5 * (coef**2).sum())


@pytest.mark.parametrize("seed", range(100))
def test_the_objective_is_scikit_learns(seed: int) -> None:
    draws = np.random.default_rng(seed)
    n, d, c = (int(draws.integers(*ends)) for ends in ((20, 200), (1, 12), (2, 7)))
    y = draws.choice(c, n, p=draws.dirichlet(np.ones(c) * (0.5 if seed % 2 else 5)))  # of very unequal classes
    y[:c] = np.arange(c)
    X = draws.normal(size=(n, d)) * 10 ** draws.uniform(-1, 1, d) + draws.normal(size=(c, d))[y]
    X += 5 * draws.normal(size=d)
    weights = draws.exponential(size=n) if seed % 3 else np.ones(n)
    cost = 10 ** draws.uniform(-2, 1.5)
    ours = SoftmaxClassifier(C=cost, tol=1e-10, penalize_intercept=False).fit(X, y, weights)
    theirs = LogisticRegression(C=cost, tol=1e-10, max_iter=10_000, solver="newton-cholesky").fit(X, y, weights)
    mine, best = (objective_of(X, y, weights, cost, model.coef_, model.intercept_) for model in (ours, theirs))
    assert mine == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits])
def test_weights_are_scikit_learns(load: Any) -> None:
    X, y = load(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0).clip(1e-9) if load is load_wine else X
    ours = SoftmaxClassifier(tol=1e-12, penalize_intercept=False).fit(X, y)
    theirs = LogisticRegression(tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_ - theirs.intercept_.mean(), atol=1e-6)


def test_class_by_class_it_is_one_against_the_rest() -> None:
    X, y = load_iris(return_X_y=True)
    ours = LogisticClassifier(C=0.5, tol=1e-12, penalize_intercept=False).fit(X, y)
    one = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    theirs = OneVsRestClassifier(one).fit(X, y)
    np.testing.assert_allclose(ours.coef_, np.vstack([model.coef_ for model in theirs.estimators_]), atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, [model.intercept_[0] for model in theirs.estimators_], atol=1e-6)


def test_two_classes_of_a_hinge_are_libsvms() -> None:
    X, y = load_iris(return_X_y=True)
    X, y = X[y > 0], y[y > 0]
    ours = HingeClassifier(C=0.7, tol=1e-7, penalize_intercept=False).fit(X, y)
    theirs = SVC(kernel="linear", C=0.7, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-2)


def test_a_large_intercept_scaling_comes_close() -> None:
    X, y = load_iris(return_X_y=True)
    near_by = SquaredHingeClassifier(C=1.0, intercept_scaling=1e4, tol=1e-12).fit(X, y)
    ours = SquaredHingeClassifier(C=1.0, penalize_intercept=False, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(ours.coef_, near_by.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.intercept_, near_by.intercept_, atol=1e-4)
    assert ours.objective_ <= near_by.objective_


def test_without_an_intercept_there_is_nothing_to_let_go() -> None:
    X, y = load_iris(return_X_y=True)
    ours = SoftmaxClassifier(fit_intercept=False, penalize_intercept=False, tol=1e-10).fit(X, y)
    plain = SoftmaxClassifier(fit_intercept=False, tol=1e-10).fit(X, y)
    assert np.array_equal(ours.coef_, plain.coef_)
    assert not ours.intercept_.any()


def test_folds_and_parts_of_the_rows_leave_it_free() -> None:
    X, y = load_iris(return_X_y=True)
    found = SoftmaxClassifierCV(regs=[1e-3, 1e-1], penalize_intercept=False, tol=1e-10).fit(X + 100, y)
    alone = SoftmaxClassifier(reg=found.reg_, penalize_intercept=False, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(found.coef_, alone.coef_, atol=1e-4)
    zeros, labels = np.zeros((50, 2)), np.r_[np.zeros(40), np.ones(10)]
    penalized, let_go = (
        SoftmaxClassifier(reg=10.0, solver="sgd", learning_rate=0.01, batch_size=10, penalize_intercept=penalize)
        for penalize in (True, False)
    )
    for _ in range(60):
        for model in (penalized, let_go):
            model.partial_fit(zeros, labels, classes=[0, 1])
    assert float(let_go.intercept_[0]) < 2 * float(penalized.intercept_[0]) < 0


# Sparse rows and the command line


def test_sparse_rows_have_the_same_optimum() -> None:
    draws = np.random.default_rng(0)
    X = sparse.random(300, 40, 0.2, random_state=0, format="csr")
    y = draws.integers(0, 3, 300)
    ours, dense = (SoftmaxClassifier(tol=1e-10, penalize_intercept=False).fit(rows, y) for rows in (X, X.toarray()))
    np.testing.assert_allclose(ours.coef_, dense.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.intercept_, dense.intercept_, atol=1e-5)


def test_the_command_line_has_it(colinear: Program, tmp_path: Path) -> None:
    said = colinear(
        "tune", "digits", "--loss", "softmax", "--regs", "1e-3", "--free-intercept", "--out", tmp_path / "r"
    )
    assert said.status == 0, said.err
    results = json.loads((tmp_path / "r" / "results.json").read_text())
    assert results["settings"]["free_intercept"] is True
    [run] = results["runs"]
    assert run["trials"][0]["relative_gap"] <= 1e-3
    said = colinear("tune", "digits", "--free-intercept", "--intercept-scaling", "0")
    assert_refused(said, "--free-intercept needs the constant feature")
