"""The folder of one run: locked by the run, whole files only, checkpoints that prove themselves.

Every file is written beside its place, fsynced and renamed, so whatever stops the process (a kill, a full
disk) leaves the last good file in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from colinear.checks import InputError
from colinear.outputs import check_name, write_whole
from colinear.schemas import parse_json
from colinear.texts import shorten, shown

try:
    import fcntl
except ImportError:  # no such locks on this platform: runs are not protected from each other there
    fcntl = None  # type: ignore[assignment]

CHECKPOINT_FORMAT = "colinear-checkpoint-1"
NAMES = ("settings.json", "results.json", "report.html", "figures", "report-data", "checkpoints")  # of a run
DATA = ("training data", "validation data", "sample weights")  # fingerprints in the identity of a run
PATTERNS = ("model-*.safetensors", "try-*")
NUMBERS = re.compile(r"\[\n[\w\s.+,-]+\]")  # a list without text, as json indents it; no text has a line's end in JSON

if TYPE_CHECKING:
    from colinear.solvers.journal import Parts


class RunFolder:
    """A run's folder, held by this process while the context is open.

    Entering makes the folder if need be; files of an earlier run stay. Raises `InputError` if another process holds
    it, with that process's id, or if it cannot be made; `what` and `remedy` are words of these messages.
    """

    def __init__(
        self, path: str | os.PathLike[str], what: str = "run folder", remedy: str = "pass another --out"
    ) -> None:
        self.path = Path(path)
        self.what, self.remedy = what, remedy
        self._lock: IO[str] | None = None

    def __enter__(self) -> RunFolder:
        check_name("the folder of a run", self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / ".lock", "a+", encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{self.what} {self.path} cannot be made: {reason}. {self.remedy[0].upper()}{self.remedy[1:]}."
            ) from None
        if fcntl is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.seek(0)
                holder = self._lock.read().strip() or "unknown"
                self._lock.close()
                raise InputError(
                    f"{self.what} {self.path} is in use by process {holder}. Wait for it, or {self.remedy}."
                ) from None
        with contextlib.suppress(OSError):  # our id, for whoever is refused; a full disk has no room even for that
            self._lock.truncate(0)
            self._lock.write(f"{os.getpid()}\n")
            self._lock.flush()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.truncate(0)
            self._lock.close()

    def write(self, name: str, content: bytes) -> Path:
        """Write `name` whole: aside, fsynced, renamed. A full disk is an `InputError` that names what still stands."""
        target = self.path / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content, _aside(target))
        except OSError as error:
            kept = f" The last good {name} stands." if target.exists() else ""
            raise InputError(
                f"{target} could not be written: {error.strerror}.{kept} "
                f"Free some space, then go on with `colinear tune --resume {self.path}`."
            ) from None
        return target

    def write_json(self, name: str, value: Any) -> Path:
        """Write `value` as indented JSON, a list of numbers on one line, a newline at the end; NaN is refused.

        A confusion matrix of 1,000 classes is 2 MB so, and 13 MB with a line for each number.
        """
        lines = json.dumps(value, indent=2, allow_nan=False)
        return self.write(name, (NUMBERS.sub(lambda found: "".join(found[0].split()), lines) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read a JSON file of this folder. Raises `InputError` if there is none, or no strict JSON in it."""
        target = self.path / name
        try:
            if not target.is_file():  # a pipe would be waited for
                raise FileNotFoundError
            return parse_json(target.read_bytes())
        except OSError:
            raise InputError(f"{self.path} holds no {name}: it is no run of `colinear tune`.") from None
        except ValueError as error:
            raise InputError(f"{target} is damaged: {error}. Start a new run.") from None

    def save_checkpoint(self, name: str, parts: Parts, identity: dict[str, Any]) -> Path:
        """Write tensors and facts with a digest of both, and the `identity` of data and settings they belong to."""
        tensors, facts = parts
        tensors = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
        header = {
            "format": CHECKPOINT_FORMAT,
            "facts": json.dumps(facts, sort_keys=True),
            "identity": json.dumps(identity, sort_keys=True),
        }
        header["digest"] = _digest(tensors, header)
        return self.write(name, save(tensors, header))

    def load_checkpoint(self, name: str, identity: dict[str, Any]) -> Parts | None:
        """Read a checkpoint; None if there is none. Raises `InputError` if it is damaged or of another run."""
        target = self.path / name
        if not target.is_file():
            return None
        try:
            with safe_open(target, framework="pt") as file:
                header = dict(file.metadata() or {})
                # copies: where a tensor lies in a file decides its alignment, and that the last digits of products
                tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
            digest = header.pop("digest")
            if header["format"] != CHECKPOINT_FORMAT or digest != _digest(tensors, header):
                raise ValueError("its digest does not fit its content")
            facts, theirs = json.loads(header["facts"]), json.loads(header["identity"])
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise self.damaged_checkpoint(name, error) from None
        check_identity(f"checkpoint {target}", theirs, identity)
        return tensors, facts

    def damaged_checkpoint(self, name: str, error: Exception) -> InputError:
        """The refusal of a checkpoint, whatever is wrong with it."""
        what = f"checkpoint {self.path / name} is damaged ({shorten(error, 160)})"
        return InputError(f"{what}. Delete it to start that search anew, then --resume.")

    def remove(self, name: str) -> None:
        """Delete a file of this folder, what a kill left of writing it, and the folder that is empty without them."""
        target = self.path / name
        for file in (target, _aside(target)):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
        if target.parent != self.path:
            with contextlib.suppress(OSError):  # not empty, or not there
                target.parent.rmdir()


