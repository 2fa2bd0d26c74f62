"""Scores and gradients of one batch: bytes against floats against float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from colinear import products
from colinear.byteproducts import MOST_SUMMANDS, ByteProducts, byte_second_moment
from colinear.datasets import ArrayDataset, Features, Scaling, fit_scaling
from colinear.losses import Hinge, Softmax
from colinear.objective import Objective
from colinear.products import FloatProducts, Products, pass_products, step_products

CLASSES = 4


def images(n: int = 60, pixels: int = 300, *, seed: int = 0, standardize: bool = False, bias: float = 1.0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, 256, (n, pixels), generator=generator, dtype=torch.uint8)
    labels = torch.arange(n) % CLASSES
    data = ArrayDataset(rows, labels, tuple("abcd"), value_range=255.0)
    return Features(data, fit_scaling(data, standardize=standardize, intercept_scaling=bias))


def use_bytes(monkeypatch: pytest.MonkeyPatch, there: bool = True, *, fewest: int = 0) -> None:
    """Let rows be multiplied as bytes on every processor, however few they are; or on none."""
    monkeypatch.setattr(products, "multiplies_bytes", lambda: there)
    monkeypatch.setattr(products, "FEWEST_PIXELS", fewest)


def products_of(kind: Products, coef: Tensor, slopes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    kind.hold(coef)
    kind.load(rows)
    scores = kind.scores_into(torch.empty(len(coef), len(rows)))
    target = torch.zeros_like(coef)
    kind.add_gradient_(target, slopes.clone(), torch.linspace(-1, 2, len(coef)).unsqueeze(1))
    return scores, target


def exact(features: Features, coef: Tensor, slopes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    chunk = features.at(torch.float64).gather(rows)
    factor = torch.linspace(-1, 2, len(coef)).double().unsqueeze(1)
    return coef.double() @ chunk.mT, factor * slopes.double() @ chunk


def distance(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b).norm() / b.norm())


@given(seed=st.integers(0, 2**31), scale=st.floats(-30, 30), bias=st.sampled_from([0.0, 1.0, 7.5]), whole=st.booleans())
def test_bytes_are_as_good_as_floats(seed: int, scale: float, bias: float, whole: bool) -> None:
    features = images(seed=seed, bias=bias)
    generator = torch.Generator().manual_seed(seed)
    coef = torch.randn(8, features.n_features, generator=generator) * 10.0**scale
    coef[1] *= torch.logspace(-20, 0, features.n_features)  # one large weight beside tiny ones
    rows = torch.randint(features.n_samples, (17,), generator=generator)
    slopes = torch.randn(8, 17, generator=generator)
    slopes = slopes.mul(3).round().clamp(-9, 1) if whole else slopes
    slopes[:, 0] = 1
    reference = exact(features, coef, slopes, rows)
    for kind in (ByteProducts(features, whole=whole), FloatProducts(features, 5)):
        for found, truth in zip(products_of(kind, coef, slopes, rows), reference, strict=True):
            assert distance(found, truth) < 3e-6


def test_the_error_is_below_that_of_float32_products() -> None:
    features = images(500, 3000)
    generator = torch.Generator().manual_seed(1)
    coef, slopes = torch.randn(30, 3001, generator=generator), torch.rand(30, 500, generator=generator)
    rows = torch.arange(500)
    reference = exact(features, coef, slopes, rows)
    bytes_, floats = (products_of(kind(features), coef, slopes, rows) for kind in (ByteProducts, FloatProducts))
    for mine, theirs, truth in zip(bytes_, floats, reference, strict=True):
        assert distance(mine, truth) < 1.5 * distance(theirs, truth)


SPREADS = (0, 1, 1.5, 2, 3, 4, 6, 8)  # decades


def spread_weights(kind: str, decades: float, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Normal numbers whose sizes are spread over `decades`: at random, sorted by column, or one above all others."""
    normal = torch.randn(rows, columns, generator=generator)
    if kind == "random":
        return normal * 10 ** (-decades * torch.rand(rows, columns, generator=generator))
    if kind == "sorted":
        return normal * torch.logspace(-decades, 0, columns)
    normal *= 10**-decades
    normal[:, 7] = 1
    return normal


