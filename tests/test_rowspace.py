"""Few rows, many columns: the path in the space of the rows is the path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from colinear.datasets import ArrayDataset, Features, Split, fit_scaling
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.search.path_search import PathSearch
from colinear.search.rowspace import search_row_space, suits_row_space
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import tune

REGS = (1e-3, 1e-2, 1e-1)


def dataset(n: int, seed: int) -> ArrayDataset:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 64, generator=generator)
    features[:, 0] *= 30
    return ArrayDataset(features, torch.arange(n) % 3, ("a", "b", "c"))


@pytest.fixture(scope="module")
def parts() -> tuple[Features, Features]:
    train, validation = dataset(24, 0), dataset(40, 1)
    scaling = fit_scaling(train)
    return Features(train, scaling), Features(validation, scaling)


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_it_is_the_path_of_all_columns(parts: tuple[Features, Features], loss: str) -> None:
    train, validation = parts
    search = PathSearch(loss, REGS, tol=1e-7, max_passes=2000)
    few, all_columns = search_row_space(search, train, validation), search.run(train.at(torch.float64), validation)
    assert few.coef.shape == (3, 3, 65)
    torch.testing.assert_close(few.coef.double(), all_columns.coef.double(), rtol=0, atol=2e-3)
    for one, other in zip(few.trials, all_columns.trials, strict=True):
        assert one.objective == pytest.approx(other.objective, rel=1e-6)
        assert one.relative_gap is not None
        assert one.relative_gap <= 1e-7
        assert one.train_accuracy == other.train_accuracy


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_objective_and_accuracies_are_those_of_the_weights_it_returns(
    parts: tuple[Features, Features], loss: str
) -> None:
    train, validation = parts
    result = search_row_space(PathSearch(loss, REGS), train, validation)
    objective = Objective(train.at(torch.float64))
    regs = torch.tensor(REGS, dtype=torch.float64)
    values = objective.evaluate(result.coef.double(), regs, LOSSES[loss]).objective
    assert [trial.objective for trial in result.trials] == pytest.approx(values.tolist(), rel=1e-9)
    accuracies = Objective(validation.at(torch.float64)).accuracy(result.coef.double()).tolist()
    assert [trial.val_accuracy for trial in result.trials] == accuracies


def test_rows_twice_over_span_less_and_change_nothing(parts: tuple[Features, Features]) -> None:
    train, validation = parts
    twice = Features(train.dataset.subset(torch.arange(24).repeat(2)[:32]), train.scaling)
    result = search_row_space(PathSearch("softmax", REGS), twice, validation)
    assert all(trial.status.name == "CONVERGED" for trial in result.trials)


def test_only_few_rows_go_there(parts: tuple[Features, Features]) -> None:
    train, validation = parts
    assert suits_row_space(train, validation)  # 24 rows, 65 columns
    assert not suits_row_space(validation, validation)


def test_tune_takes_it_and_says_so(tmp_path: Path) -> None:
    split = Split(dataset(24, 0), dataset(40, 1), dataset(40, 2))
    settings = Settings("array", losses=("softmax",), regs=REGS, device="cpu")
    with RunFolder(tmp_path / "few") as folder:
        [run] = tune(settings, split, folder)
    assert run.entry["details"]["subspace"] == {"directions": 24, "of": 65, "share": 1.0}
    with RunFolder(tmp_path / "many") as folder:
        [run] = tune(settings, replace(split, train=dataset(60, 0)), folder)
    assert "subspace" not in run.entry["details"]
