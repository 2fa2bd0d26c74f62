"""A search that no memory holds is refused with its size; every other one is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from colinear.checks import InputError
from colinear.search import memory
from colinear.search.memory import check_memory, most_bytes, search_bytes
from colinear.search.settings import Settings

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
