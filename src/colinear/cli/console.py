"""Where text goes: results on stdout, progress on stderr, 80 columns and no colour when piped."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from colinear.texts import printable

PIPED_WIDTH = 80
CLASS_WIDTH = 24  # of a class's name in a table


class Output:
    """What a command says. `quiet` leaves errors only; `as_json` leaves one JSON value on stdout."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet, self.as_json = quiet, as_json
        self.out, self.err = (
            Console(
                file=stream, width=None if stream.isatty() else PIPED_WIDTH, markup=False, highlight=False, emoji=False
            )
            for stream in (sys.stdout, sys.stderr)
        )

    @property
    def shows(self) -> bool:
        """Whether stdout is for people."""
        return not (self.quiet or self.as_json)

    def say(self, text: str = "", style: str | None = None) -> None:
        """A line of text on stdout, folded at words."""
        if self.shows:
            self.out.print(Text(printable(text), style=style or ""))

    def say_path(self, text: str) -> None:
        """A line that is never folded, so that a path in it can be copied."""
        if self.shows:
            self.out.print(Text(printable(text)), soft_wrap=True)

    def show(self, table: Table) -> None:
        if self.shows:
            self.out.print(table)

    def note(self, text: str) -> None:
        """A line on stderr: progress, not result."""
        if not self.quiet:
            self.err.print(Text(printable(text)), soft_wrap=True)

    def fail(self, text: str) -> None:
        """A line on stderr about what went wrong, also where nothing else is said."""
        self.err.print(Text(printable(text)), soft_wrap=True)

    def emit(self, value: Any) -> None:
        """`value` as indented JSON on stdout, if JSON is wanted; NaN and infinities, which it has not, are refused."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
            sys.stdout.flush()
