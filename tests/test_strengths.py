"""The range of strengths by itself: it follows the features, goes on beyond an end, and says where it stopped."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.problems import as_features
from tests.program import Program
from tests.test_tries import without_seconds

from colinear.datasets import ArrayDataset, Features, fit_scaling, open_split
from colinear.metrics import METRICS
from colinear.objective import Objective
from colinear.report.panels import read_panels, repeat_command
from colinear.search import Progress
from colinear.search import strengths as module
from colinear.search.listener import Silent
from colinear.search.path_search import PathSearch, Tried
from colinear.search.regs import parse_regs
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.strengths import choose, default_regs, find_end, find_lone, go_on, list_missing
from colinear.search.trials import SearchResult, Trial
from colinear.search.tune import tune
from colinear.solvers.solution import Status
from colinear.solvers.spectrum import Spectrum

# half-decades for the digits, whose best is at 3e-5
STRONG, WEAK = {"softmax": (-4, 3), "hinge": (-4, 3)}, {"softmax": (-14, 3), "hinge": (-14, 3)}
DIGITS = open_split("digits")


def parts(scale: float = 1.0) -> tuple[Features, Features]:
    """Training and validation rows of the digits, without a constant column."""
    train, validation = (
        ArrayDataset(part.take(slice(None)).double() * (scale / 16), part.labels, part.class_names)
        for part in (DIGITS.train, DIGITS.validation)
    )
    scaling = fit_scaling(train, intercept_scaling=0.0)
    return Features(train, scaling, torch.float64), Features(validation, scaling, torch.float64)


def begin(monkeypatch: pytest.MonkeyPatch, start: dict[str, tuple[int, int]]) -> None:
    """Let ranges begin elsewhere."""
    monkeypatch.setattr(module, "RANGES", start)
    monkeypatch.setattr(module, "REFERENCE", Objective(parts()[0]).mean_square())


def search(monkeypatch: pytest.MonkeyPatch, start: dict[str, tuple[int, int]], **others: Any) -> SearchResult:
    """Of the softmax, with a range that begins elsewhere."""
    begin(monkeypatch, start)
    return PathSearch("softmax", **others).run(*parts())


# Where it starts


def test_the_range_for_cifar10_is_half_decades_about_its_best() -> None:
    assert default_regs("softmax") == default_regs("softmax", 193.0) == parse_regs("1e-5:1e-1:9", 1)
    assert default_regs("hinge", 150.0) == parse_regs("1e-3:1:7", 1)


def test_a_range_that_finds_itself_begins_with_the_strongest_four() -> None:
    train, validation = parts()
    result = PathSearch("softmax").run(train, validation)
    strongest = default_regs("softmax", Objective(train).mean_square())[-4:]
    assert result.details["range"]["started_with"] == PathSearch("softmax").n_first == 4
    assert tuple(trial.reg for trial in result.trials[-4:]) == strongest


@given(scale=st.floats(1e-3, 1e3), decades=st.integers(-5, 5), loss=st.sampled_from(["softmax", "hinge"]))
def test_strengths_follow_the_square_of_the_features(scale: float, decades: int, loss: str) -> None:
    ratio = 100.0**decades
    mine, theirs = default_regs(loss, scale**2), default_regs(loss, scale**2 * ratio)
    near_a_step = abs((2 * math.log10(scale**2 / module.REFERENCE)) % 1 - 0.5) < 1e-6
    if not near_a_step:
        assert theirs == pytest.approx([reg * ratio for reg in mine], rel=1e-9)


@pytest.mark.parametrize("mean_square", [1e-300, 1e-40, 1e40, 1e300])
def test_they_stay_within_what_regs_takes(mean_square: float) -> None:
    regs = default_regs("softmax", mean_square)
    assert len(regs) == 9
    assert all(1e-20 <= reg <= 1e20 for reg in regs)


@pytest.mark.parametrize("mean_square", [0.0, math.inf, math.nan])
def test_rows_without_a_spread_count_as_those_of_cifar10(mean_square: float) -> None:
    assert default_regs("softmax", mean_square) == default_regs("softmax", module.REFERENCE)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_features_of_another_scale_are_the_same_search(scale: float) -> None:
    plain, scaled = (PathSearch("softmax").run(*parts(factor)) for factor in (1.0, scale))
    assert [t.reg for t in scaled.trials] == pytest.approx([t.reg * scale**2 for t in plain.trials], rel=1e-9)
    assert [t.val_accuracy for t in scaled.trials] == pytest.approx([t.val_accuracy for t in plain.trials], abs=0.01)


# Where it goes on


def test_it_goes_on_beyond_the_weak_end_until_two_no_longer_rise(monkeypatch: pytest.MonkeyPatch) -> None:
    result = search(monkeypatch, STRONG)
    regs, accuracies = [t.reg for t in result.trials], [t.val_accuracy for t in result.trials]
    added = result.details["range"]["weaker_added"]
    assert (regs == sorted(regs), added > 0, len(regs)) == (True, True, 3 + added)
    assert result.best == 2  # two weaker ones lie beyond
    assert accuracies[2] == max(accuracies)
    assert result.details["range"]["winner_at"] is None
    assert all(trial.relative_gap is not None and trial.relative_gap <= 1e-3 for trial in result.trials)


def test_it_goes_on_beyond_the_strong_end(monkeypatch: pytest.MonkeyPatch) -> None:
    result = search(monkeypatch, WEAK)
    assert result.details["range"]["stronger_added"] > 0
    assert result.best == len(result.trials) - 3
    assert result.details["range"]["warning"] is None


def test_what_was_added_is_what_a_list_of_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    grown = search(monkeypatch, STRONG, tol=1e-6)
    listed = PathSearch("softmax", tuple(t.reg for t in grown.trials), tol=1e-6).run(*parts())
    assert grown.order == listed.order
    for mine, theirs in zip(grown.trials, listed.trials, strict=True):
        assert mine.objective == pytest.approx(theirs.objective, rel=2e-6)
        assert (mine.val_accuracy, mine.val_error) == (theirs.val_accuracy, theirs.val_error)
    torch.testing.assert_close(grown.winning_coef, listed.winning_coef, rtol=1e-2, atol=1e-2)


def test_the_limit_ends_it_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ADDED", 1)
    told = search(monkeypatch, STRONG).details["range"]
    assert (told["weaker_added"], told["winner_at"]) == (1, "weakest")
    assert "name weaker ones with --regs" in told["warning"]


def test_strengths_of_no_use_at_all_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows without information: the strongest of equal strengths wins, and nothing rises beyond."""
    begin(monkeypatch, WEAK)
    rows, labels = torch.zeros(30, 2).double(), torch.arange(30) % 3
    same = as_features(ArrayDataset(rows, labels, ("a", "b", "c")))
    told = PathSearch("softmax").run(same, same).details["range"]
    assert (told["weaker_added"], told["stronger_added"], told["winner_at"]) == (0, 0, None)


