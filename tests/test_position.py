"""What a checkpoint holds of a search: back to the same, or refused, whatever somebody made of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import Features, fit_scaling, load_digits
from colinear.search.candidates import Candidate
from colinear.search.position import SearchPosition
from colinear.search.sgd_search import SGDSearch
from colinear.solvers.sgd import SGD

Parts = tuple[dict[str, Tensor], dict[str, Any]]
SEARCH = SGDSearch("softmax", tuple(Candidate(1e-2, 10.0**-k) for k in range(4)), SGD(40, 16, momentum=0.5), 0, 2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rows() -> Features:
    data = load_digits()
    return Features(data.subset(torch.arange(80)), fit_scaling(data))


@pytest.fixture(scope="module")
def saved(rows: Features) -> Parts:
    """After the first rung, where two of four have left."""
    kept: list[Parts] = []

    def keep(position: SearchPosition, at_rung: bool) -> None:
        if at_rung:
            kept.append(copy.deepcopy(position.to_parts()))

    SEARCH.run(rows, rows, keeper=keep)
    assert len(kept[0][0]["alive"]) < 4
    return kept[0]


def go_on(rows: Features, parts: Parts) -> None:
    SEARCH.run(rows, rows, position=SearchPosition.from_parts(*parts, CPU))


def test_what_was_saved_is_taken(rows: Features, saved: Parts) -> None:
    go_on(rows, copy.deepcopy(saved))


def test_every_tensor_has_its_type_and_size(rows: Features, saved: Parts) -> None:
    for name, tensor in saved[0].items():
        for other in (tensor.view(torch.uint8) if tensor.dtype != torch.uint8 else tensor.float(), tensor[:-1]):
            with pytest.raises((ValueError, InputError), match=r"position"):
                go_on(rows, ({**saved[0], name: other}, saved[1]))
        with pytest.raises((ValueError, InputError), match=r"position"):
            go_on(rows, ({key: value for key, value in saved[0].items() if key != name}, saved[1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda t, f: f.update(step="x"), lambda t, f: f.update(step=-1), lambda t, f: f.update(step=41),
        lambda t, f: f.update(step=True), lambda t, f: f.update(step=3.0),
        lambda t, f: f.update(statuses=["completed"]), lambda t, f: f.update(statuses=["fine"] * 4),
        lambda t, f: f.update(statuses=[{}, 1, None, []]), lambda t, f: f["rungs"][0].update(candidates=[{}]),
        lambda t, f: f["rungs"][0].update(val_accuracies=["x"]), lambda t, f: f["rungs"][0].update(step=[]),
        lambda t, f: f.update(statuses=7), lambda t, f: f.update(rungs=3), lambda t, f: f.update(rungs=[{}]),
        lambda t, f: f["rungs"][0].update(candidates=[0, 9]), lambda t, f: f.clear(),
        lambda t, f: t["alive"].fill_(1), lambda t, f: t["alive"].fill_(9), lambda t, f: t["alive"].neg_(),
    ],
)  # fmt: skip
def test_facts_that_no_search_writes_are_refused(
    rows: Features, saved: Parts, change: Callable[[dict[str, Tensor], dict[str, Any]], None]
) -> None:
    tensors, facts = copy.deepcopy(saved)
    change(tensors, facts)
    with pytest.raises((ValueError, InputError), match=r"position"):
        go_on(rows, (tensors, facts))


def test_the_position_of_another_search_is_refused(rows: Features, saved: Parts) -> None:
    other = SGDSearch("softmax", SEARCH.candidates[:3], SEARCH.sgd, 0, 2)
    with pytest.raises(InputError, match=r"must be of this search and rows; its .* Delete it"):
        other.run(rows, rows, position=SearchPosition.from_parts(*copy.deepcopy(saved), CPU))
