"""SGD for many candidates: each is the trainer it would be alone, whatever the others do and wherever it stops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.problems import as_features, draw_features, draw_rows
from torch import Tensor

from colinear.checks import InputError
from colinear.course.classifiers import train_linear_classifier
from colinear.course.losses import softmax_loss_vectorized, svm_loss_vectorized
from colinear.datasets import Features, Scaling, load_digits
from colinear.losses import LOSSES
from colinear.solvers import SGD, SGDState, Status
from colinear.solvers.precision import matmul_precision

COURSE = {"softmax": softmax_loss_vectorized, "hinge": svm_loss_vectorized}
RATES = torch.tensor([0.3, 0.03, 0.1, 0.01], dtype=torch.float64)
REGS = torch.tensor([1e-3, 0.5, 0.0, 0.1], dtype=torch.float64)
every_loss = pytest.mark.parametrize("name", ["softmax", "hinge"])
OPTIONS = [{}, {"momentum": 0.9}, {"schedule": "cosine"}, {"averaging": 0.3}]
OPTIONS += [{"momentum": 0.5, "schedule": "cosine", "averaging": 1.0}]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "plain")


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start(sgd: SGD, features: Features, rates: Tensor = RATES, regs: Tensor = REGS) -> SGDState:
    coef = 0.1 * torch.randn(features.n_classes, features.n_features, generator=seeded(1), dtype=torch.float64)
    return sgd.start(coef.to(features.dtype), rates, regs, seeded())


def run(sgd: SGD, features: Features, name: str, rates: Tensor = RATES, regs: Tensor = REGS) -> SGDState:
    return sgd.advance(start(sgd, features, rates, regs), features, LOSSES[name], sgd.steps)


def relative_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


# What it computes


@every_loss
def test_one_candidate_is_the_trainer_of_the_course(name: str) -> None:
    features = draw_features(50, 6, 4)
    x, labels = features.gather(slice(0, 50)).clone(), features.labels
    first = 0.1 * torch.randn(7, 4, generator=seeded(1), dtype=torch.float64)
    before = torch.get_rng_state()
    torch.manual_seed(3)
    expected, losses = train_linear_classifier(COURSE[name], first, x, labels, 0.05, 0.02, 60, 20)
    torch.set_rng_state(before)
    sgd = SGD(60, 20)
    rate, reg = (torch.tensor([value], dtype=torch.float64) for value in (0.05, 0.02))
    state = sgd.start(first.mT, rate, reg, seeded(3))
    sgd.advance(state, features, LOSSES[name], 60)
    torch.testing.assert_close(sgd.result(state)[0].mT, expected, rtol=1e-12, atol=1e-14)
    assert state.history[0].tolist() == pytest.approx(losses, rel=1e-6)  # kept in float32


@every_loss
@every_option
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
def test_candidates_at_once_are_each_alone(name: str, options: dict, dtype: torch.dtype, tolerance: float) -> None:
    features, sgd = draw_features(80, 20, 5, dtype=dtype), SGD(100, 16, **options)
    together = run(sgd, features, name)
    for k in range(len(RATES)):
        alone = run(sgd, features, name, RATES[k : k + 1], REGS[k : k + 1])
        assert relative_difference(sgd.result(together)[k], sgd.result(alone)[0]) <= tolerance


@every_loss
def test_large_batches_are_scored_by_products_of_few_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # a wider product adds up in an order that depends on how many candidates there are, on some processors
    widths: list[int] = []
    multiply = torch.mm

    def watch(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
        widths.append(b.shape[1])
        return multiply(a, b, out=out)

    monkeypatch.setattr("colinear.products.torch.mm", watch)
    features = draw_features(300, 5, 3, dtype=torch.float32)
    run(SGD(1, 1100), features, name)
    assert widths == [250, 250, 250, 250, 100]


@every_loss
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_momentum_and_schedule_are_those_of_torch_optim(name: str, momentum: float, schedule: str) -> None:
    features, sgd = draw_features(50, 4, 3), SGD(40, 10, momentum=momentum, schedule=schedule)  # type: ignore[arg-type]
    state = start(sgd, features, RATES[:1], REGS[1:2])
    weight = torch.nn.Parameter(state.coef[0].clone())
    # their weight_decay w adds w W to the gradient; the gradient of reg sum(W*W) is 2 reg W
    optimizer = torch.optim.SGD([weight], lr=0.3, momentum=momentum, weight_decay=2 * 0.5)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    x, generator = features.gather(slice(0, 50)).clone(), seeded()
    for _ in range(40):
        rows = torch.randint(50, (10,), generator=generator)
        scores = x[rows] @ weight.mT
        optimizer.zero_grad()
        if name == "softmax":
            torch.nn.functional.cross_entropy(scores, features.labels[rows]).backward()
        else:
            own = scores.gather(1, features.labels[rows, None])
            ((scores - own + 1).clamp(min=0).sum(1) - 1).mean().backward()
        optimizer.step()
        if schedule == "cosine":
            decay.step()
    sgd.advance(state, features, LOSSES[name], 40)
    torch.testing.assert_close(state.coef[0], weight.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_averaging_returns_the_mean_of_the_last_iterates(share: float) -> None:
    features, sgd = draw_features(50, 4, 3), SGD(20, 10, averaging=share)
    plain, averaged = start(SGD(20, 10), features), start(sgd, features)
    iterates = []
    for step in range(1, 21):
        SGD(20, 10).advance(plain, features, LOSSES["hinge"], step)
        sgd.advance(averaged, features, LOSSES["hinge"], step)
        iterates.append(plain.coef.clone())
        tail = iterates[sgd.averages_from :]
        expected = torch.stack(tail).mean(0) if tail else plain.coef
        torch.testing.assert_close(sgd.result(averaged), expected)
    assert len(tail) == round(20 * share)


def test_cosine_falls_from_the_rate_to_zero() -> None:
    sgd = SGD(10, 1, schedule="cosine")
    factors = [sgd.rate_factor(step) for step in range(11)]
    assert factors == sorted(factors, reverse=True)
    assert (factors[0], factors[5], factors[10]) == pytest.approx((1, 0.5, 0))
    assert SGD(10, 1).rate_factor(7) == 1


def test_uint8_rows_are_scaled_as_floats_are() -> None:
    data = load_digits()
    scaling = Scaling(torch.tensor(1 / 16, dtype=torch.float64), torch.full((64,), 0.3, dtype=torch.float64))
    stored = run(SGD(30, 20), Features(data, scaling), "softmax")
    floats = run(SGD(30, 20), Features(replace(data, features=data.features.float()), scaling), "softmax")
    assert torch.equal(stored.coef, floats.coef)


# Stopping, going on, leaving


@every_loss
@every_option
def test_advancing_in_pieces_is_advancing_in_one_go(name: str, options: dict) -> None:
    features, sgd = draw_features(60, 7, 3, dtype=torch.float32), SGD(50, 8, **options)
    whole, pieces = run(sgd, features, name), start(sgd, features)
    for until in (1, 2, 17, 17, 5, 40, 60):
        sgd.advance(pieces, features, LOSSES[name], until)
    assert pieces.step == 50
    assert torch.equal(sgd.result(pieces), sgd.result(whole))
    assert torch.equal(pieces.history, whole.history)


@every_option
def test_those_who_stay_are_not_changed_by_those_who_leave(options: dict) -> None:
    features, sgd = draw_features(60, 7, 3), SGD(50, 8, **options)
    whole, compacted = run(sgd, features, "softmax"), start(sgd, features)
    sgd.advance(compacted, features, LOSSES["softmax"], 20)
    compacted.keep(torch.tensor([0, 3]))
    sgd.advance(compacted, features, LOSSES["softmax"], 50)
    torch.testing.assert_close(sgd.result(compacted), sgd.result(whole)[[0, 3]], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(compacted.history, whole.history[[0, 3]])


@every_loss
@every_option
def test_divergence_is_a_status_of_one_and_leaves_the_others_alone(name: str, options: dict) -> None:
    features, sgd = draw_features(60, 7, 3, dtype=torch.float32), SGD(50, 8, **options)
    wild, tame = RATES.clone(), RATES.clone()
    wild[1], regs = 1e30, REGS.clone()
    lost, fine = run(sgd, features, name, wild, regs), run(sgd, features, name, tame, regs)
    expected = [Status.COMPLETED, Status.DIVERGED, Status.COMPLETED, Status.COMPLETED]
    assert sgd.statuses(lost) == expected
    assert sgd.statuses(fine) == [Status.COMPLETED] * 4
    others = torch.tensor([0, 2, 3])
    assert torch.equal(sgd.result(lost)[others], sgd.result(fine)[others])
    assert torch.equal(lost.history[others], fine.history[others])


def test_an_infinite_loss_is_divergence_though_weights_are_finite() -> None:
    features, sgd = draw_features(60, 7, 3, dtype=torch.float32), SGD(2, 8)
    state = start(sgd, features, torch.tensor([1e25]), torch.tensor([0.5]))
    sgd.advance(state, features, LOSSES["softmax"], 1)
    assert bool(torch.isfinite(state.coef).all())
    assert sgd.statuses(state) == [Status.COMPLETED]  # the loss before the step was finite
    state.coef.fill_(1e30)
    sgd.advance(state, features, LOSSES["softmax"], 2)
    assert sgd.statuses(state) == [Status.DIVERGED]


def test_the_last_loss_alone_is_enough_to_be_divergence() -> None:
    """A penalty beyond float32, at a rate that leaves the weights where they are."""
    features, sgd = draw_features(60, 7, 3, dtype=torch.float32), SGD(3, 8)
    state = start(sgd, features, torch.tensor([1e-9, 1e-9]), torch.tensor([0.5, 0.5]))
    state.coef[0] = 1e30
    sgd.advance(state, features, LOSSES["softmax"], 3)
    assert bool(torch.isfinite(sgd.result(state)).all())
    assert sgd.statuses(state) == [Status.DIVERGED, Status.COMPLETED]


# Edges


def test_batches_may_be_larger_than_the_data_and_classes_may_be_missing() -> None:
    data = draw_rows(3, 2, 2)
    features = as_features(replace(data, class_names=("a", "b", "never seen")))
    state = run(SGD(20, 64), features, "softmax")
    assert SGD(20, 64).statuses(state) == [Status.COMPLETED] * 4
    assert state.coef.shape == (4, 3, 3)


def test_history_is_nan_where_no_step_was_taken() -> None:
    features, sgd = draw_features(20, 3, 2), SGD(10, 4)
    state = sgd.advance(start(sgd, features), features, LOSSES["hinge"], 4)
    assert state.history.isnan().sum(1).tolist() == [6] * 4
    assert bool(state.history[:, :4].isfinite().all())


def test_the_start_is_copied_and_shared_or_one_each() -> None:
    sgd, coef = SGD(5, 4), torch.ones(2, 3)
    state = sgd.start(coef, RATES, REGS, seeded())
    state.coef += 1
    assert torch.equal(coef, torch.ones(2, 3))
    each = torch.arange(4.0).view(4, 1, 1).expand(4, 2, 3)
    assert torch.equal(sgd.start(each, RATES, REGS, seeded()).coef, each)


def test_the_global_generator_and_matmul_precision_are_left_as_they_were() -> None:
    features = draw_features(20, 3, 2, dtype=torch.float32)
    torch.set_float32_matmul_precision("medium")
    before = torch.get_rng_state()
    try:
        run(SGD(5, 4, averaging=0.5), features, "softmax")
        assert torch.get_float32_matmul_precision() == "medium"
        with matmul_precision("high"):
            assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_float32_matmul_precision() == "medium"
        with pytest.raises(RuntimeError), matmul_precision("high"):
            raise RuntimeError
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be a whole number >= 1; got 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"momentum": 1.0}, "momentum must be below 1"),
        ({"momentum": -0.1}, "momentum"),
        ({"averaging": 1.1}, "averaging"),
        ({"averaging": math.nan}, "averaging"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine; got 'linear'"),
        ({"precision": "low"}, "matmul precision must be one of highest, high; got 'low'"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SGD(**{"steps": 10, "batch_size": 4, **arguments})


@pytest.mark.parametrize(
    ("coef", "rates", "message"),
    [
        (torch.zeros(2, 3), RATES[:2], "same length"),
        (torch.zeros(2, 3), RATES[:0], "same length"),
        (torch.zeros(3, 2, 3), RATES, r"coef must be \(c, d\) or \(4, c, d\); got \(3, 2, 3\)"),
        (torch.zeros(3), RATES, "coef must be"),
    ],
    ids=["regs too many", "no candidates", "other candidates", "a vector"],
)
def test_starts_that_do_not_fit_are_refused(coef: Tensor, rates: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SGD(5, 4).start(coef, rates, REGS, seeded())


def test_divergence_shows_in_the_weights_or_in_the_last_loss_alone() -> None:
    features, sgd = draw_features(40, 5, 3), SGD(3, 8)
    state = run(sgd, features, "softmax")
    state.coef[0, 1, 2] = math.inf
    state.history[1, 2] = math.nan  # the last
    state.history[2, 1] = math.nan  # long ago, and overcome
    expected = [Status.DIVERGED, Status.DIVERGED, Status.COMPLETED, Status.COMPLETED]
    assert sgd.statuses(state) == expected


def test_before_averaging_begins_the_result_is_where_it_stands() -> None:
    features, sgd = draw_features(40, 5, 3), SGD(10, 8, averaging=0.3)
    state = start(sgd, features)
    assert torch.equal(sgd.result(state), state.coef)
    sgd.advance(state, features, LOSSES["softmax"], 7)
    assert torch.equal(sgd.result(state), state.coef)
    sgd.advance(state, features, LOSSES["softmax"], 8)
    assert torch.equal(sgd.result(state), state.coef)  # of one iterate
    sgd.advance(state, features, LOSSES["softmax"], 9)
    assert not torch.equal(sgd.result(state), state.coef)