def test_a_batch_starts_along_the_path_with_the_first_spectrum(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[Any] = []
    fit = Spectrum.fit
    monkeypatch.setattr(Spectrum, "fit", lambda *args, **kwargs: fitted.append(args) or fit(*args, **kwargs))
    warm = search(monkeypatch, STRONG).trials[:-3]
    assert len(fitted) == 1
    cold = PathSearch("softmax", tuple(trial.reg for trial in warm)).run(*parts()).trials
    assert sum(trial.passes or 0 for trial in warm) < 0.9 * sum(trial.passes or 0 for trial in cold)


def test_a_start_is_on_the_line_of_the_two_weakest_or_at_the_strongest() -> None:
    trials = tuple(Trial(reg, 1.0, 1.0, Status.CONVERGED) for reg in (1e-2, 1e-1, 1.0))
    coef = tuple(torch.tensor([[value]]) for value in (5.0, 3.0, 2.0))
    assert Tried(trials, coef, (), METRICS["accuracy"]).starts((1e-4, 1e-3, 10.0)).flatten().tolist() == pytest.approx(
        [9.0, 7.0, 2.0]
    )


def test_strengths_that_are_named_stay_as_they_are() -> None:
    result = PathSearch("softmax", (1e2, 1e3, 1e4)).run(*parts())
    assert [t.reg for t in result.trials] == [1e2, 1e3, 1e4]
    assert result.details["range"]["automatic"] is False


@given(accuracies=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_a_range_is_left_alone_once_two_on_each_side_do_not_rise(accuracies: list[int]) -> None:
    regs = [10.0**number for number in range(len(accuracies))]
    winner = choose(accuracies, [0.0] * len(regs), regs, "best")[0]
    missing = list_missing(regs, accuracies, winner)
    assert missing["weakest"] == max(0, 2 - winner)
    levels = accuracies[accuracies.index(max(accuracies)) :]
    assert missing["strongest"] == max(0, 2 - (len(levels) - 1))


def test_no_strength_is_added_beyond_what_regs_takes() -> None:
    assert go_on([1e-20, 1.0], {"weakest": 2, "strongest": 0}, [1e-20, 1.0]) == ()
    assert go_on([1e-19, 1e20], {"weakest": 2, "strongest": 2}, [1e-19, 1e20]) == pytest.approx(
        (1e-20, 10**-19.5), rel=1e-9
    )


# Folds, refits, few rows


def test_folds_go_on_too_and_stay_beside_their_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    begin(monkeypatch, STRONG)
    train, _ = parts()
    done: list[Progress] = []
    grown = PathSearch("softmax").cross_validate(train, train, 3, report=done.append)
    listed = PathSearch("softmax", tuple(t.reg for t in grown.trials)).cross_validate(train, train, 3)
    assert grown.details["range"]["weaker_added"] > 0
    assert len(grown.details["folds"]["val_accuracies"]) == len(grown.trials)
    for mine, theirs, shares in zip(grown.trials, listed.trials, grown.details["folds"]["val_accuracies"], strict=True):
        assert mine.val_accuracy == pytest.approx(theirs.val_accuracy, abs=0.01)
        assert mine.val_accuracy == pytest.approx(sum(shares) / 3, abs=0.01)
        assert mine.spread is not None
        assert mine.val_error == pytest.approx(mine.spread / math.sqrt(3))
    assert (done[-1].done, done[-1].total) == (4 * len(grown.trials), 4 * len(grown.trials))


def test_a_refit_trains_the_winner_of_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    begin(monkeypatch, STRONG)
    train, validation = parts()
    result = PathSearch("softmax", rule="1se", tol=1e-6).run(train, validation, refit_on=validation)
    [own] = PathSearch("softmax", (result.winner.reg,), tol=1e-6).run(validation, validation).coef
    torch.testing.assert_close(result.winning_coef, own, rtol=1e-2, atol=1e-2)


# One standard error


@given(
    pairs=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.2), st.floats(1e-6, 1e2)), min_size=1, max_size=9),
)
def test_one_standard_error_is_never_on_the_weaker_side(pairs: list[tuple[float, float, float]]) -> None:
    accuracies, errors, regs = (list(column) for column in zip(*pairs, strict=True))
    best, simple = (choose(accuracies, errors, regs, rule) for rule in ("best", "1se"))
    assert sorted(simple) == sorted(best)
    assert regs[simple[0]] >= regs[best[0]]
    allowed = accuracies[best[0]] - errors[best[0]]
    assert accuracies[simple[0]] >= allowed
    stronger = [number for number in best if regs[number] > regs[simple[0]]]
    assert all(accuracies[number] < allowed for number in stronger)


