"""Labels of any kind to 0..c-1 and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, encode_labels, match_classes
from colinear.datasets.labels import kind_of_labels


@pytest.mark.parametrize(
    ("values", "codes", "names"),
    [
        ([5, -1, 5], [1, 0, 1], ("-1", "5")),
        (np.array([2.0, 10.0, 2.0]), [0, 1, 0], ("2", "10")),
        (np.array([[3], [1]]), [1, 0], ("1", "3")),
        (["dog", "cat"], [1, 0], ("cat", "dog")),
        (np.array([b"x", b"\xc3\xa9"]), [0, 1], ("x", "é")),
        (np.array(["b", "a"], dtype=object), [1, 0], ("a", "b")),
        ([True, False], [1, 0], ("False", "True")),
        (torch.tensor([9, 9, 2]), [1, 1, 0], ("2", "9")),
        (torch.tensor([1.0, 0.0], dtype=torch.bfloat16), [1, 0], ("0", "1")),
        (np.array([2**64 - 1, 0], dtype=np.uint64), [1, 0], ("0", str(2**64 - 1))),
    ],
)
def test_known_answers(values: object, codes: list[int], names: tuple[str, ...]) -> None:
    got, classes = encode_labels(values)  # type: ignore[arg-type]
    assert (got.tolist(), got.dtype, classes) == (codes, torch.int64, names)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([5, -1], "int"),
        (np.array([2.0, 10.0]), "int"),
        (torch.tensor([1.0], dtype=torch.bfloat16), "int"),
        (np.array([1], dtype=np.uint8), "int"),
        (["5", "1"], "text"),
        (np.array([b"x"]), "text"),
        (np.array(["b"], dtype=object), "text"),
        ([True, False], "bool"),
        (torch.tensor([True]), "bool"),
    ],
)
def test_what_labels_were_is_known(values: object, kind: str) -> None:
    assert kind_of_labels(values) == kind  # type: ignore[arg-type]


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1) | st.lists(st.text("abc", max_size=3), min_size=1))
def test_names_of_codes_are_the_labels(values: list[int] | list[str]) -> None:
    codes, names = encode_labels(values)
    assert [names[code] for code in codes] == [str(value) for value in values]
    assert set(codes.tolist()) == set(range(len(names)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([0.0, 1.5]), r"row 1 has 1\.5"),
        (np.array([0.0, np.nan]), "row 1 has nan"),
        (np.array([np.inf]), "row 0 has inf"),
        (["a", None], "row 1 has None"),
        (["a", 1], "row 1 has 1"),
        ([True, 2], "row 1 has 2"),
        (np.eye(3), r"must have shape \(n_samples,\); got \(3, 3\)"),
        (np.array([1j]), "got complex128"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "got datetime64"),
    ],
)
def test_what_is_no_label(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        encode_labels(values)  # type: ignore[arg-type]


def test_match_classes_renumbers_and_refuses_the_unknown() -> None:
    data = ArrayDataset(torch.eye(3), torch.tensor([0, 1, 1]), ("b", "c", "unused"))
    matched = match_classes(data, ("a", "b", "c"))
    assert matched.labels.tolist() == [1, 2, 2]
    assert matched.class_names == ("a", "b", "c")
    with pytest.raises(InputError, match=r"array has classes that are not known: c\. Known are a, b"):
        match_classes(data, ("a", "b"))


@pytest.mark.parametrize("sign", [1, -1])
def test_floats_beyond_the_exact_whole_numbers_are_no_labels(sign: int) -> None:
    _, names = encode_labels([sign * (2.0**53 - 1), 0.0])
    assert str(sign * (2**53 - 1)) in names
    with pytest.raises(InputError, match="row 1 has"):
        encode_labels([0.0, sign * 2.0**53])  # 2^53 + 1 reads the same
