"""Labels of any kind to 0..c-1 and back: the door through which class names come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.base import ArrayDataset

RawLabels = Tensor | NDArray[Any] | Sequence[Any]


def encode_labels(values: RawLabels, what: str = "labels") -> tuple[Tensor, tuple[str, ...]]:
    """Return codes (n,) int64 in [0, c) and the c class names, sorted as numbers or as text.

    values : (n,) or (n, 1) whole numbers (gaps are fine), booleans, text, or floats that are whole numbers.
    Raises `InputError` for fractions, missing values, mixed kinds and other shapes. Cost: one sort.

    >>> encode_labels([7, 3, 7])
    (tensor([1, 0, 1]), ('3', '7'))
    >>> encode_labels([0.5, 1.0])
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: labels must be whole numbers, booleans or text; row 0 has 0.5. ...
    """
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
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind not in "biuU":
        raise InputError(f"{what} must be whole numbers, booleans or text; got {array.dtype}.")
    classes, codes = np.unique(array, return_inverse=True)
    return torch.from_numpy(codes.astype(np.int64)), tuple(str(name) for name in classes.tolist())


def kind_of_labels(values: RawLabels) -> str:
    """What labels that `encode_labels` takes are: 'int' (whole floats too), 'bool' or 'text'.

    >>> kind_of_labels([7, 3]), kind_of_labels(["7", "3"]), kind_of_labels(torch.tensor([True]))
    ('int', 'text', 'bool')
    """
    return {"b": "bool", "i": "int", "u": "int", "f": "int"}.get(_as_array(values, "labels").dtype.kind, "text")


def _as_array(values: RawLabels, what: str) -> NDArray[Any]:
    """One array of one kind; lists and object arrays are looked at value by value."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return np.asarray(values.float() if values.dtype == torch.bfloat16 else values)
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return values
    kinds = {bool: "bool", np.bool_: "bool", str: "text", np.str_: "text"}
    first: str | None = None
    for row, value in enumerate(values):
        kind = kinds.get(type(value), "number" if isinstance(value, int | float | np.number) else None)
        first = first or kind
        if kind is None or kind != first:
            raise InputError(
                f"{what} must be all whole numbers, all booleans or all text; row {row} has {value!r}. "
                "Drop or convert such rows first."
            )
    return np.asarray(list(values))


def match_classes(dataset: ArrayDataset, class_names: tuple[str, ...]) -> ArrayDataset:
    """Return `dataset` with its labels numbered as in `class_names` (those of a model, or of the training part).

    Raises `InputError` if it has rows of a class that is not among them.

    >>> data = ArrayDataset(torch.eye(2), torch.tensor([0, 1]), ("dog", "eel"))
    >>> match_classes(data, ("cat", "dog", "eel")).labels
    tensor([1, 2])
    """
    if dataset.class_names == class_names:
        return dataset
    numbers = {name: number for number, name in enumerate(class_names)}
    used = torch.bincount(dataset.labels).nonzero().squeeze(1).tolist()
    unknown = [dataset.class_names[code] for code in used if dataset.class_names[code] not in numbers]
    if unknown:
        raise InputError(
            f"{dataset.name} has classes that are not known: {', '.join(unknown[:5])}"
            f"{', ...' if len(unknown) > 5 else ''}. Known are {', '.join(class_names[:10])}"
            f"{', ...' if len(class_names) > 10 else ''}. Drop or rename these rows."
        )
    table = torch.tensor([numbers.get(name, 0) for name in dataset.class_names], device=dataset.labels.device)
    return replace(dataset, labels=table[dataset.labels], class_names=class_names)
