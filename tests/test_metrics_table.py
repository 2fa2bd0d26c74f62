"""The table of metrics: each equals scikit-learn's, errors are a bootstrap's, chunks and groups change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as theirs
from torch import Tensor

from colinear.checks import InputError
from colinear.metrics import METRICS, Rows, ranked, wilson_interval
from colinear.metrics.metric import Metric
from colinear.metrics.ranked import Ranked
from colinear.metrics.shares import wilson_bounds

N, C = 120, 4
Judge = Callable[[Any, Any, Any], float]


def draw(n: int = N, c: int = C, seed: int = 0, ties: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Scores that know something of the labels, labels of unequal classes, weights."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.arange(1.0, c + 1), n, replacement=True, generator=generator)
    scores = torch.randn(n, c, generator=generator, dtype=torch.float64)
    scores[torch.arange(n), labels] += 1
    weights = torch.rand(n, generator=generator, dtype=torch.float64) * 3
    return (scores.round() if ties else scores), labels, weights


def draw_answers(missing: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    scores, _, weights = draw(seed=1)
    generator = torch.Generator().manual_seed(2)
    labels = (scores + torch.randn(scores.shape, generator=generator) > 0.3).to(torch.int8)
    if missing:
        labels[torch.rand(labels.shape, generator=generator) < 0.2] = -1
    return scores, labels, weights


def one_hot(labels: Any) -> Any:
    return np.eye(C)[labels]


# scikit-learn's, of scores (n, c), labels and weights, for rows of one class
SINGLE: dict[str, Judge] = {
    "accuracy": lambda s, y, w: theirs.accuracy_score(y, s.argmax(1), sample_weight=w),
    "balanced-accuracy": lambda s, y, w: theirs.balanced_accuracy_score(y, s.argmax(1), sample_weight=w),
    "macro-f1": lambda s, y, w: theirs.f1_score(y, s.argmax(1), average="macro", sample_weight=w),
    "micro-f1": lambda s, y, w: theirs.f1_score(y, s.argmax(1), average="micro", sample_weight=w),
    "map": lambda s, y, w: theirs.average_precision_score(one_hot(y), s, sample_weight=w),
    "auc": lambda s, y, w: theirs.roc_auc_score(one_hot(y), s, sample_weight=w),
    "log-loss": lambda s, y, w: theirs.log_loss(y, torch.tensor(s).softmax(1).numpy(), sample_weight=w),
}


def per_class(judge: Judge) -> Judge:
    """The mean over classes of a metric of two classes."""
    return lambda s, y, w: float(np.mean([judge(s[:, j], y[:, j], w) for j in range(C)]))


ANSWERS: dict[str, Judge] = {
    "accuracy": lambda s, y, w: theirs.accuracy_score(y, s > 0, sample_weight=w),
    "balanced-accuracy": per_class(lambda s, y, w: theirs.balanced_accuracy_score(y, s > 0, sample_weight=w)),
    "macro-f1": lambda s, y, w: theirs.f1_score(y, s > 0, average="macro", sample_weight=w),
    "micro-f1": lambda s, y, w: theirs.f1_score(y, s > 0, average="micro", sample_weight=w),
    "map": lambda s, y, w: theirs.average_precision_score(y, s, sample_weight=w),
    "auc": lambda s, y, w: theirs.roc_auc_score(y, s, sample_weight=w),
    "log-loss": lambda s, y, w: (
        C * per_class(lambda t, z, v: theirs.log_loss(z, 1 / (1 + np.exp(-t)), sample_weight=v))(s, y, w)
    ),
}


def test_the_table_is_by_name_and_both_tables_of_references_are_whole() -> None:
    assert all(metric.name == name for name, metric in METRICS.items())
    assert set(METRICS) == set(SINGLE) == set(ANSWERS)
    assert [name for name, metric in METRICS.items() if not metric.higher] == ["log-loss"]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_it_is_scikit_learns_for_rows_of_one_class(name: str, ties: bool, weighted: bool) -> None:
    scores, labels, weights = draw(ties=ties)
    expected = SINGLE[name](scores.numpy(), labels.numpy(), weights.numpy() if weighted else None)
    assert METRICS[name](scores, labels, weights if weighted else None) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_it_is_scikit_learns_for_an_answer_for_each_class(name: str, weighted: bool) -> None:
    scores, labels, weights = draw_answers()
    expected = ANSWERS[name](scores.numpy(), labels.numpy(), weights.numpy() if weighted else None)
    assert METRICS[name](scores, labels, weights if weighted else None) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["balanced-accuracy", "macro-f1", "map", "auc"])
def test_unknown_answers_count_nowhere(name: str) -> None:
    """Class by class it is scikit-learn's on the rows that know."""
    scores, labels, _ = draw_answers(missing=True)
    judges = {
        "balanced-accuracy": lambda s, y: theirs.balanced_accuracy_score(y, s > 0),
        "macro-f1": lambda s, y: theirs.f1_score(y, s > 0),
        "map": lambda s, y: theirs.average_precision_score(y, s),
        "auc": lambda s, y: theirs.roc_auc_score(y, s),
    }
    known = labels >= 0
    each = [judges[name](scores[known[:, j], j].numpy(), labels[known[:, j], j].numpy()) for j in range(C)]
    assert METRICS[name](scores, labels) == pytest.approx(float(np.mean(each)), rel=1e-12)


