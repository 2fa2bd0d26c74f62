"""Problem `scale`: the same command in two processes of one thread each, and in one of two threads.

Random rows about planted centres, memory-mapped; then the same rows in seven uneven shards. Problem `scale-memory`:
what a process holds with a thousand classes. Linux only.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import ROOT, now, spread
from benchmarks.memory import BLOCK
from benchmarks.problems import WrongAnswerError
from benchmarks.tables import Table, number, say

RANKS = 2
AGREEMENT = 1e-6  # relative, of objectives: rounding of sums
MOST_ROWS = 3e-4  # of test accuracies: 3 of 10,000 rows
SHARDS = (1, 2, 3, 4, 5, 6, 7)  # their sizes, in parts of the sum
TIMES, SHARE, GIGABYTES = 1.1, 0.6, 6.0  # targets: seconds, memory of a process to that of one alone; memory at all


@dataclass(frozen=True)
class ScaleOptions:
    """distance : of a centre from the middle; noise has the standard deviation 1 in each column.    dtype : on disk."""

    rows: int = 400_000
    columns: int = 512
    classes: int = 100
    regs: str = "1e-6:1e-2:3"
    tol: float = 1e-4
    distance: float = 3.0
    dtype: str = "float32"


THOUSAND = ScaleOptions(130_000, 2048, 1000, "1e-6:1e-4:5", 1e-2, 4.0, "float16")


def write_planted(folder: Path, options: ScaleOptions, seed: int = 0) -> Path:
    """x.npy and y.npy: a centre for each class, and noise, block by block."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((options.classes, options.columns), dtype=np.float32)
    centres *= options.distance / np.linalg.norm(centres, axis=1, keepdims=True)
    labels = draw.integers(options.classes, size=options.rows)
    path = folder / "x.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.dtype(options.dtype), (options.rows, options.columns))
    for start in range(0, options.rows, BLOCK):
        part = labels[start : start + BLOCK]
        rows[start : start + BLOCK] = centres[part] + draw.standard_normal((len(part), options.columns), np.float32)
    rows.flush()
    np.save(folder / "y.npy", labels)
    return path


def cut_into_shards(folder: Path, into: Path) -> Path:
    """The rows of x.npy and y.npy as files of uneven sizes, labels beside each."""
    into.mkdir()
    rows, labels = np.load(folder / "x.npy", mmap_mode="r"), np.load(folder / "y.npy")
    ends = [len(rows) * part // sum(SHARDS) for part in accumulate(SHARDS)]
    for index, (first, last) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        np.save(into / f"part-{index:04}.npy", rows[first:last])
        np.save(into / f"part-{index:04}-labels.npy", labels[first:last])
    return into


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep this process, and what it starts, on so many cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_tune(data: Path, options: ScaleOptions, ranks: int) -> dict[str, Any]:
    """One command on RANKS cores: seconds in all, of its search and of processors; memory; what it found."""
    with tempfile.TemporaryDirectory(prefix="colinear-bench-") as name:
        place = Path(name)
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)) if ranks > 1 else ()
        command = [
            sys.executable, *launcher, "-m", "benchmarks.resident", name, str(data),
            "tune", str(data), "--loss", "softmax", "--regs", options.regs, "--tol", f"{options.tol:g}",
            "--quiet", "--device", "cpu", "--out", str(place / "run"),
        ]  # fmt: skip
        inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        with on_cores(RANKS):
            threads = {} if ranks > 1 else {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
            started, before = now(), os.times()
            subprocess.run(command, check=True, cwd=ROOT, env=inherited | threads, stdout=subprocess.DEVNULL)
            whole, after = now() - started, os.times()
        [run] = json.loads((place / "run" / "results.json").read_text())["runs"]
        memory = [json.loads((place / f"memory-{rank}.json").read_text()) for rank in range(ranks)]
    return {
        "whole": whole, "search": run["seconds"], "processor": sum(after[2:4]) - sum(before[2:4]),
        "passes": run["details"]["passes"], "memory": memory,
        "winner": run["trials"][run["best"]]["reg"], "test_accuracy": run["test_accuracy"],
        "points": [[trial["reg"], trial["objective"], trial["relative_gap"]] for trial in run["trials"]],
    }  # fmt: skip


def check_same(one: dict[str, Any], other: dict[str, Any], what: str) -> None:
    """Raise `WrongAnswerError` unless both found the same."""
    if one["winner"] != other["winner"]:
        raise WrongAnswerError(f"{what}: the winner is {other['winner']:g}, in one process {one['winner']:g}.")
    for mine, theirs in zip(one["points"], other["points"], strict=True):
        if not abs(theirs[1] / mine[1] - 1) <= AGREEMENT:
            raise WrongAnswerError(f"{what}: reg {mine[0]:g} has objective {theirs[1]}, in one process {mine[1]}.")
    if not abs(one["test_accuracy"] - other["test_accuracy"]) <= MOST_ROWS:
        raise WrongAnswerError(f"{what}: test accuracy {other['test_accuracy']}, alone {one['test_accuracy']}.")


def run_scale(options: ScaleOptions, repeats: int) -> dict[str, Any]:
    """Both ways in turns, each answer checked against the first; then the shards in both ways, once."""
    alone: list[dict[str, Any]] = []
    together: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="colinear-bench-") as name:
        folder = Path(name)
        data = write_planted(folder, options)
        for turn in range(repeats):
            for found, ranks in ((alone, 1), (together, RANKS)):
                found.append(run_tune(data, options, ranks))
                check_same(alone[0], found[-1], f"{ranks} processes, round {turn + 1}")
                say(
                    f"round {turn + 1}: {ranks} processes, {number(found[-1]['whole'])} s, {found[-1]['passes']} passes"
                )
        shards = run_tune(cut_into_shards(folder, folder / "shards"), options, RANKS)
        check_same(alone[0], shards, f"{len(SHARDS)} shards")
        say(f"{len(SHARDS)} shards: {RANKS} processes, {number(shards['whole'])} s")
    return {
        **describe(options), "passes": alone[0]["passes"], "winner": alone[0]["winner"],
        "test_accuracy": [alone[0]["test_accuracy"], together[0]["test_accuracy"]], "points": alone[0]["points"],
        "objectives_differ": max(
            abs(theirs[1] / mine[1] - 1)
            for run in (*together, shards) for mine, theirs in zip(alone[0]["points"], run["points"], strict=True)
        ),
        "alone": summary(alone), "together": summary(together), "shards": summary([shards]),
        "times": _ratio(alone, together, "whole"), "search_times": _ratio(alone, together, "search"),
        "target_times": TIMES, "share": held_mb(together) / held_mb(alone), "target_share": SHARE,
    }  # fmt: skip


