"""How far from the optimum any weights are at most, whatever trained them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.checks import InputError, check_number
from colinear.lossbase import Loss, check_takes
from colinear.objective import Objective
from colinear.solvers.path import solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.slopes import count_rows, hinge_dual
from colinear.solvers.solution import Status

# smoothings whose slopes are tried as the hinge's dual point: by halves where widths end at usual tolerances; then more
# between the neighbours of the best, which at weak strengths lies in a ditch: 1e-3 of a width away the gap is 100 times
WIDTHS = (1e-9, 1e-4, 1e-3, 2e-3, 4e-3, 8e-3, 0.016, 0.03, 0.1, 0.3, 1.0, 3.0)
EACH_SIDE = 6  # of the best
WORTH_A_PASS = 0.02  # share of the gap that one of two looks has to take off for a still closer one


def certify(
    objective: Objective, loss: Loss, coef: Tensor, reg: float, *, slopes: Tensor | None = None
) -> tuple[float, float]:
    """Objective and duality gap of weights (c, d) on the scaled features, in float64: objective - optimum <= gap.

    The softmax's probabilities are its dual point. The hinge has many at its kinks: the slopes of twelve smoothings
    are tried, then of more and more between the neighbours of the best, until two looks take hardly anything off the
    gap. Each is feasible, and the smallest gap counts.
    slopes : the hinge's dual point, as `PathPoint.slopes`, clipped to what is feasible. Weights of the interior point
    method, which begins small problems, are certified by it; any smoothing's slopes prove far less of them.
    Raises `InputError` for slopes of another shape or loss.
    reg : > 0.     Cost : one pass over the rows in float64; three to ten of 12 candidates for the hinge.

    >>> from colinear.datasets import Features, fit_scaling, load_digits
    >>> from colinear.losses import Softmax
    >>> data = load_digits()
    >>> value, gap = certify(Objective(Features(data, fit_scaling(data))), Softmax(), torch.zeros(10, 65), 1e-3)
    >>> round(value, 4), gap > 1  # weights of 0 are far from the optimum
    (2.3026, True)
    """
    check_number("reg", reg, above=0)
    check_takes(loss, objective.features.labels, objective.features.dataset.name)
    if slopes is not None:
        return _certify_slopes(objective.together(), loss, coef.double(), reg, slopes.double())
    widths = coef.new_tensor(WIDTHS if loss.kinked else WIDTHS[:1], dtype=torch.float64)
    gaps: list[float] = []
    while True:
        copies = coef.double().expand(len(widths), *coef.shape)
        there = objective.evaluate(copies, torch.full_like(widths, reg), loss.smooth(widths) if loss.kinked else loss)
        gaps.append(min(float(there.gap.min()), *gaps[-1:], torch.inf))
        if not loss.kinked or (len(gaps) > 2 and not gaps[-1] < (1 - WORTH_A_PASS) * gaps[-3]):
            return float(there.objective[0]), gaps[-1]
        widths = _between(widths, int(there.gap.argmin()))


def _certify_slopes(objective: Objective, loss: Loss, coef: Tensor, reg: float, slopes: Tensor) -> tuple[float, float]:
    features = objective.features
    expected = (len(coef), features.n_samples)
    if not loss.has_interior or tuple(slopes.shape) != expected:
        raise InputError(
            f"slopes are those of the hinge's margins, classes x rows, {expected} here; got {tuple(slopes.shape)} and "
            f"the loss {loss.name}. Leave them out to have some tried."
        )
    counted, rows = count_rows(objective), features.at(torch.float64).gather(slice(0, features.n_samples))
    feasible = slopes.clamp(0, 1).scatter(0, counted.true, 0.0)
    value = float(objective.evaluate(coef.unsqueeze(0), coef.new_tensor([reg]), loss).objective)
    return value, max(value - hinge_dual(feasible, counted, rows, reg), 0.0)  # what is no number stays that


def _between(widths: Tensor, best: int) -> Tensor:
    """Widths (m,), ascending, from the one before the best to the one after it, and the best itself."""
    below, here, above = widths.log()[[max(best - 1, 0), best, min(best + 1, len(widths) - 1)]]
    share = torch.arange(EACH_SIDE + 1).to(widths) / EACH_SIDE
    return torch.cat((torch.lerp(below, here, share[:-1]), torch.lerp(here, above, share))).exp()


@dataclass(frozen=True)
class Bracket:
    """Where the optimum of one strength lies beside some weights: 0 <= lower <= optimum <= upper <= value.

    value : the objective of the weights.   passes : over the rows, by the solver;   status : what it ended with.
    """

    value: float
    lower: float
    upper: float
    passes: int
    status: Status

    @property
    def relative_gap(self) -> float:
        """A bound on (value - optimum) / value."""
        return (self.value - self.lower) / self.value if self.value else 0.0

    @property
    def above(self) -> tuple[float, float]:
        """Two numbers between which  value / optimum - 1  lies; the second is infinite without a bound above 0.

        >>> Bracket(1.2, 0.96, 1.0, 7, Status.BUDGET_SPENT).above
        (0.199..., 0.25)
        """
        most = self.value / self.lower - 1 if self.lower > 0 else (torch.inf if self.value else 0.0)
        return (self.value / self.upper - 1 if self.upper else 0.0), most


def bracket_optimum(
    objective: Objective,
    loss: Loss,
    coef: Tensor,
    reg: float,
    *,
    tol: float = 1e-3,
    max_passes: int = 100,
    preconditioner: Preconditioner | None = None,
    report: Callable[[], None] | None = None,
) -> Bracket:
    """Solve the strength of some weights (c, d), from there, and say how far above its optimum they are.

    tol, max_passes, preconditioner : as in `solve_path`; upper - lower <= tol upper where it converged. With a limit of
    0 nothing is solved, and the weights' own gap is all there is.
    reg : > 0.    report : called after every pass.
    Cost : one pass over the rows in float64, and those of `solve_path` from there: 3 to 20 at the strengths that win.

    >>> from colinear.datasets import Features, fit_scaling, load_digits
    >>> from colinear.losses import Softmax
    >>> data = load_digits()
    >>> found = bracket_optimum(Objective(Features(data, fit_scaling(data))), Softmax(), torch.zeros(10, 65), 1e-3)
    >>> low, high = found.above  # weights of 0 are far from it
    >>> round(low, 1), high - low < 0.01
    (5.4, True)
    """
    if max_passes == 0:
        value, gap = certify(objective, loss, coef, reg)
        return Bracket(value, max(0.0, value - gap), value, 0, Status.BUDGET_SPENT)
    regs = torch.tensor([check_number("reg", reg, above=0)], dtype=torch.float64, device=coef.device)
    here = objective.evaluate(coef.double().unsqueeze(0), regs, loss)
    value, gap = float(here.objective), float(here.gap)
    [point] = solve_path(
        objective, loss, [reg], tol=tol, max_passes=max_passes, preconditioner=preconditioner,
        start=coef if value < _at_zero(loss, len(coef)) else None, report=report and (lambda *_: report()),
    ).points  # fmt: skip
    lower = max(0.0, value - gap, point.objective - point.gap)
    return Bracket(value, min(lower, value), min(value, point.objective), point.passes, point.status)


def _at_zero(loss: Loss, n_classes: int) -> float:
    """The objective of weights of 0: every score is 0, so every row has the same loss."""
    scores = torch.zeros(1, n_classes, 1, dtype=torch.float64)
    return float(loss.value_and_gradient_(scores, torch.zeros(1, dtype=torch.int64)))
