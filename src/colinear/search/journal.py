"""The journal of the exact path's search of one loss, kept in the checkpoints of its run.

A step is written when it is done, and where the step at hand stands every half a minute; what takes less than a second
waits for the next. Where a file takes long to write, files become rarer, so that no run is slowed by more than 2 %.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from colinear.parallel.group import Group
from colinear.search.checkpoints import Checkpoints, position_name, step_name
from colinear.solvers.journal import Parts, UnreadableError, take_count

SHARE = 50.0  # of the time that writing took, before it is done again
SHORT = 1 / 30  # of the seconds between two positions: a step that took less waits for the next one to be written


class SearchJournal:
    """A `solvers.journal.Journal` of a group's processes, of which the first has the files and tells the others.

    checkpoints : None in the processes that follow.   seconds : from one position written to the next.
    stopping : whether the run is about to end, so that what there is has to be written.
    """

    def __init__(
        self, checkpoints: Checkpoints | None, loss: str, group: Group, seconds: float, stopping: Callable[[], bool]
    ) -> None:
        self.checkpoints, self.loss, self.group, self.seconds = checkpoints, loss, group, seconds
        self._stopping = stopping
        self.source = ""  # the file that was read last
        self._number = 0  # of the step at hand, or the last
        self._done: frozenset[int] = frozenset()  # steps that an earlier process has noted
        self._begun = 0  # the step that it stood in
        self._standing: Parts | None = None
        self._waiting: dict[int, Parts] = {}  # steps that are still to be written
        self._written, self._took = time.monotonic(), 0.0

    def open(self) -> None:
        """Find what an earlier process has noted."""
        if self.checkpoints is not None:
            self._done = self.checkpoints.steps(self.loss)
            self._standing = self._read(position_name(self.loss))
            if self._standing is not None:
                self._begun = take_count(self._standing[1], "step")
        done, self._begun = self.group.gather((list(self._done), self._begun))[0]
        self._done = frozenset(done)

    def step(self, make: Callable[[], Parts]) -> Parts:
        self._number = number = self._number + 1
        if number in self._done:
            return self._share(self._read(step_name(self.loss, number)))
        made = make()
        if self.checkpoints is not None:
            self._waiting[number] = made
            if self._due(SHORT):
                self._write(None)
        return made

    def position(self) -> Parts | None:
        if self._begun != self._number:
            return None
        found, self._standing = self._standing, None
        self.source = position_name(self.loss)
        return self._share(found)

    def keep(self, position: Callable[[], Parts]) -> None:
        if self.checkpoints is not None and self._due(1):
            self._write(position())

    def _due(self, share: float) -> bool:
        passed = time.monotonic() - self._written
        return self._stopping() or passed >= max(share * self.seconds, SHARE * self._took)

    def _write(self, position: Parts | None) -> None:
        if self.checkpoints is None:
            return
        started = time.monotonic()
        for number, parts in self._waiting.items():
            self.checkpoints.write(step_name(self.loss, number), parts)
        self._waiting = {}
        if position is not None:
            tensors, facts = position
            self.checkpoints.write(position_name(self.loss), (tensors, {**facts, "step": self._number}))
        self._written = time.monotonic()
        self._took = self._written - started

    def _read(self, name: str) -> Parts | None:
        self.source = name
        return None if self.checkpoints is None else self.checkpoints.read(name)

    def _share(self, parts: Parts | None) -> Parts:
        tensors, facts = parts or ({}, {})
        return self.group.share(tensors), self.group.gather(facts)[0]


@contextmanager
def journal_of(
    checkpoints: Checkpoints | None, loss: str, group: Group, seconds: float, stopping: Callable[[], bool]
) -> Iterator[SearchJournal]:
    """The journal, open. What cannot be gone on from is an `InputError` in all processes, with the file to delete."""
    journal = SearchJournal(checkpoints, loss, group, seconds, stopping)
    try:
        journal.open()
        yield journal
    except UnreadableError as error:
        if checkpoints is None:
            group.gather(None)  # what the first leaves with, and its file, is what all leave with
            raise
        raise checkpoints.folder.damaged_checkpoint(journal.source, error) from None
