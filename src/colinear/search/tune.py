"""A tuning run from rows to files: search each loss, score the winner on test once, write results as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, Protocol

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.augment import Augmentation, parse_augment
from colinear.datasets.base import Dataset, Split
from colinear.datasets.features import Features, Scaling, fit_scaling
from colinear.datasets.joined import JoinedDataset
from colinear.metrics import confusion_matrix
from colinear.model import LinearModel
from colinear.objective import Objective, label_rows
from colinear.schemas import plain_number
from colinear.search.candidates import draw_candidates
from colinear.search.memory import check_memory
from colinear.search.optimum import place_winner
from colinear.search.path_search import PathSearch, default_regs
from colinear.search.position import SearchPosition
from colinear.search.resultsfile import TestScore, loss_json, results_json, versions
from colinear.search.runfolder import RunFolder, check_identity
from colinear.search.settings import COURSE_BATCH, LOSS_NAMES, Settings
from colinear.search.sgd_search import SGDSearch
from colinear.search.trials import Progress, SearchResult
from colinear.search.written import entry_problem, write_settings
from colinear.solvers.path import fit_preconditioner
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.sgd import SGD
from colinear.solvers.solution import Status
from colinear.solvers.spectrum import Projection
from colinear.texts import shown

CHECKPOINT_SECONDS = 30.0
MODEL_ROWS = 1024
DEVICES = ("cpu", "cuda", "mps", "xpu")


class Listener(Protocol):
    """Who is told how a run goes: the command line's progress bar, or nobody.

    stopping : True once the run should end: the search then writes a checkpoint before its next report.
    """

    @property
    def stopping(self) -> bool: ...
    def started(self, loss: str, total: int, unit: str) -> None: ...
    def progressed(self, progress: Progress) -> None: ...
    def finished(self, run: LossRun) -> None: ...


class Silent:
    """A listener that does nothing."""

    stopping = False

    def started(self, loss: str, total: int, unit: str) -> None: ...
    def progressed(self, progress: Progress) -> None: ...
    def finished(self, run: LossRun) -> None: ...


@dataclass(frozen=True, eq=False)
class LossRun:
    """One loss of a run, finished: the search, the winner as a model, its test score.

    `result` is None when the loss was finished before the run was resumed; `entry` is its part of results.json.
    """

    loss: str
    model: LinearModel
    entry: dict[str, Any]
    test: TestScore | None
    result: SearchResult | None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A split through one scaling, which was fitted on its training rows alone.

    train : what is trained on, with the copies that `augment` asks for;   everything : training and validation
    rows once each;   augmentation : None, or what makes the copies.
    """

    settings: Settings
    split: Split
    scaling: Scaling
    augmentation: Augmentation | None

    @classmethod
    def fit(cls, settings: Settings, split: Split) -> Prepared:
        scaling = fit_scaling(
            split.train, standardize=settings.standardize, intercept_scaling=settings.intercept_scaling
        )
        return cls(settings, split, scaling, None if settings.augment is None else parse_augment(settings.augment))

    @cached_property
    def train(self) -> Features:
        return self.see(self.copies(self.split.train))

    @cached_property
    def validation(self) -> Features:
        return self.see(self.split.validation)

    @cached_property
    def trained_on(self) -> Features:
        """Rows that the exact path is solved on: with --cv, which needs no hold-out, validation rows too."""
        return self.train if self.settings.cv is None else self.see(self.copies(self.everything))

    @cached_property
    def preconditioner(self) -> Preconditioner | None:
        """Of `trained_on`, for all losses."""
        return fit_preconditioner(Objective(self.trained_on), self.settings.seed)

    @cached_property
    def projection(self) -> Projection | None:
        """Training and validation rows in the principal subspace, for all losses; None without --subspace."""
        share = self.settings.subspace
        return None if share is None else Projection.fit(self.train, self.validation, share, self.settings.seed)

    @cached_property
    def everything(self) -> Dataset:
        return JoinedDataset(self.split.train, self.split.validation)

    def copies(self, dataset: Dataset) -> Dataset:
        """`dataset` with its further copies, if there are any."""
        return dataset if self.augmentation is None else self.augmentation.apply(dataset)

    def see(self, dataset: Dataset) -> Features:
        """`dataset` through the scaling, in float64 if it is stored so, else float32."""
        return Features(dataset, self.scaling, torch.float64 if dataset.dtype == torch.float64 else torch.float32)


def score_test(model: LinearModel, dataset: Dataset) -> TestScore:
    """Label every row of `dataset` with the finished model, from raw rows."""
    predicted = label_rows(model, dataset)
    labels = dataset.labels.to(predicted.device)
    confusion = confusion_matrix(labels, predicted, model.n_classes)
    return TestScore(int(confusion.trace()), dataset.n_samples, confusion)


