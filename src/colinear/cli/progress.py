"""Who follows a run: a bar on a terminal or a few lines in a log, and TensorBoard's event files if they are wanted."""

from __future__ import annotations

import math
import signal
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from colinear.cli.console import Output
from colinear.cli.signals import Stopped, alarm, exit_status, heeding, leave
from colinear.cli.tables import as_percent, show_run
from colinear.parallel.group import Group
from colinear.parallel.launch import GroupError
from colinear.search import trials
from colinear.search.listener import Listener
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.winner import LossRun
from colinear.texts import short_number
from colinear.tracking import Everyone, TensorBoardLog

PATIENCE = 10.0  # seconds: torchrun, whose signal may follow a death, kills after 30
LOG_SHARES = 4  # lines a loss gets in a log


def _describe(progress: trials.Progress) -> str:
    """Loss and best validation score so far (SGD), passes and largest gap (exact), as far as they are known.

    The gap is of the strengths still open: between two, and at the end, there is none (NaN or 0), and
    `Watcher.finished` tells the largest of all.
    """
    parts = [] if math.isnan(progress.loss) else [f"loss {short_number(progress.loss)}"]
    parts += [] if math.isnan(progress.best) else [f"best {progress.metric} {progress.best:.3f}"]
    parts += [] if progress.passes == 0 else [f"pass {progress.passes}"]
    parts += [f"gap {as_percent(progress.gap)}"] if progress.gap > 0 and progress.done < progress.total else []
    return ", ".join(parts)


def count_units(number: int, unit: str) -> str:
    """
    >>> count_units(1, "strengths"), count_units(5000, "steps")
    ('1 strength', '5,000 steps')
    """
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"


def start_bar(output: Output, *between: TextColumn) -> Progress:
    """A bar on stderr, which goes when it is stopped: what is done, how far, and how long it will take."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), *between, TimeRemainingColumn())
    bar = Progress(*columns, console=output.err, transient=True, expand=True)
    bar.start()
    return bar


class Watcher:
    """Tells how a run goes, as `search.listener.Listener` asks for; shows each loss's table when it is finished.

    patience : seconds that a search may take to its next report after a signal; None for as long as it takes.
    """

    def __init__(self, output: Output, patience: float | None = None) -> None:
        self.output, self.patience = output, patience
        self.finished_losses: list[str] = []
        self.stopping = False
        self.signal: int = signal.SIGINT  # the one that stops it
        self._handlers = ExitStack()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._loss, self._unit, self._quarter = "", "", 0

    def __enter__(self) -> Self:
        """From here on the first signal asks the search to stop at its next report, the second stops at once."""
        self._handlers.enter_context(heeding(self._interrupt))
        return self

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if self.stopping:
            leave(number, frame)
            return
        self.stopping = True
        if self.patience is not None:
            self._handlers.enter_context(alarm(self.patience, lambda *_: self.heed()))

    def __exit__(self, *raised: object) -> None:
        self._handlers.close()
        self._close()

    def heed(self) -> None:
        """Raise `Stopped` if a signal has come."""
        if self.stopping:
            raise Stopped(self.signal)

    def started(self, loss: str, total: int, unit: str) -> None:
        self._loss, self._unit, self._quarter = loss, unit, 0
        if self.output.quiet:
            return
        if not self.output.err.is_terminal:
            self.output.note(f"{loss}: {count_units(total, unit)}")
            return
        counted = TextColumn(f"finished {{task.completed:,.0f}} of {{task.total:,.0f}} {unit}")
        self._bar = start_bar(self.output, counted, TextColumn("{task.fields[detail]}"))
        self._task = self._bar.add_task(loss, total=total, detail="")

    def progressed(self, progress: trials.Progress) -> None:
        self.heed()
        detail = _describe(progress)
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.total, detail=detail)
            return
        quarter = progress.done * LOG_SHARES // max(1, progress.total)
        if quarter > self._quarter:
            self._quarter = quarter
            self.output.note(
                f"{self._loss}: finished {progress.done:,} of {count_units(progress.total, self._unit)}"
                + (f", {detail}" if detail else "")
            )

    def finished(self, run: LossRun) -> None:
        self._close()
        self.finished_losses.append(run.loss)
        gaps = [trial.get("relative_gap") for trial in run.entry["trials"]]
        known = [gap for gap in gaps if gap is not None]
        if known and run.entry["solver"] == "exact":
            self.output.note(
                f"{run.loss}: finished {count_units(len(gaps), 'strengths')}, largest gap {as_percent(max(known))}"
            )
        show_run(self.output, run.entry)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def patience(group: Group) -> float | None:
    """Seconds that a search may take to its next report after a signal: another process may have left it waiting."""
    return PATIENCE if group.size > 1 else None


def open_log(folder: Path | None, settings: Settings) -> AbstractContextManager[TensorBoardLog | None]:
    """Event files in `folder`, which begin with the settings; nothing if `folder` is None."""
    if folder is None:
        return nullcontext()
    log = TensorBoardLog(folder)
    log.settings(settings.to_json())
    return log


def heard(watcher: Watcher, log: TensorBoardLog | None) -> Listener:
    """A listener that tells both."""
    return watcher if log is None else Everyone(watcher, log)


def stop(watcher: Watcher, folder: RunFolder, kept: str, error: BaseException) -> NoReturn:
    """After a signal, which `error` has, or where a process has gone: say what is kept and how to go on, and leave."""
    if isinstance(error, GroupError) and not watcher.stopping:
        raise GroupError(f"{error} Kept in {folder.path}: {kept}. Go on with --resume {folder.path}") from None
    watcher.__exit__(None, None, None)
    with suppress(OSError):  # the terminal may be what has gone
        watcher.output.note(f"\nStopped. Finished and kept in {folder.path}: {kept}.".lstrip())
        watcher.output.note(f"Go on with: colinear tune --resume {folder.path}")
    raise typer.Exit(exit_status(error))


class Transfer:
    """A bar for downloads and long reads, as `datasets.base.Progress` asks for: called as (what, done, total)."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._what = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.output.quiet:
            return
        new, self._what = what != self._what, what
        if not self.output.err.is_terminal:
            if new:
                self.output.note(f"{what} ...")
            return
        if self._bar is None:
            self._bar = start_bar(self.output)
        if new:
            self._task = self._bar.add_task(what, total=total)
        self._bar.update(self._task, completed=done, total=total)
