"""What a metric is to whoever asks it: a name, which direction is better, and values with errors for many candidates.

A metric sees scores, labels and weights of rows, chunk by chunk, and knows nothing of features or losses; searches,
tables and reports know a metric by this alone. Labels are (n,) int64 classes, or (n, c) int8 with 1, 0, and -1 where it
is not known whether the class applies.

    error = sqrt(sum_i (w_i d value / d w_i)^2)

is the standard error of every value: the infinitesimal jackknife (Efron 1981), which for a share of rows is the usual
sqrt(p (1 - p) / n), for an area under the ROC curve that of DeLong (1988), and needs no draws.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from colinear.checks import InputError, check_weights
from colinear.metrics.shares import Z95, check_scores, wilson_bounds
from colinear.parallel.group import ALONE, Group

Walk = Callable[[Tensor], Iterable[tuple[slice, Tensor]]]
Sees = Literal["labels", "probabilities", "ranks"]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows that candidates are judged on: those of this process of the group.

    scores : weights (k, c, d) of k candidates, perhaps of some classes, -> (row range, scores (k, c, b)) for all rows.
    labels : (n,) or (n, c), see above.     weights : None, or (n,) float64 >= 0.
    folds : None, or (n,) int64: a candidate may be judged on the rows of one fold alone.
    """

    scores: Walk
    labels: Tensor
    weights: Tensor | None = None
    folds: Tensor | None = None
    group: Group = ALONE

    @classmethod
    def of_scores(cls, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Rows:
        """Rows of one candidate whose scores (c, n) stand for its weights."""
        return cls(lambda coef: [(slice(0, scores.shape[1]), coef)], labels, weights)

    def weigh(self, part: slice, held: Tensor | None) -> Tensor:
        """Weights of a range of rows, (b,), or (k, b) where each candidate is judged on a fold of its own."""
        count = part.stop - part.start
        weights = (
            torch.ones(count, dtype=torch.float64, device=self.labels.device)
            if self.weights is None
            else self.weights[part].double()
        )
        if held is None or self.folds is None:
            return weights
        return weights * (self.folds[part] == held.unsqueeze(1))  # (k, b)


@dataclass(frozen=True, eq=False)
class Measured:
    """Of k candidates, (k,) float64: values, and their standard errors where they were asked for.

    rows : (k,), the number of equally weighted rows that say as much: (sum w)^2 / sum w^2 (Kish 1965).
    """

    value: Tensor
    rows: Tensor
    error: Tensor | None = None


@dataclass(frozen=True)
class Estimate:
    """A value, and its 95 % interval over draws of the rows."""

    value: float
    interval: tuple[float, float]


class Metric(ABC):
    """One way to score a classifier.

    name : as the command line has it.     higher : whether more is better.     share : whether values lie in [0, 1].
    sees : what of a calibrated classifier it is asked about: the labels that it gives, its probabilities, or the order
    in which it ranks rows.
    """

    name: ClassVar[str]
    higher: ClassVar[bool] = True
    share: ClassVar[bool] = True
    sees: ClassVar[Sees] = "labels"

    @abstractmethod
    def measure(self, rows: Rows, coef: Tensor, held: Tensor | None = None, *, error: bool = False) -> Measured:
        """Values of the candidates (k, c, d) on `rows`, of all processes.

        held : None, or (k,) int64: the fold that each candidate is judged on.     error : whether errors are wanted.
        """

    def __call__(self, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
        """The value of scores (n, c), float32 or float64, for labels (n,) or (n, c) and weights (n,).

        Raises `InputError` for what does not fit together.
        """
        return float(self._of(scores, labels, weights, error=False).value[0])

    def estimate(self, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Estimate:
        """The same with its interval."""
        return self.settle(self._of(scores, labels, weights, error=True))

    def merit(self, value: float) -> float:
        """A number that is larger the better `value` is; the merit of a merit is the value again."""
        return value if self.higher else -value

    def settle(self, found: Measured) -> Estimate:
        """The value of one candidate and its interval.

        Of a share it is Wilson's, for as many rows as its error stands for (Kott & Carr 1997): it stays in [0, 1], and
        for the accuracy of rows of one weight is that of `wilson_interval`. Of others it is value +- 1.96 error.
        """
        assert found.error is not None
        value, error, rows = float(found.value[0]), float(found.error[0]), float(found.rows[0])
        if not self.share:
            return Estimate(value, (max(0.0, value - Z95 * error), value + Z95 * error))
        if math.isnan(value):
            return Estimate(value, (0.0, 1.0))
        if error > 0 and 0 < value < 1:
            rows = value * (1 - value) / error**2
        return Estimate(value, wilson_bounds(value, rows))

    def _of(self, scores: Tensor, labels: Tensor, weights: Tensor | None, *, error: bool) -> Measured:
        check_judged(scores, labels, weights)
        by_class = scores.mT.contiguous()
        rows = Rows.of_scores(by_class, labels, weights)
        return self.measure(rows, by_class.unsqueeze(0), error=error)


def check_judged(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
    """Raise `InputError` unless scores (n, c), labels and weights of n rows are such as a metric takes."""
    if labels.ndim == 1:
        check_scores(scores, labels)
    else:
        check_scores(scores, torch.zeros(len(scores), dtype=torch.int64, device=scores.device))
        if labels.shape != scores.shape or labels.dtype != torch.int8 or bool(((labels < -1) | (labels > 1)).any()):
            raise InputError(
                f"labels of many classes must be int8 of shape {tuple(scores.shape)}, 1, 0, or -1 where not known; got "
                f"{labels.dtype} of shape {tuple(labels.shape)}."
            )
    if weights is not None:
        check_weights(weights, len(scores))
