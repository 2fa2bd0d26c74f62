"""Problem `path`: all strengths in one solve here, against packages that solve one strength at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import ROOT, spread
from benchmarks.methods.ours import solve
from benchmarks.methods.peers import NOT_INSTALLED, PEERS
from benchmarks.problems import PathProblem, hinge_path, softmax_path
from benchmarks.tables import Table, number, say
from colinear.datasets import Split

PATIENCE = 180.0  # seconds: a peer whose repeats would take longer together is run once
WIDTHS = (1, 3, 9)  # strengths a batch, for the batching rule
COLUMNS = ("method", "strengths", "seconds", "range", "n", "relative gap")
TIMED = {"peers": "fit only, rows in memory", "colinear": "from raw rows: scaling, spectrum, certificates"}


@dataclass(frozen=True)
class PathOptions:
    """What is run. limit : seconds for a peer's process at one strength.

    intelex_python : interpreter of an environment with scikit-learn-intelex, if it is not this one.
    """

    repeats: int = 3
    peers: tuple[str, ...] = tuple(PEERS)
    limit: float = 900.0
    all_strengths: bool = False
    batching: bool = False
    intelex_python: str | None = None


def run_path(split: Split, options: PathOptions) -> dict[str, Any]:
    """Check both losses, time them, time the peers, time both again, and report as JSON-able values."""
    problems = (softmax_path(split.train), hinge_path(split.train))
    report: dict[str, Any] = {"timed": TIMED}
    with problems[0].written() as folder:
        for problem in problems:
            report[problem.loss] = _check(problem, folder)
        seconds = {problem.loss: [_time(problem) for _ in range(options.repeats)] for problem in problems}
        report["peers"] = {name: _run_peer(name, folder, problems[0], options) for name in options.peers}
        for problem in problems:
            seconds[problem.loss].append(_time(problem))  # after the peers: drift of the machine shows
            report[problem.loss] |= spread(seconds[problem.loss])
        if options.batching:
            report["batching"] = [_batching(problems[0], width) for width in WIDTHS]
        report["ratios"] = _ratios(report, folder, problems[0], options)
    return report


def _check(problem: PathProblem, folder: Path) -> dict[str, Any]:
    _, path = solve(problem)  # not counted: it warms up
    points = problem.judge(folder, path.points)
    say(f"{problem.loss}: {len(points)} certificates recomputed, largest {_largest_gap(points):.2e} of {problem.tol:g}")
    return {"tol": problem.tol, "passes": path.passes, "setup_seconds": path.setup_seconds, "points": points}


def _largest_gap(points: list[dict[str, Any]]) -> float:
    return max(float(point["independent_relative_gap"]) for point in points)


def _time(problem: PathProblem) -> float:
    seconds, path = solve(problem)
    say(f"{problem.loss}: {number(seconds)} s, {path.passes} passes")
    return seconds


def _run_peer(name: str, folder: Path, problem: PathProblem, options: PathOptions) -> dict[str, Any]:
    """Repeats at one strength; once only if it is slow, and not again if it was stopped."""
    peer = PEERS[name]
    about = {"objective": peer.objective, "precision": peer.dtype, "reg": problem.single}
    run = _run_once(name, folder, problem, problem.single, options)
    say(f"{name}: {_in_short(run)}")
    if "seconds" not in run:
        return about | run
    seconds = [run.pop("seconds")]
    while len(seconds) < options.repeats and seconds[0] * options.repeats <= PATIENCE:
        again = _run_once(name, folder, problem, problem.single, options)
        seconds.append(again.get("seconds", options.limit))
    return about | spread(seconds) | run


def _in_short(run: dict[str, Any]) -> str:
    if "seconds" not in run:
        return str(run)
    gap = f", relative gap {run['independent_relative_gap']:.1e}" if "independent_relative_gap" in run else ""
    warned = f" ({'; '.join(run['warnings'])})" if run["warnings"] else ""
    return f"{number(run['seconds'])} s, {run['iterations']} iterations{gap}{warned}"


def _run_once(name: str, folder: Path, problem: PathProblem, reg: float, options: PathOptions) -> dict[str, Any]:
    """One fit in a process of its own, killed at the limit, and the independent gap of what it returns."""
    python = options.intelex_python if PEERS[name].intelex and options.intelex_python else sys.executable
    command = [python, "-m", "benchmarks.methods.peers", name, str(folder), repr(reg)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        ended = subprocess.run(
            command, timeout=options.limit, capture_output=True, text=True, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"stopped_after_seconds": options.limit}
    if ended.returncode == NOT_INSTALLED:
        return {"not_installed": ended.stderr.strip()}
    if ended.returncode:
        return {"failed": ended.stderr.strip().splitlines()[-1:] or f"exit status {ended.returncode}"}
    result: dict[str, Any] = json.loads((folder / "peer.json").read_text())
    if PEERS[name].is_softmax:
        weights = np.load(folder / "peer-coef.npy")
        result["objective_reached"], result["independent_relative_gap"] = problem.certify(folder, weights, reg)
    return result


def _batching(problem: PathProblem, width: int) -> dict[str, Any]:
    seconds, path = solve(problem, width)
    say(f"batches of {width}: {number(seconds)} s, {path.passes} passes")
    return {"strengths_a_batch": width, "seconds": seconds, "passes": path.passes}


def _ratios(report: dict[str, Any], folder: Path, problem: PathProblem, options: PathOptions) -> dict[str, Any]:
    """Ours for all strengths against the fastest softmax peer at one, and at all; and the hinge's."""
    done = {name: run["median"] for name, run in report["peers"].items() if "median" in run}
    softmax = {name: seconds for name, seconds in done.items() if PEERS[name].is_softmax}
    ratios: dict[str, Any] = {}
    if softmax:
        fastest = min(softmax, key=lambda name: softmax[name])
        ours, count = report["softmax"]["median"], len(problem.regs)
        whole: dict[str, Any] = {"peer": fastest, "seconds": count * softmax[fastest], "how": f"{count} x its one"}
        if options.all_strengths:
            whole |= _all_strengths(fastest, folder, problem, options)
        ratios["softmax"] = {
            "fastest_peer": fastest,
            "all_here_to_one_of_peer": ours / softmax[fastest],
            "all_of_peer": whole,
            "all_of_peer_to_all_here": whole["seconds"] / ours,
        }
    ovr = report["peers"].get("liblinear-ovr-hinge", {})
    if base := ovr.get("median", ovr.get("stopped_after_seconds")):
        bound = "" if "median" in ovr else ", at most: it was stopped"
        ratios["hinge"] = {f"all_here_to_one_of_liblinear_ovr{bound}": report["hinge"]["median"] / base}
    return ratios


