"""The Hessian as products: that of autograd, of dense and sparse rows, and what conjugate gradients make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.problems import draw_coef
from torch import Tensor

from colinear.datasets import ArrayDataset, Features, Scaling
from colinear.datasets.sparse import SparseMatrix
from colinear.hessian import Hessian
from colinear.losses import LOSSES, Softmax
from colinear.objective import Objective, squared_norm
from colinear.solvers import diagonal
from colinear.solvers.diagonal import Diagonal
from colinear.solvers.lbfgs import dot
from colinear.solvers.path import solve_path
from colinear.solvers.tuning import Tuning

N, D, C = 120, 30, 4
SMOOTH = [name for name, loss in LOSSES.items() if not loss.kinked]
BY_PRODUCTS = Tuning(newton_weights=0, newton_first=0, interior_first=1, eigh_up_to=4, nystroem_rank=4)


def draw(*, thin: bool = True, dtype: torch.dtype = torch.float64, many: bool = False) -> Objective:
    """Rows with a tenth of their values, weighted, in three folds, scaled and centred."""
    rng = np.random.default_rng(3)
    rows = sparse.random_array((N, D), density=0.1, rng=rng, format="csr")
    labels = torch.tensor((rows @ rng.normal(size=(D, C)) * 3 + rng.normal(size=(N, C))).argmax(1))
    if many:
        labels = torch.tensor(rng.integers(-1, 2, size=(N, C)), dtype=torch.int8)
    raw = SparseMatrix.from_scipy(rows) if thin else torch.tensor(rows.toarray())
    generator = torch.Generator().manual_seed(0)
    scale, shift = 1 + torch.rand(2, D, generator=generator, dtype=torch.float64)
    features = Features(ArrayDataset(raw, labels, tuple("abcd")), Scaling(scale, shift / 10, 2.0), dtype)
    return Objective(features, torch.rand(N, generator=generator, dtype=torch.float64), torch.arange(N) % 3)


def gradient_at(objective: Objective, coef: Tensor, loss: str, held_out: Tensor) -> Tensor:
    regs = torch.full((1,), 0.1, dtype=torch.float64)
    return objective.evaluate(coef, regs, LOSSES[loss], held_out).gradient


@pytest.mark.parametrize("many", [False, True], ids=["one class", "answers"])
@pytest.mark.parametrize("thin", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("loss", SMOOTH)
def test_products_are_the_change_of_the_gradient(loss: str, thin: bool, many: bool) -> None:
    if many and not LOSSES[loss].takes_many:
        pytest.skip("it takes one class a row")
    objective = draw(thin=thin, many=many)
    coef, along = draw_coef(2, objective.features).unsqueeze(1)
    held_out = torch.tensor([1])
    near = 1e-6 * along  # no margin of these rows bends on the way
    ahead, behind = (gradient_at(objective, coef + step, loss, held_out) for step in (near, -near))
    found = Hessian.at(objective, coef, LOSSES[loss], 0.1, held_out).times(along)
    torch.testing.assert_close(found, (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-7)


def test_how_weights_lie_in_memory_changes_nothing_but_the_last_digits() -> None:
    objective = draw()
    coef = draw_coef(3, objective.features)
    lying = objective.lay_out(coef)
    assert lying.permute(2, 0, 1).is_contiguous()
    assert torch.equal(lying, coef)
    regs = torch.full((3,), 0.1, dtype=torch.float64)
    mine, theirs = (objective.evaluate(one, regs, Softmax(), curvature=True) for one in (lying, coef))
    assert mine.gradient.stride() == lying.stride()  # so that nothing on the way was turned
    for name in ("objective", "gap", "gradient", "curvature"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(squared_norm(lying.float()), squared_norm(coef.float()), rtol=1e-7, atol=0)
    torch.testing.assert_close(dot(coef, lying), dot(coef, coef), rtol=1e-12, atol=0)
    assert draw(thin=False).lay_out(coef) is coef


@pytest.mark.parametrize("thin", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("shift_invariant", [True, False])
def test_a_diagonal_divides_by_moments_of_columns_and_of_the_leading_ones_together(
    shift_invariant: bool, thin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagonal, "LEADING", 5)
    objective = draw(thin=thin)
    d, moment = D + 1, objective.second_moment(torch.arange(N), torch.float64)
    leading = moment.diagonal().topk(5).indices
    assert D in leading  # the constant is one of them
    used = torch.diag(moment.diagonal())
    used[leading.unsqueeze(1), leading] = moment[leading.unsqueeze(1), leading]
    gradient = draw_coef(2, objective.features)
    curvature = torch.rand(2, C, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    regs = torch.tensor([0.1, 1e-3], dtype=torch.float64)
    step = Diagonal.fit(objective).at(curvature, regs, shift_invariant=shift_invariant)(gradient)
    a = curvature * C / (C - 1) if shift_invariant else curvature
    bends = a.view(2, C, 1, 1) * used + 2 * regs.view(2, 1, 1, 1) * torch.eye(d)
    common = gradient.mean(1, keepdim=True) * shift_invariant
    expected = torch.linalg.solve(bends, gradient - common)
    if shift_invariant:
        shared = bends.diagonal(dim1=2, dim2=3).reciprocal().mean(1, keepdim=True)
        expected += common * shared - expected.mean(1, keepdim=True)
    torch.testing.assert_close(step, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", SMOOTH)
def test_sparse_strengths_are_certified_one_by_one(loss: str, dtype: torch.dtype) -> None:
    objective, regs = draw(dtype=dtype), [1e-1, 1e-2, 1e-3]
    held_out = torch.tensor([-1, 0, 1])
    path = solve_path(objective, LOSSES[loss], regs, tol=1e-7, held_out=held_out, tuning=BY_PRODUCTS)
    dense = solve_path(draw(thin=False, dtype=dtype), LOSSES[loss], regs, tol=1e-7, held_out=held_out)
    for mine, theirs in zip(path.points, dense.points, strict=True):
        assert mine.relative_gap <= 1e-7
        assert mine.objective == pytest.approx(theirs.objective, rel=1e-7)
    assert path.passes == sum(point.passes for point in path.points)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_end_at_the_limit_of_passes(dtype: torch.dtype) -> None:
    for limit in range(5, 25):
        path = solve_path(draw(dtype=dtype), Softmax(), [1e-6], tol=1e-9, max_passes=limit, tuning=BY_PRODUCTS)
        assert path.points[0].status.name == "BUDGET_SPENT"
        assert limit - 1 <= path.passes <= limit


def test_what_rounding_of_float32_hides_is_judged_in_float64() -> None:
    objective, regs = draw(dtype=torch.float32), torch.tensor([1e-4], dtype=torch.float64)
    best = solve_path(draw(), Softmax(), [1e-4], tol=1e-12, tuning=BY_PRODUCTS).coef[0]
    generator, gaps = torch.Generator().manual_seed(0), []
    for size in best.norm() / 11 * 10.0 ** torch.linspace(-7, -3, 60):
        start = best + size * torch.randn(best.shape, dtype=torch.float64, generator=generator)
        gaps.append(float(objective.evaluate(start.unsqueeze(0), regs, Softmax()).relative_gap))
        path = solve_path(objective, Softmax(), [1e-4], tol=1e-8, start=start, tuning=BY_PRODUCTS)
        assert path.points[0].status.name == "CONVERGED", gaps[-1]  # else it would have stalled
    assert min(gaps) < 1e-8
    assert max(gaps) > 1e-2
