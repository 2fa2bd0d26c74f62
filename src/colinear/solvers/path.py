"""The exact regularization path: all strengths in one solve, each with a certificate.

Preconditioned L-BFGS serves every strength with one pass over the rows; a strength that reaches the tolerance
leaves the batch. The work is done in the features' precision; then one pass in float64 computes every
certificate anew, and a strength that fails there goes on in float64. The hinge is smoothed with a width that
shrinks as its optimum nears, and certified on the hinge itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.datasets.base import Dataset
from colinear.datasets.features import Features, fit_scaling
from colinear.losses import Loss
from colinear.objective import Evaluation, Objective
from colinear.solvers.lbfgs import MEMORY, SHORTEST_STEP, History, LineSearch, dot
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import Status
from colinear.solvers.spectrum import Spectrum

FIRST_WIDTH = 1.0  # the margin itself: everything near the margin is curved
NARROWER = (0.03, 0.3)  # bounds of how much the smoothing shrinks at a time
AIM = 0.4  # share of the tolerance left to the smoothing, whose part of the gap falls with the width squared
SETTLED = 0.3  # share of the gap below which the smoothed problem counts as solved
STALE_STEPS = 5  # accepted steps in a row without a decrease beyond rounding: the precision is exhausted
BATCH_BYTES = 512 * 2**20  # what history and work arrays of one batch may take; wider paths are cut into groups


@dataclass(frozen=True, eq=False)
class PathPoint:
    """One strength: weights (c, d) on the scaled features, and how far from the optimum they are at most.

    objective and gap are computed in float64 in a pass of their own;  relative_gap = gap / objective.
    """

    reg: float
    coef: Tensor
    objective: float
    gap: float
    passes: int
    status: Status

    @property
    def relative_gap(self) -> float:
        return self.gap / self.objective if self.gap else 0.0


@dataclass(frozen=True, eq=False)
class Path:
    """Points in the order of the strengths asked for.

    passes : how often the rows were read for them.  setup_seconds : scaling and spectrum;  seconds : all.
    """

    points: tuple[PathPoint, ...]
    passes: int
    setup_seconds: float
    seconds: float

    @property
    def coef(self) -> Tensor:
        """Weights of all points, (k, c, d)."""
        return torch.stack([point.coef for point in self.points])


Report = Callable[[int, int, int, float], None]  # finished, of, passes, largest relative gap still open


def solve_path(
    data: Dataset | Features | Objective,
    loss: Loss,
    regs: Sequence[float] | Tensor,
    *,
    tol: float = 1e-3,
    max_passes: int = 300,
    held_out: Tensor | None = None,
    start: Tensor | None = None,
    preconditioner: Preconditioner | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Path:
    """Minimise mean loss + reg sum(W*W) for every strength in `regs` until relative_gap <= tol.

    data : an `Objective` (weights, folds), `Features`, or a `Dataset`, which is centred and given a bias column.
    regs : k strengths > 0.    held_out : (k,) fold that each leaves out, -1 for none (needs an Objective with folds).
    start : (c, d) or (k, c, d) weights to start from; zeros by default.    seed : of the spectrum's row sample.
    max_passes : limit of passes for each batch of strengths, certification included.

    Returns a `Path`. A point that did not reach tol says so in its status, with the gap it has.
    Error    objective and gap are float64 throughout (relative error about 1e-13 n_features).
    Cost     one pass serves all strengths that are still open: 4 k c n d flops.
    Example  nine softmax strengths on CIFAR-10 take 17 passes; see benchmarks/results/path.json.

    >>> from colinear.datasets import load_digits
    >>> from colinear.losses import Softmax
    >>> path = solve_path(load_digits(), Softmax(), [1e-2, 1e-4])
    >>> [point.status.name for point in path.points], max(point.relative_gap for point in path.points) <= 1e-3
    (['CONVERGED', 'CONVERGED'], True)
    """
    started = time.perf_counter()
    objective = _as_objective(data)
    strengths = torch.as_tensor(regs, dtype=torch.float64).cpu()
    _check_arguments(strengths, tol, max_passes)
    preconditioner = preconditioner or Preconditioner(Spectrum.fit(objective, seed))
    setup = time.perf_counter() - started
    k, (c, d) = len(strengths), (objective.features.n_classes, objective.features.n_features)
    work = torch.zeros(k, c, d, dtype=objective.features.dtype, device=objective.features.device)
    if start is not None:
        work.copy_(start)
    found: list[PathPoint | None] = [None] * k
    passes = 0
    for group in _groups(strengths, work):
        solve = _Solve(objective, loss, strengths, held_out, tol, max_passes, preconditioner, found, report)
        if start is None and (nearest := _weakest(found)):
            work[group] = nearest.coef.to(work)
        solve.run(group, work[group])
        passes += solve.passes
    points = tuple(point for point in found if point is not None)
    return Path(points, passes, setup, time.perf_counter() - started)


def _as_objective(data: Dataset | Features | Objective) -> Objective:
    if isinstance(data, Objective):
        return data
    if isinstance(data, Features):
        return Objective(data)
    dtype = torch.float64 if data.dtype == torch.float64 else torch.float32
    return Objective(Features(data, fit_scaling(data), dtype))


def _check_arguments(regs: Tensor, tol: float, max_passes: int) -> None:
    check_number("tol", tol, above=0)
    check_count("max_passes", max_passes)
    if regs.ndim != 1 or len(regs) == 0:
        raise InputError(f"regs must be a list of at least one strength; got shape {tuple(regs.shape)}.")
    for reg in regs.tolist():
        check_number("reg", reg, above=0)


def _groups(regs: Tensor, work: Tensor) -> list[list[int]]:
    """Indices of the strengths to batch, strongest first.

    All together if their L-BFGS history fits in 512 MiB: (2 MEMORY + 8) arrays of (k, c, d). Else groups as wide as
    that allows, from strong to weak, each warm-started from the weakest finished before it.
    """
    each = (2 * MEMORY + 8) * work[0].numel() * work.element_size()
    width = max(1, BATCH_BYTES // each)
    order = regs.argsort(descending=True, stable=True).tolist()
    return [order[i : i + width] for i in range(0, len(order), width)]


def _weakest(found: list[PathPoint | None]) -> PathPoint | None:
    """The finished point with the weakest strength: the nearest to the group that comes next."""
    done = [point for point in found if point is not None]
    return min(done, key=lambda point: point.reg, default=None)


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A candidate between two precisions: its number, weights (c, d), smoothing and passes so far."""

    number: int
    coef: Tensor
    width: float
    passes: int


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

    def keep(self, members: Tensor) -> None:
        for name in ("regs", "widths", "stale", "narrowed"):
            setattr(self, name, getattr(self, name)[members])
        for name in ("numbers", "passes"):  # kept on the host
            setattr(self, name, getattr(self, name)[members.cpu()])
        if self.held_out is not None:
            self.held_out = self.held_out[members]
        self.search.keep(members)
        self.history.keep(members)


