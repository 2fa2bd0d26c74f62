"""What a search finds: its trials, the winner, and what figures and reports need of the way there."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import Tensor

from colinear.schemas import plain_number
from colinear.solvers.solution import Status

Solver = Literal["sgd", "exact"]


@dataclass(frozen=True)
class Trial:
    """One setting and what came of it. Accuracies are NaN where a candidate diverged.

    `loss` is the mean loss of its last minibatches (SGD); `passes` belongs to the exact path, `objective` and
    `relative_gap` to the exact path and to SGD's winner, `above_optimum` to SGD's winner: objective / optimum - 1 lies
    between its two numbers, the second of which may be infinite; `spread` is the standard deviation (n - 1) of the
    validation score over folds, and `val_error` its standard error (exact): spread / sqrt(folds), or that of the metric
    on the validation rows, which for the accuracy is sqrt(share (1 - share) / rows).
    train_score, val_score : values of the metric that selects, None where it is the accuracy of rows of one weight.
    """

    reg: float
    train_accuracy: float
    val_accuracy: float
    status: Status
    learning_rate: float | None = None
    steps: int | None = None
    loss: float | None = None
    objective: float | None = None
    relative_gap: float | None = None
    above_optimum: tuple[float, float] | None = None
    passes: int | None = None
    val_error: float | None = None
    spread: float | None = None
    train_score: float | None = None
    val_score: float | None = None

    @property
    def score(self) -> float:
        """What the trial is selected by."""
        return self.val_accuracy if self.val_score is None else self.val_score

    def to_json(self) -> dict[str, Any]:
        """JSON-able form: what does not apply is left out, NaN becomes null."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        values["status"] = self.status.key
        if self.above_optimum is not None:
            values["above_optimum"] = [plain_number(bound) for bound in self.above_optimum]
        return {name: plain_number(value) for name, value in values.items()}


@dataclass(frozen=True)
class RungResult:
    """A comparison of successive halving: at `step` the best `stayed` of `entered` went on."""

    step: int
    entered: int
    stayed: int
    val_accuracies: tuple[float, ...]  # of those who entered, in the order of `candidates`
    candidates: tuple[int, ...]
    val_scores: tuple[float, ...] | None = None  # what they were compared by, where that is not the accuracy

    def to_json(self) -> dict[str, Any]:
        lists = {"val_accuracies": self.val_accuracies, "val_scores": self.val_scores}
        plain = {name: [plain_number(one) for one in values] for name, values in lists.items() if values is not None}
        whole = {name: value for name, value in asdict(self).items() if value is not None}
        return {**whole, **plain, "candidates": list(self.candidates)}


@dataclass(frozen=True, eq=False)
class SearchResult:
    """All trials of one loss.

    best : index of the winner in `trials`.     order : indices, best first.
    coef : (k, c, d) weights of every trial, on scaled features.     refitted : (c, d) weights of the winner trained
    on validation rows too, or None.
    history : (k, steps) float32 minibatch losses (SGD), or None.
    """

    loss: str
    solver: Solver
    trials: tuple[Trial, ...]
    order: tuple[int, ...]
    coef: Tensor
    history: Tensor | None = None
    rungs: tuple[RungResult, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    seconds: float = math.nan
    refitted: Tensor | None = None

    @property
    def winning_coef(self) -> Tensor:
        """Weights (c, d) of the model to keep."""
        return self.coef[self.best] if self.refitted is None else self.refitted

    @property
    def best(self) -> int:
        return self.order[0]

    @property
    def winner(self) -> Trial:
        return self.trials[self.best]


@dataclass(frozen=True)
class Progress:
    """Where a search stands, for whoever shows it: `done` of `total` units (steps or strengths).

    loss, best (value of `metric` so far) : of SGD;   passes, gap (the largest relative gap still open) : of the exact
    path.
    """

    done: int
    total: int
    loss: float = math.nan
    best: float = math.nan
    active: int = 0
    passes: int = 0
    gap: float = math.nan
    metric: str = "accuracy"
