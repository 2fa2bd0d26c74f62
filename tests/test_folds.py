"""Folds as candidates of one solve: how splits are packed, what their rows weigh, and that both orders agree."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.problems import as_features, draw_rows
from tests.processes import run_well

from colinear.checks import InputError
from colinear.losses import LOSSES, Loss
from colinear.objective import Objective
from colinear.solvers.folds import CrossValidation, FoldBatch, batch_splits, cross_validate
from colinear.solvers.path import solve_path

REGS = (1e-1, 1e-3)
N, FOLDS = 61, 4  # folds of 15 and 16 rows
FEATURES = as_features(draw_rows(N, 4, 3, seed=1, spread=0.8))
DEALT = torch.arange(N) % FOLDS
WEIGHTS = torch.linspace(0, 2, N, dtype=torch.float64)
TRAINED = Objective(FEATURES, row_weights=WEIGHTS)

every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
both_orders = pytest.mark.parametrize("first", [True, False], ids=["all rows first", "together"])


def validate(
    loss: Loss,
    first: bool,
    judged: Objective,
    objective: Objective = TRAINED,
    folds: torch.Tensor = DEALT,
    **how: object,
) -> CrossValidation:
    solve = partial(solve_path, loss=loss, tol=1e-6, max_passes=3000)
    batches = [FoldBatch(folds, tuple(range(FOLDS)))]
    return cross_validate(solve, objective, judged, REGS, batches, all_rows_first=first, **how)  # type: ignore[arg-type]


def test_splits_are_packed_into_as_few_batches_as_their_test_sets_allow() -> None:
    rows = np.arange(6)
    halves = [(rows[3:], rows[:3]), (rows[:3], rows[3:])]
    thirds = [(np.setdiff1d(rows, rows[i : i + 2]), rows[i : i + 2]) for i in (0, 2, 4)]
    partial = [(rows[:2], rows[4:])]
    batches = batch_splits([*halves, *thirds, *partial], 6)
    assert [batch.splits for batch in batches] == [(0, 1), (2, 3, 4), (5,)]
    assert batches[1].folds.tolist() == [0, 0, 1, 1, 2, 2]
    assert batches[2].trained is not None
    assert batches[2].trained.tolist() == [True, True, False, False, False, False]
    assert batches[2].folds.tolist() == [1, 1, 1, 1, 0, 0]


@every_loss
@both_orders
@pytest.mark.parametrize("judges", [None, torch.linspace(1, 3, N, dtype=torch.float64)], ids=["even", "weighted"])
def test_rows_weigh_apart_in_training_and_in_accuracies(loss: Loss, first: bool, judges: torch.Tensor | None) -> None:
    found = validate(loss, first, Objective(FEATURES, row_weights=judges, chunk_rows=10))
    counts = torch.ones(N, dtype=torch.float64) if judges is None else judges
    whole = solve_path(TRAINED, loss, REGS, tol=1e-6, max_passes=3000)
    torch.testing.assert_close(found.path.coef, whole.coef, rtol=1e-2, atol=1e-2)
    for fold in range(FOLDS):
        mine = fold == DEALT
        own = solve_path(Objective(FEATURES, row_weights=WEIGHTS * ~mine), loss, REGS, tol=1e-6, max_passes=3000)
        scores = torch.cat([block for _, block in Objective(FEATURES).scores(own.coef.to(FEATURES.dtype))], 2)
        right = (scores.argmax(1) == FEATURES.labels) & mine  # (k, n)
        torch.testing.assert_close(found.correct[:, fold], right.double() @ counts)
        torch.testing.assert_close(found.weights[fold], counts[mine].sum())


def test_the_mean_is_the_share_of_all_weight_and_the_spread_that_of_the_splits() -> None:
    found = validate(LOSSES["softmax"], True, Objective(FEATURES))
    shares = found.correct.numpy() / np.array([16, 15, 15, 15])
    np.testing.assert_allclose(found.accuracies, shares)
    np.testing.assert_allclose(found.means, found.correct.numpy().sum(1) / N)
    np.testing.assert_allclose(found.spreads, shares.std(1, ddof=1))


@both_orders
def test_every_fit_counts_its_passes_and_reports(first: bool) -> None:
    done: list[int] = []
    found = validate(LOSSES["softmax"], first, Objective(FEATURES), relay=lambda fits: lambda *_: done.append(fits))
    assert [len(path.points) for path in found.solves] == ([2, 8] if first else [10])
    assert [point.reg for point in found.path.points] == list(REGS)
    assert sorted(set(done)) == ([0, len(REGS)] if first else [0])
    assert found.path.passes == found.solves[0].passes


def test_a_fold_without_weight_is_refused() -> None:
    with pytest.raises(InputError, match="every fold must hold rows of weight > 0"):
        validate(LOSSES["softmax"], True, Objective(FEATURES, row_weights=(DEALT > 0).double()))


WORKER = """
import sys, torch
from dataclasses import replace
from colinear.objective import Objective
from colinear.parallel.group import Group
from colinear.parallel.launch import Launch
from tests.test_folds import DEALT, FEATURES, LOSSES, WEIGHTS, validate
folder, group = sys.argv[1], Group.join(Launch.find(), 20)
rows = (slice(0, 23), slice(23, 61), torch.empty(0, dtype=torch.int64))[group.rank]
shard = replace(FEATURES, dataset=FEATURES.dataset.subset(rows))
trained, judged = Objective(shard, group=group), Objective(shard, row_weights=WEIGHTS[rows], group=group)
found = validate(LOSSES["softmax"], True, trained, judged, DEALT[rows])
torch.save((found.correct, found.weights), f"{folder}/found-{group.rank}.pt")
group.end()
"""


def test_processes_with_a_shard_each_or_none_count_all_rows(tmp_path: Path) -> None:
    run_well(["-c", WORKER, str(tmp_path)], 3, Path(__file__).parent.parent)
    alone = validate(LOSSES["softmax"], True, Objective(FEATURES))
    for rank in range(3):
        correct, weights = torch.load(tmp_path / f"found-{rank}.pt")
        assert torch.equal(correct, alone.correct)
        assert torch.equal(weights, alone.weights)


def test_equally_many_rows_right_are_equal_means_however_they_are_dealt() -> None:
    """Means of the shares differ by rounding (0.46 + 0.34 + 0.1 against 0.1 + 0.34 + 0.46), and a tie would be none."""
    path = solve_path(FEATURES, LOSSES["softmax"], [1e-1])
    correct = torch.tensor([[a, b, 45 - a - b] for a in range(20) for b in range(20)], dtype=torch.float64)
    found = CrossValidation(path, correct, torch.full((3,), 50.0, dtype=torch.float64), (path,))
    assert found.means.unique().tolist() == [45 / 150]


def test_one_split_has_no_spread() -> None:
    path = solve_path(FEATURES, LOSSES["softmax"], [1e-1])
    one = CrossValidation(path, torch.ones(2, 1).double(), torch.full((1,), 2.0).double(), (path,))
    assert one.spreads.isnan().all()
