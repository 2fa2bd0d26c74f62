"""`colinear sweep`: many runs in one process, each in its own folder, with one summary."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from colinear.checks import InputError
from colinear.cli.console import Output
from colinear.cli.extracting import keep_features, open_rows
from colinear.cli.held import Held, SweepWatcher
from colinear.cli.mistakes import explain
from colinear.cli.progress import count_units
from colinear.cli.signals import Stopped, exit_status
from colinear.cli.tables import as_accuracy, as_number, new_table
from colinear.cli.tuning import draw_figures, list_inputs, make_report, settle, tune_settings
from colinear.datasets.base import Split
from colinear.datasets.doors import as_path
from colinear.datasets.sources import NAMED
from colinear.extractors import Custom, parse_extractor
from colinear.outputs import PAGE, check_output
from colinear.report.page import check_report
from colinear.report.record import Recorder
from colinear.report.summary import PAGE_NAME, write_summary
from colinear.search.listener import Listener
from colinear.search.runfolder import RunFolder, check_identity, refuse_used
from colinear.search.settings import Settings
from colinear.search.tries import tune_tries
from colinear.search.tune import Run, tune
from colinear.search.written import read_settings
from colinear.sweep.grid import Draft, read_grid
from colinear.sweep.pattern import expand
from colinear.sweep.plan import Planned, check_plan, refuse_foreign, stamp_of
from colinear.sweep.running import SUMMARY, Job, Sweep
from colinear.texts import cut_middle, shorten, shown_path

Values = Mapping[str, Any]
LINES_SHOWN = 60
NAME_SHOWN = 28  # characters of a run's name in the table
PAGE_SECONDS = 30.0  # between two writings of the page, which takes longer the more runs there are
GRID = ".toml"


@dataclass(frozen=True)
class Text:
    """What settings of a run do not say: its strengths as they were written, and the settings with all layers."""

    regs: str | None
    whole: Settings


def run_sweep(values: Values, given: Mapping[str, str], out: Path | None) -> None:
    """Do or go on with a sweep. values, given : of the command, whose options count before those of a TOML file."""
    output = Output(quiet=values["quiet"], as_json=values["json"])
    drafts = _drafts(values["data"])
    jobs, texts = _jobs(drafts, values, given)
    path = out or Path(Path(values["data"][0]).stem if Path(values["data"][0]).suffix == GRID else "sweep")
    refuse_foreign(path)
    with RunFolder(path, "sweep folder") as folder:
        check_output(path / PAGE_NAME, PAGE, option="the page", remedy="Move it away.")
        sweep = Sweep(folder, jobs)
        sweeper = Sweeper(sweep, texts, output)
        try:
            sweep.run(sweeper)
        except (KeyboardInterrupt, Stopped, typer.Exit) as error:
            sweeper.write_page()
            output.note(f"Stopped. {_counted(sweep)} in {path}. The same command goes on.")
            raise typer.Exit(getattr(error, "exit_code", None) or exit_status(error)) from None
        sweeper.write_page()
    _show(sweep, path, output)
    if sweep.count("failed"):
        raise typer.Exit(1)


def _drafts(data: Sequence[str]) -> list[Draft]:
    """The runs of a TOML file, or of names, files and patterns, without options."""
    if any(Path(one).suffix == GRID for one in data):
        if len(data) > 1:
            raise InputError(f"one {GRID} file says all runs; got {len(data)} names. Name it alone.")
        return read_grid(Path(data[0]))
    return [Draft(path, fields, {}) for one in data for path, fields in expand(one, frozenset(NAMED))]


def _jobs(
    drafts: Sequence[Draft], values: Values, given: Mapping[str, str]
) -> tuple[list[tuple[Planned, Settings]], list[Text]]:
    """Every run with its settings, all of them checked before the first begins; of several layers a run for each."""
    jobs, texts = [], []
    for draft in drafts:
        if draft.data not in NAMED and not as_path(draft.data).exists():
            raise InputError(f"there is no {shown_path(Path(draft.data))}. Check the path.")
        own = {**values, **{name: one for name, one in draft.values.items() if name not in given}, "data": draft.data}
        settings = tune_settings(own, {**draft.given, **given})
        layers = settings.layers or ()
        for one in [replace(settings, layers=(layer,)) for layer in layers] if len(layers) > 1 else [settings]:
            jobs.append((Planned.of(one, draft.fields), one))
            texts.append(Text(own["regs"], settings))
    check_plan([planned for planned, _ in jobs])
    return jobs, texts


class Sweeper:
    """Does the runs of a sweep, and says how it goes: the `Teller` of `Sweep.run`."""

    def __init__(self, sweep: Sweep, texts: Sequence[Text], output: Output) -> None:
        self.sweep, self.texts, self.output = sweep, texts, output
        self.held = Held()
        self._kept: Settings | None = None
        self._passed, self._written = 0, time.monotonic()

    def _place(self, job: Job) -> str:
        return f"run {job.number} of {len(self.sweep.jobs)}"

    def perform(self, job: Job, folder: RunFolder) -> None:
        self._say_passed()
        self.output.note(f"{self._place(job)}: {self.sweep.names[job.planned.folder]}")
        begun = (folder.path / "settings.json").exists()
        if not begun:
            refuse_used(folder.path)
        check_report(folder.path)
        text = self.texts[job.number - 1]
        if text.whole.layers != job.settings.layers and text.whole != self._kept:
            keep_features(text.whole, self.output, self.held)  # of all its layers, in one pass of the network
            self._kept = text.whole
        split = open_rows(job.settings, self.output, self.held)
        settings = settle(job.settings, text.regs, split)
        if begun:
            mine = {"settings": settings.to_json()}
            check_identity(str(folder.path), {"settings": read_settings(folder).to_json()}, mine)
        with SweepWatcher(self.output, self._place(job)) as watcher:
            if settings.shots is not None:
                tune_tries(settings, split, folder, _listen(watcher, watcher.place, settings))
                watcher.heed()
                return
            runs = Run(settings, split, folder).finished()
            runs = runs or tune(settings, split, folder, Recorder(watcher, folder, split))
            watcher.heed()
        draw_figures(runs, split, folder, None)
        make_report(runs, split, folder)

    def stamp(self, job: Job) -> str | None:
        """Of its data and what lies beside it; None for features by a function of the user's, which may change."""
        settings = job.settings
        if settings.features is not None and isinstance(parse_extractor(settings.features), Custom):
            return None
        if settings.data in NAMED:
            return stamp_of([])
        return stamp_of(list_inputs(settings))

    def explain(self, error: Exception) -> str | None:
        if isinstance(error, typer.Exit | BrokenPipeError):
            return None
        said = explain(error)
        if said is None:
            traceback.print_exception(error)  # a defect of ours takes no other run with it
            said = f"a defect of colinear, {type(error).__name__}: {error}"
        return shorten(said, 400)

    def passed(self, job: Job) -> None:
        self._passed += 1

    def ended(self, job: Job, left: float | None) -> None:
        planned = job.planned
        spent = "" if planned.seconds is None else f" in {_duration(planned.seconds)}"
        failed = planned.state == "failed"
        how = f"failed: {planned.error}" if failed else f"finished{spent}"
        tell = self.output.fail if failed else self.output.note
        tell(f"{self._place(job)} {how}" + ("" if left is None else f"; about {_duration(left)} left"))
        if time.monotonic() - self._written >= PAGE_SECONDS:
            self.write_page()

    def write_page(self) -> None:
        self._say_passed()
        lines = [self.sweep.summary[one.folder] for one in self.sweep.planned]
        write_summary(self.sweep.folder.path, self.sweep.planned, lines)
        self._written = time.monotonic()

    def _say_passed(self) -> None:
        if self._passed:
            self.output.note(f"{count_units(self._passed, 'runs')} finished before.")
            self._passed = 0


