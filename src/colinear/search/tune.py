"""A tuning run from rows to files: search each loss, score the winner on test once, write results as they come.

One way down: the split to the device, `Prepared` (the rows), a search (trials), `score_winner` (the model, its score).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from colinear.checks import InputError
from colinear.datasets.base import Dataset, Split, weights_fingerprint
from colinear.lossbase import check_takes
from colinear.losses import LOSSES
from colinear.parallel.group import ALONE, Group
from colinear.search.candidates import draw_candidates
from colinear.search.checkpoints import Checkpoints, note_name, run_identity
from colinear.search.device import check_group, pick_device
from colinear.search.journal import journal_of
from colinear.search.judging import weigh_rows
from colinear.search.listener import Listener, Silent
from colinear.search.memory import check_memory
from colinear.search.optimum import place_winner
from colinear.search.path_search import PathSearch
from colinear.search.position import SearchPosition
from colinear.search.prepared import Prepared
from colinear.search.resultsfile import results_json, versions
from colinear.search.runfolder import RunFolder, flatten
from colinear.search.settings import COURSE_BATCH, Settings
from colinear.search.sgd_search import SGDSearch
from colinear.search.trials import SearchResult
from colinear.search.winner import LossRun, model_name, score_winner
from colinear.search.written import read_results, write_settings
from colinear.solvers.precision import matmul_precision
from colinear.solvers.sgd import SGD
from colinear.solvers.solution import Status

CHECKPOINT_SECONDS = 30.0


def check_labels(settings: Settings, train: Dataset) -> None:
    """Raise `InputError` with the first loss that does not take the labels of the training rows."""
    for loss in settings.losses:
        check_takes(LOSSES[loss], train.labels, train.name)
    if settings.class_weight is not None and train.labels.ndim == 2:
        raise InputError(
            f"--class-weight takes one class a row; rows of {train.name} have any number of them. Leave it out."
        )


@dataclass(frozen=True, eq=False)
class Run:
    """What is searched, on which rows, where it is written and who is told.

    group : the processes that search together, each with all of `split`, of which it takes its range of rows. The first
    alone writes in its folder and tells its listener; the others need neither.
    Raises `InputError` for settings that take one process.
    """

    settings: Settings
    split: Split
    folder: RunFolder | None
    listener: Listener = field(default_factory=Silent)
    group: Group = ALONE

    def __post_init__(self) -> None:
        check_processes(self.settings, self.group)

    @cached_property
    def prepared(self) -> Prepared:
        """The rows on the device that `settings` name. Raises `InputError` where the search cannot fit there."""
        device, train = pick_device(self.settings.device), self.split.train
        check_labels(self.settings, train)
        check_memory(self.settings, train.n_classes, train.n_features + 1, device)
        return Prepared.fit(self.settings, self.split, self.group, device)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.place, run_identity(self.settings, self.prepared.split, self.group.size))

    @property
    def place(self) -> RunFolder:
        """The folder, in the process that writes."""
        if self.folder is None:
            raise InputError("a run needs a folder in the first process of its group.")
        return self.folder

    def finished(self) -> list[LossRun]:
        """The losses of a finished run (without `result`), or nothing if there is work left.

        Raises `InputError` if results.json is damaged or has other settings, if a model is gone, or if the run was
        trained on other rows than those of `split`.
        """
        folder, place = self.place, self.place.path
        if not (place / "results.json").is_file() or any((place / "checkpoints").glob("*")):
            return []
        results = read_results(folder, self.settings)
        entries = results["runs"]
        if tuple(entry["loss"] for entry in entries) != self.settings.losses:
            return []
        if results["dataset"]["fingerprint"] != self.split.train.fingerprint:
            raise InputError(f"{place} is a run on other data than {self.settings.data} holds now. Start a new run.")
        return [LossRun.read(folder, entry, "results.json") for entry in entries]

    def search(self) -> list[LossRun]:
        """See `tune`. Nothing is written where the rows or the folder are refused.

        Returns nothing in the processes that follow the first.
        """
        self._agree()
        if not self.group.leads:
            return self._follow()
        self.checkpoints.refuse_foreign()
        noted = {loss: self.checkpoints.noted(loss) for loss in self.settings.losses}
        self.group.gather([loss for loss, note in noted.items() if note is None])
        write_settings(self.place, self.settings)
        runs: list[LossRun] = []
        for loss, note in noted.items():
            runs.append(self._finish(loss) if note is None else LossRun.read(self.place, note, note_name(loss)))
            entries = [run.entry for run in runs]
            self.place.write_json(
                "results.json",
                results_json(self.settings, self.prepared.split, entries, self.prepared.own.train.labels.device),
            )
            self.checkpoints.clear(loss)
            self.listener.finished(runs[-1])
        for loss in self.settings.losses:
            self.place.remove(note_name(loss))
        return runs

    def _agree(self) -> None:
        """The rows on the device; refuse processes that have other settings, versions or data than the others."""
        agree(self.settings, self.split, self.group)
        _ = self.prepared

    def _follow(self) -> list[LossRun]:
        """Search with the first process what it has not finished before."""
        waiting: list[str] = []
        for loss in self.group.gather(waiting)[0]:
            self._train(loss)
        return []

    def _finish(self, loss: str) -> LossRun:
        """Search `loss`, and write its winner as a model and as a note that it is finished."""
        run = self._train(loss)
        self.place.write(model_name(loss), run.model.to_bytes())
        self.checkpoints.note(run.entry)
        return run

    def _train(self, loss: str) -> LossRun:
        started = time.perf_counter()
        with matmul_precision(self.settings.precision):  # type: ignore[arg-type]
            result = self._search_sgd(loss) if self.settings.solver == "sgd" else self._search_exact(loss)
        if result.winner.status is Status.DIVERGED:
            raise InputError(_all_diverged(loss, self.settings))
        return score_winner(result, self.prepared, time.perf_counter() - started)

    def _search_sgd(self, loss: str) -> SearchResult:
        rows, keeper = self.prepared, _Keeper(self, loss)
        self.listener.started(loss, self.settings.steps, "steps")
        search = sgd_search(loss, self.settings, rows.class_weight)
        begun = self.checkpoints.load(loss, rows.train.device) if self.group.leads else None
        position = SearchPosition.share(begun, self.group, rows.train.device)
        result = search.run_on(
            rows.projection, report=self.listener.progressed, keeper=keeper, position=position, group=self.group
        )
        weights = weigh_rows(rows.train.dataset, rows.class_weight)
        return place_winner(result, rows.train, lambda: rows.preconditioner, keeper.stop_if_wanted, weights, self.group)

    def _search_exact(self, loss: str) -> SearchResult:
        rows, settings = self.prepared, self.settings
        search = path_search(loss, settings, rows.class_weight)
        total = search.n_first * (1 + (settings.cv or 0))
        self.listener.started(loss, total, "strengths" if settings.cv is None else "fits")
        checkpoints = self.checkpoints if self.group.leads else None
        with journal_of(checkpoints, loss, self.group, CHECKPOINT_SECONDS, lambda: self.listener.stopping) as journal:
            shared: Any = {
                "preconditioner": rows.preconditioner, "report": self.listener.progressed, "group": self.group,
                "journal": journal,
            }  # fmt: skip
            if settings.cv is not None:
                return search.cross_validate(rows.trained_on, rows.see(rows.everything), settings.cv, **shared)
            refit_on = rows.refit_on if settings.refit else None
            return search.run(rows.train, rows.validation, refit_on=refit_on, **shared)


class _Keeper:
    """Writes the checkpoints of one search: at rungs, before the run is stopped, and every half a minute.

    In a process that follows the first it does nothing.
    """

    def __init__(self, run: Run, loss: str) -> None:
        self.run, self.loss = run, loss
        self.saved = time.monotonic()
        self.last: SearchPosition | None = None

    def __call__(self, position: SearchPosition, at_rung: bool) -> None:
        self.last = position
        if not self.run.group.leads:
            return
        if at_rung or self.run.listener.stopping or time.monotonic() - self.saved >= CHECKPOINT_SECONDS:
            self.run.checkpoints.save(self.loss, position)
            self.saved = time.monotonic()

    def stop_if_wanted(self) -> None:
        """After the last step: end the run if its listener wants it to."""
        if self.run.listener.stopping:
            if self.last is not None:  # else every step was taken before this process began, and the checkpoint stands
                self.run.checkpoints.save(self.loss, self.last)
            raise KeyboardInterrupt


def agree(settings: Settings, split: Split, group: Group) -> None:
    """Raise `InputError` in every process of a group unless all have the same settings, versions and rows."""
    if group.size > 1:
        parts = {part.name: getattr(split, part.name) for part in fields(split)}
        data = {f"{name} data": part and part.fingerprint for name, part in parts.items()}
        weights = {f"{name} weights": part and weights_fingerprint(part) for name, part in parts.items()}
        group.agree({**flatten(settings.to_json()), **data, **weights, **versions()})


def check_processes(settings: Settings, group: Group) -> None:
    """Raise `InputError` for settings with which the processes of a group cannot search together."""
    if group.size > 1 and settings.features is not None:
        raise InputError(
            f"several processes, here {group.size}, search without --features. Leave --features out, or start one."
        )
    check_group(settings.device, group)


def tune(
    settings: Settings, split: Split, folder: RunFolder | None, listener: Listener | None = None, group: Group = ALONE
) -> list[LossRun]:
    """Search every loss of `settings`; after each one results.json and its model file are whole.

    A loss that an earlier process finished in this folder is taken from there; one that it had begun goes on
    from its last checkpoint. All training rows of `split` are used: few-shot runs begin with `tries.tune_tries`.
    folder, group : see `Run`.
    """
    return Run(settings, split, folder, listener or Silent(), group).search()


def sgd_search(loss: str, settings: Settings, class_weight: tuple[float, ...] | None = None) -> SGDSearch:
    """The course's search as `settings` describe it, for classes of which one counts so much."""
    sgd = SGD(
        settings.steps,
        settings.batch_size or COURSE_BATCH[loss],
        momentum=settings.momentum,
        schedule=settings.schedule,  # type: ignore[arg-type]
        averaging=settings.averaging,
        precision=settings.precision,  # type: ignore[arg-type]
    )
    drawn = draw_candidates(settings.candidates, settings.learning_rates, settings.reg_range, settings.seed)
    return SGDSearch(
        loss, tuple(drawn), sgd, settings.seed, settings.eta, settings.subspace, settings.metric, class_weight
    )


def path_search(loss: str, settings: Settings, class_weight: tuple[float, ...] | None = None) -> PathSearch:
    """The exact path as `settings` describe it."""
    return PathSearch(
        loss, settings.regs, settings.tol, settings.max_passes, settings.seed, settings.rule,  # type: ignore[arg-type]
        settings.metric, class_weight,
    )  # fmt: skip


def _all_diverged(loss: str, settings: Settings) -> str:
    low, high = settings.learning_rates
    one = settings.candidates == 1
    what = f"{loss} diverged" if one else f"every candidate of {loss} diverged"
    if low == high:
        return f"{what} at learning rate {low:g}. Lower it, for example --lr {low / 100:g}."
    lower = f"for example --lr {low / 100:g}:{high / 100:g}"
    return f"{what}. Lower the learning rate{'s' * (not one)}, {lower}."
