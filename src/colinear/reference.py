"""The losses on one weight matrix in the course's shapes: as plain loops, and through `losses`.

    objective = mean_i loss_i + reg * sum(W * W)          W (D, C), X (N, D), y (N,), no factor 1/2

y is (N,) int64, one class a row; for the losses that work class by class also (N, C) int8, 1 and 0 for the classes that
a row has and has not, -1 where nobody knows.

The loops are the oracle of the tests and the 'naive' side of the course: one sample and one class at a time,
nothing shared with `losses`. `vectorized` is their counterpart, a few lines over `losses`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from colinear.checks import InputError, check_number, check_targets
from colinear.losses import Loss

Problem = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]


def softmax_loops(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the softmax and its gradient, by loops over samples and classes.

    loss_i = log(sum_j exp s_ij) - s_i,y_i with s_i = x_i W ;   dW_j = mean_i (p_ij - [j = y_i]) x_i + 2 reg W_j

    W : (D, C) float32/64.   X : (N, D) of W's dtype and device.   y : (N,) int64 in [0, C).   reg : >= 0.
    Returns  (loss, dW): 0-dim and (D, C), of W's dtype. Arguments are only read.
    Raises   `InputError` if shapes, dtypes, labels or reg do not fit.
    Error    computed in float64 whatever the dtype, rounded once at the end; the largest score is subtracted
             before exp, so no finite score overflows.
    Cost     4 N C D flops in N C steps of Python: 10 to 20 times slower than `vectorized` for D = 3,073 on one core.
    Source   Bishop 2006, 4.3.4.

    >>> loss, dW = softmax_loops(torch.zeros(2, 2), torch.eye(2), torch.tensor([0, 1]), reg=0.0)
    >>> loss, dW
    (tensor(0.6931), tensor([[-0.2500,  0.2500], [ 0.2500, -0.2500]]))
    """
    return _loops(_softmax_row, W, X, y, reg)


