"""The exact regularization path: all strengths in one solve, each with a certificate.

Preconditioned L-BFGS serves every strength with one pass over the rows; a strength that reaches the tolerance
leaves the batch. The work is done in the features' precision; then one pass in float64 computes every
certificate anew, and a strength that fails there goes on in float64. The hinge is smoothed with a width that
shrinks as its optimum nears, and certified on the hinge itself; where a Hessian is cheap, Newton's method finishes
the strengths that L-BFGS leaves open, and where the whole problem is small, it is all there is. With clearly fewer
rows than columns all of it happens in the space of the rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from colinear.datasets.base import Dataset
from colinear.datasets.features import Features, fit_scaling
from colinear.losses import LOSSES, Loss
from colinear.objective import Objective
from colinear.solvers.arguments import check_scale, check_solve
from colinear.solvers.descent import FIRST_WIDTH, WARM_WIDTH, Descent, Report
from colinear.solvers.diagonal import Diagonal, make_preconditioner
from colinear.solvers.journal import FORGETFUL, Journal, UnreadableError, take_count, unpack_points
from colinear.solvers.newton import Newton, suits_newton
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.present import Present
from colinear.solvers.rowspace import RowSpace, suits_row_space
from colinear.solvers.slopes import count_rows, hinge_dual
from colinear.solvers.solution import Path, PathPoint, Status
from colinear.solvers.threads import one_thread_if
from colinear.solvers.tuning import USUAL, Tuning

FEWEST_FOR_BOTH = 6  # passes in all, below which there is no use in sharing them with Newton's method
ROUNDING = 1e-13  # of an objective, relative, for each column: what the solver promises
FARTHEST = 10.0  # 45 strengths of CIFAR-10's every twelfth row: 1171 passes from the nearest, 938 at 3, 732 at 10
PRODUCT_ALONE = 1e8  # flops of the product of weights and a chunk up to which one thread does: about 2 ms
ROWS_OF_A_PAIR = 250  # 40 pairs beside 10,000 rows take a few hundredths of a pass


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
    journal: Journal = FORGETFUL,
    tuning: Tuning = USUAL,
) -> Path:
    """Minimise mean loss + reg sum(W*W) for every strength in `regs` until relative_gap <= tol.

    data : an `Objective` (weights, folds), `Features`, or a `Dataset`, which is centred and given a bias column.
    regs : k strengths > 0.    held_out : (k,) fold that each leaves out, -1 for none (needs an Objective with folds).
    start : (c, d) or (k, c, d) weights to start from; zeros by default, and for small hinges, which begin inside their
    bounds.    seed : of the spectrum's row sample.
    preconditioner : of the same or similar rows, from `fit_preconditioner`; without it, made here.
    max_passes : limit of passes for each batch of strengths, certification included; however small, every strength
    takes one step at least. A problem that suits Newton's method (see `suits_newton`) gets two thirds of them, a hinge
    150 at most; then every strength that is open takes Newton steps from where it is, each of which counts as a pass,
    until its own passes are `max_passes`.
    Small problems (see `Tuning`) begin there: a softmax with Newton steps, a hinge with the interior point method.
    report : called after every pass, there after every strength, with (strengths finished, strengths, passes, largest
    relative gap still open).
    journal : where each group of strengths is noted, and between two passes where it stands; one that has notes of the
    same call goes on from them, with the same bytes.
    tuning : limits and sizes, see `Tuning`.

    A constant column that is not `penalized` (`Scaling`) is left out of sum(W*W), with a certificate of its own.

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
    check_solve(objective, loss, strengths, tol, max_passes, held_out)
    whole = _gather_few(objective, tuning)
    space = RowSpace.of(whole) if suits_row_space(whole, tuning) else None
    objective = whole if space is None else space.objective
    if space is not None:
        preconditioner, start = None, None if start is None else space.restrict(start)
    newton = _newton(objective, loss, max_passes, preconditioner, tuning)
    sound = start is None or bool(torch.isfinite(start.double().square().sum()))  # one that is not has to be told
    if newton is not None and sound and newton.comes_first(len(strengths)):
        start = None if loss.kinked else start  # what is inside the bounds of one problem is not inside another's
        with one_thread_if(objective.features.device.type == "cpu"):
            path = newton.path(
                strengths, start, tol=tol, max_passes=max_passes, held_out=held_out, report=report, journal=journal
            )
    else:
        preconditioner = preconditioner or make_preconditioner(objective, seed, tuning)
        present = None
        if newton is None and isinstance(preconditioner, Diagonal):
            present = Present.of(objective, preconditioner)
        if present is not None:
            objective, preconditioner = present.objective, present.preconditioner
            start = None if start is None else present.restrict(start)
        setup = time.perf_counter() - started
        descent = Descent(
            objective, loss, strengths, held_out, tol, max_passes, preconditioner, [None] * len(strengths), report,
            newton, journal=journal,
        )  # fmt: skip
        passes = _solve_groups(descent, start, tuning)
        points = tuple(_lift_each(descent.found, present))
        path = Path(points, passes, setup, 0.0, {"spectrum": preconditioner.spectrum.summary()})
    if space is not None:
        path = _lift(path, space, whole, loss, held_out, tol)
    if processes.size > 1:
        processes.check_weights(path.coef)
    return replace(path, seconds=time.perf_counter() - started)


