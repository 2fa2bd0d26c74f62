"""Gram matrices, factors and conjugate gradients; and Newton's softmax with each of its two ways to solve a system."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.problems import as_features, draw_features, draw_rows
from torch.testing import assert_close

from colinear.losses import Softmax
from colinear.objective import Objective
from colinear.solvers import systems
from colinear.solvers.candidate import Candidate
from colinear.solvers.newton import Newton
from colinear.solvers.path import solve_path
from colinear.solvers.solution import Status
from colinear.solvers.systems import conjugate_gradients, factor, gram
from colinear.solvers.tuning import Tuning


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("values", [12, 10**6])
def test_a_gram_matrix_is_the_sum_over_rows_whatever_the_blocks(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systems, "BLOCK_VALUES", values)
    weights, rows = random(3, 7), random(7, 4)
    expected = torch.einsum("an,bn,ni,nj->aibj", weights, weights, rows, rows)
    assert_close(gram(weights, rows), expected)


def test_conjugate_gradients_solve_or_say_that_they_did_not() -> None:
    half = random(6, 6)
    matrix, right = half @ half.mT + torch.eye(6), random(6)
    found = conjugate_gradients(lambda x: matrix @ x, lambda x: x, right, 1e-9, 20)
    assert found is not None
    assert_close(matrix @ found, right, rtol=0, atol=1e-9)
    assert conjugate_gradients(lambda x: matrix @ x, lambda x: x, right, 1e-9, 2) is None
    assert conjugate_gradients(lambda x: -(matrix @ x), lambda x: x, right, 1e-9, 20) is None
    assert conjugate_gradients(lambda x: x * torch.nan, lambda x: x, right, 1e-9, 20) is None


def test_a_float32_matrix_gets_a_ridge_that_float32_sees() -> None:
    lower = factor(torch.ones(4, 4))
    assert float(lower.diagonal().min()) > 0
    assert_close(lower @ lower.mT, torch.ones(4, 4), rtol=0, atol=1e-5)


def test_conjugate_gradients_and_a_factor_take_the_same_step() -> None:
    candidate = Candidate(Newton(Objective(draw_features(60, 5, 4)), Softmax()), 1e-2, None, 1e-4, 100)
    coef, loss = random(4, 6) / 4, candidate.curved(1.0)
    here = candidate._look(coef, loss)
    pairs = loss.pairs(here.scores)
    exact = candidate._solve(here.gradient, pairs, loss)
    rough = candidate._conjugate(here, pairs)  # type: ignore[arg-type]
    assert rough is not None
    exact, rough = exact - exact.mean(0), rough - rough.mean(0)
    assert float((rough - exact).norm()) < 0.3 * float(exact.norm())


@pytest.mark.parametrize("size", [1.0, 1e8, 1e-12])
def test_systems_that_are_worth_a_product_are_solved_by_products_where_float32_holds_them(size: float) -> None:
    rows = draw_rows(400, 20, 8)
    objective = Objective(as_features(replace(rows, features=rows.features * size), bias=size))
    newton = Newton(objective, Softmax())
    assert newton.narrow.dtype == (torch.float32 if size == 1 else torch.float64)
    candidate = Candidate(newton, 1e-3 * size**2, None, 1e-6, 100)
    assert candidate.by_products
    point = candidate.solve(torch.zeros(8, 21, dtype=torch.float64), 1.0)
    assert point.status is Status.CONVERGED


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_newton_at_once_ends_where_a_path_of_lbfgs_does(classes: int) -> None:
    objective = Objective(draw_features(300, 6, classes))
    passes = []
    points = []
    for tuning in (Tuning(), Tuning(newton_first=0)):
        path = solve_path(objective, Softmax(), [1e-2], tol=1e-10, tuning=tuning)
        assert path.points[0].status is Status.CONVERGED
        points.append(path.points[0])
        passes.append(path.passes)
        assert ("spectrum" in path.details) == (tuning.newton_first == 0)
    assert_close(points[0].coef, points[1].coef.double(), rtol=0, atol=1e-4)
    assert passes[0] < passes[1]