def refuse_used(path: Path) -> None:
    """Raise `InputError` if a new run in the folder `path` would write over something: a run there, or like names."""
    check_name("--out", path)
    try:
        found = [name for name in NAMES if (path / name).exists()]
        found += [one.name for pattern in PATTERNS for one in sorted(path.glob(pattern))]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"run folder {path} cannot be used: {reason}. Pass another --out.") from None
    if "settings.json" in found:
        raise InputError(f"{path} holds a run already. Go on with --resume {path}, or pass another --out.")
    if found:
        raise InputError(f"{path} holds {found[0]}, which a run would write over. Pass another --out.")


def _aside(target: Path) -> Path:
    """Where a file is written before it takes its name: the same in every process, so that `remove` finds it."""
    return target.with_name(f".{target.name}.part")


def check_identity(what: str, theirs: Any, mine: dict[str, Any]) -> None:
    """Raise `InputError` with the first thing in which the identity of a file differs from this run's.

    >>> check_identity("checkpoint a", {"settings": {"steps": 5}}, {"settings": {"steps": 6}})
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: checkpoint a belongs to another run: its settings.steps is 5, this run's is 6. Start
    a new run with another --out.
    """
    other, own = (flatten(json.loads(json.dumps(identity))) for identity in (theirs, mine))
    for key in sorted(set(other) | set(own)):
        if other.get(key) == own.get(key):
            continue
        if key in DATA and key in other and key in own:
            raise InputError(
                f"{what} is of other {key}: the data has changed since. Put it back as it was and --resume, or start a "
                "new run with another --out."
            )
        raise InputError(
            f"{what} belongs to another run: its {key} is {shown(other.get(key))}, this run's is "
            f"{shown(own.get(key))}. Start a new run with another --out."
        )


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    if not isinstance(value, dict):
        return {prefix.rstrip("."): value}
    parts = (flatten(part, f"{prefix}{key}.") for key, part in value.items())
    return {key: leaf for part in parts for key, leaf in part.items()}


def _digest(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    for key in sorted(header):
        digest.update(f"{key}={header[key]}".encode())
    return digest.hexdigest()
