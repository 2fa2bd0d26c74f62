"""This project's docstrings as Markdown, for mkdocstrings.

A docstring here is laid out for the terminal: arguments as `name : shape, range`, facts as `Returns  what`, several
of them on a line, formulas by themselves or indented, doctests at the end. Markdown would run all that into one
paragraph and take `reg * sum(W * W)` for emphasis; this turns it into lists, code blocks and escaped text.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

FACTS = "Cost|Effect|Error|Example|Inputs|Raises|Random|Returns|Rows|Source|Warns"
FACT = re.compile(rf"(?P<name>{FACTS})(?:\s{{2,}}|\s*:\s+|\s)(?P<text>\S.*)")
ARGUMENT = re.compile(r"(?P<name>[A-Za-z_](?:[\w{}\[\], /()+]|\.(?! ))*?) : (?P<text>\S.*)")
SIDE_BY_SIDE = re.compile(rf"\s{{2,}}(?=(?:(?:{FACTS})\s)|(?:[A-Za-z_][\w., ()+]* : ))")
SPECIAL = re.compile(r"([*_\[\]>])")


def to_markdown(text: str) -> str:
    """A docstring as Markdown.

    >>> print(to_markdown("Sum of squares.\\n\\nx : (n,) float.   y : (n,).\\nReturns  x * x"))
    Sum of squares.
    <BLANKLINE>
    - `x` : (n,) float.
    - `y` : (n,).
    - *Returns* x \\* x
    """
    return "\n\n".join(_render(block) for block in _blocks(text))


def _blocks(text: str) -> list[list[str]]:
    """Lines between blank lines; a doctest and whatever follows it up to the next blank line stay together."""
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip():
            blocks.append([])
        elif line.lstrip().startswith(">>> ") and not any(">>> " in earlier for earlier in blocks[-1]):
            blocks.append([line])
        else:
            blocks[-1].append(line)
    return [block for block in blocks if block]


def _render(block: list[str]) -> str:
    first = block[0].lstrip()
    if first.startswith(">>> "):
        return _fence("pycon", block)
    if first.startswith("|"):
        return "\n".join(block)
    if all(line.startswith("    ") for line in block):
        return _fence("text", block)
    heading = ""
    if len(block) > 1 and set(block[1].strip()) == {"-"}:
        heading, block = f"**{first}**\n\n", block[2:]
    return heading + "\n".join(_items(block))


def _fence(language: str, lines: list[str]) -> str:
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join([f"```{language}", *(line[margin:] for line in lines), "```"])


def _items(block: list[str]) -> list[str]:
    """Plain lines as they are; arguments and facts as list items, with the lines that continue them."""
    out: list[str] = []
    listing = False
    for line in block:
        for part in SIDE_BY_SIDE.split(line):
            fact, argument = FACT.fullmatch(part.strip()), ARGUMENT.fullmatch(part.strip())
            starts = not line.startswith(" " * 4)  # deeper lines continue what is above them
            if starts and fact:
                item = f"- *{fact['name']}* {_escape(fact['text'])}"
            elif starts and argument:
                item = f"- `{argument['name']}` : {_escape(argument['text'])}"
            else:
                out.append(("  " if listing else "") + _escape(part.strip()))
                continue
            if out and not listing:
                out.append("")
            listing = True
            out.append(item)
    return out


def _escape(text: str) -> str:
    """Markdown's own signs as text, outside of `code`."""
    pieces = text.split("`")
    return "`".join(
        piece if number % 2 else SPECIAL.sub(r"\\\1", piece).replace("<", "&lt;") for number, piece in enumerate(pieces)
    )


class Docstrings(Extension):
    """Rewrites every docstring as it is collected."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value)
