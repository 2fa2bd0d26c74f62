"""One command in several processes: torchrun or srun starts it in each, and the first of them speaks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import typer

from colinear.checks import InputError
from colinear.cli.signals import Stopped, alarm, heeding, leave
from colinear.parallel.group import Group
from colinear.parallel.launch import GroupError, Launch

LEFT_BEHIND = 20.0  # seconds: longer than the first takes to write what is kept, less than torchrun's 30 to a kill


@contextmanager
def following(seconds: float = LEFT_BEHIND) -> Iterator[None]:
    """For a process that follows the first: a signal, which the first has too, ends it when the first has gone.

    Else the first might miss it before a checkpoint is written. It ends so many seconds later at the latest, and of a
    second signal at once.
    """
    came: list[int] = []
    with ExitStack() as stack:

        def wait(number: int, frame: FrameType | None) -> None:
            if came:
                leave(number, frame)
                return
            came.append(number)
            stack.enter_context(alarm(seconds, lambda _, now: leave(number, now)))

        stack.enter_context(heeding(wait))
        try:
            yield
        except GroupError:
            if came:
                raise Stopped(came[0]) from None
            raise


@contextmanager
def together(timeout: float) -> Iterator[Group]:
    """The group that a launcher has started this process in; what ends it is said by one process alone.

    timeout : seconds that a process waits for the others.
    """
    with heeding(signal.SIG_DFL):  # it may wait for a process that has gone, outside of Python, where no handler runs
        group = Group.join(Launch.find(), timeout)
    try:
        yield group
        group.end()
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | Stopped)
        if stopped and not group.leads:  # the first says what is kept; a launcher stops all when one has left
            if group.mistake() is None:
                raise
            raise typer.Exit(2) from None
        if group.end(error) or stopped or isinstance(error, typer.Exit):
            raise
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from None
