"""`colinear check`: passes on honest losses, reports a dishonest one, on any data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from colinear import selfcheck
from colinear.checks import InputError
from colinear.datasets.cifar10 import load_cifar10
from colinear.datasets.features import Features, fit_scaling
from colinear.datasets.sources import load_digits
from colinear.gradcheck import GradientCheck
from colinear.losses import Softmax
from colinear.selfcheck import Agreement, LossReport, check_losses


def test_digits_pass() -> None:
    digits = load_digits()
    features = Features(digits, fit_scaling(digits), torch.float64).gather(slice(0, 100))
    reports = check_losses(features, digits.labels[:100], 10, n_checks=20)
    assert [report.loss for report in reports] == ["softmax", "hinge", "logistic", "squared-hinge"]
    for report in reports:
        assert report.passed, report
        assert len(report.gradient) == 2 * 20
        assert [agreement.dtype for agreement in report.agreement] == [torch.float32, torch.float64]
        assert all(agreement.speedup > 0 for agreement in report.agreement)


@pytest.mark.cifar10
def test_cifar10_passes(data_dir: Path) -> None:
    train, _ = load_cifar10(data_dir)
    rows = train.subset(slice(49_000, 50_000))
    features = Features(rows, fit_scaling(rows), torch.float64).gather(slice(0, 500))
    for report in check_losses(features, rows.labels[:500], 10, n_checks=20):
        assert report.worst_relative_error < 1e-6
        single, double = report.agreement
        assert max(single.value_difference, single.gradient_difference) < 1e-6
        assert max(double.value_difference, double.gradient_difference) < 1e-12


@dataclass(frozen=True)
class Lopsided(Softmax):
    """A softmax whose gradient is one part in 10,000 too large."""

    def value_and_gradient_(self, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        value = super().value_and_gradient_(scores, labels, weights)
        scores *= 1.0001
        return value


def test_a_wrong_gradient_fails_both_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(selfcheck.LOSSES, "softmax", Lopsided())
    features = torch.rand(30, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    softmax, *others = check_losses(features, torch.arange(30) % 4)
    assert not softmax.passed
    assert softmax.worst_relative_error > 1e-5
    assert not any(agreement.passed for agreement in softmax.agreement)
    assert all(report.passed for report in others)


def test_many_labels_are_checked_with_the_losses_that_take_them() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(60, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 2, (60, 4), generator=generator, dtype=torch.int8)
    reports = check_losses(features, labels)
    assert [(report.loss, report.passed) for report in reports] == [("logistic", True), ("squared-hinge", True)]


def test_rows_at_a_kink_or_a_bend_are_left_out_near_a_bend_of_that_loss_alone() -> None:
    """Scores 1 and 0 of the first class: the squared hinge of its own row bends there, the hinge has its kink."""
    W, X = torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0])
    kept = {name: selfcheck._away_from_bends(loss, W, X, labels)[0].tolist() for name, loss in selfcheck.LOSSES.items()}
    assert kept == {"softmax": X.tolist(), "hinge": [[3.0]], "logistic": X.tolist(), "squared-hinge": [[3.0]]}


def test_loops_that_disagree_fail_the_report_alone() -> None:
    right = Agreement(torch.float64, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0)
    gradient = (GradientCheck((0, 0), 1.0, 1.0),)
    assert LossReport("softmax", gradient, (right,)).passed
    for name in ("value_difference", "gradient_difference"):
        wrong = replace(right, **{name: 1e-6})
        assert not wrong.passed
        assert not LossReport("softmax", gradient, (right, wrong)).passed


def test_the_scale_of_the_features_does_not_matter() -> None:
    features = torch.rand(30, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for scale in (1e-6, 1e6):
        assert all(report.passed for report in check_losses(scale * features, torch.arange(30) % 4))


def test_features_that_are_all_zero_are_no_trouble() -> None:
    assert all(report.passed for report in check_losses(torch.zeros(6, 2).double(), torch.arange(6) % 3))


def test_the_point_is_repeatable_and_the_global_generator_left_alone() -> None:
    features, labels = torch.rand(20, 3, dtype=torch.float64), torch.arange(20) % 3
    state = torch.get_rng_state()
    first, again, other = (check_losses(features, labels, seed=seed)[0].gradient for seed in (0, 0, 1))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (torch.zeros(2, 2), torch.tensor([0, 1]), "must be float64"),
        (torch.tensor([[torch.nan]]).double(), torch.tensor([0]), "finite"),
        (torch.zeros(2, 2).double(), torch.tensor([0, 7]), r"\[0, 2\); row 1 has 7"),
        (torch.zeros(2, 2).double(), torch.tensor([0]), "one label per row"),
    ],
)
def test_data_that_does_not_fit_is_refused(features: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_losses(features, labels, 2)
