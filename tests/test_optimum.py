"""SGD's winner and its distance above the optimum of its strength: in the run, its files and its words."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.program import SMALL, Program
from tests.test_tune import SETTINGS, content, run, undisturbed

from colinear.checks import InputError
from colinear.datasets import Features, Split, fit_scaling
from colinear.losses import LOSSES
from colinear.model import LinearModel
from colinear.objective import Objective
from colinear.search import Candidate, Progress, SGDSearch
from colinear.search.listener import Silent
from colinear.search.optimum import FEWEST_PASSES, MOST_PASSES, affordable_passes, place_winner
from colinear.search.position import SearchPosition
from colinear.search.resultsfile import device_name
from colinear.search.runfolder import RunFolder
from colinear.search.trials import SearchResult
from colinear.search.winner import LossRun
from colinear.search.wording import describe_above
from colinear.solvers import SGD, Status, solve_path
from colinear.solvers.path import fit_preconditioner
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.spectrum import Spectrum

__all__ = ["undisturbed"]
SEARCH = SGDSearch("softmax", (Candidate(0.1, 1e-3), Candidate(1e-3, 1e-1)), SGD(40, 32))


def nothing_shared() -> Preconditioner:
    raise AssertionError("not needed")


def place(result: SearchResult, train: Features) -> SearchResult:
    return place_winner(result, train, lambda: fit_preconditioner(Objective(train)), lambda: None)


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_the_distance_is_that_to_an_optimum_found_otherwise(rows: tuple[Features, Features], loss: str) -> None:
    train, validation = rows
    result = place(replace(SEARCH, loss=loss).run(train, validation), train)
    winner, found = result.winner, result.details["optimum"]
    exact = solve_path(train, LOSSES[loss], [winner.reg], tol=1e-7, max_passes=1000).points[0]
    assert winner.objective is not None
    assert winner.above_optimum is not None
    assert found["lower"] <= exact.objective
    assert exact.objective - exact.gap <= found["upper"]
    assert winner.above_optimum[0] <= winner.objective / exact.objective - 1 <= winner.above_optimum[1] + 1e-7
    assert winner.above_optimum[1] - winner.above_optimum[0] < 0.01
    assert found["status"] == "converged"
    assert 0 < found["passes"] <= MOST_PASSES
    others = [trial for trial in result.trials if trial is not winner]
    assert all(trial.above_optimum is trial.objective is trial.relative_gap is None for trial in others)


def test_a_winner_that_diverged_or_has_no_penalty_is_left_as_it_is(rows: tuple[Features, Features]) -> None:
    train, validation = rows
    for candidate in (Candidate(1e30, 0.5), Candidate(1e-2, 0.0)):
        result = replace(SEARCH, candidates=(candidate,)).run(train, validation)
        assert place_winner(result, train, nothing_shared, lambda: None) is result


def test_a_problem_too_large_to_solve_beside_says_what_the_weights_prove(
    rows: tuple[Features, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colinear.search.optimum.MOST_WORK", 1e6)
    result = place_winner(SEARCH.run(*rows), rows[0], nothing_shared, lambda: None)
    assert result.winner.above_optimum is not None
    assert result.winner.above_optimum[0] == 0
    assert result.details["optimum"]["passes"] == 0
    assert result.details["optimum"]["status"] == Status.BUDGET_SPENT.key


def test_a_problem_that_the_exact_path_refuses_keeps_what_sgd_made_of_it(
    rows: tuple[Features, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise InputError("no")

    monkeypatch.setattr("colinear.solvers.certificate.solve_path", refuse)
    result = place(SEARCH.run(*rows), rows[0])
    assert result.details["optimum"]["passes"] == 0
    assert result.winner.objective is not None


def test_fewer_rows_than_columns_need_no_spectrum_of_the_columns(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    few = split.train.subset(torch.arange(30))
    train, columns, fit = Features(few, fit_scaling(few)), [], Spectrum.fit
    monkeypatch.setattr(
        Spectrum, "fit", lambda o, *how, **more: columns.append(o.features.n_features) or fit(o, *how, **more)
    )
    result = place(SEARCH.run(train, train), train)
    assert result.details["optimum"]["passes"] > 0
    assert columns == [30]


def test_the_limit_of_work_counts_setup_and_passes() -> None:
    assert affordable_passes(1000, 10, 65) == MOST_PASSES
    assert affordable_passes(10**9, 10, 65) == 0
    sizes = [affordable_passes(n, 10, 3073) for n in range(49_000, 2_000_000, 50_000)]
    assert sizes == sorted(sizes, reverse=True)
    assert min(size for size in sizes if size) >= FEWEST_PASSES
    assert affordable_passes(49_000, 10, 4_000) == 0  # the spectrum alone is too much
    assert affordable_passes(49_000, 10, 20_000) > 0  # a sketch of it is not
    assert affordable_passes(50, 10, 8_000) == MOST_PASSES  # in the space of the rows


# Words


def test_no_bound_and_a_factor_have_words_too() -> None:
    assert describe_above((0.0, math.inf)) == "at an unknown distance above the optimum"
    assert describe_above((0.3, None)) == "at least 30 % above the optimum"
    assert describe_above((9.0, 12.0)) == "900 % to 13 times the optimum"
    assert describe_above((0.0, 0.0)) == "0 % above the optimum"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search whose ten steps end several times above the optimum."""
    from colinear.cli.app import main

    folder = tmp_path_factory.mktemp("told") / "run"
    options = ("--steps", "10", "--candidates", "1", "--lr", "1e-3", "--reg", "1e-3", "--loss", "hinge", "--quiet")
    with pytest.raises(SystemExit):
        main(["tune", "digits", *options, "--out", str(folder)])
    return folder


