"""Signals end a run as Ctrl-C does, with a checkpoint; streams that the shell has closed are no traceback."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.program import Program

from colinear.cli.console import Output
from colinear.cli.progress import Watcher
from colinear.cli.signals import SIGNALS, Stopped, exit_status, heeding, leave
from colinear.search import tune as search
from colinear.search.trials import Progress

PROGRAM = [sys.executable, "-m", "colinear.cli"]
NAMES = [signal.Signals(number).name for number in SIGNALS]


def test_the_signals_are_those_of_schedulers_and_terminals() -> None:
    assert SIGNALS == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", SIGNALS, ids=NAMES)
def test_the_first_signal_asks_and_the_second_leaves_at_once(number: int) -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    with Watcher(Output(quiet=True)) as watcher:
        watcher.progressed(Progress(1, 2))
        signal.raise_signal(number)
        assert watcher.stopping
        with pytest.raises(Stopped) as stopped:
            watcher.progressed(Progress(1, 2))
        assert exit_status(stopped.value) == 128 + number
        with pytest.raises(Stopped):
            signal.raise_signal(number)
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with heeding(leave):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", SIGNALS, ids=NAMES)
def test_a_signal_during_an_import_waits_for_its_end(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules in native code abort, or fail in ways of their own, where one stops them half-way."""
    (tmp_path / "stopped_half_way.py").write_text(f"import signal\nsignal.raise_signal({int(number)})\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("colinear.cli.signals.AGAIN", 0.5)
    with heeding(leave):
        importlib.import_module("stopped_half_way")
        del sys.modules["stopped_half_way"]
        with pytest.raises(Stopped) as stopped:
            threading.Event().wait(30)
    assert exit_status(stopped.value) == 128 + number


def test_a_signal_outside_a_search_ends_the_program_by_its_number(
    colinear: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colinear.cli.describing.run_info", lambda *_: signal.raise_signal(signal.SIGTERM))
    assert colinear("info", "digits").status == 128 + signal.SIGTERM


@pytest.mark.usefixtures("without_figures")
def test_a_signal_after_the_last_report_ends_the_program_too(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*arguments: Any) -> Any:
        runs = search.tune(*arguments)
        signal.raise_signal(signal.SIGTERM)
        return runs

    monkeypatch.setattr("colinear.cli.tuning.tune", late)
    options = ("--max-passes", "2", "--out")
    assert colinear("fit", "digits", *options, tmp_path / "m.safetensors").status == 143
    assert list(tmp_path.iterdir()) == []
    said = colinear("tune", "digits", "--regs", "0.1", "--loss", "hinge", *options, tmp_path / "run")
    assert said.status == 143
    assert "kept in" in said.err
    assert not (tmp_path / "run/report.html").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_writes_a_checkpoint_from_which_resume_goes_on(tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    heed = f"import signal; signal.signal({int(number)}, signal.SIG_DFL)"  # the tests may run under nohup
    program = [sys.executable, "-c", f"{heed}; from colinear.cli import main; main()", "tune", "digits"]
    options = ("--loss", "hinge", "--candidates", "2", "--steps", "4000", "--out", str(tmp_path / "run"))
    with subprocess.Popen(
        [*program, *options], stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "finished 1,000 of" in line:  # a quarter is done
                process.send_signal(number)
                break
        rest = process.stderr.read()
    assert process.returncode == 128 + number, rest
    assert "Go on with: colinear tune --resume" in rest
    assert (tmp_path / "run/checkpoints/hinge.safetensors").is_file()


@pytest.mark.parametrize(
    ("command", "redirect", "status"),
    [
        ("info digits --json", "<&- >&- 2>&-", 0),
        ("--version", ">&-", 0),
        ("--version", "> /dev/full", 2),
        ("--version", "1< /dev/null", 2),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback(
    tmp_path: Path, command: str, redirect: str, status: int
) -> None:
    line = f"{' '.join(PROGRAM)} {command} {redirect}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == (status != 0)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_with_stderr_closed_is_only_its_status(tmp_path: Path) -> None:
    command = f"{' '.join(PROGRAM)} info nothing 2>&-"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
