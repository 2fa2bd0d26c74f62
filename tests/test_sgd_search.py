"""The course's search: many settings as one training, rungs, the principal subspace."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from colinear.datasets import Features, Split, fit_scaling
from colinear.losses import LOSSES
from colinear.model import LinearModel
from colinear.objective import Objective, label_rows
from colinear.parallel.group import Group
from colinear.search import Candidate, Progress, SearchResult, SGDSearch, draw_candidates, plan_rungs
from colinear.search.judging import Judged
from colinear.search.sgd_search import INITIAL_SCALE, SearchPosition
from colinear.solvers import SGD, SGDState, Status

CANDIDATES = tuple(draw_candidates(9, (1e-3, 1.0), (1e-4, 1e-1), seed=1))
SEARCH = SGDSearch("softmax", CANDIDATES, SGD(120, 32), seed=5)


Rows = tuple[Features, Features]


def assert_same(one: SearchResult, other: SearchResult) -> None:
    assert torch.equal(one.coef, other.coef)
    assert one.history is not None
    assert other.history is not None
    assert torch.equal(one.history.nan_to_num(-1), other.history.nan_to_num(-1))
    assert str(one.trials) == str(other.trials)  # NaN prints alike, though it is not equal
    assert (one.order, one.rungs) == (other.order, other.rungs)


def test_a_search_is_each_candidate_trained_and_scored(rows: Rows) -> None:
    train, validation = rows
    result = SEARCH.run(train, validation)
    assert result.history is not None
    accuracies = Objective(validation).accuracy(result.coef)
    for number in (0, 4, 8):
        candidate, trial = CANDIDATES[number], result.trials[number]
        generator = torch.Generator().manual_seed(5)
        start = INITIAL_SCALE * torch.randn(10, 65, generator=generator)
        rates = (torch.tensor([value], dtype=torch.float64) for value in (candidate.learning_rate, candidate.reg))
        state = SEARCH.sgd.start(start, *rates, generator)
        SEARCH.sgd.advance(state, train, LOSSES["softmax"], 120)
        torch.testing.assert_close(result.coef[number], state.coef[0], rtol=1e-4, atol=1e-6)
        assert (trial.learning_rate, trial.reg, trial.steps) == (candidate.learning_rate, candidate.reg, 120)
        assert trial.val_accuracy == float(accuracies[number])
        assert trial.loss == pytest.approx(float(result.history[number, 20:].double().mean()))
    assert result.winner.val_accuracy == max(trial.val_accuracy for trial in result.trials)
    assert result.winner.val_accuracy > 0.85


def test_reports_come_in_order_and_end_at_the_last_step(rows: Rows) -> None:
    seen: list[Progress] = []
    replace(SEARCH, eta=3).run(*rows, report=seen.append)
    steps = [progress.done for progress in seen]
    assert steps == sorted(set(steps))
    assert (steps[-1], seen[-1].total, seen[0].active, seen[-1].active) == (120, 120, 9, 2)
    assert {13, 40} <= set(steps)  # the rungs
    assert math.isfinite(seen[-1].loss)
    assert 0 < seen[-1].best <= 1


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_search_may_be_shorter_than_its_number_of_reports(rows: Rows, steps: int) -> None:
    result = replace(SEARCH, sgd=SGD(steps, 3000), eta=2).run(*rows)
    assert sorted(result.order) == list(range(9))
    assert [rung.step for rung in result.rungs] == [rung.step for rung in plan_rungs(9, steps, 2)]
    assert max(trial.steps or 0 for trial in result.trials) == steps


def test_one_candidate_is_a_search_too(rows: Rows) -> None:
    result = replace(SEARCH, candidates=CANDIDATES[:1], eta=3).run(*rows)
    assert (result.order, result.rungs, result.winner.status) == ((0,), (), Status.COMPLETED)


# Halving


def test_losers_leave_at_rungs_and_finalists_end_as_without_halving(rows: Rows) -> None:
    full, halved = SEARCH.run(*rows), replace(SEARCH, eta=3).run(*rows)
    assert [(rung.step, rung.entered, rung.stayed) for rung in halved.rungs] == [(13, 9, 3), (40, 3, 2)]
    alive = set(range(9))
    for rung in halved.rungs:
        assert set(rung.candidates) == alive
        ranked = sorted(zip(rung.val_accuracies, rung.candidates, strict=True), key=lambda pair: -pair[0])
        stayed = {number for number in alive if (halved.trials[number].steps or 0) > rung.step}
        assert min({n: a for a, n in ranked}[n] for n in stayed) >= ranked[rung.stayed - 1][0]
        for number in alive - stayed:
            trial = halved.trials[number]
            assert (trial.status, trial.steps) == (Status.DROPPED, rung.step)
            assert trial.val_accuracy == rung.val_accuracies[rung.candidates.index(number)]
        alive = stayed
    assert {number for number, trial in enumerate(halved.trials) if trial.status is Status.COMPLETED} == alive
    assert set(halved.order[:2]) == alive
    for number in alive:
        torch.testing.assert_close(halved.coef[number], full.coef[number], rtol=1e-4, atol=1e-6)


def test_who_left_early_ranks_below_the_finalists(rows: Rows) -> None:
    # the best at the start, by a large rate, and two that are frozen; only finalists may win
    candidates = (Candidate(0.3, 1e-3), Candidate(1e-7, 1e-3), Candidate(0.1, 1e-3))
    halved = replace(SEARCH, candidates=candidates, eta=3).run(*rows)
    assert halved.order[-1] == 1
    assert [halved.trials[n].status for n in halved.order] == [Status.COMPLETED] * 2 + [Status.DROPPED]


def test_a_finalist_wins_over_who_left_with_a_better_accuracy(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    # three candidates, one leaves at the rung with 0.6; the finalists, ahead there, end at 0.5 and 0.4
    def say(self: SGDSearch, state: SGDState, validation: Features, group: Group) -> Judged:
        shares = [0.6, 0.8, 0.7] if len(state.coef) == 3 else [0.4, 0.5]
        return Judged(shares, shares, [], own=False)

    monkeypatch.setattr(SGDSearch, "_judge", say)
    halved = replace(SEARCH, candidates=CANDIDATES[:3], eta=3).run(*rows)
    assert [trial.val_accuracy for trial in halved.trials] == [0.6, 0.4, 0.5]
    assert halved.order == (2, 1, 0)


@pytest.mark.parametrize("eta", [None, 3])
def test_who_diverges_never_wins_and_changes_nobody_else(rows: Rows, eta: int | None) -> None:
    tame = replace(SEARCH, candidates=CANDIDATES[:4], eta=eta).run(*rows)
    wild = (Candidate(1e30, 0.5), *CANDIDATES[1:4])
    result = replace(SEARCH, candidates=wild, eta=eta).run(*rows)
    assert result.trials[0].status is Status.DIVERGED
    assert math.isnan(result.trials[0].val_accuracy)
    assert math.isnan(result.trials[0].train_accuracy)
    assert result.order[-1] == 0
    if eta is None:
        assert torch.equal(result.coef[1:], tame.coef[1:])


def test_a_search_in_which_all_diverge_still_returns_every_trial(rows: Rows) -> None:
    wild = (Candidate(1e30, 0.5), Candidate(1e31, 0.5), Candidate(1e32, 0.5))
    result = replace(SEARCH, candidates=wild, eta=3).run(*rows)
    assert {trial.status for trial in result.trials} == {Status.DIVERGED}
    assert result.winner.status is Status.DIVERGED


# Subspace


def test_the_whole_space_as_subspace_is_the_full_search_to_rounding(split: Split) -> None:
    scaling = fit_scaling(split.train)
    rows = Features(split.train, scaling, torch.float64), Features(split.validation, scaling, torch.float64)
    full, turned = SEARCH.run(*rows), replace(SEARCH, subspace=1.0).run(*rows)
    torch.testing.assert_close(turned.coef, full.coef, rtol=1e-7, atol=1e-9)
    assert turned.order == full.order


@pytest.mark.parametrize("eta", [None, 3])
def test_weights_from_a_subspace_take_features_and_models_take_raw_rows(
    rows: Rows, split: Split, eta: int | None
) -> None:
    train, validation = rows
    result = replace(SEARCH, subspace=0.9, eta=eta).run(train, validation)
    summary = result.details["subspace"]
    assert 0 < summary["directions"] < summary["of"] == 65
    assert result.coef.shape == (9, 10, 65)
    accuracies = Objective(validation).accuracy(result.coef)
    expected = [trial.val_accuracy for trial in result.trials]
    assert accuracies.tolist() == pytest.approx(expected, abs=2.1 / validation.n_samples)  # a tie in rounding or two
    assert result.winner.val_accuracy > 0.8
    coef = result.coef[result.best]
    model = LinearModel.from_coef(coef, train.scaling, split.train.class_names)
    labelled = label_rows(model, split.validation)  # raw uint8 pixels
    right = float((labelled == split.validation.labels).double().mean())
    assert right == pytest.approx(result.winner.val_accuracy, abs=2.1 / validation.n_samples)


# Stopping and going on


@pytest.mark.parametrize("subspace", [None, 0.9])
@pytest.mark.parametrize(
    "sgd", [SGD(120, 32), SGD(120, 32, momentum=0.9, averaging=0.4, schedule="cosine")], ids=["plain", "all options"]
)
def test_a_search_goes_on_from_any_reporting_point_with_the_same_bytes(
    rows: Rows, sgd: SGD, subspace: float | None
) -> None:
    search = replace(SEARCH, sgd=sgd, eta=3, subspace=subspace)
    kept: list[tuple[dict[str, Tensor], dict[str, Any]]] = []

    def keep(position: SearchPosition, at_rung: bool) -> None:
        if len(kept) in (0, 12, 13, 40, 90, 119) or at_rung:
            tensors, facts = position.to_parts()
            kept.append(({name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(facts))))
        else:
            kept.append(({}, {}))

    undisturbed = search.run(*rows, keeper=keep)
    saved = [parts for parts in kept if parts[0]]
    assert len(saved) >= 6
    for tensors, facts in saved:
        position = SearchPosition.from_parts(tensors, facts, torch.device("cpu"))
        assert_same(search.run(*rows, position=position), undisturbed)


def test_the_global_generator_is_left_alone(rows: Rows) -> None:
    before = torch.get_rng_state()
    replace(SEARCH, sgd=SGD(3, 8), subspace=0.9).run(*rows)
    assert torch.equal(torch.get_rng_state(), before)
