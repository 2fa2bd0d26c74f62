"""The winner on the test rows, which nothing before had seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from colinear.datasets.answers import is_right
from colinear.datasets.base import Dataset, sample_weights
from colinear.metrics import (
    METRICS,
    Estimate,
    Metric,
    Rows,
    answer_counts,
    answer_table,
    class_table,
    confusion_matrix,
    wilson_interval,
)
from colinear.metrics.ranked import Ranked
from colinear.model import LinearModel
from colinear.objective import label_rows, score_rows
from colinear.parallel.group import ALONE, Group
from colinear.search.judging import metric_is_own


@dataclass(frozen=True, eq=False)
class TestScore:
    """How many of the test rows a model labels correctly, with which mistakes, and what it has of the run's metric.

    confusion : (c, c) int64, rows = truth; None where rows may have many classes.
    score : None where the metric is the accuracy.
    answers : None, or where rows may have many classes (c, 4) int64, see `answer_counts`: a row is correct where all
    known answers are.
    """

    correct: int
    total: int
    confusion: Tensor | None
    score: Estimate | None = None
    answers: Tensor | None = None

    __test__ = False  # not a test, whatever pytest thinks of the name

    @classmethod
    def of(cls, confusion: Tensor, score: Estimate | None = None) -> TestScore:
        """The score that a confusion matrix (c, c) int64 sums up."""
        return cls(int(confusion.trace()), int(confusion.sum()), confusion, score)

    @classmethod
    def read(cls, entry: dict[str, Any]) -> TestScore | None:
        """The score that an entry of results.json has, None without test rows."""
        value = entry.get("test_score")
        score = None if value is None else Estimate(value, tuple(entry["test_score_ci95"]))
        if entry["confusion_matrix"] is not None:
            return cls.of(torch.tensor(entry["confusion_matrix"], dtype=torch.int64), score)
        if (found := entry.get("test_answers")) is None:
            return None
        return cls(found["correct"], found["rows"], None, score, torch.tensor(found["counts"], dtype=torch.int64))

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.correct, self.total)

    def to_json(self) -> dict[str, Any]:
        """Its part of an entry of results.json."""
        counts = (
            {}
            if self.answers is None
            else {"test_answers": {"correct": self.correct, "rows": self.total, "counts": self.answers.tolist()}}
        )
        return {
            "test_accuracy": self.accuracy,
            "test_accuracy_ci95": list(self.interval),
            "confusion_matrix": None if self.confusion is None else self.confusion.tolist(),
            **counts,
        }

    def class_table(self) -> list[dict[str, Any]]:
        """Rows, recall, precision, F1 and the commonest mistake of each class."""
        if self.confusion is not None:
            return class_table(self.confusion.cpu())
        return [] if self.answers is None else answer_table(self.answers.cpu())


NO_SCORE: dict[str, Any] = {"test_accuracy": None, "test_accuracy_ci95": None, "confusion_matrix": None}


def score_test(model: LinearModel, dataset: Dataset, group: Group = ALONE, metric: Metric | None = None) -> TestScore:
    """Label every row of `dataset`, and of those of the other processes, with the finished model, from raw rows."""
    predicted = label_rows(model, dataset)
    own = metric is not None and metric_is_own(metric, dataset)
    score = measure_model(model, dataset, metric, group) if metric is not None and own else None
    labels = dataset.labels.to(predicted.device)
    if not model.many:
        confusion = confusion_matrix(labels, predicted, model.n_classes)
        group.sum_(confusion)
        return TestScore.of(confusion, score)
    answers, correct = answer_counts(labels, predicted), is_right(predicted.mT.unsqueeze(0), labels).sum()
    rows = torch.tensor(len(labels))
    group.sum_(answers, correct, rows)
    return TestScore(int(correct), int(rows), None, score, answers)


def measure_model(model: LinearModel, dataset: Dataset, metric: Metric, group: Group = ALONE) -> Estimate:
    """What a finished model has of a metric on raw rows, each by its sample weight, with the interval."""
    rows, coef = model_rows(model.seen_by(metric.sees), dataset, group)
    return metric.settle(metric.measure(rows, coef, error=True))


def rank_classes(model: LinearModel, dataset: Dataset, names: Sequence[str]) -> dict[str, list[Estimate | None]]:
    """For each of some metrics of ranks what every class has of it, None of a class without a value."""
    rows, coef = model_rows(model.seen_by("ranks"), dataset)
    return {name: metric.by_class(rows, coef) for name in names if isinstance(metric := METRICS[name], Ranked)}


def model_rows(seen: LinearModel, dataset: Dataset, group: Group = ALONE) -> tuple[Rows, Tensor]:
    """Raw rows as metrics judge them, and what stands for the weights of the model: (1, c, d + 1), the bias last."""

    def walk(coef: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Scores of some classes, whose weights and biases are coef (1, m, d + 1)."""
        names = seen.class_names[: coef.shape[1]]
        part = replace(seen, weight=coef[0, :, :-1], bias=coef[0, :, -1], class_names=names)
        for rows, scores in score_rows(part, dataset):
            yield rows, scores.mT.unsqueeze(0)

    coef = torch.cat((seen.weight, seen.bias.unsqueeze(1)), 1).unsqueeze(0)
    return Rows(walk, dataset.labels, sample_weights(dataset), group=group), coef
