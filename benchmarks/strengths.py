"""Problem `range`: strengths that find themselves, against named ones, on unit-norm embeddings with planted clusters.

The search without options is held against nine named strengths (the time): those of old, and those about its winner,
which nobody knows before. And against 45 of them (the accuracy).
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.machine import spread
from benchmarks.problems import WrongAnswerError
from benchmarks.tables import Table, number, say
from colinear.datasets import ArrayDataset, Features, Split, fit_scaling
from colinear.datasets.stratified import split_stratified
from colinear.objective import Objective
from colinear.search.path_search import PathSearch
from colinear.search.regs import half_decades, parse_regs
from colinear.search.trials import SearchResult
from colinear.solvers.path import fit_preconditioner

MOST_LOST = 0.002  # validation accuracy below the best of the sweep
NINE = "1e-5:1e-1:9"  # what the softmax tried before ranges found themselves
SWEEP = "1e-7:1e-1:45"


@dataclass(frozen=True)
class RangeOptions:
    """rows, columns, classes : of the embeddings.    clusters : of each class.    noise : norm of what is added to the
    centre of a cluster, whose norm is 1, before rows are divided by theirs.    decay : column j has the scale j^-decay.
    """

    repeats: int = 3
    rows: int = 100_000
    columns: int = 512
    classes: int = 100
    clusters: int = 1
    noise: float = 4.0
    decay: float = 0.25
    loss: str = "softmax"


def plant_clusters(options: RangeOptions, seed: int = 0) -> Split:
    """Rows of norm 1 about random centres, in training and validation parts of 4 to 1."""
    draw = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, options.columns + 1).pow(-options.decay)
    unit = torch.nn.functional.normalize
    centres = unit(torch.randn(options.classes * options.clusters, options.columns, generator=draw) * scale)
    members = torch.randint(len(centres), (options.rows,), generator=draw)
    rows = torch.randn(options.rows, options.columns, generator=draw).mul_(scale * options.noise / scale.norm())
    labels, names = members % options.classes, tuple(map(str, range(options.classes)))
    data = ArrayDataset(unit(rows.add_(centres[members])), labels, names, name="planted")
    train, validation = (data.subset(part) for part in split_stratified(labels, (0.8, 0.2), seed))
    return Split(train, validation, None)


def run_range(options: RangeOptions) -> dict[str, Any]:
    """Both timed in turns, then the sweep once. Raises `WrongAnswerError` where the range found loses or ends badly."""
    split = plant_clusters(options)
    scaling = fit_scaling(split.train)
    train, validation = Features(split.train, scaling), Features(split.validation, scaling)
    auto = PathSearch(options.loss).run(train, validation)
    middle = round(2 * math.log10(auto.winner.reg))
    regs = {"auto": None, "nine of old": parse_regs(NINE, 1), "nine about it": half_decades(middle - 4, 9)}
    seconds: dict[str, list[float]] = {name: [] for name in regs}
    found: dict[str, SearchResult] = {}
    for turn in range(options.repeats):
        for name, named in regs.items():
            started = time.perf_counter()
            found[name] = PathSearch(options.loss, named).run(train, validation)
            seconds[name].append(time.perf_counter() - started)
            say(f"round {turn + 1}: {name}, {number(seconds[name][-1])} s, {describe(found[name])}")
    shared = fit_preconditioner(Objective(train))
    sweep = PathSearch(options.loss, parse_regs(SWEEP, 1)).run(train, validation, preconditioner=shared)
    say(f"45 strengths: {describe(sweep)}")
    if auto.details["range"]["winner_at"] is not None:
        raise WrongAnswerError(f"the winner, reg {auto.winner.reg:g}, is at an end of the range.")
    lost = sweep.winner.val_accuracy - auto.winner.val_accuracy
    if lost > MOST_LOST:
        raise WrongAnswerError(f"the range found loses {lost:.4f} validation accuracy to the best of the sweep.")
    return {
        "what": f"{options.loss}, {options.rows:,} x {options.columns} rows of norm 1, {options.classes} classes of "
        f"{options.clusters} clusters, noise {options.noise:g}, decay {options.decay:g}",
        "searches": {name: {**spread(seconds[name]), **summary(found[name])} for name in regs},
        "sweep": {"named": SWEEP, **summary(sweep)}, "lost": lost,
        "times_nine": {
            name: statistics.median(mine / theirs for mine, theirs in zip(seconds["auto"], seconds[name], strict=True))
            for name in regs if name != "auto"
        },
    }  # fmt: skip


def summary(result: SearchResult) -> dict[str, Any]:
    return {
        "winner": result.winner.reg, "validation": result.winner.val_accuracy, "passes": result.details["passes"],
        "range": result.details["range"],
        "strengths": [[trial.reg, trial.val_accuracy, trial.passes] for trial in result.trials],
    }  # fmt: skip


def describe(result: SearchResult) -> str:
    winner = result.winner
    tried = f"{len(result.trials)} strengths, {result.details['passes']} passes"
    return f"{tried}, reg {winner.reg:.2g}: {winner.val_accuracy:.4f}"


def range_table(report: dict[str, Any]) -> Table:
    table = Table(f"range: {report['what']}", ["strengths", "seconds", "auto / it", "passes", "reg", "validation"])
    for name, one in [*report["searches"].items(), (f"45, {report['sweep']['named']}", report["sweep"])]:
        ratio = report["times_nine"].get(name)
        table.add(
            name, number(one["median"]) if "median" in one else "", "" if ratio is None else number(ratio),
            one["passes"], f"{one['winner']:.2g}", f"{one['validation']:.4f}",
        )  # fmt: skip
    return table
