"""Targets that misbehave on purpose, each in one way: a harness that misses one of them is blind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colinear.checks import InputError
from fuzz.cases import Case
from fuzz.targets import Target, expect


@dataclass(frozen=True)
class Proof:
    """A target, and the outcome that has to be found; less time or memory than other cases have makes it quick."""

    outcome: str
    target: Target
    seconds: float = 0.0
    peak: float = 0.0

    def case(self, name: str) -> Case:
        place = (("rows.npy", "rows.npy"),)
        return Case(name, "proof", name, place=place, seconds=self.seconds, peak=self.peak)


def _raise(error: BaseException) -> None:
    raise error


def _take_memory() -> None:
    held = np.ones(3 << 27)  # 3 GiB
    held += 1


def _take_memory_quietly() -> None:
    """As a reader does that hides its failed allocation behind a refusal."""
    try:
        _take_memory()
    except MemoryError:
        raise InputError("it does not fit into memory.") from None


def _stay_below_the_limit() -> None:
    held = np.ones(50_000_000)  # 400 MB, which the process may have
    held += 1


def _fill_the_disk() -> None:
    with open("large", "wb") as file:
        file.truncate(1 << 30)


def _leave_a_program() -> None:
    Path("pid").write_text(str(subprocess.Popen(["sleep", "600"]).pid))


def _overwrite(case: Case) -> None:
    (Path(case.place[0][1])).write_bytes(b"gone")


def _leave_something() -> None:
    for place in (Path.cwd(), Path.home(), Path(tempfile.gettempdir()), Path(os.environ["XDG_CACHE_HOME"])):
        expect(not (place / "something").exists(), f"{place} has what another case has left")
        (place / "something").touch()


PROOFS: dict[str, Proof] = {
    "nothing": Proof("fine", lambda _: None),
    "leavings": Proof("fine", lambda _: _leave_something()),
    "leavings again": Proof("fine", lambda _: _leave_something()),
    "a refusal": Proof("refused", lambda _: _raise(InputError("x must be 1; got 2."))),
    "an exception": Proof("exception", lambda _: _raise(KeyError("x"))),
    "an exit": Proof("exception", lambda _: _raise(SystemExit(1))),
    "recursion": Proof("exception", lambda _: _raise(RecursionError())),
    "a broken promise": Proof("exception", lambda _: expect(False, "rows that are not finite")),
    "a large file": Proof("exception", lambda _: _fill_the_disk()),
    "the network": Proof("exception", lambda _: socket.create_connection(("127.0.0.1", 9))),
    "a long message": Proof("message", lambda _: _raise(InputError("x" * 5000))),
    "three lines": Proof("message", lambda _: _raise(InputError("a\nb\nc"))),
    "a control character": Proof("message", lambda _: _raise(InputError("a\x1b[31m"))),
    "a hang": Proof("hang", lambda _: time.sleep(60), seconds=1.0),
    "a hang of everything": Proof("hang", lambda _: os.kill(os.getpid(), signal.SIGSTOP), seconds=1.0),
    "memory": Proof("memory", lambda _: _take_memory()),
    "memory, refused": Proof("memory", lambda _: _take_memory_quietly()),
    "memory, granted": Proof("memory", lambda _: _stay_below_the_limit(), peak=600_000_000),
    "a program": Proof("program", lambda _: subprocess.run(["gs", "-v"], check=False)),
    "a program by C": Proof("program", lambda _: os.system("gs -v")),
    "a program that stays": Proof("program", lambda _: _leave_a_program()),
    "a crash": Proof("crash", lambda _: os.abort()),
    "an early exit": Proof("crash", lambda _: os._exit(0)),
    "a warning": Proof("warning", lambda _: warnings.warn("careful", UserWarning, stacklevel=1)),
    "a warning that nobody sees": Proof("fine", lambda _: warnings.warn("x", DeprecationWarning, stacklevel=1)),
    "an overwritten file": Proof("overwritten", _overwrite),
    "the worker's end": Proof("harness", lambda _: os.kill(os.getppid(), signal.SIGKILL)),
}
