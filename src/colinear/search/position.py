"""Where an SGD search stands, as what a checkpoint holds: to parts and back, and whether it belongs to a search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from torch import Tensor

from colinear.parallel.group import Group
from colinear.search.trials import RungResult
from colinear.solvers.sgd import SGDState
from colinear.solvers.solution import Status

STATE = ("coef", "learning_rates", "regs", "history", "velocity", "average")  # tensors of SGD's state; some may be None
RECORD = ("alive", "coef", "history", "accuracies", "train_accuracies", "scores", "train_scores", "stopped")


@dataclass
class SearchPosition:
    """Where a search stands: SGD's state of those still in the matrix, and the record of those who left.

    alive : (a,) int64, candidate numbers of the rows of `state`.      coef (k, c, d), history (k, steps):
    filled in when a candidate leaves.    accuracies, train_accuracies, and the scores that candidates are compared by
    (k,) float64;   stopped (k,) int64.
    """

    state: SGDState
    alive: Tensor
    coef: Tensor
    history: Tensor
    accuracies: Tensor
    train_accuracies: Tensor
    scores: Tensor
    train_scores: Tensor
    stopped: Tensor
    statuses: list[str]
    rungs: list[RungResult]

    def to_parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-able facts from which `from_parts` builds the same position."""
        state = self.state
        tensors = {name: getattr(self, name) for name in RECORD}
        tensors |= {f"state.{name}": getattr(state, name) for name in STATE if getattr(state, name) is not None}
        tensors["state.generator"] = state.generator.get_state()
        return tensors, {
            "step": state.step, "statuses": self.statuses, "rungs": [rung.to_json() for rung in self.rungs],
        }  # fmt: skip

    @classmethod
    def from_parts(cls, tensors: dict[str, Tensor], facts: dict[str, Any], device: torch.device) -> SearchPosition:
        """The position of `to_parts`. Raises `ValueError` for what is none: parts come from files."""
        try:
            generator = torch.Generator(device)
            generator.set_state(tensors["state.generator"])
            parts = {name: tensors[f"state.{name}"].to(device) for name in STATE if f"state.{name}" in tensors}
            rungs = [
                RungResult(
                    index(rung["step"]), index(rung["entered"]), index(rung["stayed"]),
                    _numbers(rung["val_accuracies"]), tuple(index(number) for number in rung["candidates"]),
                    _numbers(rung["val_scores"]) if "val_scores" in rung else None,
                )
                for rung in facts["rungs"]
            ]  # fmt: skip
            statuses = [Status[key.upper()].key for key in facts["statuses"]]
            return cls(
                SGDState(**parts, generator=generator, step=facts["step"]),
                **{name: tensors[name] for name in RECORD}, statuses=statuses, rungs=rungs,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(f"it holds no position of a search: {error!r}") from None

    @classmethod
    def share(cls, mine: SearchPosition | None, group: Group, device: torch.device) -> SearchPosition | None:
        """The position of the first process of a group, in all; None if it has none."""
        if group.size == 1:
            return mine
        tensors, facts = ({}, {}) if mine is None else mine.to_parts()
        tensors, [facts, *_] = group.share(tensors), group.gather(facts)
        return cls.from_parts(tensors, facts, device) if facts else None

    def difference(self, begun: SearchPosition) -> str | None:
        """What no step of the search that starts at `begun` could have changed, or None.

        Everything has the types and sizes of the start, but for the candidates that have left.
        """
        mine, theirs = self.to_parts()[0], begun.to_parts()[0]
        if mine.keys() != theirs.keys():
            return f"it has {', '.join(sorted(mine))}"
        count, alive = len(begun.statuses), len(self.alive)
        for name, there in theirs.items():
            here, wanted = mine[name], list(there.shape)
            if name == "alive" or (name.startswith("state.") and name != "state.generator"):
                wanted[0] = alive
            if here.dtype != there.dtype or list(here.shape) != wanted:
                return f"its {name} is {here.dtype} of shape {tuple(here.shape)}"
        numbers = self.alive.tolist()
        rules = {
            "candidates that are there": numbers == sorted(set(numbers)) and set(numbers) <= set(range(count)),
            "a status for each candidate": len(self.statuses) == count,
            "a step that there is": type(self.state.step) is int and 0 <= self.state.step <= self.history.shape[1],
            "rungs of candidates": all(set(rung.candidates) <= set(range(count)) for rung in self.rungs),
        }
        return next((f"it lacks {what}" for what, holds in rules.items() if not holds), None)


def _numbers(values: list[float | None]) -> tuple[float, ...]:
    """What a file has null for is NaN."""
    return tuple(math.nan if value is None else float(value) for value in values)
