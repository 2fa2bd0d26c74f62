"""The exact path as a search: every strength solved with a certificate, compared on validation rows or on folds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from colinear.datasets.features import Features
from colinear.datasets.stratified import deal_folds
from colinear.losses import LOSSES
from colinear.metrics import METRICS, Metric
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.search.judging import Judged, judge_folds, judge_once, metric_is_own, weigh_rows
from colinear.search.strengths import N_FIRST, Rule, choose, default_regs, find_end, find_lone, go_on, list_missing
from colinear.search.trials import Progress, SearchResult, Trial
from colinear.search.wording import warn_of_end, warn_of_lone
from colinear.solvers.descent import Report
from colinear.solvers.folds import FoldBatch, cross_validate
from colinear.solvers.journal import FORGETFUL, Journal
from colinear.solvers.path import extrapolate, fit_preconditioner, solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import Path

Solve = Callable[..., Path]


@dataclass(frozen=True)
class Tried:
    """Some strengths, solved and judged. coef : (c, d) of each;   paths : of the solves on all rows that may train;
    folds, fold_scores : accuracies and scores of each strength, fold by fold;   fold_paths : of the solves that left a
    fold out.     metric : that the scores are values of.
    """

    trials: tuple[Trial, ...]
    coef: tuple[Tensor, ...]
    paths: tuple[Path, ...]
    metric: Metric
    folds: tuple[tuple[float, ...], ...] = ()
    fold_scores: tuple[tuple[float, ...], ...] = ()
    fold_paths: tuple[Path, ...] = ()

    @property
    def regs(self) -> list[float]:
        return [trial.reg for trial in self.trials]

    @property
    def merits(self) -> list[float]:
        """Scores, or what is larger the better they are."""
        return [self.metric.merit(trial.score) for trial in self.trials]

    def choose(self, rule: Rule) -> list[int]:
        """Indices, the winner first."""
        return choose(self.merits, [trial.val_error or 0.0 for trial in self.trials], self.regs, rule)

    def join(self, other: Tried) -> Tried:
        """Both, by strength."""
        order = sorted(range(len(self.trials) + len(other.trials)), key=(self.regs + other.regs).__getitem__)

        def merge(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
            both = mine + theirs
            return tuple(both[number] for number in order) if both else ()

        return Tried(
            merge(self.trials, other.trials), merge(self.coef, other.coef), self.paths + other.paths, self.metric,
            merge(self.folds, other.folds), merge(self.fold_scores, other.fold_scores),
            self.fold_paths + other.fold_paths,
        )  # fmt: skip

    def starts(self, regs: tuple[float, ...]) -> Tensor:
        """Weights (k, c, d) from which strengths beyond the ends may start; these are ascending.

        Weaker ones lie on the line through the weights of the two weakest, in log reg: 60 passes for the strengths of
        four clusters' rows, where the weights of the weakest take 72 and zeros 81. Stronger ones take the strongest's.
        """
        known = dict(zip(self.regs, self.coef, strict=True))
        return torch.stack([extrapolate(reg, known) if reg < self.regs[0] else self.coef[-1] for reg in regs])

    def details(self) -> dict[str, Any]:
        """What results.json says of the solves."""
        return {
            "passes": sum(path.passes for path in self.paths),
            "solve_seconds": sum(path.seconds for path in self.paths),
            **self.paths[0].details,
        }


Attempt = Callable[[tuple[float, ...], Tensor | None, int, int], Tried]  # regs, start, fits done, fits in all


@dataclass(frozen=True)
class PathSearch:
    """Solve every strength to `tol`, rank them by a metric; with `refit_on` train the winner on more rows.

    regs : strengths; None begins with the strongest of `default_regs` and goes on beyond an end, see `list_missing`.
    tol : largest relative gap; max_passes : limit of passes for one batch of strengths.    rule : see `choose`.
    metric : a name of `METRICS`.     class_weight : None, or a number for each class: what its rows count in training.
    Rows that have sample weights count by them, in training and in the metric.
    """

    loss: str
    regs: tuple[float, ...] | None = None
    tol: float = 1e-3
    max_passes: int = 300
    seed: int = 0
    rule: Rule = "best"
    metric: str = "accuracy"
    class_weight: tuple[float, ...] | None = None

    @property
    def n_first(self) -> int:
        """How many strengths are tried before any is added."""
        return len(self.regs or default_regs(self.loss)[-N_FIRST:])

    def run(
        self,
        train: Features,
        validation: Features,
        *,
        refit_on: Features | None = None,
        preconditioner: Preconditioner | None = None,
        report: Callable[[Progress], None] | None = None,
        group: Group = ALONE,
        journal: Journal = FORGETFUL,
    ) -> SearchResult:
        """Compare strengths on `validation`; the winner's weights come from `refit_on` if that is given.

        preconditioner : of the training rows, if an earlier search on them has made it.
        group : of the processes that hold the rows, those given here.
        journal : where the search is noted as it goes, and from whose notes it goes on.
        """
        started = time.perf_counter()
        objective = self._objective(train, group)
        solve = partial(self._solver(objective, preconditioner), journal=journal)

        def attempt(regs: tuple[float, ...], start: Tensor | None, done: int, total: int) -> Tried:
            path = solve(objective, regs=regs, start=start, report=_relay(report, done, total))
            judged = self._judge(validation, path, group, journal, error=True)
            return self._tried(path, self._judge(train, path, group, journal), judged)

        tried, order, details = self._explore(objective, attempt)
        refitted = None
        if refit_on is not None:
            winner = tried.trials[order[0]]
            start, fits = tried.coef[order[0]].to(refit_on.dtype), len(tried.trials)
            relay = _relay(report, fits - 1, fits)  # who listens may stop the run here too
            refitting = self._objective(refit_on, group)
            [point] = solve(refitting, regs=(winner.reg,), start=start, report=relay).points
            refitted = point.coef
            details["refit"] = {
                "n_train": refitting.n_samples, "objective": point.objective, "relative_gap": point.relative_gap,
                "passes": point.passes, "status": point.status.key,
            }  # fmt: skip
        return self._result(tried, order, details, started, refitted)

    def cross_validate(
        self,
        train: Features,
        plain: Features,
        n_folds: int,
        *,
        preconditioner: Preconditioner | None = None,
        report: Callable[[Progress], None] | None = None,
        group: Group = ALONE,
        journal: Journal = FORGETFUL,
    ) -> SearchResult:
        """Compare strengths by stratified folds; every weight returned was trained on all rows.

        A strength's accuracy is the share of all rows that are labelled correctly by the weights that have not seen
        them, so a fold counts by its rows, and in the mean of a metric by their weight; its spread is the standard
        deviation (n - 1) over folds, its error that divided by the root of their number.

        train : the training rows, perhaps with further copies of each;  plain : the same rows, once each.
        All rows are solved first; every strength on every fold's complement then starts from there.
        """
        started = time.perf_counter()
        objective, judged, metric = self._objective(train, group), Objective(plain, group=group), METRICS[self.metric]
        own = metric_is_own(metric, plain.dataset)
        folds = deal_folds(judged.join(plain.labels), n_folds, self.seed, plain.dataset.class_names)[judged.numbers]
        solve = self._solver(objective, preconditioner)

        def attempt(regs: tuple[float, ...], start: Tensor | None, done: int, total: int) -> Tried:
            found = cross_validate(
                solve, objective, judged, regs, [FoldBatch(folds, tuple(range(n_folds)))], all_rows_first=True,
                start=start, relay=lambda more: _relay(report, done + more, total), journal=journal,
                score=partial(judge_folds, judged, metric=metric) if own else None,
            )  # fmt: skip
            whole, parts = found.path, found.solves[1:]
            errors = (found.spreads / math.sqrt(n_folds)).tolist()
            scored = Judged(found.means.tolist(), found.mean_scores.tolist(), errors, own)
            trained = self._judge(objective.features, whole, group, journal)
            tried = self._tried(whole, trained, scored, found.spreads.tolist())
            folds_of, scores_of = (tuple(map(tuple, one.tolist())) for one in (found.accuracies, found.scores))
            return replace(tried, folds=folds_of, fold_scores=scores_of if own else (), fold_paths=parts)

        tried, order, details = self._explore(objective, attempt, fits=1 + n_folds)
        points = [point for path in tried.fold_paths for point in path.points]
        details["folds"] = {
            "count": n_folds, "val_accuracies": [list(shares) for shares in tried.folds],
            **({"val_scores": [list(scores) for scores in tried.fold_scores]} if own else {}),
            "passes": sum(path.passes for path in tried.fold_paths),
            "seconds": sum(path.seconds for path in tried.fold_paths),
            "largest_relative_gap": max(point.relative_gap for point in points),
            "not_converged": sum(point.status.name != "CONVERGED" for point in points),
        }  # fmt: skip
        return self._result(tried, order, details, started)

    def _explore(
        self, objective: Objective, attempt: Attempt, fits: int = 1
    ) -> tuple[Tried, list[int], dict[str, Any]]:
        """Try the strengths, and without `regs` more of them beyond an end; the order, and what results.json says.

        fits : that one strength takes.
        """
        start = self.regs or default_regs(self.loss, objective.mean_square())[-N_FIRST:]
        tried, more = attempt(start, None, 0, fits * len(start)), start
        while more:
            order = tried.choose(self.rule)
            missing = list_missing(tried.regs, tried.merits, order[0])
            more = go_on(tried.regs, missing, start) if self.regs is None else ()
            if more:
                done = fits * len(tried.trials)
                tried = tried.join(attempt(more, tried.starts(more), done, done + fits * len(more)))
        end = find_end(tried.regs, tried.merits, order[0])
        if self.regs is None:  # at the limit; where accuracy no longer rises, an end is none
            end = next((end for end, count in missing.items() if count), None)
        warning = None if end is None else warn_of_end(end, automatic=self.regs is None)
        if self.regs is None and objective.features.dataset.image_shape is None:
            lone = find_lone(objective.column_squares()[: objective.features.dataset.n_features])
            warning = warning if lone is None else warn_of_lone(*lone)
        weaker, stronger = sum(reg < min(start) for reg in tried.regs), sum(reg > max(start) for reg in tried.regs)
        best = tried.choose("best")[0]
        allowed = tried.trials[best].val_error or 0.0 if self.rule == "1se" else 0.0
        more_details = {
            "range": {
                "automatic": self.regs is None, "started_with": len(start), "weaker_added": weaker,
                "stronger_added": stronger, "winner_at": end,
                "warning": warning,
            },
            "choice": {
                "rule": self.rule, "best": best,
                "at_least": max(0.0, tried.metric.merit(tried.merits[best] - allowed)),
            },
        }  # fmt: skip
        return tried, order, {"tol": self.tol, **tried.details(), **more_details}

    def _solver(self, objective: Objective, preconditioner: Preconditioner | None) -> Solve:
        preconditioner = preconditioner or fit_preconditioner(objective, self.seed)
        return partial(
            solve_path, loss=LOSSES[self.loss], tol=self.tol, max_passes=self.max_passes,
            preconditioner=preconditioner, seed=self.seed,
        )  # fmt: skip

    def _objective(self, features: Features, group: Group) -> Objective:
        """What is minimised over rows, each with its weight."""
        return Objective(features, weigh_rows(features.dataset, self.class_weight), group=group)

    def _judge(
        self, features: Features, path: Path, group: Group, journal: Journal, *, error: bool = False
    ) -> Judged:  # fmt: skip
        """The weights of each point, judged on rows."""
        return judge_once(features, path.coef.to(features.dtype), METRICS[self.metric], group, journal, error=error)

    def _tried(
        self, path: Path, trained: Judged, judged: Judged, spreads: list[float] | None = None
    ) -> Tried:  # fmt: skip
        trials = tuple(
            Trial(
                point.reg, trained.accuracies[k], judged.accuracies[k], point.status, objective=point.objective,
                relative_gap=point.relative_gap, passes=point.passes, val_error=judged.errors[k],
                spread=None if spreads is None else spreads[k],
                train_score=trained.extra(k), val_score=judged.extra(k),
            )
            for k, point in enumerate(path.points)
        )  # fmt: skip
        return Tried(trials, tuple(point.coef for point in path.points), (path,), METRICS[self.metric])

    def _result(
        self, tried: Tried, order: list[int], details: dict[str, Any], started: float, refitted: Tensor | None = None
    ) -> SearchResult:
        seconds = time.perf_counter() - started
        return SearchResult(
            self.loss, "exact", tried.trials, tuple(order), torch.stack(tried.coef), details=details, seconds=seconds,
            refitted=refitted,
        )  # fmt: skip


def _relay(report: Callable[[Progress], None] | None, done: int, total: int) -> Report:
    """Passes a solver's reports on as `Progress`, counting from `done` of `total`."""

    def relay(finished: int, of: int, passes: int, gap: float) -> None:
        if report is not None:
            report(Progress(done + finished, total, active=of - finished, passes=passes, gap=gap))

    return relay
