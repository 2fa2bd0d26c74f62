"""What a case is: files to put into a folder, and what is called on them; a JSON value that repeats itself."""

from __future__ import annotations

import base64
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

# How the streams and the folder of a command are: 'plain' mostly.
MODES = ("plain", "no stdout", "no stderr", "full stdout", "broken stdout", "no folder", "read-only folder")


@dataclass(frozen=True)
class Case:
    """One call.

    place : (item of the corpus, name in the folder) of what is copied.
    writes : (name, how, value): 'bytes' in base64, 'pipe', 'folder', 'device' (major:minor), 'link' (target), 'gone'.
    target : a name of `targets.TARGETS`;   path, words : what it is called on;   mode : one of MODES.
    notes : what was mutated, for people.     seconds, peak : limits on time and on resident
    bytes, 0 for the worker's own.
    """

    name: str
    target: str
    path: str = ""
    words: tuple[str, ...] = ()
    place: tuple[tuple[str, str], ...] = ()
    writes: tuple[tuple[str, str, str], ...] = ()
    mode: str = "plain"
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    peak: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Case:
        values: dict[str, Any] = json.loads(text)
        tuples = {key: tuple(map(_tuple, value)) if isinstance(value, list) else value for key, value in values.items()}
        return cls(**tuples)

    def write(self, name: str, content: bytes) -> Case:
        """This case with one more file."""
        return replace(self, writes=(*self.writes, (name, "bytes", base64.b64encode(content).decode())))

    def lay_out(self, corpus: Path, folder: Path) -> None:
        """Put the files into `folder`. What the system refuses, as a name that is too long, is left out."""
        for item, name in self.place:
            source, target = corpus / item, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)
        for name, how, value in self.writes:
            try:
                _write(folder / name, how, value)
            except OSError:
                continue


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _write(target: Path, how: str, value: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    if how == "bytes":
        target.write_bytes(base64.b64decode(value))
    elif how == "pipe":
        os.mkfifo(target)
    elif how == "folder":
        target.mkdir()
    elif how == "link":
        target.symlink_to(value)
    elif how == "device":
        major, minor = map(int, value.split(":"))
        os.mknod(target, 0o20666, os.makedev(major, minor))