def _listen(watcher: SweepWatcher, place: str, settings: Settings) -> Any:
    """The listener of a few-shot run's tries."""

    @contextmanager
    def listen(number: int, own: RunFolder, rows: Split) -> Iterator[Listener]:
        watcher.place = f"{place}, try {number} of {settings.tries}"
        yield Recorder(watcher, own, rows)

    return listen


def _duration(seconds: float) -> str:
    """
    >>> _duration(0.31), _duration(75), _duration(7300)
    ('0.3 s', '75 s', '2.0 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _counted(sweep: Sweep) -> str:
    failed = sweep.count("failed")
    said = f"{sweep.count('finished')} of {count_units(len(sweep.jobs), 'runs')} finished"
    return said + (f", {failed} failed" if failed else "")


def _show(sweep: Sweep, path: Path, output: Output) -> None:
    """All results as one table, what failed, and where it lies."""
    lines = [(job.planned, line) for job in sweep.jobs for line in sweep.summary[job.planned.folder] if "loss" in line]
    metrics = dict.fromkeys(line["metric"] for _, line in lines)
    table = new_table(
        ", ".join(metrics), ("run", "loss", "reg", "validation", "test", "95 % interval"), ("run", "loss")
    )
    for planned, line in lines[:LINES_SHOWN]:
        interval = "–" if line["low"] is None else f"{line['low']:.4f} to {line['high']:.4f}"
        scores = (as_number(line["reg"]), as_accuracy(line["validation"]), as_accuracy(line["test"]))
        table.add_row(cut_middle(sweep.names[planned.folder], NAME_SHOWN), line["loss"], *scores, interval)
    if lines:
        output.show(table)
    if len(lines) > LINES_SHOWN:
        output.say(f"... and {len(lines) - LINES_SHOWN} more in {SUMMARY}")
    for job in sweep.jobs:
        if job.planned.state == "failed":
            output.say(f"{sweep.names[job.planned.folder]} failed: {job.planned.error}")
    if sweep.forgotten:
        output.say(f"Of an earlier plan, kept and in no summary: {count_units(sweep.forgotten, 'runs')}.")
    output.say(f"{_counted(sweep)}.")
    output.say_path(f"Written to {path}: {SUMMARY}, {PAGE_NAME}, a folder for each run")
    output.say_path(f"Look at it: {path / PAGE_NAME}")
    output.emit(
        {
            "folder": str(path),
            "page": str(path / PAGE_NAME),
            "runs": [
                {**vars(job.planned), "results": [one for one in sweep.summary[job.planned.folder] if "loss" in one]}
                for job in sweep.jobs
            ],
        }
    )
