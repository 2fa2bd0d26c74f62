"""The door that every file from others comes through: what may be opened, how much it may ask for, what is said.

A file is opened only if it is a regular file: a FIFO would wait for ever, a device never end.
"""

from __future__ import annotations

import errno
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from colinear.checks import InputError
from colinear.outputs import node_name
from colinear.texts import shorten, shown_path

FREE_BYTES = 256 << 20  # any file may ask for as much
MOST_INFLATION = 500  # bytes of memory for a byte of file: news20 as dense float32 takes 360, zeros deflated 1,030
REASON = 160
NO_MEMORY = ("can't allocate memory", os.strerror(errno.ENOMEM))  # how torch and the system say so
LESS = "Give fewer rows or columns, or store float32 or uint8 as .npy, which is memory-mapped."


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
        raise InputError(f"{shown_path(path)} cannot be opened ({shorten(reason)}). Check the path.") from None
    if not stat.S_ISREG(found.st_mode):
        kind = node_name(found.st_mode) or "something else"
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
        reason = shorten((str(error).strip() or type(error).__name__).splitlines()[0], REASON)
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