def _solve_groups(descent: Descent, start: Tensor | None, tuning: Tuning) -> int:
    """Fill `descent.found`, one group of strengths after the other, from strong to weak; the passes of all."""
    objective, regs, held_out, found = descent.objective, descent.regs, descent.held_out, descent.found
    features, k, passes = objective.features, len(descent.regs), 0
    c, d = shape = features.n_classes, features.n_features
    product = 2.0 * c * d * min(objective.n_samples, objective.chunk_rows)  # flops, for each strength
    with one_thread_if(k * product <= PRODUCT_ALONE and features.device.type == "cpu"):
        by_products = _suits_products(descent)
        groups = _groups(regs, shape, product, start is not None, tuning)
        for group in [[number] for several in groups for number in several] if by_products else groups:
            rows = objective.n_stored // features.dataset.n_features  # as many dense ones take the time of all
            mine = replace(descent, memory=0 if by_products else _pairs(len(group) * c * d, rows, tuning))
            if start is None:
                known = [_extrapolate(number, regs, held_out, found) for number in group]
                begin = torch.stack([torch.zeros(shape, device=features.device) if w is None else w for w in known])
            else:
                begin = start.expand(k, *shape)[group]
            width = FIRST_WIDTH if start is None and not any(found) else WARM_WIDTH
            begin = begin.to(features.device, features.dtype)
            tensors, facts = descent.journal.step(partial(mine.solve, group, begin, width))
            points = unpack_points(tensors, regs, shape, features.device)
            if points.keys() != set(group):
                raise UnreadableError("it is not of these strengths")
            for number, point in points.items():
                found[number] = point
            passes += take_count(facts, "passes")
    return passes


def _lift_each(found: list[PathPoint | None], present: Present | None) -> Iterator[PathPoint]:
    """The points on all columns; each leaves `found`, so that there are hardly more weights than those."""
    while found:
        point = found.pop(0)
        if point is not None:
            yield point if present is None else present.lift(point)


def _lift(path: Path, space: RowSpace, objective: Objective, loss: Loss, held_out: Tensor | None, tol: float) -> Path:
    """The path on all columns, certified anew there: a basis is as exact as the rounding of the largest column."""
    inner = path.coef
    coef, device = space.lift(inner), inner.device
    regs, widths = (
        torch.tensor(numbers, dtype=torch.float64, device=device)
        for numbers in zip(*((point.reg, point.width) for point in path.points), strict=True)
    )
    smooth = loss.smooth(widths)
    there = objective.evaluate(coef, regs, smooth, held_out)
    gaps = there.gap
    # slopes at a width of 1e-9 magnify the rounding of scores: those of the rows in their span do better
    if loss.kinked:
        dual = space.objective.dual_value(inner, regs, smooth, held_out, on=objective.features.at(torch.float64))
        if any(point.slopes is not None for point in path.points):
            rows = objective.features.at(torch.float64).gather(slice(0, objective.features.n_samples))
            for number, point in enumerate(path.points):
                if point.slopes is not None:
                    counted = count_rows(objective, None if held_out is None else held_out[number])
                    dual[number] = hinge_dual(point.slopes, counted, rows, point.reg)
        gaps = torch.minimum(gaps, (there.objective - dual).clamp(min=0))
    # scores that moved change the dual value as they change the loss, to first order: if they did not, the gap stands
    found = torch.tensor([(point.objective, point.gap) for point in path.points], dtype=torch.float64, device=device)
    same = (there.objective - found[:, 0]).abs() <= ROUNDING * coef.shape[-1] * there.objective
    gaps = torch.where(same, torch.minimum(gaps, found[:, 1]), gaps)
    lifted = []
    for number, (point, value, gap) in enumerate(
        zip(path.points, there.objective.tolist(), gaps.tolist(), strict=True)
    ):
        moved = replace(point, coef=coef[number].clone(), objective=value, gap=gap)
        fine, was_fine = moved.relative_gap <= tol, point.status is Status.CONVERGED
        status = Status.CONVERGED if fine else Status.STALLED if was_fine else point.status
        lifted.append(replace(moved, status=status))
    subspace = {"directions": inner.shape[-1], "of": len(space.basis), "share": 1.0}
    return replace(path, points=tuple(lifted), details={**path.details, "subspace": subspace})


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
    return None if few else make_preconditioner(objective, seed, tuning)