def test_tune_and_info_say_how_far_above_and_never_that_nothing_is_known(
    colinear: Program, told: Path, tmp_path: Path
) -> None:
    entry = json.loads((told / "results.json").read_text())["runs"][0]
    winner = entry["trials"][entry["best"]]
    assert winner["above_optimum"][0] > 1  # what was called no useful certificate
    words = describe_above(winner["above_optimum"])
    said = colinear("tune", "--resume", told)
    assert f"The winner is {words} for its reg." in said.out
    info = " ".join(colinear("info", told / "model-hinge.safetensors").out.split())
    assert f"objective {words} for its reg" in info
    facts = colinear("info", told / "model-hinge.safetensors", "--json").json
    assert facts["above_optimum"] == winner["above_optimum"]
    for text in (said.out, info):
        assert "certificate" not in text
        assert "> 100 %" not in text


def test_the_report_and_a_comparison_have_the_same_words(told: Path) -> None:
    from colinear.report.panels import read_panels

    [panel] = read_panels(told)
    assert panel["above"] == describe_above(panel["trials"][panel["best"]]["above_optimum"])


def test_the_exact_path_has_no_distance_but_its_certificate(colinear: Program, run_folder: Path, told: Path) -> None:
    sgd = json.loads((run_folder / "results.json").read_text())
    assert all("above_optimum" in run["trials"][run["best"]] for run in sgd["runs"])
    assert LinearModel.load(told / "model-hinge.safetensors").provenance["above_optimum"] is not None


@pytest.mark.usefixtures("without_figures")
def test_tries_tell_the_farthest_winner(colinear: Program, tmp_path: Path) -> None:
    options = (*SMALL, "--shots", "3", "--tries", "2", "--loss", "softmax", "--out", tmp_path / "run")
    said = colinear("tune", "digits", *options)
    each = json.loads((tmp_path / "run/results.json").read_text())["tries"][0]["each"]
    farthest = max((one["winner"]["above_optimum"] for one in each), key=lambda above: float(above[1]))
    assert f"softmax: the farthest winner is {describe_above(farthest)} for its reg." in said.out


# Stopping


class Late(Silent):
    """Wants the run to end once all steps of the first loss are reported: while its optimum is sought."""

    def __init__(self) -> None:
        self.reports = 0

    @property
    def stopping(self) -> bool:  # type: ignore[override]
        return self.reports >= SETTINGS.steps

    def progressed(self, progress: Progress) -> None:
        self.reports += 1

    def finished(self, run: LossRun) -> None:
        raise AssertionError("it should have stopped before")


def test_a_run_stopped_while_the_optimum_is_sought_goes_on_there(
    split: Split, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(SETTINGS, split, tmp_path, Late())
    with RunFolder(tmp_path) as folder:
        names = [path.name for path in (folder.path / "checkpoints").iterdir()]
    assert names == ["hinge.safetensors"]
    taken: list[str] = []
    real = SGDSearch._train

    def train(search: SGDSearch, position: SearchPosition, *rest: Any) -> None:
        taken.append(f"{search.loss} from {position.state.step}")
        real(search, position, *rest)

    monkeypatch.setattr(SGDSearch, "_train", train)
    again = Late()
    again.reports = SETTINGS.steps
    with pytest.raises(KeyboardInterrupt):  # stopped there again, with no step to take
        run(SETTINGS, split, tmp_path, again)
    run(SETTINGS, split, tmp_path)
    assert taken == [f"hinge from {SETTINGS.steps}"] * 2 + ["softmax from 0"]
    assert content(tmp_path) == content(undisturbed)


# Where it ran


def test_results_name_the_device_that_the_rows_were_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {torch.device(device).index}")
    assert device_name(torch.device("cuda", 1)) == "GPU 1"
    assert "GPU" not in device_name(torch.device("cpu"))
    assert device_name(torch.device("mps")) == "mps"


def test_a_run_on_the_processor_does_not_name_the_gpu_beside_it(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "a GPU")
    run(replace(SETTINGS, steps=2, losses=("softmax",)), split, tmp_path)
    assert json.loads((tmp_path / "results.json").read_text())["environment"]["device"] != "a GPU"
