"""`python -m benchmarks.run course-search|path [--data cifar10] ...`: check, time, print a table, write a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

import colinear
from benchmarks import search_methods as methods
from benchmarks.peers import NAMES
from benchmarks.problems import CourseSearch, PathProblem, open_data
from colinear.losses import LOSSES
from colinear.solvers import path as path_solver

RESULTS = Path(__file__).parent / "results"
VARIANTS = {"full": (None, None), "halving": (3, None), "subspace": (None, 0.985), "both": (3, 0.985)}


def course_search(options: argparse.Namespace) -> dict[str, Any]:
    """The course's search: this package's variants against the course's way and two peers, both losses together."""
    problem = CourseSearch(open_data(options.data), steps=options.steps)
    agreement = {loss: methods.agreement(problem, loss, min(options.steps, 1000)) for loss in problem.batches}
    print("K at once against each alone, largest relative difference of weights:", agreement, flush=True)
    runs = problem.candidates * problem.steps
    before = _course_baseline(problem, options)
    variants: dict[str, dict[str, Any]] = {}
    for name, (eta, subspace) in VARIANTS.items():
        repeats = [
            {loss: methods.search(problem, loss, eta, subspace) for loss in problem.batches}
            for _ in range(1 if name == "full" else options.repeats)
        ]
        seconds = [sum(result.seconds for result in repeat.values()) for repeat in repeats]
        best = {loss: result.winner.val_accuracy for loss, result in repeats[0].items()}
        variants[name] = {**_spread(seconds), "best_validation_accuracy": best}
        print(f"{name}: {variants[name]}", flush=True)
    after = _course_baseline(problem, options)
    scaled = {
        loss: statistics.median([*before[loss], *after[loss]]) / options.baseline_steps * runs
        for loss in problem.batches
    }
    baseline = sum(scaled.values())
    for variant in variants.values():
        variant["speedup"] = baseline / variant["median"]
    autograd = sum(
        methods.autograd_seconds(problem, loss, options.baseline_steps) / options.baseline_steps * runs
        for loss in problem.batches
    )
    rows = min(2000, problem.split.train.n_samples)
    one_row = {loss: methods.sklearn_seconds(problem, loss, rows) / rows for loss in problem.batches}
    sgd = sum(one_row[loss] * problem.batches[loss] * runs for loss in problem.batches)
    return {
        "problem": f"{problem.candidates} candidates x {problem.steps} steps, hinge and softmax together",
        "agreement": agreement,
        "baseline": {
            "what": f"one candidate after another in float64; {options.baseline_steps} steps timed "
            f"{len(before['hinge'])} times before and after the others, median scaled to {runs} steps a loss",
            "seconds": baseline, "per_loss": scaled, "before": before, "after": after,
        },
        "variants": variants,
        "peers": {
            "torch.nn.Linear, float32, autograd": {"seconds": autograd, "scaled_from_steps": options.baseline_steps},
            "SGDClassifier (one-vs-rest, a row a step)": {"seconds": sgd, "scaled_from_rows": rows},
        },
    }  # fmt: skip


def _course_baseline(problem: CourseSearch, options: argparse.Namespace) -> dict[str, list[float]]:
    timed = {}
    for loss in problem.batches:
        methods.course_seconds(problem, loss, 20)
        timed[loss] = [methods.course_seconds(problem, loss, options.baseline_steps) for _ in range(options.repeats)]
    methods._held.clear()
    return timed


