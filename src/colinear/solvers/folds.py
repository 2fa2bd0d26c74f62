"""Cross-validation: every strength on every fold's complement and on all rows, and how held-out rows are labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.answers import is_right
from colinear.objective import Objective
from colinear.solvers.descent import Report
from colinear.solvers.journal import FORGETFUL, Journal, Parts, UnreadableError, take
from colinear.solvers.solution import Path

Rows = tuple[NDArray[np.int64], NDArray[np.int64]]  # training and test rows of one split
Score = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # weights and folds -> values and the weights of folds
HELD_BYTES = 2**29  # weights of folds that wait, in float64, for the judgement of their strengths


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
        device, copies = objective.features.device, objective.features.n_samples // max(1, len(self.folds))
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
            folds, trained = torch.ones(n_samples, dtype=torch.int64), torch.zeros(n_samples, dtype=torch.bool)
            folds[torch.as_tensor(test)], trained[torch.as_tensor(train)] = 0, True
            alone.append(FoldBatch(folds, (number,), trained))
            continue
        fitting = next((batch for batch in shared if (batch[0][test] < 0).all()), None)
        if fitting is None:
            shared.append(fitting := (np.full(n_samples, -1, dtype=np.int64), []))
        fitting[0][test] = len(fitting[1])
        fitting[1].append(number)
    whole = [FoldBatch(torch.from_numpy(np.where(f < 0, len(members), f)), tuple(members)) for f, members in shared]
    return whole + alone


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Every strength on all rows, and how those on the splits label held-out rows.

    path : every strength on all rows; its passes and seconds are those of the solve it was part of.
    correct (k, splits) float64 : weight of held-out rows labelled right;   weights (splits,) float64 : of them all.
    scored (k, splits), scored_weights (splits,) : what `score` found, None without one.
    solves : the path of every solve, in order, its points as [strength][fold, then all rows], without their weights.
    """

    path: Path
    correct: Tensor
    weights: Tensor
    solves: tuple[Path, ...]
    scored: Tensor | None = None
    scored_weights: Tensor | None = None

    @property
    def scores(self) -> Tensor:
        """What each split is compared by, (k, splits) float64: the score, or without one the accuracy."""
        return self.accuracies if self.scored is None else self.scored

    @property
    def mean_scores(self) -> Tensor:
        """The mean of the scores, each split by its held-out weight, (k,) float64."""
        if self.scored is None or self.scored_weights is None:
            return self.means
        return self.scored @ self.scored_weights / self.scored_weights.sum()

    @property
    def accuracies(self) -> Tensor:
        """Share of each split's held-out weight that is labelled right, (k, splits) float64."""
        return self.correct / self.weights

    @property
    def means(self) -> Tensor:
        """The same share of all splits together, (k,) float64."""
        return self.correct.sum(1) / self.weights.sum()

    @property
    def spreads(self) -> Tensor:
        """Standard deviation (n - 1) of the scores over splits, (k,) float64; NaN of one split."""
        several = len(self.weights) > 1
        return self.scores.std(1, correction=1) if several else torch.full_like(self.correct[:, 0], torch.nan)