def pick_device(name: str) -> torch.device:
    """'auto' is a CUDA GPU if there is one, else the CPU; anything else is PyTorch's own name for a device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in DEVICES:  # torch knows more: meta keeps no numbers, others need their own package
        raise InputError(f"device must be auto or one of {', '.join(DEVICES)}; got {shown(name)}. Use --device auto.")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception:  # each kind of device has its own errors where it is missing
        raise InputError(f"device {shown(name)} is not available here. Use --device cpu or auto.") from None
    return device


def tune(settings: Settings, split: Split, folder: RunFolder, listener: Listener | None = None) -> list[LossRun]:
    """Search every loss of `settings`; after each one results.json and its model file are whole.

    A loss that an earlier process finished in this folder is taken from there; one that it had begun goes on
    from its last checkpoint. All training rows of `split` are used: few-shot runs begin with `tries.tune_tries`.
    """
    listener = listener or Silent()
    device = pick_device(settings.device)
    check_memory(settings, split.train.n_classes, split.train.n_features + 1, device)
    split = split.to(device)
    prepared = Prepared.fit(settings, split)
    identity = run_identity(settings, split)
    _refuse_foreign(folder, identity)
    write_settings(folder, settings)
    runs: list[LossRun] = []
    for loss in settings.losses:
        run = _finished_before(loss, folder, identity) or _run_loss(
            loss, settings, prepared, folder, listener, identity
        )
        runs.append(run)
        folder.write_json("results.json", results_json(settings, split, [run.entry for run in runs]))
        folder.remove(f"checkpoints/{loss}.safetensors")
        listener.finished(run)
    for loss in settings.losses:
        folder.remove(f"checkpoints/{loss}.json")
    return runs


def run_identity(settings: Settings, split: Split) -> dict[str, Any]:
    """What must be the same for a checkpoint to go on: settings, data, threads, versions."""
    return {
        "settings": settings.to_json(),
        "training data": split.train.fingerprint,
        "validation data": split.validation.fingerprint,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "version": version("colinear"),
    }


def _run_loss(
    loss: str,
    settings: Settings,
    prepared: Prepared,
    folder: RunFolder,
    listener: Listener,
    identity: dict[str, Any],
) -> LossRun:
    started = time.perf_counter()
    if settings.solver == "sgd":
        result = _search_sgd(loss, settings, prepared, folder, listener, identity)
    else:
        result = _search_exact(loss, settings, prepared, listener)
    if result.winner.status is Status.DIVERGED:
        raise InputError(_all_diverged(loss, settings))
    return finish_loss(result, settings, prepared, folder, identity, time.perf_counter() - started)


def _all_diverged(loss: str, settings: Settings) -> str:
    low, high = settings.learning_rates
    one = settings.candidates == 1
    what = f"{loss} diverged" if one else f"every candidate of {loss} diverged"
    if low == high:
        return f"{what} at learning rate {low:g}. Lower it, for example --lr {low / 100:g}."
    lower = f"for example --lr {low / 100:g}:{high / 100:g}"
    return f"{what}. Lower the learning rate{'s' * (not one)}, {lower}."


def _search_sgd(
    loss: str,
    settings: Settings,
    prepared: Prepared,
    folder: RunFolder,
    listener: Listener,
    identity: dict[str, Any],
) -> SearchResult:
    listener.started(loss, settings.steps, "steps")
    name = f"checkpoints/{loss}.safetensors"
    saved, last = time.monotonic(), None

    def keep(position: SearchPosition, at_rung: bool) -> None:
        nonlocal saved, last
        last = position
        if at_rung or listener.stopping or time.monotonic() - saved >= CHECKPOINT_SECONDS:
            folder.save_checkpoint(name, position.to_parts(), identity)
            saved = time.monotonic()

    search, position = sgd_search(loss, settings), None
    parts = folder.load_checkpoint(name, identity)
    if parts is not None:
        try:
            position = SearchPosition.from_parts(*parts, prepared.train.device)
        except ValueError as error:
            raise folder.damaged_checkpoint(name, error) from None
    result = search.run(
        prepared.train, prepared.validation, report=listener.progressed, keeper=keep, position=position,
        projection=prepared.projection,
    )  # fmt: skip

    def stop_if_wanted() -> None:
        if listener.stopping:
            if last is not None:  # else every step was taken before this process began, and the checkpoint stands
                folder.save_checkpoint(name, last.to_parts(), identity)
            raise KeyboardInterrupt

    return place_winner(result, prepared.train, lambda: prepared.preconditioner, stop_if_wanted)


def _search_exact(loss: str, settings: Settings, prepared: Prepared, listener: Listener) -> SearchResult:
    regs = settings.regs or default_regs(loss)
    search = PathSearch(loss, regs, settings.tol, settings.max_passes, settings.seed)
    listener.started(loss, len(regs) * (1 + (settings.cv or 0)), "strengths" if settings.cv is None else "fits")
    if settings.cv is not None:
        plain = prepared.see(prepared.everything)
        return search.cross_validate(
            prepared.trained_on, plain, settings.cv, preconditioner=prepared.preconditioner, report=listener.progressed
        )
    refit_on = prepared.see(prepared.copies(prepared.everything)) if settings.refit else None
    return search.run(
        prepared.train,
        prepared.validation,
        refit_on=refit_on,
        preconditioner=prepared.preconditioner,
        report=listener.progressed,
    )


def sgd_search(loss: str, settings: Settings) -> SGDSearch:
    """The course's search as `settings` describe it."""
    sgd = SGD(
        settings.steps,
        settings.batch_size or COURSE_BATCH[loss],
        momentum=settings.momentum,
        schedule=settings.schedule,  # type: ignore[arg-type]
        averaging=settings.averaging,
        precision=settings.precision,  # type: ignore[arg-type]
    )
    drawn = draw_candidates(settings.candidates, settings.learning_rates, settings.reg_range, settings.seed)
    return SGDSearch(loss, tuple(drawn), sgd, settings.seed, settings.eta, settings.subspace)


