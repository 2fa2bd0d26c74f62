"""Peers of the search that train one candidate after another; their pace is timed and scaled."""

from __future__ import annotations

import torch
from sklearn.linear_model import SGDClassifier
from torch import Tensor

from benchmarks.machine import now
from benchmarks.methods.course import CourseWay

SKLEARN_LOSS = {"softmax": "log_loss", "hinge": "hinge"}


def autograd_seconds(way: CourseWay, loss: str, steps: int) -> float:
    """torch.nn.Linear, autograd and torch.optim.SGD with weight_decay = 2 reg, on the rows that `way` holds."""
    rows, labels, candidate = way.rows, way.labels, way.problem.settings[0]
    layer = torch.nn.Linear(rows.shape[1], way.problem.split.train.n_classes, bias=False).to(rows)
    optimizer = torch.optim.SGD(layer.parameters(), lr=candidate.learning_rate, weight_decay=2 * candidate.reg)
    criterion = mean_hinge if loss == "hinge" else mean_cross_entropy
    batch, history = way.problem.batch(loss), []
    started = now(rows.device)
    for _ in range(steps):
        drawn = torch.randint(len(rows), (batch,), device=rows.device)
        value = criterion(layer(rows[drawn]), labels[drawn])
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append(value.item())
    return now(rows.device) - started


def mean_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(scores, labels)


def mean_hinge(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean multiclass hinge of scores (n, c); the true class adds its margin of 1, which is taken off."""
    margins = (scores - scores.gather(1, labels.unsqueeze(1)) + 1).clamp(min=0)
    return margins.sum() / len(labels) - 1


def sklearn_row_seconds(way: CourseWay, loss: str, rows_seen: int) -> float:
    """Seconds a row of SGDClassifier.partial_fit.

    It trains one-vs-rest with a step for each row, so its hinge and log loss are not the multiclass ones: only the
    pace at which it takes in rows can be compared.
    """
    candidate = way.problem.settings[0]
    model = SGDClassifier(
        loss=SKLEARN_LOSS[loss], alpha=2 * candidate.reg, learning_rate="constant", eta0=candidate.learning_rate,
        fit_intercept=False, random_state=0,
    )  # fmt: skip
    rows, labels = way.rows[:rows_seen].cpu().numpy(), way.labels[:rows_seen].cpu().numpy()
    started = now()
    model.partial_fit(rows, labels, classes=list(range(way.problem.split.train.n_classes)))
    return (now() - started) / len(labels)
