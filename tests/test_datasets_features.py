"""Scaling, its folding back onto raw rows, and chunks of scaled rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, fit_scaling


def table(n: int = 50, d: int = 4, dtype: torch.dtype = torch.float64, seed: int = 0) -> ArrayDataset:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64) * torch.logspace(-3, 3, d) + 5
    return ArrayDataset(features.to(dtype), torch.arange(n) % 2, ("a", "b"))


def pictures(n: int = 30) -> ArrayDataset:
    generator = torch.Generator().manual_seed(n)
    pixels = torch.randint(0, 256, (n, 24), generator=generator, dtype=torch.uint8)
    return ArrayDataset(pixels, torch.arange(n) % 2, ("a", "b"), (2, 3, 4), value_range=255.0)


def scaled(dataset: ArrayDataset, dtype: torch.dtype = torch.float64, **options: float) -> Tensor:
    return Features(dataset, fit_scaling(dataset, **options), dtype).gather(slice(0, None)).clone()  # type: ignore[arg-type]


def test_tables_are_centred_by_column_and_get_a_constant() -> None:
    data = table()
    want = torch.cat([data.features - data.features.mean(0), torch.ones(50, 1)], dim=1)
    torch.testing.assert_close(scaled(data), want)
    torch.testing.assert_close(scaled(data, center=False)[:, :4], data.features)
    torch.testing.assert_close(scaled(data, intercept_scaling=10.0)[:, 4], torch.full((50,), 10.0).double())
    assert scaled(data, intercept_scaling=0).shape == (50, 4)


def test_images_are_centred_by_channel() -> None:
    data = pictures()
    pixels = data.features.double().view(30, 2, 12) / 255
    want = (pixels - pixels.mean((0, 2), keepdim=True)).view(30, 24)
    torch.testing.assert_close(scaled(data)[:, :24], want)


@pytest.mark.parametrize("data", [table(), pictures()], ids=["table", "pictures"])
def test_standardised_columns_have_mean_zero_and_spread_one(data: ArrayDataset) -> None:
    values = scaled(data, standardize=True)[:, : data.n_features]
    torch.testing.assert_close(values.mean(0), torch.zeros(data.n_features).double(), atol=1e-7, rtol=0)
    # float32 sums of squares of uint8 rows: 1e-6
    torch.testing.assert_close(values.std(0, correction=0), torch.ones(data.n_features).double(), atol=1e-6, rtol=0)


def test_a_constant_column_stays_zero_however_large() -> None:
    features = torch.cat([torch.full((40, 1), 1e8 / 3), torch.arange(40.0)[:, None]], dim=1).double()
    data = ArrayDataset(features, torch.arange(40) % 2, ("a", "b"))
    assert float(scaled(data, standardize=True)[:, 0].abs().max()) < 1e-6


def test_a_column_that_is_constant_to_rounding_keeps_its_scale() -> None:
    """0.3 and 0.1 + 0.2 are two numbers, and no two values: divided by their spread they would be +1 and -1."""
    features = torch.cat(
        [torch.tensor([[0.3], [0.1 + 0.2]], dtype=torch.float64).repeat(20, 1), torch.arange(40.0)[:, None]], 1
    )
    data = ArrayDataset(features, torch.arange(40) % 2, ("a", "b"))
    assert float(fit_scaling(data, standardize=True).scale[0]) == 1
    assert float(scaled(data, standardize=True)[:, 0].abs().max()) < 1e-15


@given(
    picture=st.booleans(),
    standardize=st.booleans(),
    center=st.booleans(),
    bias=st.sampled_from([0.0, 1.0, 7.5]),
    seed=st.integers(0, 99),
)
def test_folded_weights_give_raw_rows_the_same_scores(
    picture: bool, standardize: bool, center: bool, bias: float, seed: int
) -> None:
    data = pictures(20 + seed) if picture else table(seed=seed)
    scaling = fit_scaling(data, center=center, standardize=standardize, intercept_scaling=bias)
    rows = Features(data, scaling, torch.float64).gather(slice(0, None))
    generator = torch.Generator().manual_seed(seed)
    coef = torch.randn(3, 2, scaling.n_outputs, generator=generator, dtype=torch.float64)
    weight, offset = scaling.fold(coef)
    raw = data.features.double() @ weight.transpose(-1, -2) + offset[:, None]
    torch.testing.assert_close(raw, rows @ coef.transpose(-1, -2), atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_chunks_are_the_rows_in_order(size: int) -> None:
    data = table()
    features = Features(data, fit_scaling(data), torch.float64)
    whole = features.gather(slice(0, 50)).clone()
    seen = [(rows, chunk.clone()) for rows, chunk in features.chunks(size)]
    torch.testing.assert_close(torch.cat([chunk for _, chunk in seen]), whole)
    assert [rows.start for rows, _ in seen] == list(range(0, 50, size))


def test_gathered_rows_and_precision() -> None:
    data = pictures()
    features = Features(data, fit_scaling(data))
    rows = torch.tensor([5, 0, 5])
    double = features.at(torch.float64).gather(rows).clone()
    assert features.gather(rows).dtype == torch.float32
    torch.testing.assert_close(features.gather(rows).double(), double, atol=1e-6, rtol=0)
    assert features.at(torch.float32) is features


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_named(value: float) -> None:
    data = table(5000)
    data.features[4000, 3] = value
    with pytest.raises(InputError, match="row 4000, column 3"):
        fit_scaling(data)


def test_other_widths_and_negative_intercepts_are_refused() -> None:
    with pytest.raises(InputError, match="must have 4 features; got 24"):
        Features(pictures(), fit_scaling(table()))
    with pytest.raises(InputError, match="intercept_scaling"):
        fit_scaling(table(), intercept_scaling=-1.0)


def test_a_bright_constant_pixel_of_byte_images_keeps_its_scale_when_standardized() -> None:
    rows = torch.randint(0, 256, (3000, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    rows[:, 1] = 253
    scaling = fit_scaling(ArrayDataset(rows, torch.arange(3000) % 2, ("a", "b"), value_range=255.0), standardize=True)
    assert float(scaling.scale[1]) == 1 / 255
    exact = rows.double().std(0, correction=0)
    assert torch.allclose(scaling.scale[[0, 2]], 1 / exact[[0, 2]], rtol=1e-10)


@pytest.mark.parametrize("standardize", [False, True])
def test_row_weights_count_in_every_chunk(standardize: bool) -> None:
    """5,000 rows are three chunks; weight 3 is the row three times."""
    data, weights = table(5000), (torch.arange(5000) % 7).double()
    scaling = fit_scaling(data, standardize=standardize, row_weights=weights)
    repeated = data.subset(torch.arange(5000).repeat_interleave(weights.long()))
    expected = fit_scaling(repeated, standardize=standardize)
    torch.testing.assert_close(scaling.shift, expected.shift)
    torch.testing.assert_close(scaling.scale, expected.scale)


@pytest.mark.parametrize("size", [2.0**-1000, 2.0**-500, 2.0**500, 2.0**1000], ids="{:.0e}".format)
def test_a_spread_of_any_size_has_the_same_digits(size: float) -> None:
    data = table(5000)
    features = data.features.clone()
    features[:2048] = features[0]  # the first chunk has no spread at all
    plain = fit_scaling(replace(data, features=features), standardize=True)
    sized = fit_scaling(replace(data, features=features * size), standardize=True)
    assert torch.equal(sized.scale * size, plain.scale)
    assert torch.equal(sized.shift, plain.shift)


def test_columns_that_grow_from_chunk_to_chunk_have_the_spread_of_all_rows() -> None:
    data = table(5000)
    data.features[:2048] = 5 + (data.features[:2048] - 5) / 10
    scaling = fit_scaling(data, standardize=True)
    torch.testing.assert_close(scaling.scale, 1 / data.features.std(0, correction=0))
    torch.testing.assert_close(scaling.shift, data.features.mean(0) * scaling.scale)


@pytest.mark.parametrize("size", [2.0**-1000, 2.0**1000], ids="{:.0e}".format)
def test_only_the_ratios_of_row_weights_count(size: float) -> None:
    data, weights = table(5000), torch.rand(5000, generator=torch.Generator().manual_seed(0)).double()
    plain, sized = (fit_scaling(data, standardize=True, row_weights=w) for w in (weights, weights * size))
    assert torch.equal(sized.scale, plain.scale)
    assert torch.equal(sized.shift, plain.shift)


@pytest.mark.parametrize("size", [1e-306, 1e305], ids=str)
def test_a_spread_whose_inverse_or_self_is_beyond_float64_is_refused(size: float) -> None:
    data = table()
    data.features[:, 2] = torch.linspace(-1, 1, 50, dtype=torch.float64) * size
    with pytest.raises(InputError, match=r"standard deviations between 1e-304 and 1e\+304 .* column 2 of"):
        fit_scaling(data, standardize=True)


def test_a_float64_column_of_timestamps_is_no_constant() -> None:
    """A spread of 5 at 1.7e9 is 3e-9 of the mean: below the rounding of float32, far above that of float64."""
    data = table()
    data.features[:, 1] = 1.7e9 + torch.arange(50.0).double() / 3
    scaling = fit_scaling(data, standardize=True)
    assert float(scaling.scale[1]) == pytest.approx(1 / float((torch.arange(50.0).double() / 3).std(correction=0)))
