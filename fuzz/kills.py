"""SIGKILL at a random moment, then the same command again: it has to end with the bytes of a run that nothing stopped.

    python -m fuzz.kills --kills 20                 one process, which --resume goes on with
    python -m fuzz.kills --kills 20 --ranks 3       under torchrun, one process of three; then the same command

Each kill is a run of its own, stopped once, that goes on to its end. Looked at besides: how long the others stay after
a death, whether a process is left behind, and how old the last checkpoint was. Needs Linux, whose /proc tells
processes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WAYS = (("--regs", "auto"), ("--refit", "--regs", "1e-3:1:4"), ("--cv", "3", "--regs", "1e-3:1:4"))
SECONDS = re.compile(rb'"\w*seconds": [-+.0-9e]+')
PATIENCE = 15.0  # seconds after a death within which all have to be gone
PROGRAM = """import sys
from colinear.search import tune
tune.CHECKPOINT_SECONDS = float(sys.argv.pop(1))
from colinear.cli.app import main
main()
"""


@dataclass
class Command:
    """`colinear tune` on the rows, in one process or under torchrun."""

    folder: Path
    rows: tuple[int, int, int]
    ranks: int
    seconds: float

    def __post_init__(self) -> None:
        (self.folder / "tune.py").write_text(PROGRAM)
        rng, (n, d, c) = np.random.default_rng(0), self.rows
        labels = rng.integers(c, size=n)
        features = rng.normal(size=(n, d)) + 0.4 * rng.normal(size=(c, d))[labels]
        np.savez(self.folder / "rows.npz", features=features.astype(np.float32), labels=labels)

    def start(self, run: Path, way: tuple[str, ...]) -> subprocess.Popen[bytes]:
        """Begin the run, or go on with it."""
        asked = (str(self.folder / "rows.npz"), *way, "--out", str(run), "--auto-resume")
        if self.ranks == 1 and (run / "settings.json").exists():
            asked = ("--resume", str(run))
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(self.ranks)]
        return subprocess.Popen(
            [sys.executable, *(launcher if self.ranks > 1 else []), str(self.folder / "tune.py"), str(self.seconds),
             "tune", *asked, "--quiet"],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def processes(self, run: Path) -> list[int]:
        """Those that work on the run, launchers apart."""
        found = []
        for process in Path("/proc").iterdir():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdecimal() else []
            except OSError:
                continue
            if str(run).encode() in words and b"torch.distributed.run" not in words:
                found.append(int(process.name))
        return found


def content(run: Path) -> dict[str, bytes]:
    """Every file of a run, without its times, of which the report is full."""
    return {
        str(file.relative_to(run)): SECONDS.sub(b"", file.read_bytes())
        for file in sorted(run.rglob("*"))
        if file.is_file() and file.name not in (".lock", "report.html")
    }


def kill(command: Command, run: Path, way: tuple[str, ...], after: float, rng: random.Random) -> dict[str, object]:
    """Kill one process `after` seconds; what was seen until the others were gone."""
    launched = command.start(run, way)
    time.sleep(after)
    alive = command.processes(run)
    if launched.poll() is not None or not alive:
        launched.communicate()
        return {"killed": False}
    victim = rng.choice(alive)
    notes = [file.stat().st_mtime for file in run.glob("checkpoints/*")]
    age = time.time() - max(notes) if notes else None
    os.kill(victim, signal.SIGKILL)
    died = time.monotonic()
    while any(pid != victim for pid in command.processes(run)) and time.monotonic() < died + 60:
        time.sleep(0.02)
    gone = time.monotonic() - died
    said = launched.communicate(timeout=60)[1].decode()
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    return {"killed": True, "age": age, "gone": gone, "lines": lines, "left": command.processes(run)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rows", type=int, nargs=3, default=(12000, 400, 30), metavar=("ROWS", "COLUMNS", "CLASSES"))
    parser.add_argument("--seconds", type=float, default=1.0, help="from one checkpoint to the next; tune has 30")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    rng = random.Random(given.seed)
    failures = killed = number = 0
    with tempfile.TemporaryDirectory() as place:
        command = Command(Path(place), tuple(given.rows), given.ranks, given.seconds)
        wanted: dict[tuple[str, ...], tuple[dict[str, bytes], float]] = {}
        while killed < given.kills:
            number += 1
            way = WAYS[number % len(WAYS)]
            if way not in wanted:
                began, run = time.monotonic(), Path(place) / f"whole-{number}/run"  # reports tell a run's name
                command.start(run, way).communicate()
                wanted[way] = content(run), time.monotonic() - began
            whole, took = wanted[way]
            run = Path(place) / f"killed-{number}/run"
            seen = kill(command, run, way, rng.uniform(0.1, 1.0) * took, rng)
            killed += bool(seen["killed"])  # else the run was over before
            again = command.start(run, way)
            said = again.communicate()[1].decode()
            ended = content(run)
            unlike = [name for name in sorted(whole.keys() | ended.keys()) if whole.get(name) != ended.get(name)]
            well = (
                not unlike
                and again.returncode == 0
                and (not seen["killed"] or (seen["gone"] <= PATIENCE and not seen["left"]))
            )  # type: ignore[operator]
            failures += not well
            print(json.dumps({"way": " ".join(way), "took": took, "unlike": unlike, **seen}), flush=True)
            if not well:
                print(said[-2000:], flush=True)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
