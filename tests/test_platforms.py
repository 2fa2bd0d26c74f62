"""Where platforms differ: what colinear relies on, and what it does where that is missing (Windows, above all)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from colinear.cli import signals
from colinear.outputs import write_whole
from colinear.search import memory, runfolder


def test_a_file_is_closed_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows renames no open file. So that this is noticed on every platform, the rename is asked for open ones."""
    opened = []
    real_open, real_replace = open, os.replace

    def remember(*arguments: object, **named: object) -> object:
        opened.append(real_open(*arguments, **named))  # type: ignore[call-overload]
        return opened[-1]

    def replace(source: Path, target: Path) -> None:
        assert opened
        assert all(file.closed for file in opened)
        real_replace(source, target)

    monkeypatch.setattr("builtins.open", remember)
    monkeypatch.setattr(os, "replace", replace)
    write_whole(tmp_path / "file", b"whole")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_file_that_another_program_holds_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows a file that is open elsewhere cannot be replaced: the earlier one stands, as it was."""
    (tmp_path / "file").write_bytes(b"earlier")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "The process cannot access the file because it is being used by another process")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "file", b"later")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


def test_a_run_needs_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no flock. Runs are not protected from each other there, and are otherwise the same."""
    monkeypatch.setattr(runfolder, "fcntl", None)
    with runfolder.RunFolder(tmp_path / "run") as folder:
        folder.write_json("settings.json", {"seed": 0})
    assert folder.read_json("settings.json") == {"seed": 0}


def test_memory_is_asked_without_unix(monkeypatch: pytest.MonkeyPatch) -> None:
    """No `resource`, no sysconf, no /sys: nothing is known about the limit, so nothing is refused."""
    import torch

    monkeypatch.setattr(memory, "resource", None)
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.setattr(memory, "GROUP_LIMITS", ())
    assert memory.most_bytes(torch.device("cpu")) == 2**63


def test_a_run_needs_no_signals_and_timers_of_unix(tmp_path: Path) -> None:
    """Windows has SIGINT and SIGTERM, and neither SIGHUP nor SIGALRM nor timers."""
    program = """
import signal
for name in ("SIGHUP", "SIGALRM", "setitimer", "ITIMER_REAL", "SIGPIPE", "SIGUSR1", "SIGKILL"):
    delattr(signal, name)
import sys
for name in ("fcntl", "resource"):
    sys.modules[name] = None
from colinear.cli.app import main
main(["tune", "digits", "--loss", "softmax", "--regs", "1e-2", "--quiet", "--out", sys.argv[1]])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "run")], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run/report.html").is_file()


def test_an_alarm_that_the_platform_lacks_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "setitimer")
    with signals.alarm(0.001, lambda *_: pytest.fail("rung")):
        pass


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_signals_of_every_platform_are_heeded(name: str) -> None:
    assert getattr(signal, name) in signals.SIGNALS
