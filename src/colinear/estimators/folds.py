"""Any cross-validation splitter as batches of folds that one solve can serve."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import check_cv
from torch import Tensor

from colinear.checks import InputError, check_number
from colinear.datasets.stratified import split_stratified

Rows = tuple[NDArray[Any], NDArray[Any]]  # training and test rows of one split


@dataclass(frozen=True, eq=False)
class FoldBatch:
    """Splits that share one objective, because a row belongs to at most one of their test sets.

    folds : (n,) int64, number of the split in this batch that tests the row; `n_splits` if none does.
    trained : None, or (n,) bool: the only rows that may train, beside those held out (a batch of one split).
    splits : numbers of the splits among all, in order.
    """

    folds: Tensor
    trained: Tensor | None
    splits: tuple[int, ...]


def deal_splits(cv: Any, y: NDArray[Any], seed: int) -> list[Rows]:
    """Training and test rows of every split.

    cv : a number of stratified folds >= 2 (None is 5), a share of rows in (0, 1) for one stratified hold-out drawn
    with `seed`, a scikit-learn splitter, or an iterable of (training rows, test rows).
    """
    if isinstance(cv, float | np.floating):
        share = check_number("cv, as a share of rows,", float(cv), above=0)
        if share >= 1:
            raise InputError(f"cv must be a number of folds, a share in (0, 1) or a splitter; got {cv!r}.")
        kept, held = split_stratified(torch.as_tensor(y), (1 - share, share), seed)
        splits: Iterable[Rows] = [(kept.numpy(), held.numpy())]
    else:
        splits = check_cv(cv, y, classifier=True).split(np.zeros((len(y), 1)), y)
    dealt = [(np.asarray(train), np.asarray(test)) for train, test in splits]
    dealt = [tuple(np.flatnonzero(rows) if rows.dtype == bool else rows for rows in split) for split in dealt]  # type: ignore[misc]
    for number, (train, test) in enumerate(dealt):
        if len(train) == 0 or len(test) == 0:
            raise InputError(f"every split must have training and test rows; split {number} of cv has none of one.")
        if len(np.intersect1d(train, test)):
            raise InputError(f"training and test rows must differ; split {number} of cv has rows in both.")
    if not dealt:
        raise InputError("cv must give at least one split of the rows.")
    return dealt


def batch_splits(splits: list[Rows], n_samples: int) -> list[FoldBatch]:
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
            alone.append(FoldBatch(folds, trained, (number,)))
            continue
        fitting = next((batch for batch in shared if (batch[0][test] < 0).all()), None)
        if fitting is None:
            fitting = np.full(n_samples, -1, dtype=np.int64), []
            shared.append(fitting)
        fitting[0][test] = len(fitting[1])
        fitting[1].append(number)
    whole = [
        FoldBatch(torch.from_numpy(np.where(f < 0, len(members), f)), None, tuple(members)) for f, members in shared
    ]
    return whole + alone
