"""Problem `wide`: columns with a long spectrum and long rows, a dictionary of whitened patches of CIFAR-10.

The spectrum of a sample that takes in every long row against that of rows drawn all alike, to the same certificates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.machine import now, spread
from benchmarks.methods.ours import solve
from benchmarks.problems import PathProblem
from benchmarks.tables import Table, number, say
from colinear.datasets import ArrayDataset, Dataset, Features, fit_scaling
from colinear.extractors import Patches
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.solvers.path import Path, solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.spectrum import Spectrum, sample_rows, spectrum_size

TOL = 1e-3


@dataclass(frozen=True)
class WideOptions:
    """patches : in the dictionary, four columns each.   limit : of passes for rows drawn all alike."""

    patches: int = 800
    regs: tuple[float, ...] = tuple(np.logspace(-4, -1, 7).tolist())
    limit: int = 300


def run_wide(train: Dataset, options: WideOptions, repeats: int) -> dict[str, Any]:
    """Make the columns, check every certificate, then time both samples in turn."""
    started = now()
    problem = PathProblem("softmax", dictionary(train, options.patches), options.regs, TOL)
    say(f"{problem.train.n_features} columns made in {number(now() - started)} s")
    seconds: dict[str, list[float]] = {"long": [], "alike": []}
    _, path = solve(problem)
    with problem.written() as folder:
        points = problem.judge(folder, path.points)
    for _ in range(repeats):
        took, path = solve(problem)
        seconds["long"].append(took)
        started = now()
        alike = solve_alike(problem, options)
        seconds["alike"].append(now() - started)
        say(f"{path.passes} passes, {number(took)} s; rows all alike {alike.passes}, {number(seconds['alike'][-1])} s")
    arms = {name: spread(values) for name, values in seconds.items()}
    return {
        "rows": problem.train.n_samples, "columns": problem.train.n_features, "tol": TOL, "points": points,
        "sampled_rows": path.details["spectrum"]["rows"],
        "long": {"passes": path.passes, **arms["long"]}, "alike": {"passes": alike.passes, **arms["alike"]},
        "ratio": arms["long"]["median"] / arms["alike"]["median"],
    }  # fmt: skip


def dictionary(train: Dataset, patches: int) -> ArrayDataset:
    """The images' rows in the dictionary, standardized."""
    fitted = Patches(patches).fit(train)
    rows = fitted.transform(train.take(slice(0, train.n_samples)))
    spreads, means = torch.std_mean(rows, 0)
    rows.sub_(means).div_(spreads.clamp(min=torch.finfo(rows.dtype).tiny))
    return ArrayDataset(rows, train.labels, train.class_names, name=f"{patches} patches")


def solve_alike(problem: PathProblem, options: WideOptions) -> Path:
    """The same path with the second moment of as many rows, each as likely as another."""
    features = Features(problem.train, fit_scaling(problem.train))
    objective = Objective(features)
    _, count = spectrum_size(objective)
    began = now()
    moment = objective.second_moment(sample_rows(features.n_samples, count, 0))
    values, vectors = torch.linalg.eigh(moment)
    values = values.flip(0).clamp(min=torch.finfo(values.dtype).eps * float(values[-1]))
    spectrum = Spectrum(values, vectors.flip(1), count, now() - began)
    return solve_path(
        objective, LOSSES[problem.loss], problem.regs, tol=problem.tol, max_passes=options.limit,
        preconditioner=Preconditioner(spectrum),
    )  # fmt: skip


def wide_table(report: dict[str, Any]) -> Table:
    shape = f"{report['rows']:,} x {report['columns']:,}"
    table = Table(f"wide: {shape}", ["sampled rows", "passes", "seconds"])
    for name, title in (("long", "all long ones, some of the others"), ("alike", "each as likely as another")):
        table.add(title, report[name]["passes"], number(report[name]["median"]))
    table.add("ratio", "", f"{report['ratio']:.3g}")
    return table
