"""The winner on the test rows, which nothing before had seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colinear.datasets.answers import is_right
from colinear.datasets.base import Dataset
from colinear.metrics import answer_counts, answer_table, class_table, confusion_matrix, wilson_interval
from colinear.model import LinearModel
from colinear.objective import label_rows
from colinear.parallel.group import ALONE, Group


@dataclass(frozen=True, eq=False)
class TestScore:
    """How many of the test rows a model labels correctly, and with which mistakes.

    confusion : (c, c) int64, rows = truth; None where rows may have many classes.
    answers : None, or of these (c, 4) int64, see `answer_counts`: a row is correct where all known answers are.
    """

    correct: int
    total: int
    confusion: Tensor | None
    answers: Tensor | None = None

    __test__ = False  # not a test, whatever pytest thinks of the name

    @classmethod
    def of(cls, confusion: Tensor) -> TestScore:
        """The score that a confusion matrix (c, c) int64 sums up."""
        return cls(int(confusion.trace()), int(confusion.sum()), confusion)

    @classmethod
    def read(cls, entry: dict[str, Any]) -> TestScore | None:
        """The score that an entry of results.json has, None without test rows."""
        if entry["confusion_matrix"] is not None:
            return cls.of(torch.tensor(entry["confusion_matrix"], dtype=torch.int64))
        if (found := entry.get("test_answers")) is None:
            return None
        return cls(found["correct"], found["rows"], None, torch.tensor(found["counts"], dtype=torch.int64))

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


def score_test(model: LinearModel, dataset: Dataset, group: Group = ALONE) -> TestScore:
    """Label every row of `dataset`, and of those of the other processes, with the finished model, from raw rows."""
    predicted = label_rows(model, dataset)
    labels = dataset.labels.to(predicted.device)
    if not model.many:
        confusion = confusion_matrix(labels, predicted, model.n_classes)
        group.sum_(confusion)
        return TestScore.of(confusion)
    answers, correct = answer_counts(labels, predicted), is_right(predicted.mT.unsqueeze(0), labels).sum()
    rows = torch.tensor(len(labels))
    group.sum_(answers, correct, rows)
    return TestScore(int(correct), int(rows), None, answers)
