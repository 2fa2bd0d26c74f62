"""Results as a table of two sides: which value stands where, which is the best, what the paired test tells from it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from colinear.checks import InputError, check_choice
from colinear.metrics import METRICS
from colinear.search.records import Record, load_record, paired_test
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.sweep.pattern import RESULTS, natural
from colinear.texts import listed, short_number, shorten, shown

Json = dict[str, Any]
VALUES = ("test", "validation")
SIDES = ("row", "column")
OPTIONS = {field.name for field in fields(Settings)} - {"data", "metric"}
LEVEL = 0.05  # of the paired test
# what two results of one setting may differ in all the same: where they lie, how long they took, what was found
FOUND = frozenset(RESULTS) - {"source", "loss", "metric", "n_train", "n_test", "n_features", "n_classes"}


def select(results: Sequence[Json], where: Mapping[str, str]) -> list[Json]:
    """The results that have, under each name of `where`, that value as text. Raises `InputError` if there is none."""
    for name in where:
        _check_key(name, results)
    found = [one for one in results if all(as_text(one.get(name)) == value for name, value in where.items())]
    if not found:
        said = " and ".join(f"{shorten(name)}={shorten(value)}" for name, value in where.items())
        first = next(iter(where))
        known = listed(dict.fromkeys(as_text(one.get(first)) for one in results))
        raise InputError(f"none of {len(results)} results has {said}. {shorten(first)} is one of: {known}.")
    return found


def tabulate(
    results: Sequence[Json],
    rows: Sequence[str] = ("data",),
    columns: Sequence[str] = ("loss",),
    value: str = "test",
    best_of: str = "row",
) -> list[Json]:
    """Return the cells of a table, row by row: a dict for each, as a DataFrame wants them.

    results : of `list_results`.   rows, columns : names of what tells rows apart, and columns.   value : 'test' or
    'validation', of the metric that selected.   best_of : 'row' or 'column', in which the best is looked for.
    A cell has the names of `rows` and `columns`, metric, and value; low, high (95 % interval) where there is one;
    spread, the standard deviation where the cell is the mean of `count` seeds or tries; best; and for all others
    p_value, of McNemar's test against the best on the same test rows, corrected for as many tests by Holm's method, and
    tied: whether that is at least 0.05. Both are None where there is no such test: for another metric than the
    accuracy, validation, means, other test rows.
    Raises   `InputError` for an unknown name, results of several metrics, and a cell of results that differ in more
    than their seed.
    Source   Holm, A simple sequentially rejective multiple test procedure, 1979.

    >>> one = {"data": "birds", "metric": "accuracy", "count": 1, "spread": None, "low": None, "high": None}
    >>> two = [{**one, "loss": "hinge", "test": 0.5}, {**one, "loss": "softmax", "test": 0.75}]
    >>> [(cell["loss"], cell["value"], cell["best"]) for cell in tabulate(two)]
    [('hinge', 0.5, False), ('softmax', 0.75, True)]
    """
    if not results:
        raise InputError("a table needs at least one result.")
    check_choice("value", value, VALUES)
    check_choice("best_of", best_of, SIDES)
    for name in (*rows, *columns):
        _check_key(name, results)
    if not rows or not columns or len({*rows, *columns}) < len(rows) + len(columns):
        raise InputError(f"rows and columns need a name each, and no name twice; got {shown([*rows, *columns])}.")
    metrics = list(dict.fromkeys(one["metric"] for one in results))
    if len(metrics) > 1:
        raise InputError(
            f"a table has one metric; these results have {listed(metrics)}. Choose one: --where metric={metrics[0]}."
        )

    groups: dict[tuple[Any, ...], list[Json]] = {}
    for one in results:
        groups.setdefault(tuple(one.get(name) for name in (*rows, *columns)), []).append(one)
    sources, cells = [], []
    for key in sorted(groups, key=lambda key: [natural(part) for part in key]):
        sources.append(groups[key])
        named = dict(zip((*rows, *columns), key, strict=True))
        cells.append({**named, "metric": metrics[0], **_cell(groups[key], value, named)})
    side = rows if best_of == "row" else columns
    lines: dict[tuple[Any, ...], list[int]] = {}
    for number, cell in enumerate(cells):
        lines.setdefault(tuple(cell[name] for name in side), []).append(number)
    tests = metrics[0] == "accuracy" and value == "test"
    for line in lines.values():
        _judge([cells[number] for number in line], [sources[number] for number in line], metrics[0], tests)
    return cells


def _check_key(name: str, results: Sequence[Json]) -> None:
    if not any(name in one for one in results):
        own = [key for key in results[0] if key not in FOUND and key not in OPTIONS]
        raise InputError(f"results have no {shorten(name)}. They have {', '.join(own)} and the options of tune.")


def as_text(value: Any) -> str:
    """A value of a result as tables write it, on one line.

    >>> as_text(None), as_text((0.1, 1.0)), as_text(1e-3)
    ('none', '0.1, 1', '0.001')
    """
    if isinstance(value, list | tuple):
        return shorten(", ".join(map(as_text, value)))
    if isinstance(value, float):
        return short_number(value, 4)
    return "none" if value is None else shorten(value)


def _cell(group: Sequence[Json], value: str, named: Mapping[str, Any]) -> Json:
    """The one result of a cell, or the mean of those of several seeds."""
    spread = "spread" if value == "test" else "validation_spread"
    if len(group) == 1:
        [one] = group
        low, high = (one["low"], one["high"]) if value == "test" else (None, None)
        return {"value": one[value], "low": low, "high": high, "spread": one.get(spread), "count": one["count"]}
    keys = dict.fromkeys(itertools.chain(*group))
    differ = [key for key in keys if key not in FOUND and any(one.get(key) != group[0].get(key) for one in group)]
    if differ != ["seed"] or len({one["seed"] for one in group}) < len(group):
        where = ", ".join(f"{name} {as_text(one)}" for name, one in named.items())
        what = listed([key for key in differ if key != "seed"] or ["nothing but the folder"])
        raise InputError(
            f"{len(group)} results stand at {where}; they differ in {what}. Name that in --rows or --columns, or "
            "choose with --where."
        )
    known = [one[value] for one in group if one[value] is not None]
    mean = statistics.fmean(known) if known else None
    deviation = statistics.stdev(known) if len(known) > 1 else None
    return {"value": mean, "low": None, "high": None, "spread": deviation, "count": len(group)}


def _judge(cells: Sequence[Json], sources: Sequence[Sequence[Json]], metric: str, tests: bool) -> None:
    """Mark the best of one line, and what the paired test cannot tell from it."""
    for cell in cells:
        cell.update(best=False, tied=None, p_value=None)
    known = [number for number, cell in enumerate(cells) if cell["value"] is not None]
    if not known:
        return
    sign = 1 if METRICS[metric].higher else -1
    top = max(known, key=lambda number: sign * cells[number]["value"])
    for number in known:
        cells[number]["best"] = cells[number]["value"] == cells[top]["value"]
    if not tests or len(known) < 2:
        return
    records = [_record(source) for source in sources]
    others = [number for number in known if not cells[number]["best"]]
    found = {number: paired_test(records[top], records[number]) for number in others}
    p_values = {number: test.p_value for number, test in found.items() if test is not None}
    for number, p_value in zip(p_values, holm(list(p_values.values())), strict=True):
        cells[number].update(p_value=p_value, tied=p_value >= LEVEL)


def _record(source: Sequence[Json]) -> Record | None:
    """How the one winner of a cell labelled each test row; None if there are several, or no such record of it."""
    if len(source) > 1 or source[0]["count"] > 1 or source[0].get("folder") is None:
        return None
    [one] = source
    record = load_record(RunFolder(Path(one["folder"])), one["loss"])
    correct = None if record is None else record.get("correct")
    if correct is None or one["test"] is None or abs(float(correct.double().mean()) - one["test"]) > 1e-9:
        return None  # of a model that was replaced since
    return record


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of as many tests, corrected so that the chance of any false finding stays below the level.

    The k-th smallest of m is multiplied by m - k + 1; none falls below a smaller one, and none exceeds 1.

    >>> holm([0.03, 0.01, 0.5])
    [0.06, 0.03, 0.5]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[number] * (len(p_values) - rank)))
        corrected[number] = largest
    return corrected
