"""`colinear table`: what several runs have found, as one table on stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from colinear.checks import InputError
from colinear.sweep.formats import write_table
from colinear.sweep.results import list_results
from colinear.sweep.table import select, tabulate
from colinear.texts import shown


def run_table(
    paths: list[Path],
    rows: str,
    columns: str,
    to: str,
    value: str,
    best_of: str,
    where: Sequence[str],
    pattern: str | None,
    intervals: bool,
) -> None:
    """Print the table of the results in `paths`.   rows, columns : names, commas between.   where : NAME=VALUE each."""
    chosen = {}
    for one in where:
        name, sign, wanted = one.partition("=")
        if not sign or not name:
            raise InputError(f"--where is NAME=VALUE; got {shown(one)}. Try --where loss=softmax.")
        chosen[name] = wanted
    results = list_results(paths, pattern)
    results = select(results, chosen) if chosen else results
    sides = {"rows": rows.split(","), "columns": columns.split(",")}
    cells = tabulate(results, **sides, value=value, best_of=best_of)
    sys.stdout.write(write_table(cells, to, **sides, value=value, best_of=best_of, intervals=intervals))
