"""What the exact solvers refuse."""

from __future__ import annotations

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.lossbase import Loss, check_takes
from colinear.objective import Objective
from colinear.texts import shorten

EPS = torch.finfo(torch.float64).eps
TINY = torch.finfo(torch.float64).tiny
LARGEST = 1e150  # its square, summed over rows and classes, is still a number
ROWS = 10_000  # looked at: beyond them, what is too large ends as a status


def check_scale(objective: Objective, reg: float = TINY) -> None:
    """Raise `InputError` for features whose squares overflow, and where none is large enough to be learned from.

    reg : the weakest strength; by default weaker than any. Weights change the objective by |gradient|^2 / (4 reg) at
    most, and the gradient is no larger than the features: where that is below the rounding of the loss, they could be
    any.
    """
    features = objective.features
    if features.dataset.dtype == torch.uint8:
        return
    count = min(objective.n_samples, ROWS)
    rows: Tensor | slice = slice(0, features.n_samples)
    if count < objective.n_samples:
        rows = objective.mine(torch.arange(count, device=features.device) * objective.n_samples // count)
    sizes = objective.column_sizes(rows)
    name = features.dataset.name
    advice = "Standardize the columns (standardize=True, --standardize) or rescale them."
    if not bool((sizes <= LARGEST).all()):
        column = int((~(sizes <= LARGEST)).nonzero()[0])
        raise InputError(
            f"features must be at most {LARGEST:g} in size, or their squares overflow; column {column} of {name} has "
            f"{float(sizes[column]):.2g}. {advice}"
        )
    largest = float(sizes[: len(features.scaling.shift)].max())
    if 0 < largest < EPS**0.5 and largest * (largest / (4 * reg)) * features.n_features < EPS:
        raise InputError(
            f"features must be large enough to be learned from; those of {name} are at most {largest:.2g} in size, so "
            f"that at reg={reg:.3g} no weights change the objective beyond its rounding. {advice}"
        )


def check_solve(
    objective: Objective, loss: Loss, regs: Tensor, tol: float, max_passes: int, held_out: Tensor | None
) -> None:
    """Raise `InputError` unless the loss takes the labels, strengths are > 0, and candidates have rows."""
    check_takes(loss, objective.features.labels, objective.features.dataset.name)
    check_number("tol", tol, above=0)
    check_count("max_passes", max_passes)
    if regs.ndim != 1 or len(regs) == 0:
        raise InputError(f"regs must be a list of at least one strength; got shape {tuple(regs.shape)}.")
    for reg in regs.tolist():
        check_number("reg", reg, above=0)
    check_scale(objective, float(regs.min()))
    if held_out is None:
        check_attained(objective, None)
        return
    if held_out.shape != regs.shape:
        raise InputError(
            f"held_out must name one fold for each of the {len(regs)} strengths; got shape {tuple(held_out.shape)}."
        )
    weights = objective.kept_weight(held_out.to(objective.features.device)).tolist()
    for fold, weight in zip(held_out.tolist(), weights, strict=True):
        if not weight > 0:
            raise InputError(f"held_out must leave rows of weight > 0 to learn from; fold {fold} leaves none.")
    check_attained(objective, held_out.to(objective.features.device))


def check_attained(objective: Objective, held_out: Tensor | None) -> None:
    """Raise `InputError` where an intercept without a penalty has no optimum: it goes to infinity for a class that no
    row, or every row, has.
    """
    features = objective.features
    if not features.free:
        return
    sums = objective.class_sums(held_out)
    bad = ((sums.has <= 0) | (sums.hasnt <= 0)).nonzero()
    if len(bad):
        candidate, number = bad[0].tolist()
        what = "no rows" if float(sums.has[candidate, number]) <= 0 else "all rows"
        where = "" if held_out is None else f" without those of fold {int(held_out[candidate])}"
        raise InputError(
            "an intercept without a penalty needs classes that have some rows of weight > 0 and not all; "
            f"{shorten(features.dataset.class_names[number])} has {what}{where}. Penalize it, or leave the class out."
        )
