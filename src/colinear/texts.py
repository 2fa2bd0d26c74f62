"""Text of strangers, as people are shown it: names of files and classes, values of arguments. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path

WORDS = 60  # characters of a name or value from a file that are shown
PATH_SHOWN = 160


def printable(text: object) -> str:
    """`text` with control characters, and bytes that are no UTF-8, written out: a terminal obeys what it is sent.

    >>> printable("cat" + chr(27) + "[31m"), printable("caf" + chr(0xDCE9))
    ('cat\\\\x1b[31m', 'caf\\\\udce9')
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def cut_middle(text: str, most: int) -> str:
    """`text` of at most `most` characters: of a longer one, the beginning and the end.

    >>> cut_middle("a very long name", 9)
    'a ve…name'
    """
    if len(text) <= most:
        return text
    kept = most - 1
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def shorten(value: object, most: int = WORDS) -> str:
    """`value` as one line of at most `most` characters, what does not print written out.

    >>> shorten("a name" + chr(10) + "of many words", 12)
    'a name\\\\nof …'
    """
    line = printable(str(value)[: most + 1])  # what is cut need not be written out
    return line if len(line) <= most else line[: most - 1] + "…"


def short_number(value: float, digits: int = 3) -> str:
    """A number as tables, axes and pages show it: plain from 0.001 to 100,000, else with an exponent.

    >>> [short_number(value) for value in (0.001, 0.00031623, 0.01, 47.0, 12345.6, 2e6, -1e-4, 0.0)]
    ['0.001', '3.16e-4', '0.01', '47', '12300', '2e6', '-1e-4', '0']
    """
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0 or 1e-3 <= abs(rounded) < 1e5:
        return f"{rounded:.15g}"
    lead, exponent = f"{rounded:.15e}".split("e")
    return f"{float(lead):.{digits}g}e{int(exponent)}"


def shown(value: object) -> str:
    """`repr` of a value as messages show it: cut, and without an error for whole numbers too long to be written.

    >>> shown("spam"), shown(10**5000), len(shown("x" * 1000))
    ("'spam'", 'a number of more than 4300 digits', 120)
    """
    try:
        return cut_middle(repr(value), 120)
    except ValueError:
        return "a number of more than 4300 digits"


def shown_path(path: Path, most: int = PATH_SHOWN) -> str:
    """`path` for a message: written out where it does not print; of a very long one, its end."""
    line = printable(path)
    return line if len(line) <= most else "…" + line[1 - most :]


def listed(names: Collection[object], most: int = 5) -> str:
    """The first names, shortened; '...' for the rest.

    >>> listed(["a", "b", "c"], 2)
    'a, b, ...'
    """
    first = [shorten(name, 30) for name, _ in zip(names, range(most), strict=False)]
    return ", ".join(first + ["..."] * (len(names) > most))


def clean_name(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are not UTF-8 stand as \\xNN.

    >>> clean_name("caf" + chr(0xDCE9))
    'caf\\\\xe9'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
