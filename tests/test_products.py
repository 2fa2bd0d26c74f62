"""Scores and gradients of one batch: bytes against floats against float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from colinear import products
from colinear.datasets import ArrayDataset, Features, fit_scaling
from colinear.losses import Hinge, Softmax
from colinear.objective import Objective
from colinear.products import ByteProducts, FloatProducts, Products, pass_products, step_products

CLASSES = 4


def images(n: int = 60, pixels: int = 300, *, seed: int = 0, standardize: bool = False, bias: float = 1.0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, 256, (n, pixels), generator=generator, dtype=torch.uint8)
    labels = torch.arange(n) % CLASSES
    data = ArrayDataset(rows, labels, tuple("abcd"), value_range=255.0)
    return Features(data, fit_scaling(data, standardize=standardize, intercept_scaling=bias))


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


def test_a_row_of_weights_has_the_same_scores_whatever_is_beside_it() -> None:
    features, rows = images(), torch.arange(60)
    coef = torch.randn(40, features.n_features, generator=torch.Generator().manual_seed(0))
    slopes = torch.ones(40, 60)
    together = products_of(ByteProducts(features, whole=True), coef, slopes, rows)[0]
    alone = products_of(ByteProducts(features, whole=True), coef[7:8], slopes[7:8], rows)[0]
    assert torch.equal(together[7:8], alone)


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
    monkeypatch.setattr(products, "has_byte_tiles", lambda: True)
    features, coef = images(), torch.zeros(4, 301)
    narrow = images(pixels=64)
    floats = ArrayDataset(torch.randn(8, 300), torch.arange(8) % 2, ("a", "b"))
    assert isinstance(step_products(features, Hinge(), 32), ByteProducts)
    assert isinstance(step_products(features, Softmax(), 32), FloatProducts)
    assert isinstance(step_products(features, Hinge(0.5), 32), FloatProducts)
    assert isinstance(step_products(features, Hinge(), 2**17), FloatProducts)  # int32 would overflow
    assert isinstance(pass_products(features, coef), ByteProducts)
    for other in (images(standardize=True), narrow, features.at(torch.float64), Features(floats, fit_scaling(floats))):
        assert isinstance(pass_products(other, torch.zeros(1, other.n_features)), FloatProducts)
    monkeypatch.setattr(products, "has_byte_tiles", lambda: False)
    assert isinstance(pass_products(features, coef), FloatProducts)


@pytest.mark.parametrize("tiles", [True, False])
@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_the_second_moment_is_that_of_the_scaled_rows(
    tiles: bool, bias: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "has_byte_tiles", lambda: tiles)
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
    for tiles in (True, False):
        monkeypatch.setattr(products, "has_byte_tiles", lambda tiles=tiles: tiles)
        found.append(Objective(features, chunk_rows=25).evaluate(coef, regs, loss))
    for name in ("objective", "gap", "value", "gradient", "curvature"):
        assert torch.allclose(getattr(found[0], name), getattr(found[1], name), rtol=1e-4, atol=1e-6), name
