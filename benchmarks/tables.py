"""What a person sees: lines while it runs, tables at the end, 100 columns wide."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table as RichTable

WIDTH = 100


@dataclass
class Table:
    title: str
    columns: list[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append(tuple(str(cell) for cell in cells))

    def show(self) -> None:
        drawn = RichTable(title=self.title, title_justify="left", box=None, pad_edge=False)
        for index, name in enumerate(self.columns):
            drawn.add_column(name, justify="right" if index else "left")
        for row in self.rows:
            drawn.add_row(*row)
        console = Console(width=WIDTH, highlight=False, markup=False)
        console.print()
        console.print(drawn)


def number(value: float) -> str:
    """Three significant digits without an exponent: 1234.5 is 1234, 0.01234 is 0.0123."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def say(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)