def finish_loss(
    result: SearchResult,
    settings: Settings,
    prepared: Prepared,
    folder: RunFolder,
    identity: dict[str, Any],
    seconds: float,
) -> LossRun:
    """Turn a winner into a model file, score it on test once, and note both so that --resume need not repeat them."""
    split, winner = prepared.split, result.winner
    model = LinearModel.from_coef(
        result.winning_coef,
        prepared.scaling,
        split.train.class_names,
        split.train.image_shape,
        split.train.value_range,
        {
            "loss": result.loss,
            "solver": result.solver,
            "reg": winner.reg,
            "learning_rate": winner.learning_rate,
            "seed": settings.seed,
            "data": split.name,
            "data_fingerprint": split.train.fingerprint,
            "train_accuracy": plain_number(winner.train_accuracy),
            "val_accuracy": plain_number(winner.val_accuracy),
            "relative_gap": winner.relative_gap,
            "above_optimum": winner.to_json().get("above_optimum"),
            "versions": versions(),
        },
        rows=_sample(split.train),
        label_kind=getattr(split.train, "label_kind", None),
    )
    test = None if split.test is None else score_test(model, split.test)
    if test is not None:
        model.provenance["test_accuracy"] = test.accuracy
    entry = loss_json(result, test, seconds)
    run = LossRun(result.loss, model, entry, test, result)
    folder.write(f"model-{result.loss}.safetensors", model.to_bytes())
    folder.write_json(f"checkpoints/{result.loss}.json", {"identity": identity, "entry": entry})
    return run


def _sample(dataset: Dataset) -> Tensor:
    """Up to 1,024 raw rows, evenly spaced: on them a model is asked whether float32 is enough."""
    step = max(1, -(-dataset.n_samples // MODEL_ROWS))
    return dataset.take(torch.arange(0, dataset.n_samples, step, device=dataset.labels.device))


def _read_note(loss: str, folder: RunFolder, identity: dict[str, Any]) -> dict[str, Any]:
    """What `finish_loss` noted of a finished loss; refused if it is of another run."""
    name = f"checkpoints/{loss}.json"
    noted = folder.read_json(name)
    wrong = entry_problem(noted.get("entry")) if isinstance(noted, dict) else "it is no note of a finished loss"
    if wrong is None and noted["entry"]["loss"] != loss:
        wrong = f"it is of {noted['entry']['loss']}"
    if wrong is not None:
        raise InputError(f"{folder.path / name} is damaged: {wrong}. Delete it to search {loss} anew, then --resume.")
    check_identity(f"{folder.path / name}", noted.get("identity"), identity)
    return dict(noted)


def _refuse_foreign(folder: RunFolder, identity: dict[str, Any]) -> None:
    """Raise `InputError`, before anything is written, if the folder holds a started run of other data or settings."""
    for loss in LOSS_NAMES:
        if (folder.path / "checkpoints" / f"{loss}.json").is_file():
            _read_note(loss, folder, identity)
        folder.load_checkpoint(f"checkpoints/{loss}.safetensors", identity)


def _finished_before(loss: str, folder: RunFolder, identity: dict[str, Any]) -> LossRun | None:
    if not (folder.path / "checkpoints" / f"{loss}.json").is_file():
        return None
    noted = _read_note(loss, folder, identity)
    entry = noted["entry"]
    test = None
    if entry.get("confusion_matrix") is not None:
        confusion = torch.tensor(entry["confusion_matrix"], dtype=torch.int64)
        test = TestScore(int(confusion.trace()), int(confusion.sum()), confusion)
    return LossRun(loss, LinearModel.load(folder.path / f"model-{loss}.safetensors"), entry, test, None)
