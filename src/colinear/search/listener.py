"""Who is told how a run goes."""

from __future__ import annotations

from typing import Protocol

from colinear.search.trials import Progress
from colinear.search.winner import LossRun


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
