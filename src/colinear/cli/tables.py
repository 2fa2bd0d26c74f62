"""Tables and sentences about what a run found, from its part of results.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from colinear.cli.console import Output
from colinear.search import wording
from colinear.search.judging import score_of
from colinear.solvers.solution import Status
from colinear.texts import short_number

Entry = Mapping[str, Any]
TRIALS_SHOWN = 10  # of a loss, best first
FINE = (Status.COMPLETED, Status.CONVERGED, Status.DROPPED)


def new_table(title: str, columns: tuple[str, ...], left: tuple[str, ...] = ()) -> Table:
    """A table without outer lines; columns are right-aligned but for those in `left`."""
    table = Table(
        title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", padding=(0, 1, 0, 0)
    )
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", overflow="fold")
    return table


def as_accuracy(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def as_number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else short_number(value, digits)


def as_percent(share: float | None) -> str:
    """A gap as a percentage with two digits that count.

    >>> as_percent(0.00041), as_percent(2.1e-7), as_percent(0.0), as_percent(None)
    ('0.041 %', '0.000021 %', '0 %', '–')
    >>> as_percent(41.0)  # a bound that says nothing
    '> 100 %'
    """
    if share is None:
        return "–"
    return "> 100 %" if share > 1 else wording.as_percent(share)


def trial_table(entry: Entry) -> Table:
    """The ten candidates of one loss, best first; the columns are those that its solver fills."""
    trials = [entry["trials"][number] for number in entry["order"][:TRIALS_SHOWN]]
    total = len(entry["trials"])
    exact = entry["solver"] == "exact"
    kind = "strength" if exact else "candidate"
    first = "best" if not exact or entry["details"]["choice"]["rule"] == "best" else "winner"
    title = (
        f"{entry['loss']}: {total} {kind}{'s' * (total != 1)} by {entry['metric']}{f', {first} first' * (total > 1)}"
    )
    own = ("objective", "within", "passes") if exact else ()
    spread = any(trial.get("spread") is not None for trial in trials)
    rate = () if exact else ("learning rate",)
    columns = (*rate, "reg", *own, "train", "validation", *(("±",) if spread else ()), "status")
    table = new_table(title, columns, left=("status",))
    for place, trial in enumerate(trials):
        cells = [] if exact else [as_number(trial.get("learning_rate"))]
        cells += [as_number(trial["reg"])]
        if exact:
            passes = trial.get("passes")
            cells += [as_number(trial.get("objective"), 6), as_percent(trial.get("relative_gap"))]
            cells += ["–" if passes is None else str(passes)]
        cells += [as_accuracy(score_of(trial, "train")), as_accuracy(score_of(trial))]
        cells += [as_accuracy(trial.get("spread"))] if spread else []
        cells += [trial["status"].replace("_", " ")]
        table.add_row(*cells, style="bold" if place == 0 and total > 1 else None)
    return table


def show_run(output: Output, entry: Entry) -> None:
    """The table of one loss, what needs advice, and the winner's score on test."""
    output.show(trial_table(entry))
    more = len(entry["trials"]) - TRIALS_SHOWN
    if more > 0:
        output.say(f"... and {more} more in results.json")
    say_advice(output, entry["trials"])
    winner = entry["trials"][entry["best"]]
    if winner.get("above_optimum") is not None:
        output.say(f"The winner is {wording.describe_above(winner['above_optimum'])} for its reg.")
    if entry["solver"] == "exact":
        output.say(f"The winner, reg {as_number(winner['reg'])}, {distance(winner.get('relative_gap'))}.")
    for sentence in (*wording.describe_range(entry), *wording.describe_calibration(entry)):
        output.say(sentence)
    if entry["test_accuracy"] is None:
        output.say(f"{entry['loss']}: there are no test rows.", style="bold")
    else:
        answers = entry.get("test_answers")
        rows = sum(map(sum, entry["confusion_matrix"])) if answers is None else answers["rows"]
        if "test_score" in entry:
            what = f"{entry['loss']} test {entry['metric']}{weighted_too(entry)}"
            output.say(score_sentence(what, entry["test_score"], entry["test_score_ci95"], rows), style="bold")
        what = f"{entry['loss']} test accuracy{'' if answers is None else ', all answers right,'}"
        output.say(score_sentence(what, entry["test_accuracy"], entry["test_accuracy_ci95"], rows), style="bold")
    output.say()


def weighted_too(entry: Entry) -> str:
    """Where the metric is the accuracy as well, what makes it another."""
    return " of weighted rows" if entry["metric"] == "accuracy" else ""


def say_advice(output: Output, trials: Sequence[Entry], before: str = "", what: str = "") -> None:
    """How many of the trials ended otherwise than they should, in which way, and what to do about it."""
    for status, count in Counter(trial["status"] for trial in trials).items():
        known = Status[status.upper()]
        if known not in FINE:
            output.say(f"{before}{count} of {len(trials)}{what} {known.value}. {known.advice}")


def distance(gap: float | None) -> str:
    """How far from its optimum a strength is known to be.

    >>> distance(0.0004)
    'is within 0.04 % of the optimum'
    """
    if gap is None or gap > 1:
        return "may be far from its optimum"
    return f"is within {as_percent(gap)} of the optimum"


def score_sentence(what: str, value: float | None, interval: tuple[float, float], rows: int) -> str:
    """A score with its interval, in 80 columns."""
    low, high = interval
    return f"{what} {as_accuracy(value)} (95 % interval {low:.4f} to {high:.4f}, {rows:,} row{'s' * (rows != 1)})"
