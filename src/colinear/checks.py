"""Argument checks and their wording. Those of numbers and texts need no torch.

Everything a user can get wrong ends in an `InputError`, whose text is one or two lines. The command line shows that
text and exits with status 2; any other exception is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from colinear.texts import cut_middle, shown

if TYPE_CHECKING:
    import torch
    from torch import Tensor  # takes seconds to import: the checks of tensors do it, when they have one

LONGEST_MESSAGE = 800  # characters: names and values come from files and arguments, and may have millions
MOST_COUNT = 2**31 - 1  # rows, columns, steps, passes: more do not fit anywhere
MOST_SEED = 2**63 - 1  # JSON, numpy and torch agree on whole numbers up to here
# at 1e8 the penalty on a bias, 1/s^2 of that on a weight, is below float64's rounding: more changes nothing but the
# condition of the problem, and 1e200 squared is infinite
MOST_INTERCEPT_SCALING = 1e8

Range = tuple[float, float]


class Shaped(Protocol):
    """A tensor, or what is asked for rows in its place."""

    @property
    def ndim(self) -> int: ...
    @property
    def shape(self) -> torch.Size: ...
    @property
    def dtype(self) -> torch.dtype: ...


Rows = TypeVar("Rows", bound=Shaped)


class InputError(ValueError):
    """A mistake in what the caller gave; the message says what, the rule, what came and what to do.

    A message longer than 800 characters, because of what came, is cut in its middle.
    """

    def __init__(self, message: str) -> None:
        super().__init__(cut_middle(message, LONGEST_MESSAGE))


def open_device(name: Any, home: torch.device, refusal: str) -> torch.device:
    """'auto' is a CUDA GPU if there is one, else `home`; anything else is PyTorch's own name for a device.

    Raises `InputError` with the text `refusal` for a device that holds no tensor here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda") if torch.cuda.is_available() else home
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception:  # each kind of device has its own errors where it is missing
        raise InputError(refusal) from None
    return device


def check_count(name: str, value: int, minimum: int = 1, most: int = MOST_COUNT) -> int:
    """Return `value` if it is a whole number of at least `minimum` and at most `most`.

    >>> check_count("candidates", 0)
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: candidates must be a whole number >= 1; got 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InputError(f"{name} must be a whole number >= {minimum}; got {shown(value)}.")
    if value > most:
        raise InputError(f"{name} must be a whole number from {minimum} to {most:,}; got {shown(value)}.")
    return value


def check_seed(name: str, value: int) -> int:
    """Return `value` if it can seed every generator: a whole number from 0 to 2^63 - 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_SEED:
        raise InputError(f"{name} must be a whole number from 0 to 2^63 - 1; got {shown(value)}.")
    return value


def check_number(
    name: str, value: float, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> float:
    """Return `value` as a float if it is finite, > `above`, >= `least` and <= `most` (each where given)."""
    rules = [f"> {above:g}"] if above is not None else []
    rules += [f">= {least:g}"] if least is not None else []
    rules += [f"<= {most:g}"] if most is not None else []
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:  # a whole number beyond 1.8e308
        number = math.inf
    inside = math.isfinite(number) and (above is None or number > above)
    inside = inside and (least is None or number >= least) and (most is None or number <= most)
    if not inside:
        raise InputError(f"{name} must be a finite number {' and '.join(rules)}; got {shown(value)}.")
    return number


def check_range(name: str, low: float, high: float, *, least: float = 0.0, most: float = math.inf) -> Range:
    """Return (low, high) if 0 < low <= high < infinity, and both lie in [least, most]."""
    rule = None if least <= low <= high <= most else f"lie from {least:g} to {most:g}"
    rule = rule if 0 < low <= high < math.inf else "be a range LOW:HIGH with 0 < LOW <= HIGH"
    if rule is not None:
        raise InputError(f"{name} must {rule}; got {low:g}:{high:g}. Try {name} 1e-4:1e-1.")
    return low, high


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}; got {shown(value)}.")
    return value


def check_labels(labels: Tensor, n_classes: int, what: str = "labels") -> Tensor:
    """Return `labels` (n,) if they are int64 in [0, n_classes); the message names the first row that is not."""
    import torch

    if labels.ndim != 1 or labels.dtype != torch.int64:
        got = f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise InputError(f"{what} must be int64 of shape (n_samples,); got {got}.")
    bad = ((labels < 0) | (labels >= n_classes)).nonzero()
    if len(bad):
        row = int(bad[0])
        raise InputError(
            f"{what} must lie in [0, {n_classes}); row {row} has {int(labels[row])}. "
            "Re-index the classes or give every class a name."
        )
    return labels


def check_targets(labels: Tensor, n_classes: int, what: str = "labels") -> Tensor:
    """Return `labels` that are one class a row, as `check_labels` has it, or (n, n_classes) int8: any number of them.

    1 and 0 say that the row has the class or has not, -1 that nobody knows.
    """
    if labels.ndim != 2:
        return check_labels(labels, n_classes, what)
    if str(labels.dtype) != "torch.int8" or labels.shape[1] != n_classes:
        got = f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise InputError(f"{what} of many classes a row must be int8 of shape (n_samples, {n_classes}); got {got}.")
    bad = ((labels < -1) | (labels > 1)).nonzero()
    if len(bad):
        row, column = (int(i) for i in bad[0])
        raise InputError(
            f"{what} must be 1 or 0, or -1 where unknown; row {row}, class {column} has {int(labels[row, column])}."
        )
    return labels


def check_finite(features: Tensor, what: str = "features", first_row: int = 0) -> Tensor:
    """Return `features` (n, d) if every value is finite; integers always are. One reduction decides."""
    import torch

    if features.is_floating_point() and not bool(torch.isfinite(features.sum(dtype=torch.float64))):
        bad = (~torch.isfinite(features)).nonzero()
        if len(bad):
            row, column = (int(i) for i in bad[0])
            value = float(features[row, column])
            raise InputError(
                f"{what} must be finite; row {first_row + row}, column {column} has {value}. "
                "Drop or fill NaN and infinity first."
            )
    return features


def check_features(features: Rows, n_features: int | None = None, what: str = "features") -> Rows:
    """Return `features` if they are (n, d) of uint8, float32 or float64, n and d >= 1, d = `n_features` if given."""
    import torch

    if features.ndim != 2 or 0 in features.shape:
        raise InputError(f"{what} must have shape (n_samples, n_features), neither 0; got {tuple(features.shape)}.")
    if features.dtype not in (torch.uint8, torch.float32, torch.float64):
        raise InputError(f"{what} must be uint8, float32 or float64; got {features.dtype}. Convert them first.")
    if n_features is not None and features.shape[1] != n_features:
        raise InputError(f"{what} must have {n_features} columns; got {features.shape[1]}.")
    return features


def check_weights(weights: Tensor, n_rows: int, what: str = "weights") -> Tensor:
    """Return weights (n,) as float64 if they are finite, >= 0 and not all 0; the message names the first row."""
    import torch

    if weights.shape != (n_rows,):
        raise InputError(f"{what} must be one number a row, {n_rows:,} in all; got shape {tuple(weights.shape)}.")
    weights = weights.double()
    bad = (~(torch.isfinite(weights) & (weights >= 0))).nonzero()
    if len(bad):
        row = int(bad[0])
        raise InputError(
            f"{what} must be finite and >= 0; row {row} has {float(weights[row]):g}. Drop or mend that row."
        )
    if not bool((weights > 0).any()):
        raise InputError(f"{what} must not all be 0. Give at least one row a weight above 0.")
    return weights
