"""TensorBoard event files of a run: what `--log-dir` writes. tensorboard is an optional extra, `tracking`."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from colinear.checks import InputError
from colinear.search.curves import span_curve
from colinear.search.listener import Listener
from colinear.search.trials import Progress
from colinear.search.winner import LossRun

CURVE_POINTS = 1000  # of a loss curve; longer ones are averaged over equal spans
MOST_TRIALS = 200  # of a loss, best first, that get a line in the table of hyperparameters


def find_writer() -> Any:
    """PyTorch's class that writes event files. Raises `InputError` if tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("--log-dir needs tensorboard: pip install 'colinear[tracking]'.") from None
    return SummaryWriter


class TensorBoardLog:
    """A `Listener` that writes event files to `folder`; use it as a context, so that they are closed.

    While a loss is searched: LOSS/search/{loss, best_METRIC, open, gap}, over steps (SGD) or passes (exact).
    When it is finished: LOSS/winner/minibatch_loss over steps (SGD); LOSS/path/{train_accuracy, val_accuracy, gap}
    over the rank of the strength, weakest first (exact); LOSS/winner/{train, val, test}_accuracy, relative_gap; with
    another metric than the accuracy also LOSS/path/val_score and LOSS/winner/{val, test}_score; and a run of its own
    for each trial, with its hyperparameters and accuracies, for the HPARAMS page.
    Raises `InputError` if tensorboard is not installed or the folder cannot be made.
    """

    stopping = False

    def __init__(self, folder: str | Path) -> None:
        writer = find_writer()
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer: Any = writer(str(self.folder))
        except OSError as error:
            raise InputError(f"log folder {folder} cannot be made: {error.strerror}. Pass another place.") from None
        self._loss = ""

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, *raised: object) -> None:
        self._writer.close()

    def settings(self, values: Mapping[str, Any]) -> None:
        """The settings of the run, as a page of text."""
        self._writer.add_text("settings", f"```json\n{json.dumps(values, indent=2)}\n```")

    def figure(self, name: str, png: bytes) -> None:
        """A figure of the run, such as ('figures/hinge-loss.png', its bytes)."""
        with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
            self._writer.add_image(Path(name).stem, np.asarray(picture.convert("RGB")), dataformats="HWC")

    def tries(self, record: Mapping[str, Any]) -> None:
        """What the tries of a few-shot run found: LOSS/tries/{val, test}_accuracy over the number of the try."""
        for number, one in enumerate(record["each"], 1):
            self._scalar(f"{record['loss']}/tries/val_accuracy", one["winner"]["val_accuracy"], number)
            self._scalar(f"{record['loss']}/tries/test_accuracy", one["test_accuracy"], number)

    def started(self, loss: str, total: int, unit: str) -> None:
        self._loss = loss

    def progressed(self, progress: Progress) -> None:
        step = progress.passes or progress.done
        self._scalar(f"{self._loss}/search/loss", progress.loss, step)
        self._scalar(f"{self._loss}/search/best_{progress.metric}", progress.best, step)
        self._scalar(f"{self._loss}/search/gap", progress.gap, step)
        self._scalar(f"{self._loss}/search/open", progress.active or progress.total - progress.done, step)

    def finished(self, run: LossRun) -> None:
        trials, best = run.entry["trials"], run.entry["best"]
        if run.result is not None and run.result.history is not None:
            for step, value in span_curve(run.result.history[best].cpu().numpy(), CURVE_POINTS):
                self._scalar(f"{run.loss}/winner/minibatch_loss", value, step)
        if run.entry["solver"] == "exact":
            for rank, trial in enumerate(sorted(trials, key=lambda one: float(one["reg"]))):
                self._scalar(f"{run.loss}/path/train_accuracy", trial.get("train_accuracy"), rank)
                self._scalar(f"{run.loss}/path/val_accuracy", trial.get("val_accuracy"), rank)
                self._scalar(f"{run.loss}/path/val_score", trial.get("val_score"), rank)
                self._scalar(f"{run.loss}/path/gap", trial.get("relative_gap"), rank)
        winner = {**trials[best], "test_accuracy": run.entry["test_accuracy"]}
        for name in ("train_accuracy", "val_accuracy", "test_accuracy", "relative_gap"):
            self._scalar(f"{run.loss}/winner/{name}", winner.get(name), 0)
        for part, score in (("val", winner.get("val_score")), ("test", run.entry.get("test_score"))):
            self._scalar(f"{run.loss}/winner/{part}_score", score, 0)
        for number in run.entry["order"][:MOST_TRIALS]:
            self._trial(run, number, trials[number])
        self._writer.flush()

    def _trial(self, run: LossRun, number: int, trial: Mapping[str, Any]) -> None:
        """One line of the HPARAMS page."""
        chosen = {"loss": run.loss, "solver": run.entry["solver"], "reg": trial["reg"]}
        if trial.get("learning_rate") is not None:
            chosen["learning_rate"] = trial["learning_rate"]
        names = ("val_accuracy", "train_accuracy", "relative_gap")
        found = {name: trial[name] for name in names if trial.get(name) is not None}
        self._writer.add_hparams(chosen, found, run_name=f"{run.loss}-{number:04d}")

    def _scalar(self, name: str, value: float | None, step: int) -> None:
        if value is not None and math.isfinite(value):
            self._writer.add_scalar(name, value, step)


class Everyone:
    """A listener that passes everything on to several."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    @property
    def stopping(self) -> bool:
        """Whether one of them wants the run to end."""
        return any(listener.stopping for listener in self.listeners)

    def started(self, loss: str, total: int, unit: str) -> None:
        for listener in self.listeners:
            listener.started(loss, total, unit)

    def progressed(self, progress: Progress) -> None:
        for listener in self.listeners:
            listener.progressed(progress)

    def finished(self, run: LossRun) -> None:
        for listener in self.listeners:
            listener.finished(run)
