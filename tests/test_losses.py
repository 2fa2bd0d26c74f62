"""Contracts of every loss: one table of cases times known values, derivatives and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.cases import CLASSWISE_CASES, INVARIANT_CASES, LOOP_CASES, LOSS_CASES, ROUNDING32, ROUNDING64, LossCase
from torch import Tensor

from colinear.curvature import ClassBends, Rows
from colinear.losses import LOSSES, Hinge, Logistic, Loss, Softmax, SquaredHinge

every_loss = pytest.mark.parametrize("case", LOSS_CASES, ids=lambda case: case.id)
classwise_loss = pytest.mark.parametrize("case", CLASSWISE_CASES, ids=lambda case: case.id)
invariant_loss = pytest.mark.parametrize("case", INVARIANT_CASES, ids=lambda case: case.id)
loss_with_loops = pytest.mark.parametrize("case", LOOP_CASES, ids=lambda case: case.id)
quick = settings(max_examples=15)

shapes = st.tuples(st.integers(1, 4), st.integers(2, 6), st.integers(1, 9))  # candidates, classes, rows
seeds = st.integers(0, 2**31)
Block = tuple[Tensor, Tensor]


def draw_block(shape: tuple[int, int, int], seed: int, dtype: torch.dtype = torch.float64) -> Block:
    """Scores (k, c, n) of size 2 and labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(shape[1], shape[2:], generator=generator)
    return scores.to(dtype), labels


def evaluate(loss: Loss, scores: Tensor, labels: Tensor, weights: Tensor | None = None) -> Block:
    """(summed loss (k,), gradient (k, c, n)), leaving scores as they are."""
    gradient = scores.clone()
    return loss.value_and_gradient_(gradient, labels, weights), gradient


def differentiable(case: LossCase, scores: Tensor, labels: Tensor) -> Tensor:
    """The loss written from its formula with operations autograd can differentiate, summed: (k,)."""
    true = labels.view(1, 1, -1).expand(len(scores), 1, -1)
    own = scores.gather(1, true)
    if isinstance(case.loss, Softmax):
        return (scores.logsumexp(1) - own.squeeze(1)).sum(-1)
    if case.loss.by_class:
        return differentiable_margins(case.loss, scores, labels).sum((1, 2))
    assert isinstance(case.loss, Hinge)
    margins = (scores - own + 1).scatter(1, true, -1.0)
    width = float(case.loss.width)
    if width == 0:
        return margins.clamp(min=0).sum((1, 2))
    bent = torch.where(margins < width, margins.clamp(min=0).square() / (2 * width), margins - width / 2)
    return bent.sum((1, 2))


def differentiable_margins(loss: Loss, scores: Tensor, labels: Tensor) -> Tensor:
    """The same of a loss that works class by class, (k, c, n); labels (n,) or (n, c)."""
    has = torch.nn.functional.one_hot(labels, scores.shape[1]) if labels.ndim == 1 else labels
    signed = scores * torch.where(has == 1, 1, -1).mT  # t s
    each = (
        (1 - signed).clamp(min=0).square()
        if isinstance(loss, SquaredHinge)
        else torch.logaddexp(-signed, torch.zeros_like(signed))
    )
    return torch.where((has >= 0).mT, each, 0.0)


def draw_many(shape: tuple[int, int, int], seed: int) -> Tensor:
    """Labels (n, c) int8 of 1, 0 and -1."""
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randint(-1, 2, (shape[2], shape[1]), generator=generator, dtype=torch.int8)


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = ROUNDING64) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, check_dtype=False)


# Known values


def test_softmax_of_equal_scores_is_the_logarithm_of_the_number_of_classes() -> None:
    value, gradient = evaluate(Softmax(), torch.full((1, 10, 1), 7.0), torch.tensor([3]))
    assert value.item() == pytest.approx(math.log(10), rel=1e-6)
    assert_close(gradient[0, :, 0], torch.full((10,), 0.1).index_fill(0, torch.tensor(3), -0.9), ROUNDING32)


def test_hinge_of_equal_scores_is_the_number_of_wrong_classes() -> None:
    value, gradient = evaluate(Hinge(), torch.zeros(1, 10, 1), torch.tensor([3]))
    assert value.item() == 9
    assert gradient[0, :, 0].tolist() == [1, 1, 1, -9, 1, 1, 1, 1, 1, 1]


