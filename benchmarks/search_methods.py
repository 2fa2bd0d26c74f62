"""Ways to run the course's search: one candidate after another, autograd, scikit-learn, all at once."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from sklearn.linear_model import SGDClassifier
from torch import Tensor

from benchmarks.problems import CourseSearch
from colinear.losses import LOSSES as LOSS
from colinear.search.result import SearchResult
from colinear.search.sgd_search import SGDSearch
from colinear.solvers.sgd import SGD


def course_seconds(problem: CourseSearch, loss: str, steps: int) -> float:
    """Seconds for `steps` of ONE candidate in the course's way: float64, row-major scores, one .item() a step."""
    rows, labels = _floats(problem, torch.float64)
    weights = 1e-6 * torch.randn(rows.shape[1], problem.split.train.n_classes, dtype=torch.float64)
    step = {"softmax": _course_softmax, "hinge": _course_hinge}[loss]
    batch, candidate, history = problem.batches[loss], problem.settings[0], []
    started = time.perf_counter()
    for _ in range(steps):
        drawn = torch.randint(len(rows), (batch,))
        value, gradient = step(weights, rows[drawn], labels[drawn], candidate.reg)
        history.append(value.item())
        weights -= candidate.learning_rate * gradient
    return time.perf_counter() - started


def autograd_seconds(problem: CourseSearch, loss: str, steps: int) -> float:
    """The same with torch.nn.Linear, float32, autograd and torch.optim.SGD (weight_decay = 2 reg)."""
    rows, labels = _floats(problem, torch.float32)
    layer = torch.nn.Linear(rows.shape[1], problem.split.train.n_classes, bias=False)
    candidate, batch = problem.settings[0], problem.batches[loss]
    optimizer = torch.optim.SGD(layer.parameters(), lr=candidate.learning_rate, weight_decay=2 * candidate.reg)
    started = time.perf_counter()
    for _ in range(steps):
        drawn = torch.randint(len(rows), (batch,))
        scores, truth = layer(rows[drawn]), labels[drawn]
        if loss == "softmax":
            value = torch.nn.functional.cross_entropy(scores, truth)
        else:
            margins = (scores - scores.gather(1, truth.unsqueeze(1)) + 1).clamp(min=0)
            value = (margins.sum() - len(truth)) / len(truth)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        value.item()
    return time.perf_counter() - started


def sklearn_seconds(problem: CourseSearch, loss: str, rows_seen: int) -> float:
    """SGDClassifier.partial_fit over `rows_seen` rows: one-vs-rest, one row a step, so only its pace compares."""
    rows, labels = _floats(problem, torch.float32)
    candidate = problem.settings[0]
    model = SGDClassifier(
        loss={"softmax": "log_loss", "hinge": "hinge"}[loss], alpha=2 * candidate.reg, learning_rate="constant",
        eta0=candidate.learning_rate, fit_intercept=False, random_state=0,
    )  # fmt: skip
    x, y = rows[:rows_seen].numpy(), labels[:rows_seen].numpy()
    started = time.perf_counter()
    model.partial_fit(x, y, classes=list(range(problem.split.train.n_classes)))
    return time.perf_counter() - started


def search(problem: CourseSearch, loss: str, eta: int | None, subspace: float | None) -> SearchResult:
    """The whole search of this package, scoring included."""
    sgd = SGD(problem.steps, problem.batches[loss])
    return SGDSearch(loss, problem.settings, sgd, problem.seed, eta, subspace).run(*problem.features)


def agreement(problem: CourseSearch, loss: str, steps: int, singles: int = 5) -> float:
    """Largest relative difference between K at once and `singles` of them alone, on the same rows."""
    train, sgd = problem.features[0], SGD(steps, problem.batches[loss])
    rates = [c.learning_rate for c in problem.settings]
    regs = [c.reg for c in problem.settings]
    start = 1e-6 * torch.randn(train.n_classes, train.n_features, generator=torch.Generator().manual_seed(problem.seed))

    def train_on(members: list[int]) -> Tensor:
        generator = torch.Generator().manual_seed(problem.seed + 1)
        chosen = torch.tensor([rates[i] for i in members]), torch.tensor([regs[i] for i in members])
        state = sgd.start(start, *chosen, generator)
        return sgd.advance(state, train, LOSS[loss], steps).coef

    together = train_on(list(range(len(rates))))
    differences = []
    for member in range(0, len(rates), max(1, len(rates) // singles)):
        alone = train_on([member])[0]
        differences.append(float((together[member] - alone).norm() / alone.norm()))
    return max(differences)


def _floats(problem: CourseSearch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    key = (id(problem), dtype)
    if key not in _held:
        _held.clear()
        train = problem.features[0].at(dtype)
        rows = torch.empty(train.n_samples, train.n_features, dtype=dtype)
        for part, chunk in train.chunks():
            rows[part] = chunk
        _held[key] = rows
    return _held[key], problem.split.train.labels


def _course_softmax(weights: Tensor, rows: Tensor, labels: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    n = len(rows)
    scores = rows @ weights
    scores = scores - scores.max(dim=1, keepdim=True).values
    exponentials = scores.exp()
    shares = exponentials / exponentials.sum(dim=1, keepdim=True)
    value = -shares[torch.arange(n), labels].log().sum() / n + reg * (weights * weights).sum()
    shares[torch.arange(n), labels] -= 1
    return value, rows.t() @ shares / n + 2 * reg * weights


def _course_hinge(weights: Tensor, rows: Tensor, labels: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    n = len(rows)
    scores = rows @ weights
    right = scores[torch.arange(n), labels].unsqueeze(1)
    margins = (scores - right + 1).clamp(min=0)
    margins[torch.arange(n), labels] = 0
    value = margins.sum() / n + reg * (weights * weights).sum()
    slopes = (margins > 0).to(weights.dtype)
    slopes[torch.arange(n), labels] = -slopes.sum(dim=1)
    return value, rows.t() @ slopes / n + 2 * reg * weights


_held: dict[tuple[int, torch.dtype], Tensor] = {}
Seconds = Callable[[CourseSearch, str, int], float]
