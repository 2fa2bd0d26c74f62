"""Problem `course-search`: this package's variants against the course's way and two peers.

Snippets of the baseline are timed before and after every run of a variant, so that drift of the machine shows.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.machine import spread
from benchmarks.methods.course import CourseWay
from benchmarks.methods.loops import autograd_seconds, sklearn_row_seconds
from benchmarks.methods.ours import VARIANTS, differences, search
from benchmarks.problems import CourseSearch
from benchmarks.tables import Table, number, say
from colinear.datasets import Split

WARM_UP_STEPS = 20
SKLEARN_ROWS = 2000


@dataclass(frozen=True)
class SearchOptions:
    """How much is run. baseline_steps : of one candidate, timed and scaled to candidates x steps."""

    candidates: int = 50
    steps: int = 5000
    repeats: int = 3
    baseline_steps: int = 150
    check_steps: int = 300
    variants: tuple[str, ...] = tuple(VARIANTS)


@dataclass
class _Clockings:
    """Everything timed so far. baseline : loss -> seconds of each snippet;  runs : variant -> its runs."""

    baseline: dict[str, list[float]] = field(default_factory=dict)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def run_course_search(split: Split, options: SearchOptions) -> dict[str, Any]:
    """Check, time, and report as JSON-able values."""
    problem = CourseSearch(split, options.candidates, options.steps)
    checked = {loss: differences(problem, loss, options.check_steps) for loss in problem.losses}
    say(f"K at once against alone, relative: {checked}")
    problem.check(checked)
    clockings = _time_variants(problem, options)
    baseline = _baseline(problem, options, clockings)
    return {
        "what": f"{options.candidates} candidates x {options.steps} steps, "
        + " and ".join(f"{loss} (batch {problem.batch(loss)})" for loss in problem.losses),
        "check": {
            "what": f"|W_together - W_alone| / |W_alone|, {options.check_steps} steps, up to 5 candidates",
            "differences": checked,
        },
        "baseline": baseline,
        "variants": {name: _variant(runs, baseline) for name, runs in clockings.runs.items()},
        "peers": _peers(problem, options, baseline["seconds"]),
    }


def _time_variants(problem: CourseSearch, options: SearchOptions) -> _Clockings:
    """Rounds of all variants, a snippet of the baseline between any two runs."""
    way, clockings = CourseWay(problem), _Clockings()
    for loss in problem.losses:
        way.seconds(loss, WARM_UP_STEPS)
    snippet = _snippet(way, options, clockings)
    for turn in range(options.repeats):
        for name in options.variants:
            run = _run(problem, name)
            after = _snippet(way, options, clockings)
            run["baseline_beside"] = (snippet + after) / 2
            clockings.runs.setdefault(name, []).append(run)
            say(f"round {turn + 1}: {name} {number(run['seconds'])} s, baseline {number(run['baseline_beside'])} s")
            snippet = after
    return clockings


def _snippet(way: CourseWay, options: SearchOptions, clockings: _Clockings) -> float:
    """Time the baseline on each loss; return the seconds that both whole searches would take at this pace."""
    total = 0.0
    for loss in way.problem.losses:
        seconds = way.seconds(loss, options.baseline_steps)
        clockings.baseline.setdefault(loss, []).append(seconds)
        total += seconds / options.baseline_steps * way.problem.runs
    return total


def _run(problem: CourseSearch, variant: str) -> dict[str, Any]:
    """One run of a variant, all losses."""
    total, found = search(problem, variant)
    losses = {
        loss: {"seconds": seconds, "best_validation_accuracy": result.winner.val_accuracy}
        for loss, (seconds, result) in found.items()
    }
    return {"seconds": total, "losses": losses}


def _baseline(problem: CourseSearch, options: SearchOptions, clockings: _Clockings) -> dict[str, Any]:
    scale = problem.runs / options.baseline_steps
    losses = {
        loss: {"snippet": spread(values), "seconds": statistics.median(values) * scale}
        for loss, values in clockings.baseline.items()
    }
    return {
        "what": "the course's way: one candidate after another, float64, one .item() a step; training steps only, "
        "its scoring of training and validation rows is not counted",
        "scaled": f"snippets of {options.baseline_steps} steps of one candidate; median x {scale:g} for each loss",
        "losses": losses,
        "seconds": sum(part["seconds"] for part in losses.values()),
    }


def _variant(runs: list[dict[str, Any]], baseline: dict[str, Any]) -> dict[str, Any]:
    """Seconds of all with scaling, subspace, training and scoring, of one loss without what both share; ratios."""
    seconds = spread([run["seconds"] for run in runs])
    losses = {
        loss: {
            **spread([run["losses"][loss]["seconds"] for run in runs]),
            "best_validation_accuracy": runs[0]["losses"][loss]["best_validation_accuracy"],
        }
        for loss in runs[0]["losses"]
    }
    for loss, part in losses.items():
        part["speedup"] = baseline["losses"][loss]["seconds"] / part["median"]
    return {
        **seconds,
        "speedup": baseline["seconds"] / seconds["median"],
        "speedup_to_neighbours": [run["baseline_beside"] / run["seconds"] for run in runs],
        "losses": losses,
    }


def _peers(problem: CourseSearch, options: SearchOptions, baseline: float) -> dict[str, Any]:
    way = CourseWay(problem, torch.float32)
    steps, rows = options.baseline_steps, min(SKLEARN_ROWS, len(way.rows))
    autograd, sgd = {}, {}
    for loss in problem.losses:
        autograd_seconds(way, loss, WARM_UP_STEPS)
        snippets = spread([autograd_seconds(way, loss, steps) for _ in range(options.repeats)])
        autograd[loss] = {"snippet": snippets, "seconds": snippets["median"] / steps * problem.runs}
        a_row = spread([sklearn_row_seconds(way, loss, rows) for _ in range(options.repeats)])
        sgd[loss] = {"row": a_row, "seconds": a_row["median"] * problem.batch(loss) * problem.runs}
    peers: dict[str, dict[str, Any]] = {
        "torch.nn.Linear, autograd": {
            "what": "float32, torch.optim.SGD with weight_decay = 2 reg, one .item() a step",
            "scaled": f"snippets of {steps} steps of one candidate", "losses": autograd,
        },
        "SGDClassifier": {
            "what": "scikit-learn, float32; one-vs-rest with a step for each row, so its losses are not the "
            "multiclass ones: only the pace of taking in rows compares",
            "scaled": f"partial_fit on {rows} rows, per row, to batch x steps x candidates", "losses": sgd,
        },
    }  # fmt: skip
    for peer in peers.values():
        peer["seconds"] = sum(part["seconds"] for part in peer["losses"].values())
        peer["speedup"] = baseline / peer["seconds"]
    return peers


def search_table(report: dict[str, Any]) -> Table:
    losses = list(report["baseline"]["losses"])
    table = Table(
        f"course-search: {report['what']}; * scaled",
        ["method", "seconds", "range", "n", "faster", *(f"validation, {loss}" for loss in losses)],
    )
    base = report["baseline"]
    n = len(base["losses"][losses[0]]["snippet"]["seconds"])
    table.add("the course's way*", number(base["seconds"]), "", n, "1", *["" for _ in losses])
    for name, peer in report["peers"].items():
        repeats = len(next(iter(next(iter(peer["losses"].values())).values()))["seconds"])
        faster = f"{peer['speedup']:.3g}"
        table.add(f"{name}*", number(peer["seconds"]), "", repeats, faster, *["" for _ in losses])
    for name, run in report["variants"].items():
        accuracies = [f"{run['losses'][loss]['best_validation_accuracy']:.4f}" for loss in losses]
        span = f"{number(run['min'])} - {number(run['max'])}"
        table.add(f"colinear, {name}", number(run["median"]), span, run["n"], f"{run['speedup']:.3g} x", *accuracies)
    return table
