"""The exact regularization path: all strengths in one solve, each with a certificate.

Preconditioned L-BFGS serves every strength with one pass over the rows; a strength that reaches the tolerance
leaves the batch. The work is done in the features' precision; then one pass in float64 computes every
certificate anew, and a strength that fails there goes on in float64. The hinge is smoothed with a width that
shrinks as its optimum nears, and certified on the hinge itself; where a Hessian is cheap, Newton's method finishes
the strengths that L-BFGS leaves open. With clearly fewer rows than columns all of it happens in the space of the rows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from colinear.datasets.base import Dataset
from colinear.datasets.features import Features, fit_scaling
from colinear.losses import LOSSES, Loss
from colinear.objective import Objective
from colinear.solvers.arguments import check_scale, check_solve
from colinear.solvers.descent import FIRST_WIDTH, WARM_WIDTH, Descent, Finisher, Report
from colinear.solvers.newton import Newton, suits_newton
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.rowspace import RowSpace, suits_row_space
from colinear.solvers.solution import Path, PathPoint, Status
from colinear.solvers.spectrum import Spectrum
from colinear.solvers.threads import one_thread_if
from colinear.solvers.tuning import USUAL, Tuning

FEWEST_FOR_BOTH = 6  # passes in all, below which there is no use in sharing them with Newton's method
ROUNDING = 1e-13  # of an objective, relative, for each column: what the solver promises
PRODUCT_ALONE = 1e8  # flops of the product of weights and a chunk up to which one thread does: about 2 ms


def solve_path(
    data: Dataset | Features | Objective,
    loss: Loss,
    regs: Sequence[float] | Tensor,
    *,
    tol: float = 1e-3,
    max_passes: int = 300,
    held_out: Tensor | None = None,
    start: Tensor | None = None,
    preconditioner: Preconditioner | None = None,
    seed: int = 0,
    report: Report | None = None,
    tuning: Tuning = USUAL,
) -> Path:
    """Minimise mean loss + reg sum(W*W) for every strength in `regs` until relative_gap <= tol.

    data : an `Objective` (weights, folds), `Features`, or a `Dataset`, which is centred and given a bias column.
    regs : k strengths > 0.    held_out : (k,) fold that each leaves out, -1 for none (needs an Objective with folds).
    start : (c, d) or (k, c, d) weights to start from; zeros by default.    seed : of the spectrum's row sample.
    preconditioner : of the same or similar rows, from `fit_preconditioner`; without it, made here.
    max_passes : limit of passes for each batch of strengths, certification included; however small, every strength
    takes one step at least. A problem that suits Newton's method (see `suits_newton`) gets two thirds of them, a hinge
    150 at most; then every strength that is open takes Newton steps from where it is, each of which counts as a pass,
    until its own passes are `max_passes`.
    report : called after every pass with (strengths finished, strengths, passes, largest relative gap still open).
    tuning : limits and sizes, see `Tuning`.

    Returns a `Path`. A point that did not reach tol says so in its status, with the gap it has.
    Raises   `InputError` for strengths or limits that cannot be, for a `held_out` that leaves no rows, and for features
             so large or so small that float64 cannot hold the problem; in an objective's group of several processes
             for scalings or arguments that differ.
    Error    objective and gap are float64 throughout (relative error about 1e-13 n_features).
    Cost     one pass serves all strengths that are still open: 4 k c n d flops; with at least two columns for one row
             4 k c n^2, see `rowspace`. Small problems use one thread.
    Example  nine softmax strengths on CIFAR-10 take 17 or 18 passes; see benchmarks/results/path-cpu.json.

    >>> from colinear.datasets import load_digits
    >>> from colinear.losses import Softmax
    >>> path = solve_path(load_digits(), Softmax(), [1e-2, 1e-4])
    >>> [point.status.name for point in path.points], max(point.relative_gap for point in path.points) <= 1e-3
    (['CONVERGED', 'CONVERGED'], True)
    """
    started = time.perf_counter()
    objective = _as_objective(data, tuning)
    strengths = torch.as_tensor(regs, dtype=torch.float64).cpu()
    processes = objective.group
    objective.agree(
        loss=repr(loss), strengths=strengths, tol=tol, max_passes=max_passes, seed=seed, tuning=tuning, start=start,
        **{"held-out folds": held_out},
    )  # fmt: skip
    check_solve(objective, strengths, tol, max_passes, held_out)
    objective = _gather_few(objective, tuning)
    space = RowSpace.of(objective) if suits_row_space(objective, tuning) else None
    if space is not None:
        whole, objective, preconditioner = objective, space.objective, None
        start = None if start is None else space.restrict(start)
    preconditioner = preconditioner or Preconditioner(Spectrum.fit(objective, seed, tuning))
    finisher = _finisher(objective, loss, max_passes, tuning)
    setup = time.perf_counter() - started
    k, (c, d) = len(strengths), (objective.features.n_classes, objective.features.n_features)
    work = torch.zeros(k, c, d, dtype=objective.features.dtype, device=objective.features.device)
    if start is not None:
        work.copy_(start)
    found: list[PathPoint | None] = [None] * k
    passes = 0
    product = 2.0 * k * c * d * min(objective.n_samples, objective.chunk_rows)
    with one_thread_if(product <= PRODUCT_ALONE and work.device.type == "cpu"):
        for group in _groups(strengths, c * d, tuning):
            descent = Descent(
                objective, loss, strengths, held_out, tol, max_passes, preconditioner, found, report, finisher,
                tuning.memory,
            )  # fmt: skip
            nearest = _weakest(found)
            if start is None and nearest is not None:
                work[group] = nearest.coef.to(work)
            cold = start is None and nearest is None
            descent.run(group, work[group], FIRST_WIDTH if cold else WARM_WIDTH)
            passes += descent.passes
    details = {"spectrum": preconditioner.spectrum.summary()}
    points = [point for point in found if point is not None]
    if space is not None:
        details["subspace"] = {"directions": d, "of": len(space.basis), "share": 1.0}
        points = _lift(points, space, whole, loss, held_out, tol)
    processes.check_weights(torch.stack([point.coef for point in points]))
    return Path(tuple(points), passes, setup, time.perf_counter() - started, details)


def _lift(
    points: list[PathPoint], space: RowSpace, objective: Objective, loss: Loss, held_out: Tensor | None, tol: float
) -> list[PathPoint]:
    """The points on all columns, certified anew there: a basis is as exact as the rounding of the largest column."""
    inner = torch.stack([point.coef for point in points])
    coef, device = space.lift(inner), inner.device
    regs, widths = (
        torch.tensor(numbers, dtype=torch.float64, device=device)
        for numbers in zip(*((point.reg, point.width) for point in points), strict=True)
    )
    smooth = loss.smooth(widths)
    there = objective.evaluate(coef, regs, smooth, held_out)
    gaps = there.gap
    # slopes at a width of 1e-9 magnify the rounding of scores: those of the rows in their span do better
    if loss.kinked:
        dual = space.objective.dual_value(inner, regs, smooth, held_out, on=objective.features.at(torch.float64))
        gaps = torch.minimum(gaps, (there.objective - dual).clamp(min=0))
    # scores that moved change the dual value as they change the loss, to first order: if they did not, the gap stands
    found = torch.tensor([(point.objective, point.gap) for point in points], dtype=torch.float64, device=device)
    same = (there.objective - found[:, 0]).abs() <= ROUNDING * coef.shape[-1] * there.objective
    gaps = torch.where(same, torch.minimum(gaps, found[:, 1]), gaps)
    lifted = []
    for number, (point, value, gap) in enumerate(zip(points, there.objective.tolist(), gaps.tolist(), strict=True)):
        moved = replace(point, coef=coef[number], objective=value, gap=gap)
        fine, failed = moved.relative_gap <= tol, point.status is Status.CONVERGED
        status = Status.CONVERGED if fine else Status.STALLED if failed else point.status
        lifted.append(replace(moved, status=status))
    return lifted


def fit_preconditioner(objective: Objective, seed: int = 0, tuning: Tuning = USUAL) -> Preconditioner | None:
    """What several calls of `solve_path` on these rows can share; None where each works in the space of its rows.

    Raises `InputError` for features whose squares overflow.

    >>> from colinear.datasets import Features, fit_scaling, load_digits
    >>> data = load_digits()
    >>> fit_preconditioner(Objective(Features(data, fit_scaling(data)))).spectrum.vectors.shape
    torch.Size([65, 65])
    """
    check_scale(objective)
    objective = _gather_few(objective, tuning)
    few = suits_row_space(objective, tuning)
    return None if few else Preconditioner(Spectrum.fit(objective, seed, tuning))


def _gather_few(objective: Objective, tuning: Tuning) -> Objective:
    """All rows in every process of the group where they are few: each then does what one process alone does.

    The space of the rows and Newton's method need them at once, and messages would take longer than such passes.
    """
    newton = any(suits_newton(objective, loss, tuning) for loss in LOSSES.values())
    few = newton or suits_row_space(objective, tuning)
    return objective.together() if few else objective


def _finisher(objective: Objective, loss: Loss, max_passes: int, tuning: Tuning) -> Finisher | None:
    """Who takes over what L-BFGS leaves open, if anybody."""
    suits = max_passes >= FEWEST_FOR_BOTH and suits_newton(objective, loss, tuning)
    return Newton(objective, loss, tuning) if suits else None


def _as_objective(data: Dataset | Features | Objective, tuning: Tuning) -> Objective:
    if isinstance(data, Objective):
        return data
    if isinstance(data, Features):
        return Objective(data, chunk_rows=tuning.chunk_rows)
    dtype = torch.float64 if data.dtype == torch.float64 else torch.float32
    return Objective(Features(data, fit_scaling(data), dtype), chunk_rows=tuning.chunk_rows)


def _groups(regs: Tensor, n_weights: int, tuning: Tuning) -> list[list[int]]:
    """Indices of the strengths to batch, strongest first.

    All together if their L-BFGS history fits in tuning.batch_bytes in float64, the precision that ends every solve:
    (2 memory + 8) arrays of (k, c, d). Else groups as wide as that allows, from strong to weak, each warm-started from
    the weakest finished before it.
    """
    width = max(1, tuning.batch_bytes // ((2 * tuning.memory + 8) * n_weights * 8))
    order = regs.argsort(descending=True, stable=True).tolist()
    return [order[i : i + width] for i in range(0, len(order), width)]


def _weakest(found: list[PathPoint | None]) -> PathPoint | None:
    """The finished point with the weakest strength: the nearest to the group that comes next."""
    done = [point for point in found if point is not None]
    return min(done, key=lambda point: point.reg, default=None)
