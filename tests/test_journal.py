"""A solve that goes on from what an earlier process noted ends with the same bytes, from wherever that was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from tests.problems import draw_features

from colinear.losses import LOSSES
from colinear.solvers import Path, Tuning, solve_path
from colinear.solvers.journal import Parts, UnreadableError


def through_a_file(parts: Parts) -> Parts:
    tensors, facts = parts
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    return {name: tensor.clone() for name, tensor in load(content).items()}, facts


@dataclass
class Tape:
    """A journal that notes everything: after each step and each position, all that a checkpoint would hold."""

    steps: list[Parts] = field(default_factory=list)
    standing: Parts | None = None
    moments: list[tuple[int, Parts | None]] = field(default_factory=list)
    number: int = 0

    def step(self, make: Callable[[], Parts]) -> Parts:
        self.number += 1
        if self.number <= len(self.steps):
            return through_a_file(self.steps[self.number - 1])
        self.steps.append(through_a_file(made := make()))
        self.moments.append((len(self.steps), None))
        return made

    def position(self) -> Parts | None:
        standing, self.standing = self.standing, None
        return standing

    def keep(self, position: Callable[[], Parts]) -> None:
        self.moments.append((len(self.steps), through_a_file(position())))

    def stopped_at(self, moment: int) -> Tape:
        count, standing = self.moments[moment]
        return Tape(self.steps[:count], standing)


def assert_same_bytes(one: Path, other: Path) -> None:
    assert one.passes == other.passes
    for mine, theirs in zip(one.points, other.points, strict=True):
        assert torch.equal(mine.coef, theirs.coef)
        assert (mine.slopes is None) == (theirs.slopes is None)
        assert mine.slopes is None or torch.equal(mine.slopes, theirs.slopes)
        assert (mine.reg, mine.objective, mine.gap, mine.passes, mine.status, mine.width) == (
            theirs.reg, theirs.objective, theirs.gap, theirs.passes, theirs.status, theirs.width,
        )  # fmt: skip


BIG = {"newton_weights": 0}
SOLVES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "softmax": ("softmax", (120, 9, 5), {"tuning": Tuning(**BIG)}),
    "hinge": ("hinge", (120, 9, 5), {"tuning": Tuning(**BIG), "tol": 1e-2}),
    "several groups": ("softmax", (120, 9, 5), {"tuning": Tuning(**BIG, batch_bytes=1)}),
    "double": ("softmax", (120, 9, 5), {"tuning": Tuning(**BIG)}),
    "both precisions": ("softmax", (120, 9, 5), {"tuning": Tuning(**BIG), "tol": 1e-9}),
    "finisher": ("hinge", (200, 5, 4), {"tuning": Tuning(interior_first=0, newton_first=0, patience=(6, 6))}),
    "newton": ("softmax", (60, 4, 3), {}),
    "interior": ("hinge", (60, 4, 3), {}),
    "rows": ("softmax", (30, 90, 3), {"tuning": Tuning(**BIG)}),
}
REGS = [1e-3, 1e-2, 1e-1]


@pytest.mark.parametrize("case", SOLVES)
def test_a_solve_goes_on_from_any_pass_with_the_same_bytes(case: str) -> None:
    loss, size, options = SOLVES[case]
    features = draw_features(*size, dtype=torch.float64 if case == "double" else torch.float32, spread=0.7)
    tape = Tape()
    whole = solve_path(features, LOSSES[loss], REGS, **options)
    noted = solve_path(features, LOSSES[loss], REGS, journal=tape, **options)
    assert_same_bytes(noted, whole)
    assert len(tape.moments) >= len(REGS)
    for moment in range(0, len(tape.moments), 1 + len(tape.moments) // 30):
        again = solve_path(features, LOSSES[loss], REGS, journal=tape.stopped_at(moment), **options)
        assert_same_bytes(again, whole)


# What comes from a file


def _spoil(parts: Parts, name: str, change: Callable[[Any], Any]) -> Parts:
    tensors, facts = parts
    if name in tensors:
        return {**tensors, name: change(tensors[name])}, facts
    return tensors, {**facts, name: change(facts[name])}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lineup.coef", lambda coef: coef[:, :, 1:]),
        ("lineup.coef", lambda coef: coef.half()),
        ("lineup.here.gradient", lambda gradient: gradient[:1]),
        ("lineup.numbers", lambda numbers: numbers + 1),
        ("lineup.numbers", lambda numbers: numbers * 0),
        ("lineup.passes", lambda passes: -passes),
        ("lineup.turned", lambda turned: turned.int()),
        ("lineup.pair-0.rho", lambda rho: rho[1:]),
        ("found.statuses", lambda statuses: statuses.new_tensor([6])),
        ("found.values", lambda values: values.new_zeros(1, 3)),
        ("pairs", lambda pairs: 10**9),
        ("pairs", lambda pairs: pairs + 1),
        ("pairs", str),
        ("passes", lambda passes: -1),
        ("passes", lambda passes: True),
        ("ready", lambda ready: None),
        ("last", lambda last: not last),
    ],
)
def test_a_position_that_no_solve_has_packed_is_refused(name: str, change: Callable[[Any], Any]) -> None:
    features, tape = draw_features(120, 9, 5, dtype=torch.float32, spread=0.7), Tape()
    options = {"tuning": Tuning(**BIG), "tol": 1e-6}
    solve_path(features, LOSSES["softmax"], REGS, journal=tape, **options)
    stopped = tape.stopped_at(5)
    assert stopped.standing is not None
    stopped.standing = _spoil(stopped.standing, name, change)
    with pytest.raises(UnreadableError):
        solve_path(features, LOSSES["softmax"], REGS, journal=stopped, **options)


def test_a_position_that_lacks_candidates_is_refused() -> None:
    features, tape = draw_features(120, 9, 5, dtype=torch.float32, spread=0.7), Tape()
    solve_path(features, LOSSES["softmax"], REGS, journal=tape, tuning=Tuning(**BIG))
    stopped = tape.stopped_at(2)
    assert stopped.standing is not None
    tensors, facts = stopped.standing
    stopped.standing = {name: one for name, one in tensors.items() if not name.startswith("lineup.")}, facts
    with pytest.raises(UnreadableError, match="not of these strengths"):
        solve_path(features, LOSSES["softmax"], REGS, journal=stopped, tuning=Tuning(**BIG))


@pytest.mark.parametrize("tuning", [Tuning(), Tuning(**BIG)], ids=["newton", "lbfgs"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("coef", lambda coef: coef[1:]),
        ("coef", lambda coef: coef.float()),
        ("numbers", lambda numbers: numbers - 1),
        ("numbers", lambda numbers: numbers.float()),
        ("passes", lambda passes: passes - 1000),
        ("statuses", lambda statuses: statuses - 7),
    ],
)
def test_a_step_that_no_solve_has_made_is_refused(tuning: Tuning, name: str, change: Callable[[Any], Any]) -> None:
    features, tape = draw_features(60, 4, 3), Tape()
    solve_path(features, LOSSES["softmax"], REGS, journal=tape, tuning=tuning)
    spoiled = Tape([_spoil(tape.steps[0], name, change)])
    with pytest.raises(UnreadableError):
        solve_path(features, LOSSES["softmax"], REGS, journal=spoiled, tuning=tuning)


@pytest.mark.parametrize("tuning", [Tuning(), Tuning(**BIG)], ids=["newton", "lbfgs"])
def test_a_step_that_lacks_a_strength_is_refused(tuning: Tuning) -> None:
    features, tape = draw_features(60, 4, 3), Tape()
    solve_path(features, LOSSES["softmax"], REGS, journal=tape, tuning=tuning)
    tensors, facts = tape.steps[0]
    fewer = {name: tensor[1:] for name, tensor in tensors.items()}
    with pytest.raises(UnreadableError, match="strengths"):
        solve_path(features, LOSSES["softmax"], REGS, journal=Tape([(fewer, facts)]), tuning=tuning)
