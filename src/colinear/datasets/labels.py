"""Labels of any kind to 0..c-1 and back: the door through which class names come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.answers import count_rows
from colinear.datasets.arrays import plain_tensor
from colinear.datasets.base import ArrayDataset
from colinear.datasets.manylabels import form_of, read_answers, renumber
from colinear.texts import listed, shorten

LABEL_LENGTH = 1000  # characters; a class is named, not told, and its name stands in models, tables and reports
RawLabels = Tensor | NDArray[Any] | Sequence[Any] | Mapping[str, Any]


def encode_labels(values: RawLabels, what: str = "labels") -> tuple[Tensor, tuple[str, ...]]:
    """Return codes (n,) int64 in [0, c) and the c class names, sorted as numbers or as text.

    Of answers for each class, as matrices of 0 and 1 or lists of names, (n, c) int8 in place of codes; see
    `manylabels`.

    values : (n,) or (n, 1) whole numbers (gaps are fine), booleans, text of at most 1,000 characters, or floats
        that are whole numbers. Bytes are read as UTF-8; other bytes stand as \\xNN.
    Raises `InputError` for fractions, missing values, mixed kinds, other shapes, and text that is too long or has
    half of a surrogate pair, which no file could hold. Cost: one sort of the numbers, or of the distinct texts.

    >>> encode_labels([7, 3, 7])
    (tensor([1, 0, 1]), ('3', '7'))
    >>> encode_labels([0.5, 1.0])
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: labels must be whole numbers, booleans or text; row 0 has 0.5. ...
    """
    if (answers := read_answers(values, what, _encode_text)) is not None:
        return answers
    array = _as_array(values, what)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"{what} must have shape (n_samples,); got {array.shape}. Give one label per row.")
    if array.dtype.kind == "f":
        bad = np.flatnonzero(~(np.isfinite(array) & (array == np.floor(array)) & (np.abs(array) < 2**53)))
        if len(bad):
            raise InputError(
                f"{what} must be whole numbers, booleans or text; row {bad[0]} has {array[bad[0]]}. "
                "Classes are trained here, not quantities."
            )
        array = array.astype(np.int64)
    if array.dtype.kind in "SUO":
        return _encode_text(_texts(array, what), what)
    if array.dtype.kind not in "biu":
        raise InputError(f"{what} must be whole numbers, booleans or text; got {shorten(array.dtype)}.")
    classes, codes = np.unique(array, return_inverse=True)
    return torch.from_numpy(codes.astype(np.int64)), tuple(str(name) for name in classes.tolist())


def _texts(array: NDArray[Any], what: str) -> list[str]:
    """The rows of an array of text, bytes or str objects."""
    if array.dtype.kind != "O" and array.dtype.itemsize > LABEL_LENGTH * (4 if array.dtype.kind == "U" else 1):
        raise InputError(
            f"{what} must be text of at most {LABEL_LENGTH:,} characters; got {shorten(array.dtype)}. "
            "Give every class a short name."
        )
    rows: list[Any] = array.tolist()
    # two names that are not UTF-8 must stay two: a replacement sign for each byte would make one of them
    return [row.decode("utf-8", "backslashreplace") if isinstance(row, bytes) else str(row) for row in rows]


def _encode_text(rows: list[str], what: str) -> tuple[Tensor, tuple[str, ...]]:
    """Codes and names by a table of the distinct texts: an array of text would give each row the longest's room."""
    names = sorted(set(rows))
    for name in names:
        if len(name) > LABEL_LENGTH or (not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name)):
            rule = f"of at most {LABEL_LENGTH:,} characters, without halves of surrogate pairs"
            raise InputError(
                f"{what} must be text {rule}; row {rows.index(name)} has {len(name):,}: {shorten(repr(name), 30)}. "
                "Give every class a short, plain name."
            )
    numbers = {name: number for number, name in enumerate(names)}
    return torch.tensor([numbers[row] for row in rows], dtype=torch.int64), tuple(names)