@dataclass
class _Solve:
    """One batch of strengths, from start to certificate."""

    objective: Objective
    loss: Loss
    regs: Tensor
    held_out: Tensor | None
    tol: float
    max_passes: int
    preconditioner: Preconditioner
    found: list[PathPoint | None]
    report: Report | None
    passes: int = 0
    _waiting: list[_Waiting] = field(default_factory=list)

    def run(self, numbers: list[int], start: Tensor) -> None:
        """Solve in the features' precision, then certify in float64 and go on there where that is needed."""
        entrants = [_Waiting(n, coef, FIRST_WIDTH, 0) for n, coef in zip(numbers, start, strict=True)]
        if start.dtype != torch.float64 and self.max_passes > 1:  # a single pass is the certificate's
            self._descend(entrants, last=False)
            entrants = self._waiting
        self._descend([replace(entrant, coef=entrant.coef.double()) for entrant in entrants], last=True)

    def _descend(self, entrants: list[_Waiting], *, last: bool) -> None:
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

    def _line_up(self, entrants: list[_Waiting]) -> _Lineup:
        coef = torch.stack([entrant.coef for entrant in entrants])
        numbers = torch.tensor([entrant.number for entrant in entrants])
        device, k = coef.device, len(entrants)
        held_out = None if self.held_out is None else self.held_out.cpu()[numbers].to(device)
        widths = torch.tensor([entrant.width for entrant in entrants], dtype=torch.float64, device=device)
        lineup = _Lineup(
            numbers, self.regs[numbers].to(device), held_out, widths, LineSearch.at(coef), History(),
            torch.zeros(k, dtype=torch.int64, device=device), torch.zeros(k, dtype=torch.bool, device=device),
            torch.tensor([entrant.passes for entrant in entrants]),
        )  # fmt: skip
        lineup.search.here = self._evaluate(lineup, coef)
        self._narrow(lineup)
        self._aim(lineup, torch.ones(k, dtype=torch.bool, device=device))
        return lineup

    def _evaluate(self, lineup: _Lineup, coef: Tensor) -> Evaluation:
        self.passes += 1
        lineup.passes += 1
        return self.objective.evaluate(coef, lineup.regs, self.loss.smooth(lineup.widths), lineup.held_out)

    def _aim(self, lineup: _Lineup, turning: Tensor) -> None:
        """New directions, full steps, for those that moved; steepest descent where L-BFGS points uphill."""
        search, here = lineup.search, lineup.search.here

        def precondition(gradient: Tensor) -> Tensor:
            return self.preconditioner.apply(gradient, here.curvature, lineup.regs)

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
        here.value.copy_(torch.where(settled, here.objective, here.value))

    def _release(self, lineup: _Lineup, last: bool) -> None:
        """Let go of candidates that are certified, out of passes, or at the end of this precision."""
        here, search = lineup.search.here, lineup.search
        converged = here.relative_gap <= self.tol * (1 if last else 0.95)
        stalled = (search.step < SHORTEST_STEP) | (lineup.stale >= STALE_STEPS) | ~(search.slope < 0)
        spent = self.passes >= self.max_passes - (0 if last else 1)  # one is kept for the certificate
        leaving = converged | stalled | torch.full_like(converged, spent)
        for row in leaving.nonzero().squeeze(1).tolist():
            number, coef, passes = int(lineup.numbers[row]), search.coef[row].clone(), int(lineup.passes[row])
            if last:
                status = Status.BUDGET_SPENT if spent else Status.STALLED
                status = Status.CONVERGED if bool(converged[row]) else status
                objective, gap = float(here.objective[row]), float(here.gap[row])
                self.found[number] = PathPoint(float(lineup.regs[row]), coef, objective, gap, passes, status)
            else:
                self._waiting.append(_Waiting(number, coef, float(lineup.widths[row]), passes))
        if bool(leaving.any()):
            lineup.keep((~leaving).nonzero().squeeze(1))
        self._tell(lineup, last)

    def _tell(self, lineup: _Lineup, last: bool) -> None:
        if self.report is not None:
            done = sum(point is not None for point in self.found) + (0 if last else len(self._waiting))
            open_gaps = lineup.search.here.relative_gap
            worst = float(open_gaps.max()) if len(open_gaps) else 0.0
            self.report(done, len(self.found), self.passes, worst)
