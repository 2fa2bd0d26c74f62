"""The user's cache folder, and what is remembered there: which files have passed their MD5 check.

A checked file is remembered by an empty marker named after everything that changes when the file does, so the
data folder itself, which may be read-only, is never written to. A marker that cannot be written is no error:
the file is then checked again next time.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pooch

from colinear.checks import InputError

HASH_BLOCK = 1 << 20


def user_cache() -> Path:
    """Return the folder of downloads and markers, ~/.cache/colinear on Linux (or under XDG_CACHE_HOME)."""
    return Path(pooch.os_cache("colinear"))


def md5_of(path: Path) -> str:
    """Return the MD5 of a file as 32 hex digits; it finds accidents, it does not authenticate."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_md5(path: Path, expected: str, advice: str) -> None:
    """Check a file against its published MD5, once for each state of the file.

    A state is path, size, times of change (mtime and ctime, in ns) and inode. Raises `InputError` naming the
    file, both sums and `advice`. Cost: about 2 ms per MB the first time, 0.1 ms after that.
    """
    state = path.stat()
    key = (str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino, expected)
    marker = user_cache() / "verified" / hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    if marker.is_file():
        return
    got = md5_of(path)
    if got != expected:
        raise InputError(f"{path} is not the official file: its MD5 must be {expected}; got {got}.\n{advice}")
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError:
        return
