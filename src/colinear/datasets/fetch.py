"""Files from others: downloaded, checked by their sum, unpacked without following their paths.

A checked file is remembered in the user's cache by an empty marker named after everything that changes when the file
does: the data folder itself, which may be read-only, is never written to. A marker that cannot be written is no error:
the file is then checked again next time.

Only members that were asked for are written, as regular files, under names that we choose: a member's own
path, links, modes and owners are never used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pooch

from colinear.checks import InputError
from colinear.datasets.base import Progress

MEMBER_BYTES = 64 << 20  # twice the largest file of CIFAR-10
MEMBERS_READ = 64  # an archive with more entries than this before ours are found is not the one we know
TIMEOUT_SECONDS = 30
DOWNLOAD_BLOCK = 1 << 16


@dataclass
class _Meter:
    """pooch's idea of a progress bar, handed on to a callback."""

    progress: Progress
    what: str
    total: int = 0
    done: int = field(default=0, init=False)

    def update(self, count: int) -> None:
        self.done = min(self.done + count, self.total)
        self.progress(self.what, self.done, self.total)

    def reset(self) -> None:
        """pooch calls this, then `update(total)`, when all is there: to end the bar at 100 %."""
        self.done = 0

    def close(self) -> None:
        """Nothing is held open."""


def download(url: str, md5: str, folder: Path, progress: Progress | None = None) -> Path:
    """Fetch `url` into `folder` and check its MD5; a failed download leaves nothing behind.

    progress : called as progress(file name, bytes done, bytes in all).
    Raises `InputError` that names the three ways to provide the file without a network.
    """
    name = url.rsplit("/", 1)[-1]
    meter = _Meter(progress, name) if progress is not None else False
    downloader = pooch.HTTPDownloader(progressbar=meter, chunk_size=DOWNLOAD_BLOCK, timeout=TIMEOUT_SECONDS)
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # the library is silent by default; pooch announces downloads on stderr
    try:
        path = pooch.retrieve(url, known_hash=f"md5:{md5}", fname=name, path=folder, downloader=downloader)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong sum is pooch's ValueError
        reason = _explain(error)
        raise InputError(
            f"{name} could not be downloaded from {url} ({reason}). Provide it in one of three ways:\nset "
            "COLINEAR_DATA to the folder that holds it, give that folder as --data-dir (data_dir in Python), "
            f"or put {name} into {folder}."
        ) from None
    finally:
        logger.setLevel(level)
    return Path(path)


def _explain(error: OSError | ValueError) -> str:
    """A few words on why a download failed; also ends a connection whose answer was not read."""
    response = getattr(error, "response", None)
    if response is not None:
        response.close()
        return f"the server answered {response.status_code}"
    if isinstance(error, OSError):
        return error.strerror or f"no connection: {type(error).__name__}"
    return " ".join(str(error).split())[:200]


def unpack(archive: Path, root: str, names: tuple[str, ...], target: Path) -> None:
    """Write the regular members `root`/name of a .tar.gz into the new folder `target`, all of them or none.

    Raises `InputError` if the archive is damaged, lacks one, has one that is a link or larger than 64 MiB, or
    if `target` cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{root}-", dir=target.parent))
    except OSError as error:
        raise InputError(
            f"{archive} cannot be unpacked into {target.parent} ({error.strerror}). "
            "Unpack it yourself and give the folder."
        ) from None
    try:
        _write_members(archive, root, names, work)
        work.chmod(0o755)
        if not target.is_dir():  # another process may have been faster; its files are as good
            os.replace(work, target)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"{archive} cannot be unpacked ({error}); it is damaged or the disk is full.") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_members(archive: Path, root: str, names: tuple[str, ...], work: Path) -> None:
    wanted = {f"{root}/{name}": work / name for name in names}
    with tarfile.open(archive, "r:gz") as tar:
        for _ in range(MEMBERS_READ):
            member = tar.next() if wanted else None
            if member is None:
                break
            path = wanted.pop(member.name.removeprefix("./"), None)
            if path is None:
                continue
            content = tar.extractfile(member) if member.isreg() and member.size <= MEMBER_BYTES else None
            if content is None:
                raise InputError(
                    f"{archive}: {member.name} must be a regular file of at most {MEMBER_BYTES >> 20} MiB; "
                    "it is not. Do not trust this archive."
                )
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)
    if wanted:
        raise InputError(f"{archive} lacks {', '.join(sorted(wanted))}; fetch it again.")


def user_cache() -> Path:
    """Return the folder of downloads and markers, ~/.cache/colinear on Linux (or under XDG_CACHE_HOME)."""
    return Path(pooch.os_cache("colinear"))


def md5_of(path: Path) -> str:
    """Return the MD5 of a file as 32 hex digits; it finds accidents, it does not authenticate."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check_md5(path: Path, expected: str, advice: str) -> None:
    """Check a file against its published MD5, once for each state of the file.

    Raises `InputError` naming the file, both sums and `advice`. Cost: 2 ms per MB the first time, 0.1 ms after that.
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
