"""Few-shot runs: each try is the run on its rows; mean and spread are theirs; resuming changes nothing."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from colinear.checks import InputError
from colinear.datasets import Split, draw_shots
from colinear.model import LinearModel
from colinear.search import Progress
from colinear.search.listener import Listener, Silent
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tries import mean_and_spread, tune_tries
from colinear.search.tune import tune

SETTINGS = Settings("digits", losses=("softmax",), regs=(1e-3, 1e-1), seed=3, device="cpu", shots=4, tries=3)
SGD = replace(
    SETTINGS, solver="sgd", candidates=3, steps=20, batch_size=8, learning_rates=(1e-2, 1.0), reg_range=(1e-4, 1e-2),
    losses=("hinge", "softmax"),
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exact few-shot run."""
    folder = tmp_path_factory.mktemp("tries") / "run"
    with RunFolder(folder) as held:
        tune_tries(SETTINGS, split, held)
    return folder


def read(path: Path) -> Any:
    return json.loads((path / "results.json").read_text())


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_seconds(part) for name, part in value.items() if not name.endswith("seconds")}
    return [without_seconds(part) for part in value] if isinstance(value, list) else value


def test_each_try_is_the_run_on_its_rows(finished: Path, split: Split, tmp_path: Path) -> None:
    record = read(finished)["tries"][0]
    for number, one in enumerate(record["each"], 1):
        assert (one["folder"], one["seed"]) == (f"try-{number}", 2 + number)
        rows = replace(split, train=draw_shots(split.train, 4, one["seed"]))
        with RunFolder(tmp_path / one["folder"]) as folder:
            [alone] = tune(SETTINGS, rows, folder)
        entry = read(finished / one["folder"])["runs"][0]
        assert without_seconds(entry) == without_seconds(alone.entry)
        assert (one["winner"], one["test_accuracy"]) == (
            alone.entry["trials"][alone.entry["best"]],
            alone.test.accuracy,
        )
        name = "model-softmax.safetensors"
        assert (finished / one["folder"] / name).read_bytes() == (tmp_path / one["folder"] / name).read_bytes()


def test_mean_and_spread_are_those_of_the_tries(finished: Path) -> None:
    results = read(finished)
    record = results["tries"][0]
    assert (results["runs"], record["count"], len(record["each"])) == ([], 3, 3)
    for name, values in (
        ("val", [one["winner"]["val_accuracy"] for one in record["each"]]),
        ("test", [one["test_accuracy"] for one in record["each"]]),
    ):
        assert record[f"{name}_accuracy"] == pytest.approx(sum(values) / 3)
        assert record[f"{name}_spread"] == pytest.approx(statistics.stdev(values))
        assert len(set(values)) > 1


def test_validation_and_test_rows_stay(finished: Path, split: Split) -> None:
    assert split.test is not None
    prints = set()
    for number in (1, 2, 3):
        dataset = read(finished / f"try-{number}")["dataset"]
        assert (dataset["n_train"], dataset["n_validation"]) == (40, split.validation.n_samples)
        assert dataset["n_test"] == split.test.n_samples
        prints.add(dataset["fingerprint"])
    assert len(prints) == 3
    assert read(finished)["dataset"]["fingerprint"] == split.train.fingerprint


class _Stopper(Silent):
    """Stops the program at the report with this number, as Ctrl-C does."""

    def __init__(self, reports: int) -> None:
        self.left = reports

    @property
    def stopping(self) -> bool:  # type: ignore[override]
        return self.left <= 1

    def progressed(self, progress: Progress) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("reports", [1, 30, 45, 90])
def test_a_stopped_run_goes_on_and_ends_with_the_same_numbers(reports: int, split: Split, tmp_path: Path) -> None:
    """20 reports a search, 40 a try."""
    with RunFolder(tmp_path / "whole") as folder:
        whole = tune_tries(SGD, split, folder)
    stopper = _Stopper(reports)

    @contextmanager
    def listen(number: int, own: RunFolder, rows: Split) -> Iterator[Listener]:
        yield stopper

    with pytest.raises(KeyboardInterrupt), RunFolder(tmp_path / "stopped") as folder:
        tune_tries(SGD, split, folder, listen)
    done = (reports - 1) // 40
    assert (tmp_path / "stopped/results.json").exists() == (done > 0)
    if done:
        assert [record["count"] for record in read(tmp_path / "stopped")["tries"]] == [done, done]
    kept = {
        path: path.stat().st_mtime_ns for n in range(1, done + 1) for path in (tmp_path / f"stopped/try-{n}").glob("m*")
    }
    assert len(kept) == 2 * done
    with RunFolder(tmp_path / "stopped") as folder:
        resumed = tune_tries(SGD, split, folder)
    assert without_seconds(resumed) == without_seconds(whole) == without_seconds(read(tmp_path / "stopped"))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    for number in (1, 2, 3):
        for loss in SGD.losses:
            name = f"try-{number}/model-{loss}.safetensors"
            assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_tries_of_other_data_are_refused(finished: Path, split: Split, tmp_path: Path) -> None:
    other = replace(split, train=split.train.subset(slice(0, 900)))
    with RunFolder(finished) as folder, pytest.raises(InputError, match="try-1 is a run on other data"):
        tune_tries(SETTINGS, other, folder)


def test_too_many_shots_leave_the_folder_empty(split: Split, tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder, pytest.raises(InputError, match="smallest class"):
        tune_tries(replace(SETTINGS, shots=500), split, folder)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_without_test_rows_there_is_no_test_accuracy(split: Split, tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        results = tune_tries(replace(SETTINGS, tries=1), replace(split, test=None), folder)
    record = results["tries"][0]
    assert (record["test_accuracy"], record["test_spread"], record["val_spread"]) == (None, None, None)
    assert record["val_accuracy"] == record["each"][0]["winner"]["val_accuracy"]
    assert LinearModel.load(tmp_path / "try-1/model-softmax.safetensors").n_classes == 10


def test_one_shot_of_each_class_is_enough(split: Split, tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        results = tune_tries(replace(SETTINGS, shots=1, tries=2, standardize=True), split, folder)
    assert results["tries"][0]["test_accuracy"] > 0.3


def test_settings_say_what_belongs_together() -> None:
    for wrong in ({"cv": 2, "refit": True}, {"shots": 2, "cv": 2}, {"shots": 2, "refit": True}, {"tries": 0}):
        with pytest.raises(InputError):
            Settings("digits", **wrong)


def test_spreads_leave_out_what_is_not_there() -> None:
    assert mean_and_spread([0.2, None, 0.4]) == (pytest.approx(0.3), pytest.approx(0.02**0.5))
