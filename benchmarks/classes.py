"""Problem `classes`: a path of many classes, against nothing but the matrix products that its passes are made of.

Planted: unit rows around a centre for each class, whose spread falls with the square root of the direction's number, in
a rotated basis; 2 % of the labels are drawn anew. Certificates are recomputed before anything counts.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.machine import now, spread
from benchmarks.methods.ours import solve
from benchmarks.problems import PathProblem
from benchmarks.tables import Table, number, say
from colinear.datasets import ArrayDataset
from colinear.datasets.features import CHUNK_ROWS

NOISE = 2.5  # of a row around its centre, in units of the centres' own spread
REDRAWN = 0.02  # share of labels
PRODUCT_PASSES = 3  # timed at once


@dataclass(frozen=True)
class ClassesOptions:
    """Size of the problem: rows, columns beside the bias, classes, and the strengths, evenly spaced in log reg."""

    rows: int = 70_000
    columns: int = 512
    classes: int = 1000
    strengths: int = 7
    range: tuple[float, float] = (1e-8, 1e-5)

    @property
    def regs(self) -> tuple[float, ...]:
        return tuple(np.geomspace(*self.range, self.strengths).tolist())


def planted(options: ClassesOptions, seed: int = 0) -> ArrayDataset:
    n, d, c = options.rows, options.columns, options.classes
    drawn = np.random.default_rng(seed)
    falling = np.arange(1, d + 1, dtype=np.float32) ** -0.5
    basis = np.linalg.qr(drawn.standard_normal((d, d)))[0].astype(np.float32)
    centres = drawn.standard_normal((c, d), dtype=np.float32) * falling
    labels = drawn.permutation(np.arange(n) % c)
    rows = centres[labels] + NOISE * falling * drawn.standard_normal((n, d), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = np.where(drawn.random(n) < REDRAWN, drawn.integers(0, c, n), labels)
    names = tuple(f"class {number}" for number in range(c))
    return ArrayDataset(torch.from_numpy(rows @ basis), torch.from_numpy(labels), names, name="planted classes")


def run_classes(options: ClassesOptions, repeats: int) -> dict[str, Any]:
    """Solve, recompute the certificates, solve again, with the products timed before and after each."""
    problem = PathProblem("softmax", planted(options), options.regs, 1e-3)
    products, seconds = [_pass_of_products(options)], []
    points: list[dict[str, Any]] = []
    for _ in range(repeats):
        took, path = solve(problem)
        seconds.append(took)
        products.append(_pass_of_products(options))
        say(f"{number(took)} s, {path.passes} passes of {number(products[-1])} s of products")
        if not points:
            with problem.written() as folder:
                points = problem.judge(folder, path.points)
            say(f"{len(points)} certificates recomputed")
    passes, alone = sum(point["passes"] for point in points), statistics.median(products)
    flops = 4.0 * options.rows * (options.columns + 1) * options.classes
    return {
        "rows": options.rows, "columns": options.columns + 1, "classes": options.classes, "tol": problem.tol,
        "passes": passes, **spread(seconds),
        "products": {**spread(products), "gflops": flops / alone / 1e9, "of_all_passes": passes * alone},
        "ratio": statistics.median(seconds) / (passes * alone), "points": points,
    }  # fmt: skip


def _pass_of_products(options: ClassesOptions) -> float:
    """Seconds of the two float32 products of a pass of one strength, alone, chunk by chunk."""
    d, c = options.columns + 1, options.classes
    rows, coef = torch.randn(CHUNK_ROWS, d), torch.randn(c, d)
    scores, gradient = torch.empty(c, CHUNK_ROWS), torch.zeros(c, d)
    started, count = now(), math.ceil(options.rows / CHUNK_ROWS)
    for _ in range(PRODUCT_PASSES * count):
        torch.mm(coef, rows.mT, out=scores)
        gradient.addmm_(scores, rows)
    return (now() - started) / PRODUCT_PASSES * options.rows / (count * CHUNK_ROWS)


def classes_table(report: dict[str, Any]) -> Table:
    shape = f"{report['rows']:,} x {report['columns']:,}, {report['classes']:,} classes"
    table = Table(f"classes: {shape}", ["what", "passes", "seconds", "relative gap"])
    worst = max(point["independent_relative_gap"] for point in report["points"])
    table.add(f"{len(report['points'])} strengths", report["passes"], number(report["median"]), f"{worst:.1e}")
    table.add("products of these passes alone", report["passes"], number(report["products"]["of_all_passes"]), "")
    table.add("ratio", "", f"{report['ratio']:.3g}", "")
    return table
