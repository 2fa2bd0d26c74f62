"""Metrics that are functions of sums over rows: accuracies, F1 and log loss, for any number of candidates at once.

A row belongs to one class, or has an answer for each class. One class: the label is the class of the largest score, the
lowest on ties. Answers: a class applies where its score is above 0, and what is not known counts nowhere.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from colinear.datasets.answers import is_right
from colinear.metrics.metric import Measured, Metric, Rows, Sees


class Summed(Metric):
    """A metric whose value is `value_of` sums (k, ...) that each row `adds` to."""

    @abstractmethod
    def size(self, n_classes: int) -> tuple[int, ...]:
        """Shape of the sums of one candidate."""

    @abstractmethod
    def adds(self, scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """What rows add, (k, ...) float64: scores (k, c, b), labels (b,) or (b, c), weights (b,) or (k, b)."""

    @abstractmethod
    def value_of(self, sums: Tensor) -> Tensor:
        """Values (k,) float64; NaN where no row counts."""

    @abstractmethod
    def influence(self, scores: Tensor, labels: Tensor, sums: Tensor) -> Tensor:
        """d value / d weight of each row, (k, b) float64."""

    def measure(self, rows: Rows, coef: Tensor, held: Tensor | None = None, *, error: bool = False) -> Measured:
        k, c, _ = coef.shape
        sums = torch.zeros(k, *self.size(c), dtype=torch.float64, device=coef.device)
        total = torch.zeros(2, k, dtype=torch.float64, device=coef.device)
        for part, scores in rows.scores(coef):
            weights = rows.weigh(part, held)
            sums += self.adds(scores, rows.labels[part], weights)
            total[0] += weights.sum(-1)
            total[1] += weights.square().sum(-1)
        rows.group.sum_(sums, total)
        value, count = self.value_of(sums), total[0].square() / total[1]
        return Measured(value, count, self._error(rows, coef, held, sums, value, count) if error else None)

    def _error(
        self, rows: Rows, coef: Tensor, held: Tensor | None, sums: Tensor, value: Tensor, count: Tensor
    ) -> Tensor:
        """A second walk over the rows: what each of them weighs depends on the sums of all."""
        squares = torch.zeros(len(coef), dtype=torch.float64, device=coef.device)
        for part, scores in rows.scores(coef):
            weighed = self.influence(scores, rows.labels[part], sums) * rows.weigh(part, held)
            squares += weighed.square().sum(1)
        rows.group.sum_(squares)
        return squares.sqrt()


class Accuracy(Summed):
    """Share of the rows that get their label, or all of their known answers."""

    name: ClassVar[str] = "accuracy"

    def size(self, n_classes: int) -> tuple[int, ...]:
        return (2,)

    def adds(self, scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        right = is_right(scores, labels)
        return torch.stack(((right * weights).sum(1), weights.sum(-1).expand(len(scores))), 1)

    def value_of(self, sums: Tensor) -> Tensor:
        return sums[:, 0] / sums[:, 1]

    def influence(self, scores: Tensor, labels: Tensor, sums: Tensor) -> Tensor:
        return (is_right(scores, labels).double() - self.value_of(sums).unsqueeze(1)) / sums[:, 1:]

    def _error(
        self, rows: Rows, coef: Tensor, held: Tensor | None, sums: Tensor, value: Tensor, count: Tensor
    ) -> Tensor:
        if rows.weights is None:  # the same number without the walk
            return (value * (1 - value) / count).sqrt()
        return super()._error(rows, coef, held, sums, value, count)


class ByClass(Summed):
    """A metric of four sums for each class: the weight of its rows that were found, of the rows that were called so, of
    its own rows, and of the rows that are asked about it: its own where a row has one class, else those that know.
    """

    def size(self, n_classes: int) -> tuple[int, ...]:
        return 4, n_classes

    def adds(self, scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        k, c, b = scores.shape
        if labels.ndim == 2:
            called, own, known = _answers(scores, labels)
            weighed = weights.unsqueeze(-2)  # (1, b) or (k, 1, b)
            parts = (called & own, called, own, known)
            return torch.stack([(part * weighed).sum(-1).expand(k, c) for part in parts], 1)
        called, each = scores.max(1).indices, weights.expand(k, b)
        first = c * torch.arange(k, device=scores.device).unsqueeze(1)

        def count(classes: Tensor, counted: Tensor) -> Tensor:
            return torch.bincount((first + classes).flatten(), counted.flatten(), k * c).view(k, c)

        own = count(labels.expand(k, b), each)
        return torch.stack((count(called, each * (called == labels)), count(called, each), own, own), 1)

    @abstractmethod
    def slopes(self, sums: Tensor) -> Tensor:
        """d value / d sums, (k, 4, c); 0 where a sum of 0 leaves a class out."""

    def influence(self, scores: Tensor, labels: Tensor, sums: Tensor) -> Tensor:
        slopes = self.slopes(sums)
        if labels.ndim == 2:
            called, own, known = _answers(scores, labels)
            parts = zip((called & own, called, own, known), slopes.unbind(1), strict=True)
            return torch.stack([(part * slope.unsqueeze(2)).sum(1) for part, slope in parts]).sum(0)
        found, given, own, known = slopes.unbind(1)
        called = scores.max(1).indices  # (k, b)
        truth = labels.expand_as(called)
        return (called == truth) * found.gather(1, truth) + given.gather(1, called) + (own + known).gather(1, truth)


class BalancedAccuracy(ByClass):
    """Mean recall over the classes that have rows. With an answer for each class: the mean over classes of the mean
    recall of both answers, each where there are rows of it.
    """

    name: ClassVar[str] = "balanced-accuracy"

    def value_of(self, sums: Tensor) -> Tensor:
        found, called, own, known = sums.unbind(1)
        others = known - own
        share = self._share(sums)
        return (share * (_ratio(found, own) + _ratio(others - called + found, others))).sum(1) + _none(share)

    def slopes(self, sums: Tensor) -> Tensor:
        found, called, own, known = sums.unbind(1)
        others = known - own
        wrong = _ratio(_ratio(called - found, others), others)
        parts = (
            _ratio(torch.ones_like(own), own) + _ratio(torch.ones_like(own), others),
            -_ratio(torch.ones_like(own), others),
            -_ratio(_ratio(found, own), own) - wrong,
            wrong,
        )
        return torch.stack(parts, 1) * self._share(sums).unsqueeze(1)

    def _share(self, sums: Tensor) -> Tensor:
        """What one recall of each class counts in the mean, (k, c)."""
        _, _, own, known = sums.unbind(1)
        recalls = (own > 0).double() + (known > own).double()
        return _ratio(_ratio((recalls > 0).double(), recalls), (recalls > 0).sum(1, keepdim=True).double())


class MacroF1(ByClass):
    """Mean F1 over the classes that have rows or were called: 2 found / (called + own)."""

    name: ClassVar[str] = "macro-f1"

    def value_of(self, sums: Tensor) -> Tensor:
        found, called, own, _ = sums.unbind(1)
        share = self._share(sums)
        return (share * _ratio(2 * found, called + own)).sum(1) + _none(share)

    def slopes(self, sums: Tensor) -> Tensor:
        found, called, own, _ = sums.unbind(1)
        share = self._share(sums)
        less = -_ratio(_ratio(2 * found, called + own), called + own) * share
        return torch.stack((2 * _ratio(share, called + own), less, less, torch.zeros_like(less)), 1)

    def _share(self, sums: Tensor) -> Tensor:
        seen = (sums[:, 1] + sums[:, 2] > 0).double()
        return _ratio(seen, seen.sum(1, keepdim=True))


class MicroF1(ByClass):
    """F1 of the sums over classes; where a row has one class it is the accuracy."""

    name: ClassVar[str] = "micro-f1"

    def value_of(self, sums: Tensor) -> Tensor:
        found, called, own, _ = sums.sum(2).unbind(1)
        return 2 * found / (called + own)

    def slopes(self, sums: Tensor) -> Tensor:
        whole = sums[:, 1:3].sum((1, 2)).view(-1, 1, 1)
        less = -self.value_of(sums).view(-1, 1, 1) / whole
        return torch.cat((2 / whole, less, less, torch.zeros_like(less)), 1).expand_as(sums)


class LogLoss(Summed):
    """Mean cross-entropy -log p of the softmax of a row's scores at its class; with an answer for each class the sum of
    -log p over its known answers, p the sigmoid of a score. Scores of a hinge are no log-probabilities, and look bad.
    """

    name: ClassVar[str] = "log-loss"
    higher: ClassVar[bool] = False
    share: ClassVar[bool] = False
    sees: ClassVar[Sees] = "probabilities"

    def size(self, n_classes: int) -> tuple[int, ...]:
        return (2,)

    def adds(self, scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        losses = _log_losses(scores, labels)
        return torch.stack(((losses * weights).sum(1), weights.sum(-1).expand(len(scores))), 1)

    def value_of(self, sums: Tensor) -> Tensor:
        return sums[:, 0] / sums[:, 1]

    def influence(self, scores: Tensor, labels: Tensor, sums: Tensor) -> Tensor:
        return (_log_losses(scores, labels) - self.value_of(sums).unsqueeze(1)) / sums[:, 1:]


def _answers(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of rows with answers (b, c): called (k, c, b), own (c, b), known (c, b); what is not known is neither of both."""
    known = (labels >= 0).mT
    return (scores > 0) & known, (labels > 0).mT, known


def _log_losses(scores: Tensor, labels: Tensor) -> Tensor:
    """(k, b) float64."""
    scores = scores.double()
    if labels.ndim == 1:
        index = labels.expand(len(scores), 1, -1)
        return scores.logsumexp(1) - scores.gather(1, index).squeeze(1)
    known = (labels >= 0).mT
    signed = torch.where((labels > 0).mT, scores, -scores)
    return (-torch.nn.functional.logsigmoid(signed) * known).sum(1)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, 0 where whole is 0."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)


def _none(share: Tensor) -> Tensor:
    """NaN (k,) where no class counts, else 0."""
    return torch.where((share > 0).any(1), 0.0, torch.nan).double()
