"""Cross-validation: every strength on every fold's complement and on all rows, and how held-out rows are labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError
from colinear.losses import Loss
from colinear.objective import Objective, _all_reduce_
from colinear.solvers.descent import Report
from colinear.solvers.path import solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import Path, PathPoint

Rows = tuple[NDArray[np.int64], NDArray[np.int64]]  # training and test rows of one split


@dataclass(frozen=True, eq=False)
class FoldBatch:
    """Splits that share one objective, because a row belongs to at most one of their test sets.

    folds : (n,) int64, number of the split in this batch that tests the row; their count if none does.
    splits : numbers of the splits among all, in order.
    trained : None, or (n,) bool: the only rows that may train, beside those held out (a batch of one split).
    """

    folds: Tensor
    splits: tuple[int, ...]
    trained: Tensor | None = None

    def mask(self, objective: Objective) -> Objective:
        """`objective` with these folds. It may hold further copies of all n rows, each block in the order of folds."""
        device, copies = objective.features.device, objective.features.n_samples // len(self.folds)
        row_weights = objective.row_weights
        if self.trained is not None:
            trained = self.trained.to(device).double().repeat(copies)
            row_weights = trained if row_weights is None else row_weights * trained
        return replace(objective, row_weights=row_weights, folds=self.folds.to(device).repeat(copies))


def batch_splits(splits: Sequence[Rows], n_samples: int) -> list[FoldBatch]:
    """Pack the splits: those that train on all other rows share a batch while their test sets are disjoint.

    k-fold splitters give one batch, repeated k-fold one for each repetition, ShuffleSplit one for each split.

    >>> rows = np.arange(4)
    >>> batches = batch_splits([(rows[2:], rows[:2]), (rows[:2], rows[2:]), (rows[1:], rows[:1])], 4)
    >>> [(batch.folds.tolist(), batch.splits) for batch in batches]
    [([0, 0, 1, 1], (0, 1)), ([0, 1, 1, 1], (2,))]
    """
    shared: list[tuple[NDArray[np.int64], list[int]]] = []
    alone: list[FoldBatch] = []
    for number, (train, test) in enumerate(splits):
        if len(np.unique(train)) < n_samples - len(np.unique(test)):
            folds = torch.ones(n_samples, dtype=torch.int64)
            folds[torch.as_tensor(test)] = 0
            trained = torch.zeros(n_samples, dtype=torch.bool)
            trained[torch.as_tensor(train)] = True
            alone.append(FoldBatch(folds, (number,), trained))
            continue
        fitting = next((batch for batch in shared if (batch[0][test] < 0).all()), None)
        if fitting is None:
            fitting = np.full(n_samples, -1, dtype=np.int64), []
            shared.append(fitting)
        fitting[0][test] = len(fitting[1])
        fitting[1].append(number)
    whole = [FoldBatch(torch.from_numpy(np.where(f < 0, len(members), f)), tuple(members)) for f, members in shared]
    return whole + alone


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What `CrossValidator` found.

    path : every strength on all rows; passes and seconds are those of the solve that had them.
    correct (k, splits) float64 : weight of the held-out rows that are labelled right;   weights (splits,): of them all.
    points : every fit, in the order solved.     passes, seconds : of all solves.
    """

    path: Path
    correct: Tensor
    weights: Tensor
    points: tuple[PathPoint, ...]
    passes: int
    seconds: float

    @property
    def accuracies(self) -> Tensor:
        """Share of each split's held-out weight that is labelled right, (k, splits) float64."""
        return self.correct / self.weights

    @property
    def means(self) -> Tensor:
        """The same share of all splits, (k,) float64: a split counts by its held-out weight."""
        return self.correct.sum(1) / self.weights.sum()

    @property
    def spreads(self) -> Tensor:
        """Standard deviation (n - 1) of the accuracy over splits, (k,) float64."""
        return self.accuracies.std(1, correction=1)


