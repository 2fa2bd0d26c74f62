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
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.search.strengths import N_FIRST, Rule, choose, default_regs, find_end, go_on, list_missing
from colinear.search.trials import Progress, SearchResult, Trial
from colinear.search.wording import warn_of_end
from colinear.solvers.descent import Report
from colinear.solvers.folds import FoldBatch, cross_validate
from colinear.solvers.path import extrapolate, fit_preconditioner, solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import Path

Solve = Callable[..., Path]


@dataclass(frozen=True)
class Tried:
    """Some strengths, solved and judged. coef : (c, d) of each;   paths : of the solves on all rows that may train;
    folds : accuracies of each strength, fold by fold;   fold_paths : of the solves that left a fold out.
    """

    trials: tuple[Trial, ...]
    coef: tuple[Tensor, ...]
    paths: tuple[Path, ...]
    folds: tuple[tuple[float, ...], ...] = ()
    fold_paths: tuple[Path, ...] = ()

    @property
    def regs(self) -> list[float]:
        return [trial.reg for trial in self.trials]

    @property
    def accuracies(self) -> list[float]:
        return [trial.val_accuracy for trial in self.trials]

    def choose(self, rule: Rule) -> list[int]:
        """Indices, the winner first."""
        return choose(self.accuracies, [trial.val_error or 0.0 for trial in self.trials], self.regs, rule)

    def join(self, other: Tried) -> Tried:
        """Both, by strength."""
        order = sorted(range(len(self.trials) + len(other.trials)), key=(self.regs + other.regs).__getitem__)

        def merge(mine: tuple[Any, ...], theirs: tuple[Any, ...]) -> tuple[Any, ...]:
            both = mine + theirs
            return tuple(both[number] for number in order) if both else ()

        return Tried(
            merge(self.trials, other.trials), merge(self.coef, other.coef), self.paths + other.paths,
            merge(self.folds, other.folds), self.fold_paths + other.fold_paths,
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
    """Solve every strength to `tol`, rank them by accuracy; with `refit_on` train the winner on more rows.

    regs : strengths; None begins with the strongest of `default_regs` and goes on beyond an end, see `list_missing`.
    tol : largest relative gap; max_passes : limit of passes for one batch of strengths.    rule : see `choose`.
    """

    loss: str
    regs: tuple[float, ...] | None = None
    tol: float = 1e-3
    max_passes: int = 300
    seed: int = 0
    rule: Rule = "best"

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
    ) -> SearchResult:
        """Compare strengths on `validation`; the winner's weights come from `refit_on` if that is given.

        preconditioner : of the training rows, if an earlier search on them has made it.
        group : of the processes that hold the rows, those given here.
        """
        started = time.perf_counter()
        objective, judge = Objective(train, group=group), Objective(validation, group=group)
        solve = self._solver(objective, preconditioner)

        def attempt(regs: tuple[float, ...], start: Tensor | None, done: int, total: int) -> Tried:
            path = solve(objective, regs=regs, start=start, report=_relay(report, done, total))
            accuracies = judge.accuracy(path.coef.to(train.dtype)).tolist()
            errors = [math.sqrt(share * (1 - share) / judge.n_samples) for share in accuracies]
            return self._tried(path, objective, accuracies, errors)

        tried, order, details = self._explore(objective, attempt)
        refitted = None
        if refit_on is not None:
            winner = tried.trials[order[0]]
            start = tried.coef[order[0]].to(refit_on.dtype)
            [point] = solve(refitting := Objective(refit_on, group=group), regs=(winner.reg,), start=start).points
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
    ) -> SearchResult:
        """Compare strengths by stratified folds; every weight returned was trained on all rows.

        A strength's accuracy is the share of all rows that are labelled correctly by the weights that have not seen
        them, so a fold counts by its rows; its spread is the standard deviation (n - 1) over folds, its error that
        divided by the root of their number.

        train : the training rows, perhaps with further copies of each;  plain : the same rows, once each.
        All rows are solved first; every strength on every fold's complement then starts from there.
        """
        started = time.perf_counter()
        objective, judge = Objective(train, group=group), Objective(plain, group=group)
        labels = torch.cat(group.gather(plain.labels))
        folds = deal_folds(labels, n_folds, self.seed, plain.dataset.class_names)[judge.rows]
        solve = self._solver(objective, preconditioner)

        def attempt(regs: tuple[float, ...], start: Tensor | None, done: int, total: int) -> Tried:
            found = cross_validate(
                solve, objective, judge, regs, [FoldBatch(folds, tuple(range(n_folds)))], all_rows_first=True,
                start=start, relay=lambda more: _relay(report, done + more, total),
            )  # fmt: skip
            whole, parts = found.path, found.solves[1:]
            errors = (found.spreads / math.sqrt(n_folds)).tolist()
            tried = self._tried(whole, objective, found.means.tolist(), errors, found.spreads.tolist())
            return replace(tried, folds=tuple(map(tuple, found.accuracies.tolist())), fold_paths=parts)

        tried, order, details = self._explore(objective, attempt, fits=1 + n_folds)
        points = [point for path in tried.fold_paths for point in path.points]
        details["folds"] = {
            "count": n_folds, "val_accuracies": [list(shares) for shares in tried.folds],
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
            missing = list_missing(tried.regs, tried.accuracies, order[0])
            more = go_on(tried.regs, missing, start) if self.regs is None else ()
            if more:
                done = fits * len(tried.trials)
                tried = tried.join(attempt(more, tried.starts(more), done, done + fits * len(more)))
        end = find_end(tried.regs, tried.accuracies, order[0])
        if self.regs is None:  # at the limit; where accuracy no longer rises, an end is none
            end = next((end for end, count in missing.items() if count), None)
        weaker, stronger = sum(reg < min(start) for reg in tried.regs), sum(reg > max(start) for reg in tried.regs)
        best = tried.choose("best")[0]
        allowed = tried.trials[best].val_error or 0.0 if self.rule == "1se" else 0.0
        more_details = {
            "range": {
                "automatic": self.regs is None, "started_with": len(start), "weaker_added": weaker,
                "stronger_added": stronger, "winner_at": end,
                "warning": None if end is None else warn_of_end(end, automatic=self.regs is None),
            },
            "choice": {"rule": self.rule, "best": best, "at_least": max(0.0, tried.accuracies[best] - allowed)},
        }  # fmt: skip
        return tried, order, {"tol": self.tol, **tried.details(), **more_details}

    def _solver(self, objective: Objective, preconditioner: Preconditioner | None) -> Solve:
        preconditioner = preconditioner or fit_preconditioner(objective, self.seed)
        return partial(
            solve_path, loss=LOSSES[self.loss], tol=self.tol, max_passes=self.max_passes,
            preconditioner=preconditioner, seed=self.seed,
        )  # fmt: skip

    def _tried(
        self, path: Path, objective: Objective, accuracies: list[float], errors: list[float],
        spreads: list[float] | None = None,
    ) -> Tried:  # fmt: skip
        trained = objective.accuracy(path.coef.to(objective.features.dtype)).tolist()
        trials = tuple(
            Trial(
                point.reg, trained[k], accuracies[k], point.status, objective=point.objective,
                relative_gap=point.relative_gap, passes=point.passes, val_error=errors[k],
                spread=None if spreads is None else spreads[k],
            )
            for k, point in enumerate(path.points)
        )  # fmt: skip
        return Tried(trials, tuple(point.coef for point in path.points), (path,))

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
