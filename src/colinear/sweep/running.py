"""The runs of a sweep, one after the other: what is finished is passed over, what fails is noted, the others go on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from colinear.checks import InputError
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.sweep.formats import write_csv
from colinear.sweep.plan import PLAN, Planned, go_on, name_runs, read_plan, write_plan
from colinear.sweep.results import results_of

Json = dict[str, Any]
SUMMARY = "summary.csv"


@dataclass(frozen=True, eq=False)
class Job:
    """A run that is planned: its settings as they are before its data is known, and its number, counted from 1."""

    number: int
    planned: Planned
    settings: Settings


class Teller(Protocol):
    """Who is told how a sweep goes, and does its runs.

    perform : search in the folder, which is held and holds nothing or a part of the same run.
    stamp : what the files of a run are now, see `plan.stamp_of`; None where only reading them tells.
    explain : an error of a run in a line or two; None for one that has to end the sweep.
    """

    def perform(self, job: Job, folder: RunFolder) -> None: ...
    def stamp(self, job: Job) -> str | None: ...
    def explain(self, error: Exception) -> str | None: ...
    def passed(self, job: Job) -> None: ...
    def ended(self, job: Job, left: float | None) -> None: ...


class Sweep:
    """The runs in the folder of a sweep, which is held; `summary` is what summary.csv has.

    Raises `InputError` for a sweep.json that is damaged. Each state is on the disk before the next run begins.
    """

    def __init__(self, folder: RunFolder, jobs: Sequence[tuple[Planned, Settings]]) -> None:
        self.folder = folder
        earlier = read_plan(folder) if (folder.path / PLAN).exists() else []
        planned = go_on([one for one, _ in jobs], earlier)
        self.jobs = [
            Job(number, one, settings) for number, (one, (_, settings)) in enumerate(zip(planned, jobs, strict=True), 1)
        ]
        self.names = name_runs(planned)
        self.forgotten = len({one.folder for one in earlier} - {one.folder for one in planned})
        self.summary: dict[str, list[Json]] = {one.folder: self._lines(one) for one in planned}

    @property
    def planned(self) -> list[Planned]:
        return [job.planned for job in self.jobs]

    def count(self, state: str) -> int:
        return sum(one.state == state for one in self.planned)

    def run(self, teller: Teller) -> None:
        """Do what there is to do. After each run sweep.json and summary.csv are whole."""
        self.write()
        spent, done = 0.0, 0
        for place, job in enumerate(self.jobs):
            if job.planned.state == "finished" and self._is_current(job, teller):
                teller.passed(job)
                continue
            started = time.monotonic()
            self._end(place, self._outcome(job, teller, started))
            spent, done = spent + time.monotonic() - started, done + 1
            waiting = sum(one.state == "waiting" for one in self.planned[place + 1 :])
            teller.ended(self.jobs[place], spent / done * waiting if waiting else None)

    def write(self) -> None:
        write_plan(self.folder, self.planned)
        lines = [line for job in self.jobs for line in self.summary[job.planned.folder]]
        self.folder.write(SUMMARY, write_csv(lines).encode())

    def _outcome(self, job: Job, teller: Teller, started: float) -> Planned:
        """The run as it is afterwards."""
        stamp = teller.stamp(job)  # before its files are read: what is changed later is seen
        try:
            with RunFolder(self.folder.path / job.planned.folder) as own:
                teller.perform(job, own)
        except Exception as error:
            said = teller.explain(error)
            if said is None:
                raise
            return replace(job.planned, state="failed", error=said, seconds=None, stamp=None)
        spent = time.monotonic() - started
        return replace(job.planned, state="finished", error=None, seconds=spent, stamp=stamp)

    def _is_current(self, job: Job, teller: Teller) -> bool:
        """Whether a finished run need not be looked at: its files are as they were, and it has not been taken away."""
        stamp = teller.stamp(job)
        return stamp is not None and stamp == job.planned.stamp and "loss" in self.summary[job.planned.folder][0]

    def _end(self, place: int, planned: Planned) -> None:
        self.jobs[place] = replace(self.jobs[place], planned=planned)
        self.summary[planned.folder] = self._lines(planned)
        self.write()

    def _lines(self, planned: Planned) -> list[Json]:
        """What summary.csv says of a run: a line for each loss that is finished, one at least."""
        path, state = self.folder.path / planned.folder, {"state": planned.state, "error": planned.error}
        if (path / "results.json").is_file():
            try:
                return [{**one, **state} for one in results_of(path, planned.fields)]
            except InputError as error:  # damaged: the run itself says so when its turn comes
                state["error"] = planned.error or str(error)
        return [{"run": planned.folder, "source": planned.data, **planned.fields, "folder": str(path), **state}]
