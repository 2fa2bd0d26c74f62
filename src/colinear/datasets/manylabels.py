"""An answer for each class, as people store it: matrices of 0 and 1, columns of them, lists of names.

| labels | answers |
| --- | --- |
| a matrix (n, c >= 2) of 1 and 0, -1 or NaN where nobody knows | as they are; classes are called 0, 1, ... |
| columns of these with names | the same, called as the columns |
| lists of names, one list a row | 1 for each name; the other classes are not there |
| text with `|` in any row: `cat|dog` | the same, the names between the `|` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.arrays import plain_tensor
from colinear.texts import shorten

MARK = "|"  # between names; a class of one label a row has none in its name
WIDEST = 2**16  # bytes of a text in an array: what is wider is no list of names, and is refused unread
MOST_ANSWERS = 2**31  # bytes; a file of few names a row can ask for rows times names
Found = tuple[Tensor, tuple[str, ...]]
Form = Literal["columns", "matrix", "names"]
Encode = Callable[[list[str], str], Found]  # texts to codes (n,) and names


def form_of(values: Any) -> Form | None:
    """Which of the forms above labels have; None of one label a row.

    >>> form_of(["cat", "cat|dog"]), form_of(["cat", "dog"]), form_of(torch.eye(2))
    ('names', None, 'matrix')
    """
    if isinstance(values, Mapping):
        arrays = all(isinstance(name, str) and isinstance(column, np.ndarray) for name, column in values.items())
        return "columns" if values and arrays else None
    if isinstance(values, Tensor | np.ndarray) and values.ndim != 1:
        text = isinstance(values, np.ndarray) and values.dtype.kind in "USO"
        return "matrix" if values.ndim == 2 and values.shape[1] > 1 and not text else None
    if isinstance(values, np.ndarray):
        short = values.dtype.kind in "USO" and values.dtype.itemsize <= WIDEST
        values = values.tolist() if short else ()
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        return None
    lists = [row for row in values if isinstance(row, list | tuple)]
    first = next((row[0] for row in lists if len(row)), "")
    if not isinstance(first, str):
        return "matrix"
    return "names" if lists or any(_marked(row) for row in values) else None


def read_answers(values: Any, what: str, encode: Encode) -> Found | None:
    """Answers (n, c) int8 and the class names of labels in one of the forms above; None of one label a row.

    encode : what makes numbers of names, and refuses what cannot be one.
    Raises   `InputError` for other numbers than 1, 0 and -1, and for more answers than memory is for.
    """
    form = form_of(values)
    if form == "columns":
        columns = [_numbers(np.asarray(column), f"{what}, column {shorten(name)}") for name, column in values.items()]
        encode([*values], what)  # names of columns are names of classes
        return _check(np.stack(columns, 1), what), tuple(values)
    if form == "matrix":
        matrix = _check(_numbers(_as_matrix(values, what), what), what)
        return matrix, tuple(str(number) for number in range(matrix.shape[1]))
    if form == "names":
        rows = values.tolist() if isinstance(values, np.ndarray) else values
        return _from_names([_names_of(row, number, what) for number, row in enumerate(rows)], what, encode)
    return None


def renumber(labels: Tensor, places: Tensor, n_classes: int, absent: int = 0) -> Tensor:
    """Labels by another list of n_classes names, in which class j stands at places[j].

    absent : the answer of a class that the labels do not know.

    >>> renumber(torch.tensor([[1, 0]], dtype=torch.int8), torch.tensor([2, 0]), 3)
    tensor([[0, 0, 1]], dtype=torch.int8)
    """
    if labels.ndim == 1:
        return places[labels]
    answers = labels.new_full((len(labels), n_classes), absent)
    answers[:, places] = labels
    return answers


def _marked(row: Any) -> bool:
    return MARK in row if isinstance(row, str) else isinstance(row, bytes) and MARK.encode() in row


def _as_matrix(values: Any, what: str) -> NDArray[Any]:
    if isinstance(values, Tensor):
        values = plain_tensor(values, what)
        return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)
    try:
        matrix = np.asarray(values)
    except ValueError:  # rows of several lengths
        matrix = np.empty(0)
    if matrix.ndim != 2:
        raise InputError(f"{what} must be lists of names, or of one answer for each class, alike in every row.")
    return matrix


def _numbers(values: NDArray[Any], what: str) -> NDArray[Any]:
    """Numbers of any kind, NaN as -1."""
    if values.dtype.kind not in "biuf":
        raise InputError(f"{what} must be answers, 1 and 0, or one label a row; got {shorten(values.dtype)}.")
    return np.where(np.isnan(values), -1, values) if values.dtype.kind == "f" else values


def _check(values: NDArray[Any], what: str) -> Tensor:
    """(n, c) int8."""
    bad = np.argwhere((values != 0) & (values != 1) & ((values != -1) | (values.dtype.kind == "u")))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{what} of shape {values.shape} must be answers, 1 or 0, and -1 or NaN where unknown; row {row}, column "
            f"{column} has {values[row, column]}. Give one label a row in one column otherwise."
        )
    return torch.from_numpy(values.astype(np.int8))


def _names_of(row: Any, number: int, what: str) -> list[str]:
    """The names of a row, from a list of them or from text."""
    row = row.decode("utf-8", "backslashreplace") if isinstance(row, bytes) else row
    row = row.split(MARK) if isinstance(row, str) else row
    if not isinstance(row, list | tuple) or not all(isinstance(name, str) for name in row):
        raise InputError(f"{what} must be lists of names in every row; row {number} has {shorten(repr(row))}.")
    return [name.strip() for name in row if name.strip()]


def _from_names(rows: list[list[str]], what: str, encode: Encode) -> Found:
    codes, names = encode([name for row in rows for name in row], what)
    if not names:
        raise InputError(f"{what} must name a class in some row; all rows are without one.")
    if len(rows) * len(names) > MOST_ANSWERS:
        raise InputError(
            f"{what} must be at most {MOST_ANSWERS >> 30} GiB of answers; {len(rows):,} rows and {len(names):,} names "
            "take more. Leave rare names out."
        )
    answers = torch.zeros(len(rows), len(names), dtype=torch.int8)
    counts = torch.tensor([len(row) for row in rows])
    answers[torch.arange(len(rows)).repeat_interleave(counts), codes] = 1
    return answers, names