@pytest.mark.parametrize("kind", ["random", "sorted", "one"])
@pytest.mark.parametrize("pixels", [256, 1000, 3072])
def test_the_stated_bound_holds_whatever_the_spread_of_the_weights(kind: str, pixels: int) -> None:
    features, generator = images(150, pixels), torch.Generator().manual_seed(pixels)
    rows, scale = torch.arange(150), float(features.scaling.scale)
    chunk = features.at(torch.float64).gather(rows).clone()
    signed = features.dataset.take(rows).double().sub_(128) * scale
    allowed = 4.2e-7 + 1e-7 * (1 + float(signed.norm() / chunk.norm()))
    for decades in SPREADS:
        coef = spread_weights(kind, decades, 8, pixels + 1, generator)
        slopes = spread_weights(kind, decades, 8, 150, generator)
        kind_of = ByteProducts(features)
        kind_of.hold(coef)
        kind_of.load(rows)
        scores, target = kind_of.scores_into(torch.empty(8, 150)), torch.zeros_like(coef)
        kind_of.add_gradient_(target, slopes.clone())
        for found, weights, factor in ((scores, coef, chunk.mT), (target, slopes, chunk)):
            error = (found.double() - weights.double() @ factor).square().mean(1).sqrt()  # (8,)
            size = weights.double().norm(dim=1) * factor.norm(dim=0).square().mean().sqrt() / len(factor) ** 0.5
            assert float((error / size).max()) < allowed, (decades, found.shape)


def test_a_fourth_digit_is_for_wide_rows_only() -> None:
    features = images()
    held = ByteProducts(features)
    normal = torch.randn(5, 301, generator=torch.Generator().manual_seed(0))
    wide = normal.clone()
    wide[2, 9] = 1000.0
    for coef, rows in ((normal, []), (wide, [2]), (torch.zeros(5, 301), []), (normal * 1e-30, []), (normal * 1e30, [])):
        held.hold(coef)
        assert held._held.wide.tolist() == rows
        assert len(held._held.digits) == 3 * 5 + len(rows)


def test_images_that_centring_leaves_little_of_are_multiplied_as_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    use_bytes(monkeypatch)
    generator = torch.Generator().manual_seed(0)
    for low, high, suits in ((0, 256, True), (5, 16, False), (100, 156, True), (240, 256, False)):
        raw = torch.randint(low, high, (40, 300), generator=generator, dtype=torch.uint8)
        data = ArrayDataset(raw, torch.arange(40) % 2, ("a", "b"), value_range=255.0)
        features = Features(data, fit_scaling(data))
        assert products.suits_bytes(features) is suits, (low, high)
        features.dataset = None  # type: ignore[assignment]
        assert (products._cancelled(features) <= products.MOST_CANCELLED) is suits  # looked at once only


def test_sums_that_int32_cannot_hold_are_left_to_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    use_bytes(monkeypatch)
    white = torch.full((2**17 + 1, 256), 255, dtype=torch.uint8)  # v = 127: sums of v^2 pass 2^31 at 133,153 rows
    white[0] = 0
    data = ArrayDataset(white, torch.zeros(len(white), dtype=torch.int64), ("a", "b"), value_range=255.0)
    unit, shift = torch.tensor(1 / 255, dtype=torch.float64), torch.zeros(256, dtype=torch.float64)
    features = Features(data, Scaling(unit, shift, 0.0))
    seen: list[int] = []
    real = byte_second_moment
    monkeypatch.setattr(
        "colinear.objective.byte_second_moment", lambda f, rows, size: (seen.append(len(rows)), real(f, rows, size))[1]
    )
    objective = Objective(features, chunk_rows=2**14)
    for count in (MOST_SUMMANDS, MOST_SUMMANDS + 1):
        rows = torch.arange(count)
        assert objective.second_moment(rows)[3, 5].item() == pytest.approx((count - 1) / count, rel=1e-4)
    assert seen == [MOST_SUMMANDS]