def kind_of_labels(values: RawLabels) -> str:
    """What labels that `encode_labels` takes are: 'int' (whole floats too), 'bool' or 'text'.

    >>> kind_of_labels([7, 3]), kind_of_labels(["7", "3"]), kind_of_labels(torch.tensor([True]))
    ('int', 'text', 'bool')
    """
    if (form := form_of(values)) is not None:
        return "int" if form == "matrix" else "text"
    return {"b": "bool", "i": "int", "u": "int", "f": "int"}.get(_as_array(values, "labels").dtype.kind, "text")


def _as_array(values: RawLabels, what: str) -> NDArray[Any]:
    """One array of one kind, text as objects; lists and object arrays are looked at value by value."""
    if isinstance(values, Tensor):
        values = plain_tensor(values, what)
        return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)
    if not isinstance(values, np.ndarray) and hasattr(values, "__array__"):
        values = np.asarray(values)
    if isinstance(values, np.ndarray):
        if values.dtype.kind != "O":
            return values
        values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    listed_rows = values.ndim > 0 if isinstance(values, np.ndarray) else isinstance(values, Sequence)
    if not listed_rows or isinstance(values, str | bytes):
        raise InputError(
            f"{what} must be an array or a list with one label per row; got {shorten(type(values).__name__)}."
        )
    kinds = {bool: "bool", np.bool_: "bool", str: "text", np.str_: "text"}
    first: str | None = None
    for row, value in enumerate(values):
        kind = kinds.get(type(value), "number" if isinstance(value, int | float | np.number) else None)
        first = first or kind
        if kind is None or kind != first:
            raise InputError(
                f"{what} must be all whole numbers, all booleans or all text; row {row} has {shorten(repr(value))}. "
                "Drop or convert such rows first."
            )
    return np.asarray(list(values), dtype=object if first == "text" else None)


def match_classes(dataset: ArrayDataset, class_names: tuple[str, ...], *, many: bool | None = None) -> ArrayDataset:
    """Return `dataset` with its labels numbered as in `class_names` (those of a model, or of the training part).

    many : whether its rows shall have an answer for each class, as those have; None: as they are. A file of which no
    row has two names does not say so itself.
    Raises `InputError` if it has rows of a class that is not among them, and answers where one class a row is asked
    for.

    >>> data = ArrayDataset(torch.eye(2), torch.tensor([0, 1]), ("dog", "eel"))
    >>> match_classes(data, ("cat", "dog", "eel")).labels
    tensor([1, 2])
    >>> match_classes(data, ("cat", "dog", "eel"), many=True).labels
    tensor([[0, 1, 0],
            [0, 0, 1]], dtype=torch.int8)
    """
    if many is False and dataset.labels.ndim == 2:
        raise InputError(
            f"{shorten(dataset.name)} has an answer for each class, one class a row is asked for. Give labels of the "
            "same kind."
        )
    if many and dataset.labels.ndim == 1:
        names = torch.tensor([name != "" for name in dataset.class_names], device=dataset.labels.device)
        each = torch.nn.functional.one_hot(dataset.labels, dataset.n_classes)[:, names].to(torch.int8)
        named = tuple(name for name in dataset.class_names if name)
        dataset = replace(dataset, labels=each, class_names=named)
    if dataset.class_names == class_names:
        return dataset
    numbers = {name: number for number, name in enumerate(class_names)}
    used = count_rows(dataset.labels, dataset.n_classes).nonzero().squeeze(1).tolist()
    unknown = [dataset.class_names[code] for code in used if dataset.class_names[code] not in numbers]
    if unknown:
        raise InputError(
            f"{shorten(dataset.name)} has classes that are not known: {listed(unknown)}. "
            f"Known are {listed(class_names)}. Drop or rename these rows."
        )
    # no row has a class that is not known here: its number is asked for by none, and its column is of no use
    known = [code for code, name in enumerate(dataset.class_names) if name in numbers or dataset.labels.ndim == 1]
    places = torch.tensor([numbers.get(dataset.class_names[code], 0) for code in known], device=dataset.labels.device)
    labels = dataset.labels if dataset.labels.ndim == 1 else dataset.labels[:, known]
    return replace(dataset, labels=renumber(labels, places, len(class_names)), class_names=class_names)