def test_the_error_of_a_share_is_that_of_independent_rows() -> None:
    train, validation = parts()
    for trial in PathSearch("softmax", (1e-3, 1e-1)).run(train, validation).trials:
        share = trial.val_accuracy
        assert trial.val_error == pytest.approx(math.sqrt(share * (1 - share) / 270))


# Ends


@pytest.mark.parametrize(
    ("accuracies", "winner", "end"),
    [
        ([3, 2, 1], 0, "weakest"), ([1, 2, 3], 2, "strongest"), ([1, 3, 2], 1, None), ([1, 3, 3], 2, None),
        ([3, 2, 2], 2, "weakest"), ([1, 3, 2], 2, "strongest"), ([3, 2], 0, None), ([3], 0, None),
    ],
    ids=["weak", "strong", "inside", "level", "1se of the weakest", "1se at the end", "two", "one"],
)  # fmt: skip
def test_ends(accuracies: list[float], winner: int, end: str | None) -> None:
    assert find_end([10.0**number for number in range(len(accuracies))], accuracies, winner) == end


@pytest.mark.parametrize(("regs", "end"), [("1e-2,1e-1,1", "weakest"), ("1e-7,1e-6,1e-5", "strongest")])
def test_a_named_range_whose_end_wins_is_told_everywhere(
    colinear: Program, without_figures: None, tmp_path: Path, regs: str, end: str
) -> None:
    said = colinear("tune", "digits", "--regs", regs, "--loss", "softmax", "--out", tmp_path / "run").out
    told = json.loads((tmp_path / "run/results.json").read_text())["runs"][0]["details"]["range"]
    [panel] = read_panels(tmp_path / "run")
    assert told["winner_at"] == end
    assert f"The best is the {end} strength tried" in told["warning"]
    assert told["warning"] in " ".join(said.split())
    assert told["warning"] in panel["range"]


