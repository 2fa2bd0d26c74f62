"""A tuning run from rows to files; stopped anywhere and resumed, it ends with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Split
from colinear.model import LinearModel
from colinear.objective import label_rows
from colinear.search import Progress
from colinear.search import tune as tune_module
from colinear.search.checkpoints import run_identity
from colinear.search.device import pick_device
from colinear.search.listener import Silent
from colinear.search.runfolder import RunFolder
from colinear.search.score import score_test
from colinear.search.settings import Settings
from colinear.search.tune import tune
from colinear.search.winner import LossRun
from colinear.search.written import read_settings

SETTINGS = Settings(
    "digits", solver="sgd", device="cpu", candidates=9, learning_rates=(1e-2, 1.0), reg_range=(1e-5, 1e-2), steps=60,
    batch_size=16, momentum=0.5, averaging=0.4, eta=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(SETTINGS, split, folder)
    return folder


def run(settings: Settings, split: Split, folder: Path, listener: Any = None) -> list[LossRun]:
    with RunFolder(folder) as held:
        return tune(settings, split, held, listener)


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_seconds(part) for name, part in value.items() if not name.endswith("seconds")}
    return [without_seconds(part) for part in value] if isinstance(value, list) else value


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a finished run but the lock, without times."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    found = {str(name): path.read_bytes() for name, path in files.items()}
    found["results.json"] = json.dumps(without_seconds(json.loads(found["results.json"]))).encode()
    return found


class Stopper(Silent):
    """Presses Ctrl-C at the given reporting point of the whole run."""

    def __init__(self, at: int) -> None:
        self.left = at

    def progressed(self, progress: Progress) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


# What a run writes


def test_a_run_leaves_results_and_models_that_agree(undisturbed: Path, split: Split) -> None:
    assert sorted(content(undisturbed)) == [
        "model-hinge.safetensors", "model-softmax.safetensors", "results.json", "settings.json",
    ]  # fmt: skip
    results = json.loads((undisturbed / "results.json").read_text())
    assert read_settings(RunFolder(undisturbed)) == SETTINGS
    assert [entry["loss"] for entry in results["runs"]] == ["hinge", "softmax"]
    assert split.test is not None
    for entry in results["runs"]:
        model = LinearModel.load(undisturbed / f"model-{entry['loss']}.safetensors")
        best = entry["trials"][entry["best"]]
        right = label_rows(model, split.validation) == split.validation.labels
        assert float(right.double().mean()) == pytest.approx(best["val_accuracy"], abs=1.1 / len(right))
        hits = label_rows(model, split.test) == split.test.labels
        assert entry["test_accuracy"] == float(hits.double().mean()) == model.provenance["test_accuracy"]
        assert sum(entry["confusion_matrix"][c][c] for c in range(10)) == int(hits.sum())
        assert entry["test_accuracy_ci95"][0] < entry["test_accuracy"] < entry["test_accuracy_ci95"][1]
        assert (model.provenance["reg"], model.loss) == (best["reg"], entry["loss"])
        assert [rung["stayed"] for rung in entry["rungs"]] == [3, 2]
        assert best["val_accuracy"] > 0.9


def test_the_listener_hears_of_every_loss(split: Split, tmp_path: Path) -> None:
    heard: list[Any] = []

    class Ear(Silent):
        def started(self, loss: str, total: int, unit: str) -> None:
            heard.append((loss, total, unit))

        def progressed(self, progress: Progress) -> None:
            heard.append(progress.done)

        def finished(self, run: LossRun) -> None:
            heard.append(run.result)

    runs = run(replace(SETTINGS, steps=2), split, tmp_path, Ear())
    assert heard == [
        ("hinge", 2, "steps"), 1, 2, runs[0].result, ("softmax", 2, "steps"), 1, 2, runs[1].result,
    ]  # fmt: skip


def test_without_test_rows_there_is_no_test_score(split: Split, tmp_path: Path) -> None:
    runs = run(replace(SETTINGS, steps=2, losses=("hinge",)), replace(split, test=None), tmp_path)
    assert runs[0].test is None
    entry = json.loads((tmp_path / "results.json").read_text())["runs"][0]
    assert (entry["test_accuracy"], entry["confusion_matrix"]) == (None, None)


def test_a_class_without_training_rows_is_tuned_and_scored(tmp_path: Path) -> None:
    names = ("a", "b", "never in training")
    train = ArrayDataset(torch.tensor([[0.0, 1.0], [1.0, 0.0]] * 10), torch.tensor([0, 1] * 10), names)
    other = ArrayDataset(torch.tensor([[0.0, 1.0], [3.0, 3.0]]), torch.tensor([0, 2]), names)
    runs = run(replace(SETTINGS, batch_size=64), Split(train, other, other), tmp_path)
    assert [entry.test.total for entry in runs if entry.test is not None] == [2, 2]
    assert runs[0].model.n_classes == 3


def test_a_run_in_which_all_diverge_is_an_error_with_advice(split: Split, tmp_path: Path) -> None:
    wild = replace(SETTINGS, learning_rates=(1e19, 1e20), reg_range=(0.5, 1.0))
    with pytest.raises(InputError, match=r"every candidate of hinge diverged\. Lower the learning rates"):
        run(wild, split, tmp_path)


def test_a_test_score_counts_hits_by_class(split: Split) -> None:
    weight, bias = torch.zeros(10, 64), torch.nn.functional.one_hot(torch.tensor(4), 10).float()
    score = score_test(LinearModel(weight, bias, split.train.class_names), split.validation)
    fours = int((split.validation.labels == 4).sum())
    assert (score.correct, score.total, int(score.confusion[:, 4].sum())) == (fours, 270, 270)
    assert score.interval[0] < score.accuracy == fours / 270 < score.interval[1]


# Stopping and going on


@pytest.mark.parametrize("at", [0, 1, 6, 20, 59, 60, 61, 75, 119])
@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["kept at every report", "kept at rungs"])
def test_a_run_stopped_anywhere_and_resumed_ends_with_the_same_bytes(
    split: Split, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, seconds: float
) -> None:
    monkeypatch.setattr(tune_module, "CHECKPOINT_SECONDS", seconds)
    with pytest.raises(KeyboardInterrupt):
        run(SETTINGS, split, tmp_path, Stopper(at))
    runs = run(SETTINGS, split, tmp_path)
    assert content(tmp_path) == content(undisturbed)
    assert (runs[0].result is None) == (at >= 60)  # hinge was finished before


def test_a_run_may_be_stopped_again_and_again(
    split: Split, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_module, "CHECKPOINT_SECONDS", 0.0)
    stops = 0
    while True:
        try:
            run(SETTINGS, split, tmp_path, Stopper(7))
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 10
    assert content(tmp_path) == content(undisturbed)


PROGRAM = """
import json, sys
from colinear.datasets import open_split
from colinear.search import tune
from colinear.search.listener import Silent
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings

