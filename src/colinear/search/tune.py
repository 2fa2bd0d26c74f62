"""A tuning run from rows to files: search each loss, score the winner on test once, write results as they come."""

from __future__ import annotations

from colinear.datasets.base import Split
from colinear.search.listener import Listener, Silent
from colinear.search.run import Run
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.winner import LossRun


def tune(settings: Settings, split: Split, folder: RunFolder, listener: Listener | None = None) -> list[LossRun]:
    """Search every loss of `settings`; after each one results.json and its model file are whole.

    A loss that an earlier process finished in this folder is taken from there; one that it had begun goes on
    from its last checkpoint. All training rows of `split` are used: few-shot runs begin with `tries.tune_tries`.
    """
    return Run(settings, split, folder, listener or Silent()).search()


def finished_runs(settings: Settings, split: Split, folder: RunFolder) -> list[LossRun]:
    """Return the losses of a finished run (without `result`), or nothing if there is work left.

    Raises `InputError` if results.json is damaged or has other settings, or if the run was trained on other rows than
    those of `split`.
    """
    return Run(settings, split, folder).finished()
