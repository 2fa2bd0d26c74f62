"""The page of a sweep: its runs, what each has found, the best of what can be compared, and what failed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from colinear.checks import InputError
from colinear.metrics import METRICS
from colinear.outputs import PAGE, check_output
from colinear.report.page import fill_page, write_page
from colinear.search.runfolder import RunFolder
from colinear.sweep.pattern import natural
from colinear.sweep.plan import Planned, name_runs, read_plan
from colinear.sweep.results import results_of
from colinear.sweep.table import FOUND, as_text, tabulate

Json = dict[str, Any]
PAGE_NAME = "summary.html"
SCRIPTS = (
    "vendor/uPlot.iife.min.js", "assets/dom.js", "assets/charts.js", "assets/theme.js", "assets/candidates.js",
    "assets/summary.js",
)  # fmt: skip
SHOWN = ("loss", "metric", "validation", "test", "low", "high", "spread", "count", "reg", "gap", "seconds")
ROWS = ("n_train", "n_test", "n_features", "n_classes")  # follow from the data


def read_summary(path: Path) -> tuple[list[Planned], list[list[Json]]]:
    """The runs of the sweep in a folder, and the results of each so far."""
    planned = read_plan(RunFolder(path))
    done = [(path / one.folder / "results.json").is_file() for one in planned]
    lines = [
        results_of(path / one.folder, one.fields) if ready else [] for one, ready in zip(planned, done, strict=True)
    ]
    return planned, lines


def write_summary(
    path: Path, planned: Sequence[Planned], lines: Sequence[Sequence[Json]], *, force: bool = False
) -> Path:
    """Write summary.html into a sweep's folder, and return its path. The same runs give the same bytes.

    lines : what `results_of` gives for each run; a dict without a loss is passed over.
    """
    target = check_output(
        path / PAGE_NAME, PAGE, force=force, option="the page", remedy="Move it away, or pass --force."
    )
    name, names = Path(os.path.realpath(path)).name, name_runs(planned)
    results = [[line for line in each if "loss" in line] for each in lines]
    data = {
        "runs": [
            {
                "title": names[one.folder], "folder": one.folder, "data": one.data, "options": " ".join(one.options),
                "state": one.state, "error": one.error, "seconds": one.seconds, "fields": dict(one.fields),
                "results": [{key: line[key] for key in SHOWN} for line in each],
            }
            for one, each in zip(planned, results, strict=True)
        ],
        "metrics": {key: {"higher": one.higher, "share": one.share} for key, one in METRICS.items()},
        "table": _table([line for each in results for line in each], planned),
    }  # fmt: skip
    return write_page(target, fill_page(f"{name} · sweep", data, SCRIPTS, "The same numbers are in summary.csv."))


def remake_summary(path: Path, *, force: bool = False) -> Path:
    """Write the page of the sweep in a folder again, from what its runs hold now."""
    return write_summary(path, *read_summary(path), force=force)


def pick_sides(results: Sequence[Json], fields: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names for rows and columns with which each cell is one result, or those of several seeds.

    The last field, as a layer, makes the columns, and whatever else differs the rows; without fields, losses do.
    """

    def values(name: str) -> list[str]:
        return [as_text(one.get(name)) for one in results]

    differ = [
        name
        for name in results[0]
        if len(set(values(name))) > 1 and name not in (*FOUND, *ROWS, *fields, "seed", "loss")
    ]
    told = list(zip(*map(values, fields or ["data"]), strict=True))
    for name in ("data", "source"):  # said by the fields, or by one another
        if name in differ and len(set(zip(told, values(name), strict=True))) == len(set(told)):
            differ.remove(name)
    several = [name for name in fields if len(set(values(name))) > 1]
    if several:
        *first, last = several
        return (*first, *differ, "loss"), (last,)
    return tuple(dict.fromkeys((*(["data"] if "source" not in differ else []), *differ))), ("loss",)


def _table(results: Sequence[Json], planned: Sequence[Planned]) -> Json | None:
    """The cells of the table of all results, None where there is no such table: of several metrics, say."""
    if not results:
        return None
    fields = list(dict.fromkeys(name for one in planned for name in one.fields))
    rows, columns = pick_sides(results, fields)
    value = "test" if any(one["test"] is not None for one in results) else "validation"
    try:
        cells = tabulate(results, rows, columns, value)
    except InputError:
        return None
    heads = sorted({tuple(cell[name] for name in columns) for cell in cells}, key=lambda key: [*map(natural, key)])
    places = [cell[columns[0]] for cell in cells]
    return {
        "rows": rows, "columns": columns, "value": value, "metric": results[0]["metric"],
        "heads": [list(map(as_text, head)) for head in heads],
        "cells": [{**cell, **{name: as_text(cell[name]) for name in (*rows, *columns)}} for cell in cells],
        "places": places if all(isinstance(one, int | float) for one in places) else None,
    }  # fmt: skip
