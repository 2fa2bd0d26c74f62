"""Means and spreads of columns, and sums of weights, of whatever size: through powers of two, which change no digit."""

from __future__ import annotations

import torch
from torch import Tensor

from colinear.parallel.group import Group


class Moments:
    """Weighted mean and spread of each column, from sums of differences from the first row: no cancellation.

    The differences are divided by the power of two of the largest so far: their squares are numbers, and the same to
    the last bit as without it where these are, too.
    """

    def __init__(self, first_row: Tensor, *, squares: bool) -> None:
        self.origin, self.squares = first_row.double(), squares
        self.first, self.second, self.largest = torch.zeros_like(self.origin.expand(3, -1)).unbind()
        self.total = 0.0

    def add(self, raw: Tensor, weights: Tensor | None) -> None:
        chunk = raw.double() - self.origin
        if self.squares:
            self._widen(chunk.abs().amax(0))
            chunk *= _power(self.largest).reciprocal()
        ones = chunk.new_ones(len(chunk)) if weights is None else weights.to(chunk)
        self.first += ones @ chunk
        self.total += float(ones.sum())
        if self.squares:
            self.second += ones @ chunk.square_()

    def add_whole(self, chunk: Tensor) -> None:
        """Rows of small whole numbers in float32, where the first row is zero."""
        self.first += chunk.new_ones(len(chunk)) @ chunk
        self.total += len(chunk)

    def sum_over(self, group: Group) -> None:
        """Join the sums of all processes, which have the same first row."""
        largest, total = self.largest.clone(), self.first.new_tensor([self.total])
        group.max_(largest)
        self._widen(largest)
        group.sum_(total, self.first, self.second)
        self.total = float(total)

    def _widen(self, largest: Tensor) -> None:
        """Divide the differences by the larger of two powers from now on."""
        before, self.largest = self.largest, torch.maximum(self.largest, largest)
        ratio = _power(before) * _power(self.largest).reciprocal()
        self.first *= ratio
        self.second *= ratio
        self.second *= ratio

    @property
    def mean(self) -> Tensor:
        """(d,) float64, on the host."""
        unit = _power(self.largest) if self.squares else 1.0
        return (self.first / self.total * unit + self.origin.squeeze(0)).cpu()

    @property
    def spread(self) -> Tensor:
        """Standard deviations (d,) float64, on the host."""
        first, second = self.first / self.total, self.second / self.total
        return ((second - first.square()).clamp_(min=0).sqrt_() * _power(self.largest)).cpu()


def largest_weight(row_weights: Tensor, group: Group) -> Tensor:
    """The largest row weight of all processes, (1,) float64."""
    largest: Tensor = torch.cat([row_weights.double(), row_weights.new_zeros(1).double()]).max().view(1)
    group.max_(largest)
    return largest


def scaled_by_power(values: Tensor, largest: Tensor) -> Tensor:
    """values / 2^e in float64, exact, with 2^e <= largest < 2^(e + 1), one for all or one for each column.

    >>> scaled_by_power(torch.tensor([0.0, 1.0, 12.0]), torch.tensor(12.0)).tolist()
    [0.0, 0.125, 1.5]
    """
    return values.double() * _power(largest).reciprocal()


def _power(largest: Tensor) -> Tensor:
    """The power of two just below `largest` >= 0, float64, elementwise; 1 for 0. Its inverse is a number, too."""
    exponent = torch.frexp(largest.double()).exponent - 1
    exponent = torch.where(largest > 0, exponent.clamp(-1022, 1022), 0)
    return torch.ldexp(torch.ones_like(largest, dtype=torch.float64), exponent)
