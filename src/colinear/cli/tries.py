"""Few-shot runs at the command line: `colinear tune --shots K --tries N`."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from colinear.checks import InputError
from colinear.cli.console import Output
from colinear.cli.progress import LOG_SHARES, Watcher, count_units, heard, open_log, patience, stop
from colinear.cli.signals import Stopped
from colinear.cli.tables import as_accuracy, as_number, new_table, say_advice
from colinear.datasets.base import Split
from colinear.parallel.group import ALONE, Group
from colinear.parallel.launch import GroupError
from colinear.search.judging import score_of
from colinear.search.listener import Listener
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tries import try_name, tune_tries
from colinear.search.winner import LossRun
from colinear.search.wording import describe_above, warn_of_end
from colinear.tracking import TensorBoardLog


class TryWatcher(Watcher):
    """Watches all tries: a bar for each search on a terminal, one line for each that is finished in a log."""

    def __init__(self, output: Output, tries: int, patience: float | None = None) -> None:
        super().__init__(output, patience)
        self.tries, self.number, self.finished_tries = tries, 0, 0

    @property
    def place(self) -> str:
        return f"try {self.number} of {self.tries}"

    def started(self, loss: str, total: int, unit: str) -> None:
        if self.output.err.is_terminal:
            super().started(f"{self.place}, {loss}", total, unit)
        else:
            self._quarter = LOG_SHARES  # a log has no lines about the progress of this search

    def finished(self, run: LossRun) -> None:
        self._close()
        winner, test = run.entry["trials"][run.entry["best"]], run.entry.get("test_score", run.entry["test_accuracy"])
        scored = "" if test is None else f", test {as_accuracy(test)}"
        self.output.note(
            f"{self.place}, {run.loss}: reg {as_number(winner['reg'])}, "
            f"validation {run.entry['metric']} {as_accuracy(score_of(winner))}{scored}"
        )


def run_tries(
    settings: Settings,
    split: Split,
    folder: RunFolder,
    output: Output,
    log: TensorBoardLog | None,
    group: Group = ALONE,
) -> None:
    """Run or resume every try, show mean and spread. A signal or the death of a process says what is kept."""
    from colinear.report.record import Recorder

    with TryWatcher(output, settings.tries, patience(group)) as watcher:

        @contextmanager
        def listen(number: int, own: RunFolder, rows: Split) -> Iterator[Listener]:
            watcher.number = number
            with open_log(None if log is None else log.folder / try_name(number), settings) as its:
                yield Recorder(heard(watcher, its), own, rows)
            watcher.finished_tries = number

        try:
            results = tune_tries(settings, split, folder, listen, group)
            watcher.heed()
        except (KeyboardInterrupt, Stopped, GroupError) as error:
            stop(watcher, folder, f"{watcher.finished_tries} of {settings.tries} tries", error)
    if log is not None:
        for record in results["tries"]:
            log.tries(record)
    show_tries(output, settings, results["tries"])
    last = f" to {try_name(settings.tries)}/" if settings.tries > 1 else ""
    output.say_path(f"Written to {folder.path}: results.json, {try_name(1)}/{last} (a run of its own each)")
    output.say_path(f"Look at one: colinear report {folder.path / try_name(1)}")
    output.emit({"folder": str(folder.path), "report": None, "figures": [], **results})


def show_tries(output: Output, settings: Settings, records: list[dict[str, Any]]) -> None:
    """Means and spreads over tries, and what needs advice: winners that missed the tolerance or stand at an end."""
    title = f"{count_units(settings.shots or 0, 'rows')} of each class, "
    title += "1 try" if settings.tries == 1 else f"{settings.tries:,} tries"
    title += f", {settings.metric}"
    table = new_table(title, ("loss", "validation", "±", "test", "±"), ("loss",))
    plain = ("val_accuracy", "val_spread", "test_accuracy", "test_spread")
    for record in records:
        own = ("val_score", "val_score_spread", "test_score", "test_score_spread") if "val_score" in record else plain
        numbers = (record[name] for name in own)
        table.add_row(record["loss"], *(as_accuracy(number) for number in numbers))
    output.show(table)
    if settings.tries > 1:
        output.say("Means over tries, ± standard deviation of one try.")
    for record in records:
        winners = [one["winner"] for one in record["each"]]
        say_advice(output, winners, before=f"{record['loss']}: ", what=" winners")
        placed = [winner["above_optimum"] for winner in winners if winner.get("above_optimum") is not None]
        if placed:
            farthest = max(placed, key=lambda above: math.inf if above[1] is None else above[1])
            output.say(f"{record['loss']}: the farthest winner is {describe_above(farthest)} for its reg.")
        if settings.solver == "exact":
            _show_ends(output, record, automatic=settings.regs is None)
    output.say()


def _show_ends(output: Output, record: Mapping[str, Any], *, automatic: bool) -> None:
    """At which end of their strengths tries were best."""
    for end in ("weakest", "strongest"):
        count = sum(one["winner_at"] == end for one in record["each"])
        if count:
            output.say(f"{record['loss']}, {count} of {record['count']} tries: {warn_of_end(end, automatic=automatic)}")


def refuse_try(path: Path) -> None:
    """Raise `InputError` if `path` is one try of a few-shot run: it is resumed with its whole run."""
    place = Path(os.path.realpath(path))
    if re.fullmatch(r"try-\d+", place.name) and (place.parent / "settings.json").is_file():
        raise InputError(f"{path} is one try of a few-shot run. Resume the whole: --resume {path.parent}.")
