"""Argument checks: what they let through, and that a refusal says what, the rule, and what came."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from colinear.checks import (
    InputError,
    check_choice,
    check_count,
    check_features,
    check_finite,
    check_labels,
    check_number,
    check_seed,
)


def refused(message: str) -> Any:
    return pytest.raises(InputError, match=f"^{re.escape(message)}")


def test_an_input_error_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)


@given(st.integers(-5, 5), st.integers(-9, 9))
def test_counts_are_whole_numbers_from_a_minimum(minimum: int, value: int) -> None:
    if value >= minimum:
        assert check_count("steps", value, minimum) == value
    else:
        with refused(f"steps must be a whole number >= {minimum}; got {value}."):
            check_count("steps", value, minimum)


@pytest.mark.parametrize("value", [2**31, 10**400, 10**5000], ids=range(3))
def test_counts_that_fit_nowhere_are_refused_in_bounded_words(value: int) -> None:
    assert check_count("steps", 2**31 - 1) == 2**31 - 1
    with refused("steps must be a whole number from 1 to 2,147,483,647; got ") as refusal:
        check_count("steps", value)
    assert len(str(refusal.value)) < 200
    with refused("steps must be a whole number from 1 to 10; got 11."):
        check_count("steps", 11, most=10)


@pytest.mark.parametrize("value", [-1, 2**63, 10**5000, 1.0, True, "0", None], ids=range(7))
def test_a_seed_is_a_whole_number_below_2_63(value: Any) -> None:
    assert [check_seed("seed", seed) for seed in (0, 2**63 - 1)] == [0, 2**63 - 1]
    with refused("seed must be a whole number from 0 to 2^63 - 1; got "):
        check_seed("seed", value)


def test_a_number_too_large_for_a_float_is_not_finite() -> None:
    with refused("tol must be a finite number") as refusal:
        check_number("tol", 10**400)
    assert len(str(refusal.value)) < 200


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    message = str(InputError("it is " + "x" * 10_000_000 + ". Do that."))
    assert len(message) == 800
    assert message.startswith("it is xxx")
    assert message.endswith("xxx. Do that.")
    assert "…" in message


@pytest.mark.parametrize("value", [True, 2.0, "2", None, math.nan])
def test_what_is_no_whole_number_is_no_count(value: Any) -> None:
    with refused(f"steps must be a whole number >= 1; got {value!r}."):
        check_count("steps", value)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0.0, {"above": 0}), (-1, {"least": 0}), (1.5, {"most": 1}), (math.nan, {}), (math.inf, {"least": 0}),
        ("1", {}), (None, {}), (torch.ones(1), {}),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_outside_their_rule_are_refused(value: Any, rule: dict[str, float]) -> None:
    with refused("tol must be a finite number"):
        check_number("tol", value, **rule)


def test_a_refused_number_shows_every_rule() -> None:
    with refused("share must be a finite number > 0 and <= 1; got 2."):
        check_number("share", 2, above=0, most=1)
    with refused("reg must be a finite number >= 0; got -1.0."):
        check_number("reg", -1.0, least=0)


@pytest.mark.parametrize(("value", "rule"), [(0, {"least": 0}), (1, {"most": 1}), (1e-300, {"above": 0}), (-7.5, {})])
def test_numbers_inside_their_rule_come_back_as_floats(value: float, rule: dict[str, float]) -> None:
    found = check_number("x", value, **rule)
    assert found == value
    assert isinstance(found, float)


def test_choices() -> None:
    assert check_choice("loss", "hinge", ("hinge", "softmax")) == "hinge"
    with refused("loss must be one of hinge, softmax; got 'hnge'."):
        check_choice("loss", "hnge", ("hinge", "softmax"))


def test_labels_come_back_or_the_first_bad_row_is_named() -> None:
    labels = torch.tensor([0, 2, 1])
    assert check_labels(labels, 3) is labels
    with refused("labels must lie in [0, 2); row 1 has 2."):
        check_labels(labels, 2)
    with refused("rows must lie in [0, 3); row 2 has -1."):
        check_labels(torch.tensor([0, 0, -1]), 3, "rows")


@pytest.mark.parametrize("labels", [torch.zeros(3), torch.zeros(3, 1, dtype=torch.int64), torch.tensor([0, 1]).int()])
def test_labels_of_another_shape_or_type_are_refused(labels: Tensor) -> None:
    with refused(f"labels must be int64 of shape (n_samples,); got {labels.dtype} of shape {tuple(labels.shape)}."):
        check_labels(labels, 2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_that_are_not_finite_are_found(value: float, dtype: torch.dtype) -> None:
    features = torch.zeros(4, 3, dtype=dtype)
    features[2, 1] = value
    with refused(f"features must be finite; row 102, column 1 has {value}."):
        check_finite(features, first_row=100)


def test_opposite_infinities_do_not_hide_each_other() -> None:
    with refused("features must be finite; row 0, column 0 has inf."):
        check_finite(torch.tensor([[math.inf, -math.inf]]))


def test_finite_values_pass_however_large() -> None:
    for features in (
        torch.full((5, 5), 3e38),
        torch.full((2, 2), 1.7e308, dtype=torch.float64),
        torch.zeros(2, 2).byte(),
    ):
        assert check_finite(features) is features


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.zeros(3), "features must have shape (n_samples, n_features), neither 0; got (3,)."),
        (torch.zeros(0, 3), "features must have shape (n_samples, n_features), neither 0; got (0, 3)."),
        (torch.zeros(3, 0), "features must have shape"),
        (torch.zeros(2, 3).half(), "features must be uint8, float32 or float64; got torch.float16."),
        (torch.zeros(2, 4), "features must have 3 columns; got 4."),
    ],
    ids=["vector", "no rows", "no columns", "half", "columns"],
)
def test_features_of_another_shape_or_type_are_refused(features: Tensor, message: str) -> None:
    with refused(message):
        check_features(features, 3)


def test_features_that_fit_come_back() -> None:
    for dtype in (torch.uint8, torch.float32, torch.float64):
        features = torch.zeros(2, 3, dtype=dtype)
        assert check_features(features, 3) is features