def test_unknown_answers_are_neither_wrong_nor_lost() -> None:
    labels = torch.tensor([[1, 0], [-1, 0], [-1, 1]], dtype=torch.int8)
    scores = torch.tensor([[1.0, -1.0], [5.0, -1.0], [5.0, -1.0]])
    assert METRICS["accuracy"](scores, labels) == pytest.approx(2 / 3)
    assert METRICS["micro-f1"](scores, labels) == pytest.approx(2 / 3)  # 1 found, 1 called, 2 own
    loss = 3 * math.log1p(math.exp(-1)) + math.log1p(math.exp(1))
    assert METRICS["log-loss"](scores, labels) == pytest.approx(loss / 3, rel=1e-6)


def test_classes_that_no_row_shows_are_left_out() -> None:
    """Where scikit-learn warns and counts 0: a class without rows has no recall and no precision."""
    scores, labels, _ = draw()
    more = torch.cat([scores, scores.new_full((len(scores), 1), -9.0)], 1)
    for name in ("accuracy", "balanced-accuracy", "macro-f1", "map", "auc"):
        assert METRICS[name](more, labels) == pytest.approx(METRICS[name](scores, labels))
    alone = torch.zeros(3, dtype=torch.int64)
    assert METRICS["map"](torch.eye(3), alone) == 1.0
    assert math.isnan(METRICS["auc"](torch.eye(3), alone))  # no others to be above
    assert METRICS["auc"].estimate(torch.eye(3), alone).interval == (0.0, 1.0)


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_influences_are_derivatives_by_the_weight_of_a_row(name: str, weighted: bool, answers: bool) -> None:
    """error^2 is the sum over rows of (weight times derivative)^2, and the derivative that of differences."""
    scores, labels, weights = draw_answers(missing=True) if answers else draw(n=30, ties=True)
    scores, labels, weights = scores[:30], labels[:30], weights[:30] if weighted else torch.ones(30).double()
    metric, step = METRICS[name], 1e-6
    slopes = []
    for row in range(30):
        pair = []
        for side in (step, -step):
            moved = weights.clone()
            moved[row] += side
            pair.append(metric(scores, labels, moved))
        slopes.append((pair[0] - pair[1]) / (2 * step))
    expected = math.sqrt(float((weights * torch.tensor(slopes)).square().sum()))
    rows = Rows.of_scores(scores.mT.contiguous(), labels, weights if weighted else None)
    [found] = metric.measure(rows, scores.mT.contiguous().unsqueeze(0), error=True).error  # type: ignore[misc]
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_errors_are_those_of_a_bootstrap(name: str) -> None:
    scores, labels, _ = draw(n=400)
    metric = METRICS[name]
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randint(400, (400,), generator=generator) for _ in range(400)]
    spread = torch.tensor([metric(scores[rows], labels[rows]) for rows in drawn]).std()
    low, high = metric.estimate(scores, labels).interval
    assert (high - low) / (2 * 1.96) == pytest.approx(float(spread), rel=0.15)  # 400 draws know it to 4 %
    assert low < metric(scores, labels) < high


def test_the_interval_of_an_accuracy_is_wilsons() -> None:
    scores, labels, _ = draw()
    right = int((scores.argmax(1) == labels).sum())
    found = METRICS["accuracy"].estimate(scores, labels)
    assert (found.value, found.interval) == (right / N, pytest.approx(wilson_interval(right, N)))
    sure = METRICS["accuracy"].estimate(torch.eye(2), torch.tensor([0, 1]))
    assert sure.interval == wilson_interval(2, 2)
    twice = METRICS["accuracy"].estimate(scores, labels, torch.full((N,), 7.0))
    assert twice.interval == pytest.approx(found.interval)  # only ratios of weights count


