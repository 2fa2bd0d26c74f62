"""Successive halving: when candidates are compared, and how many stay (Jamieson & Talwalkar 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from colinear.checks import InputError, check_count


@dataclass(frozen=True)
class Rung:
    """At `step`, of the `entered` candidates in the matrix the best `stayed` go on."""

    step: int
    entered: int
    stayed: int


def plan_rungs(candidates: int, steps: int, eta: int = 3, finalists: int = 2) -> list[Rung]:
    """Rungs at steps/eta^r ... steps/eta: each keeps the best ceil(1/eta), never fewer than `finalists`.

    Each rung lasts eta times longer than the last with an eta-th of the candidates, so all rungs cost about the same.
    With few steps, rungs that would fall before step 1 are left out and those of one step are one.

    >>> plan_rungs(50, 5000)
    [Rung(step=185, entered=50, stayed=17), Rung(step=556, entered=17, stayed=6), Rung(step=1667, entered=6, stayed=2)]
    >>> plan_rungs(2, 5000)
    []
    """
    check_count("candidates", candidates)
    check_count("steps", steps)
    if check_count("eta", eta) < 2:
        raise InputError(f"eta must be at least 2; got {eta}. 3 keeps a third of the candidates at each rung.")
    counts = [candidates]
    while counts[-1] > finalists:
        counts.append(max(finalists, -(-counts[-1] // eta)))
    rounds = len(counts) - 1
    stays = {round(steps / eta ** (rounds - r)): counts[r + 1] for r in range(rounds)}  # the last rung at a step counts
    rungs, entered = [], candidates
    for step, stayed in stays.items():
        if step >= 1:
            rungs.append(Rung(step, entered, stayed))
            entered = stayed
    return rungs
