"""Thresholds of classes: how much a class's score has to give way, so that labels do best by a metric of labels."""

from __future__ import annotations

import torch
from torch import Tensor

from colinear.metrics.metric import Metric, check_judged
from colinear.metrics.summed import Accuracy, ByClass, MacroF1, MicroF1

SWEEPS = 3  # over the classes; the digits settle after two
MOST_CUTS = 256  # places that are tried for a threshold, evenly spaced among its rows


def fit_thresholds(scores: Tensor, labels: Tensor, metric: Metric, weights: Tensor | None = None) -> Tensor:
    """Thresholds t (c,) float64 with which the labels of scores (n, c) do best by `metric`.

    A row of one class gets argmax_j (s_ij - t_j), one with an answer for each class those with s_ij > t_j. One class
    after the other takes the best of up to 256 thresholds, half-way between rows, while the others stay; it stays where
    it is unless the value rises, from 0 on. Metrics that see no labels (map, auc, log-loss) leave that to macro-f1.
    labels, weights : as of `Metric`. Fit on rows that trained nothing; of few rows they follow chance.
    Cost     up to 3 c (n c) operations.

    >>> scores = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.6]])   # the second class is never called
    >>> fit_thresholds(scores, torch.tensor([0, 0, 1]), MacroF1())
    tensor([0.7000, 0.0000], dtype=torch.float64)
    """
    check_judged(scores, labels, weights)
    judge = metric if isinstance(metric, ByClass) else MicroF1() if isinstance(metric, Accuracy) else MacroF1()
    shifted = scores.double().mT.contiguous()  # (c, n)
    each = shifted.new_ones(len(scores)) if weights is None else weights.double()
    thresholds = torch.zeros(len(shifted), dtype=torch.float64, device=scores.device)
    for _ in range(SWEEPS):
        value = judge.value_of(judge.adds(shifted.unsqueeze(0), labels, each))
        moved = False
        for number in range(len(shifted)):
            step, found = _best_step(shifted, labels, each, judge, number)
            if found > value:
                shifted[number] -= step
                thresholds[number] += step
                value, moved = found, True
        if not moved:
            break
    return thresholds


def _best_step(shifted: Tensor, labels: Tensor, weights: Tensor, judge: ByClass, number: int) -> tuple[Tensor, Tensor]:
    """What to take from the scores of a class, and the value with that; the smallest step of equally good ones."""
    rest = shifted.clone()
    rest[number] = -torch.inf
    runner = rest.max(0)
    ahead = shifted[number] if labels.ndim == 2 else shifted[number] - runner.values  # called where above the cut
    places = torch.unique(ahead)
    if len(places) < 2:
        return shifted.new_zeros(()), shifted.new_full((1,), -torch.inf)
    cuts = (places[1:] + places[:-1]) / 2
    chosen = torch.linspace(0, len(cuts) - 1, min(len(cuts), MOST_CUTS), device=cuts.device).round().long()
    cuts = cuts[chosen]
    without = judge.adds(rest.unsqueeze(0), labels, weights)[0]  # (4, c): nobody is called so
    sums = without.expand(len(cuts), *without.shape).clone()
    known = labels[:, number] >= 0 if labels.ndim == 2 else torch.ones_like(labels, dtype=torch.bool)
    own = labels[:, number] > 0 if labels.ndim == 2 else labels == number
    sums[:, 0, number] += _above(ahead, cuts, weights * own, None)
    sums[:, 1, number] += _above(ahead, cuts, weights * known, None)
    if labels.ndim == 1:  # who is called so is no longer called the next best
        for place, lost in ((0, weights * (runner.indices == labels)), (1, weights)):
            sums[:, place] -= _above(ahead, cuts, lost, runner.indices, len(shifted))
    values = judge.value_of(sums)
    best = values.amax()
    steps = torch.where(values == best, cuts.abs(), torch.inf)
    return cuts[steps.argmin()], best.unsqueeze(0)


def _above(ahead: Tensor, cuts: Tensor, weights: Tensor, classes: Tensor | None, n_classes: int = 1) -> Tensor:
    """Weight of the rows above each cut, (m,), or by their class (m, c)."""
    passed = torch.bucketize(ahead, cuts)  # how many cuts lie below the row
    column = torch.zeros_like(passed) if classes is None else classes
    counts = torch.bincount(passed * n_classes + column, weights, (len(cuts) + 1) * n_classes)
    table = counts.view(len(cuts) + 1, n_classes)[1:].flip(0).cumsum(0).flip(0)
    return table.squeeze(1) if classes is None else table
