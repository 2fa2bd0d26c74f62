"""The gradient check finds what is wrong, passes what is right, and changes nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.cases import LOOP_CASES, LossCase
from torch import Tensor

from colinear.checks import InputError
from colinear.gradcheck import GradientCheck, check_coordinates, check_gradient
from colinear.reference import vectorized


def cube(x: Tensor) -> Tensor:
    return (x**3).sum()


def draw(seed: int) -> Tensor:
    return torch.rand(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5


def test_a_right_gradient_passes() -> None:
    x = draw(0)
    checks = check_gradient(cube, x, 3 * x**2, n_checks=20)
    assert len(checks) == 20
    assert max(check.relative_error for check in checks) < 1e-6


def test_a_gradient_wrong_in_one_place_is_found_there() -> None:
    x = draw(0)
    wrong = 3 * x**2
    wrong[1, 2] *= 1.01
    checks = check_gradient(cube, x, wrong, n_checks=100)
    assert {check.index for check in checks if check.relative_error > 1e-6} == {(1, 2)}


def test_coordinates_are_checked_in_the_given_order() -> None:
    x = draw(0)
    indices = [(2, 3), (0, 0), (2, 3)]
    assert [check.index for check in check_coordinates(cube, x, 3 * x**2, indices)] == indices


def test_nothing_is_written_to_the_point() -> None:
    x = draw(0)
    before = x.clone()
    check_gradient(cube, x, 3 * x**2)
    assert torch.equal(x, before)


def test_a_generator_decides_the_coordinates_and_the_global_one_is_left_alone() -> None:
    x, state = draw(0), torch.get_rng_state()

    def indices(seed: int | None) -> list[tuple[int, ...]]:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return [check.index for check in check_gradient(cube, x, 3 * x**2, generator=generator)]

    assert indices(None) == indices(0) == indices(0) != indices(1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("numerical", "analytic", "error"), [(0, 0, 0), (1, 0, 1), (3, 1, 0.5), (-1, 1, 1)])
def test_relative_error(numerical: float, analytic: float, error: float) -> None:
    assert GradientCheck((), numerical, analytic).relative_error == error


def test_a_small_slope_is_no_small_error() -> None:
    assert GradientCheck((), 1e-5, 2e-5).relative_error == pytest.approx(1 / 3)


def test_a_gradient_that_is_nan_never_passes() -> None:
    x = draw(0)
    checks = check_gradient(cube, x, torch.full_like(x, torch.nan))
    assert not any(check.relative_error < 1e-6 for check in checks)


def test_a_number_alone_is_a_point_too() -> None:
    x = torch.tensor(2.0, dtype=torch.float64)
    assert check_gradient(cube, x, 3 * x**2, n_checks=1)[0].numerical == pytest.approx(12)


@pytest.mark.parametrize("case", LOOP_CASES, ids=lambda case: case.id)
@settings(max_examples=15)
@given(rows=st.integers(1, 8), classes=st.integers(2, 5), reg=st.sampled_from([0.0, 0.1]), seed=st.integers(0, 2**31))
def test_both_losses_pass_at_every_coordinate_away_from_kinks(
    case: LossCase, rows: int, classes: int, reg: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(3, classes, generator=generator, dtype=torch.float64)
    X = 30 * torch.randn(rows, 3, generator=generator, dtype=torch.float64)  # steps of 3e-6 in the scores
    W /= 30
    y = torch.randint(classes, (rows,), generator=generator)
    assume(case.is_smooth_at((X @ W).mT.unsqueeze(0), y, reach=1e-4))
    _, gradient = vectorized(case.loss, W, X, y, reg)
    # below 0.01 rounding of a loss near 5 may reach 1e-6 of the slope; see check_gradient
    clear = [(i, j) for i, j in (gradient.abs() > 0.01).nonzero().tolist()]
    assume(clear)
    checks = check_coordinates(lambda w: vectorized(case.loss, w, X, y, reg)[0], W, gradient, clear)
    assert max(check.relative_error for check in checks) < 1e-6


def test_misuse_is_refused() -> None:
    x = draw(0)
    with pytest.raises(InputError, match="the gradient of its shape"):
        check_gradient(cube, x, torch.zeros(4, 3))
    with pytest.raises(InputError, match="at least one coordinate"):
        check_gradient(cube, x[:0], x[:0])
    with pytest.raises(InputError, match="f must return one number"):
        check_gradient(torch.sin, x, x)
    with pytest.raises(InputError, match="h must be"):
        check_gradient(cube, x, x, h=0.0)
    with pytest.raises(InputError, match="n_checks must be"):
        check_gradient(cube, x, x, n_checks=0)
    with pytest.raises(InputError, match="is lost beside"):
        check_gradient(cube, torch.full((2,), 1e4), torch.zeros(2))
