"""The course's search: many (learning rate, reg) settings trained by SGD as one matrix, compared on validation rows.

Successive halving lets losers leave the matrix at rungs. A search can stop at any reporting point and go on
from its `SearchPosition` with the same bytes as if it never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.features import Features
from colinear.losses import LOSSES
from colinear.metrics import METRICS
from colinear.parallel.group import ALONE, Group
from colinear.search.candidates import Candidate, rank_candidates
from colinear.search.halving import plan_rungs
from colinear.search.judging import Judged, judge, metric_is_own, weigh_rows
from colinear.search.position import SearchPosition
from colinear.search.trials import Progress, RungResult, SearchResult, Trial
from colinear.solvers.sgd import SGD, SGDState
from colinear.solvers.solution import Status
from colinear.solvers.spectrum import Projection, Subspace
from colinear.solvers.team import Team

INITIAL_SCALE = 1e-6  # the course's: weights start as 1e-6 * normal numbers
REPORTS = 100  # reporting points of a search, or more: validation is scored at every fifth
LONGEST_SILENCE = 250  # steps between two reporting points at most: Ctrl-C waits for the next


Keeper = Callable[[SearchPosition, bool], None]  # (position, at a rung) -> maybe writes a checkpoint


@dataclass(frozen=True)
class SGDSearch:
    """Train all candidates at once and rank them by a metric on validation rows.

    eta : None, or the divisor of successive halving.     subspace : None, or the share of variance to keep: the
    whole search then runs on features projected onto leading eigenvectors, and weights are mapped back.
    All candidates start from the same weights, drawn with `seed` in the original space.
    metric : a name of `METRICS`, by which they are ranked.     class_weight : as of `PathSearch`.
    """

    loss: str
    candidates: tuple[Candidate, ...]
    sgd: SGD
    seed: int = 0
    eta: int | None = None
    subspace: float | None = None
    metric: str = "accuracy"
    class_weight: tuple[float, ...] | None = None

    def run(self, train: Features, validation: Features, **options: Any) -> SearchResult:
        """Search on `train`, compare on `validation`; `options` as of `run_on`."""
        group = options.get("group", ALONE)
        return self.run_on(Projection.fit(train, validation, self.subspace, self.seed, group), **options)

    def run_on(
        self,
        rows: Projection,
        *,
        report: Callable[[Progress], None] | None = None,
        keeper: Keeper | None = None,
        position: SearchPosition | None = None,
        group: Group = ALONE,
    ) -> SearchResult:
        """Search on rows that are projected already, which several searches share.

        It begins at the start, or at `position`; `report` and `keeper` are called at reporting points.
        group : of the processes that hold the rows, those given here.
        """
        started = time.perf_counter()
        begun = self._start(rows.train, rows.subspace)
        if position is not None and (wrong := position.difference(begun)) is not None:
            raise InputError(
                f"position, from a checkpoint, must be of this search and rows; {wrong}. Delete it to start anew."
            )
        position = position or begun
        self._train(position, rows, report or (lambda _: None), keeper or (lambda *_: None), group)
        seconds = time.perf_counter() - started
        own = metric_is_own(METRICS[self.metric], rows.validation.dataset)
        return self._result(position, rows.subspace, seconds, own)

    def _start(self, train: Features, basis: Subspace | None) -> SearchPosition:
        generator = torch.Generator(train.device).manual_seed(self.seed)
        columns = train.n_features if basis is None else basis.n_inputs
        coef = INITIAL_SCALE * torch.randn(
            train.n_classes, columns, generator=generator, dtype=train.dtype, device=train.device
        )
        if basis is not None:
            coef = basis.restrict(coef)
        rates = torch.tensor([c.learning_rate for c in self.candidates], dtype=torch.float64)
        regs = torch.tensor([c.reg for c in self.candidates], dtype=torch.float64)
        state = self.sgd.start(coef, rates, regs, generator)
        k = len(self.candidates)
        unknown = torch.full((k,), math.nan, dtype=torch.float64)
        return SearchPosition(
            state, torch.arange(k), torch.zeros(state.coef.shape, dtype=train.dtype),
            history=torch.full((k, self.sgd.steps), math.nan), accuracies=unknown, train_accuracies=unknown.clone(),
            scores=unknown.clone(), train_scores=unknown.clone(),
            stopped=torch.zeros(k, dtype=torch.int64), statuses=[Status.COMPLETED.key] * k, rungs=[],
        )  # fmt: skip

    def _train(
        self, position: SearchPosition, rows: Projection, report: Callable[[Progress], None], keeper: Keeper,
        group: Group,
    ) -> None:  # fmt: skip
        state, steps, loss = position.state, self.sgd.steps, LOSSES[self.loss]
        metric, weights = METRICS[self.metric], weigh_rows(rows.train.dataset, self.class_weight)
        team = Team(self.sgd, rows.train, loss, weights, group)
        rungs = plan_rungs(len(self.candidates), steps, self.eta) if self.eta else []
        at_rung = {rung.step: rung.stayed for rung in rungs}
        every = max(1, min(steps // REPORTS, LONGEST_SILENCE))
        best = math.nan
        while state.step < steps:
            ahead = [step for step in at_rung if step > state.step]
            until = min([steps, every * (state.step // every + 1), *ahead])
            team.advance(state, until)
            if until in at_rung:
                self._leave(position, rows, at_rung[until], group)
            if until % (5 * every) < every or until in at_rung:
                best = metric.merit(max(self._merits(self._judge(state, rows.validation, group)), default=math.nan))
            keeper(position, until in at_rung)  # before the report, which may end the run
            smallest = _smallest(state.history[:, until - 1])
            report(Progress(until, steps, smallest, best, len(position.alive), metric=metric.name))
        if len(position.alive):
            self._leave(position, rows, 0, group)

    def _leave(self, position: SearchPosition, rows: Projection, stay: int, group: Group) -> None:
        """Score those in the matrix; the best `stay` remain, the record of the others is closed."""
        state = position.state
        coef, statuses = self.sgd.result(state), self.sgd.statuses(state)
        judged = self._judge(state, rows.validation, group)
        order = rank_candidates([METRICS[self.metric].merit(score) for score in judged.scores], state.regs.tolist())
        stays, leaves = sorted(order[:stay]), torch.tensor(sorted(order[stay:]))
        left = leaves.to(coef.device)
        if stay:
            position.rungs.append(
                RungResult(
                    state.step, len(order), len(stays), tuple(judged.accuracies), tuple(position.alive.tolist()),
                    tuple(judged.scores) if judged.own else None,
                )
            )  # fmt: skip
        trained = judge(rows.train, coef[left], METRICS[self.metric], group)
        numbers = position.alive[leaves]
        position.coef[numbers] = coef[left].cpu()
        position.history[numbers] = state.history[left].cpu()
        for name, found in (("accuracies", judged.accuracies), ("scores", judged.scores)):
            getattr(position, name)[numbers] = torch.tensor(found, dtype=torch.float64)[leaves]
        for name, found in (("train_accuracies", trained.accuracies), ("train_scores", trained.scores)):
            getattr(position, name)[numbers] = torch.tensor(found, dtype=torch.float64)
        position.stopped[numbers] = state.step
        for row, number in zip(leaves.tolist(), numbers.tolist(), strict=True):
            dropped = stay > 0 and statuses[row] is not Status.DIVERGED
            position.statuses[number] = (Status.DROPPED if dropped else statuses[row]).key
        kept = torch.tensor(stays, dtype=torch.int64)
        state.keep(kept)
        position.alive = position.alive[kept]

    def _judge(self, state: SGDState, validation: Features, group: Group) -> Judged:
        """Of those in the matrix; NaN where one has diverged."""
        judged = judge(validation, self.sgd.result(state), METRICS[self.metric], group)
        fine = [status is not Status.DIVERGED for status in self.sgd.statuses(state)]
        accuracies, scores = (
            [value if well else math.nan for value, well in zip(values, fine, strict=True)]
            for values in (judged.accuracies, judged.scores)
        )
        return replace(judged, accuracies=accuracies, scores=scores)

    def _merits(self, judged: Judged) -> list[float]:
        """Of those that have one."""
        return [METRICS[self.metric].merit(score) for score in judged.scores if not math.isnan(score)]

    def _result(self, position: SearchPosition, basis: Subspace | None, seconds: float, own: bool) -> SearchResult:
        """own : whether the metric says anything but the accuracy."""
        trials, metric = [], METRICS[self.metric]
        for number, candidate in enumerate(self.candidates):
            status = Status[position.statuses[number].upper()]
            stopped = int(position.stopped[number])
            tail = position.history[number, max(0, stopped - 100) : stopped]
            trained, score = (
                math.nan if status is Status.DIVERGED else float(values[number])
                for values in (position.train_accuracies, position.train_scores)
            )
            trial = Trial(
                candidate.reg, trained, float(position.accuracies[number]), status, candidate.learning_rate, stopped,
                loss=float(tail.double().mean()),
                train_score=score if own else None, val_score=float(position.scores[number]) if own else None,
            )  # fmt: skip
            trials.append(trial)
        # a finalist was trained longer than those who left: it ranks before them, whatever they had at their rung
        order = sorted(
            rank_candidates([metric.merit(t.score) for t in trials], [t.reg for t in trials]),
            key=lambda n: (math.isnan(trials[n].score), trials[n].status is Status.DROPPED),
        )
        coef = position.coef if basis is None else basis.lift(position.coef)
        details: dict[str, Any] = {} if basis is None else {"subspace": basis.summary()}
        return SearchResult(
            self.loss, "sgd", tuple(trials), tuple(order), coef, position.history,
            tuple(position.rungs), details, seconds,
        )  # fmt: skip


def _smallest(values: Tensor) -> float:
    finite = values[torch.isfinite(values)]
    return float(finite.min()) if len(finite) else math.nan
