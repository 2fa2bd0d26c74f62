"""One batch of strengths, from start to certificate, for the exact path.

Preconditioned L-BFGS takes all of them at once: in the features' precision, then in float64, where every
certificate is computed anew. What it leaves open goes to a finisher, where there is one. On sparse rows, whose products
cost less than L-BFGS's pairs, directions of smooth losses are Newton's, by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from colinear.hessian import Hessian
from colinear.losses import Loss
from colinear.objective import Evaluation, Objective
from colinear.solvers.journal import (
    FORGETFUL,
    Journal,
    Parts,
    UnreadableError,
    pack_points,
    take_count,
    unpack_points,
)
from colinear.solvers.lbfgs import SHORTEST_STEP, Precondition, dot
from colinear.solvers.lineup import Entrant, Lineup, pack_entrants, unpack_entrants
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.settle import settle_
from colinear.solvers.solution import PathPoint, Status
from colinear.solvers.systems import conjugate_gradients
from colinear.solvers.tuning import USUAL

FIRST_WIDTH = 1.0  # the margin itself: everything near the margin is curved
WARM_WIDTH = 0.1  # from weights near an optimum: 1.0 leads away from it, a third more work on digits' five folds
NARROWER = (0.03, 0.3)  # bounds of how much the smoothing shrinks at a time
AIM = 0.4  # share of the tolerance left to the smoothing, whose part of the gap falls with the width squared
SETTLED = 0.3  # share of the gap below which the smoothed problem counts as solved
CHECKED = 8  # passes from one look at whether all processes have the same weights to the next
FORCING = 0.1  # share of the gradient that conjugate gradients leave, unless ALLOWED of what the tolerance does is more
ALLOWED = 0.8  # 0.5 takes a tenth more products
AHEAD = 0.1  # of the gap before a step, for which the bias of the point after it is settled
HIDDEN = 1e-4  # share of a value that Newton's step has to win for float32's 1e-7 of the value to be no matter
STALE_STEPS = 5  # accepted steps in a row without a decrease beyond rounding or half the gap: the precision's end

Report = Callable[[int, int, int, float], None]  # finished, of, passes, largest relative gap still open


class Finisher(Protocol):
    """What takes over strengths that L-BFGS leaves open, one at a time."""

    @property
    def patience(self) -> float:
        """Passes that L-BFGS gets before, two thirds of all at most."""
        ...

    def solve(
        self, reg: float, start: Tensor, *, tol: float, max_passes: int, held_out: Tensor | None, width: float
    ) -> PathPoint:
        """The point of one strength, from weights (c, d) that are about optimal for the smoothing `width`."""
        ...


@dataclass
class Descent:
    """One batch of strengths, from start to certificate; `found` takes the points, at the strengths' places."""

    objective: Objective
    loss: Loss
    regs: Tensor
    held_out: Tensor | None
    tol: float
    max_passes: int
    preconditioner: Preconditioner
    found: list[PathPoint | None]
    report: Report | None
    finisher: Finisher | None = None
    memory: int = USUAL.memory  # pairs of L-BFGS; 0: directions by conjugate gradients
    journal: Journal = FORGETFUL
    numbers: list[int] = field(default_factory=list, init=False)  # of the batch's strengths
    passes: int = field(default=0, init=False)
    last: bool = field(default=False, init=False)  # whether the work is in float64
    lineup: Lineup | None = field(default=None, init=False)
    _waiting: list[Entrant] = field(default_factory=list, init=False)  # for float64
    _ready: int = field(default=0, init=False)  # how many of them reached the tolerance
    _open: dict[int, PathPoint] = field(default_factory=dict, init=False)  # for the finisher

    @property
    def limit(self) -> int:
        """Passes of L-BFGS."""
        return self.max_passes if self.finisher is None else int(min(2 * self.max_passes // 3, self.finisher.patience))

    def solve(self, numbers: list[int], start: Tensor, width: float) -> Parts:
        """`run`, or what is left of it where the journal has a position: the points of the batch, and its passes."""
        position = self.journal.position()
        if position is None:
            self.run(numbers, start, width)
        else:
            self.unpack(position, numbers)
            self._go_on()
        return self._pack_found(), {"passes": self.passes}

    def run(self, numbers: list[int], start: Tensor, width: float = FIRST_WIDTH) -> None:
        """Solve in the features' precision, certify in float64 and go on there where needed; then finish."""
        self.numbers = numbers
        self._waiting = [Entrant(n, coef, width, 0) for n, coef in zip(numbers, start, strict=True)]
        if start.dtype != torch.float64 and self.limit > 2:  # float64 needs two: where it is, and a step
            fit = {n: self._fits(start.dtype, float(self.regs[n])) for n in numbers}
            entrants = [entrant for entrant in self._waiting if fit[entrant.number]]
            self._waiting = [entrant for entrant in self._waiting if not fit[entrant.number]]
            if entrants:
                self._enter(entrants)
        self._go_on()

    def _go_on(self) -> None:
        """From where the batch stands to its end."""
        self._descend()
        if not self.last:
            entrants, self._waiting, self.last = self._waiting, [], True
            self._enter([replace(entrant, coef=entrant.coef.double()) for entrant in entrants])
            self._descend()
        while self.finisher and self._open:
            number = next(iter(self._open))
            self._finish(self.finisher, number, self._open.pop(number))

    def pack(self) -> Parts:
        """Where the batch stands, as what `unpack` goes on from with the same bytes."""
        lineup, pairs = ({}, 0) if self.lineup is None else self.lineup.pack()
        tables = {
            "found": self._pack_found(), "open": pack_points(self._open, self._shape),
            "waiting": pack_entrants(self._waiting), "lineup": lineup,
        }  # fmt: skip
        facts = {"pairs": pairs, "last": self.last, "ready": self._ready, "passes": self.passes}
        return {f"{table}.{name}": part for table, parts in tables.items() for name, part in parts.items()}, facts

    def unpack(self, parts: Parts, numbers: list[int]) -> None:
        """Stand where a batch of these strengths stood. Raises `UnreadableError` for parts that none has packed."""
        tensors, facts = parts
        tables: dict[str, dict[str, Tensor]] = {"found": {}, "open": {}, "waiting": {}, "lineup": {}}
        for name, tensor in tensors.items():
            table, _, column = name.partition(".")
            tables.setdefault(table, {})[column] = tensor
        self.numbers, self.last = numbers, facts.get("last") is True
        self.passes, self._ready = take_count(facts, "passes"), take_count(facts, "ready")
        k, features = len(self.regs), self.objective.features
        like = torch.zeros(
            self._shape, dtype=torch.float64 if self.last else features.dtype, device=features.device
        )  # fmt: skip
        found, self._open = (
            unpack_points(tables[table], self.regs, self._shape, features.device) for table in ("found", "open")
        )
        self._waiting = unpack_entrants(tables["waiting"], k, like)
        if tables["lineup"]:
            pairs = take_count(facts, "pairs")
            self.lineup = Lineup.unpack(tables["lineup"], pairs, self.regs, self.held_out, self.memory, like)
            self.lineup.lay_out(self.objective)
        lined_up = [] if self.lineup is None else self.lineup.numbers.tolist()
        everyone = [*found, *self._open, *lined_up, *(entrant.number for entrant in self._waiting)]
        if sorted(everyone) != sorted(numbers) or (self._waiting if self.last else [*found, *self._open]):
            raise UnreadableError("it is not of these strengths")
        for number, point in found.items():
            self.found[number] = point

    @property
    def _shape(self) -> tuple[int, int]:
        return self.objective.features.n_classes, self.objective.features.n_features

    def _pack_found(self) -> dict[str, Tensor]:
        return pack_points({n: point for n in self.numbers if (point := self.found[n]) is not None}, self._shape)

    def _fits(self, dtype: torch.dtype, reg: float) -> bool:
        """Whether the rounding of a gradient in this precision, squared over 4 reg, is a gap within the tolerance."""
        largest = float(self.preconditioner.spectrum.values[0])
        return torch.finfo(dtype).eps ** 2 * largest / (4 * reg) <= self.tol

    def _enter(self, entrants: list[Entrant]) -> None:
        """Let candidates begin, each at its weights."""
        lineup = self._line_up(entrants)
        self._release(lineup)
        self._note(lineup)

    def _descend(self) -> None:
        """Take steps until every candidate has left."""
        while (lineup := self.lineup) is not None:
            if not (self.memory or self.last):
                self._widen(lineup)
                continue
            trial = lineup.search.trial()
            there = self._evaluate(lineup, trial)
            self._move(lineup, trial, there)
            self._narrow(lineup)
            self._release(lineup)
            if len(lineup.numbers):
                self._aim(lineup, lineup.search.turned)
            self._note(lineup)

    def _widen(self, lineup: Lineup) -> None:
        """Go on in float64 where a direction is Newton's: the look at the end of its step is then the certificate.

        From the look in float32, unless the step is to win less than its rounding could hide.
        """
        search, self.last = lineup.search, True
        if bool((search.slope.abs() <= HIDDEN * search.here.value).any()):
            rows = range(len(lineup.numbers))
            self._enter([replace(lineup.entrant(row), coef=search.coef[row].double()) for row in rows])
            return
        search.coef, search.direction, search.here = search.coef.double(), search.direction.double(), search.here.wide()
        lineup.lay_out(self.objective)
        self._note(lineup)

    def _note(self, lineup: Lineup) -> None:
        """Between two passes: what the batch could go on from, and how far it is."""
        self.lineup = lineup if len(lineup.numbers) else None
        self.journal.keep(self.pack)
        gaps = lineup.search.here.relative_gap
        self._tell(0 if self.last else self._ready, float(gaps.max()) if len(gaps) else 0.0)

    def _line_up(self, entrants: list[Entrant]) -> Lineup:
        lineup = Lineup.of(entrants, self.regs, self.held_out, self.memory)
        lineup.lay_out(self.objective)
        lineup.search.here = self._evaluate(lineup, lineup.search.coef)
        self._narrow(lineup)
        self._aim(lineup, ~(lineup.search.here.relative_gap <= self._enough))
        return lineup

    def _evaluate(self, lineup: Lineup, coef: Tensor) -> Evaluation:
        """At weights (k, c, d); where the bias has no penalty it is moved to its optimum there, in place."""
        self.passes += 1
        lineup.passes += 1
        if self.passes % CHECKED == 1:
            self.objective.group.check_weights(coef)
        loss = self.loss.smooth(lineup.widths)
        scored = None
        if self.objective.features.free:
            aims = lineup.search.here.relative_gap.mul(AHEAD).clamp(min=self.tol, max=1).nan_to_num(1.0)
            scored = settle_(self.objective, loss, coef, lineup.regs, lineup.held_out, aims)
        return self.objective.evaluate(coef, lineup.regs, loss, lineup.held_out, curvature=True, scored=scored)

    def _aim(self, lineup: Lineup, turning: Tensor) -> None:
        """New directions, full steps, for those that moved; steepest descent where L-BFGS points uphill."""
        if not bool(turning.any()):
            return
        search, here = lineup.search, lineup.search.here
        # of all: a part of a batch lies elsewhere in memory, and its products have other last bits
        make = partial(
            self.preconditioner.at, here.curvature, lineup.regs, shift_invariant=self.loss.shift_invariant
        )  # fmt: skip
        precondition: Precondition | None = None
        if self.memory:
            precondition = make()
            direction = lineup.history.direction(here.gradient, precondition)
        else:
            direction = search.direction
            for row in turning.nonzero().squeeze(1).tolist():
                direction[row] = self._newton_direction(lineup, row)
        slope = dot(here.gradient, direction)
        uphill = ~(slope < 0) & turning
        if bool(uphill.any()):
            lineup.history.forget(uphill)
            precondition = precondition or make()
            direction = torch.where(uphill.view(-1, 1, 1), -precondition(here.gradient), direction)
            slope = dot(here.gradient, direction)
        search.turn(direction, slope, turning)

    def _newton_direction(self, lineup: Lineup, row: int) -> Tensor:
        """-H^-1 gradient (c, d) of one candidate, to what the tolerance asks for; each product counts as a pass.

        In the features' precision as long as such steps win something: a share of the gradient is all that it leaves.
        """
        dtype, reg = lineup.search.coef.dtype, float(lineup.regs[row])
        narrow = self.objective.features.dtype
        if narrow != dtype and not bool(lineup.stale[row]) and self._fits(narrow, reg):
            step = self._solve_for(lineup, row, narrow)
            if step is not None and bool(dot(lineup.search.here.gradient[row : row + 1], step) > 0):
                return -step[0]
        step = self._solve_for(lineup, row, dtype)
        return torch.zeros_like(lineup.search.coef[row]) if step is None else -step[0]

    def _solve_for(self, lineup: Lineup, row: int, dtype: torch.dtype) -> Tensor | None:
        """H^-1 gradient (1, c, d) of one candidate by products of `dtype`, in the weights' own; None if it has none."""
        only, coef = torch.tensor([row], device=lineup.regs.device), lineup.search.coef[row : row + 1]
        here, reg = lineup.search.here.keep(only), float(lineup.regs[row])
        held_out = None if lineup.held_out is None else lineup.held_out[only]
        hessian = Hessian.at(self.objective, coef.to(dtype), self.loss, reg, held_out)
        precondition = self.preconditioner.at(
            here.curvature.to(dtype), lineup.regs[only], shift_invariant=self.loss.shift_invariant
        )
        size = float(torch.linalg.vector_norm(here.gradient))
        allowed = (4 * reg * self.tol * float(here.value)) ** 0.5
        left = self.limit - self.passes - self._passes_of_a_step + 1

        def product(along: Tensor) -> Tensor:
            self.passes += 1
            lineup.passes[row] += 1
            return hessian.times(along)

        step = conjugate_gradients(
            product, precondition, here.gradient.to(dtype), max(FORCING * size, ALLOWED * allowed), max(1, left),
            partial=True,
        )  # fmt: skip
        return None if step is None else step.to(coef.dtype)

    def _move(self, lineup: Lineup, trial: Tensor, there: Evaluation) -> None:
        """Accept or shorten each candidate's step; remember the pairs of those that moved."""
        search, here = lineup.search, lineup.search.here
        accepted = search.accepts(there)
        if self.memory:
            step = search.direction * search.step.to(search.direction.dtype).view(-1, 1, 1)
            if self.objective.features.free:
                step = trial - search.coef  # with what the bias was moved by
            lineup.history.push(step, there.gradient - here.gradient, accepted & ~lineup.narrowed)
        # far beyond the rounding of the value gradients still show, and a gap is the square of one
        slow = (there.value >= here.value - search.noise()) & ~(there.value_gap <= 0.5 * here.value_gap)
        stale = accepted & slow
        lineup.stale = torch.where(accepted, torch.where(stale, lineup.stale + 1, 0), lineup.stale)
        lineup.narrowed &= ~accepted
        lineup.moved |= accepted
        search.shorten(there, ~accepted)
        search.advance(trial, there, accepted)

    def _narrow(self, lineup: Lineup) -> None:
        """Shrink the smoothing where the smoothed problem is solved well enough for its width.

        The value at hand belongs to the old width; the original objective bounds the new one from above and
        stands in for it in the next Armijo test, so that no pass is spent on it.
        """
        if not self.loss.kinked:
            return
        here = lineup.search.here
        settled = (here.value_gap <= SETTLED * here.gap) & ~lineup.narrowed & (here.relative_gap > self.tol)
        factor = (AIM * self.tol / here.relative_gap).sqrt().clamp(*NARROWER)
        lineup.widths = torch.where(settled, lineup.widths * factor, lineup.widths)
        lineup.narrowed |= settled
        lineup.search.here = replace(here, value=torch.where(settled, here.objective, here.value))

    def _release(self, lineup: Lineup) -> None:
        """Let go of candidates that are certified, out of passes, or at the end of this precision."""
        here, search, last = lineup.search.here, lineup.search, self.last
        converged = here.relative_gap <= self._enough
        stalled = (search.step < SHORTEST_STEP) | (lineup.stale >= STALE_STEPS) | ~(search.slope < 0)
        spent = self.passes + self._passes_of_a_step > self.limit
        # one step at least, however small the limit: else fits of one pass, each from the last one's end, never move
        leaving = converged | stalled | (lineup.moved | (not last) if spent else torch.zeros_like(converged))
        for row in leaving.nonzero().squeeze(1).tolist():
            entrant = lineup.entrant(row)
            if last:
                objective, relative = float(here.objective[row]), float(here.relative_gap[row])
                status = Status.at_end(objective, relative, self.tol, spent=spent)
                self._end(entrant, status, objective, float(here.gap[row]))
            else:
                self._waiting.append(entrant)
                self._ready += bool(converged[row])
        if bool(leaving.any()):
            lineup.keep((~leaving).nonzero().squeeze(1))

    @property
    def _enough(self) -> float:
        """The relative gap with which a candidate leaves this precision."""
        if self.last:
            return self.tol
        return max(0.95 * self.tol, 0.0 if self.memory else HIDDEN)

    @property
    def _passes_of_a_step(self) -> int:
        """At least: a look, and a product before it, or in float32 the certificate after it."""
        return 2 if not self.memory else 1 + (not self.last)

    def _end(self, entrant: Entrant, status: Status, objective: float, gap: float) -> None:
        """Record a point that L-BFGS ended at, or keep it for the finisher."""
        reg, number = float(self.regs[entrant.number]), entrant.number
        point = PathPoint(reg, entrant.coef, objective, gap, entrant.passes, status, entrant.width)
        if self.finisher is None or status is Status.CONVERGED:
            self.found[number] = point
        else:
            self._open[number] = point

    def _finish(self, finisher: Finisher, number: int, point: PathPoint) -> None:
        """Go on from where L-BFGS ended; the better of both points is the result."""
        held_out = None if self.held_out is None else self.held_out[number]
        end = finisher.solve(
            point.reg, point.coef, tol=self.tol, max_passes=self.max_passes - point.passes, held_out=held_out,
            width=point.width,
        )  # fmt: skip
        self.passes += end.passes
        self.found[number] = replace(end.better(point), passes=point.passes + end.passes, status=end.status)
        self.journal.keep(self.pack)
        self._tell(0, max((waiting.relative_gap for waiting in self._open.values()), default=0.0))

    def _tell(self, ready: int, worst: float) -> None:
        if self.report is not None:
            done = sum(point is not None for point in self.found) + ready
            self.report(done, len(self.found), self.passes, worst)
