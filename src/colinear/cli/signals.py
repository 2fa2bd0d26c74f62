"""Signals that end the program: Ctrl-C, and what a scheduler or a closed terminal sends. All are heeded alike."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
Handler = Callable[[int, FrameType | None], None] | signal.Handlers
IMPORTS = "<frozen importlib"  # where frames of an import stand
AGAIN = 0.05  # seconds after which a signal that came during an import comes again


class Stopped(BaseException):
    """One of `SIGNALS` has come; `number` says which. No `KeyboardInterrupt`: typer makes 130 of every such."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number


def leave(number: int, frame: FrameType | None) -> None:
    """A handler that ends the program by way of every `finally`, so that no half-written file stays behind.

    An import is finished first: of 45 Ctrl-C in the first three seconds, three stopped the code of numpy, torch or
    matplotlib that makes a native module, which aborted, failed in words of its own, or went on as if nothing had come.
    """
    if not _is_importing(frame):
        raise Stopped(number)
    again = threading.Timer(AGAIN, _thread.interrupt_main, (number,))
    again.daemon = True
    again.start()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith(IMPORTS):
        frame = frame.f_back
    return frame is not None


@contextmanager
def heeding(handler: Handler) -> Iterator[None]:
    """Let `handler` have the signals while the context is open. One that is ignored, as under nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def alarm(seconds: float, handler: Handler) -> Iterator[None]:
    """Let `handler` be called after so many seconds, if the context is still open and the platform has such timers."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def exit_status(error: BaseException | None) -> int:
    """128 + the number of the signal, as shells count; Ctrl-C where none is known."""
    return 128 + int(getattr(error, "number", signal.SIGINT))
