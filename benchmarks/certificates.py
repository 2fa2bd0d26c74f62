"""How far weights are from the optimum, in numpy and float64, without a line of the package's own arithmetic.

Objective: mean loss + reg sum(W*W), over rows raw / value_range - mean (of each channel for images, of each column
for tables) with a constant column of ones, penalised like the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from colinear.datasets import Dataset

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
CHUNK = 2048
WIDTHS, ROUNDS = 24, 3  # smoothings tried at once for the hinge's dual point, and how often they are refined
MIXING_STEPS = 200


def write_rows(dataset: Dataset, path: Path, dtype: type = np.float64) -> None:
    """Write the scaled rows with their constant column, (n, d + 1), as a .npy file."""
    n, d = dataset.n_samples, dataset.n_features
    total = np.zeros(d)
    for _, raw in _raw(dataset):
        total += raw.sum(0)
    mean = total / n
    if dataset.image_shape is not None:
        channels = dataset.image_shape[0]
        mean = np.repeat(mean.reshape(channels, -1).mean(1), d // channels)
    rows = np.lib.format.open_memmap(path, "w+", dtype, (n, d + 1))
    for part, raw in _raw(dataset):
        rows[part, :d] = raw - mean
        rows[part, d] = 1
    rows.flush()


def _raw(dataset: Dataset) -> Iterator[tuple[slice, Floats]]:
    for start in range(0, dataset.n_samples, CHUNK):
        part = slice(start, min(start + CHUNK, dataset.n_samples))
        yield part, dataset.take(part).cpu().numpy().astype(np.float64) / dataset.value_range


def softmax_certificate(rows: Floats, labels: Labels, coef: npt.ArrayLike, reg: float) -> tuple[float, float]:
    """(objective, relative gap) of weights (c, d). gap = |gradient|^2 / (4 reg)."""
    weights = np.asarray(coef, dtype=np.float64)
    loss, gradient = 0.0, 2 * reg * weights
    for start in range(0, len(labels), CHUNK):
        chunk, truth = rows[start : start + CHUNK], labels[start : start + CHUNK]
        scores = chunk @ weights.T
        scores -= scores.max(1, keepdims=True)
        right = scores[np.arange(len(truth)), truth].copy()
        shares = np.exp(scores)
        total = shares.sum(1, keepdims=True)
        loss += float((np.log(total[:, 0]) - right).sum())
        shares /= total
        shares[np.arange(len(truth)), truth] -= 1
        gradient += shares.T @ chunk / len(labels)
    objective = loss / len(labels) + reg * float((weights**2).sum())
    return objective, float((gradient**2).sum()) / (4 * reg) / objective


def hinge_certificate(
    rows: Floats, labels: Labels, coef: npt.ArrayLike, reg: float, slopes: Floats | None = None
) -> tuple[float, float]:
    """(objective, relative gap) of weights (c, d) for the Weston-Watkins hinge.

    Any a in [0, 1] gives a lower bound of the optimum, mean_i sum_j a_ij - |U|^2 / (4 reg) with
    U = -(1/n) sum_i sum_j a_ij (e_j - e_y) x_i^T. Tried: a = clip(margin / width, 0, 1) for 24 widths from 1 down
    by halves, then twice 24 more around the best so far, and the best mixture of each 24; the best bound counts.
    slopes : a (c, n), where the solver has its own, in place of these.
    """
    weights = np.asarray(coef, dtype=np.float64)
    objective, bound, best, octaves = 0.0, -np.inf, 1.0, np.arange(0.0, -WIDTHS, -1)
    if slopes is not None:
        others = np.arange(len(weights))[:, None] != labels
        if not (np.all(slopes >= 0) and np.all(slopes <= others)):
            raise ValueError("slopes lie in [0, 1], and are 0 for true classes")
        scores = np.asarray(rows @ weights.T).T
        losses = np.maximum(0, scores - scores[labels, np.arange(len(labels))] + 1) * others
        objective = float(losses.sum()) / len(labels) + reg * float((weights**2).sum())
        pull = (slopes - ~others * slopes.sum(0)) @ rows / len(labels)
        bound = float(slopes.sum()) / len(labels) - float((pull**2).sum()) / (4 * reg)
        return objective, (objective - bound) / objective
    for _ in range(ROUNDS):
        widths = best * 2**octaves
        objective, linear, gram = _hinge_duals(rows, labels, weights, reg, widths)
        alone = linear - np.diag(gram)
        best = float(widths[alone.argmax()])
        bound = max(bound, _best_mixture(linear, gram))
        reach = abs(octaves[1] - octaves[0])
        octaves = np.linspace(-reach, reach, WIDTHS)
    return objective, (objective - bound) / objective


def _hinge_duals(
    rows: Floats, labels: Labels, weights: Floats, reg: float, widths: Floats
) -> tuple[float, Floats, Floats]:
    """The objective; and the dual points of all widths: mean_i sum_j a_ij (w,), <U_v, U_w> / (4 reg) (w, w)."""
    n, (c, d) = len(labels), weights.shape
    loss, dual = 0.0, np.zeros(len(widths))
    pull = np.zeros((len(widths) * c, d))
    for start in range(0, n, CHUNK):
        chunk, truth = rows[start : start + CHUNK], labels[start : start + CHUNK]
        index = np.arange(len(truth))
        scores = chunk @ weights.T
        margins = np.maximum(scores - scores[index, truth][:, None] + 1, 0)
        margins[index, truth] = 0
        loss += float(margins.sum())
        slopes = np.minimum(margins[:, None, :] / widths[:, None], 1)  # (b, w, c)
        dual += slopes.sum((0, 2))
        slopes[index, :, truth] = -slopes.sum(2)
        pull += slopes.reshape(len(truth), -1).T @ chunk  # (w c, d)
    pulls = (pull / n).reshape(len(widths), -1)
    return loss / n + reg * float((weights**2).sum()), dual / n, pulls @ pulls.T / (4 * reg)


def _best_mixture(linear: Floats, gram: Floats) -> float:
    """Largest linear.t - t'gram t over t >= 0, sum t = 1: mixtures of feasible dual points are feasible.

    Frank & Wolfe 1956, from the best single point, with exact steps: the bound only rises.
    """
    mixture = np.zeros(len(linear))
    mixture[(linear - np.diag(gram)).argmax()] = 1
    for _ in range(MIXING_STEPS):
        slope = linear - 2 * gram @ mixture
        step = -mixture
        step[slope.argmax()] += 1
        gain, bend = float(slope @ step), float(step @ gram @ step)
        if gain <= 0 or bend <= 0:
            break
        mixture = mixture + min(1.0, gain / (2 * bend)) * step
    return float(linear @ mixture - mixture @ gram @ mixture)


def classwise_certificate(
    rows: Floats, labels: Labels, coef: npt.ArrayLike, reg: float, *, squared_hinge: bool
) -> tuple[float, float]:
    """(objective, relative gap) of weights (c, d) for a sum over classes, each against the rest.

    labels : (n,) classes, or (n, c) of 1, 0 and -1, of which the last costs nothing.
    The dual point is t_ij a_ij, a = 1 - sigmoid(t s), whose value is the entropy of a; or a = 2 max(0, 1 - t s), with
    a - a^2 / 4. gap = objective - mean dual + |U|^2 / (4 reg): the textbook's form, not the norm of a gradient.
    """
    weights = np.asarray(coef, dtype=np.float64)
    loss, dual, pull = 0.0, 0.0, np.zeros_like(weights)
    for start in range(0, len(labels), CHUNK):
        chunk, truth = rows[start : start + CHUNK], labels[start : start + CHUNK]
        has = np.eye(len(weights), dtype=int)[truth] if truth.ndim == 1 else truth
        sign, known = np.where(has == 1, 1.0, -1.0), has >= 0
        signed = sign * (chunk @ weights.T)
        if squared_hinge:
            each = np.maximum(0, 1 - signed) ** 2
            slopes = 2 * np.maximum(0, 1 - signed)
            own = slopes - slopes**2 / 4
        else:
            each = np.logaddexp(0, -signed)
            slopes, rest = np.exp(-np.logaddexp(0, signed)), np.exp(-np.logaddexp(0, -signed))
            own = slopes * np.logaddexp(0, signed) + rest * np.logaddexp(0, -signed)  # -a log a - (1 - a) log(1 - a)
        loss += float((each * known).sum())
        dual += float((own * known).sum())
        pull -= (slopes * sign * known).T @ chunk
    n = len(labels)
    objective = loss / n + reg * float((weights**2).sum())
    gap = objective - dual / n + float(((pull / n) ** 2).sum()) / (4 * reg)
    return objective, gap / objective


CERTIFICATES = {
    "softmax": softmax_certificate,
    "hinge": hinge_certificate,
    "logistic": partial(classwise_certificate, squared_hinge=False),
    "squared-hinge": partial(classwise_certificate, squared_hinge=True),
}
