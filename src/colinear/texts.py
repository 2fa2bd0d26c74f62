"""Text of strangers, as people are shown it: names of files and classes, values of arguments. Needs no torch."""

from __future__ import annotations


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


def shown(value: object) -> str:
    """`repr` of a value as messages show it: cut, and without an error for whole numbers too long to be written.

    >>> shown("spam"), shown(10**5000), len(shown("x" * 1000))
    ("'spam'", 'a number of more than 4300 digits', 120)
    """
    try:
        return cut_middle(repr(value), 120)
    except ValueError:
        return "a number of more than 4300 digits"
