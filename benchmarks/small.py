"""Problem `small`: one fit of a small table, against scikit-learn's, where fixed costs rule.

Iris, wine, breast cancer and the digits, columns standardized, and 20 tables drawn at random: 50 to 2,000 rows, 2 to 50
columns, 2 to 10 classes. Every certificate is recomputed in numpy before anything is timed; then fits alternate, and a
ratio is that of the medians of processor seconds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from benchmarks.certificates import CERTIFICATES, Floats, Labels, hinge_certificate
from benchmarks.problems import OBJECTIVE_AGREEMENT, RESOLUTION, WrongAnswerError
from benchmarks.tables import Table, number, say
from colinear import HingeClassifier, SoftmaxClassifier
from colinear.datasets import ArrayDataset, Features
from colinear.datasets.features import Scaling
from colinear.losses import Hinge
from colinear.objective import Objective
from colinear.solvers import solve_path

REAL = ("iris", "wine", "breast_cancer", "digits")
RANDOM = 20
TIMED = "fit only, float64 rows in memory, processor seconds of the process, C = 1, tol as it is by default"
METHODS: dict[str, tuple[type, dict[str, Callable[[], Any]]]] = {
    "softmax": (SoftmaxClassifier, {"LogisticRegression": LogisticRegression}),
    "hinge": (
        HingeClassifier,
        {"LinearSVC, Crammer-Singer": lambda: LinearSVC(multi_class="crammer_singer"), "LinearSVC": LinearSVC},
    ),
}


@dataclass(frozen=True)
class SmallProblem:
    """A table of rows (n, d) float64 and labels (n,) from 0."""

    name: str
    rows: Floats
    labels: Labels

    def check(self, loss: str, model: Any) -> float:
        """The relative gap of a fitted model, recomputed; refused if it is over the model's tolerance."""
        coef, constant = model.coef_, model.intercept_
        if len(coef) == 1:  # of two classes the difference
            coef, constant = np.vstack((-coef, coef)) / 2, np.append(-constant, constant) / 2
        rows, weights = np.column_stack((self.rows, np.ones(len(self.rows)))), np.column_stack((coef, constant))
        if loss == "hinge":
            objective, gap = hinge_certificate(rows, self.labels, weights, model.reg_, self.slopes(model))
        else:
            objective, gap = CERTIFICATES[loss](rows, self.labels, weights, model.reg_)
        if abs(objective / model.objective_ - 1) > OBJECTIVE_AGREEMENT:
            raise WrongAnswerError(f"{self.name}, {loss}: objective {model.objective_} is {objective}.")
        if not (model.relative_gap_ <= model.tol and gap <= model.tol * (1 + RESOLUTION[loss])):
            raise WrongAnswerError(
                f"{self.name}, {loss}: relative gap {model.relative_gap_:.2e}, recomputed {gap:.2e}, is over "
                f"{model.tol:g}."
            )
        return gap

    def slopes(self, model: Any) -> Floats | None:
        """The dual point of a fitted hinge, which an estimator does not keep, from the same problem solved again."""
        names = tuple(map(str, model.classes_))
        data = ArrayDataset(torch.from_numpy(self.rows), torch.from_numpy(self.labels).long(), names)
        as_they_are = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(self.rows.shape[1]).double(), bias=1.0)
        objective = Objective(Features(data, as_they_are, torch.float64))
        slopes = solve_path(objective, Hinge(), [model.reg_], tol=model.tol).points[0].slopes
        return None if slopes is None else slopes.numpy()


def small_problems(count: int = RANDOM, seed: int = 0) -> list[SmallProblem]:
    """The four tables of scikit-learn, and `count` random ones of noisy linear classes."""
    problems = []
    for name in REAL:
        rows, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
        problems.append(SmallProblem(name, StandardScaler().fit_transform(rows), labels))
    rng = np.random.default_rng(seed)
    for number_ in range(count):
        n, d = (int(np.exp(rng.uniform(*np.log(ends)))) for ends in ((50, 2000), (2, 50)))
        c = int(rng.integers(2, 11))
        weights, rows = rng.normal(size=(c, d)), rng.normal(size=(n, d))
        noise = rng.gumbel(size=(n, c)) * np.sqrt(d) * rng.uniform(0.1, 1)
        labels = np.unique((rows @ weights.T + noise).argmax(1), return_inverse=True)[1]
        problems.append(SmallProblem(f"random {number_}", rows, labels))
    return problems


def run_small(repeats: int, count: int = RANDOM) -> dict[str, Any]:
    """Check every fit, then time each beside the peers', and report as JSON-able values."""
    problems = small_problems(count)
    report: dict[str, Any] = {"timed": TIMED, "repeats": repeats}
    for loss, (ours, peers) in METHODS.items():
        runs = [_run(problem, loss, ours, peers, repeats) for problem in problems]
        ratios = {name: [run["ratios"][name] for run in runs] for name in peers}
        summary = {name: {"median": median(values), "worst": max(values)} for name, values in ratios.items()}
        report[loss] = {"runs": runs, "ratios": summary}
    return report


def _run(
    problem: SmallProblem, loss: str, ours: type, peers: dict[str, Callable[[], Any]], repeats: int
) -> dict[str, Any]:
    model = ours().fit(problem.rows, problem.labels)
    gap = problem.check(loss, model)
    makers: dict[str, Callable[[], Any]] = {"colinear": ours, **peers}
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers that stop at their limits say so
        for _ in range(repeats):
            for name, make in makers.items():
                started = time.process_time()
                make().fit(problem.rows, problem.labels)
                seconds[name].append(time.process_time() - started)
    medians = {name: median(values) for name, values in seconds.items()}
    ratios = {name: medians["colinear"] / medians[name] for name in peers}
    (n, d), c = problem.rows.shape, len(model.classes_)
    say(f"{problem.name}, {loss}: {number(1e3 * medians['colinear'])} ms, {model.path_.passes} passes, gap {gap:.1e}")
    return {
        "name": problem.name, "rows": n, "features": d, "classes": c, "passes": model.path_.passes,
        "relative_gap": model.relative_gap_, "independent_relative_gap": gap, "seconds": medians, "ratios": ratios,
    }  # fmt: skip


def small_tables(report: dict[str, Any]) -> list[Table]:
    tables = []
    for loss, (_, peers) in METHODS.items():
        table = Table(
            f"{loss}: milliseconds of a fit", ["table", "n x d x c", "colinear", *peers, *("ratio",) * len(peers)]
        )
        for run in report[loss]["runs"]:
            times = [number(1e3 * seconds) for seconds in run["seconds"].values()]
            shape = f"{run['rows']} x {run['features']} x {run['classes']}"
            table.add(run["name"], shape, *times, *(f"{ratio:.2f}" for ratio in run["ratios"].values()))
        for what in ("median", "worst"):
            ratios = [f"{report[loss]['ratios'][name][what]:.2f}" for name in peers]
            table.add(what, *("",) * (2 + len(peers)), *ratios)
        tables.append(table)
    return tables