def test_hinge_has_slope_zero_exactly_at_its_kink() -> None:
    value, gradient = evaluate(Hinge(), torch.tensor([[[1.0], [2.0]]]), torch.tensor([1]))
    assert value.item() == 0
    assert gradient.flatten().tolist() == [0, 0]


@pytest.mark.parametrize(("margin", "expected"), [(-0.5, 0.0), (0.5, 0.0625), (2.0, 1.0), (5.0, 4.0)])
def test_smoothed_hinge_is_quadratic_up_to_its_width_then_linear(margin: float, expected: float) -> None:
    scores = torch.tensor([[[margin - 1], [0.0]]], dtype=torch.float64)
    assert evaluate(Hinge(2.0), scores, torch.tensor([1]))[0].item() == pytest.approx(expected)


def test_the_names_lead_to_their_losses() -> None:
    kinds = {name: type(loss) for name, loss in LOSSES.items()}
    assert kinds == {"softmax": Softmax, "hinge": Hinge, "logistic": Logistic, "squared-hinge": SquaredHinge}
    assert all(loss.name == name for name, loss in LOSSES.items())


# Derivatives


@loss_with_loops
@quick
@given(shape=shapes, seed=seeds)
def test_value_and_gradient_agree_with_plain_loops(case: LossCase, shape: tuple[int, int, int], seed: int) -> None:
    scores, labels = draw_block(shape, seed)
    value, gradient = evaluate(case.loss, scores, labels)
    assert case.loops is not None
    for k in range(shape[0]):
        # rows of the identity as features turn scores into weights: x_i W = scores of row i
        loss, slopes = case.loops(scores[k].mT.contiguous(), torch.eye(shape[2]).double(), labels, 0.0)
        assert_close(value[k] / shape[2], loss)
        assert_close(gradient[k].mT / shape[2], slopes)


@every_loss
@quick
@given(shape=shapes, seed=seeds)
def test_value_and_gradient_agree_with_autograd(case: LossCase, shape: tuple[int, int, int], seed: int) -> None:
    scores, labels = draw_block(shape, seed)
    assume(case.is_smooth_at(scores, labels, reach=1e-9))
    leaf = scores.clone().requires_grad_()
    expected = differentiable(case, leaf, labels)
    (slopes,) = torch.autograd.grad(expected.sum(), leaf)
    value, gradient = evaluate(case.loss, scores, labels)
    assert_close(value, expected.detach())
    assert_close(gradient, slopes)


@every_loss
@quick
@given(shape=shapes, seed=seeds)
def test_gradient_passes_torchs_own_check(case: LossCase, shape: tuple[int, int, int], seed: int) -> None:
    scores, labels = draw_block(shape, seed)
    assume(case.is_smooth_at(scores, labels, reach=1e-5, twice=True))

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, scores: Tensor) -> Tensor:
            value, gradient = evaluate(case.loss, scores, labels)
            ctx.save_for_backward(gradient)
            return value

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, above: Tensor) -> Tensor:
            (gradient,) = ctx.saved_tensors
            return above.view(-1, 1, 1) * gradient

    assert torch.autograd.gradcheck(Wrapped.apply, (scores.requires_grad_(),))


@quick
@given(shape=shapes, seed=seeds, weighted=st.booleans())
def test_curvature_of_softmax_is_the_diagonal_of_its_hessian_summed_over_rows(
    shape: tuple[int, int, int], seed: int, weighted: bool
) -> None:
    scores, labels = draw_block(shape, seed)
    case = LOSS_CASES[0]
    k, c, n = shape
    weights = torch.rand(k, n, generator=torch.Generator().manual_seed(seed)).double() if weighted else None
    curvature = case.loss.sums_(scores.clone(), labels, weights, curvature=True).curvature
    assert curvature is not None
    for candidate in range(k):
        expected = torch.zeros(c, c, dtype=torch.float64)
        for row in range(n):
            label = labels[row : row + 1]
            hessian = torch.autograd.functional.hessian(
                lambda s, label=label: differentiable(case, s.view(1, c, 1), label).sum(), scores[candidate, :, row]
            )
            expected += hessian * (1 if weights is None else weights[candidate, row])
        assert_close(curvature[candidate], expected.diagonal())


