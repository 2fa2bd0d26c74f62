"""The exact path as a search: every strength solved with a certificate, compared on validation rows or on folds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from colinear.datasets.features import Features
from colinear.datasets.stratified import deal_folds
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.search.candidates import rank_candidates
from colinear.search.regs import parse_regs
from colinear.search.trials import Progress, SearchResult, Trial
from colinear.solvers.descent import Report
from colinear.solvers.folds import FoldBatch, cross_validate
from colinear.solvers.path import fit_preconditioner, solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import Path

DEFAULT_REGS = {"softmax": "1e-5:1e-1:9", "hinge": "1e-3:1:7"}  # half-decades


def default_regs(loss: str) -> tuple[float, ...]:
    """The strengths tried when none are named."""
    return parse_regs(DEFAULT_REGS[loss], 1)


@dataclass(frozen=True)
class PathSearch:
    """Solve every strength to `tol`, rank them by accuracy; with `refit_on` train the winner on more rows.

    regs : strengths; tol : largest relative gap; max_passes : limit of passes for one batch of strengths.
    """

    loss: str
    regs: tuple[float, ...]
    tol: float = 1e-3
    max_passes: int = 300
    seed: int = 0

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
        objective = Objective(train, group=group)
        solve = self._solver(objective, preconditioner)
        path = solve(objective, regs=self.regs, report=_relay(report, 0, len(self.regs)))
        accuracies = Objective(validation, group=group).accuracy(path.coef.to(train.dtype)).tolist()
        trials = self._trials(path, objective, accuracies, None)
        order = rank_candidates(accuracies, self.regs)
        details = self._details(path)
        refitted = None
        if refit_on is not None:
            winner = path.points[order[0]]
            start = winner.coef.to(refit_on.dtype)
            [point] = solve(refitting := Objective(refit_on, group=group), regs=(winner.reg,), start=start).points
            refitted = point.coef
            details["refit"] = {
                "n_train": refitting.n_samples, "objective": point.objective, "relative_gap": point.relative_gap,
                "passes": point.passes, "status": point.status.key,
            }  # fmt: skip
        seconds = time.perf_counter() - started
        return SearchResult(
            self.loss, "exact", trials, tuple(order), path.coef, details=details, seconds=seconds, refitted=refitted
        )

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
        them, so a fold counts by its rows; its spread is the standard deviation (n - 1) over folds.

        train : the training rows, perhaps with further copies of each;  plain : the same rows, once each.
        All rows are solved first; every strength on every fold's complement then starts from there.
        """
        started = time.perf_counter()
        total = len(self.regs) * (n_folds + 1)
        objective, judged = Objective(train, group=group), Objective(plain, group=group)
        labels = torch.cat(group.gather(plain.labels))
        folds = deal_folds(labels, n_folds, self.seed, plain.dataset.class_names)[judged.rows]
        found = cross_validate(
            self._solver(objective, preconditioner), objective, judged, self.regs,
            [FoldBatch(folds, tuple(range(n_folds)))], all_rows_first=True,
            relay=lambda done: _relay(report, done, total),
        )  # fmt: skip
        whole, parts = found.solves
        accuracies = found.means.tolist()
        trials = self._trials(whole, objective, accuracies, found.spreads.tolist())
        details = self._details(whole)
        details["folds"] = {
            "count": n_folds, "val_accuracies": found.accuracies.tolist(), "passes": parts.passes,
            "seconds": parts.seconds, "largest_relative_gap": max(point.relative_gap for point in parts.points),
            "not_converged": sum(point.status.name != "CONVERGED" for point in parts.points),
        }  # fmt: skip
        seconds = time.perf_counter() - started
        order = tuple(rank_candidates(accuracies, self.regs))
        return SearchResult(self.loss, "exact", trials, order, whole.coef, details=details, seconds=seconds)

    def _solver(self, objective: Objective, preconditioner: Preconditioner | None) -> Callable[..., Path]:
        preconditioner = preconditioner or fit_preconditioner(objective, self.seed)
        return partial(
            solve_path, loss=LOSSES[self.loss], tol=self.tol, max_passes=self.max_passes,
            preconditioner=preconditioner, seed=self.seed,
        )  # fmt: skip

    def _trials(
        self, path: Path, objective: Objective, accuracies: list[float], spreads: list[float] | None
    ) -> tuple[Trial, ...]:
        trained = objective.accuracy(path.coef.to(objective.features.dtype)).tolist()
        return tuple(
            Trial(
                point.reg, trained[k], accuracies[k], point.status, objective=point.objective,
                relative_gap=point.relative_gap, passes=point.passes, spread=None if spreads is None else spreads[k],
            )
            for k, point in enumerate(path.points)
        )  # fmt: skip

    def _details(self, path: Path) -> dict[str, Any]:
        return {"tol": self.tol, "passes": path.passes, "solve_seconds": path.seconds, **path.details}


def _relay(report: Callable[[Progress], None] | None, done: int, total: int) -> Report:
    """Passes a solver's reports on as `Progress`, counting from `done` of `total`."""

    def relay(finished: int, of: int, passes: int, gap: float) -> None:
        if report is not None:
            report(Progress(done + finished, total, active=of - finished, passes=passes, gap=gap))

    return relay
