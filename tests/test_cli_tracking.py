"""`colinear tune --log-dir`: what tensorboard's own reader finds, and that nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.program import SMALL, Program, assert_refused

OPTIONS = ("digits", "--regs", "1e-2,1e-1", "--loss", "softmax")


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def last(events: EventAccumulator, name: str) -> float:
    return float(events.Scalars(name)[-1].value)


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def test_loss_accuracy_gap_figures_and_hyperparameters_are_written(colinear: Program, tmp_path: Path) -> None:
    said = colinear("tune", *OPTIONS, "--out", tmp_path / "run", "--log-dir", tmp_path / "log", "--quiet")
    assert (said.status, said.out, said.err) == (0, "", "")
    entry = results(tmp_path / "run")["runs"][0]
    events = read(tmp_path / "log")
    winner = entry["trials"][entry["best"]]
    assert last(events, "softmax/winner/val_accuracy") == pytest.approx(winner["val_accuracy"])
    assert last(events, "softmax/winner/test_accuracy") == pytest.approx(entry["test_accuracy"])
    assert last(events, "softmax/path/gap") == pytest.approx(entry["trials"][1]["relative_gap"])
    assert events.Scalars("softmax/search/gap")
    assert {"softmax-path", "softmax-templates", "softmax-confusion"} <= set(events.Tags()["images"])
    assert "settings/text_summary" in events.Tags()["tensors"]
    assert last(read(tmp_path / "log/softmax-0001"), "val_accuracy") == pytest.approx(
        entry["trials"][1]["val_accuracy"]
    )
    assert "log_dir" not in results(tmp_path / "run")["settings"]


@pytest.mark.usefixtures("without_figures")
def test_the_course_s_search_leaves_its_loss(colinear: Program, tmp_path: Path) -> None:
    said = colinear(
        "tune", "digits", *SMALL, "--loss", "hinge", "--out", tmp_path / "run", "--log-dir", tmp_path / "log"
    )
    assert said.status == 0
    assert "hinge test accuracy" in said.out  # the terminal is told as ever
    assert len(read(tmp_path / "log").Scalars("hinge/winner/minibatch_loss")) == 40
    assert read(tmp_path / "log").Scalars("hinge/search/loss")


def test_a_finished_run_can_be_logged_afterwards(colinear: Program, run_folder: Path, tmp_path: Path) -> None:
    before = (run_folder / "results.json").read_bytes()
    said = colinear("tune", "--resume", run_folder, "--log-dir", tmp_path / "log")
    assert said.status == 0
    assert (run_folder / "results.json").read_bytes() == before
    events = read(tmp_path / "log")
    for run in results(run_folder)["runs"]:
        assert last(events, f"{run['loss']}/winner/test_accuracy") == pytest.approx(run["test_accuracy"])
    assert {"hinge-search", "softmax-search"} <= set(events.Tags()["images"])


@pytest.mark.usefixtures("without_figures")
def test_every_try_has_its_folder_of_events(colinear: Program, tmp_path: Path) -> None:
    said = colinear(
        "tune", *OPTIONS, "--shots", "2", "--tries", "2", "--out", tmp_path / "run", "--log-dir", tmp_path / "log"
    )
    assert said.status == 0
    each = results(tmp_path / "run")["tries"][0]["each"]
    scored = [event.value for event in read(tmp_path / "log").Scalars("softmax/tries/test_accuracy")]
    assert scored == pytest.approx([one["test_accuracy"] for one in each])
    for one in each:
        events = read(tmp_path / "log" / one["folder"])
        assert last(events, "softmax/winner/test_accuracy") == pytest.approx(one["test_accuracy"])


@pytest.mark.usefixtures("without_tensorboard")
def test_without_tensorboard_nothing_is_begun(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(colinear("tune", *OPTIONS, "--log-dir", "log"), "tensorboard", "pip install 'colinear[tracking]'")
    assert list(tmp_path.iterdir()) == []


def test_a_log_folder_that_cannot_be_made_is_refused_before_the_run(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert_refused(colinear("tune", *OPTIONS, "--log-dir", "file/log"), "file/log", "cannot be made")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
