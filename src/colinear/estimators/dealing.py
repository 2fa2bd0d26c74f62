"""Training and test rows of every split, from whatever scikit-learn takes for `cv`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import check_cv

from colinear.checks import InputError, check_number
from colinear.datasets.stratified import split_stratified
from colinear.solvers.folds import Rows


def deal_splits(cv: Any, y: NDArray[Any], seed: int, params: Mapping[str, Any] = MappingProxyType({})) -> list[Rows]:
    """Training and test rows of every split.

    cv : a number of stratified folds >= 2 (None is 5), a share of rows in (0, 1) for one stratified hold-out drawn
    with `seed`, a scikit-learn splitter, or an iterable of (training rows, test rows).
    params : given to the splitter's `split`, such as groups.
    """
    if isinstance(cv, float | np.floating):
        share = check_number("cv, as a share of rows,", float(cv), above=0)
        if share >= 1:
            raise InputError(f"cv must be a number of folds, a share in (0, 1) or a splitter; got {cv!r}.")
        kept, held = split_stratified(torch.as_tensor(y), (1 - share, share), seed)
        splits: Iterable[Rows] = [(kept.numpy(), held.numpy())]
    else:
        splits = check_cv(cv, y, classifier=True).split(np.zeros((len(y), 1)), y, **params)
    dealt = [(np.asarray(train), np.asarray(test)) for train, test in splits]
    dealt = [tuple(np.flatnonzero(rows) if rows.dtype == bool else rows for rows in split) for split in dealt]  # type: ignore[misc]
    for number, (train, test) in enumerate(dealt):
        if len(train) == 0 or len(test) == 0:
            raise InputError(f"every split must have training and test rows; split {number} of cv has none of one.")
        for rows in (train, test):
            if rows.min() < 0 or rows.max() >= len(y) or len(np.unique(rows)) < len(rows):
                raise InputError(
                    f"a split must name each of its rows once, from 0 to {len(y) - 1}; split {number} of cv does not. "
                    "Rows that count more than once have a sample_weight."
                )
        if len(np.intersect1d(train, test)):
            raise InputError(f"training and test rows must differ; split {number} of cv has rows in both.")
    if not dealt:
        raise InputError("cv must give at least one split of the rows.")
    return dealt
