"""What the runs of a sweep share: the rows of the last one, and a line or a bar for each."""

from __future__ import annotations

from colinear.cli.console import Output
from colinear.cli.progress import LOG_SHARES, Transfer, Watcher
from colinear.cli.tables import as_accuracy, as_number
from colinear.datasets.base import Split
from colinear.datasets.sources import Parts, open_parts
from colinear.datasets.splits import deal
from colinear.search.judging import score_of
from colinear.search.settings import Settings
from colinear.search.winner import LossRun


class Held:
    """The rows of the last run: the next one that has the same data shares them, and the split if the seed is too."""

    def __init__(self) -> None:
        self._source: tuple[str | None, ...] | None = None
        self._parts: Parts | None = None
        self._split: Split | None = None
        self._seed: int | None = None

    def __call__(self, settings: Settings, output: Output) -> Split:
        source = (settings.data, settings.data_dir, settings.label, settings.sample_weight)
        if source != self._source or self._parts is None:
            self._source = self._parts = self._split = self._seed = None  # never the rows of two at once
            with Transfer(output) as transfer:
                self._parts = open_parts(
                    settings.data, settings.data_dir, settings.label, progress=transfer, weight=settings.sample_weight
                )
            self._source = source
        if self._split is None or settings.seed != self._seed:
            self._split, self._seed = deal(self._parts, settings.seed), settings.seed
        return self._split


class SweepWatcher(Watcher):
    """Watches one run of a sweep: a bar on a terminal, a line for each loss that is finished."""

    def __init__(self, output: Output, place: str) -> None:
        super().__init__(output)
        self.place = place

    def started(self, loss: str, total: int, unit: str) -> None:
        if self.output.err.is_terminal:
            super().started(f"{self.place}, {loss}", total, unit)
        else:
            self._quarter = LOG_SHARES  # a log has no lines about the progress of one search

    def finished(self, run: LossRun) -> None:
        self._close()
        winner, test = run.entry["trials"][run.entry["best"]], run.entry.get("test_score", run.entry["test_accuracy"])
        scored = "" if test is None else f", test {as_accuracy(test)}"
        self.output.note(
            f"{self.place}, {run.loss}: reg {as_number(winner['reg'])}, validation {run.entry['metric']} "
            f"{as_accuracy(score_of(winner))}{scored}"
        )