@pytest.mark.parametrize(("classes", "kind"), [(128, ByteProducts), (129, FloatProducts)])
def test_slopes_of_more_classes_than_a_byte_counts_are_floats(
    classes: int, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_bytes(monkeypatch)
    raw = torch.randint(0, 256, (classes, 300), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = ArrayDataset(raw, torch.arange(classes), tuple(map(str, range(classes))), value_range=255.0)
    features = Features(data, fit_scaling(data))
    found = step_products(features, Hinge(), 128)
    assert isinstance(found, kind)
    scores = torch.zeros(1, classes, 32)  # all margins are 1: the slope of the true class is 1 - classes
    Hinge().value_and_gradient_(scores, torch.zeros(32, dtype=torch.int64))
    rows = torch.arange(32)
    found.hold(torch.zeros(classes, 301))
    found.load(rows)
    target = torch.zeros(classes, 301)
    found.add_gradient_(target, scores[0].clone())
    assert distance(target, scores[0].double() @ features.at(torch.float64).gather(rows)) < 1e-6


def test_a_row_of_weights_has_the_same_scores_whatever_is_beside_it() -> None:
    features, rows = images(), torch.arange(60)
    coef = torch.randn(40, features.n_features, generator=torch.Generator().manual_seed(0))
    coef[[3, 20], 5] = 1e4  # wide
    slopes = torch.ones(40, 60)
    together = products_of(ByteProducts(features, whole=True), coef, slopes, rows)[0]
    for row in (slice(7, 8), slice(20, 21)):
        alone = products_of(ByteProducts(features, whole=True), coef[row], slopes[row], rows)[0]
        assert torch.equal(together[row], alone)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_stay_so_and_spoil_no_other_row(bad: float) -> None:
    features, rows = images(), torch.arange(9)
    coef = torch.randn(3, features.n_features, generator=torch.Generator().manual_seed(0))
    clean = products_of(ByteProducts(features), coef, torch.ones(3, 9), rows)[0]
    coef[1, 5] = bad
    scores = products_of(ByteProducts(features), coef, torch.ones(3, 9), rows)[0]
    assert not torch.isfinite(scores[1]).any()
    assert torch.equal(scores[[0, 2]], clean[[0, 2]])


def test_weights_of_zero_have_scores_of_zero() -> None:
    features = images(bias=0.0)
    scores, moved = products_of(ByteProducts(features), torch.zeros(2, 300), torch.zeros(2, 5), torch.arange(5))
    assert not scores.any()
    assert not moved.any()


def test_bytes_are_used_for_plain_images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    use_bytes(monkeypatch)
    features, coef = images(), torch.zeros(4, 301)
    narrow = images(pixels=64)
    floats = ArrayDataset(torch.randn(8, 300), torch.arange(8) % 2, ("a", "b"))
    assert isinstance(step_products(features, Hinge(), 128), ByteProducts)
    assert isinstance(step_products(features, Softmax(), 128), FloatProducts)
    assert isinstance(step_products(features, Hinge(0.5), 128), FloatProducts)
    assert isinstance(step_products(features, Hinge(), 2**17), FloatProducts)  # int32 would overflow
    assert isinstance(step_products(features, Hinge(), 127), FloatProducts)
    assert isinstance(pass_products(features, coef), ByteProducts)
    # more columns than int32 can add up
    wide = images(n=8, pixels=2**17)
    for other in (
        images(standardize=True),
        narrow,
        wide,
        features.at(torch.float64),
        Features(floats, fit_scaling(floats)),
    ):
        assert isinstance(pass_products(other, torch.zeros(1, other.n_features)), FloatProducts)
    use_bytes(monkeypatch, False)
    assert isinstance(pass_products(features, coef), FloatProducts)


def test_a_few_rows_are_multiplied_as_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    features = images(60, 300)
    for fewest, suits in ((60 * 300, True), (60 * 300 + 1, False)):
        use_bytes(monkeypatch, fewest=fewest)
        assert products.suits_bytes(features) is suits


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_the_second_moment_is_that_of_the_scaled_rows(
    there: bool, bias: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_bytes(monkeypatch, there)
    features = images(bias=bias)
    rows = torch.arange(3, 50)
    chunk = features.at(torch.float64).gather(rows)
    found = Objective(features, chunk_rows=10).second_moment(rows)
    assert distance(found, chunk.mT @ chunk / len(rows)) < 1e-6
    assert distance(found, found.double().mT) < 1e-6


@pytest.mark.parametrize("loss", [Softmax(), Hinge(), Hinge(0.3)])
def test_an_objective_is_the_same_through_bytes(loss: Softmax | Hinge, monkeypatch: pytest.MonkeyPatch) -> None:
    features = images()
    coef = torch.randn(2, CLASSES, features.n_features, generator=torch.Generator().manual_seed(0)) * 0.01
    regs = torch.tensor([1e-2, 1.0], dtype=torch.float64)
    found = []
    for there in (True, False):
        use_bytes(monkeypatch, there)
        found.append(Objective(features, chunk_rows=25).evaluate(coef, regs, loss))
    for name in ("objective", "gap", "value", "gradient", "curvature"):
        assert torch.allclose(getattr(found[0], name), getattr(found[1], name), rtol=1e-4, atol=1e-6), name
