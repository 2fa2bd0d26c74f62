"""What a long solve notes down as it goes, so that another process can go on with it: its steps, and where it stands.

Everything between two notes is a function of what was noted before, so that what goes on ends with the same bytes.
Notes come back from files: whatever reads them checks them, and raises `UnreadableError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from colinear.solvers.solution import PathPoint, Status

Parts = tuple[dict[str, Tensor], dict[str, Any]]  # tensors by name, and JSON-able facts
STATUSES = list(Status)


class UnreadableError(ValueError):
    """Parts that are not what their step makes."""


class Journal(Protocol):
    """Where steps are noted. They are known by their number, so a run that goes on has to take the same ones."""

    def step(self, make: Callable[[], Parts]) -> Parts:
        """What `make` returns, or what it has returned in an earlier process."""
        ...

    def position(self) -> Parts | None:
        """Where the step at hand stood when an earlier process ended; None where it begins. For `make` to ask, once."""
        ...

    def keep(self, position: Callable[[], Parts]) -> None:
        """Perhaps note where the step at hand stands. For `make` to call wherever it could go on from `position()`."""
        ...


class Forgetful:
    """A journal in which nothing is noted."""

    def step(self, make: Callable[[], Parts]) -> Parts:
        return make()

    def position(self) -> Parts | None:
        return None

    def keep(self, position: Callable[[], Parts]) -> None: ...


FORGETFUL = Forgetful()


def pack_points(points: Mapping[int, PathPoint], shape: tuple[int, int], n: int = 0) -> dict[str, Tensor]:
    """Points by the numbers of their strengths, weights of `shape` (c, d) float64, slopes of n rows, as tensors."""
    found = list(points.values())
    slopes = [point.slopes for point in found if point.slopes is not None]
    values = [[point.objective, point.gap, point.width] for point in found]
    return {
        "numbers": torch.tensor(list(points), dtype=torch.int64),
        "coef": torch.stack([point.coef for point in found]) if found else torch.zeros(0, *shape, dtype=torch.float64),
        "values": torch.tensor(values, dtype=torch.float64).view(-1, 3),
        "passes": torch.tensor([point.passes for point in found], dtype=torch.int64),
        "statuses": torch.tensor([STATUSES.index(point.status) for point in found], dtype=torch.int64),
        "sloped": torch.tensor([point.slopes is not None for point in found], dtype=torch.bool),
        "slopes": torch.stack(slopes) if slopes else torch.zeros(0, shape[0], n, dtype=torch.float64),
    }


def unpack_points(
    tensors: Mapping[str, Tensor], regs: Tensor, shape: tuple[int, int], device: torch.device, n: int = 0
) -> dict[int, PathPoint]:
    """The points of `pack_points`, of some of the strengths `regs`, each with weights of its own on `device`."""
    numbers = take_numbers(tensors, "numbers", len(regs))
    m = (len(numbers),)
    coef = take(tensors, "coef", torch.float64, m + shape)
    values = take(tensors, "values", torch.float64, (*m, 3)).tolist()
    passes, statuses = (take(tensors, name, torch.int64, m).tolist() for name in ("passes", "statuses"))
    if min(passes, default=0) < 0 or not set(statuses) <= set(range(len(STATUSES))):
        raise UnreadableError("it has fewer than 0 passes, or a status that there is not")
    sloped = take(tensors, "sloped", torch.bool, m).tolist()
    slopes = iter(take(tensors, "slopes", torch.float64, (sum(sloped), shape[0], n)))
    points = {}
    for row, number in enumerate(numbers):
        objective, gap, width = values[row]
        own = next(slopes).to(device, copy=True) if sloped[row] else None
        weights = coef[row].to(device, copy=True)  # where they lie decides the last digits of products with them
        points[number] = PathPoint(
            float(regs[number]), weights, objective, gap, passes[row], STATUSES[statuses[row]], width, own
        )
    return points


def take(tensors: Mapping[str, Tensor], name: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """The tensor of that name, if it has that type and shape."""
    tensor = tensors.get(name)
    if tensor is None or tensor.dtype != dtype or tuple(tensor.shape) != shape:
        found = "missing" if tensor is None else f"{tensor.dtype} of shape {tuple(tensor.shape)}"
        raise UnreadableError(f"its {name} is {found}")
    return tensor


def take_numbers(tensors: Mapping[str, Tensor], name: str, count: int) -> list[int]:
    """The tensor of that name as different numbers from 0 to `count` - 1."""
    tensor = tensors.get(name)
    numbers = [] if tensor is None else take(tensors, name, torch.int64, (tensor.numel(),)).tolist()
    if tensor is None or len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(count)):
        raise UnreadableError(f"its {name} are not some of {count}")
    return numbers


def take_count(facts: Mapping[str, Any], name: str) -> int:
    """The fact of that name as a whole number >= 0."""
    count = facts.get(name)
    if type(count) is not int or count < 0:
        raise UnreadableError(f"its {name} is no count")
    return count