def hinge_loops(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Mean Weston-Watkins hinge, margin 1, and its gradient, by loops over samples and classes.

    loss_i = sum_{j != y_i} max(0, m_ij), m_ij = s_ij - s_i,y_i + 1 ;   where m_ij > 0, x_i is added to dW_j and
    subtracted from dW_y_i: at a kink (m_ij = 0) the gradient is 0, as in the course and in `losses.Hinge`.

    Arguments, results, errors and cost as `softmax_loops`.   Source: Weston & Watkins 1999.

    >>> hinge_loops(torch.zeros(2, 2), torch.eye(2), torch.tensor([0, 1]), reg=0.0)[0]
    tensor(1.)
    """
    return _loops(_hinge_row, W, X, y, reg)


def logistic_loops(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Mean loss of a logistic regression of every class against the rest, and its gradient, by loops.

    loss_i = sum_j log(1 + exp(-t_ij s_ij)),  t_ij = 1 if row i has class j, else -1; no loss where that is unknown
    dW_j = mean_i (p_ij - [row i has class j]) x_i + 2 reg W_j,   p_ij = 1 / (1 + exp(-s_ij))

    y : (N,) int64 or (N, C) int8; all else as of `softmax_loops`.      Source: Bishop 2006, 4.3.2.

    >>> logistic_loops(torch.zeros(2, 2), torch.eye(2), torch.tensor([0, 1]), reg=0.0)[0]
    tensor(1.3863)
    """
    return _loops(_logistic_row, W, X, y, reg)


def squared_hinge_loops(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Mean squared hinge of every class against the rest, and its gradient, by loops.

    loss_i = sum_j max(0, 1 - t_ij s_ij)^2 ;   dW_j = mean_i -2 t_ij max(0, 1 - t_ij s_ij) x_i + 2 reg W_j

    Arguments as of `logistic_loops`.      Source: Chang, Hsieh & Lin 2008.

    >>> squared_hinge_loops(torch.zeros(2, 2), torch.eye(2), torch.tensor([0, 1]), reg=0.0)[0]
    tensor(2.)
    """
    return _loops(_squared_hinge_row, W, X, y, reg)


def vectorized(loss: Loss, W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """The same numbers as the loops, all samples at once.

    Arguments and results as `softmax_loops`; `loss` is one of `losses`.
    Error    products in W's precision; losses and |W|^2 are summed in float64.   Cost: 4 N C D flops.

    >>> from colinear.losses import Hinge
    >>> vectorized(Hinge(), torch.zeros(2, 2), torch.eye(2), torch.tensor([0, 1]), reg=0.0)[0]
    tensor(1.)
    """
    check_problem(W, X, y, reg)
    slopes = (W.mT @ X.mT).unsqueeze(0)  # (1, C, N), scores until the next line
    value = loss.value_and_gradient_(slopes, y) / len(X)  # (1,)
    gradient = (slopes[0] @ X).mT / len(X)  # (D, C)
    return _penalised(value[0], gradient, W, reg)


def check_problem(W: Tensor, X: Tensor, y: Tensor, reg: float) -> None:
    """Raise `InputError` unless W (D, C), X (N, D), y (N,) or (N, C), and reg fit together."""
    if W.ndim != 2 or X.ndim != 2 or len(X) == 0 or W.shape[0] != X.shape[1]:
        raise InputError(
            f"W must be (D, C) and X (N, D) with N >= 1 and the same D; got {tuple(W.shape)} and {tuple(X.shape)}."
        )
    if W.dtype != X.dtype or W.dtype not in (torch.float32, torch.float64):
        raise InputError(f"W and X must both be float32 or both float64; got {W.dtype} and {X.dtype}. Convert one.")
    if not W.device == X.device == y.device:
        raise InputError(f"W, X and y must be on one device; got {W.device}, {X.device} and {y.device}.")
    check_targets(y, W.shape[1], "y")
    if len(y) != len(X):
        raise InputError(f"y must have one label per row of X; got {len(y)} for {len(X)} rows.")
    check_number("reg", reg, least=0)


def _loops(
    row: Callable[[list[float], Any], tuple[float, list[float]]], W: Tensor, X: Tensor, y: Tensor, reg: float
) -> tuple[Tensor, Tensor]:
    """Walk the samples; `row` turns one row's scores and label into its loss and slopes, class by class."""
    check_problem(W, X, y, reg)
    columns = list(W.double().mT.contiguous())  # C vectors (D,)
    gradient = torch.zeros(len(columns), W.shape[0], dtype=torch.float64, device=W.device)  # (C, D)
    total = 0.0
    for sample, label in zip(X, y.tolist(), strict=True):
        x = sample.double()
        loss, slopes = row([float(column @ x) for column in columns], label)
        total += loss
        for of_class, slope in zip(gradient, slopes, strict=True):
            of_class.add_(x, alpha=slope)
    value = torch.tensor(total / len(X), dtype=torch.float64, device=W.device)
    return _penalised(value, gradient.mT / len(X), W, reg)


def _softmax_row(scores: list[float], label: int) -> tuple[float, list[float]]:
    largest = max(scores)
    powers = [math.exp(score - largest) for score in scores]
    total = sum(powers)
    slopes = [power / total - (j == label) for j, power in enumerate(powers)]
    return math.log(total) - (scores[label] - largest), slopes


def _hinge_row(scores: list[float], label: int) -> tuple[float, list[float]]:
    loss, slopes = 0.0, [0.0] * len(scores)
    for j, score in enumerate(scores):
        margin = score - scores[label] + 1
        if j != label and margin > 0:
            loss += margin
            slopes[j] += 1
            slopes[label] -= 1
    return loss, slopes


def _logistic_row(scores: list[float], label: int | list[int]) -> tuple[float, list[float]]:
    loss, slopes = 0.0, [0.0] * len(scores)
    for j, score in enumerate(scores):
        sign = _sign(label, j)
        if sign:
            small = math.exp(-abs(score))
            loss += max(-sign * score, 0.0) + math.log1p(small)
            wrong = 1 / (1 + small) if sign * score < 0 else small / (1 + small)
            slopes[j] = -sign * wrong
    return loss, slopes


def _squared_hinge_row(scores: list[float], label: int | list[int]) -> tuple[float, list[float]]:
    loss, slopes = 0.0, [0.0] * len(scores)
    for j, score in enumerate(scores):
        sign = _sign(label, j)
        missing = 1 - sign * score
        if sign and missing > 0:
            loss += missing**2
            slopes[j] = -2 * sign * missing
    return loss, slopes


def _sign(label: int | list[int], j: int) -> int:
    """1 if the row has class j, -1 if it has not, 0 if nobody knows."""
    if isinstance(label, int):
        return 1 if label == j else -1
    return (-1, 1, 0)[label[j]]  # of 0, 1 and -1


def _penalised(value: Tensor, gradient: Tensor, W: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Add reg |W|^2 and 2 reg W; the value stays float64 until it is rounded to W's dtype."""
    loss = value + reg * W.double().square().sum()
    return loss.to(W.dtype), gradient.to(W.dtype).add(W, alpha=2 * reg).contiguous()


LOOPS: dict[str, Problem] = {
    "softmax": softmax_loops,
    "hinge": hinge_loops,
    "logistic": logistic_loops,
    "squared-hinge": squared_hinge_loops,
}
