"""How an exercise asks an answer, and says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from colinear.texts import shorten

TOLERANCE = 1e-5  # float32 leaves 1e-7, the usual mistakes more than 1e-2


class NotYetError(Exception):
    """What is wrong with an answer, one sentence."""


def tell(look: Callable[[], None], praise: str) -> None:
    try:
        look()
    except NotYetError as wrong:
        print(f"not yet: {wrong}")
    else:
        print(f"right: {praise}")


def ask(answer: Callable[..., Any], *arguments: Any) -> Any:
    """What the answer returns; if it raises, or writes over its arguments, that is what is wrong."""
    before = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
    name = getattr(answer, "__name__", "the answer")
    try:
        given = answer(*arguments)
    except NotYetError:
        raise
    except NotImplementedError:
        raise NotYetError(f"{name} is still to be written: put your own lines in place of its last one") from None
    except Exception as reason:  # whatever a half-written function raises
        raise NotYetError(f"{name} raised {type(reason).__name__}: {shorten(str(reason), 200)}") from None
    for one, other in zip(before, arguments, strict=True):
        if isinstance(one, Tensor) and not torch.equal(one, other):
            raise NotYetError(f"{name} writes over a tensor that it was given; work on a new one")
    return given


def check_pair(given: Any, what: str) -> tuple[Any, Any]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise NotYetError(f"two values have to be returned, {what}; this is {kind_of(given)}")
    return given


def check_shape(given: Any, what: str, W: Tensor) -> None:
    if not isinstance(given, Tensor) or given.shape != W.shape:
        raise NotYetError(f"{what} has to be a tensor of W's shape {tuple(W.shape)}; this is {kind_of(given)}")


def is_number(value: Any) -> bool:
    return value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, int | float)


def kind_of(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"one of shape {tuple(value.shape)}"
    return "None: is there a return?" if value is None else f"of the type {type(value).__name__}"


def check_equal(given: Tensor, right: Tensor, mistakes: Iterable[tuple[Tensor, str]], otherwise: str) -> None:
    """Raise what is wrong if `given` is not `right`: the mistake that would give the same, or else `otherwise`."""
    for value, advice in [(right, ""), *mistakes]:
        if bool((given - value).abs().max() <= TOLERANCE * (1 + right.abs().max())):
            if advice:
                raise NotYetError(advice)
            return
    raise NotYetError(otherwise)
