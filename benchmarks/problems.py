"""The problems: data, settings, and the metric that judges an answer. A method only solves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from colinear.datasets import Features, Split, fit_scaling, open_split
from colinear.search.candidates import Candidate, draw_candidates
from colinear.search.settings import COURSE_BATCH


@dataclass(frozen=True)
class CourseSearch:
    """The course's random search: both losses, 50 (learning rate, reg) settings, 5,000 steps each."""

    split: Split
    candidates: int = 50
    steps: int = 5000
    seed: int = 0
    batches = COURSE_BATCH

    @cached_property
    def features(self) -> tuple[Features, Features]:
        scaling = fit_scaling(self.split.train)
        return Features(self.split.train, scaling), Features(self.split.validation, scaling)

    @property
    def settings(self) -> tuple[Candidate, ...]:
        return tuple(draw_candidates(self.candidates, (1e-4, 1e-1), (1e-3, 1.0), self.seed))


@dataclass(frozen=True)
class PathProblem:
    """One loss at several strengths; every relative gap must reach `tol`."""

    split: Split
    loss: str
    regs: tuple[float, ...]
    tol: float
    single: float = 1e-3  # the strength that peers, which solve one at a time, are given

    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Scaled features with the constant column, float64 (n, d), and labels: what every peer is handed."""
        train = self.split.train
        features = Features(train, fit_scaling(train), torch.float64)
        rows = np.empty((train.n_samples, features.n_features))
        for part, chunk in features.chunks():
            rows[part] = chunk.numpy()
        return rows, train.labels.numpy()

    def certify(self, coef: np.ndarray, reg: float) -> tuple[float, float]:
        """(objective, relative gap) of softmax weights (c, d), in float64 numpy, apart from the package's own code.

        gap = |gradient|^2 / (4 reg) for the objective mean cross-entropy + reg |W|^2.
        """
        rows, labels = self.arrays
        scores = rows @ coef.T.astype(np.float64)
        scores -= scores.max(1, keepdims=True)
        index = np.arange(len(labels))
        right = scores[index, labels].copy()
        np.exp(scores, out=scores)
        total = scores.sum(1, keepdims=True)
        objective = float(np.mean(np.log(total[:, 0]) - right) + reg * np.sum(coef.astype(np.float64) ** 2))
        scores /= total
        scores[index, labels] -= 1
        gradient = scores.T @ rows / len(labels) + 2 * reg * coef
        return objective, float(np.sum(gradient**2) / (4 * reg) / objective)


def open_data(name: str) -> Split:
    return open_split(name)
