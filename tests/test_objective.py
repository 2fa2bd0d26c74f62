"""The objective: one value whatever the chunks, weights, folds or processes, and a gap that bounds the optimum."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.problems import as_features, draw_coef, draw_features, draw_rows, reference_of
from tests.processes import run_well
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features
from colinear.datasets.answers import is_right
from colinear.hessian import Hessian
from colinear.losses import LOSSES, Hinge, Loss, Softmax
from colinear.model import LinearModel
from colinear.objective import Evaluation, Objective, label_rows, squared_norm

REGS = torch.tensor([1e-3, 0.1, 2.0], dtype=torch.float64)
K = len(REGS)
every_loss = pytest.mark.parametrize(
    "loss", [Softmax(), Hinge(), Hinge(0.3)], ids=["softmax", "hinge", "smoothed hinge"]
)
quick = settings(max_examples=15)


def assert_same(actual: Evaluation, expected: Evaluation, tolerance: float = 1e-12) -> None:
    for f in fields(Evaluation):
        torch.testing.assert_close(
            getattr(actual, f.name), getattr(expected, f.name), rtol=tolerance, atol=tolerance, msg=f.name
        )


def take(features: Features, rows: Tensor) -> Features:
    return Features(features.dataset.subset(rows), features.scaling, features.dtype)


# Known values


@every_loss
@quick
@given(
    n=st.integers(1, 30), d=st.integers(1, 5), c=st.integers(2, 5), seed=st.integers(0, 10**6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip
def test_value_gradient_and_gap_agree_with_the_definitions(
    loss: Loss, n: int, d: int, c: int, seed: int, dtype: torch.dtype
) -> None:
    features = draw_features(n, d, c, seed, dtype)
    coef = draw_coef(K, features, seed)
    found = Objective(features).evaluate(coef, REGS, loss)
    width = float(loss.width) if isinstance(loss, Hinge) else 0.0
    for k, reg in enumerate(REGS.tolist()):
        reference, w = reference_of(loss.name, features, reg), coef[k].numpy()
        assert float(found.objective[k]) == pytest.approx(reference.value(w), rel=1e-12)
        assert float(found.value[k]) == pytest.approx(reference.value(w, width), rel=1e-12)
        np.testing.assert_allclose(found.gradient[k].numpy(), reference.gradient(w, width), rtol=1e-9, atol=1e-12)
        assert float(found.gap[k]) == pytest.approx(reference.gap(w, width), rel=1e-9, abs=1e-12)
        squares = float((reference.gradient(w, width) ** 2).sum())
        assert float(found.value_gap[k]) == pytest.approx(squares / (4 * reg), rel=1e-9)


@pytest.mark.parametrize("loss", [Softmax(), Hinge(0.3)], ids=["softmax", "smoothed hinge"])
def test_gradient_and_mean_curvature_agree_with_autograd(loss: Loss) -> None:
    features = draw_features(9, 3, 4)
    x, labels = features.gather(slice(0, 9)).clone(), features.labels
    coef = draw_coef(K, features).requires_grad_()

    def losses(scores: Tensor) -> Tensor:  # (k, c, n) -> (k,)
        own = scores.gather(1, labels.expand(len(scores), 1, -1))
        if isinstance(loss, Softmax):
            return (scores.logsumexp(1) - own.squeeze(1)).mean(-1)
        margins = (scores - own + 1).scatter(1, labels.expand(len(scores), 1, -1), -1.0).clamp(min=0)
        return torch.where(margins < 0.3, margins.square() / 0.6, margins - 0.15).sum(1).mean(-1)

    (losses(coef @ x.mT) + REGS * coef.square().sum((1, 2))).sum().backward()
    found = Objective(features).evaluate(coef.detach(), REGS, loss, curvature=True)
    torch.testing.assert_close(found.gradient, coef.grad, rtol=1e-10, atol=1e-12)
    # one shift of all rows' scores sees the mean of their Hessians
    shift = torch.zeros(1, 4, 1, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda s: losses((coef.detach() @ x.mT)[1:2] + s)[0], shift)
    excess = found.curvature[1] - hessian.view(4, 4).diagonal()  # the hinge has a bound from above in its place
    assert float(excess.min()) >= -1e-12
    if isinstance(loss, Softmax):
        assert float(excess.abs().max()) <= 1e-12


@pytest.mark.parametrize("name", ["softmax", "hinge"])
def test_the_gap_bounds_the_distance_to_the_optimum_at_any_point(name: str) -> None:
    for seed in range(12):
        features = draw_features(5 + 3 * seed, 1 + seed % 4, 2 + seed % 3, seed)
        for k, reg in enumerate(REGS.tolist()):
            reference = reference_of(name, features, reg)
            start = np.zeros((features.n_classes, features.n_features))
            widths = (0.0,) if name == "softmax" else (1.0, 0.1, 1e-2, 1e-3, 1e-4)
            optimum = reference.value(reference.minimise(start, widths))
            for size in (1e-3, 0.1, 3.0):
                coef = draw_coef(K, features, seed, size)
                for loss in [LOSSES[name]] + ([Hinge(1.0), Hinge(1e-2)] if name == "hinge" else []):
                    found = Objective(features).evaluate(coef, REGS, loss)
                    assert float(found.gap[k]) >= float(found.objective[k]) - optimum - 1e-12


# Identities


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@quick
@given(size=st.integers(1, 70))
def test_the_size_of_chunks_changes_nothing_beyond_rounding(loss: Loss, dtype: torch.dtype, size: int) -> None:
    features = draw_features(57, 4, 3, dtype=dtype)
    coef = draw_coef(K, features).to(dtype)
    whole = Objective(features).evaluate(coef, REGS, loss, curvature=True)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    assert_same(Objective(features, chunk_rows=size).evaluate(coef, REGS, loss, curvature=True), whole, tolerance)
    one, other = (Objective(features, chunk_rows=s).second_moment(torch.arange(57), dtype) for s in (size, 57))
    torch.testing.assert_close(one, other)


@every_loss
def test_candidates_at_once_are_each_alone(loss: Loss) -> None:
    features = draw_features(40, 5, 4)
    objective, coef = Objective(features), draw_coef(K, features)
    found = objective.evaluate(coef, REGS, loss, curvature=True)
    for k in range(K):
        member = torch.tensor([k])
        assert_same(found.keep(member), objective.evaluate(coef[member], REGS[member], loss, curvature=True))


@every_loss
def test_weight_two_is_a_row_twice_and_weight_zero_no_row(loss: Loss) -> None:
    features, counts = draw_features(20, 3, 3), torch.arange(20) % 3
    coef = draw_coef(K, features)
    copied = take(features, torch.arange(20).repeat_interleave(counts))
    weighted, plain = Objective(features, counts.double(), chunk_rows=7), Objective(copied)
    assert_same(weighted.evaluate(coef, REGS, loss, curvature=True), plain.evaluate(coef, REGS, loss, curvature=True))
    rows = torch.arange(copied.n_samples)
    moment = plain.second_moment(rows, torch.float64)
    torch.testing.assert_close(weighted.second_moment(torch.arange(20), torch.float64), moment)
    vectors = draw_coef(1, features)[0].mT.contiguous()
    torch.testing.assert_close(weighted.second_moment_times(vectors, torch.arange(20)), moment @ vectors)
    torch.testing.assert_close(plain.second_moment_times(vectors, rows), moment @ vectors)


@every_loss
def test_permuted_rows_and_classes_permute_the_gradient(loss: Loss) -> None:
    data = draw_rows(30, 3, 4)
    coef = draw_coef(K, as_features(data))
    order, classes = torch.randperm(30, generator=torch.Generator().manual_seed(1)), torch.tensor([2, 0, 3, 1])
    moved = replace(data, features=data.features[order], labels=classes.argsort()[data.labels[order]])
    found = Objective(as_features(moved)).evaluate(coef[:, classes], REGS, loss, curvature=True)
    expected = Objective(as_features(data)).evaluate(coef, REGS, loss, curvature=True)
    torch.testing.assert_close(found.objective, expected.objective)
    torch.testing.assert_close(found.gap, expected.gap)
    torch.testing.assert_close(found.gradient, expected.gradient[:, classes])


# Folds


@every_loss
@pytest.mark.parametrize("weighted", [False, True])
def test_a_fold_held_out_is_the_objective_on_the_rows_kept(loss: Loss, weighted: bool) -> None:
    features = draw_features(31, 3, 3)
    folds = torch.arange(31) % 4
    weights = torch.linspace(0, 2, 31, dtype=torch.float64) if weighted else None
    held_out = torch.tensor([2, -1, 0])
    coef = draw_coef(K, features)
    objective = Objective(features, weights, folds, chunk_rows=10)
    found = objective.evaluate(coef, REGS, loss, held_out, curvature=True)
    for k, fold in enumerate(held_out.tolist()):
        kept = (folds != fold).nonzero().squeeze(1)
        alone = Objective(take(features, kept), None if weights is None else weights[kept])
        member = torch.tensor([k])
        assert_same(found.keep(member), alone.evaluate(coef[member], REGS[member], loss, curvature=True))


def test_holding_out_without_folds_is_refused() -> None:
    features = draw_features(5, 2, 2)
    with pytest.raises(InputError, match="needs folds"):
        Objective(features).evaluate(draw_coef(1, features), REGS[:1], Softmax(), torch.tensor([0]))


# Scores


def test_accuracy_counts_ties_for_the_lowest_class() -> None:
    features = as_features(ArrayDataset(torch.eye(4), torch.tensor([0, 0, 1, 2]), ("a", "b", "c")))
    _, scores = next(Objective(features).scores(torch.zeros(2, 3, 5)))
    assert is_right(scores, features.labels).tolist() == [[True, True, False, False]] * 2


@quick
@given(size=st.integers(1, 40))
def test_scores_walk_the_rows_in_order(size: int) -> None:
    features = draw_features(33, 4, 3)
    coef = draw_coef(2, features)
    blocks = list(Objective(features, chunk_rows=size).scores(coef))
    assert [rows.start for rows, _ in blocks] == list(range(0, 33, size))
    expected = coef @ features.gather(slice(0, 33)).mT
    torch.testing.assert_close(torch.cat([block for _, block in blocks], 2), expected)


def test_a_model_labels_raw_rows_as_its_weights_label_scaled_ones() -> None:
    data = draw_rows(50, 4, 3, dtype=torch.float32)
    features = as_features(data)
    coef = draw_coef(1, features)
    model = LinearModel.from_coef(coef[0], features.scaling, data.class_names)
    accuracy = (label_rows(model, data) == data.labels).double().mean()
    scores = torch.cat([part for _, part in Objective(features).scores(coef.float())], 2)
    assert float(accuracy) == float(is_right(scores, data.labels).double().mean())


def test_evaluations_merge_and_squared_norms_are_float64_sums() -> None:
    features = draw_features(10, 2, 2)
    objective = Objective(features)
    one, other = (objective.evaluate(draw_coef(K, features, seed), REGS, Softmax(), curvature=True) for seed in (0, 1))
    merged = one.merge(other, torch.tensor([False, True, False]))
    assert_same(merged.keep(torch.tensor([1])), other.keep(torch.tensor([1])), 0)
    assert_same(merged.keep(torch.tensor([0, 2])), one.keep(torch.tensor([0, 2])), 0)
    assert squared_norm(torch.full((1, 100, 1000), 1e-3)).item() == pytest.approx(0.1, rel=1e-6)
    assert squared_norm(torch.tensor([[[1.0, 2**-13]]])).item() == 1 + 2**-26  # float32 has no number there
    torch.testing.assert_close(one.relative_gap, one.gap / one.objective)


def test_an_objective_of_zero_has_a_relative_gap_of_zero() -> None:
    one_class = as_features(ArrayDataset(torch.ones(3, 2), torch.zeros(3, dtype=torch.int64), ("only",)))
    found = Objective(one_class).evaluate(torch.zeros(1, 1, 3), REGS[:1], Softmax(), curvature=True)
    assert (found.objective.item(), found.relative_gap.item()) == (0, 0)


# Processes


@dataclass(frozen=True)
class Sharded:
    first: dict[str, Any]
    second: dict[str, Any]
    objective: Objective
    problem: dict[str, Any]


WORKER = """
import sys, torch
from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, Scaling
from colinear.datasets.sparse import SparseMatrix
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.parallel.group import Group
from colinear.parallel.launch import Launch
from colinear.hessian import Hessian
from colinear.solvers.path import solve_path
folder, group = sys.argv[1], Group.join(Launch.find(), 20)
problem = torch.load(f"{folder}/problem.pt")
data = ArrayDataset(problem["x"], problem["y"], tuple("abc"))
mine = (slice(0, 17), torch.empty(0, dtype=torch.int64), slice(17, 40))[group.rank]
shard = data.subset(mine)
features = Features(shard, Scaling(torch.ones(()).double(), torch.zeros(4).double()), torch.float64)
weights = problem["weights"][mine]
objective, found = Objective(features, weights, problem["folds"][mine], group=group), {}
for name, loss in LOSSES.items():
    found[name] = vars(objective.evaluate(problem["coef"], problem["regs"], loss, curvature=True))
    path = solve_path(objective, loss, problem["regs"], tol=1e-3)
    found[f"{name} path"] = path.coef, [p.objective for p in path.points], [p.status.name for p in path.points]
