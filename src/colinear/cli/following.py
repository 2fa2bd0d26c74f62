"""Who follows a run: the watcher on the terminal, and TensorBoard's event files if they are wanted."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NoReturn

import typer

from colinear.cli.progress import Watcher
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import Listener
from colinear.tracking import Everyone, TensorBoardLog

STOPPED = 128 + signal.SIGINT


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


def stop(watcher: Watcher, folder: RunFolder, kept: str) -> NoReturn:
    """After Ctrl-C: say what is kept and how to go on, and leave."""
    watcher.__exit__(None, None, None)
    watcher.output.note(f"\nStopped. Finished and kept in {folder.path}: {kept}.".lstrip())
    watcher.output.note(f"Go on with: colinear tune --resume {folder.path}")
    raise typer.Exit(STOPPED)
