"""The exact path, stopped or killed anywhere, alone or in several processes, goes on to the same bytes."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.problems import draw_rows
from tests.processes import SECONDS, end, free_port, start
from tests.program import Program, assert_refused

from colinear.checks import InputError
from colinear.datasets import Split
from colinear.parallel.group import ALONE
from colinear.search import Progress
from colinear.search import tune as tune_module
from colinear.search.checkpoints import Checkpoints, run_identity
from colinear.search.journal import SearchJournal
from colinear.search.listener import Silent
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import tune

SETTINGS = Settings("drawn", device="cpu", losses=("softmax",), regs=(1e-3, 1e-2), tol=1e-6)
WAYS: dict[str, dict[str, Any]] = {
    "a list": {},
    "auto": {"regs": None, "tol": 1e-2},
    "refit": {"refit": True},
    "folds": {"cv": 3, "tol": 1e-2},
    "both losses": {"losses": ("hinge", "softmax"), "tol": 1e-2},
}
DRAWN = draw_rows(800, 160, 10, dtype=torch.float32, spread=0.3)  # too many weights for Newton's method
TIMES = re.compile(rb'"\w*seconds": [-+.0-9e]+')
PROGRAM = """import os, signal, sys
from colinear.search import journal, tune
tune.CHECKPOINT_SECONDS = journal.SHARE = 0.0
from colinear.cli.app import main
{more}
main()
"""


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a run but the lock and the report, without times."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", "report.html")]
    return {str(path.relative_to(folder)): TIMES.sub(b"", path.read_bytes()) for path in files}


@pytest.fixture(scope="module")
def split() -> Split:
    return Split(*(DRAWN.subset(part) for part in (slice(0, 600), slice(600, 700), slice(700, 800))))


class Stopper(Silent):
    """Presses Ctrl-C at the given pass of this process."""

    def __init__(self, at: int) -> None:
        self.at, self.passes = at, 0

    def progressed(self, progress: Progress) -> None:
        self.passes += 1
        if self.passes == self.at:
            raise KeyboardInterrupt


def run(settings: Settings, split: Split, folder: Path, listener: Any = None) -> None:
    with RunFolder(folder) as held:
        tune(settings, split, held, listener)


def stop(settings: Settings, split: Split, folder: Path, at: int) -> bool:
    """Whether the run was stopped, and not finished before."""
    try:
        run(settings, split, folder, Stopper(at))
    except KeyboardInterrupt:
        return True
    return False


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is written at once."""
    monkeypatch.setattr(tune_module, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("colinear.search.journal.SHARE", 0.0)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("way", WAYS)
def test_a_run_stopped_again_and_again_ends_with_the_same_bytes(split: Split, tmp_path: Path, way: str) -> None:
    settings, counter = replace(SETTINGS, **WAYS[way]), Stopper(0)
    run(settings, split, tmp_path / "whole", counter)
    stops = 0
    while stop(settings, split, tmp_path / "stopped", max(2, counter.passes // 7)):
        stops += 1
    assert stops >= 5
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("left", [1, 8], ids=["in the refit", "before it"])
def test_passes_are_not_taken_again(split: Split, tmp_path: Path, left: int) -> None:
    settings, whole, rest = replace(SETTINGS, refit=True), Stopper(0), Stopper(0)
    run(settings, split, tmp_path / "whole", whole)
    assert stop(settings, split, tmp_path / "stopped", at=whole.passes - left)
    run(settings, split, tmp_path / "stopped", rest)
    assert rest.passes == left


def test_what_takes_less_than_a_second_is_not_written(split: Split, tmp_path: Path) -> None:
    assert stop(SETTINGS, split, tmp_path, at=10)
    assert not list(tmp_path.glob("checkpoints/*"))


def test_one_that_is_to_stop_is_written_first(split: Split, tmp_path: Path) -> None:
    listener = Stopper(10)
    listener.stopping = True
    with pytest.raises(KeyboardInterrupt):
        run(SETTINGS, split, tmp_path, listener)
    assert [path.name for path in tmp_path.glob("checkpoints/*")] == ["softmax.safetensors"]


def test_writing_takes_a_fiftieth_of_the_time_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each write takes a second here, so that the next is 50 seconds off; a position would be due after 10."""
    now = [0.0]
    written: list[tuple[float, str]] = []

    def write(self: Checkpoints, name: str, parts: object) -> None:
        now[0] += 1.0
        written.append((now[0], name))

    monkeypatch.setattr("colinear.search.journal.time.monotonic", lambda: now[0])
    monkeypatch.setattr(Checkpoints, "write", write)
    with RunFolder(tmp_path) as folder:
        journal = SearchJournal(Checkpoints(folder, {}), "softmax", ALONE, 10.0, lambda: False)
        for _ in range(200):
            now[0] += 1.0
            journal.keep(lambda: ({}, {}))
    assert [at for at, _ in written] == [11.0, 62.0, 113.0, 164.0]


# What must not go on


@pytest.fixture
def stopped(split: Split, tmp_path: Path, always: None) -> Path:
    """The folder of a run stopped in its last step, the refit."""
    settings = replace(SETTINGS, refit=True)
    counter = Stopper(0)
    run(settings, split, tmp_path / "whole", counter)
    assert stop(settings, split, tmp_path / "run", at=counter.passes - 1)
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert names == [*(f"softmax-{number}.safetensors" for number in (1, 2, 3)), "softmax.safetensors"]
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["softmax", "softmax-1", "softmax-3"])
def test_a_damaged_file_is_refused_and_may_be_deleted(stopped: Path, split: Split, name: str) -> None:
    target = stopped / f"checkpoints/{name}.safetensors"
    content_there = bytearray(target.read_bytes())
    content_there[-3] ^= 1
    target.write_bytes(content_there)
    with pytest.raises(InputError, match=rf"{name}\.safetensors is damaged .*Delete it"):
        run(replace(SETTINGS, refit=True), split, stopped)
    target.unlink()
    run(replace(SETTINGS, refit=True), split, stopped)
    assert content(stopped) == content(stopped.parent / "whole")


@pytest.mark.parametrize("name", ["softmax", "softmax-1", "softmax-2"])
def test_a_file_made_to_fit_its_digest_is_refused_by_name(stopped: Path, split: Split, name: str) -> None:
    settings = replace(SETTINGS, refit=True)
    with RunFolder(stopped) as folder:
        checkpoints = Checkpoints(folder, run_identity(settings, split))
        parts = checkpoints.read(f"checkpoints/{name}.safetensors")
        assert parts is not None
        tensors = {key: torch.cat([tensor, tensor]) for key, tensor in parts[0].items()}
        checkpoints.write(f"checkpoints/{name}.safetensors", (tensors, parts[1]))
    with pytest.raises(InputError, match=rf"{name}\.safetensors is damaged .*Delete it"):
        run(settings, split, stopped)


@pytest.mark.parametrize("way", ["a list", "folds"])
@pytest.mark.usefixtures("always")
def test_shares_and_counts_that_cannot_be_are_refused(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Of a run stopped after its last step, the numbers of each step are changed in turn."""
    settings = replace(SETTINGS, **WAYS[way], regs=(1e-1, 1.0))

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tune_module, "score_winner", leave)
    with pytest.raises(KeyboardInterrupt):
        run(settings, split, tmp_path / "run")
    changed = 0
    with RunFolder(tmp_path / "run") as folder:
        checkpoints = Checkpoints(folder, run_identity(settings, split))
        for number in sorted(checkpoints.steps("softmax")):
            name = f"checkpoints/softmax-{number}.safetensors"
            parts = checkpoints.read(name)
            assert parts is not None
            for key in parts[0].keys() & {"accuracies", "correct", "weights"}:
                for wrong in (-1.0, 1e9, float("nan")):
                    if (key, wrong) == ("weights", 1e9):
                        continue  # no more wrong than any other number of rows
                    checkpoints.write(name, ({**parts[0], key: torch.full_like(parts[0][key], wrong)}, parts[1]))
                    with pytest.raises(InputError, match=rf"softmax-{number}\.safetensors is damaged"):
                        tune(settings, split, folder)
                    changed += 1
                checkpoints.write(name, parts)
    assert changed >= 3


def test_other_settings_and_data_are_refused(stopped: Path, split: Split) -> None:
    (stopped / "checkpoints/softmax.safetensors").unlink()
    with pytest.raises(InputError, match=r"softmax-1\.safetensors belongs to another run: its settings\.tol is"):
        run(replace(SETTINGS, refit=True, tol=1e-4), split, stopped)
    fewer = replace(split, train=split.train.subset(slice(1, None)))
    with pytest.raises(InputError, match=r"softmax-1\.safetensors is of other training data"):
        run(replace(SETTINGS, refit=True), fewer, stopped)


# Killed


def asked(table: Path, folder: Path) -> list[str]:
    options = ["--loss", "softmax", "--regs", "1e-2:1:3", "--tol", "1e-7", "--refit", "--quiet", "--timeout", "30"]
    return ["tune", str(table), *options, "--auto-resume", "--out", str(folder)]


def killed_in(passes: int, rank: int = 0) -> str:
    """A program that is killed before the given pass, of the first attempt alone."""
    return PROGRAM.format(
        more=f"""
from colinear.objective import Objective
evaluate, passes = Objective.evaluate, []
def die(self, *given, **more):
    passes.append(1)
    if len(passes) == {passes} and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return evaluate(self, *given, **more)
if os.environ.get("RANK", "0") == "{rank}":
    Objective.evaluate = die
"""
    )


PLAIN = PROGRAM.format(more="")


@pytest.mark.parametrize("size", [1, 3])
def test_a_killed_run_goes_on_by_the_same_command(table: Path, tmp_path: Path, size: int) -> None:
    """A drawn process dies in a drawn pass, again and again; at last nothing does."""
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)  # noqa: T201
    rng = random.Random(seed)
    assert {one.status for one in end(start(["-c", PLAIN, *asked(table, tmp_path / "a/run")], size))} == {0}
    # 14 passes, and 4 of the refit, which alone are left where a process that solves its copy of so small a problem was
    # ahead of the one that died
    for most in (8, 4):
        victim, passes = rng.randrange(size), rng.randrange(2, most + 1)
        began = time.monotonic()
        said = end(start(["-c", killed_in(passes, victim), *asked(table, tmp_path / "b/run")], size))
        assert said[victim].status == -signal.SIGKILL, said
        assert all(one.status == 1 for rank, one in enumerate(said) if rank != victim), said
        errors = [line for one in said for line in one.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == (size > 1), errors
        assert all(f"Go on with --resume {tmp_path / 'b/run'}" in line for line in errors)
        assert time.monotonic() - began < SECONDS
    assert list((tmp_path / "b/run/checkpoints").glob("softmax*.safetensors"))
    assert {one.status for one in end(start(["-c", PLAIN, *asked(table, tmp_path / "b/run")], size))} == {0}
    assert content(tmp_path / "b/run") == content(tmp_path / "a/run")


def test_torchrun_starts_it_again(table: Path, tmp_path: Path) -> None:
    """Its own restart, in which the addresses of the dead must not be read from its store."""
    program = tmp_path / "program.py"
    program.write_text(killed_in(7, rank=1))
    for name, more in (("a", ()), ("b", ("--max-restarts", "1"))):
        if name == "a":
            assert {one.status for one in end(start(["-c", PLAIN, *asked(table, tmp_path / "a/run")], 2))} == {0}
            continue
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *more, str(program)]
        done = subprocess.run(
            [sys.executable, *launcher, *asked(table, tmp_path / "b/run")], capture_output=True, text=True,
            timeout=SECONDS, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "(exitcode: -9) local_rank: 1" in done.stderr  # it did die; whether the other says so first is a race
    assert content(tmp_path / "b/run") == content(tmp_path / "a/run")


@pytest.mark.parametrize("victim", [0, 1], ids=["first", "second"])
def test_a_process_that_hangs_ends_the_run_within_the_timeout(table: Path, tmp_path: Path, victim: int) -> None:
    """The first has the store, which does not answer then."""
    hang = killed_in(5, rank=victim).replace("SIGKILL", "SIGSTOP")
    processes = start(["-c", hang, *asked(table, tmp_path / "run"), "--timeout", "3"], 3)
    others = [process for process in processes if process is not processes[victim]]
    try:
        waiting = [process.communicate(timeout=SECONDS)[1] for process in others]
        assert [process.returncode for process in others] == [1, 1], waiting
        assert processes[victim].poll() is None
    finally:
        processes[victim].kill()
        for process in others:
            process.kill()
        said = end([processes[victim]])
    errors = [line for line in "".join(waiting).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, (errors, said)
    assert "silent for 3 s (--timeout)" in errors[0]


def test_a_signal_ends_a_process_that_waits_for_one_that_never_comes(tmp_path: Path) -> None:
    """As torchrun sends it when another has died in its imports: else it would be killed half a minute later."""
    more = """
import torch.distributed as dist
store = dist.TCPStore
dist.TCPStore = lambda *given, **named: (print("joins", flush=True), store(*given, **named))[1]
"""
    environment = {**os.environ, "RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": str(free_port()), "LOCAL_RANK": "1"}
    command = [sys.executable, "-c", PROGRAM.format(more=more), "tune", "digits", "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "joins\n"
        process.terminate()
        assert process.wait(SECONDS) == -signal.SIGTERM
    assert not (tmp_path / "run").exists()


def test_a_signal_ends_the_first_of_several_processes_in_a_long_pass(table: Path, tmp_path: Path) -> None:
    """It may write a checkpoint first, but not wait for a sum that another will never join."""
    more = """
from colinear.cli import progress
from colinear.objective import Objective
progress.PATIENCE = 0.1
def wait(self, *given, **more):
    print("waits", flush=True)
    os.read(os.pipe()[0], 1)
Objective.evaluate = wait
"""
    processes = start(["-c", PROGRAM.format(more=more), *asked(table, tmp_path / "run")], 2)
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "waits\n"
        processes[0].terminate()
        assert processes[0].wait(SECONDS) == 128 + signal.SIGTERM
    finally:
        for process in processes:
            process.kill()
        end(processes)


# --auto-resume


def test_auto_resume_shows_a_finished_run_again(colinear: Program, tmp_path: Path) -> None:
    command = ("tune", "digits", "--loss", "softmax", "--regs", "1e-2", "--auto-resume", "--out", tmp_path / "run")
    assert colinear(*command).status == 0
    before = content(tmp_path / "run")
    again = colinear(*command)
    assert again.status == 0
    assert "is finished already" in again.err
    assert content(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--tol", "1e-2"), "its settings.tol is 0.001, this run's is 0.01"),
        (("--regs", "dino45"), "its settings.regs is"),
    ],
)
def test_auto_resume_refuses_a_run_of_another_command(
    colinear: Program, tmp_path: Path, more: tuple[str, ...], words: str
) -> None:
    """Of which there is no more than its settings: it was killed before its first checkpoint."""
    command = ("tune", "digits", "--loss", "softmax", "--auto-resume", "--out", tmp_path / "run")
    assert colinear(*command, "--regs", "1e-2").status == 0
    settings = (tmp_path / "run/settings.json").read_bytes()
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/settings.json").write_bytes(settings)
    assert_refused(colinear(*command, *more, *(() if "--regs" in more else ("--regs", "1e-2"))), words)


def test_auto_resume_needs_its_folder(colinear: Program, tmp_path: Path) -> None:
    assert_refused(colinear("tune", "digits", "--auto-resume"), "--auto-resume needs --out")
    assert_refused(colinear("tune", "--auto-resume", "--resume", tmp_path), "leave out --auto-resume")
    (tmp_path / "results.json").write_text("mine")
    assert_refused(colinear("tune", "digits", "--auto-resume", "--out", tmp_path), "results.json")
