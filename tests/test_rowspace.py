"""Few rows, many columns: the path in the space of the rows is the path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from colinear import HingeClassifier
from colinear.datasets import ArrayDataset, Features, Scaling, Split, fit_scaling
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import tune
from colinear.solvers import Path as SolvedPath
from colinear.solvers import Status, Tuning, solve_path
from colinear.solvers.path import fit_preconditioner
from colinear.solvers.rowspace import RowSpace, suits_row_space

REGS = (1e-3, 1e-2, 1e-1)
every_loss = pytest.mark.parametrize("loss", ["softmax", "hinge"])


def dataset(n: int, seed: int) -> ArrayDataset:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 64, generator=generator)
    features[:, 0] *= 30
    return ArrayDataset(features, torch.arange(n) % 3, ("a", "b", "c"))


@pytest.fixture(scope="module")
def train() -> Features:
    data = dataset(24, 0)
    return Features(data, fit_scaling(data))


def solve_in_all_columns(objective: Objective, loss: str, **how: Any) -> SolvedPath:
    features = objective.features.at(torch.float64)
    never = Tuning(columns_per_row=100)
    return solve_path(replace(objective, features=features), LOSSES[loss], REGS, tuning=never, **how)


@every_loss
def test_it_is_the_path_of_all_columns(train: Features, loss: str) -> None:
    few = solve_path(train, LOSSES[loss], REGS, tol=3e-7, max_passes=2000)
    everywhere = solve_in_all_columns(Objective(train), loss, tol=3e-7, max_passes=2000)
    assert few.details["subspace"] == {"directions": 24, "of": 65, "share": 1.0}
    assert "subspace" not in everywhere.details
    assert few.coef.shape == (3, 3, 65)
    torch.testing.assert_close(few.coef, everywhere.coef, rtol=0, atol=2e-3)
    for one, other in zip(few.points, everywhere.points, strict=True):
        assert one.objective == pytest.approx(other.objective, rel=1e-6)
        assert one.relative_gap <= 3e-7


@every_loss
def test_weights_and_folds_go_along(train: Features, loss: str) -> None:
    weights = torch.linspace(0.5, 2, 24)
    objective = Objective(train, row_weights=weights, folds=torch.arange(24) % 4)
    held_out = torch.tensor([0, -1, 3])
    how: dict[str, Any] = {"tol": 1e-6, "max_passes": 2000, "held_out": held_out}
    few = solve_path(objective, LOSSES[loss], REGS, **how)
    everywhere = solve_in_all_columns(objective, loss, **how)
    for one, other in zip(few.points, everywhere.points, strict=True):
        assert one.objective == pytest.approx(other.objective, rel=2e-6)


@every_loss
def test_objective_and_gap_are_those_of_the_weights_it_returns(train: Features, loss: str) -> None:
    path = solve_path(train, LOSSES[loss], REGS)
    objective = Objective(train.at(torch.float64))
    there = objective.evaluate(path.coef, torch.tensor(REGS, dtype=torch.float64), LOSSES[loss])
    assert [point.objective for point in path.points] == pytest.approx(there.objective.tolist(), rel=1e-12)
    if loss == "softmax":
        assert [point.gap for point in path.points] == pytest.approx(there.gap.tolist(), rel=1e-6)


def test_it_starts_where_it_is_told(train: Features) -> None:
    end = solve_path(train, LOSSES["softmax"], [1e-2], tol=1e-9)
    again = solve_path(train, LOSSES["softmax"], [1e-2], tol=1e-8, start=end.coef)
    assert again.passes == 1
    torch.testing.assert_close(again.coef, end.coef, rtol=0, atol=1e-12)


def test_rows_twice_over_span_less_and_change_nothing(train: Features) -> None:
    twice = Features(train.dataset.subset(torch.arange(24).repeat(2)[:32]), train.scaling)
    path = solve_path(twice, LOSSES["softmax"], REGS)
    assert all(point.status.name == "CONVERGED" for point in path.points)


def test_the_hinge_on_few_rows_reaches_its_certificate() -> None:
    """20 rows, 800 columns: with all columns the hinge was 0.08 % off and its certificate 100 %."""
    generator = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(20, 800, generator=generator, dtype=torch.float64), torch.arange(20) % 3
    model = HingeClassifier(C=100.0).fit(rows, labels)
    assert model.relative_gap_ <= 1e-4
    assert model.n_iter_ <= 150


def test_only_few_rows_go_there(train: Features) -> None:
    assert suits_row_space(Objective(train))  # 24 rows, 65 columns
    more = dataset(33, 0)
    assert not suits_row_space(Objective(Features(more, fit_scaling(more))))
    assert fit_preconditioner(Objective(train)) is None


def test_a_basis_too_large_for_memory_is_not_made() -> None:
    n, d = 4000, 40_000  # 1.3 GB
    wide = ArrayDataset(torch.zeros(1, 1).expand(n, d), torch.arange(n) % 2, ("a", "b"))
    features = Features(wide, fit_scaling(wide.subset(torch.arange(2))))
    assert Tuning().columns_per_row * n <= d
    assert not suits_row_space(Objective(features))


def test_scores_and_penalty_are_kept(train: Features) -> None:
    space = RowSpace.of(Objective(train))
    coef = torch.randn(2, 3, 65, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rows = train.at(torch.float64).gather(slice(0, 24))
    inner = space.restrict(coef)
    projected = space.objective.features.gather(slice(0, 24))
    torch.testing.assert_close(inner @ projected.mT, coef @ rows.mT, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(space.lift(inner).square().sum(), inner.square().sum(), rtol=1e-12, atol=0)


def test_tune_takes_it_and_says_so(tmp_path: Path) -> None:
    split = Split(dataset(24, 0), dataset(40, 1), dataset(40, 2))
    settings = Settings("array", losses=("softmax",), regs=REGS, device="cpu")
    with RunFolder(tmp_path / "few") as folder:
        [run] = tune(settings, split, folder)
    assert run.entry["details"]["subspace"] == {"directions": 24, "of": 65, "share": 1.0}
    with RunFolder(tmp_path / "many") as folder:
        [run] = tune(settings, replace(split, train=dataset(60, 0)), folder)
    assert "subspace" not in run.entry["details"]


def test_refit_and_cross_validation_take_it_too(tmp_path: Path) -> None:
    split = Split(dataset(24, 0), dataset(6, 1), dataset(40, 2))
    for name, extra in {"refit": {"refit": True}, "cv": {"cv": 3}}.items():
        settings = Settings("array", losses=("hinge",), regs=REGS, device="cpu", **extra)
        with RunFolder(tmp_path / name) as folder:
            [run] = tune(settings, split, folder)
        assert run.entry["details"]["subspace"]["of"] == 65
        assert run.model.weight.shape == (3, 64)


def test_what_is_reported_is_true_of_the_weights_on_all_columns() -> None:
    """A column of 1e12 leaves the basis wrong by 1e-4: a gap of 0 among the rows is none on the columns."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(20, 60, generator=generator, dtype=torch.float64)
    rows[:, 0] = 1e12 * (1 + 1e-3 * torch.randn(20, generator=generator, dtype=torch.float64))
    data = ArrayDataset(rows, torch.arange(20) % 3, ("a", "b", "c"))
    unit = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(60, dtype=torch.float64))
    objective = Objective(Features(data, unit, torch.float64))
    for loss in LOSSES.values():
        (point,) = solve_path(objective, loss, [1e-7], max_passes=200).points
        everywhere = solve_path(objective, loss, [1e-7], max_passes=2000, tuning=Tuning(columns_per_row=100)).points[0]
        there = objective.evaluate(point.coef[None], torch.tensor([1e-7]).double(), loss)
        assert point.objective == pytest.approx(float(there.objective), rel=1e-12)
        assert point.objective - point.gap <= everywhere.objective * (1 + 1e-9)  # an honest bound on the optimum
        assert (point.status is Status.CONVERGED) == (point.relative_gap <= 1e-3)
