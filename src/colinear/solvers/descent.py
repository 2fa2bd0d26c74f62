"""One batch of strengths, from start to certificate, for the exact path.

Preconditioned L-BFGS takes all of them at once: in the features' precision, then in float64, where every
certificate is computed anew. What it leaves open goes to a finisher, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from colinear.losses import Loss
from colinear.objective import Evaluation, Objective
from colinear.solvers.lbfgs import SHORTEST_STEP, History, LineSearch, dot
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import PathPoint, Status
from colinear.solvers.tuning import USUAL

FIRST_WIDTH = 1.0  # the margin itself: everything near the margin is curved
WARM_WIDTH = 0.1  # from weights near an optimum: 1.0 leads away from it, a third more work on digits' five folds
NARROWER = (0.03, 0.3)  # bounds of how much the smoothing shrinks at a time
AIM = 0.4  # share of the tolerance left to the smoothing, whose part of the gap falls with the width squared
SETTLED = 0.3  # share of the gap below which the smoothed problem counts as solved
CHECKED = 8  # passes from one look at whether all processes have the same weights to the next
STALE_STEPS = 5  # accepted steps in a row without a decrease beyond rounding: the precision is exhausted

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


@dataclass(frozen=True, eq=False)
class Entrant:
    """A candidate between two precisions: its number, weights (c, d), smoothing, passes so far, any step taken."""

    number: int
    coef: Tensor
    width: float
    passes: int
    moved: bool = False


@dataclass
class _Lineup:
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

    def entrant(self, row: int) -> Entrant:
        """What the candidate in this row of the line-up takes along when it leaves."""
        coef = self.search.coef[row].clone()
        return Entrant(
            int(self.numbers[row]), coef, float(self.widths[row]), int(self.passes[row]), bool(self.moved[row])
        )

    def keep(self, members: Tensor) -> None:
        self.regs, self.widths, self.stale = self.regs[members], self.widths[members], self.stale[members]
        self.narrowed, self.moved = self.narrowed[members], self.moved[members]
        on_host = members.cpu()
        self.numbers, self.passes = self.numbers[on_host], self.passes[on_host]
        self.held_out = None if self.held_out is None else self.held_out[members]
        self.search.keep(members)
        self.history.keep(members)


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
    memory: int = USUAL.memory
    passes: int = 0
    _waiting: list[Entrant] = field(default_factory=list)  # for float64
    _ready: int = 0  # how many of them reached the tolerance
    _open: list[tuple[PathPoint, Entrant]] = field(default_factory=list)  # for the finisher

    @property
    def limit(self) -> int:
        """Passes of L-BFGS."""
        return self.max_passes if self.finisher is None else int(min(2 * self.max_passes // 3, self.finisher.patience))

    def run(self, numbers: list[int], start: Tensor, width: float = FIRST_WIDTH) -> None:
        """Solve in the features' precision, certify in float64 and go on there where needed; then finish."""
        entrants = [Entrant(n, coef, width, 0) for n, coef in zip(numbers, start, strict=True)]
        if start.dtype != torch.float64 and self.limit > 2:  # float64 needs two: where it is, and a step
            fit = [self._fits(start.dtype, float(self.regs[n])) for n in numbers]
            self._waiting = [entrant for entrant, fine in zip(entrants, fit, strict=True) if not fine]
            if any(fit):
                self._descend([entrant for entrant, fine in zip(entrants, fit, strict=True) if fine], last=False)
            entrants = self._waiting
        self._descend([replace(entrant, coef=entrant.coef.double()) for entrant in entrants], last=True)
        while self.finisher and self._open:
            self._finish(self.finisher, *self._open.pop(0))

    def _fits(self, dtype: torch.dtype, reg: float) -> bool:
        """Whether the rounding of a gradient in this precision, squared over 4 reg, is a gap within the tolerance."""
        largest = float(self.preconditioner.spectrum.values[0])
        return torch.finfo(dtype).eps ** 2 * largest / (4 * reg) <= self.tol

    def _descend(self, entrants: list[Entrant], *, last: bool) -> None:
        """Take steps until every candidate has left."""
        lineup = self._line_up(entrants)
        self._release(lineup, last)
        while len(lineup.numbers):
            there = self._evaluate(lineup, lineup.search.trial())
            self._move(lineup, there)
            self._narrow(lineup)
            self._release(lineup, last)
            if len(lineup.numbers):
                self._aim(lineup, lineup.search.turned)

    def _line_up(self, entrants: list[Entrant]) -> _Lineup:
        coef = torch.stack([entrant.coef for entrant in entrants])
        numbers = torch.tensor([entrant.number for entrant in entrants])
        device, k = coef.device, len(entrants)
        held_out = None if self.held_out is None else self.held_out.cpu()[numbers].to(device)
        widths = torch.tensor([entrant.width for entrant in entrants], dtype=torch.float64, device=device)
        lineup = _Lineup(
            numbers, self.regs[numbers].to(device), held_out, widths, LineSearch.at(coef), History(self.memory),
            torch.zeros(k, dtype=torch.int64, device=device), torch.zeros(k, dtype=torch.bool, device=device),
            torch.tensor([entrant.passes for entrant in entrants]),
            torch.tensor([entrant.moved for entrant in entrants], device=device),
        )  # fmt: skip
        lineup.search.here = self._evaluate(lineup, coef)
        self._narrow(lineup)
        self._aim(lineup, ~(lineup.search.here.relative_gap <= self.tol))
        return lineup

    def _evaluate(self, lineup: _Lineup, coef: Tensor) -> Evaluation:
        self.passes += 1
        lineup.passes += 1
        if self.passes % CHECKED == 1:
            self.objective.group.check_weights(coef)
        loss = self.loss.smooth(lineup.widths)
        return self.objective.evaluate(coef, lineup.regs, loss, lineup.held_out, curvature=True)

    def _aim(self, lineup: _Lineup, turning: Tensor) -> None:
        """New directions, full steps, for those that moved; steepest descent where L-BFGS points uphill."""
        if not bool(turning.any()):
            return
        search, here = lineup.search, lineup.search.here
        # of all: a part of a batch lies elsewhere in memory, and its products have other last bits
        precondition = self.preconditioner.at(here.curvature, lineup.regs, shift_invariant=self.loss.shift_invariant)
        direction = lineup.history.direction(here.gradient, precondition)
        slope = dot(here.gradient, direction)
        uphill = ~(slope < 0) & turning
        if bool(uphill.any()):
            lineup.history.forget(uphill)
            direction = torch.where(uphill.view(-1, 1, 1), -precondition(here.gradient), direction)
            slope = dot(here.gradient, direction)
        search.turn(direction, slope, turning)

    def _move(self, lineup: _Lineup, there: Evaluation) -> None:
        """Accept or shorten each candidate's step; remember the pairs of those that moved."""
        search, here = lineup.search, lineup.search.here
        accepted = search.accepts(there)
        step = search.direction * search.step.to(search.direction.dtype).view(-1, 1, 1)
        lineup.history.push(step, there.gradient - here.gradient, accepted & ~lineup.narrowed)
        stale = accepted & (there.value >= here.value - search.noise())
        lineup.stale = torch.where(accepted, torch.where(stale, lineup.stale + 1, 0), lineup.stale)
        lineup.narrowed &= ~accepted
        lineup.moved |= accepted
        search.shorten(there, ~accepted)
        search.advance(there, accepted)

    def _narrow(self, lineup: _Lineup) -> None:
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

    def _release(self, lineup: _Lineup, last: bool) -> None:
        """Let go of candidates that are certified, out of passes, or at the end of this precision."""
        here, search = lineup.search.here, lineup.search
        converged = here.relative_gap <= self.tol * (1 if last else 0.95)
        stalled = (search.step < SHORTEST_STEP) | (lineup.stale >= STALE_STEPS) | ~(search.slope < 0)
        spent = self.passes >= self.limit - (0 if last else 1)  # one is kept for the certificate
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
        open_gaps = lineup.search.here.relative_gap
        self._tell(0 if last else self._ready, float(open_gaps.max()) if len(open_gaps) else 0.0)

    def _end(self, entrant: Entrant, status: Status, objective: float, gap: float) -> None:
        """Record a point that L-BFGS ended at, or keep it for the finisher."""
        reg, number = float(self.regs[entrant.number]), entrant.number
        point = PathPoint(reg, entrant.coef, objective, gap, entrant.passes, status, entrant.width)
        if self.finisher is None or status is Status.CONVERGED:
            self.found[number] = point
        else:
            self._open.append((point, entrant))

    def _finish(self, finisher: Finisher, point: PathPoint, entrant: Entrant) -> None:
        """Go on from where L-BFGS ended; the better of both points is the result."""
        held_out = None if self.held_out is None else self.held_out[entrant.number]
        end = finisher.solve(
            point.reg, point.coef, tol=self.tol, max_passes=self.max_passes - point.passes, held_out=held_out,
            width=entrant.width,
        )  # fmt: skip
        self.passes += end.passes
        self.found[entrant.number] = replace(end.better(point), passes=point.passes + end.passes, status=end.status)
        self._tell(0, max((waiting.relative_gap for waiting, _ in self._open), default=0.0))

    def _tell(self, ready: int, worst: float) -> None:
        if self.report is not None:
            done = sum(point is not None for point in self.found) + ready
            self.report(done, len(self.found), self.passes, worst)
