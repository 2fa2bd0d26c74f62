"""Metrics against scikit-learn, scipy and values worked out by hand."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn import metrics as sk
from torch import Tensor

from colinear import metrics
from colinear.checks import InputError
from colinear.metrics.calibration import COLDEST, HOTTEST

quick = settings(max_examples=25)
shapes = st.tuples(st.integers(2, 40), st.integers(2, 6))
seeds = st.integers(0, 2**31)


def draw(shape: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Scores (n, c) with a lean towards the labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(shape[1], shape[:1], generator=generator)
    scores = torch.randn(shape, generator=generator).double()
    return scores + torch.nn.functional.one_hot(labels, shape[1]), labels


def refused(message: str) -> Any:
    return pytest.raises(InputError, match=re.escape(message))


# Against scikit-learn


@quick
@given(shape=shapes, seed=seeds)
def test_top_k_is_scikit_learns(shape: tuple[int, int], seed: int) -> None:
    scores, labels = draw(shape, seed)
    for k in range(1, shape[1]):
        classes = np.arange(shape[1])
        given_scores = scores[:, 1].numpy() if shape[1] == 2 else scores.numpy()
        if shape[1] == 2:
            given_scores = np.sign(
                (scores[:, 1] - scores[:, 0]).numpy()
            )  # numbers in [0, 1] are taken as probabilities
        expected = sk.top_k_accuracy_score(labels.numpy(), given_scores, k=k, labels=classes)
        assert metrics.top_k_accuracy(scores, labels, k) == pytest.approx(expected)
    assert metrics.top_k_accuracy(scores, labels, shape[1]) == 1.0


def test_of_equal_scores_the_lower_class_ranks_first() -> None:
    scores = torch.zeros(3, 3)
    labels = torch.tensor([0, 1, 2])
    assert [metrics.top_k_accuracy(scores, labels, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1.0])


@quick
@given(shape=shapes, seed=seeds)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_shares_of_the_confusion_matrix_are_scikit_learns(shape: tuple[int, int], seed: int) -> None:
    scores, labels = draw(shape, seed)
    predicted = scores.argmax(1)
    confusion = metrics.confusion_matrix(labels, predicted, shape[1])
    assert metrics.balanced_accuracy(confusion) == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    for zero in (0.0, 1.0, math.nan):
        ours = metrics.class_scores(confusion, zero)
        theirs = sk.precision_recall_fscore_support(labels, predicted, labels=range(shape[1]), zero_division=zero)
        for mine, reference in zip((ours.precision, ours.recall, ours.f1, ours.support), theirs, strict=True):
            np.testing.assert_allclose(mine, reference)


def test_class_table_says_none_where_there_are_no_rows() -> None:
    table = metrics.class_table(torch.tensor([[3, 1, 0], [0, 0, 0], [0, 0, 2]]))
    assert table[0] == {
        "rows": 4, "recall": 0.75, "precision": 1.0, "f1": pytest.approx(6 / 7), "taken_for": 1, "taken_count": 1,
    }  # fmt: skip
    assert (table[1]["recall"], table[1]["precision"], table[1]["taken_for"]) == (None, 0.0, None)


@quick
@given(shape=shapes, seed=seeds)
def test_log_loss_is_scikit_learns(shape: tuple[int, int], seed: int) -> None:
    scores, labels = draw(shape, seed)
    expected = sk.log_loss(labels, scores.softmax(1).numpy(), labels=range(shape[1]))
    assert metrics.log_loss(scores, labels) == pytest.approx(expected)
    assert metrics.log_loss(scores.softmax(1).log(), labels) == pytest.approx(expected)


def test_log_loss_of_hopeless_scores_is_finite() -> None:
    assert metrics.log_loss(torch.tensor([[0.0, 1e4]]), torch.tensor([0])) == 1e4


# Calibration


@quick
@given(shape=shapes, seed=seeds, bins=st.integers(1, 20))
def test_ece_is_its_definition_row_by_row(shape: tuple[int, int], seed: int, bins: int) -> None:
    scores, labels = draw(shape, seed)
    probabilities = scores.softmax(1)
    sure, right = probabilities.max(1).values.numpy(), (scores.argmax(1) == labels).numpy()
    expected = 0.0
    for m in range(bins):
        inside = (sure > m / bins) & (sure <= (m + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - sure[inside].mean())
    assert metrics.expected_calibration_error(probabilities, labels, bins) == pytest.approx(expected, abs=1e-12)


def test_reliability_bins_are_closed_on_the_right() -> None:
    probabilities = torch.tensor([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]).double()
    found = metrics.reliability(probabilities, torch.tensor([0, 1, 0]), bins=4)
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.counts.tolist() == [0, 1, 1, 1]
    assert found.accuracy[1:].tolist() == [1, 0, 1]
    assert found.confidence[1:].tolist() == [0.5, 0.75, 1]
    assert math.isnan(found.accuracy[0])
    assert found.calibration_error == pytest.approx((0.5 + 0.75) / 3)


@quick
@given(shape=shapes, seed=seeds, bins=st.integers(1, 20))
def test_bins_of_confidences_are_those_of_the_probabilities(shape: tuple[int, int], seed: int, bins: int) -> None:
    scores, labels = draw(shape, seed)
    sure, taken = scores.softmax(1).max(1)
    expected = metrics.reliability(scores.softmax(1), labels, bins)
    found = metrics.bin_confidences(sure, taken == labels, bins)
    for ours, theirs in zip(vars(found).values(), vars(expected).values(), strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True)
    assert metrics.calibration_error(found.counts.double(), found.confidence, found.accuracy) == pytest.approx(
        expected.calibration_error
    )


# The paired test


@quick
@given(b=st.integers(0, 60), c=st.integers(0, 60))
def test_mcnemar_of_few_pairs_is_the_binomial_test(b: int, c: int) -> None:
    truth = torch.zeros(b + c + 3, dtype=torch.int64)
    first, second = truth.clone(), truth.clone()
    second[:b] = 1
    first[b : b + c] = 1
    found = metrics.mcnemar(truth, first, second)
    assert (found.only_first, found.only_second, found.exact) == (b, c, True)
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert found.p_value == pytest.approx(expected)


def test_mcnemar_of_many_pairs_is_chi_square_and_close_to_exact() -> None:
    b, c = 560, 480
    truth = torch.zeros(b + c, dtype=torch.int64)
    first, second = truth.clone(), truth.clone()
    second[:b] = 1
    first[b:] = 1
    found = metrics.mcnemar(truth, first, second)
    assert not found.exact
    assert found.p_value == pytest.approx(stats.chi2.sf((abs(b - c) - 1) ** 2 / (b + c), 1))
    assert found.p_value == pytest.approx(stats.binomtest(b, b + c).pvalue, abs=1e-3)


def test_rows_that_both_get_wrong_do_not_count() -> None:
    truth = torch.tensor([0, 1, 2])
    wrong = torch.tensor([1, 2, 0])
    assert metrics.mcnemar(truth, wrong, wrong) == metrics.PairedTest(0, 0, 1.0, exact=True)


# Temperature


@quick
@given(shape=st.tuples(st.integers(20, 60), st.integers(2, 5)), seed=seeds, heat=st.floats(0.2, 20))
def test_the_temperature_minimises_the_log_loss(shape: tuple[int, int], seed: int, heat: float) -> None:
    scores, labels = draw(shape, seed)
    scores = scores * heat
    found = metrics.fit_temperature(scores, labels)
    here = metrics.log_loss(scores / found, labels)
    best = optimize.minimize_scalar(
        lambda log: metrics.log_loss(scores / math.exp(log), labels), bounds=(-9, 9), method="bounded"
    )
    assert here <= best.fun + 1e-10


def test_the_temperature_undoes_a_scale() -> None:
    scores, labels = draw((500, 4), 0)
    once = metrics.fit_temperature(scores, labels)
    assert metrics.fit_temperature(7 * scores, labels) == pytest.approx(7 * once, rel=1e-9)


def test_perfect_and_worse_than_useless_scores_end_at_the_bounds() -> None:
    scores = 10 * torch.eye(3)
    assert metrics.fit_temperature(scores, torch.arange(3)) == COLDEST
    assert metrics.fit_temperature(-scores, torch.arange(3)) == HOTTEST


@pytest.mark.parametrize("scores", [torch.zeros(6, 3), torch.full((6, 3), 7.5)], ids=["zeros", "equal"])
def test_scores_that_tell_no_class_from_another_end_at_the_hottest(scores: Tensor) -> None:
    assert metrics.fit_temperature(scores, torch.arange(6) % 3) == HOTTEST


@pytest.mark.parametrize(("truth", "found"), [([0, 0, 0], COLDEST), ([1, 1, 1], HOTTEST), ([0, 0, 1], None)])
def test_a_constant_classifier_has_the_temperature_of_its_share(truth: list[int], found: float | None) -> None:
    temperature = metrics.fit_temperature(torch.tensor([[2.0, 0.0]] * 3), torch.tensor(truth))
    expected = 2 / math.log(2) if found is None else found  # 2 of 3: the logit is log 2 = 2 / t
    assert temperature == pytest.approx(expected, rel=1e-9)


# What they refuse


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.top_k_accuracy(torch.zeros(2, 3), torch.tensor([0, 1]), 4), "k must be at most"),
        (lambda: metrics.top_k_accuracy(torch.zeros(2, 3), torch.tensor([0, 1]), 0), "k must be a whole number"),
        (lambda: metrics.log_loss(torch.zeros(2), torch.tensor([0, 1])), "scores must be floats of shape"),
        (lambda: metrics.log_loss(torch.zeros(2, 3), torch.tensor([0])), "one label per row; got 1 labels for 2 rows"),
        (lambda: metrics.log_loss(torch.full((1, 2), math.nan), torch.tensor([0])), "scores must be finite"),
        (lambda: metrics.log_loss(torch.zeros(1, 2), torch.tensor([2])), "labels must lie in [0, 2)"),
        (lambda: metrics.reliability(torch.ones(1, 2), torch.tensor([0])), "probabilities must be >= 0 and sum to 1"),
        (lambda: metrics.class_scores(torch.zeros(2, 2)), "confusion must be int64 counts"),
        (lambda: metrics.balanced_accuracy(torch.zeros(2, 2, dtype=torch.int64)), "at least one row"),
        (lambda: metrics.mcnemar(torch.zeros(2), torch.zeros(2), torch.zeros(3)), "the second classifier's labels"),
    ],
    ids=range(10),
)
def test_misuse_is_an_input_error(call: Any, message: str) -> None:
    with refused(message):
        call()
