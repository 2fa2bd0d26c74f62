"""`colinear table` and `colinear card`: what runs have found, and what a model is, as text for other documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from colinear.checks import InputError
from colinear.report.card import make_card
from colinear.report.cardtext import card_text
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
    quiet: bool = False,
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
    text = write_table(cells, to, **sides, value=value, best_of=best_of, intervals=intervals)
    if not quiet:
        sys.stdout.write(text)


def run_card(model_file: Path, to: str, *, quiet: bool = False) -> None:
    """Print the card of a model as Markdown or JSON."""
    card = make_card(model_file)
    if not quiet:
        sys.stdout.write(json.dumps(card, indent=2, allow_nan=False) + "\n" if to == "json" else card_text(card))
