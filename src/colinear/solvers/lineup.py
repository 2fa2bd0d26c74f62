"""The candidates of one batch while L-BFGS works on them, and all of that as what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from colinear.objective import Evaluation, Objective
from colinear.solvers.journal import UnreadableError, stack, take, take_numbers
from colinear.solvers.lbfgs import History, LineSearch

Tensors = dict[str, Tensor]
NUMBERS = ("objective", "gap", "value", "value_gap")  # of an evaluation, (a,) float64


@dataclass(frozen=True, eq=False)
class Entrant:
    """A candidate between two precisions: its number, weights (c, d), smoothing, passes so far, any step taken."""

    number: int
    coef: Tensor
    width: float
    passes: int
    moved: bool = False


def pack_entrants(entrants: Sequence[Entrant]) -> Tensors:
    """Tensors from which `unpack_entrants` makes the same candidates; none of none."""
    if not entrants:
        return {}
    return {
        "numbers": torch.tensor([entrant.number for entrant in entrants]),
        "coef": torch.stack([entrant.coef for entrant in entrants]),
        "widths": torch.tensor([entrant.width for entrant in entrants], dtype=torch.float64),
        "passes": torch.tensor([entrant.passes for entrant in entrants]),
        "moved": torch.tensor([entrant.moved for entrant in entrants]),
    }


def unpack_entrants(tensors: Mapping[str, Tensor], count: int, like: Tensor) -> list[Entrant]:
    """Candidates of `count` numbers, with weights like those of (c, d)."""
    if not tensors:
        return []
    numbers = take_numbers(tensors, "numbers", count)
    m = (len(numbers),)
    coef = take(tensors, "coef", like.dtype, m + tuple(like.shape))
    widths, passes = take(tensors, "widths", torch.float64, m), take(tensors, "passes", torch.int64, m)
    moved = take(tensors, "moved", torch.bool, m)
    if bool((passes < 0).any()):
        raise UnreadableError("it has fewer than 0 passes")
    return [
        Entrant(number, coef[row].to(like.device, copy=True), float(widths[row]), int(passes[row]), bool(moved[row]))
        for row, number in enumerate(numbers)
    ]


@dataclass
class Lineup:
    """The candidates still open: their numbers, settings and state of the line search."""

    numbers: Tensor  # (a,) int64
    regs: Tensor  # (a,) float64
    held_out: Tensor | None
    widths: Tensor  # (a,) float64, smoothing
    search: LineSearch
    history: History
    stale: Tensor  # (a,) int64
    narrowed: Tensor  # (a,) bool: the next pair would mix two smoothings
    passes: Tensor  # (a,) int64
    moved: Tensor  # (a,) bool: took a step, in whichever precision

    @classmethod
    def of(cls, entrants: Sequence[Entrant], regs: Tensor, held_out: Tensor | None, memory: int) -> Lineup:
        """Candidates that are not yet evaluated, with those of the strengths and folds that belong to them."""
        coef = stack([entrant.coef for entrant in entrants])
        numbers = torch.tensor([entrant.number for entrant in entrants])
        device, k = coef.device, len(entrants)
        held_out = None if held_out is None else held_out.cpu()[numbers].to(device)
        widths = torch.tensor([entrant.width for entrant in entrants], dtype=torch.float64, device=device)
        return cls(
            numbers, regs[numbers].to(device), held_out, widths, LineSearch.at(coef), History(memory),
            torch.zeros(k, dtype=torch.int64, device=device), torch.zeros(k, dtype=torch.bool, device=device),
            torch.tensor([entrant.passes for entrant in entrants]),
            torch.tensor([entrant.moved for entrant in entrants], device=device),
        )  # fmt: skip

    def entrant(self, row: int) -> Entrant:
        """What the candidate in this row of the line-up takes along when it leaves."""
        coef = self.search.coef[row].clone()
        return Entrant(
            int(self.numbers[row]), coef, float(self.widths[row]), int(self.passes[row]), bool(self.moved[row])
        )

    def lay_out(self, objective: Objective) -> None:
        """Have everything of the weights' shape in memory as the products of the objective like it."""
        search, lay_out = self.search, objective.lay_out
        search.coef, search.direction = lay_out(search.coef), lay_out(search.direction)
        if search.here.gradient.ndim == 3:
            search.here = replace(search.here, gradient=lay_out(search.here.gradient))
        self.history.pairs = [(lay_out(s), lay_out(y), rho) for s, y, rho in self.history.pairs]

    def keep(self, members: Tensor) -> None:
        self.regs, self.widths, self.stale = self.regs[members], self.widths[members], self.stale[members]
        self.narrowed, self.moved = self.narrowed[members], self.moved[members]
        on_host = members.cpu()
        self.numbers, self.passes = self.numbers[on_host], self.passes[on_host]
        self.held_out = None if self.held_out is None else self.held_out[members]
        self.search.keep(members)
        self.history.keep(members)

    def pack(self) -> tuple[Tensors, int]:
        """Tensors from which `unpack` makes the same line-up, and how many pairs the history has."""
        search, here = self.search, self.search.here
        tensors = {name: getattr(self, name) for name in ("numbers", "widths", "stale", "narrowed", "passes", "moved")}
        tensors |= {name: getattr(search, name) for name in ("coef", "direction", "slope", "step", "turned")}
        tensors |= {f"here.{name}": getattr(here, name) for name in (*NUMBERS, "gradient", "curvature")}
        for number, pair in enumerate(self.history.pairs):
            tensors |= {f"pair-{number}.{name}": part for name, part in zip(("s", "y", "rho"), pair, strict=True)}
        # numbers that are one tensor here, as both gaps of a loss without smoothing, are two in a file
        tensors = {name: part.clone() if part.ndim == 1 else part for name, part in tensors.items()}
        return tensors, len(self.history.pairs)

    @classmethod
    def unpack(
        cls, tensors: Mapping[str, Tensor], pairs: int, regs: Tensor, held_out: Tensor | None, memory: int, like: Tensor
    ) -> Lineup:
        """The line-up of `pack`, of some of the strengths `regs`, with weights like those of (c, d)."""
        numbers = take_numbers(tensors, "numbers", len(regs))
        if pairs > memory or not numbers:
            raise UnreadableError(f"it has {pairs} pairs of {len(numbers)} candidates")
        a, weights = (len(numbers),), (len(numbers), *like.shape)

        def read(name: str, dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = a) -> Tensor:
            return take(tensors, name, dtype, shape).to(like.device)

        passes, moved = read("passes", torch.int64).cpu(), read("moved", torch.bool)
        if bool((passes < 0).any()):
            raise UnreadableError("it has fewer than 0 passes")
        entrants = [Entrant(number, like, 0.0, 0) for number in numbers]
        lineup = cls.of(entrants, regs, held_out, memory)
        lineup.widths, lineup.stale = read("widths"), read("stale", torch.int64)
        lineup.narrowed, lineup.passes, lineup.moved = read("narrowed", torch.bool), passes, moved
        gradient = read("here.gradient", like.dtype, weights)
        curvature = read("here.curvature", like.dtype, weights[:2])
        objective, gap, value, value_gap = (read(f"here.{name}") for name in NUMBERS)
        here = Evaluation(objective, gap, value, value_gap, gradient, curvature)
        lineup.search = LineSearch(
            read("coef", like.dtype, weights), here, read("direction", like.dtype, weights), read("slope"),
            read("step"), read("turned", torch.bool),
        )  # fmt: skip
        lineup.history.pairs = [
            (
                read(f"pair-{number}.s", like.dtype, weights), read(f"pair-{number}.y", like.dtype, weights),
                read(f"pair-{number}.rho"),
            )
            for number in range(pairs)
        ]  # fmt: skip
        return lineup
