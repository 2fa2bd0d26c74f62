"""A search that no memory holds is refused with its size; every other one is not. Folds hold no more than they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.problems import draw_features
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from colinear.checks import InputError
from colinear.losses import Softmax
from colinear.objective import Objective
from colinear.search import memory
from colinear.search.memory import check_memory, most_bytes, search_bytes
from colinear.search.settings import Settings
from colinear.solvers import Tuning, folds
from colinear.solvers.folds import FoldBatch, cross_validate
from colinear.solvers.path import solve_path

CPU = torch.device("cpu")
ONE = Settings("digits", solver="sgd", candidates=1, steps=1, batch_size=1)


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"candidates": 2}, 3 * 20 + 2 + 2),  # weights, losses, scores
        ({"steps": 11}, 2 * 10),
        ({"batch_size": 2}, 10 + 2),
        ({"momentum": 0.5}, 20),
        ({"averaging": 0.5}, 20),
    ],
    ids=lambda value: "" if isinstance(value, int) else "-".join(value),
)
def test_the_estimate_counts_what_is_held(change: dict[str, float], more: int) -> None:
    before = search_bytes(ONE, n_classes=2, n_columns=10)
    assert search_bytes(replace(ONE, **change), 2, 10) - before == 4 * more


def test_a_search_beyond_the_memory_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "most_bytes", lambda device: 2**30)
    check_memory(Settings("digits", solver="sgd"), 10, 3073, CPU)
    with pytest.raises(InputError, match=r"50,000 candidates of 10 x 3,073 weights and 5,000 steps need 20 GiB; there"):
        check_memory(Settings("digits", solver="sgd", candidates=50_000), 10, 3073, CPU)
    check_memory(Settings("digits", candidates=50_000), 10, 3073, CPU)  # the exact path draws none


def test_memory_is_what_the_tightest_limit_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = most_bytes(CPU)
    assert 2**28 < whole < 2**63
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "limit").write_text("1048576\n")
    monkeypatch.setattr(memory, "GROUP_LIMITS", (str(tmp_path / "none"), str(tmp_path / "max")))
    assert most_bytes(CPU) >= whole
    monkeypatch.setattr(memory, "GROUP_LIMITS", (str(tmp_path / "limit"),))
    assert most_bytes(CPU) == 2**20


def test_a_limit_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(memory, "GROUP_LIMITS", ())
    monkeypatch.setattr(resource, "getrlimit", lambda which: (12345, 12345))
    assert most_bytes(CPU) == 12345


# Folds


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside hold at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self._live = 0, {}  # type: ignore[var-annotated]

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                storage = StorageWeakRef(tensor.untyped_storage())
                self._live[storage.cdata] = storage, tensor.untyped_storage().nbytes()
        self._live = {key: held for key, held in self._live.items() if not held[0].expired()}
        self.bytes = max(self.bytes, sum(size for _, size in self._live.values()))
        return made


def folds_bytes(k: int, n_folds: int, c: int, d: int, *, held: int, batch: int, chunk: int) -> int:
    """What `cross_validate` holds at most beside the rows, weights in float64 throughout.

    All strengths on all rows; the folds of `few` strengths as starts, points, one array of them, and that in the
    precision of the rows; a group's history; scores of a chunk and their order, and the spectrum with its moment.
    """
    weights = 8 * c * d
    few = max(1, held // (n_folds * weights))
    scores = 3 * 8 * few * n_folds * c * chunk
    return (k + 4 * few * n_folds) * weights + max(batch, 28 * weights) + scores + 4 * 8 * d * d


def test_folds_hold_what_is_told_and_a_thousand_classes_less_than_8_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    n, k, n_folds, c, d, chunk = 240, 6, 3, 60, 20, 16
    held, batch = 2 * n_folds * 8 * c * d, 28 * 8 * c * d  # two strengths, and one
    monkeypatch.setattr(folds, "HELD_BYTES", held)
    objective = Objective(draw_features(n, d - 1, c), chunk_rows=chunk)
    solve = partial(solve_path, loss=Softmax(), tol=1e-2, tuning=Tuning(batch_bytes=batch, newton_weights=0))
    regs = torch.logspace(-3, -1, k).tolist()
    with Peak() as peak:
        found = cross_validate(
            solve, objective, objective, regs, [FoldBatch(torch.arange(n) % n_folds, tuple(range(n_folds)))]
        )
    assert [len(path.points) for path in found.solves] == [k, *[2 * n_folds] * (k // 2)]
    assert {tuple(point.coef.shape) for path in found.solves for point in path.points} == {(0, d)}
    told = folds_bytes(k, n_folds, c, d, held=held, batch=batch, chunk=chunk)
    assert 0.5 * told < peak.bytes <= told
    assert folds_bytes(45, 5, 1000, 2049, held=2**29, batch=Tuning().batch_bytes, chunk=2048) < 5e9
