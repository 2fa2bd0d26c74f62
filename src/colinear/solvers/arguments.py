"""What the exact solvers refuse."""

from __future__ import annotations

from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.objective import Objective


def check_solve(objective: Objective, regs: Tensor, tol: float, max_passes: int, held_out: Tensor | None) -> None:
    """Raise `InputError` unless every strength is > 0 and every candidate has rows to learn from."""
    check_number("tol", tol, above=0)
    check_count("max_passes", max_passes)
    if regs.ndim != 1 or len(regs) == 0:
        raise InputError(f"regs must be a list of at least one strength; got shape {tuple(regs.shape)}.")
    for reg in regs.tolist():
        check_number("reg", reg, above=0)
    if held_out is None:
        return
    if held_out.shape != regs.shape:
        raise InputError(
            f"held_out must name one fold for each of the {len(regs)} strengths; got shape {tuple(held_out.shape)}."
        )
    weights = objective.kept_weight(held_out.to(objective.features.device)).tolist()
    for fold, weight in zip(held_out.tolist(), weights, strict=True):
        if not weight > 0:
            raise InputError(f"held_out must leave rows of weight > 0 to learn from; fold {fold} leaves none.")
