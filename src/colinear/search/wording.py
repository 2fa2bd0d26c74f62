"""Shares, distances and ranges of strengths in words: the same on the terminal and in the report."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from colinear.texts import short_number

LARGEST = sys.float_info.max  # a whole number of JSON may be beyond it
FAR = 10.0  # above the optimum: from there on a factor says more than a percentage


def describe_above(above: Sequence[float | None]) -> str:
    """In words, where weights stand for which objective / optimum - 1 lies between two numbers.

    >>> describe_above((0.2085, 0.2091)), describe_above((0.082, 0.117)), describe_above((1e-5, 0.0012))
    ('21 % above the optimum', '8.2 % to 12 % above the optimum', 'at most 0.12 % above the optimum')
    >>> describe_above((4.08, 4.1)), describe_above((19.3, 19.4)), describe_above((0.07, None))
    ('410 % above the optimum', '20 times the optimum', 'at least 7 % above the optimum')
    """
    low, high = (math.inf if bound is None else bound for bound in above)
    if high == math.inf:
        return f"at least {_excess(low)} the optimum" if low > 0 else "at an unknown distance above the optimum"
    if low < high / 4:  # the solver's tolerance is most of it
        return f"at most {_excess(high)} the optimum"
    ends = [_excess(low), _excess(high)]
    first = "" if ends[0] == ends[1] else f"{ends[0].removesuffix(' above')} to "
    return f"{first}{ends[1]} the optimum"


def is_number(value: object) -> TypeGuard[float]:
    """Whether a file says a finite number where it should: one from elsewhere may say anything."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def is_placed(value: object) -> TypeGuard[list[float | None]]:
    """Whether a file says what `describe_above` takes.

    >>> is_placed([0.1, None]), is_placed([0.1]), is_placed(True)
    (True, False, False)
    """
    return isinstance(value, list) and len(value) == 2 and all(one is None or is_number(one) for one in value)


def _excess(share: float) -> str:
    return f"{1 + share:.2g} times" if share >= FAR else f"{as_percent(share)} above"


def as_percent(share: float) -> str:
    """A share as a percentage with two digits that count.

    >>> as_percent(0.00041), as_percent(2.1e-7), as_percent(0.0), as_percent(4.1)
    ('0.041 %', '0.000021 %', '0 %', '410 %')
    """
    text = f"{100 * share:.2g}"
    if "e-" in text:
        text = f"{100 * share:.{int(text.split('e-')[1]) + 1}f}".rstrip("0")
    return f"{float(text):g} %" if "e" in text else f"{text} %"


def warn_of_end(end: str, *, automatic: bool) -> str:
    """What to do where the best of some strengths is at an end of them.

    >>> warn_of_end("weakest", automatic=False)
    'The best is the weakest strength tried, and a better one may lie beyond: widen --regs, or leave it out.'
    """
    remedy = f"name {end.removesuffix('est')}er ones with --regs" if automatic else "widen --regs, or leave it out"
    return f"The best is the {end} strength tried, and a better one may lie beyond: {remedy}."


def warn_of_lone(column: int, ratio: float) -> str:
    """What to do where one column, counted from 0, is so large that no strength suits the others as well.

    >>> warn_of_lone(7, 5e5)
    'Column 8 is 5e5 times as large as all others together, and the strengths suit it alone: add --standardize.'
    """
    return (
        f"Column {column + 1} is {short_number(ratio, 2)} times as large as all others together, and the strengths "
        "suit it alone: add --standardize."
    )


def describe_range(entry: Mapping[str, Any]) -> list[str]:
    """Sentences about the strengths of an entry of `runs`: what was added, which rule chose, what to be warned of.

    >>> of = {"started_with": 9, "weaker_added": 2, "stronger_added": 0, "warning": None}
    >>> entry = {"solver": "exact", "metric": "macro-f1", "details": {"range": of, "choice": {"rule": "best"}}}
    >>> describe_range(entry)
    ['9 strengths at first; 2 weaker ones were added, until validation macro-f1 no longer improved.']
    """
    if entry["solver"] != "exact":
        return []
    tried, choice, said = entry["details"]["range"], entry["details"]["choice"], []
    added = [
        f"{tried[f'{side}_added']} {side} one{'s' * (tried[f'{side}_added'] != 1)}"
        for side in ("weaker", "stronger")
        if tried[f"{side}_added"]
    ]
    if added:
        until = "" if tried["warning"] else f", until validation {entry['metric']} no longer improved"
        were = "was" if tried["weaker_added"] + tried["stronger_added"] == 1 else "were"
        first = f"{tried['started_with']} strength{'s' * (tried['started_with'] != 1)} at first"
        said.append(f"{first}; {' and '.join(added)} {were} added{until}.")
    if choice["rule"] == "1se":
        best = entry["trials"][choice["best"]]
        score = best.get("val_score", best["val_accuracy"])
        said.append(
            f"Chosen as the strongest within one standard error of the best: {entry['metric']} {score:.4f} at "
            f"reg {short_number(best['reg'])}, error {best['val_error']:.4f}."
        )
    return said + ([tried["warning"]] if tried["warning"] else [])


def describe_calibration(entry: Mapping[str, Any]) -> list[str]:
    """What --calibrate has fitted for an entry of `runs`.

    >>> found = {"temperature": 1.25, "thresholds": None, "rows": 90, "log_loss": [0.52, 0.5], "score": [0.8, 0.8]}
    >>> describe_calibration({"metric": "accuracy", "calibration": found})
    ['Temperature 1.25, from 90 validation rows: log loss 0.5200 before, 0.5000 after.']
    """
    found, said = entry.get("calibration"), []
    if found is None:
        return []
    rows = f"from {found['rows']:,} validation rows"
    if found["temperature"] is not None:
        before, after = found["log_loss"]
        said.append(f"Temperature {found['temperature']:.4g}, {rows}: log loss {before:.4f} before, {after:.4f} after.")
    if found["thresholds"] is not None:
        before, after = found["score"]
        said.append(
            f"Thresholds of {len(found['thresholds'])} classes, {rows}: {entry['metric']} {before:.4f} before, "
            f"{after:.4f} after."
        )
    return said