@quick
@given(shape=shapes, seed=seeds, width=st.sampled_from([0.05, 1.0]))
def test_curvature_of_the_hinge_gives_a_parabola_above_it(shape: tuple[int, int, int], seed: int, width: float) -> None:
    scores, labels = draw_block((1, *shape[1:]), seed)
    labels = scores[0].argmin(0)  # then every margin is positive, and no row is left out
    hinge = Hinge(width)
    gradient = scores.clone()
    here = hinge.sums_(gradient, labels, curvature=True)
    assert here.curvature is not None
    shifts = torch.randn(shape[1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for shift, bend in zip(shifts.diag().unsqueeze(-1), here.curvature[0], strict=True):  # along one class
        there = hinge.value_and_gradient_(scores + shift, labels)
        parabola = float(here.value + (gradient * shift).sum() + bend * shift.square().sum() / 2)
        assert float(there) <= parabola + 1e-12 * (1 + abs(parabola))


# The sums over rows


@every_loss
@quick
@given(shape=shapes, seed=seeds)
def test_sums_agree_with_value_and_gradient(case: LossCase, shape: tuple[int, int, int], seed: int) -> None:
    scores, labels = draw_block(shape, seed)
    value, gradient = evaluate(case.loss, scores, labels)
    same = scores.clone()
    sums = case.loss.sums_(same, labels)
    assert torch.equal(same, gradient)
    original = Hinge() if isinstance(case.loss, Hinge) else case.loss  # without the smoothing
    assert_close(sums.value, value)
    assert_close(sums.original, evaluate(original, scores, labels)[0])
    assert {part.dtype for part in (sums.value, sums.original, sums.dual) if part is not None} == {torch.float64}
    assert (sums.dual is None) == (not case.loss.smoothed)
    assert sums.curvature is None  # not asked for


@quick
@given(shape=shapes, seed=seeds)
def test_dual_of_softmax_is_the_loss_minus_gradient_times_scores(shape: tuple[int, int, int], seed: int) -> None:
    scores, labels = draw_block(shape, seed)
    value, gradient = evaluate(Softmax(), scores, labels)
    rows = Rows(labels.unsqueeze(0), torch.ones(shape[2], dtype=torch.float64))
    dual = torch.tensor([Softmax().curved(rows).dual(own) for own in scores], dtype=torch.float64)
    assert_close(dual, value - (gradient * scores).sum((1, 2)), 1e-11)


@quick
@given(shape=shapes, seed=seeds, width=st.sampled_from([1e-9, 0.05, 1.0]))
def test_dual_of_hinge_is_a_lower_bound_reached_without_smoothing(
    shape: tuple[int, int, int], seed: int, width: float
) -> None:
    """conjugate(gradient) = -dual, so loss >= <gradient, scores> + dual, with equality for the hinge's own slope."""
    scores, labels = draw_block(shape, seed)
    gradient = scores.clone()
    sums = Hinge(width).sums_(gradient, labels)
    assert sums.dual is not None
    bound = sums.dual + (gradient * scores).sum((1, 2))
    assert bool((bound <= sums.original + 1e-10).all())
    if width == 1e-9:  # nothing lies inside it
        assert_close(bound, sums.original, 1e-6)
        value, own = evaluate(Hinge(), scores, labels)
        dual = own.clamp(min=0).sum((1, 2))  # slopes of the wrong classes
        assert_close(dual, value - (own * scores).sum((1, 2)), 1e-11)


# Invariances


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@quick
@given(shape=shapes, seed=seeds)
def test_candidates_at_once_are_each_alone(
    case: LossCase, dtype: torch.dtype, shape: tuple[int, int, int], seed: int
) -> None:
    scores, labels = draw_block(shape, seed, dtype)
    tolerance = ROUNDING64 if dtype == torch.float64 else ROUNDING32
    together, gradient = evaluate(case.loss, scores, labels)
    sums = case.loss.sums_(scores.clone(), labels, curvature=True)
    for k in range(shape[0]):
        alone, slopes = evaluate(case.loss, scores[k : k + 1], labels)
        own = case.loss.sums_(scores[k : k + 1].clone(), labels, curvature=True)
        assert_close(together[k : k + 1], alone, tolerance)
        assert_close(gradient[k : k + 1], slopes, tolerance)
        for mine, other in ((sums.dual, own.dual), (sums.curvature, own.curvature)):
            if mine is not None and other is not None:
                assert_close(mine[k : k + 1], other, tolerance)


@quick
@given(shape=shapes, seed=seeds)
def test_one_width_per_candidate_is_each_width_alone(shape: tuple[int, int, int], seed: int) -> None:
    scores, labels = draw_block(shape, seed)
    widths = torch.linspace(0.1, 2.0, shape[0], dtype=torch.float64)
    together, gradient = evaluate(Hinge(widths), scores, labels)
    for k, width in enumerate(widths.tolist()):
        alone, slopes = evaluate(Hinge(width), scores[k : k + 1], labels)
        assert_close(together[k : k + 1], alone)
        assert_close(gradient[k : k + 1], slopes)


@every_loss
@quick
@given(shape=shapes, seed=seeds)
def test_permuted_classes_permute_the_gradient(case: LossCase, shape: tuple[int, int, int], seed: int) -> None:
    scores, labels = draw_block(shape, seed)
    order = torch.randperm(shape[1], generator=torch.Generator().manual_seed(seed))
    renamed = order.argsort()[labels]  # class order[j] is now called j
    value, gradient = evaluate(case.loss, scores, labels)
    other, slopes = evaluate(case.loss, scores[:, order], renamed)
    assert_close(other, value)
    assert_close(slopes, gradient[:, order])


@invariant_loss
@quick
@given(shape=shapes, seed=seeds, shift=st.integers(-8, 8))
def test_shifting_all_scores_of_a_row_changes_nothing(
    case: LossCase, shape: tuple[int, int, int], seed: int, shift: int
) -> None:
    scores, labels = draw_block(shape, seed)
    assume(case.is_smooth_at(scores, labels, reach=1e-9))
    value, gradient = evaluate(case.loss, scores, labels)
    other, slopes = evaluate(case.loss, scores + shift, labels)
    assert_close(other, value)
    assert_close(slopes, gradient)


@every_loss
@pytest.mark.parametrize("per_candidate", [False, True], ids=["one-weight-a-row", "one-per-candidate"])
@quick
@given(shape=shapes, seed=seeds)
def test_weight_two_is_the_row_twice_and_weight_zero_removes_it(
    case: LossCase, per_candidate: bool, shape: tuple[int, int, int], seed: int
) -> None:
    scores, labels = draw_block(shape, seed)
    k, _, n = shape
    counts = torch.randint(3, (n,), generator=torch.Generator().manual_seed(seed))  # 0, 1 or 2 times each
    weights = counts.double().expand(k, n) if per_candidate else counts.double()
    rows = torch.arange(n).repeat_interleave(counts)
    value, gradient = evaluate(case.loss, scores, labels, weights)
    repeated, slopes = evaluate(case.loss, scores[..., rows], labels[rows])
    assert_close(value, repeated)
    assert_close(gradient, torch.zeros_like(scores).index_add(2, rows, slopes))
    gradient_too = scores.clone()
    sums = case.loss.sums_(gradient_too, labels, weights, curvature=True)
    assert torch.equal(gradient_too, gradient)
    expected = case.loss.sums_(scores[..., rows].clone(), labels[rows], curvature=True)
    for name in ("value", "original", "dual", "curvature"):
        if name != "dual" or case.loss.smoothed:
            assert_close(getattr(sums, name), getattr(expected, name))


# Limits and extremes


@every_loss
def test_rows_are_summed_in_float64_whatever_the_scores(case: LossCase) -> None:
    # two rows whose losses differ so much that float32 loses the smaller one
    scores = torch.zeros(1, 2, 2)
    scores[0, 1] = torch.tensor([2.0**23, -0.5])
    labels = torch.zeros(2, dtype=torch.int64)
    each = [evaluate(case.loss, scores[..., row : row + 1], labels[:1])[0] for row in (0, 1)]
    whole = each[0] + each[1]
    assert float(whole) != float(whole.float())
    assert torch.equal(evaluate(case.loss, scores, labels)[0], whole)
    assert torch.equal(case.loss.sums_(scores.clone(), labels).value, whole)


@quick
@given(shape=shapes, seed=seeds)
def test_smoothed_hinge_tends_to_the_hinge_as_its_width_goes_to_zero(shape: tuple[int, int, int], seed: int) -> None:
    scores, labels = draw_block(shape, seed)
    value, gradient = evaluate(Hinge(), scores, labels)
    for width in (1.0, 1e-2, 1e-4):
        smooth, slopes = evaluate(Hinge(width), scores, labels)
        gap = value - smooth  # between 0 and width / 2 for every margin
        assert bool((gap >= -1e-10).all())
        assert bool((gap <= width / 2 * (shape[1] - 1) * shape[2] + 1e-10).all())
        if LossCase("", Hinge(), kinks=(0.0,)).is_smooth_at(scores, labels, reach=width):
            assert_close(slopes, gradient)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_scores_give_finite_numbers(case: LossCase, dtype: torch.dtype, size: float) -> None:
    scores = torch.tensor([[[size, 0.0], [0.0, 0.0], [-size, size]]], dtype=dtype)
    labels = torch.tensor([0, 1])
    value, gradient = evaluate(case.loss, scores, labels)
    sums = case.loss.sums_(scores.clone(), labels, curvature=True)
    for number in (value, gradient, sums.value, sums.original, sums.dual, sums.curvature):
        assert number is None or bool(torch.isfinite(number).all())
    assert value.item() == pytest.approx(differentiable(case, scores.double(), labels).item(), rel=1e-6)


@every_loss
def test_scores_that_are_not_finite_show_in_the_value(case: LossCase) -> None:
    scores = torch.tensor([[[1.0], [math.nan], [0.0]]])
    assert not math.isfinite(evaluate(case.loss, scores, torch.tensor([0]))[0].item())


@every_loss
@quick
@given(shape=shapes, seed=seeds)
def test_the_value_is_not_negative(case: LossCase, shape: tuple[int, int, int], seed: int) -> None:
    assert bool((evaluate(case.loss, *draw_block(shape, seed))[0] >= 0).all())


@invariant_loss
@quick
@given(shape=shapes, seed=seeds)
def test_gradient_of_every_row_sums_to_zero(case: LossCase, shape: tuple[int, int, int], seed: int) -> None:
    _, gradient = evaluate(case.loss, *draw_block(shape, seed))
    assert_close(gradient.sum(1), torch.zeros(shape[0], shape[2]))


# Class by class, and many labels a row


@pytest.mark.parametrize(("loss", "each"), [(Logistic(), math.log(2)), (SquaredHinge(), 1.0)], ids=lambda one: str(one))
def test_scores_of_zero_cost_the_same_for_every_class_that_is_known(loss: Loss, each: float) -> None:
    labels = torch.tensor([[1, 1, 0, -1]], dtype=torch.int8)
    value, gradient = evaluate(loss, torch.zeros(1, 4, 1, dtype=torch.float64), labels)
    assert value.item() == pytest.approx(3 * each)
    slope = 0.5 if isinstance(loss, Logistic) else 2
    assert gradient.flatten().tolist() == [-slope, -slope, slope, 0]


@pytest.mark.parametrize("size", [60.0, 800.0])
def test_logistic_loses_no_digit_where_the_scores_are_large(size: float) -> None:
    scores = torch.tensor([[[size], [-size], [size]]], dtype=torch.float64)
    value, gradient = evaluate(Logistic(), scores, torch.tensor([[1, 0, 0]], dtype=torch.int8))
    assert value.item() == pytest.approx(size + 2 * math.exp(-size), rel=1e-15)
    beyond = torch.full((1, 1, 1), 20.5, dtype=torch.float64)  # where PyTorch's own softplus is its argument
    close = Logistic().value_and_gradient_(beyond, torch.tensor([[0]], dtype=torch.int8))
    assert close.item() == pytest.approx(20.5 + math.exp(-20.5), rel=1e-14)
    right = Logistic().sums_(scores[:, :2].clone(), torch.tensor([[1, 0]], dtype=torch.int8)).value
    assert right.item() == pytest.approx(2 * math.exp(-size), rel=1e-12)
    assert gradient.flatten().tolist() == [pytest.approx(-math.exp(-size)), pytest.approx(math.exp(-size)), 1.0]


@classwise_loss
@quick
@given(shape=shapes, seed=seeds)
def test_one_label_a_row_is_many_labels_of_which_one_is_there(
    case: LossCase, shape: tuple[int, int, int], seed: int
) -> None:
    scores, labels = draw_block(shape, seed)
    many = torch.nn.functional.one_hot(labels, shape[1]).to(torch.int8)
    mine, theirs = scores.clone(), scores.clone()
    one, other = (case.loss.sums_(s, y, curvature=True) for s, y in ((mine, labels), (theirs, many)))
    assert torch.equal(mine, theirs)
    assert torch.equal(one.value, other.value)
    assert one.curvature is not None
    assert other.curvature is not None
    assert_close(one.curvature, other.curvature)


@classwise_loss
@quick
@given(shape=shapes, seed=seeds, weighted=st.booleans())
def test_many_labels_agree_with_autograd_and_loops(
    case: LossCase, shape: tuple[int, int, int], seed: int, weighted: bool
) -> None:
    scores, _ = draw_block(shape, seed)
    labels = draw_many(shape, seed)
    weights = torch.rand(shape[2], generator=torch.Generator().manual_seed(seed)).double() if weighted else None
    leaf = scores.clone().requires_grad_()
    each = differentiable_margins(case.loss, leaf, labels) * (1 if weights is None else weights)
    (slopes,) = torch.autograd.grad(each.sum(), leaf, create_graph=True)
    (bends,) = torch.autograd.grad(slopes.sum(), leaf)
    gradient = scores.clone()
    sums = case.loss.sums_(gradient, labels, weights, curvature=True)
    assert_close(sums.value, each.sum((1, 2)).detach())
    assert_close(gradient, slopes.detach())
    assert sums.curvature is not None
    assert_close(sums.curvature, bends.sum(-1))
    if weights is None and case.loops is not None:
        loss, expected = case.loops(scores[0].mT.contiguous(), torch.eye(shape[2]).double(), labels, 0.0)
        assert_close(sums.value[0] / shape[2], loss)
        assert_close(gradient[0].mT / shape[2], expected)


@classwise_loss
@quick
@given(shape=shapes, seed=seeds, many=st.booleans())
def test_newtons_view_of_a_classwise_loss_is_its_own(
    case: LossCase, shape: tuple[int, int, int], seed: int, many: bool
) -> None:
    """Value, slopes, curvature and dual of all rows of one candidate, and the derivatives along a line."""
    scores, labels = draw_block((1, *shape[1:]), seed)
    labels = draw_many(shape, seed) if many else labels
    share = torch.rand(shape[2], generator=torch.Generator().manual_seed(seed)).double()
    curved = case.loss.curved(Rows(labels.mT if many else labels.unsqueeze(0), share))
    gradient = scores.clone()
    sums = case.loss.sums_(gradient, labels, share, curvature=True)
    value, slopes = curved.value_and_slopes(scores[0])
    assert value == pytest.approx(float(sums.value[0]), rel=ROUNDING64, abs=ROUNDING64)
    assert_close(slopes, gradient[0])
    pairs = curved.pairs(scores[0])
    assert isinstance(pairs, ClassBends)
    assert sums.curvature is not None
    assert_close(pairs.mean_diagonal(), sums.curvature[0])
    dual = float(sums.value[0] - (gradient * scores).sum())
    assert curved.dual(scores[0]) == pytest.approx(dual, rel=1e-11, abs=1e-11)
    change = torch.randn(shape[1:], generator=torch.Generator().manual_seed(seed + 2), dtype=torch.float64)
    slope = curved.line(scores[0], change)
    bend = float((pairs.times(change) * change).sum())
    assert slope(0.0) == pytest.approx((float((slopes * change).sum()), bend), rel=1e-11, abs=1e-11)
    there = float((curved.value_and_slopes(scores[0] + 0.7 * change)[1] * change).sum())
    assert slope(0.7)[0] == pytest.approx(there, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize(("dtype", "lead"), [(torch.float32, 20.0), (torch.float64, 40.0)])
def test_a_small_loss_of_the_softmax_keeps_its_digits(dtype: torch.dtype, lead: float) -> None:
    """log(1 + small) of the sum itself would be 0."""
    scores = torch.tensor([[[lead], [0.0], [1.0]]], dtype=dtype)
    loss = float(evaluate(Softmax(), scores, torch.tensor([0]))[0])
    assert loss == pytest.approx(math.log1p(math.exp(-lead) + math.exp(1 - lead)), rel=1e-6)
