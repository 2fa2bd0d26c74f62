"""The softmax without a penalty, by Newton's method, to a certificate of its own; where there is an optimum at all.

Columns are replaced by an orthonormal basis of their span, z = x V S^-1 with mean_i z_i z_i^T = 1: scales and
dependent columns are gone, and of all optima the one of smallest norm is found, the limit of reg -> 0.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.objective import Objective
from colinear.solvers.newton import suits_newton
from colinear.solvers.solution import Path, PathPoint, Status

RANK = 1e-12  # of the largest singular value: smaller ones are rounding
ARMIJO, HALVINGS = 1e-4, 40
# where classes part, every step adds about 1 to the scores of the rows beside the plane, for ever; where they do not,
# 7 passes are usual to a gap of 1e-10, and 19 the most of 298 drawn problems (40 to 600 rows, 11 columns, 6 classes)
PATIENCE = 60


def solve_unpenalized(
    objective: Objective, *, tol: float = 1e-4, max_passes: int = 100, start: Tensor | None = None
) -> Path:
    """Minimise the mean softmax loss, weighted by row, with no penalty, until relative_gap <= tol.

    start : (c, d) weights; zeros by default.   max_passes : one more than Newton steps, at most.

    The gap is that of the dual, max mean_i H(q_i) over distributions q_i with mean_i (q_i - y_i) x_i^T = 0, H the
    entropy: what the probabilities would be after Newton's step, to first order, is such a q while none is negative.
    Before that nothing is known but that the optimum is >= 0, and the gap is the whole objective. Where a plane parts
    some classes from others no weights attain the infimum, and steps go on for ever: the gap is met on the way if
    other classes overlap, and where they do not, so that the infimum is 0, the end is `STALLED`.

    Returns  a `Path` of one point, reg = 0, weights (c, d) float64 that sum to 0 over the classes.
    Raises   `InputError` for problems too large for a Hessian.
    Cost     n c^2 d^2 / 2 + (c d)^3 / 3 flops a step, 5 to 10 steps.
    Source   Boyd & Vandenberghe 2004, 9.5 (steps), 5.5 (dual).

    >>> from colinear.datasets import ArrayDataset, Features, fit_scaling
    >>> rows = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=torch.float64)
    >>> data = ArrayDataset(rows, torch.tensor([0, 1, 0, 1]), ("no", "yes"))
    >>> path = solve_unpenalized(Objective(Features(data, fit_scaling(data), torch.float64)), tol=1e-9)
    >>> path.points[0].status.name, path.points[0].relative_gap <= 1e-9
    ('CONVERGED', True)
    """
    began = time.perf_counter()
    check_number("tol", tol, above=0)
    check_count("max_passes", max_passes)
    if not suits_newton(objective):
        raise InputError(
            "without a penalty only problems small enough for a Hessian are solved (1,500 weights). Give a small reg "
            "instead, such as reg=1e-8."
        )
    features = objective.features.at(torch.float64)
    rows, labels = features.gather(slice(0, features.n_samples)), features.labels
    weights = torch.ones(len(rows), dtype=torch.float64, device=rows.device)
    weights = weights if objective.unit_weights is None else objective.unit_weights.double()
    counted = weights > 0  # others would add 0 times what may be infinite
    rows, labels, weights = rows[counted], labels[counted], weights[counted] / weights.sum()
    root = weights.sqrt().unsqueeze(1)
    _, sizes, directions = torch.linalg.svd(root * rows, full_matrices=False)
    kept = sizes > RANK * sizes[0]
    back = directions[kept] / sizes[kept].unsqueeze(1)  # (r, d): W = B back
    basis = rows @ back.mT  # (n, r)
    targets = torch.nn.functional.one_hot(labels, features.n_classes).double()
    coef = basis.new_zeros(features.n_classes, basis.shape[1])
    if start is not None:
        coef = (start.to(rows) - start.to(rows).mean(0)) @ directions[kept].mT * sizes[kept]
    passes, value, scores = 1, *_value(basis, targets, weights, coef)
    while True:
        probabilities = scores.softmax(1)
        gradient = (weights.unsqueeze(1) * (probabilities - targets)).mT @ basis  # (c, r)
        step = _direction(basis, probabilities, weights, gradient)
        moved = basis @ step.mT  # (n, c)
        gap = _gap(value, probabilities, moved, weights)
        if gap < value:  # what rounding leaves of the constraint, times weights as large as these
            left = gradient - (weights.unsqueeze(1) * (probabilities - _after(probabilities, moved))).mT @ basis
            gap = min(value, gap + float(left.norm() * coef.norm()))
        fine = gap <= tol * value
        if fine or passes >= min(max_passes, PATIENCE):
            break
        slope, length = float((step * gradient).sum()), 1.0
        for _ in range(HALVINGS):
            reached, there = _value(basis, targets, weights, coef - length * step)
            if reached <= value - ARMIJO * length * slope:
                break
            length /= 2
        else:
            break
        coef, value, scores, passes = coef - length * step, reached, there, passes + 1
    if fine and passes < max_passes:  # the step is known, and leaves a gap of about the square of this one
        reached, _ = _value(basis, targets, weights, coef - step)
        if reached <= value:
            coef, value, gap, passes = coef - step, reached, max(0.0, gap - (value - reached)), passes + 1
    status = Status.CONVERGED if fine else Status.BUDGET_SPENT if passes >= max_passes else Status.STALLED
    point = PathPoint(0.0, (coef @ back).cpu(), value, gap, passes, status)
    return Path((point,), passes, 0.0, time.perf_counter() - began)


def _value(basis: Tensor, targets: Tensor, weights: Tensor, coef: Tensor) -> tuple[float, Tensor]:
    """The weighted mean loss at `coef` (c, r), and the scores (n, c)."""
    scores = basis @ coef.mT
    losses = scores.logsumexp(1) - (scores * targets).sum(1)
    return float(weights @ losses), scores


def _after(probabilities: Tensor, moved: Tensor) -> Tensor:
    """Probabilities after a step that lowers the scores by `moved`, to first order."""
    return probabilities * (1 - moved + (probabilities * moved).sum(1, keepdim=True))


def _gap(value: float, probabilities: Tensor, moved: Tensor, weights: Tensor) -> float:
    """value - mean H(q) at q_ij = p_ij (1 - moved_ij + sum_l p_il moved_il); all of `value` where that is negative.

    moved : scores (n, c) of Newton's step, which solves just this: that mean_i (q_i - y_i) z_i^T be zero.
    """
    entropy = torch.special.entr(_after(probabilities, moved)).sum(1)  # -inf where negative
    return min(value, max(0.0, value - float(weights @ entropy)))


def _direction(basis: Tensor, probabilities: Tensor, weights: Tensor, gradient: Tensor) -> Tensor:
    """Newton's step (c, r): the Hessian mean_i (diag(p_i) - p_i p_i^T) (x) z_i z_i^T, whose null space is what all
    classes share; with 1 there instead of 0 the step has no part in it, since the gradient has none.
    """
    c, r = gradient.shape
    if r == 0:  # rows of zeros: there is nothing to move
        return gradient
    hessian = basis.new_zeros(c, r, c, r)
    shared = torch.eye(r, dtype=basis.dtype, device=basis.device) / c
    for a in range(c):
        for b in range(a + 1):
            factor = probabilities[:, a] * ((1.0 if a == b else 0.0) - probabilities[:, b]) * weights
            block = (factor.unsqueeze(1) * basis).mT @ basis + shared
            hessian[a, :, b], hessian[b, :, a] = block, block.mT
    matrix = hessian.view(c * r, c * r)
    matrix.diagonal().add_(torch.finfo(torch.float64).eps * float(matrix.diagonal().max()))
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):  # classes part: curvature has vanished along some direction
        matrix.diagonal().add_(math.sqrt(torch.finfo(torch.float64).eps) * float(matrix.diagonal().max()))
        factor = torch.linalg.cholesky(matrix)
    return torch.cholesky_solve(gradient.reshape(-1, 1), factor).view(c, r)