def path(options: argparse.Namespace) -> dict[str, Any]:
    """The regularization path against packages that solve one strength at a time."""
    split = open_data(options.data)
    softmax = PathProblem(split, "softmax", tuple(np.logspace(-5, -1, 9).tolist()), 1e-3)
    hinge = PathProblem(split, "hinge", tuple(np.logspace(-3, 0, 7).tolist()), 5e-3)
    report: dict[str, Any] = {}
    for problem in (softmax, hinge):
        solved = [_solve(problem) for _ in range(options.repeats)]
        points = solved[0].points
        report[problem.loss] = {
            **_spread([run.seconds for run in solved]),
            "setup": statistics.median(run.setup_seconds for run in solved),
            "passes": solved[0].passes,
            "points": [
                {
                    "reg": p.reg, "objective": p.objective, "relative_gap": p.relative_gap, "passes": p.passes,
                    "status": p.status.key,
                }
                for p in points
            ],
        }  # fmt: skip
        if problem.loss == "softmax":
            gaps = [problem.certify(p.coef.numpy(), p.reg)[1] for p in points]
            report["softmax"]["independent_relative_gaps"] = gaps
        print(problem.loss, report[problem.loss], flush=True)
    report["batching"] = _batching(softmax)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, labels = softmax.arrays
        np.save(folder / "features.npy", rows)
        np.save(folder / "labels.npy", labels)
        report["peers"] = {}
        for peer in options.peers:
            report["peers"][peer] = _run_peer(peer, folder, softmax, options)
            print(peer, report["peers"][peer], flush=True)
    one = [p["seconds"] for name, p in report["peers"].items() if name in NAMES[:3] and "seconds" in p]
    if one:
        fastest = min(one)
        ours = report["softmax"]["median"]
        report["ratios"] = {
            "nine strengths here / one strength of the fastest softmax peer": ours / fastest,
            "fastest softmax peer, nine strengths one by one / nine here (9 x its one)": 9 * fastest / ours,
        }
    return report


def _solve(problem: PathProblem) -> path_solver.Path:
    return path_solver.solve_path(problem.split.train, LOSSES[problem.loss], problem.regs, tol=problem.tol)


def _batching(problem: PathProblem) -> dict[str, float]:
    """Seconds when only so many strengths fit in a batch: the rule that cuts a path into groups."""
    train = problem.split.train
    each = (2 * path_solver.MEMORY + 8) * train.n_classes * (train.n_features + 1) * 4
    kept, seconds = path_solver.BATCH_BYTES, {}
    try:
        for width in (1, 3, 9):
            path_solver.BATCH_BYTES = width * each
            seconds[f"{width} at a time"] = _solve(problem).seconds
    finally:
        path_solver.BATCH_BYTES = kept
    return seconds


def _run_peer(peer: str, folder: Path, problem: PathProblem, options: argparse.Namespace) -> dict[str, Any]:
    regs = problem.regs if peer in options.all_strengths else (problem.single,)
    results = []
    for reg in regs:
        command = [sys.executable, "-m", "benchmarks.peers", peer, str(folder), str(reg)]
        try:
            ended = subprocess.run(command, timeout=options.limit, capture_output=True, text=True, check=False)
        except subprocess.TimeoutExpired:
            return {"stopped_at_seconds": options.limit, "reg": reg}
        if ended.returncode:
            return {"failed": ended.stderr.strip().splitlines()[-1:]}
        result = json.loads((folder / f"{peer}.json").read_text())
        if peer in NAMES[:3]:
            result["objective"], result["relative_gap"] = problem.certify(np.load(folder / f"{peer}.npy"), reg)
        results.append({"reg": reg, **result})
    middle = min(results, key=lambda r: abs(r["reg"] - problem.single))
    return middle if len(results) == 1 else {**middle, "all": results, "total": sum(r["seconds"] for r in results)}


def _spread(seconds: list[float]) -> dict[str, Any]:
    return {"n": len(seconds), "median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}


def environment() -> dict[str, Any]:
    """Where and with what the numbers were made."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    cuda = torch.cuda.is_available()
    model = next(
        (line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")), platform.processor()
    )
    return {
        "device": torch.cuda.get_device_name() if cuda else model, "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "python": platform.python_version(), "torch": torch.__version__,
        "numpy": np.__version__, "scikit-learn": sklearn.__version__, "colinear": colinear.__version__,
        "commit": commit.stdout.strip(),
    }  # fmt: skip


def _cpu_lines() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []


PROBLEMS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"course-search": course_search, "path": path}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("problem", nargs="*", choices=[*PROBLEMS, []], help="default: all")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--steps", type=int, default=5000, help="steps of the search")
    parser.add_argument("--baseline-steps", type=int, default=100, help="steps of the baseline that are timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=list(NAMES), choices=NAMES)
    parser.add_argument("--all-strengths", nargs="*", default=[], choices=NAMES, help="peers to run at every strength")
    parser.add_argument("--limit", type=float, default=900, help="seconds a peer may take for one strength")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name in options.problem or PROBLEMS:
        report = {"environment": environment(), "data": options.data, **PROBLEMS[name](options)}
        target = options.out / f"{name}-{device}.json"
        target.write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps(report, indent=2))
        print(f"Written to {target}")


if __name__ == "__main__":
    main()
