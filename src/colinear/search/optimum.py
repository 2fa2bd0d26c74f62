"""How far above the optimum SGD's winner is: its strength is solved exactly, from there, within a limit of work."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.features import Features
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.search.trials import SearchResult
from colinear.solvers.certificate import bracket_optimum
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import Status
from colinear.solvers.tuning import USUAL

TOL = 1e-3  # of the exact solution: two digits of any distance above 1 %
MOST_PASSES = 300  # CIFAR-10 takes 4 to 21 from where 300 steps end; the hinge on digits 50 at reg 1e-2, 210 at 1e-4
FEWEST_PASSES = 5  # fewer are not begun: they would hardly beat the certificate that costs one
MOST_WORK = 1.2e12  # flops, setup included: half a minute on two cores; CIFAR-10 takes 6e11 and 6e9 a pass


def place_winner(
    result: SearchResult,
    train: Features,
    preconditioner: Callable[[], Preconditioner | None],
    report: Callable[[], None],
    row_weights: Tensor | None = None,
    group: Group = ALONE,
) -> SearchResult:
    """The result with its winner's objective, certificate, and distance above the optimum of its strength.

    Nothing is added where it diverged or where reg is 0 and there may be no optimum.
    preconditioner : gives that of `train`; not called where the limit of work leaves no passes.
    report : called after every pass; what it raises ends the search.     row_weights : of `train`, as it was trained.
    group : of the processes that hold the rows, those of `train` here.
    """
    winner = result.winner
    if winner.status is Status.DIVERGED or winner.reg == 0:
        return result
    started = time.perf_counter()
    objective = Objective(train, row_weights, group=group)
    passes = affordable_passes(objective.n_samples, train.n_classes, train.n_features)
    problem = objective, LOSSES[result.loss], result.winning_coef.to(train.device), winner.reg
    try:
        shared = preconditioner() if passes > 0 else None
        found = bracket_optimum(*problem, tol=TOL, max_passes=passes, preconditioner=shared, report=report)
    except InputError:  # the exact path refuses the problem; what SGD made of it stands
        found = bracket_optimum(*problem, max_passes=0)
    trials = list(result.trials)
    trials[result.best] = replace(
        winner, objective=found.value, relative_gap=found.relative_gap, above_optimum=found.above
    )
    details: dict[str, Any] = {
        "lower": found.lower, "upper": found.upper, "tol": TOL, "passes": found.passes, "status": found.status.key,
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    return replace(result, trials=tuple(trials), details={**result.details, "optimum": details})


def affordable_passes(n: int, c: int, d: int) -> int:
    """Passes of one candidate that the limit of work leaves after the preconditioner; 0 for less than a few.

    >>> [affordable_passes(*size) for size in ((49_000, 10, 3073), (490_000, 10, 3073), (1_280_000, 1000, 1024))]
    [98, 9, 0]
    """
    d = min(n, d)  # fewer rows than columns are solved in the space of the rows
    rank, rows = USUAL.spectrum_size(d, n, c)
    setup = 9.0 * d**3 + 2.0 * d * d * min(n, rows) if rank == d else 4.0 * d * rank * min(n, rows)
    passes = math.floor((MOST_WORK - setup) / (4.0 * n * c * d))
    return 0 if passes < FEWEST_PASSES else min(passes, MOST_PASSES)
