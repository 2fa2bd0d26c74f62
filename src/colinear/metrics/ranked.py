"""Metrics of how rows are ranked: average precision and the area under the ROC curve, class by class.

A value needs the scores of a class for all rows at once. They are taken a few classes of one candidate at a time, so
that memory holds `HELD_BYTES` of them, or one class, whatever the number of candidates and classes.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from colinear.metrics.metric import Estimate, Measured, Metric, Rows, Sees

HELD_BYTES = 2**27
BYTES_EACH = 100  # of a score that is ranked: itself, its place, and about ten numbers of 8 bytes beside them


@dataclass(frozen=True, eq=False)
class Ranking:
    """Some classes, each with its rows by falling score.

    order (m, n) int64 : numbers of the rows.     first, last (m, n) int64 : the ends of each row's run of equal scores.
    own, others (m, n) float64 : the weight of a row if it is of the class, and if it is not; 0 where that is not known.
    """

    order: Tensor
    first: Tensor
    last: Tensor
    own: Tensor
    others: Tensor

    @classmethod
    def of(cls, scores: Tensor, own: Tensor, known: Tensor, weights: Tensor) -> Ranking:
        """From scores (m, n), whether a row is of the class and whether that is known (m, n), and weights (n,)."""
        falling, order = scores.sort(dim=1, descending=True, stable=True)
        n = scores.shape[1]
        change = falling[:, 1:] != falling[:, :-1]
        edge = torch.ones_like(change[:, :1])
        place = torch.arange(n, device=scores.device).expand_as(order)
        first = torch.where(torch.cat((edge, change), 1), place, 0).cummax(1).values
        last = torch.where(torch.cat((change, edge), 1), place, n - 1).flip(1).cummin(1).values.flip(1)
        weighed = (weights * known).gather(1, order)
        is_own = own.gather(1, order)
        return cls(order, first, last, weighed * is_own, weighed * ~is_own)

    def above(self, values: Tensor) -> Tensor:
        """Sum of values (m, n) over all rows up to the end of the row's run."""
        return values.cumsum(1).gather(1, self.last)

    def below(self, values: Tensor) -> Tensor:
        """Sum of values (m, n) over all rows from the start of the row's run."""
        return values.flip(1).cumsum(1).flip(1).gather(1, self.first)

    def restore(self, values: Tensor) -> Tensor:
        """Values (m, n) by rows as they were given."""
        return torch.empty_like(values).scatter_(1, self.order, values)


