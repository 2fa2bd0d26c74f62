"""results.json and settings.json as they are read back: edited, damaged, of another run, they are refused by name."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.reporting import run, table_split

from colinear.checks import InputError
from colinear.report import write_report
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import Run
from colinear.search.written import entry_problem, read_results, read_settings, write_settings

Edit = Callable[[Any], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of both losses on a table."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(folder, table_split(), "exact", ("hinge", "softmax"))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(finished, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def edit(folder: RunFolder, name: str, change: Edit) -> None:
    value = json.loads((folder.path / name).read_text())
    change(value)
    (folder.path / name).write_text(json.dumps(value))


def set_in(*way: Any) -> Edit:
    """Set the last of `way` at the place that the others lead to."""

    def change(value: Any) -> None:
        for key in way[:-2]:
            value = value[key]
        value[way[-2]] = way[-1]

    return change


# settings.json


def test_settings_come_back_as_they_went(folder: RunFolder) -> None:
    settings = Settings("caf\udce9", regs=(0.1, 0.2), shots=3, seed=2**63 - 1)
    write_settings(folder, settings)
    assert read_settings(folder) == settings


@pytest.mark.parametrize(
    "change",
    [set_in("seed", 1), set_in("tol", 0.5), set_in("data", "other"), set_in("regs", [0.5]), set_in("digest", "0" * 32)],
)
def test_settings_that_were_edited_are_refused(folder: RunFolder, change: Edit) -> None:
    edit(folder, "settings.json", change)
    with pytest.raises(InputError, match=r"settings\.json was edited: a run goes on with the settings it began with"):
        read_settings(folder)


@pytest.mark.parametrize("content", [b"[]", b"1", b"{}", b'{"digest": 1}'])
def test_settings_without_a_digest_are_none_of_ours(folder: RunFolder, content: bytes) -> None:
    (folder.path / "settings.json").write_bytes(content)
    with pytest.raises(InputError, match="by another version, or by hand"):
        read_settings(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "1"), ("seed", 2.0), ("steps", None), ("losses", []), ("losses", "hinge"), ("losses", ["x"]),
        ("data", 3), ("learning_rates", [1, 2, 3]), ("learning_rates", 1), ("standardize", 1), ("regs", {}),
        ("device", None), ("schedule", "linear"), ("momentum", 1.0), ("averaging", True),
    ],
)  # fmt: skip
def test_settings_of_wrong_types_are_refused_by_name(name: str, value: Any) -> None:
    values = json.loads(json.dumps(Settings("digits").to_json()))
    with pytest.raises(InputError, match=f"settings are damaged: {name}"):
        Settings.from_json({**values, name: value})


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2**63}, {"seed": -1}, {"tries": 10_001}, {"candidates": 100_001}, {"batch_size": 1_000_001},
        {"tol": 1.5}, {"intercept_scaling": 2e8}, {"regs": (1e-21,)}, {"regs": (1e21,)}, {"augment": "mirror" * 20},
        {"reg_range": (1e-21, 1.0)}, {"learning_rates": (1.0, 1e21)},
    ],
    ids=str,
)  # fmt: skip
def test_settings_have_honest_limits(change: dict[str, Any]) -> None:
    ends = (1e-20, 1e20)
    Settings("digits", seed=2**63 - 1, regs=ends, reg_range=ends, learning_rates=ends, tol=1.0, intercept_scaling=1e8)
    Settings("digits", tries=10_000, candidates=100_000, batch_size=1_000_000)
    with pytest.raises(InputError):
        Settings("digits", **change)


def test_the_settings_of_a_finished_run_are_those_of_its_results(folder: RunFolder) -> None:
    split = table_split()
    own = read_settings(folder)
    assert [one.loss for one in Run(own, split, folder).finished()] == ["hinge", "softmax"]
    write_settings(
        folder, Settings.from_json({**json.loads(json.dumps(own.to_json())), "seed": 5})
    )  # a whole other one
    with pytest.raises(InputError, match=r"results\.json belongs to another run: its settings.seed is 0"):
        Run(read_settings(folder), split, folder).finished()


# results.json


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (set_in("runs", 0, "trials", 0, "reg", "x"), r"runs\[0\]\.trials\[0\]\.reg"),
        (set_in("runs", 0, "trials", 0, "reg", -1), "reg must be > 0"),
        (set_in("runs", 0, "best", 2), "best is not the first of order"),
        (set_in("runs", 1, "order", [0]), "softmax: order does not rank the trials"),
        (set_in("runs", 1, "test_accuracy", 0.123), "softmax: test_accuracy is not that of confusion_matrix"),
        (set_in("runs", 0, "order", [0, 1, 7]), "order does not rank"),
        (set_in("runs", 0, "confusion_matrix", [[1], [2]]), "not square"),
        (set_in("runs", 0, "confusion_matrix", []), "not square, or empty"),
        (set_in("runs", 0, "confusion_matrix", [[0]]), "not square, or empty"),
        (set_in("runs", 0, "confusion_matrix", None), "do not fit"),
        (set_in("runs", 0, "test_accuracy_ci95", None), "do not fit"),
        (set_in("runs", 1, "loss", "hinge"), "a loss twice"),
        (set_in("runs", []), "runs must be at least 1 long"),
        (set_in("runs", 0, "rungs", [{}]), "rungs"),
        (set_in("schema", True), "schema must be 1"),
        (set_in("settings", "steps", None), "settings.steps"),
        (set_in("dataset", "name", {}), "dataset.name"),
        (set_in("environment", {}), "environment.colinear is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_results_that_no_run_writes_are_refused_with_the_place(folder: RunFolder, change: Edit, named: str) -> None:
    edit(folder, "results.json", change)
    with pytest.raises(InputError, match=rf"results\.json is damaged, or of another version: .*{named}"):
        read_results(folder)
    with pytest.raises(InputError, match=named):
        write_report(folder.path)


def test_a_choice_fits_the_trials(finished: Path) -> None:
    entry = json.loads((finished / "results.json").read_text())["runs"][0]
    entry["details"]["choice"]["best"] = len(entry["trials"])
    assert "choice names no trial with a score" in str(entry_problem(entry))


def test_a_rung_and_a_winner_fit_the_trials(finished: Path) -> None:
    entry = json.loads((finished / "results.json").read_text())["runs"][0]
    assert entry_problem(entry) is None
    sgd = copy.deepcopy(entry)
    sgd["solver"] = "sgd"
    for trial in sgd["trials"]:
        trial.update(learning_rate=0.1, steps=5, loss=None)
    rung = {"step": 1, "entered": 2, "stayed": 1, "val_accuracies": [0.5, None], "candidates": [0, 1]}
    assert entry_problem({**sgd, "rungs": [rung]}) is None
    for wrong in ({"candidates": [0, 3]}, {"candidates": [0]}):
        assert "a rung compares" in str(entry_problem({**sgd, "rungs": [{**rung, **wrong}]}))
    sgd["trials"][sgd["best"]]["val_accuracy"] = None
    assert "the winner has no score" in str(entry_problem(sgd))


@pytest.mark.parametrize("name", ["results.json", "settings.json"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no JSON"),
        (b"{" * 100_000, "no JSON"),
        (b'{"a":' * 100_000, "too deep"),
        (b"[" * 50 + b"]" * 50, "too deep"),
        (b'{"schema": NaN}', "NaN"),
        (b'{"schema": 1e999}', "1e999"),
        (b"\xff", "UTF-8"),
    ],
    ids=range(7),
)
def test_what_is_no_strict_json_is_refused(folder: RunFolder, name: str, content: bytes, reason: str) -> None:
    (folder.path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} is damaged: .*{reason}"):
        (read_results if name == "results.json" else read_settings)(folder)


def test_a_pipe_in_place_of_results_is_not_waited_for(folder: RunFolder) -> None:
    (folder.path / "results.json").unlink()
    os.mkfifo(folder.path / "results.json")
    with pytest.raises(InputError, match=r"holds no results\.json"):
        read_results(folder)


def test_results_of_another_schema_name_it(folder: RunFolder) -> None:
    edit(folder, "results.json", set_in("schema", 2))
    with pytest.raises(InputError, match="has schema 2; this version reads 1"):
        read_results(folder)


def test_a_report_takes_its_settings_from_the_results(folder: RunFolder) -> None:
    before = (folder.path / "report.html").read_bytes()
    (folder.path / "settings.json").unlink()
    assert write_report(folder.path).read_bytes() == before
