"""What may be varied: limits that are refused, and that each reaches its place."""

from __future__ import annotations

import pytest
import torch
from tests.problems import draw_features

from colinear.checks import InputError
from colinear.losses import Hinge, Softmax
from colinear.objective import Objective
from colinear.solvers import Tuning, solve_path, suits_newton
from colinear.solvers.lbfgs import History
from colinear.solvers.newton import Newton
from colinear.solvers.path import _pairs


@pytest.mark.parametrize(
    ("field", "value"),
    [("memory", 0), ("batch_bytes", 0), ("chunk_rows", 1.5), ("patience", (0, 3)), ("patience", (4, 3))],
)
def test_what_cannot_be_is_refused(field: str, value: object) -> None:
    with pytest.raises(InputError, match=field):
        Tuning(**{field: value})  # type: ignore[arg-type]
    assert Tuning(batch_bytes=2**40, newton_weights=0, double_up_to=0).batch_bytes == 2**40


def test_memory_and_chunks_reach_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[int]] = {"memory": set(), "chunk": set()}
    push, total = History.push, Objective._total_weight

    def pushing(self: History, *rest: torch.Tensor) -> None:
        seen["memory"].add(self.memory)
        push(self, *rest)

    def weighing(self: Objective, weights: torch.Tensor | None, rows: slice, k: int) -> torch.Tensor:
        seen["chunk"].add(rows.stop - rows.start)
        return total(self, weights, rows, k)

    monkeypatch.setattr(History, "push", pushing)
    monkeypatch.setattr(Objective, "_total_weight", weighing)
    for data in (draw_features(90, 6, 4), draw_features(90, 6, 4).dataset):
        solve_path(data, Softmax(), [1e-2], tuning=Tuning(memory=3, chunk_rows=30, newton_first=0))
    assert seen == {"memory": {3}, "chunk": {30}}


def test_newton_takes_over_within_its_patience_where_its_limits_allow() -> None:
    objective = Objective(draw_features(90, 6, 4))
    assert Newton(objective, Hinge(), Tuning(patience=(7, 9))).patience == 7
    assert Newton(objective, Softmax()).patience == float("inf")
    for limit in ("newton_weights", "newton_values", "newton_flops"):
        assert not suits_newton(objective, Hinge(), Tuning(**{limit: 1}))


@pytest.mark.parametrize(
    ("n_samples", "n_weights", "pairs"), [(2000, 100, 10), (5000, 100, 20), (10**6, 100, 40), (10**6, 1_500_000, 18)]
)
def test_more_pairs_are_kept_of_many_rows_as_far_as_memory_allows(n_samples: int, n_weights: int, pairs: int) -> None:
    assert _pairs(n_weights, n_samples, Tuning()) == pairs


@pytest.mark.parametrize(
    ("columns", "rows", "classes", "rank"),
    [
        (3_201, 49_000, 10, 3_201), (4_000, 8_000, 2, 4_000),  # always
        (6_401, 49_000, 10, 1_000), (6_401, 10_000, 10, 1_000),  # 440 and 1,800 passes of one strength
        (6_401, 49_000, 100, 6_401), (8_000, 1_000_000, 10, 8_000),  # passes are dear
        (8_001, 1_000_000, 1_000, 1_000),  # so is memory
    ],
)  # fmt: skip
def test_all_eigenvectors_are_computed_where_they_are_cheap_beside_passes(
    columns: int, rows: int, classes: int, rank: int
) -> None:
    assert Tuning().spectrum_size(columns, rows, classes) == (rank, max(10_000, 6 * rank))