def chunks(scores: Tensor, labels: Tensor, weights: Tensor | None, size: int, folds: Tensor | None = None) -> Rows:
    """Rows whose weights are their scores (k, c, n), in chunks; a range of classes is a range of rows of these."""

    def walk(coef: Tensor) -> Iterable[tuple[slice, Tensor]]:
        for first in range(0, coef.shape[2], size):
            part = slice(first, min(first + size, coef.shape[2]))
            yield part, coef[:, :, part].contiguous()

    return Rows(walk, labels, weights, folds)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_candidates_and_chunks_and_folds_are_each_alone(name: str, weighted: bool) -> None:
    """k candidates in chunks are each alone at once; a candidate on a fold is one on the rows of that fold."""
    several = [draw(seed=seed)[0] for seed in range(3)]
    _, labels, given = draw()
    weights = given if weighted else None
    coef = torch.stack([scores.mT for scores in several])  # (k, c, n)
    metric: Metric = METRICS[name]
    together = metric.measure(chunks(coef, labels, weights, 17), coef, error=True)
    for number, scores in enumerate(several):
        assert float(together.value[number]) == pytest.approx(metric(scores, labels, weights), rel=1e-12)
    folds, held = torch.arange(N) % 3, torch.tensor([2, 0, 1])
    parted = metric.measure(chunks(coef, labels, weights, 17, folds), coef, held, error=True)
    assert parted.error is not None
    for number, scores in enumerate(several):
        mine = folds == held[number]
        alone = metric.estimate(scores[mine], labels[mine], None if weights is None else weights[mine])
        assert float(parted.value[number]) == pytest.approx(alone.value, rel=1e-12)
        kish = mine.double() if weights is None else weights * mine
        assert float(parted.rows[number]) == pytest.approx(float(kish.sum() ** 2 / kish.square().sum()))


def test_ranks_are_taken_a_few_classes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, labels, _ = draw()
    whole = METRICS["map"].estimate(scores, labels)
    seen: list[int] = []

    def watched(rows: Rows, coef: Tensor) -> Tensor:
        seen.append(len(coef))
        return coef

    monkeypatch.setattr(ranked, "HELD_BYTES", 2 * ranked.BYTES_EACH * N)
    monkeypatch.setattr(ranked, "_gather", watched)
    assert METRICS["map"].estimate(scores, labels) == whole
    assert seen == [2, 2]


def one_model(scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> tuple[Rows, Tensor]:
    by_class = scores.mT.contiguous()
    return Rows.of_scores(by_class, labels, weights), by_class.unsqueeze(0)


@pytest.mark.parametrize("name", ["map", "auc"])
def test_every_class_has_its_value_and_interval(name: str) -> None:
    scores, labels, weights = draw()
    metric = METRICS[name]
    assert isinstance(metric, Ranked)
    found = metric.by_class(*one_model(scores, labels, weights))
    judge = theirs.average_precision_score if name == "map" else theirs.roc_auc_score
    for j, one in enumerate(found):
        assert one is not None
        assert one.value == pytest.approx(judge(labels == j, scores[:, j], sample_weight=weights))
        assert one.interval[0] < one.value < one.interval[1]
    assert metric.by_class(*one_model(scores, labels.clamp(max=2)))[3] is None


def test_the_interval_of_an_auc_is_delongs() -> None:
    """The variances of the two placements, each by its number of rows."""
    scores, labels, _ = draw()
    own, others = scores[labels == 1, 1], scores[labels != 1, 1]
    wins = (own.unsqueeze(1) > others).double()
    variance = wins.mean(1).var(correction=0) / len(own) + wins.mean(0).var(correction=0) / len(others)
    metric = METRICS["auc"]
    assert isinstance(metric, Ranked)
    one = metric.by_class(*one_model(scores, labels))[1]
    value = float(wins.mean())
    low, high = wilson_bounds(value, value * (1 - value) / float(variance))
    assert one is not None
    assert (one.value, one.interval) == (pytest.approx(value), pytest.approx((low, high)))


BAD: dict[str, tuple[Any, Any, Any, str]] = {
    "a label beyond": (torch.eye(2), torch.tensor([0, 2]), None, r"labels must lie in \[0, 2\)"),
    "other rows": (torch.eye(2), torch.tensor([0]), None, "one label per row"),
    "nan": (torch.full((1, 2), math.nan), torch.tensor([0]), None, "scores must be finite"),
    "answers of another kind": (torch.eye(2), torch.eye(2).long(), None, "labels of many classes must be int8"),
    "answers beyond": (torch.eye(2), torch.full((2, 2), 2, dtype=torch.int8), None, "1, 0, or -1"),
    "negative weight": (torch.eye(2), torch.tensor([0, 1]), torch.tensor([1.0, -1.0]), "row 1 has -1"),
    "infinite weight": (torch.eye(2), torch.tensor([0, 1]), torch.tensor([math.inf, 1.0]), "row 0 has inf"),
    "no weight": (torch.eye(2), torch.tensor([0, 1]), torch.zeros(2), "must not all be 0"),
    "few weights": (torch.eye(2), torch.tensor([0, 1]), torch.ones(1), "one number a row, 2 in all"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(case: str) -> None:
    scores, labels, weights, message = BAD[case]
    with pytest.raises(InputError, match=message):
        METRICS["map"](scores, labels, weights)
