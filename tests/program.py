"""The program as the tests call it, and what every refusal and every page has to look like."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SMALL = ("--solver", "sgd", "--steps", "40", "--candidates", "4", "--lr", "1e-2:1e-1", "--batch-size", "64")
ANSI = re.compile(r"\x1b\[")


@dataclass(frozen=True)
class Said:
    """What one call of the program left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Program = Callable[..., Said]


def assert_refused(said: Said, *words: str) -> None:
    lines = said.err.strip().splitlines()
    assert said.status == 2, said
    assert 1 <= len(lines) <= 2, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err, (word, said.err)


def assert_fits_a_page(text: str) -> None:
    assert not ANSI.search(text)
    assert max(len(line) for line in text.splitlines()) <= 80, text
