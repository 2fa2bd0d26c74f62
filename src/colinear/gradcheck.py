"""Centred differences along sparsely sampled coordinates, for any function of a tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_number

Index = tuple[int, ...]


@dataclass(frozen=True)
class GradientCheck:
    """One coordinate: the slope by differences, the slope given, and how far apart they are.

    relative_error = |numerical - analytic| / (|numerical| + |analytic|), 0 if both are 0, in [0, 1].

    >>> GradientCheck((0, 2), numerical=2.0, analytic=1.0).relative_error
    0.3333333333333333
    """

    index: Index
    numerical: float
    analytic: float

    @property
    def relative_error(self) -> float:
        if self.numerical == self.analytic:
            return 0.0
        return abs(self.numerical - self.analytic) / (abs(self.numerical) + abs(self.analytic))


def check_gradient(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    analytic: Tensor,
    *,
    n_checks: int = 10,
    h: float = 1e-7,
    generator: torch.Generator | None = None,
) -> tuple[GradientCheck, ...]:
    """Compare `analytic` with centred differences of `f` at `n_checks` random coordinates of `x`.

    numerical = (f(x + h e) - f(x - h e)) / (2 h), divided by the step that x's precision could really take

    f : any function of a tensor shaped as x that returns one number.   x : any shape, float64 advised; only read.
    analytic : gradient of f at x, shaped as x.   h : > 0.
    generator : draws the coordinates, with replacement; None means a fresh one seeded with 0.
    Raises   `InputError` if the shapes differ, x is empty, or f returns more than one number.
    Error    truncation |f'''| h^2 / 6, plus rounding eps |f| / h: with float64, h = 1e-7 and f near 2 about
             2e-9 absolute. So the relative error shows a mistake only where the slope is well above
             eps |f| / h: keep f small (few rows, no large constant) or the inputs large. A kink of f within h
             of x spoils that coordinate. In float32 nothing below 1 % can be seen with this h.
    Cost     2 n_checks evaluations of f, one copy of x.

    >>> x = torch.tensor([1.0, 3.0], dtype=torch.float64)
    >>> max(c.relative_error for c in check_gradient(lambda v: (v**2).sum(), x, 2 * x)) < 1e-6
    True
    """
    check_count("n_checks", n_checks)
    if x.numel() == 0:
        raise InputError("x must have at least one coordinate to check; got none.")
    source = torch.Generator().manual_seed(0) if generator is None else generator

    def draw(size: int) -> int:
        return int(torch.randint(size, (), generator=source, device=source.device))

    indices = [tuple(draw(size) for size in x.shape) for _ in range(n_checks)]
    return check_coordinates(f, x, analytic, indices, h=h)


def check_coordinates(
    f: Callable[[Tensor], Tensor], x: Tensor, analytic: Tensor, indices: Sequence[Index], *, h: float = 1e-7
) -> tuple[GradientCheck, ...]:
    """`check_gradient` at the given coordinates, in their order."""
    check_number("h", h, above=0)
    if analytic.shape != x.shape or not x.is_floating_point():
        raise InputError(
            f"x must be floating point and the gradient of its shape; got {x.dtype} {tuple(x.shape)} and "
            f"{tuple(analytic.shape)}."
        )
    point = x.detach().clone()
    return tuple(GradientCheck(i, _slope(f, point, i, h), float(analytic[i])) for i in indices)


def _slope(f: Callable[[Tensor], Tensor], point: Tensor, index: Index, h: float) -> float:
    """Centred difference along one coordinate of `point`, which is put back as it was."""
    middle = point[index].clone()
    point[index] = middle + h
    right, above = float(point[index]), _number(f(point))
    point[index] = middle - h
    left, below = float(point[index]), _number(f(point))
    point[index] = middle
    if right == left:
        raise InputError(f"h = {h:g} is lost beside x = {float(middle):g} in {point.dtype}. Raise h or use float64.")
    return (above - below) / (right - left)


def _number(value: Tensor) -> float:
    if value.numel() != 1:
        raise InputError(f"f must return one number; got shape {tuple(value.shape)}.")
    return float(value)
