"""What a cross-validation keeps of each strength on each split: its weights, its passes, and its score."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse  # type: ignore[import-untyped]
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples
from torch import Tensor

from colinear.checks import InputError
from colinear.solvers.folds import HELD_BYTES, Rows
from colinear.solvers.solution import PathPoint


def rows_of(values: Any, rows: NDArray[np.int64]) -> Any:
    """The given rows of what holds rows, in the same kind of container where that can be indexed."""
    return _safe_indexing(values if hasattr(values, "__getitem__") else np.asarray(values), rows)


def part_of(values: Mapping[str, Any], rows: NDArray[np.int64], n_samples: int) -> dict[str, Any]:
    """Of each value the given rows, where it has one for each of `n_samples`; all else as it is.

    >>> part_of({"sample_weight": [5.0, 6.0, 7.0], "beta": 2}, np.array([0, 2]), 3)
    {'sample_weight': [5.0, 7.0], 'beta': 2}
    """

    def cut(value: Any) -> Any:
        try:
            listed = not isinstance(value, str | Mapping) and _num_samples(value) == n_samples
        except TypeError:
            return value
        return rows_of(value, rows) if listed else value

    return {name: cut(value) for name, value in values.items()}


def with_labels(scorer: Any, classes: NDArray[Any]) -> Any:
    """A scorer of scikit-learn's that is told all classes, where its metric can be: a test set may lack some.

    >>> from sklearn.metrics import get_scorer
    >>> with_labels(get_scorer("neg_log_loss"), np.array([0, 1]))._kwargs
    {'labels': array([0, 1])}
    """
    known = signature(scorer._score_func).parameters if hasattr(scorer, "_score_func") else {}
    if "labels" not in known:
        return scorer
    told = copy(scorer)
    told._kwargs = {"labels": classes, **scorer._kwargs}
    if len(classes) == 2 and "pos_label" in known:
        told._kwargs.setdefault("pos_label", classes[-1])
    return told


@dataclass(eq=False)
class HeldOut:
    """Takes each strength on each split as it is solved, and has a scorer judge it on the split's test rows.

    model : what the scorer is given, fitted but for its weights;  take : gives it those of a point, on scaled rows.
    fold : of these, what they are for raw rows, (c or 1, d [+ 1]) float64.
    scorer : None to leave scores to the solver, which counts labels;  params : what the scorer is given beside rows.
    keep : whether weights are kept beyond HELD_BYTES, too.
    """

    model: Any
    take: Callable[[Tensor], None]
    fold: Callable[[Tensor], NDArray[Any]]
    splits: Sequence[Rows]
    n_strengths: int
    X: Any
    y: NDArray[Any]
    scorer: Callable[..., Any] | None
    params: Mapping[str, Any]
    keep: bool
    passes: NDArray[np.int64] = field(init=False)
    scores: NDArray[np.float64] = field(init=False)
    coefs: dict[tuple[int, int], NDArray[Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.X = self.X.tocsr() if issparse(self.X) else self.X  # other sparse kinds cannot be indexed by row
        shape = len(self.splits), self.n_strengths
        self.passes, self.scores = np.zeros(shape, dtype=np.int64), np.full(shape, math.nan)

    def __call__(self, strength: int, split: int, point: PathPoint) -> None:
        self.passes[split, strength] = point.passes
        if self.keep or self.fits(point):
            self.coefs[split, strength] = self.fold(point.coef)
        if self.scorer is not None:
            self.take(point.coef)
            test = self.splits[split][1]
            params = part_of(self.params, test, len(self.y))
            score = self.scorer(self.model, rows_of(self.X, test), self.y[test], **params)
            if not isinstance(score, numbers.Real):
                raise InputError(f"scoring must give one number; got {type(score).__name__} from {self.scorer!r}.")
            self.scores[split, strength] = float(score)

    def fits(self, point: PathPoint) -> bool:
        """Whether the weights of all strengths on all splits are small enough to be kept."""
        return 8 * self.passes.size * point.coef.numel() <= HELD_BYTES

    @property
    def coefs_paths(self) -> NDArray[Any] | None:
        """Weights (splits, 1, strengths, c, d [+ 1]) for raw rows; None where they are too many to be kept."""
        if not self.coefs:
            return None
        splits, strengths = self.passes.shape
        return np.stack([np.stack([[self.coefs[s, k] for k in range(strengths)]]) for s in range(splits)])
