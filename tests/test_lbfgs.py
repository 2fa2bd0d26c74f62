"""The parts of batched L-BFGS: pairs, directions and the line search, each candidate for itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from colinear.objective import Evaluation
from colinear.solvers.lbfgs import ARMIJO, TRUST, History, LineSearch, dot

K, C, D = 3, 2, 3
ALL = torch.ones(K, dtype=torch.bool)


def draw(seed: int, k: int = K) -> Tensor:
    return torch.randn(k, C, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadratic() -> Tensor:
    """One Hessian per candidate, (k, c d, c d), positive definite."""
    root = torch.randn(K, C * D, C * D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return root @ root.mT + torch.eye(C * D, dtype=torch.float64)


def identity(gradient: Tensor) -> Tensor:
    return gradient.clone()


def times(hessian: Tensor, step: Tensor) -> Tensor:
    return (hessian @ step.flatten(1).unsqueeze(2)).view_as(step)


def evaluate(hessian: Tensor, coef: Tensor) -> Evaluation:
    """1 + w^T H w / 2 for each candidate."""
    gradient = times(hessian, coef)
    value = 1 + dot(coef, gradient) / 2
    return Evaluation(value, value, value, value, gradient, torch.zeros(len(coef), C, C, dtype=torch.float64))


# History


def test_without_pairs_the_direction_is_the_preconditioned_gradient_negated() -> None:
    assert torch.equal(History().direction(draw(0), lambda g: 3 * g), -3 * draw(0))


def test_directions_are_those_of_the_bfgs_matrix_built_densely() -> None:
    hessian, history = quadratic(), History()
    pairs = [(draw(seed), times(hessian, draw(seed))) for seed in range(5)]
    for step, change in pairs:
        history.push(step, change, ALL)
    product, squares = dot(*pairs[-1]), dot(pairs[-1][1], pairs[-1][1])
    trust = (product / (2 * squares)).clamp(*TRUST).view(K, 1, 1)  # the last pair rescales the preconditioner, 2 I
    inverse = trust * 2 * torch.eye(C * D, dtype=torch.float64)
    for step, change in pairs:
        s, y = step.flatten(1).unsqueeze(2), change.flatten(1).unsqueeze(2)
        rho = 1 / (y.mT @ s)
        side = torch.eye(C * D, dtype=torch.float64) - rho * s @ y.mT
        inverse = side @ inverse @ side.mT + rho * s @ s.mT  # Nocedal & Wright 6.17
    expected = -(inverse @ draw(7).flatten(1).unsqueeze(2)).view(K, C, D)
    torch.testing.assert_close(history.direction(draw(7), lambda g: 2 * g), expected)


def test_the_last_pair_satisfies_the_secant_equation() -> None:
    history = History()
    for seed in range(3):
        history.push(draw(seed), times(quadratic(), draw(seed)), ALL)
    torch.testing.assert_close(-history.direction(times(quadratic(), draw(2)), identity), draw(2))


def test_pairs_without_curvature_and_those_not_valid_count_for_nothing() -> None:
    history, step = History(), draw(0)
    change = times(quadratic(), step)
    change[1] *= -1  # negative curvature
    history.push(step, change, torch.tensor([True, True, False]))
    direction = history.direction(draw(5), identity)
    assert torch.equal(direction[1:], -draw(5)[1:])
    assert not torch.equal(direction[0], -draw(5)[0])
    empty = History()
    empty.push(step, -change.abs() * step.sign(), ALL)
    assert empty.pairs == []


def test_only_the_last_pairs_are_kept() -> None:
    history = History(5)
    for seed in range(9):
        history.push(draw(seed), times(quadratic(), draw(seed)), ALL)
    assert len(history.pairs) == 5
    assert torch.equal(history.pairs[0][0], draw(4))


def test_candidates_forget_and_leave_each_for_themselves() -> None:
    history = History()
    for seed in range(3):
        history.push(draw(seed), times(quadratic(), draw(seed)), ALL)
    before = history.direction(draw(5), identity)
    history.forget(torch.tensor([False, True, False]))
    after = history.direction(draw(5), identity)
    assert torch.equal(after[1], -draw(5)[1])
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    history.keep(torch.tensor([2]))
    torch.testing.assert_close(history.direction(draw(5)[2:], identity), before[2:])


# Line search


def line_search(steps: float = 1.0) -> tuple[LineSearch, Tensor]:
    """At a random point of the quadratic, heading down the gradient."""
    hessian, search = quadratic(), LineSearch.at(draw(1))
    search.here = evaluate(hessian, search.coef)
    direction = -search.here.gradient
    search.turn(direction, dot(search.here.gradient, direction), ALL)
    search.step *= steps
    return search, hessian


def test_a_full_newton_step_is_accepted_by_all() -> None:
    search, hessian = line_search()
    search.turn(-search.coef, dot(search.here.gradient, -search.coef), ALL)
    trial = search.trial()
    there = evaluate(hessian, trial)
    assert search.accepts(there).tolist() == [True] * K
    search.advance(trial, there, search.accepts(there))
    assert float(search.coef.abs().max()) == 0


def test_the_accepted_move_and_the_others_shorten_their_steps() -> None:
    search, hessian = line_search(10.0)
    search.step[1] = 1e-3
    trial, before = search.trial(), search.coef.clone()
    there = evaluate(hessian, trial)
    accepted = search.accepts(there)
    assert accepted.tolist() == [False, True, False]
    search.shorten(there, ~accepted)
    search.advance(trial, there, accepted)
    assert torch.equal(search.turned, accepted)
    assert torch.equal(search.coef[[0, 2]], before[[0, 2]])
    assert not torch.equal(search.coef[1], before[1])
    assert torch.equal(search.here.value[1], there.value[1])
    assert float(search.step[1]) == 1e-3
    assert bool(((search.step[[0, 2]] >= 1) & (search.step[[0, 2]] <= 5)).all())  # a tenth to half of 10


def test_shortened_steps_reach_the_minimum_of_the_parabola_along_the_line() -> None:
    search, hessian = line_search()
    curvature = dot(search.direction, times(hessian, search.direction))
    best = -search.slope / curvature
    search.step = 3 * best  # beyond twice the best step the value rises; a third of it is within [0.1, 0.5]
    there = evaluate(hessian, search.trial())
    assert not bool(search.accepts(there).any())
    search.shorten(there, ALL)
    torch.testing.assert_close(search.step, best)
    assert bool(search.accepts(evaluate(hessian, search.trial())).all())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_infinite_and_undefined_values_are_refused_and_steps_fall_to_a_tenth(value: float) -> None:
    search, hessian = line_search()
    there = evaluate(hessian, search.trial())
    there.value.fill_(value)
    assert not bool(search.accepts(there).any())
    search.shorten(there, ALL)
    assert search.step.tolist() == [0.1] * K


def test_a_step_is_at_most_halved_and_rounding_is_that_of_its_precision() -> None:
    search, hessian = line_search()
    there = evaluate(hessian, search.trial())
    there.value.copy_(search.here.value + 0.9 * search.slope)  # a parabola whose minimum lies beyond the step
    search.shorten(there, ALL)
    assert search.step.tolist() == [0.5] * K
    for dtype in (torch.float32, torch.float64):
        search.coef = search.coef.to(dtype)
        torch.testing.assert_close(search.noise(), 4 * torch.finfo(dtype).eps * search.here.value.abs())


def test_a_decrease_too_small_for_its_slope_is_refused() -> None:
    search, hessian = line_search()
    there = evaluate(hessian, search.trial())
    there.value.copy_(search.here.value + 0.5 * ARMIJO * search.slope)
    assert not bool(search.accepts(there).any())


def test_within_rounding_of_the_value_the_slope_decides() -> None:
    search, hessian = line_search()
    there = evaluate(hessian, search.trial())
    there.value.copy_(search.here.value * (1 + 2**-52))  # a hair above, which is noise
    there.gradient.zero_()
    assert bool(search.accepts(there).all())
    there.gradient.copy_(-2 * search.here.gradient)  # as steep as here, uphill, and more: the step was too long
    assert not bool(search.accepts(there).any())
    there.value.copy_(search.here.value * (1 + 1e-12))  # above the noise
    there.gradient.zero_()
    assert not bool(search.accepts(there).any())


def test_turning_concerns_only_those_who_turn_and_keeping_compacts_everything() -> None:
    search, _ = line_search(0.5)
    old = search.direction.clone()
    search.turn(draw(3), torch.full((K,), -1.0, dtype=torch.float64), torch.tensor([True, False, True]))
    assert torch.equal(search.direction[1], old[1])
    assert torch.equal(search.direction[[0, 2]], draw(3)[[0, 2]])
    assert search.step.tolist() == [1.0, 0.5, 1.0]
    point = search.coef[2].clone()
    search.keep(torch.tensor([2]))
    assert torch.equal(search.coef[0], point)
    assert {len(part) for part in (search.direction, search.slope, search.step, search.turned)} == {1}
    assert search.here.gradient.shape == (1, C, D)
