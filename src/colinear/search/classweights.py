"""What the rows of a class count in training: 'balanced', or numbers by name. Reading them needs no torch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colinear.checks import InputError, check_number
from colinear.schemas import parse_json
from colinear.texts import listed, shorten, shown, shown_path

if TYPE_CHECKING:
    from colinear.datasets.base import Dataset
    from colinear.parallel.group import Group

ClassWeight = str | dict[str, float]
MOST_BYTES = 2**24  # of a file of weights: a line for each class
LARGEST = 1e20  # as of strengths: beyond, products leave float32


def parse_class_weight(flag: str, given: Any) -> ClassWeight:
    """'balanced', {"class": weight, ...} as JSON, or the same in a .json file, or lines class,weight in a .csv file.

    >>> parse_class_weight("--class-weight", '{"cat": 2, "dog": 1}')
    {'cat': 2.0, 'dog': 1.0}
    """
    text = str(given)
    if text == "balanced":
        return text
    path = Path(text)
    inline = not names_file(text)
    kind = ".json" if inline else path.suffix.lower()
    if kind not in (".json", ".csv"):
        raise InputError(
            f'{flag} must be balanced, a .csv or .json file of classes and weights, or {{"class": weight}}; got '
            f"{shown(text)}."
        )
    content, what = (text.encode(errors="surrogatepass"), flag) if inline else (_read(path), shown_path(path))
    values = _from_json(content, what) if kind == ".json" else _from_csv(content, what)
    found = {
        name: check_number(f"the weight of {shorten(name, 40)} in {what}", value, least=0, most=LARGEST)
        for name, value in values.items()
    }
    check_class_weight(flag, found)
    return found


def names_file(text: str) -> bool:
    """Whether what is given as class weights is the name of a file of them."""
    return text != "balanced" and not text.lstrip().startswith("{")


def check_class_weight(flag: str, value: Any) -> None:
    """Raise `InputError` for what no `parse_class_weight` gives."""
    if value == "balanced":
        return
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{flag} must be balanced, or a weight for each of some classes; got {shown(value)}.")
    for name, weight in value.items():
        check_number(f"{flag} of {shorten(name, 40)}", weight, least=0, most=LARGEST)


def write_class_weight(value: ClassWeight) -> str:
    """Text that `parse_class_weight` reads as `value`."""
    return value if isinstance(value, str) else json.dumps(value)


def class_weights(value: ClassWeight | None, dataset: Dataset, group: Group | None = None) -> tuple[float, ...] | None:
    """What the rows of each class count, of the rows of all processes of the group; None where all count the same.

    balanced : W / (c W_j), W the weight of all rows and W_j of class j's, as scikit-learn; each class then weighs as
    much as any other.     names : their numbers, and 1 for a class that is not named.
    Raises   `InputError` for a name that is no class, and if fewer than two classes have weight.
    """
    if value is None:
        return None
    import torch

    from colinear.datasets.base import sample_weights

    weights = sample_weights(dataset)
    each = torch.ones(dataset.n_samples, dtype=torch.float64) if weights is None else weights.cpu()
    sums = torch.bincount(dataset.labels.cpu(), each, dataset.n_classes)
    if group is not None:
        group.sum_(sums)
    if isinstance(value, str):
        present = sums > 0
        factors = torch.where(present, sums.sum() / (present.sum() * sums), 0.0).tolist()
    else:
        unknown = [name for name in value if name not in dataset.class_names]
        if unknown:
            raise InputError(
                f"--class-weight names classes that {shorten(dataset.name)} does not have: {listed(unknown)}. It has "
                f"{listed(dataset.class_names)}."
            )
        factors = [value.get(name, 1.0) for name in dataset.class_names]
    if sum(factor > 0 and weight > 0 for factor, weight in zip(factors, sums.tolist(), strict=True)) < 2:
        raise InputError("rows of at least 2 classes must have a weight > 0. Raise --class-weight or --sample-weight.")
    return tuple(factors)


def _read(path: Path) -> bytes:
    from colinear.datasets.doors import as_path, check_file

    path = as_path(path)
    if check_file(path) > MOST_BYTES:
        raise InputError(f"{shown_path(path)} is too large for a file of classes and weights. Check --class-weight.")
    return path.read_bytes()


def _from_json(content: bytes, what: str) -> dict[str, Any]:
    try:
        values = parse_json(content)
    except ValueError as error:
        raise InputError(f'{what} must hold {{"class": weight, ...}} as JSON; {error}.') from None
    if not isinstance(values, dict):
        raise InputError(f'{what} must hold {{"class": weight, ...}}; got {shown(values)}.')
    return values


def _from_csv(content: bytes, what: str) -> dict[str, float]:
    """Lines class,weight; a first line of words is taken as a heading."""
    try:
        rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{what} must be text of lines class,weight; {shorten(error, 80)}.") from None
    values: dict[str, float] = {}
    for number, row in enumerate(rows):
        try:
            name, weight = row[0].strip(), float(row[1])
            fine = len(row) == 2 and name not in values
        except (IndexError, ValueError):
            if number == 0 and len(row) == 2:
                continue
            fine = False
        if not fine:
            got = shown(",".join(row))
            raise InputError(f"{what} must have lines class,weight, each class once; line {number + 1} has {got}.")
        values[name] = weight
    return values
