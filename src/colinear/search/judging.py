"""How a search compares candidates: their accuracy, and the metric it selects by, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colinear.datasets.base import Dataset, sample_weights
from colinear.datasets.features import Features
from colinear.metrics import METRICS, Measured, Metric, Rows
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.solvers.journal import Journal, Parts, UnreadableError, take

ACCURACY = METRICS["accuracy"]


@dataclass(frozen=True)
class Judged:
    """Of k candidates on some rows: accuracies, values of the metric, and the standard errors of these if asked for.

    own : whether the metric says anything but the accuracy: another one, or one of weighted rows.
    """

    accuracies: list[float]
    scores: list[float]
    errors: list[float]
    own: bool

    def extra(self, number: int) -> float | None:
        """The score of a candidate where it is not its accuracy."""
        return self.scores[number] if self.own else None


def judge(features: Features, coef: Tensor, metric: Metric, group: Group = ALONE, *, error: bool = False) -> Judged:
    """Judge weights (k, c, d) on the rows of all processes of the group. Accuracies count rows, scores weigh them."""
    rows = judged_rows(Objective(features, group=group))
    own = metric_is_own(metric, features.dataset)
    plain = Rows(rows.scores, rows.labels, group=group)
    counted = ACCURACY.measure(plain, coef, error=error and not own)
    found = metric.measure(rows, coef, error=error) if own else counted
    errors = [] if found.error is None else found.error.tolist()
    return Judged(counted.value.tolist(), found.value.tolist(), errors, own)


def judge_once(
    features: Features, coef: Tensor, metric: Metric, group: Group, journal: Journal, *, error: bool = False
) -> Judged:
    """`judge`, noted in a journal: a run that goes on takes what it noted."""

    def look() -> Parts:
        judged = judge(features, coef, metric, group, error=error)
        noted = {"accuracies": judged.accuracies, "scores": judged.scores, "errors": judged.errors}
        return {name: torch.tensor(values, dtype=torch.float64) for name, values in noted.items()}, {}

    found, _ = journal.step(look)
    k = (len(coef),)
    accuracies, scores = (take(found, name, torch.float64, k) for name in ("accuracies", "scores"))
    errors = take(found, "errors", torch.float64, k if error else (0,))
    if not bool(((accuracies >= 0) & (accuracies <= 1)).all()):
        raise UnreadableError("it has shares that are none")
    return Judged(accuracies.tolist(), scores.tolist(), errors.tolist(), metric_is_own(metric, features.dataset))


def metric_is_own(metric: Metric, dataset: Dataset) -> bool:
    """Whether its values on these rows are other than the accuracies that every trial has."""
    return metric is not ACCURACY or sample_weights(dataset) is not None


def judged_rows(objective: Objective, folds: Tensor | None = None) -> Rows:
    """The rows of an objective as a metric takes them, with their sample weights."""
    features = objective.features
    weights = sample_weights(features.dataset)
    return Rows(objective.scores, features.labels, weights, folds, objective.group)


def judge_folds(objective: Objective, coef: Tensor, folds: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    """Values of weights (k, f, c, d) on the rows of fold 0, ..., f - 1, (k, f) float64, and the folds' weights (f,)."""
    k, f = coef.shape[:2]
    rows = judged_rows(objective, folds.to(objective.features.device))
    held = torch.arange(f, device=coef.device).repeat(k)
    found: Measured = metric.measure(rows, coef.flatten(0, 1), held)
    here = slice(0, objective.features.n_samples)
    weights = rows.weigh(here, held[:f]).sum(1)
    objective.group.sum_(weights)
    return found.value.view(k, f), weights


def weigh_rows(dataset: Dataset, class_weight: Sequence[float] | None) -> Tensor | None:
    """What each row counts in training, (n,) float64: its sample weight times its class's; None where all are equal."""
    weights, labels = sample_weights(dataset), dataset.labels
    if class_weight is None:
        return weights
    of_class = torch.tensor(class_weight, dtype=torch.float64, device=labels.device)[labels]
    return of_class if weights is None else weights * of_class


def score_of(trial: Mapping[str, Any], part: str = "val") -> float | None:
    """What a trial of results.json has of the metric on its 'val' or 'train' rows: its own number, or the accuracy."""
    value: float | None = trial.get(f"{part}_score", trial[f"{part}_accuracy"])
    return value
