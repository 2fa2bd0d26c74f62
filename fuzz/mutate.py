"""Seeded mutations of a file's bytes, blind and by kind."""

from __future__ import annotations

import random
import struct

from fuzz.structure import EDITS

BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFF, 0x0A, 0x20, 0x5B, 0x7B)
NUMBERS = (0, 1, -1, 2**7, 2**8, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, -(2**63))
LARGEST_BLOCK = 64


def mutate(rng: random.Random, content: bytes, kind: str, donors: tuple[bytes, ...]) -> tuple[bytes, list[str]]:
    """Return `content` after one or a few edits, and what they were.

    kind : the ending that says which edits of `structure` fit, or 'pickle'.     donors : other files to splice with.
    """
    edits = 1 if rng.random() < 0.7 else rng.randrange(2, 6)
    done = []
    for _ in range(edits):
        if kind in EDITS and rng.random() < 0.65:
            try:
                content, what = EDITS[kind](rng, content)
                done.append(what)
                continue
            except Exception:  # an earlier edit left nothing to parse: the bytes are still there
                pass
        content, what = edit_bytes(rng, content, donors)
        done.append(what)
    return content, done


def edit_bytes(rng: random.Random, content: bytes, donors: tuple[bytes, ...]) -> tuple[bytes, str]:
    """One blind edit. Every other place is within the first or last 300 bytes, where headers and indices are."""
    size = len(content)
    if not size:
        return bytes(rng.choice(BYTES) for _ in range(rng.randrange(1, 20))), "something from nothing"
    at = _place(rng, size)
    end = min(size, at + rng.randrange(1, LARGEST_BLOCK))
    what = rng.choice(
        ("flip", "set", "number", "number", "cut", "remove", "repeat", "insert", "zero", "splice", "digits")
    )
    if what == "flip":
        made = content[:at] + bytes((content[at] ^ (1 << rng.randrange(8)),)) + content[at + 1 :]
    elif what == "set":
        made = content[:at] + bytes((rng.choice(BYTES),)) + content[at + 1 :]
    elif what == "number":
        made = _put_number(rng, content, at)
    elif what == "cut":
        made = content[: rng.choice((0, at, at, size - 1, size // 2))]
    elif what == "remove":
        made = content[:at] + content[end:]
    elif what == "repeat":
        made = content[:end] + content[at:end] * rng.choice((1, 2, 30)) + content[end:]
    elif what == "insert":
        made = content[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 20))) + content[at:]
    elif what == "zero":
        made = content[:at] + bytes((rng.choice((0, 255)),)) * (end - at) + content[end:]
    elif what == "splice":
        other = rng.choice(donors) if donors else content
        start = rng.randrange(len(other) + 1)
        made = (
            content[:at] + other[start:]
            if rng.random() < 0.5
            else content[:at] + other[start : start + 64] + content[at:]
        )
    else:
        made = _put_digits(rng, content, at)
    return made, f"{what} at {at}"


def _place(rng: random.Random, size: int) -> int:
    where = rng.random()
    if where < 0.25:
        return rng.randrange(min(size, 300))
    if where < 0.5:
        return size - 1 - rng.randrange(min(size, 300))
    return rng.randrange(size)


def _put_number(rng: random.Random, content: bytes, at: int) -> bytes:
    width = rng.choice((2, 4, 4, 8))
    if rng.random() < 0.7:
        at -= at % width
    number = rng.choice(NUMBERS) % 2 ** (8 * width)
    packed = number.to_bytes(width, rng.choice(("little", "little", "big")))
    if rng.random() < 0.1:
        packed = struct.pack("<d", rng.choice((float("nan"), float("inf"), 1e308, -1e308)))
    return content[:at] + packed + content[at + len(packed) :]


def _put_digits(rng: random.Random, content: bytes, at: int) -> bytes:
    """The next number written in digits becomes another one."""
    while at < len(content) and not 48 <= content[at] <= 57:
        at += 1
    end = at
    while end < len(content) and 48 <= content[end] <= 57:
        end += 1
    new = rng.choice((b"0", b"-1", b"99999999999999999999", b"1e999", b"NaN", b"9" * 500, b"2147483648", b"1.5", b"''"))
    return content[:at] + new + content[end:]
