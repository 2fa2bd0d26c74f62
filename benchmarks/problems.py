"""The problems: data, settings, and the metric that judges an answer. A method only solves."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.certificates import CERTIFICATES, Floats, Labels, hinge_certificate, write_rows
from colinear.datasets import Dataset, Features, Split, fit_scaling
from colinear.search.candidates import Candidate, draw_candidates
from colinear.search.settings import BOTH, COURSE_BATCH
from colinear.solvers.solution import PathPoint

AGREEMENT = 1e-5  # relative; K candidates at once and each alone differ by rounding only
OBJECTIVE_AGREEMENT = 1e-6  # relative; the package's objective and the independent one are of the same rows
# what a recomputed gap may exceed tol by: smooth gaps are exact, a hinge's dual point is searched for anew
RESOLUTION = {"softmax": 1e-6, "hinge": 1e-2, "logistic": 1e-6, "squared-hinge": 1e-6}


class WrongAnswerError(Exception):
    """An answer failed its check: nothing is timed."""


@dataclass(frozen=True)
class CourseSearch:
    """The course's random search: hinge and softmax, 50 (learning rate, reg) settings, 5,000 steps each.

    Metric: wall seconds of the whole search, and the best accuracy on the validation rows.
    """

    split: Split
    candidates: int = 50
    steps: int = 5000
    seed: int = 0

    @property
    def losses(self) -> tuple[str, ...]:
        return BOTH

    @property
    def settings(self) -> tuple[Candidate, ...]:
        return tuple(draw_candidates(self.candidates, (1e-4, 1e-1), (1e-3, 1.0), self.seed))

    @property
    def runs(self) -> int:
        """Steps of one loss if candidates are trained one after another."""
        return self.candidates * self.steps

    def batch(self, loss: str) -> int:
        return COURSE_BATCH[loss]

    def features(self) -> tuple[Features, Features]:
        """Training and validation rows as a fresh search sees them: the statistics are computed anew."""
        scaling = fit_scaling(self.split.train)
        return Features(self.split.train, scaling), Features(self.split.validation, scaling)

    def check(self, differences: dict[str, list[float]]) -> None:
        """Refuse weights that depend on how many candidates were trained beside them."""
        for loss, values in differences.items():
            if not max(values) <= AGREEMENT:
                raise WrongAnswerError(f"{loss}: K at once and alone differ by {max(values):.1e}, over {AGREEMENT:g}.")


@dataclass(frozen=True)
class PathProblem:
    """One loss at several strengths; the relative duality gap of each must reach `tol`.

    Metric: wall seconds from raw rows to the last certificate.   single : the strength that peers are given.
    """

    loss: str
    train: Dataset
    regs: tuple[float, ...]
    tol: float
    single: float = 1e-3

    @property
    def labels(self) -> Labels:
        labels: Labels = self.train.labels.cpu().numpy()
        return labels

    @contextmanager
    def written(self) -> Iterator[Path]:
        """A temporary folder with labels.npy and the rows in float64 and float32, made by numpy alone."""
        with tempfile.TemporaryDirectory(prefix="colinear-bench-") as name:
            folder = Path(name)
            write_rows(self.train, folder / "float64.npy", np.float64)
            write_rows(self.train, folder / "float32.npy", np.float32)
            np.save(folder / "labels.npy", self.labels)
            yield folder

    def certify(self, folder: Path, coef: Any, reg: float, slopes: Any = None) -> tuple[float, float]:
        """(objective, relative gap) of weights (c, d), recomputed in float64 by numpy.

        slopes : (c, n), a hinge's dual point, where the solver has its own.
        """
        rows: Floats = np.load(folder / "float64.npy", mmap_mode="r")
        if slopes is not None:
            return hinge_certificate(rows, self.labels, coef, reg, slopes)
        return CERTIFICATES[self.loss](rows, self.labels, coef, reg)

    def judge(self, folder: Path, points: tuple[PathPoint, ...]) -> list[dict[str, Any]]:
        """Recompute every certificate; refuse points that did not get where they say they did."""
        judged = []
        for point in points:
            slopes = None if point.slopes is None else point.slopes.cpu().numpy()
            objective, gap = self.certify(folder, point.coef.cpu().numpy(), point.reg, slopes)
            judged.append(
                {
                    "reg": point.reg, "status": point.status.key, "passes": point.passes,
                    "objective": point.objective, "relative_gap": point.relative_gap,
                    "independent_objective": objective, "independent_relative_gap": gap,
                }
            )  # fmt: skip
            if abs(objective / point.objective - 1) > OBJECTIVE_AGREEMENT:
                raise WrongAnswerError(f"{self.loss}, reg {point.reg:g}: objective {point.objective} is {objective}.")
            if not (point.relative_gap <= self.tol and gap <= self.tol * (1 + RESOLUTION[self.loss])):
                raise WrongAnswerError(
                    f"{self.loss}, reg {point.reg:g}: relative gap {point.relative_gap:.2e}, recomputed {gap:.2e}, "
                    f"is over {self.tol:g}."
                )
        return judged


def softmax_path(train: Dataset) -> PathProblem:
    return PathProblem("softmax", train, tuple(np.logspace(-5, -1, 9).tolist()), 1e-3)


def hinge_path(train: Dataset) -> PathProblem:
    return PathProblem("hinge", train, tuple(np.logspace(-3, 0, 7).tolist()), 5e-3)
