"""This package: the search in its variants, its answer check, and the exact path."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.machine import now
from benchmarks.problems import CourseSearch, PathProblem
from colinear.losses import LOSSES
from colinear.search.sgd_search import INITIAL_SCALE, SGDSearch
from colinear.search.trials import SearchResult
from colinear.solvers import SGD, Path, Tuning, solve_path
from colinear.solvers.spectrum import Projection

VARIANTS: dict[str, tuple[int | None, float | None]] = {  # eta of halving, share of the subspace
    "full": (None, None),
    "halving": (3, None),
    "subspace": (None, 0.985),
    "halving + subspace": (3, 0.985),
}


def search(problem: CourseSearch, variant: str) -> tuple[float, dict[str, tuple[float, SearchResult]]]:
    """The whole search: scaling, subspace, training of every loss, scoring on validation and training rows.

    Returns  seconds of all, and for each loss its own seconds and result.
    """
    eta, subspace = VARIANTS[variant]
    device = problem.split.train.labels.device
    started = now(device)
    train, validation = problem.features()
    rows = Projection.fit(train, validation, subspace, problem.seed)
    found = {}
    for loss in problem.losses:
        begun = now(device)
        sgd = SGD(problem.steps, problem.batch(loss))
        search = SGDSearch(loss, problem.settings, sgd, problem.seed, eta, subspace)
        result = search.run_on(rows)
        found[loss] = now(device) - begun, result
    return now(device) - started, found


def differences(problem: CourseSearch, loss: str, steps: int, singles: int = 5) -> list[float]:
    """|W_together - W_alone| / |W_alone| of `singles` candidates, on the same rows from the same start."""
    train, sgd = problem.features()[0], SGD(steps, problem.batch(loss))
    generator = torch.Generator(train.device).manual_seed(problem.seed)
    start = INITIAL_SCALE * torch.randn(train.n_classes, train.n_features, generator=generator, device=train.device)
    rates = torch.tensor([c.learning_rate for c in problem.settings], dtype=torch.float64)
    regs = torch.tensor([c.reg for c in problem.settings], dtype=torch.float64)

    def weights(members: Tensor) -> Tensor:
        rows = torch.Generator(train.device).manual_seed(problem.seed + 1)
        state = sgd.start(start, rates[members], regs[members], rows)
        return sgd.advance(state, train, LOSSES[loss], steps).coef.double()

    together = weights(torch.arange(len(rates)))
    chosen = torch.linspace(0, len(rates) - 1, min(singles, len(rates))).round().long()
    alone = torch.cat([weights(member.view(1)) for member in chosen])
    apart = (together[chosen] - alone).flatten(1).norm(dim=1) / alone.flatten(1).norm(dim=1)
    return [float(value) for value in apart]


def solve(problem: PathProblem, width: int | None = None) -> tuple[float, Path]:
    """All strengths, from raw rows: scaling and spectrum included.

    width : strengths solved at once, at most; the other groups start from the last one solved.
    """
    device, tuning = problem.train.labels.device, Tuning()
    if width is not None:
        numbers = problem.train.n_classes * (problem.train.n_features + 1)
        tuning = Tuning(batch_bytes=width * (2 * tuning.memory + 8) * numbers * 8)  # float64
    started = now(device)
    path = solve_path(problem.train, LOSSES[problem.loss], problem.regs, tol=problem.tol, tuning=tuning)
    return now(device) - started, path
