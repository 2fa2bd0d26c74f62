"""How a minimisation ended: one status per candidate, each with a sentence of advice."""

from __future__ import annotations

import enum


class Status(enum.Enum):
    """Outcome of one candidate. The value is the message; `advice` says what to do about it."""

    CONVERGED = "reached the tolerance"
    BUDGET_SPENT = "stopped at the limit of passes before the tolerance"
    STALLED = "no further progress is possible in this precision"
    COMPLETED = "took all its steps"
    DROPPED = "left the search at a rung"
    DIVERGED = "diverged: the loss became infinite or NaN"

    @property
    def advice(self) -> str:
        return _ADVICE[self]

    @property
    def key(self) -> str:
        """The name in files: lower case, e.g. `budget_spent`."""
        return self.name.lower()


_ADVICE = {
    Status.CONVERGED: "Nothing to do.",
    Status.BUDGET_SPENT: "Allow more passes, loosen tol, or drop the weakest strengths.",
    Status.STALLED: "Use float64, or accept the gap it reports.",
    Status.COMPLETED: "SGD gives no certificate; use the exact solver for one.",
    Status.DROPPED: "Lower eta or run without halving to keep it longer.",
    Status.DIVERGED: "Lower the learning rate.",
}