def run_memory(options: ScaleOptions, *, both: bool = False) -> dict[str, Any]:
    """The memory of one process, and of two if asked for."""
    with tempfile.TemporaryDirectory(prefix="colinear-bench-") as name:
        data = write_planted(Path(name), options)
        found = [run_tune(data, options, ranks) for ranks in ((1, RANKS) if both else (1,))]
    check_same(found[0], found[-1], f"{RANKS} processes")
    runs = {name: summary([run]) for name, run in zip(("alone", "together"), found, strict=False)}
    return {**describe(options), "passes": found[0]["passes"], **runs, "target_gb": GIGABYTES}


def describe(options: ScaleOptions) -> dict[str, Any]:
    return {
        "what": f"softmax, {options.rows:,} x {options.columns} {options.dtype}, {options.classes} planted classes",
        "regs": options.regs, "tol": options.tol, "file_mb": options.rows * options.columns
        * np.dtype(options.dtype).itemsize / 1e6, "processes": RANKS,
    }  # fmt: skip


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds of all runs, memory of each process in the last."""
    times = {name: spread([run[name] for run in runs]) for name in ("whole", "search", "processor")}
    return {**times, "memory": runs[-1]["memory"]}


def held_mb(runs: list[dict[str, Any]]) -> float:
    """The most that a process holds beyond its imports: memory of its own, and its share of the file's pages."""
    return max(each["anonymous_mb"] + each["data_share_mb"] for run in runs for each in run["memory"])


def _ratio(alone: list[dict[str, Any]], together: list[dict[str, Any]], name: str) -> float:
    return statistics.median(theirs[name] / mine[name] for mine, theirs in zip(alone, together, strict=True))


def scale_table(report: dict[str, Any]) -> Table:
    columns = ["run", "seconds", "search", "processor", "own MB", "of the file MB", "its share MB", "imports MB"]
    table = Table(f"{report['what']}; memory of each process", columns)
    for name in ("alone", "together", "shards"):
        if name in report:
            times = [number(report[name][what]["median"]) for what in ("whole", "search", "processor")]
            for rank, each in enumerate(report[name]["memory"]):
                table.add(
                    f"{name}, {rank}", *times,
                    *(number(each[f"{what}_mb"]) for what in ("anonymous", "data", "data_share", "imports")),
                )  # fmt: skip
    if "times" in report:
        held = f"{report['share']:.3g} (target {report['target_share']:g})"
        table.add(f"ratio (target {report['target_times']:g})", f"{report['times']:.3g}",
                  f"{report['search_times']:.3g}", "", held, "", "", "")  # fmt: skip
    return table