held = problem["held_out"][2:]
found["hessian"] = Hessian.at(objective, problem["coef"][:1], LOSSES["softmax"], 0.1, held).times(problem["coef"][1:2])
rows = objective.mine(torch.arange(40))
found["moment"] = objective.second_moment(rows, torch.float64)
found["moment times"] = objective.second_moment_times(problem["matrix"], rows)
thin = SparseMatrix.checked(range(41), [0] * 17 + [2] * 23, torch.ones(40), 4)
thin = Features(ArrayDataset(thin, problem["y"], tuple("abc")).subset(mine), features.scaling)
found["present"] = Objective(thin, group=group).present()
found["only"] = Objective(thin.only(torch.tensor([0, 2])), group=group).column_squares()
found["kept"] = objective.kept_weight(problem["held_out"])
held = problem["held_out"]
found["held out"] = objective.evaluate(problem["coef"], problem["regs"], LOSSES["hinge"], held).objective

def refusal(call):
    try:
        return call() and None
    except InputError as error:
        return str(error)

loss = LOSSES["softmax"]
def solve(features, reg=0.1):
    return refusal(lambda: solve_path(Objective(features, group=group), loss, [reg]))

own = Features(shard, Scaling(torch.ones(()).double(), torch.full((4,), 1.0 * group.rank).double()), torch.float64)
found["own scaling"], found["one scaling"] = solve(own), solve(features)
found["own reg"] = solve(features, 1 + group.rank)
torch.save(found, f"{folder}/found-{group.rank}.pt")
group.end()
"""


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Sharded:
    """What each of three processes, the second without rows, finds, and the objective of all rows in one."""
    tmp_path = tmp_path_factory.mktemp("sharded")
    features = draw_features(40, 4, 3)
    data, coef = features.dataset, draw_coef(K, features)
    weights = torch.linspace(0.5, 2, 40, dtype=torch.float64)
    rows, folds = data.take(slice(0, 40)), torch.arange(40) % 3
    problem = {
        "x": rows, "y": data.labels, "coef": coef, "regs": REGS, "weights": weights, "folds": folds,
        "matrix": torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        "held_out": torch.tensor([2, -1, 0]),
    }  # fmt: skip
    torch.save(problem, tmp_path / "problem.pt")
    run_well(["-c", WORKER, str(tmp_path)], 3)
    first, second, _ = (torch.load(tmp_path / f"found-{rank}.pt") for rank in range(3))
    return Sharded(first, second, Objective(features, weights, folds), problem)


def test_processes_with_a_shard_each_or_none_are_one_with_all_rows(sharded: Sharded) -> None:
    first, second, objective, coef = sharded.first, sharded.second, sharded.objective, sharded.problem["coef"]
    for name, loss in LOSSES.items():
        expected = objective.evaluate(coef, REGS, loss, curvature=True)
        assert_same(Evaluation(**first[name]), expected)
        assert_same(Evaluation(**second[name]), Evaluation(**first[name]), 0)
        assert torch.equal(first[f"{name} path"][0], second[f"{name} path"][0])
        assert first[f"{name} path"][2] == ["CONVERGED"] * K
        whole = objective.evaluate(first[f"{name} path"][0], REGS, loss)
        torch.testing.assert_close(whole.objective.tolist(), first[f"{name} path"][1])
    hessian = Hessian.at(objective, coef[:1], LOSSES["softmax"], 0.1, sharded.problem["held_out"][2:])
    torch.testing.assert_close(first["hessian"], hessian.times(coef[1:2]))
    rows, held_out = torch.arange(40), sharded.problem["held_out"]
    torch.testing.assert_close(first["moment"], objective.second_moment(rows, torch.float64))
    times = objective.second_moment_times(sharded.problem["matrix"], rows)
    torch.testing.assert_close(first["moment times"], times)
    torch.testing.assert_close(first["kept"], objective.kept_weight(held_out))
    held = objective.evaluate(coef, REGS, LOSSES["hinge"], held_out).objective
    torch.testing.assert_close(first["held out"], held)
    assert first["present"].tolist() == [True, False, True, False]  # the first has one, the third the other
    torch.testing.assert_close(first["only"].tolist(), [17 / 40, 23 / 40, 1.0])
    for name in ("present", "only", "moment", "moment times", "kept", "held out"):
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("own scaling", "the 3 processes of the group must have the same scaling: process 0 has"),
        ("own reg", "the 3 processes of the group must have the same strengths: process 0 has"),
    ],
)
def test_what_would_be_another_problem_in_each_process_is_refused_in_all(
    sharded: Sharded, what: str, message: str
) -> None:
    assert sharded.first[what].startswith(message)
    assert sharded.second[what].startswith(message)
    assert sharded.first["one scaling"] is None


# The size of features


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_the_mean_square_is_the_trace_of_the_covariance(offset: float) -> None:
    data = draw_rows(90, 5, 3, seed=1)
    rows = data.features.numpy()
    features = as_features(replace(data, features=data.features + offset), bias=3.0)
    assert Objective(features).mean_square() == pytest.approx(np.cov(rows.T, ddof=0).trace(), rel=1e-9)
    assert Objective(features).mean_square(10) == pytest.approx(np.cov(rows[::9].T, ddof=0).trace(), rel=1e-9)


def test_the_mean_square_counts_a_row_of_weight_two_twice() -> None:
    features = draw_features(30, 4, 3, seed=2)
    times = torch.arange(30) % 3
    twice = take(features, torch.arange(30).repeat_interleave(times))
    weighted = Objective(features, row_weights=times.double())
    assert weighted.mean_square() == pytest.approx(Objective(twice, chunk_rows=7).mean_square(), rel=1e-12)
