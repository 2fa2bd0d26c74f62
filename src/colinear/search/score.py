"""The winner on the test rows, which nothing before had seen."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from colinear.datasets.base import Dataset
from colinear.metrics import confusion_matrix, wilson_interval
from colinear.model import LinearModel
from colinear.objective import label_rows
from colinear.parallel.group import ALONE, Group


@dataclass(frozen=True, eq=False)
class TestScore:
    """How many of the test rows a model labels correctly, and with which mistakes."""

    correct: int
    total: int
    confusion: Tensor  # (c, c) int64, rows = truth

    __test__ = False  # not a test, whatever pytest thinks of the name

    @classmethod
    def of(cls, confusion: Tensor) -> TestScore:
        """The score that a confusion matrix (c, c) int64 sums up."""
        return cls(int(confusion.trace()), int(confusion.sum()), confusion)

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return wilson_interval(self.correct, self.total)


def score_test(model: LinearModel, dataset: Dataset, group: Group = ALONE) -> TestScore:
    """Label every row of `dataset`, and of those of the other processes, with the finished model, from raw rows."""
    predicted = label_rows(model, dataset)
    confusion = confusion_matrix(dataset.labels.to(predicted.device), predicted, model.n_classes)
    group.sum_(confusion)
    return TestScore.of(confusion)