def _all_strengths(name: str, folder: Path, problem: PathProblem, options: PathOptions) -> dict[str, Any]:
    """The peer's own times at every strength; one that was stopped counts with the limit."""
    runs = [{"reg": reg, **_run_once(name, folder, problem, reg, options)} for reg in problem.regs]
    say(f"{name} at all strengths: {[run.get('seconds') for run in runs]}")
    stopped = sum("seconds" not in run for run in runs)
    return {
        "seconds": sum(run.get("seconds", options.limit) for run in runs),
        "how": "timed one by one" + (f", {stopped} stopped at the limit: a lower bound" if stopped else ""),
        "runs": runs,
    }


def path_tables(report: dict[str, Any]) -> list[Table]:
    tables = [_times_table(report)]
    if "batching" in report:
        batching = Table("softmax: strengths a batch", ["strengths", "seconds", "passes"])
        for run in report["batching"]:
            batching.add(run["strengths_a_batch"], number(run["seconds"]), run["passes"])
        tables.append(batching)
    if "softmax" in report["ratios"]:
        ratio = report["ratios"]["softmax"]
        notes = Table(f"ratios to {ratio['fastest_peer']}, the fastest softmax peer", ["what", "ratio"])
        notes.add("all strengths here / one strength there", f"{ratio['all_here_to_one_of_peer']:.3g}")
        how = ratio["all_of_peer"]["how"]
        notes.add(f"all strengths there ({how}) / all here", f"{ratio['all_of_peer_to_all_here']:.3g}")
        for what, value in report["ratios"].get("hinge", {}).items():
            notes.add("hinge: " + what.replace("_", " ").replace(" to ", " / "), f"{value:.3g}")
        tables.append(notes)
    return tables


def _times_table(report: dict[str, Any]) -> Table:
    table = Table("path: seconds, and how far from the optimum at most", list(COLUMNS))
    for loss in ("softmax", "hinge"):
        run = report[loss]
        span = f"{number(run['min'])} - {number(run['max'])}"
        name = f"colinear, {loss} ({run['passes']} passes)"
        table.add(name, len(run["points"]), number(run["median"]), span, run["n"], f"{_largest_gap(run['points']):.1e}")
    for name, run in report["peers"].items():
        gap = f"{run['independent_relative_gap']:.1e}" if "independent_relative_gap" in run else ""
        if "median" in run:
            span = f"{number(run['min'])} - {number(run['max'])}" if run["n"] > 1 else ""
            table.add(name, 1, number(run["median"]), span, run["n"], gap)
        elif "stopped_after_seconds" in run:
            table.add(name, 1, f"> {run['stopped_after_seconds']:g}", "stopped at the limit", 1, "")
        else:
            table.add(name, 1, "", "not installed" if "not_installed" in run else "failed", "", "")
    return table
