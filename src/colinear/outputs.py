"""What commands write to: never over a file that is not of the kind they write, and whole or not at all.

A command asks `check_output` before it does any work, and writes with `write_whole` when the work is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from colinear.checks import InputError

HEAD = 4096  # bytes in which a file says what it is
ONNX_START = b"\x08\x08\x12\x08colinear"  # IR version 8, the producer's name
HEADER = 1 << 20  # of a safetensors header: names of 10,000 classes fit
NODES = {"d": "a folder", "p": "a pipe", "b": "a device", "c": "a device", "s": "a socket"}  # by `stat.filemode`


@dataclass(frozen=True)
class Kind:
    """A kind of file that colinear writes.

    name : with its article.   owns : whether the regular file at a path is of this kind, by its first bytes.
    """

    name: str
    owns: Callable[[Path], bool]


def _is_archive(path: Path) -> bool:
    """A zip archive with the members of an exported model."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {"weight.npy", "bias.npy", "class_names.npy", "provenance.npy"} <= set(archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def _is_model(path: Path) -> bool:
    """A safetensors header with the format of a model; the tensors behind it may be cut short."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 0 < length <= HEADER else {}
        return str(header["__metadata__"]["colinear"]).find('"colinear-linear-model-') >= 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


MARK = '<meta name="generator" content="colinear">'  # in the head of every page
MODEL = Kind("a model of colinear", _is_model)
PAGE = Kind("a page of colinear", lambda path: MARK.encode() in _head(path))
ONNX = Kind("an ONNX file of colinear", lambda path: _head(path).startswith(ONNX_START))
ARRAYS = Kind("an .npz file of colinear", _is_archive)
TABLE = Kind("a CSV file of colinear", lambda path: _head(path).startswith(b"class,bias,feature_0"))
PICTURE = Kind("a picture of colinear", lambda path: b"tEXtSoftware\0colinear" in _head(path))
PICKLE = Kind("known to be of colinear: a pickle cannot be told without running it", lambda path: False)


def check_output(
    path: str | os.PathLike[str],
    kind: Kind,
    *,
    inputs: Iterable[str | os.PathLike[str]] = (),
    force: bool = False,
    option: str = "--out",
    remedy: str = "Pass another --out, or --force to replace it.",
) -> Path:
    """Return `path` if a file of `kind` may be written there; nothing is changed, and no node is opened but a file.

    What is there must be a regular file of that kind; with `force`, any regular file. Never, not even with `force`:
    folders, pipes, devices, sockets, a file that is one of `inputs` under whatever name, and a file of another kind
    inside an input folder. The folder must exist and take a new file, which is tried.
    Raises   `InputError` with the rule that is broken, and with `remedy` where `force` would help.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = check_output(folder + "/new.safetensors", MODEL)
    ...     target.name, target.exists()
    ('new.safetensors', False)
    """
    target = Path(path)
    check_name(option, target)
    try:
        if not target.parent.is_dir():
            raise InputError(f"{option} must be a file in a folder that exists; got {target}. Make {target.parent}.")
        there = target.stat() if target.exists() else None
        if there is not None:
            _refuse_taken(target, there, kind, list(inputs), "" if force else remedy, option)
        aside = _aside(target)
        aside.touch()
        aside.unlink()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{option} {target} cannot be written: {reason}. Pass another place.") from None
    return target


def node_name(mode: int) -> str | None:
    """What stands at a place with this `st_mode`, if it is not a regular file: with its article, None if unknown."""
    return NODES.get(stat.filemode(mode)[0])


def check_name(option: str, path: Path) -> None:
    """Raise `InputError` if `path` is no UTF-8: safetensors would write it and not read it back."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(f"{option} must be a name in UTF-8; got {path}. Pass another name.") from None


def _refuse_taken(
    target: Path, there: os.stat_result, kind: Kind, inputs: list[str | os.PathLike[str]], remedy: str, option: str
) -> None:
    if (name := node_name(there.st_mode)) is not None:
        raise InputError(f"{option} must be a file; {target} is {name}. Pass the name of a file.")
    for given in inputs:
        if _is_same(given, there):
            raise InputError(f"{option} {target} is {given} itself, which is read. Pass another {option}.")
    if kind.owns(target):
        return
    folders = [folder.stat() for folder in Path(os.path.realpath(target)).parents]
    if any(_is_same(given, folder) for given in inputs for folder in folders):
        raise InputError(f"{option} {target} is part of the data that is read. Pass another {option}.")
    if remedy:
        raise InputError(f"{option} {target} is there and is not {kind.name}. {remedy}")


def _is_same(given: str | os.PathLike[str], there: os.stat_result) -> bool:
    """Whether `given` is the path of that file; the name of a dataset is no path."""
    try:
        return os.path.samestat(os.stat(os.path.expanduser(given)), there)
    except (OSError, ValueError):
        return False


def _aside(target: Path) -> Path:
    """Where a file is written before it takes its name; short, so that every name that fits can be written."""
    return target.with_name(f".colinear-{os.getpid()}.part")


def save_whole(target: Path, content: bytes, what: str, remedy: str = "Pass another place.") -> None:
    """`write_whole`, with an `InputError` that names `what` for a place that cannot be written."""
    try:
        write_whole(target, content)
    except OSError as error:
        raise InputError(f"{what} could not be written: {error.strerror}. {remedy}") from None


def write_whole(target: Path, content: bytes, aside: Path | None = None) -> None:
    """Write a file beside its place, fsync, rename: it is whole or as it was before. Raises `OSError` if it cannot.

    aside : the path beside its place, for a caller who must know it; nothing is left there, unless by a kill.
    """
    aside = aside or _aside(target)
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""
