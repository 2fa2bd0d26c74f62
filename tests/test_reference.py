"""The plain loops: hand-worked values, and agreement with the vectorised version on any shape."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cases import LOOP_CASES, ROUNDING32, ROUNDING64, LossCase
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.cifar10 import load_cifar10
from colinear.datasets.features import Features, fit_scaling
from colinear.reference import LOOPS, hinge_loops, softmax_loops, vectorized

each_loss = pytest.mark.parametrize("case", LOOP_CASES, ids=lambda case: case.id)
both_versions = pytest.mark.parametrize("version", ["loops", "vectorized"])
sizes = st.tuples(st.integers(1, 12), st.integers(1, 8), st.integers(2, 6))  # rows, features, classes

# W = ones (3073, 10) and reg = 2.5e4: 768250000 from the penalty, ln 10 from the loss, and float32 has steps of
# 64 there, so 768250002.3 is rounded to this.
COURSE_STABILITY = 768249984.0


def draw(size: tuple[int, int, int], seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """W (D, C), X (N, D), y (N,)."""
    n, d, c = size
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(d, c, generator=generator, dtype=torch.float64)
    X = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return W.to(dtype), X.to(dtype), torch.randint(c, (n,), generator=generator)


def run(case: LossCase, version: str, W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    return LOOPS[case.id](W, X, y, reg) if version == "loops" else vectorized(case.loss, W, X, y, reg)


@both_versions
def test_hinge_worked_by_hand(version: str) -> None:
    """Scores (1, 2, 0) and label 0: margins 2 and 0, the second on its kink; W*W sums to 5, reg is 0.1."""
    W, X, y = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[1.0]]), torch.tensor([0])
    loss, dW = run(LOOP_CASES[1], version, W, X, y, 0.1)
    assert loss.item() == pytest.approx(2 + 0.5)
    torch.testing.assert_close(dW, torch.tensor([[-1 + 0.2, 1 + 0.4, 0.0]]))


@both_versions
def test_softmax_worked_by_hand(version: str) -> None:
    """Scores (ln 3, 0) and label 1: probabilities 3/4 and 1/4, no penalty."""
    W, X, y = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[1.0]]), torch.tensor([1])
    loss, dW = run(LOOP_CASES[0], version, W, X, y, 0.0)
    assert loss.item() == pytest.approx(math.log(4))
    torch.testing.assert_close(dW, torch.tensor([[0.75, -0.75]]))


@each_loss
@settings(max_examples=15)
@given(size=sizes, seed=st.integers(0, 2**31), reg=st.sampled_from([0.0, 1e-3, 10.0]))
def test_loops_and_matrices_agree(case: LossCase, size: tuple[int, int, int], seed: int, reg: float) -> None:
    W, X, y = draw(size, seed, torch.float64)
    loss, dW = run(case, "loops", W, X, y, reg)
    other, gradient = run(case, "vectorized", W, X, y, reg)
    torch.testing.assert_close(other, loss, rtol=ROUNDING64, atol=ROUNDING64)
    torch.testing.assert_close(gradient, dW, rtol=ROUNDING64, atol=ROUNDING64)


@each_loss
def test_float32_agrees_and_stays_float32(case: LossCase) -> None:
    W, X, y = draw((40, 300, 10), 0, torch.float32)
    W /= 300**0.5
    loss, dW = run(case, "loops", W, X, y, 0.1)
    other, gradient = run(case, "vectorized", W, X, y, 0.1)
    assert loss.dtype == dW.dtype == other.dtype == gradient.dtype == torch.float32
    assert loss.shape == other.shape == ()
    assert other.item() == pytest.approx(loss.item(), rel=ROUNDING32)
    assert float((gradient - dW).norm() / dW.norm()) < ROUNDING32


@each_loss
@both_versions
def test_arguments_are_only_read(case: LossCase, version: str) -> None:
    arguments = draw((5, 4, 3), 0, torch.float32)
    before = [tensor.clone() for tensor in arguments]
    run(case, version, *arguments, 0.1)
    assert all(torch.equal(now, then) for now, then in zip(arguments, before, strict=True))


@each_loss
@both_versions
def test_large_weights_and_penalty_stay_exact(case: LossCase, version: str) -> None:
    W, y = torch.ones(3073, 10), torch.tensor([4, 0])
    X = torch.rand(2, 3073)
    loss, dW = run(case, version, W, X, y, 2.5e4)
    alone = run(case, "loops", W.double(), X.double(), y, 0.0)[0].item()  # 2.3 and 9 are lost in float32's rounding
    if case.loss.shift_invariant:
        assert loss.item() == COURSE_STABILITY
    else:
        assert loss.item() == pytest.approx(768250000 + alone, rel=2**-22)  # its two terms are rounded, and their sum
    assert bool(torch.isfinite(dW).all())


@each_loss
@both_versions
def test_scores_of_ten_thousand_do_not_overflow(case: LossCase, version: str) -> None:
    W = torch.tensor([[1e4, -1e4, 0.0]])
    loss, dW = run(case, version, W, torch.ones(1, 1), torch.tensor([1]), 0.0)
    each = {"softmax": 2e4, "hinge": 20001 + 10001, "logistic": 2e4 + math.log(2), "squared-hinge": 2 * 10001**2 + 1}
    assert loss.item() == pytest.approx(each[case.id])
    assert bool(torch.isfinite(dW).all())


@pytest.mark.cifar10
def test_the_courses_stability_check_on_cifar10(data_dir: Path) -> None:
    train, _ = load_cifar10(data_dir)
    rows = train.subset(slice(49_000, 50_000))
    X, W = Features(rows, fit_scaling(rows)).gather(slice(0, 1_000)), torch.ones(3073, 10)
    course = [case for case in LOOP_CASES if case.loss.shift_invariant]
    for case, version in product(course, ("loops", "vectorized")):
        loss, dW = run(case, version, W, X, rows.labels, 2.5e4)
        assert loss.item() == COURSE_STABILITY
        assert bool(torch.isfinite(dW).all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W": torch.zeros(3, 2)}, r"W must be \(D, C\).*got \(3, 2\) and \(2, 4\)"),
        ({"X": torch.zeros(0, 4)}, "N >= 1"),
        ({"W": torch.zeros(4, 2, dtype=torch.float64)}, "both be float32 or both float64"),
        ({"y": torch.tensor([0, 2])}, r"y must lie in \[0, 2\); row 1 has 2"),
        ({"y": torch.tensor([0])}, "one label per row of X; got 1 for 2 rows"),
        ({"y": torch.tensor([0.0, 1.0])}, "int64"),
        ({"reg": -1.0}, "reg must be a finite number >= 0; got -1.0"),
        ({"reg": math.nan}, "reg must be"),
    ],
)
@pytest.mark.parametrize("function", [softmax_loops, hinge_loops])
def test_arguments_that_do_not_fit_are_refused(function: object, change: dict[str, object], message: str) -> None:
    arguments = {"W": torch.zeros(4, 2), "X": torch.zeros(2, 4), "y": torch.tensor([0, 1]), "reg": 0.0, **change}
    assert callable(function)
    with pytest.raises(InputError, match=message):
        function(**arguments)
