"""What came of a campaign: counts by target and outcome, each failure once, with the call that repeats it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from colinear.texts import printable
from fuzz.cases import Case
from fuzz.child import Verdict

GOOD = ("fine", "refused")
OUTCOMES = (
    *GOOD,
    "exception",
    "message",
    "hang",
    "memory",
    "program",
    "crash",
    "overwritten",
    "warning",
    "nan",
    "harness",
)


def signature(verdict: Verdict) -> tuple[str, str, str]:
    """What makes two failures one: outcome, kind of error, place. Numbers and names of files in a text do not count."""
    place = str(verdict.get("frame", ""))
    if not place:
        place = re.sub(r"\d+|'[^']*'|\"[^\"]*\"", "_", str(verdict.get("detail", "")))[:60]
    return verdict["outcome"], str(verdict.get("type", "")), re.sub(r"^/.*?/(?=fuzz/)", "", place)


@dataclass
class Failure:
    """One kind of failure: the first case, and how many there were."""

    case: Case
    verdict: Verdict
    count: int = 1


@dataclass
class Tally:
    """Counts what is added to it, and keeps the first case of each kind of failure in `folder` (if it is given)."""

    folder: Path | None = None
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: dict[tuple[str, str, str], Failure] = field(default_factory=dict)
    longest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def add(self, case: Case, verdict: Verdict) -> bool:
        """Whether the case failed in a way that is new."""
        target = f"colinear {case.words[0]}" if case.target == "command" and case.words else case.target
        self.counts[target if target.split(" ")[-1].isalnum() else "colinear ?", verdict["outcome"]] += 1
        self.longest = max(self.longest, (verdict["seconds"], case.name))
        self.largest = max(self.largest, (verdict["peak_mb"], case.name))
        if verdict["outcome"] in GOOD:
            return False
        known = self.failures.get(signature(verdict))
        if known is not None:
            known.count += 1
            return False
        self.failures[signature(verdict)] = Failure(case, verdict)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{case.name}.json").write_text(case.to_json() + "\n")
        return True

    def table(self) -> str:
        """Targets by outcomes, without those that did not occur."""
        seen = [one for one in OUTCOMES if any(outcome == one for _, outcome in self.counts)]
        lines = [f"{'':<20}" + "".join(f"{one:>12}" for one in seen)]
        for target in sorted({target for target, _ in self.counts}):
            lines.append(f"{target:<20}" + "".join(f"{self.counts[target, one] or '':>12}" for one in seen))
        lines.append(
            f"{self.total:<20}"
            + "".join(f"{sum(n for (_, o), n in self.counts.items() if o == one):>12}" for one in seen)
        )
        return "\n".join(lines)

    def lines(self) -> list[str]:
        """A paragraph for each kind of failure, the commonest first."""
        return [describe(one) for one in sorted(self.failures.values(), key=lambda one: -one.count)]


def describe(failure: Failure) -> str:
    case, verdict = failure.case, failure.verdict
    called = " ".join(map(repr, case.words)) if case.target == "command" else f"{case.target} {case.path}"
    where = str(verdict.get("frame", ""))
    if verdict.get("innermost", where) != where:
        where += f" (in {verdict['innermost']})"
    lines = [
        f"{failure.count} x {verdict['outcome']}: {str(verdict['detail'])[:220]}",
        *([f"    at {where}"] if where else []),
        f"    {called[:160]}{'' if case.mode == 'plain' else f' [{case.mode}]'}",
        *([f"    {'; '.join(case.notes)[:160]}"] if case.notes else []),
        f"    again: python -m fuzz.run --again {case.name}",
    ]
    return "\n".join(map(printable, lines))
