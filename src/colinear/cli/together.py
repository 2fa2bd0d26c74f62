"""One command in several processes: torchrun or srun starts it in each, and the first of them speaks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from colinear.checks import InputError
from colinear.cli.signals import Stopped, heeding
from colinear.parallel.group import Group
from colinear.parallel.launch import Launch


@contextmanager
def together(timeout: float) -> Iterator[Group]:
    """The group that a launcher has started this process in; what ends it is said by one process alone.

    timeout : seconds that a process waits for the others.
    """
    with heeding(signal.SIG_DFL):  # it may wait for a process that has gone, outside of Python, where no handler runs
        group = Group.join(Launch.find(), timeout)
    try:
        yield group
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | Stopped)
        if stopped and not group.leads:  # the first says what is kept; a launcher stops all when one has left
            if group.mistake() is None:
                raise
            raise typer.Exit(2) from None
        if group.end(error) or stopped or isinstance(error, typer.Exit):
            raise
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
    group.end()
