"""Loss curves made short: means over stretches of steps, of their finite values alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.floating[Any]]
Curve = tuple[Floats, Floats]  # steps, mean losses
POINTS = 200  # that a report keeps of a curve
BINS = 160  # of the steps, log-spaced: each point of a drawn curve is the mean of its bin


def mean_stretches(history: Floats, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Means (k, b) of the finite values of history (k, steps) from edges[i] to edges[i + 1]; NaN where there are none.

    >>> mean_stretches(np.array([[1.0, 3.0, np.inf]]), np.array([0, 2, 3]))
    array([[ 2., nan]])
    """
    finite = np.isfinite(history)
    sums = np.add.reduceat(np.where(finite, history, 0.0).astype(np.float64), edges[:-1], axis=1)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = sums / np.add.reduceat(finite.astype(np.float64), edges[:-1], axis=1)
    return means


def decimate(history: Tensor, points: int = POINTS) -> tuple[Tensor, Tensor]:
    """Mean of each of `points` equal stretches of steps: (k, points) float32, and the middle step of each.

    A stretch in which a candidate has no finite loss (it left, or diverged) is NaN.

    >>> decimate(torch.arange(6.0).view(1, 6), points=3)
    (tensor([[0.5000, 2.5000, 4.5000]]), tensor([1.5000, 3.5000, 5.5000]))
    """
    steps = history.shape[1]
    count = min(points, steps)
    edges = -(-np.arange(count + 1) * steps // max(1, count))
    middle = (edges[:-1] + 1 + edges[1:]) / 2
    means = mean_stretches(history.numpy(), edges)
    return torch.from_numpy(means).float(), torch.from_numpy(middle).float()


def span_curve(losses: Floats, points: int) -> list[tuple[int, float]]:
    """(last step, mean) of at most `points` equal spans of losses (steps,), without those that have no finite value."""
    spans = np.array_split(losses, min(points, len(losses)))
    edges = np.cumsum([0, *map(len, spans)])
    means = mean_stretches(losses[None], edges)[0]
    return [(step, mean) for step, mean in zip(edges[1:].tolist(), means.tolist(), strict=True) if mean == mean]


def smooth_curve(losses: Floats) -> Curve:
    """(steps, mean losses) over log-spaced bins: single steps at the start, wide means where curves are flat.

    losses : (steps,), NaN where not reached; the curve ends at the first value that is not finite.

    >>> steps, means = smooth_curve(np.array([4.0, 2.0, 1.0, np.inf]))
    >>> steps.tolist(), means.tolist()
    ([1.0, 2.0, 3.0], [4.0, 2.0, 1.0])
    """
    count = _reached(losses)
    if count == 0:
        return np.empty(0), np.empty(0)
    edges = np.unique(np.geomspace(1, count + 1, BINS).round().astype(np.int64)) - 1
    edges = np.unique(np.concatenate([edges, [0, count]]))
    means = mean_stretches(losses[None, :count], edges)[0]
    return np.sqrt((edges[:-1] + 1.0) * edges[1:]), means


def thin_curve(steps: Floats, losses: Floats) -> Curve:
    """A curve that was averaged before, up to its first value that is not finite."""
    end = _reached(losses)
    return steps[:end], losses[:end]


def _reached(losses: Floats) -> int:
    """How many values there are before the first that is not finite."""
    bad = np.flatnonzero(~np.isfinite(losses))
    return int(bad[0]) if len(bad) else len(losses)
