"""The warning of a fit that did not reach its tolerance: which gap it has, which was asked, what to change."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from sklearn.exceptions import ConvergenceWarning

from colinear.solvers.solution import PathPoint, Status

_ADVICE = {
    Status.BUDGET_SPENT: "Raise max_iter, set standardize=True, regularize more (larger reg, smaller C) or raise tol.",
    Status.STALLED: "Set standardize=True, regularize more (larger reg, smaller C) or raise tol.",
    Status.COMPLETED: "Use solver='exact', or raise max_iter or tol.",
    Status.DIVERGED: "Lower learning_rate or use solver='exact'; with that, fit without warm_start.",
}


class CertificateWarning(ConvergenceWarning):  # type: ignore[misc]
    """The duality gap of a fit is larger than `tol`: the objective may be that far from its optimum."""


def warn_uncertified(points: Sequence[PathPoint], tol: float) -> None:
    """Warn once about the points whose relative gap is above `tol` (or is not a number)."""
    open_points = [point for point in points if not point.relative_gap <= tol]
    if not open_points:
        return
    worst = max(open_points, key=lambda point: 1e308 if math.isnan(point.relative_gap) else point.relative_gap)
    several = f"{len(open_points)} of {len(points)} strengths miss it, the worst is " if len(points) > 1 else ""
    warnings.warn(
        f"the relative gap is {worst.relative_gap:.2g}, tol={tol:g} was asked ({several}reg={worst.reg:.3g} after "
        f"{worst.passes} passes: {worst.status.value}). {_ADVICE.get(worst.status, worst.status.advice)}",
        CertificateWarning,
        stacklevel=4,
    )
