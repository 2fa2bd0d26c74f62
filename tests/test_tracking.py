"""Event files hold what the run found; tensorboard's own reader says so."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from colinear.checks import InputError
from colinear.datasets import open_split
from colinear.search.listener import Silent
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import tune
from colinear.search.winner import LossRun
from colinear.tracking import Everyone, TensorBoardLog


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def scalars(events: EventAccumulator, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events.Scalars(name)]


def run_search(folder: Path, **options: Any) -> list[LossRun]:
    settings = Settings("digits", losses=("softmax",), **options)
    with RunFolder(folder / "run") as run, TensorBoardLog(folder / "log") as log:
        log.settings(settings.to_json())
        return tune(settings, open_split("digits"), run, Everyone(Silent(), log))


def test_an_sgd_search_leaves_curves_and_trials(tmp_path: Path) -> None:
    (run,) = run_search(tmp_path, solver="sgd", steps=40, candidates=3, learning_rates=(1e-3, 1e-1), batch_size=32)
    events = read(tmp_path / "log")
    assert run.result is not None
    assert run.result.history is not None
    curve = scalars(events, "softmax/winner/minibatch_loss")
    assert [step for step, _ in curve] == list(range(1, 41))
    assert [value for _, value in curve] == pytest.approx(run.result.history[run.entry["best"]].tolist())
    assert scalars(events, "softmax/winner/test_accuracy") == [(0, pytest.approx(run.entry["test_accuracy"]))]
    assert scalars(events, "softmax/search/best_accuracy")
    assert "settings/text_summary" in events.Tags()["tensors"]
    for number, trial in enumerate(run.entry["trials"]):
        single = read(tmp_path / "log" / f"softmax-{number:04d}")
        assert scalars(single, "val_accuracy")[0][1] == pytest.approx(trial["val_accuracy"])


def test_an_exact_search_leaves_gaps_and_accuracies_of_every_strength(tmp_path: Path) -> None:
    (run,) = run_search(tmp_path, regs=(1e-1, 1e-3))
    events = read(tmp_path / "log")
    trials = run.entry["trials"][::-1]  # a curve over strengths goes from weak to strong, in whatever order they came
    assert [value for _, value in scalars(events, "softmax/path/gap")] == pytest.approx(
        [trial["relative_gap"] for trial in trials]
    )
    assert [value for _, value in scalars(events, "softmax/path/val_accuracy")] == pytest.approx(
        [trial["val_accuracy"] for trial in trials]
    )
    assert scalars(events, "softmax/winner/relative_gap")[0][1] <= 1e-3


def test_figures_become_images(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "PNG")
    with TensorBoardLog(tmp_path) as log:
        log.figure("figures/softmax-path.png", buffer.getvalue())
    (event,) = read(tmp_path).Images("softmax-path")
    assert (event.width, event.height) == (8, 6)


@pytest.mark.usefixtures("without_tensorboard")
def test_without_tensorboard_the_message_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("pip install 'colinear[tracking]'")):
        TensorBoardLog(tmp_path)


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        TensorBoardLog(tmp_path / "file" / "log")
