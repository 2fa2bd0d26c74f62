"""What a minimisation ends with: a status per candidate with a sentence of advice, and points with certificates."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


class Status(enum.Enum):
    """Outcome of one candidate. The value is the message; `advice` says what to do about it."""

    CONVERGED = "reached the tolerance"
    BUDGET_SPENT = "stopped at the limit of passes before the tolerance"
    STALLED = "stopped where no further progress is possible in this precision"
    COMPLETED = "took all its steps"
    DROPPED = "left the search at a rung"
    DIVERGED = "diverged: the loss became infinite or NaN"

    @classmethod
    def at_end(cls, objective: float, relative_gap: float, tol: float, *, spent: bool) -> Status:
        """How a minimisation ended. What is not finite has neither converged nor merely stalled.

        >>> Status.at_end(math.inf, 0.0, 1e-3, spent=False).key
        'diverged'
        """
        if not math.isfinite(objective):
            return cls.DIVERGED
        if relative_gap <= tol:
            return cls.CONVERGED
        return cls.BUDGET_SPENT if spent else cls.STALLED

    @property
    def advice(self) -> str:
        return _ADVICE[self]

    @property
    def key(self) -> str:
        """The name in files: lower case, e.g. `budget_spent`."""
        return self.name.lower()


_ADVICE = {
    Status.CONVERGED: "Nothing to do.",
    Status.BUDGET_SPENT: "Allow more passes, loosen tol, or drop the weakest strengths.",
    Status.STALLED: "Use float64, or accept the gap it reports.",
    Status.COMPLETED: "Nothing to do; the exact solver goes on to the optimum.",
    Status.DROPPED: "Lower eta or run without halving to keep it longer.",
    Status.DIVERGED: "Lower the learning rate; for an exact solver, give another start or standardize.",
}


@dataclass(frozen=True, eq=False)
class PathPoint:
    """One strength: weights (c, d) on the scaled features, and how far from the optimum they are at most.

    objective and gap are computed in float64 in a pass of their own;  relative_gap = gap / objective.
    width : the smoothing of a kinked loss whose slopes are the gap's dual point.
    slopes : where these are not, the dual point itself: slopes (c, n) float64 of the margins of all rows, in [0, 1] and
    0 for true classes. The interior point method has them; `certify` takes them.
    """

    reg: float
    coef: Tensor
    objective: float
    gap: float
    passes: int
    status: Status
    width: float = 0.0
    slopes: Tensor | None = None

    @property
    def relative_gap(self) -> float:
        """gap / objective; 0 where the gap is 0, even at an objective of 0; NaN where the objective is not finite."""
        if not math.isfinite(self.objective):
            return math.nan
        return self.gap / self.objective if self.gap else 0.0

    def better(self, other: PathPoint | None) -> PathPoint:
        """The point with the smaller relative gap; one without a number is the worse."""
        mine, theirs = self.relative_gap, math.inf if other is None else other.relative_gap
        return self if other is None or mine <= theirs or math.isnan(theirs) else other


@dataclass(frozen=True, eq=False)
class Path:
    """Points in the order of the strengths asked for.

    passes : how often the rows were read for them.  setup_seconds : scaling and spectrum;  seconds : all.
    details : the sizes of what it was solved with, JSON-able: the spectrum, and the space of the rows if it was used.
    """

    points: tuple[PathPoint, ...]
    passes: int
    setup_seconds: float
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def coef(self) -> Tensor:
        """Weights of all points, (k, c, d)."""
        return torch.stack([point.coef for point in self.points])
