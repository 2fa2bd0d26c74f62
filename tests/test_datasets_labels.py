"""Labels of any kind to 0..c-1 and back."""

from __future__ import annotations

from dataclasses import replace

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
        (np.zeros((3, 3, 3)), r"must have shape \(n_samples,\); got \(3, 3, 3\)"),
        (2 * np.eye(3), r"answers, 1 or 0, and -1 or NaN where unknown; row 0, column 0 has 2.0"),
        (np.array([["a", "b"]]), r"must have shape \(n_samples,\); got \(1, 2\)"),
        (torch.eye(2).to_sparse(), "dense, real numbers; got a sparse_coo tensor"),
        (np.array([["2020-01-01"] * 2], dtype="M8[D]"), "must be answers, 1 and 0, or one label a row; got datetime64"),
        ([["a"], 3], "lists of names in every row; row 1 has 3"),
        ([["a"], ["b", None]], r"row 1 has \['b', None\]"),
        ([[1, 0], [1]], "lists of names, or of one answer for each class, alike in every row"),
        ([["a", "x" * 1001]], "at most 1,000 characters"),
        (["|", " | "], "must name a class in some row"),
        ({"a": np.array([1]), "x" * 1001: np.array([0])}, "at most 1,000 characters"),
        ({"a": np.array([1]), "b": np.array([5])}, "row 0, column 1 has 5"),
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


ANSWERS = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.int8)
UNKNOWN = torch.tensor([[1, -1], [0, 1]], dtype=torch.int8)


@pytest.mark.parametrize(
    ("values", "answers", "names", "kind"),
    [
        (ANSWERS.numpy(), ANSWERS, ("0", "1", "2"), "int"),
        (ANSWERS.bool(), ANSWERS, ("0", "1", "2"), "int"),
        (ANSWERS.tolist(), ANSWERS, ("0", "1", "2"), "int"),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), UNKNOWN, ("0", "1"), "int"),
        (UNKNOWN, UNKNOWN, ("0", "1"), "int"),
        ({"b": np.array([1.0, 0.0]), "a": np.array([np.nan, 1.0])}, UNKNOWN, ("b", "a"), "text"),
        ([["cat", "dog"], [], ["eel"]], ANSWERS, ("cat", "dog", "eel"), "text"),
        (["dog|cat", "", "eel"], ANSWERS, ("cat", "dog", "eel"), "text"),
        (np.array([b"dog | cat", b"", b"eel"]), ANSWERS, ("cat", "dog", "eel"), "text"),
    ],
)
def test_answers_for_each_class(values: object, answers: torch.Tensor, names: tuple[str, ...], kind: str) -> None:
    found, classes = encode_labels(values)  # type: ignore[arg-type]
    assert torch.equal(found, answers)
    assert (found.dtype, classes) == (torch.int8, names)
    assert kind_of_labels(values) == kind  # type: ignore[arg-type]


def test_a_few_names_do_not_ask_for_any_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colinear.datasets.manylabels.MOST_ANSWERS", 8)
    with pytest.raises(InputError, match=r"3 rows and 3 names take more\. Leave rare names out"):
        encode_labels([["a"], ["b"], ["c"]])


def test_answers_are_matched_by_the_names_of_their_classes() -> None:
    data = ArrayDataset(torch.eye(3), ANSWERS, ("dog", "eel", "nobody has it"))
    data = replace(data, labels=torch.where(torch.arange(3) == 2, -1, ANSWERS).to(torch.int8))
    matched = match_classes(data, ("cat", "eel", "dog"))
    assert matched.labels.tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(InputError, match="classes that are not known: dog"):
        match_classes(data, ("cat", "eel"))
    with pytest.raises(InputError, match="an answer for each class, one class a row is asked for"):
        match_classes(data, ("dog", "eel"), many=False)


def test_rows_of_at_most_one_name_are_answers_where_others_have_more() -> None:
    data = ArrayDataset(torch.eye(3), torch.tensor([1, 0, 2]), ("", "cat", "eel"))
    matched = match_classes(data, ("cat", "dog", "eel"), many=True)
    assert matched.labels.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
