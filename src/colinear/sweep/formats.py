"""A table as Markdown, LaTeX, CSV or JSON. Names in it are text of strangers: each format escapes what it obeys."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from colinear.checks import InputError, check_choice
from colinear.metrics import METRICS
from colinear.sweep.pattern import natural
from colinear.sweep.table import LEVEL, as_text

Json = dict[str, Any]
FORMATS = ("md", "csv", "latex", "json")
TIED = {"md": "†", "latex": r"$^\dagger$"}
PLUS_MINUS = {"md": "±", "latex": r"$\pm$"}
NONE = "–"
LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "†": r"\dag{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a program that opens CSV would run what begins so


def write_table(
    cells: Sequence[Json],
    to: str = "md",
    *,
    rows: Sequence[str] = ("data",),
    columns: Sequence[str] = ("loss",),
    value: str = "test",
    best_of: str = "row",
    intervals: bool = True,
) -> str:
    """Return the text of a table from the cells of `tabulate`, which was given the same names and sides.

    to : 'md' or 'latex' (booktabs): the best bold, a dagger where the paired test cannot tell a value from it, and a
    note that says so; 'csv' or 'json': a line, or an object, for each cell.
    intervals : write them behind each value, in md and latex.
    """
    check_choice("to", to, FORMATS)
    if to == "json":
        return json.dumps(cells, indent=2, allow_nan=False) + "\n"
    if to == "csv":
        return write_csv(cells)
    if not cells:
        raise InputError("a table needs at least one cell.")
    metric = cells[0]["metric"]
    body = _Body(cells, rows, columns, to, METRICS[metric].share, intervals)
    note = _note(cells, metric, f"{value.capitalize()} {metric}", best_of, intervals, TIED[to])
    return _markdown(body, note) if to == "md" else _latex(body, note)


def escape_markdown(text: str) -> str:
    """Text that Markdown, and HTML in it, take as it stands.

    >>> print(escape_markdown("<b>*a*|b"))
    \\<b\\>\\*a\\*\\|b
    """
    return re.sub(r"([\\`*_\[\]<>|&~$#!])", r"\\\1", text)


class _Body:
    """Head and lines of a table, escaped."""

    def __init__(
        self, cells: Sequence[Json], rows: Sequence[str], columns: Sequence[str], to: str, share: bool, intervals: bool
    ) -> None:
        self.to, self.share, self.intervals = to, share, intervals
        heads = sorted({tuple(cell[name] for name in columns) for cell in cells}, key=_order)
        self.head = [self.escape(name) for name in rows]
        self.head += [self.escape(" / ".join(map(as_text, head))) for head in heads]
        self.n_names = len(rows)
        lines: dict[tuple[Any, ...], dict[tuple[Any, ...], Json]] = {}
        for cell in cells:
            own = lines.setdefault(tuple(cell[name] for name in rows), {})
            own[tuple(cell[name] for name in columns)] = cell
        self.lines = [
            [self.escape(as_text(part)) for part in key] + [self.value(lines[key].get(head)) for head in heads]
            for key in sorted(lines, key=_order)
        ]

    def escape(self, text: str) -> str:
        if self.to == "latex":
            return "".join(LATEX.get(sign, sign) for sign in text)
        return escape_markdown(text)

    def value(self, cell: Mapping[str, Any] | None) -> str:
        if cell is None or cell["value"] is None:
            return NONE
        text = self.number(cell["value"])
        if cell["best"]:
            text = f"\\textbf{{{text}}}" if self.to == "latex" else f"**{text}**"
        text += TIED[self.to] if cell["tied"] else ""
        if self.intervals and cell["low"] is not None:
            text += f" [{self.number(cell['low'])}, {self.number(cell['high'])}]"
        if self.intervals and cell["spread"] is not None:
            text += f" {PLUS_MINUS[self.to]} {self.number(cell['spread'])}"
        return text

    def number(self, value: float) -> str:
        return f"{100 * value:.2f}" if self.share else f"{value:.4f}"


def _order(key: tuple[Any, ...]) -> list[Any]:
    return [natural(part) for part in key]


def _note(cells: Sequence[Json], metric: str, what: str, best_of: str, intervals: bool, mark: str) -> str:
    """What the numbers and marks mean, as far as there are any."""
    unit = " in %" if METRICS[metric].share else ""
    said = [f"{what}{unit}; bold: the best of each {best_of}."]
    if intervals and any(cell["low"] is not None for cell in cells):
        said.append("In brackets: the 95 % interval.")
    if intervals and any(cell["spread"] is not None for cell in cells):
        said.append("±: the standard deviation over seeds or tries.")
    if any(cell["p_value"] is not None for cell in cells):
        said.append(
            f"{mark}: not told from the best by McNemar's test on the same test rows (p >= {LEVEL} after Holm's "
            "correction)."
        )
    elif len(cells) > 1:
        said.append("No paired test: it takes single runs, accuracy, and the same test rows.")
    return " ".join(said)


def _markdown(body: _Body, note: str) -> str:
    rule = [*[":--"] * body.n_names, *["--:"] * (len(body.head) - body.n_names)]
    lines = [f"| {' | '.join(line)} |" for line in (body.head, rule, *body.lines)]
    return "\n".join([*lines, "", note]) + "\n"


def _latex(body: _Body, note: str) -> str:
    kinds = "l" * body.n_names + "r" * (len(body.head) - body.n_names)
    lines = [f"{' & '.join(line)} \\\\" for line in (body.head, *body.lines)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{{kinds}}}", "\\toprule", lines[0], "\\midrule",
            *lines[1:], "\\bottomrule", "\\end{tabular}", "", note.replace("%", "\\%").replace(">=", "$\\ge$"),
        ]
    ) + "\n"  # fmt: skip


def write_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """A CSV file of the records, under the names that any of them has; text that a spreadsheet would run gets a '.

    >>> write_csv([{"run": "=1+1", "test": 0.5}, {"run": "b", "layer": 2}])
    "run,test,layer\\r\\n'=1+1,0.5,\\r\\nb,,2\\r\\n"
    """
    names = list(dict.fromkeys(name for one in records for name in one))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for one in records:
        writer.writerow([_plain(one.get(name)) for name in names])
    return text.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    if isinstance(value, str):
        value = value.encode("utf-8", "backslashreplace").decode().replace("\0", "")
        return "'" + value if value.startswith(FORMULA) else value
    return value
