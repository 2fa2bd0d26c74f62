"""Whether a classifier is as sure as it is right, and one number that makes it so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.checks import InputError, check_count
from colinear.metrics.metric import check_judged
from colinear.metrics.shares import check_scores

BINS = 15  # as Guo et al., On Calibration of Modern Neural Networks, 2017
COLDEST, HOTTEST = 1e-4, 1e4  # range of temperatures; a perfect or constant classifier ends at one of them
NEWTON_STEPS = 200
Slope = Callable[[float], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Rows by how sure the classifier was of its label, in bins of equal width over [0, 1].

    edges : (b + 1,) float64, bin m is (edges[m], edges[m + 1]], the first with 0.   counts : (b,) int64.
    confidence, accuracy : (b,) float64, mean probability of the label and share of right labels; NaN where empty.
    """

    edges: Tensor
    counts: Tensor
    confidence: Tensor
    accuracy: Tensor

    @property
    def calibration_error(self) -> float:
        """sum_m (count_m / n) |accuracy_m - confidence_m|: the ECE, L1 norm."""
        return calibration_error(self.counts, self.confidence, self.accuracy)


def calibration_error(counts: Tensor, confidence: Tensor, accuracy: Tensor) -> float:
    """The expected calibration error of bins: counts, mean confidences and accuracies (b,), NaN where empty."""
    gaps = (accuracy - confidence).abs().nan_to_num(0.0)
    return float((gaps * counts).sum() / counts.sum())


def bin_confidences(confidence: Tensor, correct: Tensor, bins: int = BINS) -> Reliability:
    """Bins of a reliability diagram from the probability of each row's label and whether it is right, both (n,).

    >>> found = bin_confidences(torch.tensor([0.2, 0.9, 0.8]), torch.tensor([True, True, False]), bins=2)
    >>> found.counts.tolist(), found.accuracy.tolist()
    ([1, 2], [1.0, 0.5])
    """
    sure, right = confidence.double(), correct.double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=sure.device)
    where = (torch.bucketize(sure, edges) - 1).clamp(0, bins - 1)  # right-closed
    counts = torch.bincount(where, minlength=bins)
    return Reliability(
        edges, counts, torch.bincount(where, sure, bins) / counts, torch.bincount(where, right, bins) / counts
    )


def reliability(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> Reliability:
    """Bins of a reliability diagram from probabilities (n, c) and labels (n,).

    Source   Guo, Pleiss, Sun & Weinberger 2017, section 2; 15 bins as there.
    """
    check_scores(probabilities, labels)
    sums = probabilities.double().sum(1)
    if bool((probabilities < 0).any()) or bool(((sums - 1).abs() > 1e-3).any()):
        raise InputError("probabilities must be >= 0 and sum to 1 in each row. Pass scores through softmax(1) first.")
    check_count("bins", bins)
    sure, predicted = probabilities.double().max(1)
    return bin_confidences(sure, predicted == labels, bins)


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """ECE of probabilities (n, c): mean distance between confidence and accuracy over `bins` bins, L1.

    >>> expected_calibration_error(torch.tensor([[0.75, 0.25]] * 4), torch.tensor([0, 0, 0, 1]))
    0.0
    """
    return reliability(probabilities, labels, bins).calibration_error


def fit_temperature(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """The t > 0 that minimises the log loss of softmax(scores / t), in [1e-4, 1e4].

    Where rows have an answer for each class it is that of sigmoid(scores / t).

    Labels do not change, probabilities do. Fit it on validation rows that the model was not trained on.
    scores : (n, c).   labels : (n,) int64 in [0, c), or (n, c) int8 of 1, 0 and -1.   weights : None, or (n,) >= 0.
    The loss is convex in 1/t: Newton steps in float64, bisection where one leaves the bracket; to 1e-12, relative.
    Source   Guo, Pleiss, Sun & Weinberger 2017, section 4.2.

    >>> scores = torch.tensor([[2.0, 0.0]] * 4)
    >>> round(fit_temperature(scores, torch.tensor([0, 0, 0, 1])), 4)   # 3 of 4: logit log 3 = 2 / t
    1.8205
    """
    check_judged(scores, labels, weights)
    scores = scores.double()
    share = torch.ones(len(scores), dtype=torch.float64, device=scores.device) if weights is None else weights.double()
    share = share / share.sum()
    slope = _answer_slope(scores, labels, share) if labels.ndim == 2 else _class_slope(scores, labels, share)

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low)[0] >= 0:
        return HOTTEST
    if slope(high)[0] <= 0:
        return COLDEST
    inverse = 1.0
    for _ in range(NEWTON_STEPS):
        first, second = slope(inverse)
        low, high = (inverse, high) if first < 0 else (low, inverse)
        newton = inverse - first / second if second > 0 else math.nan
        following = newton if low < newton < high else math.sqrt(low * high)
        if abs(following - inverse) <= 1e-12 * inverse:
            return 1 / following
        inverse = following
    return 1 / inverse


def _class_slope(scores: Tensor, labels: Tensor, share: Tensor) -> Slope:
    """First and second derivative of the mean log loss by 1/t, of rows of one class; share (n,) sums to 1."""
    scores = scores - scores.amax(1, keepdim=True)
    true = scores.gather(1, labels.unsqueeze(1)).squeeze(1)

    def slope(inverse: float) -> tuple[float, float]:
        p = (inverse * scores).softmax(1)
        mean = (p * scores).sum(1)
        return float(share @ (mean - true)), float(share @ ((p * scores.square()).sum(1) - mean.square()))

    return slope


def _answer_slope(scores: Tensor, labels: Tensor, share: Tensor) -> Slope:
    """The same of rows with an answer for each class."""
    signed = torch.where(labels > 0, -scores, scores) * (labels >= 0)

    def slope(inverse: float) -> tuple[float, float]:
        p = (inverse * signed).sigmoid()
        return float(share @ (p * signed).sum(1)), float(share @ (p * (1 - p) * signed.square()).sum(1))

    return slope