def _gather_few(objective: Objective, tuning: Tuning) -> Objective:
    """All rows in every process of the group where they are few: each then does what one process alone does.

    The space of the rows and Newton's method need them at once, and messages would take longer than such passes.
    """
    newton = any(suits_newton(objective, loss, tuning) for loss in LOSSES.values())
    few = newton or suits_row_space(objective, tuning)
    return objective.together() if few else objective


def _newton(
    objective: Objective, loss: Loss, max_passes: int, preconditioner: Preconditioner | None, tuning: Tuning
) -> Newton | None:
    """Who solves what is small, and takes over what L-BFGS leaves open; if anybody."""
    suits = max_passes >= FEWEST_FOR_BOTH and suits_newton(objective, loss, tuning)
    return Newton(objective, loss, tuning, preconditioner) if suits else None


def _as_objective(data: Dataset | Features | Objective, tuning: Tuning) -> Objective:
    if isinstance(data, Objective):
        return data
    if isinstance(data, Features):
        return Objective(data, chunk_rows=tuning.chunk_rows)
    dtype = torch.float64 if data.dtype == torch.float64 else torch.float32
    return Objective(Features(data, fit_scaling(data), dtype), chunk_rows=tuning.chunk_rows)


def _suits_products(descent: Descent) -> bool:
    """Whether Newton's directions come by conjugate gradients: where products cost less than L-BFGS's pairs.

    Rows whose preconditioner is a diagonal are such. Nine strengths, one by one from the line through two before: of 65
    numbers a row 18 looks and 30 products, where L-BFGS takes 64 looks. An intercept without a penalty is settled at
    each look, which is for L-BFGS.
    """
    loss, features = descent.loss, descent.objective.features
    smooth = not loss.kinked and math.isfinite(loss.hessian_products(features.n_classes))
    return smooth and isinstance(descent.preconditioner, Diagonal) and not features.free


def _groups(regs: Tensor, shape: tuple[int, int], product: float, started: bool, tuning: Tuning) -> list[list[int]]:
    """Indices of the strengths to batch, strongest first, in groups of one size.

    As many as fit with their L-BFGS history into tuning.batch_bytes in float64, the precision that ends every solve:
    (2 memory + 8) arrays of (k, c, d). Where each group starts from those before it, no more than make the products of
    a pass efficient: tuning.batch_rows rows, and PRODUCT_ALONE flops for each chunk (`product` for each strength).
    """
    c, d = shape
    width = max(1, tuning.batch_bytes // ((2 * tuning.memory + 8) * c * d * 8))
    if not started:
        width = min(width, max(tuning.batch_rows // c, math.ceil(PRODUCT_ALONE / product), 1))
    order = regs.argsort(descending=True, stable=True).tolist()
    size = math.ceil(len(order) / math.ceil(len(order) / width))
    return [order[i : i + size] for i in range(0, len(order), size)]


def _pairs(n_weights: int, n_samples: int, tuning: Tuning) -> int:
    """Pairs that L-BFGS keeps: up to four times tuning.memory where they cost nothing beside the rows, and fit.

    n_samples : as many dense rows as take the time of those that there are.
    """
    room = tuning.batch_bytes // (16 * n_weights) - 4
    return max(tuning.memory, min(4 * tuning.memory, n_samples // ROWS_OF_A_PAIR, room))


def _extrapolate(number: int, regs: Tensor, held_out: Tensor | None, found: list[PathPoint | None]) -> Tensor | None:
    """Weights (c, d) to start a strength from, by those of the finished, of the same fold or else of any; None without.

    See `extrapolate`.
    """
    done = [(index, point) for index, point in enumerate(found) if point and point.status is not Status.DIVERGED]
    if held_out is not None:
        done = [pair for pair in done if held_out[pair[0]] == held_out[number]] or done
    ends = {point.reg: point.coef for _, point in done}
    return extrapolate(float(regs[number]), ends) if ends else None


def extrapolate(reg: float, ends: Mapping[float, Tensor]) -> Tensor:
    """Weights (c, d) to start a strength from: the line, in log reg, through the two weakest whose weights are known.

    FARTHEST times their distance at most; those of the one that there is.

    >>> extrapolate(1e-3, {1e-1: torch.zeros(1, 1), 1e-2: torch.ones(1, 1)})
    tensor([[2.]])
    """
    near, *far = sorted(ends)[:2]
    if not far:
        return ends[near]
    reach = math.log(reg / near) / math.log(near / far[0])
    return torch.lerp(ends[near], ends[far[0]], -min(reach, FARTHEST))