class Talker(Silent):
    count = 0
    def progressed(self, progress):
        self.count += 1
        print(self.count, flush=True)
        if self.count == 100:
            sys.stdin.read()  # wait here to be killed, if it has not happened yet

tune.CHECKPOINT_SECONDS = 0.0
with RunFolder(sys.argv[1]) as folder:
    settings = Settings.from_json(json.loads(sys.argv[2]))
    tune.tune(settings, open_split("digits"), folder, Talker())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("reports", [17, 83])
def test_a_killed_run_is_resumed_with_the_same_bytes(
    split: Split, undisturbed: Path, tmp_path: Path, reports: int
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), json.dumps(SETTINGS.to_json())]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= reports:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    run(SETTINGS, split, tmp_path)
    assert content(tmp_path) == content(undisturbed)


# What must not go on


@pytest.fixture
def stopped(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run stopped in its second loss."""
    monkeypatch.setattr(tune_module, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(SETTINGS, split, tmp_path, Stopper(80))
    return tmp_path


def test_a_damaged_checkpoint_is_refused_and_may_be_deleted(stopped: Path, split: Split, undisturbed: Path) -> None:
    target = stopped / "checkpoints" / "softmax.safetensors"
    damaged = bytearray(target.read_bytes())
    damaged[-3] ^= 1
    target.write_bytes(damaged)
    with pytest.raises(InputError, match=r"softmax\.safetensors is damaged .*Delete it to start that search anew"):
        run(SETTINGS, split, stopped)
    target.unlink()
    run(SETTINGS, split, stopped)
    assert content(stopped) == content(undisturbed)


def test_a_checkpoint_made_to_fit_its_digest_is_refused_by_name(stopped: Path, split: Split) -> None:
    with RunFolder(stopped) as folder:
        identity = run_identity(SETTINGS, split)
        parts = folder.load_checkpoint("checkpoints/softmax.safetensors", identity)
        assert parts is not None
        folder.save_checkpoint("checkpoints/softmax.safetensors", (parts[0], {**parts[1], "rungs": 3}), identity)
    with pytest.raises(InputError, match=r"softmax\.safetensors is damaged .*Delete it to start that search anew"):
        run(SETTINGS, split, stopped)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 61}, "its settings.steps is 60, this run's is 61"),
        ({"seed": 1}, "its settings.seed is 0, this run's is 1"),
        ({"losses": ("softmax",)}, "its settings.losses is"),
        ({"eta": None}, "its settings.eta is 3, this run's is None"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_other_settings_are_refused_and_the_run_can_still_go_on(
    stopped: Path, split: Split, undisturbed: Path, change: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"belongs to another run: {named}"):
        run(replace(SETTINGS, **change), split, stopped)
    kept = read_settings(RunFolder(stopped))
    run(kept, split, stopped)
    assert content(stopped) == content(undisturbed)


def test_other_data_is_refused_by_notes_and_by_checkpoints(stopped: Path, split: Split) -> None:
    for part in ("train", "validation"):
        fewer = replace(split, **{part: getattr(split, part).subset(slice(1, None))})
        with pytest.raises(
            InputError, match=rf"hinge.json is of other {part}\w* data: the data has changed .*--out\.$"
        ):
            run(SETTINGS, fewer, stopped)
    (stopped / "checkpoints" / "hinge.json").unlink()
    with pytest.raises(
        InputError, match=r"softmax.safetensors is of other validation data: the data has changed since"
    ):
        run(SETTINGS, fewer, stopped)


def test_a_model_that_is_gone_is_named_with_the_ways_on(stopped: Path, split: Split, undisturbed: Path) -> None:
    (stopped / "model-hinge.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-hinge\.safetensors is gone\. .* delete .*checkpoints/hinge\.json"):
        run(SETTINGS, split, stopped)
    (stopped / "checkpoints" / "hinge.json").unlink()
    run(SETTINGS, split, stopped)
    assert content(stopped) == content(undisturbed)


def test_another_number_of_threads_is_refused(stopped: Path, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1000)
    with pytest.raises(InputError, match=r"its threads is .*, this run's is 1000"):
        run(SETTINGS, split, stopped)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"identity": {}}', b"{"])
def test_a_damaged_note_of_a_finished_loss_is_refused(stopped: Path, split: Split, content: bytes) -> None:
    (stopped / "checkpoints" / "hinge.json").write_bytes(content)
    with pytest.raises(InputError, match=r"hinge\.json is damaged"):
        run(SETTINGS, split, stopped)


@pytest.mark.parametrize(
    ("way", "value", "named"),
    [
        (("entry", "loss"), "softmax", "it is of softmax"),
        (("entry", "best"), 99, "best is not"),
        (("entry", "trials", 0, "reg"), None, "trials.0..reg"),
        (("entry",), [], "object"),
        (("identity",), None, "hinge.json belongs to another run"),
    ],
)
def test_a_note_that_no_run_writes_is_refused(
    stopped: Path, split: Split, way: tuple[Any, ...], value: Any, named: str
) -> None:
    note = json.loads((stopped / "checkpoints" / "hinge.json").read_text())
    holder = note
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = value
    (stopped / "checkpoints" / "hinge.json").write_text(json.dumps(note))
    with pytest.raises(InputError, match=rf"hinge\.json .*{named}|{named}"):
        run(SETTINGS, split, stopped)


@pytest.mark.parametrize(
    "name",
    ["meta", "hpu", "privateuseone", "xla:0", "vulkan", "mps", "xpu", "cuda:x", "cpu:-1", "", "\udcff", "x" * 999],
)
def test_a_device_that_computes_nothing_here_is_refused(name: str) -> None:
    if name in ("mps", "xpu") and getattr(torch, name).is_available():
        pytest.skip("it is available")
    with pytest.raises(InputError, match="device") as refusal:
        pick_device(name)
    assert len(str(refusal.value)) < 300


def test_a_search_beyond_the_memory_leaves_no_file(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colinear.search.memory.most_bytes", lambda device: 1000)
    with pytest.raises(InputError, match="Use fewer --candidates"):
        run(SETTINGS, split, tmp_path)
    assert not (tmp_path / "settings.json").exists()


def test_a_full_disk_stops_the_run_and_leaves_what_it_had(
    stopped: Path, split: Split, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (stopped / "checkpoints" / "softmax.safetensors").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left on device"):
            run(SETTINGS, split, stopped)
    assert (stopped / "checkpoints" / "softmax.safetensors").read_bytes() == before
    assert list(stopped.rglob("*.part")) == []
    run(SETTINGS, split, stopped)
    assert content(stopped) == content(undisturbed)
