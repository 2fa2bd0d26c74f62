"""Who follows a run: the watcher on the terminal, and TensorBoard's event files if they are wanted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import NoReturn

import typer

from colinear.cli.progress import Watcher
from colinear.cli.signals import exit_status
from colinear.search.listener import Listener
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.tracking import Everyone, TensorBoardLog


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
    """After a signal, which `error` has: say what is kept and how to go on, and leave."""
    watcher.__exit__(None, None, None)
    with suppress(OSError):  # the terminal may be what has gone
        watcher.output.note(f"\nStopped. Finished and kept in {folder.path}: {kept}.".lstrip())
        watcher.output.note(f"Go on with: colinear tune --resume {folder.path}")
    raise typer.Exit(exit_status(error))