class Ranked(Metric):
    """Mean over the classes of a value of each one's ranking; classes for which it has no value are left out."""

    sees: ClassVar[Sees] = "ranks"

    @abstractmethod
    def judge(self, ranking: Ranking) -> tuple[Tensor, Tensor]:
        """The value of each class, (m,) float64, NaN without one, and its derivative by each row's weight, (m, n)."""

    def measure(self, rows: Rows, coef: Tensor, held: Tensor | None = None, *, error: bool = False) -> Measured:
        labels, weights, folds = _join(rows)
        values, errors, counts = (torch.empty(len(coef), dtype=torch.float64) for _ in range(3))
        for number in range(len(coef)):
            each = weights if held is None or folds is None else weights * (folds == held[number].cpu())
            shares, influence = self._classes(rows, coef[number], labels, each)
            values[number], counts[number] = shares.nanmean(), each.sum().square() / each.square().sum()
            errors[number] = (influence / (~shares.isnan()).sum() * each).square().sum().sqrt()
        values, counts, errors = (part.to(coef.device) for part in (values, counts, errors))
        return Measured(values, counts, errors if error else None)

    def by_class(self, rows: Rows, coef: Tensor) -> list[Estimate | None]:
        """The value of every class and its interval, of one candidate (1, c, d); None of a class without one."""
        labels, each, _ = _join(rows)
        found: list[Estimate | None] = []
        count = each.sum().square() / each.square().sum()
        for number in range(coef.shape[1]):
            scores = _gather(rows, coef[0, number : number + 1])
            [value], [influence] = self.judge(_rank(scores, labels, each, number))
            error = (influence * each).square().sum().sqrt()
            one = Measured(value.view(1), count.view(1), error.view(1))
            found.append(None if bool(value.isnan()) else self.settle(one))
        return found

    def _classes(self, rows: Rows, coef: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Values (c,) of one candidate (c, d), and the sum over classes of derivatives by each row's weight, (n,)."""
        width = max(1, HELD_BYTES // (BYTES_EACH * max(1, len(labels))))
        values, influence = [], torch.zeros(len(labels), dtype=torch.float64)
        for first in range(0, len(coef), width):
            scores = _gather(rows, coef[first : first + width])
            found, slopes = self.judge(_rank(scores, labels, weights, first))
            values.append(found)
            influence += slopes.nan_to_num(0.0).sum(0)
        return torch.cat(values), influence


class AveragePrecision(Ranked):
    """Mean average precision: of each class the mean, over its rows, of the precision at their scores.

    AP = sum_i precision_i / (rows of the class), precision_i = share of the class among the rows scored >= s_i.
    Without interpolation, as scikit-learn's average_precision_score. Classes without rows are left out.
    """

    name: ClassVar[str] = "map"

    def judge(self, ranking: Ranking) -> tuple[Tensor, Tensor]:
        own, others = ranking.own, ranking.others
        total = own.sum(1, keepdim=True)
        seen = ranking.above(own + others)
        precision = torch.where(seen > 0, ranking.above(own) / seen, 0.0)
        value = (own * precision).sum(1) / total.squeeze(1)
        # a heavier row moves the precision at its own score and at all below: by (own - precision_i) / seen_i there
        share = torch.where(seen > 0, own / seen, 0.0)
        down, up = ranking.below(share * precision), ranking.below(share)
        is_own, is_other = own > 0, others > 0
        slopes = (is_own * (precision - value.unsqueeze(1) + up) - (is_own | is_other) * down) / total
        return value, ranking.restore(slopes)


class RocArea(Ranked):
    """Mean area under the ROC curve of each class against the rest: how often a row of the class is scored above
    another, equal scores counted half. Classes without rows, or without others, are left out.
    """

    name: ClassVar[str] = "auc"

    def judge(self, ranking: Ranking) -> tuple[Tensor, Tensor]:
        own, others = ranking.own, ranking.others
        total, rest = own.sum(1, keepdim=True), others.sum(1, keepdim=True)
        # of each row the share of the others that are scored below it, and of the class above it, equals half
        beaten = (ranking.below(others) + rest - ranking.above(others)) / 2 / rest
        ahead = (ranking.above(own) + total - ranking.below(own)) / 2 / total
        value = (own * beaten).sum(1) / total.squeeze(1)
        mean = value.unsqueeze(1)
        slopes = (own > 0) * (beaten - mean) / total + (others > 0) * (ahead - mean) / rest
        return value, ranking.restore(slopes)


def _rank(scores: Tensor, labels: Tensor, weights: Tensor, first: int) -> Ranking:
    """The ranking of the classes from number `first` on, of their scores (m, n)."""
    m = len(scores)
    scores, labels, weights = scores.cpu(), labels.cpu(), weights.cpu()
    if labels.ndim == 2:
        mine = labels[:, first : first + m].mT
        return Ranking.of(scores, mine > 0, mine >= 0, weights)
    own = labels == torch.arange(first, first + m).unsqueeze(1)
    return Ranking.of(scores, own, torch.ones_like(own), weights)


def _gather(rows: Rows, coef: Tensor) -> Tensor:
    """Scores (m, n) of the classes (m, d) for the rows of all processes, in host memory."""
    parts = [scores[0].cpu() for _, scores in rows.scores(coef.unsqueeze(0))]
    mine = torch.cat(parts, 1) if parts else torch.empty(len(coef), 0, dtype=coef.dtype)
    return torch.cat(rows.group.gather(mine), 1)


def _join(rows: Rows) -> tuple[Tensor, Tensor, Tensor | None]:
    """Labels, weights (n,) float64 and folds of the rows of all processes, in host memory."""
    count = len(rows.labels)
    labels, weights = rows.labels.cpu(), rows.weigh(slice(0, count), None).cpu()
    folds = None if rows.folds is None else rows.folds.cpu()
    every = rows.group.gather((labels, weights, folds))
    joined = [torch.cat([part[place] for part in every]) for place in (0, 1)]  # type: ignore[misc]
    return joined[0], joined[1], None if folds is None else torch.cat([part[2] for part in every])  # type: ignore[misc]