@pytest.mark.parametrize(
    ("size", "options", "told"), [(1.7e9, (), True), (1e2, (), False), (1.7e9, ("--standardize",), False)]
)
def test_a_column_beside_which_all_others_are_nothing_is_told_everywhere(
    colinear: Program, without_figures: None, tmp_path: Path, size: float, options: tuple[str, ...], told: bool
) -> None:
    generator = np.random.default_rng(0)
    rows, labels = generator.normal(size=(90, 4)), np.arange(90) % 3
    rows[:, 0] += labels
    rows[:, 2] *= size
    np.savez(tmp_path / "rows.npz", X=rows, y=labels)
    said = colinear("tune", tmp_path / "rows.npz", "--loss", "softmax", "--out", tmp_path / "run", *options).out
    warning = json.loads((tmp_path / "run/results.json").read_text())["runs"][0]["details"]["range"]["warning"]
    assert (warning is not None) == told
    if told:
        assert warning.startswith("Column 3 is ")
        assert warning in " ".join(said.split())
        assert warning in read_panels(tmp_path / "run")[0]["range"]


def test_a_column_is_lone_by_its_square() -> None:
    assert find_lone(torch.tensor([1.0, 2e6, 0.5])) == (1, pytest.approx((2e6 / 1.5) ** 0.5))
    for squares in ([1.0, 2e6, 2.0], [5.0], [0.0, 0.0], [0.0, 7.0]):  # alone, or the only one there is
        assert find_lone(torch.tensor(squares)) is None


# The same run again


class Interrupt(Silent):
    """Stops the program when strengths are being added."""

    def progressed(self, progress: Progress) -> None:
        if progress.total > 3:
            raise KeyboardInterrupt


def test_a_run_stopped_beyond_an_end_goes_on_to_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begin(monkeypatch, STRONG)
    settings = Settings("digits", losses=("softmax",), device="cpu", rule="1se")
    with RunFolder(tmp_path / "stopped") as folder, pytest.raises(KeyboardInterrupt):
        tune(settings, DIGITS, folder, Interrupt())
    for name in ("stopped", "whole"):
        with RunFolder(tmp_path / name) as folder:
            tune(settings, DIGITS, folder)
    stopped, whole = ((tmp_path / name / "model-softmax.safetensors").read_bytes() for name in ("stopped", "whole"))
    assert stopped == whole
    entries = [json.loads((tmp_path / name / "results.json").read_text())["runs"] for name in ("stopped", "whole")]
    assert without_seconds(entries[0]) == without_seconds(entries[1])


def test_the_command_that_repeats_a_run_leaves_the_range_to_itself() -> None:
    assert repeat_command(Settings("digits", rule="1se")) == "colinear tune digits --solver exact --rule 1se --seed 0"
