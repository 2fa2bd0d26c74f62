"""What leads a batch of strengths: fallbacks, narrowing, and where each precision begins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.problems import as_features, draw_features, draw_rows
from torch import Tensor

from colinear.datasets import Features
from colinear.losses import LOSSES, Hinge, Softmax
from colinear.objective import Evaluation, Objective
from colinear.solvers import Status, Tuning, solve_path
from colinear.solvers.candidate import Candidate
from colinear.solvers.descent import Descent, Entrant
from colinear.solvers.lbfgs import History, LineSearch
from colinear.solvers.newton import Newton
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import PathPoint
from colinear.solvers.spectrum import Spectrum


def descent_of(features: Features, name: str, regs: list[float], tol: float = 1e-6) -> Descent:
    objective, found = Objective(features), [None] * len(regs)
    preconditioner = Preconditioner(Spectrum.fit(objective))
    strengths = torch.tensor(regs, dtype=torch.float64)
    return Descent(objective, LOSSES[name], strengths, None, tol, 300, preconditioner, found, None)  # type: ignore[arg-type]


def test_a_candidate_whose_direction_points_uphill_takes_the_preconditioned_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forgotten: list[list[bool]] = []

    def uphill(self: History, gradient: Tensor, precondition: Callable[[Tensor], Tensor]) -> Tensor:
        direction = -precondition(gradient)
        direction[0] *= -1
        return direction

    monkeypatch.setattr(History, "direction", uphill)
    monkeypatch.setattr(History, "forget", lambda self, members: forgotten.append(members.tolist()))
    path = solve_path(draw_features(90, 6, 4), Softmax(), [1e-1, 1.0], tol=1e-8, tuning=Tuning(newton_weights=0))
    assert [point.status for point in path.points] == [Status.CONVERGED] * 2
    assert set(map(tuple, forgotten)) == {(True, False), (True,)}


@pytest.mark.parametrize("name", ["softmax", "hinge"])
def test_eigenvectors_are_computed_once_for_a_point_and_never_where_nobody_turns(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    at, turned = Preconditioner.at, []

    def noting(self: Preconditioner, curvature: Tensor, regs: Tensor, **kind: bool) -> Callable[[Tensor], Tensor]:
        seen.append(curvature)
        return at(self, curvature, regs, **kind)

    advance = LineSearch.advance
    monkeypatch.setattr(Preconditioner, "at", noting)
    monkeypatch.setattr(
        LineSearch, "advance", lambda self, to, there, ok: (turned.append(bool(ok.any())), advance(self, to, there, ok))
    )
    path = solve_path(draw_features(90, 6, 4, spread=0.7), LOSSES[name], [1e-4], tuning=Tuning(newton_weights=0))
    assert not all(turned)  # some steps were refused
    assert len(seen) <= 1 + sum(turned) < path.passes


def test_a_narrower_width_is_entered_with_the_value_of_the_hinge_itself() -> None:
    """Which bounds that of every width: the value of the old one is too low, and steps would be refused."""
    features, reg = draw_features(90, 6, 4), 1e-2
    candidate = Candidate(Newton(Objective(features)), reg, None, 1e-9, 100)
    solved = candidate._settle(torch.zeros(4, 7).double(), candidate.curved(1.0))[0]
    regs, width = (torch.tensor([number], dtype=torch.float64) for number in (reg, 1.0))
    before: Evaluation = Objective(features).evaluate(solved.unsqueeze(0), regs, Hinge(width))
    lineup = descent_of(features, "hinge", [reg])._line_up([Entrant(0, solved, 1.0, 0)])
    assert lineup.narrowed.tolist() == [True]
    assert float(lineup.widths) < 1
    assert float(before.value) < float(before.objective) == float(lineup.search.here.value)
    wide = descent_of(features, "hinge", [reg])._line_up([Entrant(0, torch.zeros(4, 7).double(), 1.0, 0)])
    assert wide.narrowed.tolist() == [False]
    assert float(wide.search.here.value) < float(wide.search.here.objective)


@pytest.mark.parametrize("name", ["softmax", "hinge"])
def test_strengths_that_float32_cannot_certify_begin_in_float64(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.dtype, int]] = []
    evaluate = Objective.evaluate

    def noting(self: Objective, coef: Tensor, *rest: Any, **options: Any) -> Evaluation:
        seen.append((coef.dtype, len(coef)))
        return evaluate(self, coef, *rest, **options)

    monkeypatch.setattr(Objective, "evaluate", noting)
    rows = draw_rows(90, 6, 4)
    large = as_features(replace(rows, features=(rows.features * 1e5).float()))
    lbfgs = Tuning(newton_first=0, interior_first=0)
    solve_path(large, LOSSES[name], [1e6, 1e-4], tol=1e-2, tuning=lbfgs)
    assert [count for dtype, count in seen if dtype == torch.float32] == [1] * seen.count((torch.float32, 1)) != []
    seen.clear()
    solve_path(large, LOSSES[name], [1e-4], tol=1e-2, tuning=lbfgs)
    assert {dtype for dtype, _ in seen} == {torch.float64}


def test_a_lost_candidate_loses_no_other() -> None:
    start = torch.zeros(2, 4, 7, dtype=torch.float64)
    start[0, 0] = torch.nan
    for dtype in (torch.float64, torch.float32):
        path = solve_path(draw_features(90, 6, 4, dtype=dtype), Softmax(), [1e-2, 1e-2], start=start)
        assert [point.status for point in path.points] == [Status.DIVERGED, Status.CONVERGED]


def test_a_float32_second_moment_beyond_float32_is_summed_in_float64() -> None:
    rows = draw_rows(90, 6, 4)
    objective = Objective(as_features(replace(rows, features=(rows.features * 1e25).float())))
    found = Spectrum.fit(objective, tuning=Tuning(double_up_to=0))
    assert bool(torch.isfinite(found.values).all())
    assert float(found.values[0]) > 1e49


def test_no_gap_is_small_beside_an_objective_that_is_not_finite() -> None:
    for value in (math.nan, math.inf):
        assert math.isnan(PathPoint(0.1, torch.zeros(2, 2), value, 0.0, 1, Status.STALLED).relative_gap)
        objective, zero = torch.tensor([value, 1.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
        relative = Evaluation(objective, zero, objective, zero, zero, zero).relative_gap.tolist()
        assert math.isnan(relative[0])
        assert relative[1] == 0


def test_a_point_without_a_number_is_never_the_better_one() -> None:
    lost = PathPoint(0.1, torch.zeros(1, 1), math.nan, 1.0, 1, Status.DIVERGED)
    fine = PathPoint(0.1, torch.zeros(1, 1), 1.0, 0.1, 1, Status.STALLED)
    assert lost.better(fine) is fine
    assert fine.better(lost) is fine
    assert fine.better(None) is fine
