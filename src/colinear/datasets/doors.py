"""The door that every file from others comes through: what may be opened, how much it may ask for, what is said.

A file is opened only if it is a regular file: a FIFO would wait for ever, a device never end. What its header
announces is held against its size before memory is asked for. Whatever a parser makes of its content becomes
one `InputError` of bounded length, and none of the parser's warnings reach the user.
"""

from __future__ import annotations

import errno
import os
import stat
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from colinear.checks import InputError

FREE_BYTES = 256 << 20  # any file may ask for as much
MOST_INFLATION = 500  # bytes of memory for a byte of file: news20 as dense float32 takes 360, zeros deflated 1,030
WORDS = 60  # characters of a name or value from a file that are shown
REASON = 160
NO_MEMORY = ("can't allocate memory", os.strerror(errno.ENOMEM))  # how torch and the system say so
LESS = "Give fewer rows or columns, or store float32 or uint8 as .npy, which is memory-mapped."
PATH_SHOWN = 160
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def shown(value: object, most: int = WORDS) -> str:
    """`value` as one line of at most `most` characters, what does not print written out.

    >>> shown("a name" + chr(10) + "of many words", 12)
    'a name\\\\nof …'
    """
    text = value if isinstance(value, str) else str(value)
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"


def shown_path(path: Path, most: int = PATH_SHOWN) -> str:
    """`path` for a message: written out where it does not print; of a very long one, its end."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(path))
    return line if len(line) <= most else "…" + line[1 - most :]


def listed(names: Collection[object], most: int = 5) -> str:
    """The first names, shortened; '...' for the rest.

    >>> listed(["a", "b", "c"], 2)
    'a, b, ...'
    """
    first = [shown(name, 30) for name, _ in zip(names, range(most), strict=False)]
    return ", ".join(first + ["..."] * (len(names) > most))


def clean_name(name: str) -> str:
    """A file's name as text that can be written anywhere: bytes that are not UTF-8 stand as \\xNN.

    >>> clean_name("caf" + chr(0xDCE9))
    'caf\\\\xe9'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def as_path(given: str | Path) -> Path:
    """`given` with ~ expanded; raises `InputError` for the home of nobody."""
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise InputError(f"{shown_path(Path(given))}: there is no such user. Write the path out.") from None


def check_file(path: Path) -> int:
    """Return the size in bytes of a regular file that is not empty; raise `InputError` for anything else."""
    size = check_regular(path)
    if size == 0:
        raise InputError(f"{shown_path(path)} is empty (0 bytes). Write it again.")
    return size


def check_regular(path: Path) -> int:
    """Return the size in bytes of a regular file; raise `InputError` for anything else, before it is opened."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(f"{shown_path(path)} does not exist. Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{shown_path(path)} cannot be opened ({shown(reason)}). Check the path.") from None
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for holds, name in KINDS if holds(found.st_mode)), "something else")
        raise InputError(f"{shown_path(path)} must be a regular file; it is {kind}. Copy its content into one.")
    return found.st_size


def check_room(path: Path, needed: int, held: int, what: str = "its content") -> None:
    """Refuse to hold `needed` bytes for `path`, whose `held` bytes announce them, before they are asked for.

    Allowed are 256 MiB or 500 times what is held, whichever is more, and never more than the machine's memory.
    """
    check_claim(path, needed, held, what)
    check_memory(path, needed, what)


def check_claim(path: Path, needed: int, held: int, what: str = "its content") -> None:
    """Refuse `needed` bytes of values that `held` bytes of file cannot honestly announce."""
    if needed > max(FREE_BYTES, MOST_INFLATION * held):
        raise InputError(
            f"{shown_path(path)}: {what} takes {_size(needed)}, announced by {_size(held)}; at most "
            f"{MOST_INFLATION} times its size is believed. It is damaged or hostile, or else store it as .npy."
        )


def check_memory(path: Path, needed: int, what: str = "its content") -> None:
    """Refuse `needed` bytes that this machine does not have."""
    most = machine_memory()
    if needed > most:
        raise InputError(
            f"{shown_path(path)}: {what} takes {_size(needed)}; this machine has {_size(most)} of memory. {LESS}"
        )


def machine_memory() -> int:
    """Bytes of memory of this machine; 16 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return 16 << 30


def _size(count: int) -> str:
    """A number of bytes in words; one with hundreds of digits, as a header may claim, stays short.

    >>> _size(15), _size(3 << 30), _size(10**400)
    ('15 bytes', '3 GiB', 'more than 1024 PiB')
    """
    if count >= 1 << 60:
        return "more than 1024 PiB"
    value, units = float(count), iter(("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while value >= 1024:
        value, unit = value / 1024, next(units)
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


@contextmanager
def guarded(path: Path, kind: str, advice: str = "It is damaged, cut short or of another kind.") -> Iterator[None]:
    """Around a parser: whatever it raises becomes an `InputError` of one line. For threads too.

    Parsers of damaged or hostile files fail in every way there is (tokenize.TokenError, OverflowError, LZMAError,
    AssertionError, ... were all seen), so all of them are caught; an `InputError` from inside passes as it is.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
            raise InputError(f"{shown_path(path)} does not fit into memory. {LESS}") from None
        reason = shown((str(error).strip() or type(error).__name__).splitlines()[0], REASON)
        raise InputError(f"{shown_path(path)} cannot be read as {kind} ({reason}). {advice}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Drop the warnings of parsers: what matters in them is an error here. Not for threads: filters are global."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """`guarded` and `quiet` around the reader of one file."""
    with quiet(), guarded(path, kind):
        yield
