"""The baseline: one candidate after another in float64, as the course's reference solution is written.

Rows drawn by torch.randint, the vectorised loss on scores (n, c) = X W, `W -= lr * dW`, and one .item() a step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.machine import now
from benchmarks.problems import CourseSearch


class CourseWay:
    """Holds all rows as floats, as the course does; `seconds` times steps of one candidate."""

    def __init__(self, problem: CourseSearch, dtype: torch.dtype = torch.float64) -> None:
        self.problem = problem
        features = problem.features()[0].at(dtype)
        self.labels = features.labels
        self.rows = torch.empty(features.n_samples, features.n_features, dtype=dtype, device=features.device)
        for part, chunk in features.chunks():
            self.rows[part] = chunk

    def seconds(self, loss: str, steps: int) -> float:
        """Wall seconds for `steps` steps of the first candidate."""
        rows, labels, candidate = self.rows, self.labels, self.problem.settings[0]
        batch, step = self.problem.batch(loss), STEPS[loss]
        weights = 1e-6 * torch.randn(rows.shape[1], self.problem.split.train.n_classes).to(rows)
        history = []
        started = now(rows.device)
        for _ in range(steps):
            drawn = torch.randint(len(rows), (batch,), device=rows.device)
            value, gradient = step(weights, rows[drawn], labels[drawn], candidate.reg)
            history.append(value.item())
            weights -= candidate.learning_rate * gradient
        return now(rows.device) - started


def course_softmax(weights: Tensor, rows: Tensor, labels: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy + reg |W|^2 and its gradient (d, c). weights : (d, c)."""
    n = len(rows)
    index = torch.arange(n, device=rows.device)
    scores = rows.mm(weights)  # (n, c)
    scores -= scores.max(dim=1, keepdim=True).values
    shares = scores.exp()
    shares /= shares.sum(dim=1, keepdim=True)
    value = -shares[index, labels].log().sum() / n + reg * (weights * weights).sum()
    shares[index, labels] -= 1
    return value, rows.t().mm(shares) / n + 2 * reg * weights


def course_hinge(weights: Tensor, rows: Tensor, labels: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Mean multiclass hinge + reg |W|^2 and its gradient (d, c). weights : (d, c)."""
    n = len(rows)
    index = torch.arange(n, device=rows.device)
    scores = rows.mm(weights)  # (n, c)
    margins = (scores - scores[index, labels].view(-1, 1) + 1).clamp(min=0)
    margins[index, labels] = 0
    value = margins.sum() / n + reg * (weights * weights).sum()
    slopes = (margins > 0).to(weights.dtype)
    slopes[index, labels] = -slopes.sum(dim=1)
    return value, rows.t().mm(slopes) / n + 2 * reg * weights


STEPS = {"softmax": course_softmax, "hinge": course_hinge}