def cross_validate(
    solve: Callable[..., Path],
    objective: Objective,
    judged: Objective,
    regs: Sequence[float],
    batches: Sequence[FoldBatch],
    *,
    all_rows_first: bool = False,
    start: Tensor | None = None,
    relay: Callable[[int], Report] | None = None,
    journal: Journal = FORGETFUL,
    score: Score | None = None,
) -> CrossValidation:
    """Solve k strengths on all rows and without each split's test rows, and judge by these.

    Each pair of strength and fold is one row block of one matrix, its held-out rows masked in the gradient of the
    scores, so that a pass over the rows serves them all.
    solve : `solve_path` with loss, tolerance and limits bound.     objective : what trains, with its row weights.
    judged : the same rows with the weights that accuracies count, once each where `objective` holds further copies.
    all_rows_first : solve all rows alone and start every fold from there, so that they have passes and seconds of
    their own to report. Otherwise they are candidates beside the folds, and one solve does for all. Both reach the
    tolerance; passes differ, and weights by no more than the gaps allow. Where the weights of all folds exceed
    HELD_BYTES, all rows come first too, and the folds of some strengths are solved and judged before the next.
    start : (k, c, d) weights from which the first solve starts; zeros by default.
    relay : given the number of fits done, what the next solve reports to.
    journal : where judgements are noted; that of the solves, too.
    score : given weights (k, f, c, d) and the fold of each row, values (k, f) on the rows of fold 0, ..., f - 1, and
    the weights (f,) by which the mean counts them.
    Raises   `InputError` if a split holds out no weight, and what `solve_path` raises.
    """
    solves: list[Path] = []
    features = objective.features
    fits = max(len(batch.splits) for batch in batches) * features.n_classes * features.n_features  # weights of one reg
    width = max(1, HELD_BYTES // (8 * fits))

    def run(
        over: Objective, held: list[int], few: slice = slice(None), begin: Sequence[Tensor] | Tensor | None = None
    ) -> Path:
        strengths = [reg for reg in regs[few] for _ in held]
        held_out = torch.tensor(held * len(regs[few]), device=over.features.device)
        start = None if begin is None else torch.stack([coef.to(features.dtype) for coef in begin[few]])
        path = solve(
            over, regs=strengths, held_out=None if over.folds is None else held_out,
            start=None if start is None else start.repeat_interleave(len(held), 0),
            report=None if relay is None else relay(sum(len(path.points) for path in solves)), journal=journal,
        )  # fmt: skip
        solves.append(replace(path, points=tuple(replace(point, coef=point.coef[:0].clone()) for point in path.points)))
        return path

    whole = run(objective, [-1], begin=start) if all_rows_first or width < len(regs) else None
    begin = start if whole is None else [point.coef for point in whole.points]
    correct = torch.empty(len(regs), sum(len(batch.splits) for batch in batches), dtype=torch.float64)
    weights = correct.new_empty(correct.shape[1])
    scored, scored_weights = (None, None) if score is None else (torch.empty_like(correct), torch.empty_like(weights))
    for batch in batches:
        members, over = list(batch.splits), batch.mask(objective)
        beside = [-1] if whole is None and batch.trained is None else []
        for few in (slice(first, first + width) for first in range(0, len(regs), width)):
            path = run(over, [*range(len(members)), *beside], few, begin)
            if beside:
                whole = replace(path, points=path.points[len(members) :: len(members) + 1])
            coef = path.coef.view(len(regs[few]), -1, *path.coef.shape[1:])[:, : len(members)]
            found, _ = journal.step(partial(_judge, judged, batch.folds, coef, score))
            each, m = tuple(coef.shape[:2]), (len(members),)
            right, counted = take(found, "correct", torch.float64, each), take(found, "weights", torch.float64, m)
            if not bool(((right >= 0) & (right <= counted) & (counted > 0)).all()):
                raise UnreadableError("it has more rows labelled right than there are")
            correct[few, members], weights[members] = right, counted
            if scored is not None and scored_weights is not None:
                scored[few, members] = take(found, "scores", torch.float64, each)
                scored_weights[members] = take(found, "score_weights", torch.float64, m)
    whole = whole or run(objective, [-1])  # no split trains on all other rows
    return CrossValidation(whole, correct, weights, tuple(solves), scored, scored_weights)


def _judge(judged: Objective, folds: Tensor, coef: Tensor, score: Score | None) -> Parts:
    """Weight of each fold's rows that the weights (k, f, c, d) which have not seen them label right, and of them all.

    Returns `correct` (k, f) and `weights` (f,), float64, and what `score` returns as `scores` and `score_weights`; ties
    go to the lowest class.
    """
    features, n_folds = judged.features, coef.shape[1]
    folds = folds.to(features.device)
    ones = torch.ones(len(folds), dtype=torch.float64)
    weights = (ones if judged.row_weights is None else judged.row_weights).to(features.device)
    counted = torch.bincount(folds, weights, n_folds + 1)[:n_folds].double()  # of no rows it is whole numbers
    judged.group.sum_(counted)
    if not bool((counted > 0).all()):
        raise InputError("every fold must hold rows of weight > 0; give other sample_weight or cv.")
    correct = counted.new_zeros(coef.shape[:2])
    for rows, scores in judged.scores(coef.flatten(0, 1).to(features.dtype)):
        right = is_right(scores, features.labels[rows]).view(*coef.shape[:2], -1)
        mine = folds[rows] == torch.arange(n_folds, device=features.device).unsqueeze(1)  # (f, b)
        correct += (right & mine).double() @ weights[rows]
    judged.group.sum_(correct)
    tensors = {"correct": correct.cpu(), "weights": counted.cpu()}
    if score is not None:
        scores, score_weights = score(coef.to(features.dtype), folds)
        tensors |= {"scores": scores.cpu(), "score_weights": score_weights.cpu()}
    return tensors, {}