@dataclass(frozen=True)
class CrossValidator:
    """Solve k strengths on all rows and on every split, each pair one row block of one matrix, and score the splits.

    A candidate's held-out rows are masked in the gradient of the scores, so a pass over the rows serves all candidates.
    tol, max_passes, seed : those of `solve_path`.
    all_rows_first : solve all rows alone and start every fold from there, so that the path has passes and seconds of
    its own, as a report shows them. Otherwise all rows are candidates beside the folds, and one solve does for all.
    Both reach `tol`; they differ in their passes, and in weights by no more than the gaps allow.
    """

    loss: Loss
    regs: tuple[float, ...]
    tol: float
    max_passes: int
    seed: int = 0
    all_rows_first: bool = False

    def run(
        self,
        objective: Objective,
        judged: Objective,
        batches: Sequence[FoldBatch],
        *,
        preconditioner: Preconditioner | None = None,
        relay: Callable[[int], Report] | None = None,
    ) -> CrossValidation:
        """Cross-validate over `batches`; weights of `objective` count in training, those of `judged` in accuracies.

        objective : the n rows, perhaps with further copies of all of them;   judged : the same n rows, once each.
        preconditioner : of the rows of `objective`.   relay : given the number of fits done, what a solve reports to.
        Raises   `InputError` if a split holds out no weight, and what `solve_path` raises.
        """
        paths: list[Path] = []
        correct = torch.empty(len(self.regs), sum(len(batch.splits) for batch in batches), dtype=torch.float64)
        weights = torch.empty(correct.shape[1], dtype=torch.float64)

        def solve(over: Objective, held: list[int], start: Tensor | None = None) -> Path:
            report = None if relay is None else relay(sum(len(path.points) for path in paths))
            paths.append(self._solve(over, held, preconditioner, start, report))
            return paths[-1]

        whole = solve(objective, [-1]) if self.all_rows_first else None
        start = None if whole is None else whole.coef
        for batch in batches:
            members = list(batch.splits)
            beside = whole is None and batch.trained is None
            held = [*range(len(members)), *([-1] if beside else [])]
            path = solve(batch.mask(objective), held, start)
            if beside:
                whole = replace(path, points=path.points[len(members) :: len(held)])
            coef = path.coef.view(len(self.regs), len(held), *path.coef.shape[1:])[:, : len(members)]
            correct[:, members], weights[members] = (sums.cpu() for sums in _judge(judged, batch.folds, coef))
        if whole is None:  # no splitter that trains on all other rows
            whole = solve(objective, [-1])
        points = tuple(point for path in paths for point in path.points)
        passes, seconds = sum(path.passes for path in paths), sum(path.seconds for path in paths)
        return CrossValidation(whole, correct, weights, points, passes, seconds)

    def _solve(
        self,
        objective: Objective,
        held: list[int],
        preconditioner: Preconditioner | None,
        start: Tensor | None,
        report: Report | None,
    ) -> Path:
        """Every strength with every fold of `held`, -1 for none; points as [strength][fold], start as [strength]."""
        features = objective.features
        held_out = torch.tensor(held * len(self.regs), device=features.device)
        return solve_path(
            objective, self.loss, [reg for reg in self.regs for _ in held], tol=self.tol, max_passes=self.max_passes,
            held_out=None if objective.folds is None else held_out,
            start=None if start is None else start.to(features.dtype).repeat_interleave(len(held), 0),
            preconditioner=preconditioner, seed=self.seed, report=report,
        )  # fmt: skip


def _judge(judged: Objective, folds: Tensor, coef: Tensor) -> tuple[Tensor, Tensor]:
    """Weight of each fold's rows that the weights (k, f, c, d) which have not seen them label right, and of them all.

    Returns (k, f) and (f,), float64; ties go to the lowest class.
    """
    features, n_folds = judged.features, coef.shape[1]
    folds = folds.to(features.device)
    ones = torch.ones(len(folds), dtype=torch.float64)
    weights = (ones if judged.row_weights is None else judged.row_weights).to(features.device)
    counted = torch.bincount(folds, weights, n_folds + 1)[:n_folds]
    _all_reduce_(counted)
    if not bool((counted > 0).all()):
        raise InputError("every fold must hold rows of weight > 0; give other sample_weight or cv.")
    correct = torch.zeros(coef.shape[:2], dtype=torch.float64, device=features.device)
    for rows, scores in judged.scores(coef.flatten(0, 1).to(features.dtype)):
        # max gives the lowest class among ties, as argmax does, in a tenth of its time along this dimension
        right = (scores.max(1).indices == features.labels[rows]).view(*coef.shape[:2], -1)
        mine = folds[rows] == torch.arange(n_folds, device=features.device).unsqueeze(1)  # (f, b)
        correct += (right & mine).double() @ weights[rows]
    _all_reduce_(correct)
    return correct, counted
