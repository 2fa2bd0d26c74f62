"""What a sweep consists of: sweep.json in its folder, its runs, each with its folder, fields and state."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from colinear.checks import InputError
from colinear.schemas import Schema
from colinear.search.option import write_options
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.sweep.pattern import Field, is_field
from colinear.texts import shorten

PLAN = "sweep.json"
FORMAT = "colinear-sweep-1"
STATES = ("waiting", "finished", "failed")
MOST_RUNS = 10_000
LONGEST_STEM = 60
LONGEST_NAME = 120  # that people are shown
MOST_STAMPED = 200_000  # files and folders, a second or two to look at
NAME = r"^[\w-][\w.-]{0,80}-[0-9a-f]{10}$"
SCHEMA = Schema(
    {
        "type": "object",
        "required": ["format", "runs"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": FORMAT},
            "runs": {
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_RUNS,
                "items": {
                    "type": "object",
                    "required": ["folder", "data", "options", "fields", "state", "error", "seconds", "stamp"],
                    "additionalProperties": False,
                    "properties": {
                        "folder": {"type": "string", "pattern": NAME},
                        "data": {"type": "string"},
                        "options": {"type": "array", "items": {"type": "string"}},
                        "fields": {"type": "object"},
                        "state": {"enum": list(STATES)},
                        "error": {"type": ["string", "null"]},
                        "seconds": {"type": ["number", "null"], "minimum": 0},
                        "stamp": {"type": ["string", "null"]},
                    },
                },
            },
        },
    }
)


@dataclass(frozen=True)
class Planned:
    """One run of a sweep.

    folder : its name in the sweep's.   data, options : what `tune` is called with.   fields : of a pattern of names.
    state : waiting, finished or failed.   error : why it failed.   seconds : that it took in all, where that is known.
    stamp : what its files were when it was finished, see `stamp_of`.
    """

    folder: str
    data: str
    options: tuple[str, ...]
    fields: Mapping[str, Field] = field(default_factory=dict)
    state: str = "waiting"
    error: str | None = None
    seconds: float | None = None
    stamp: str | None = None

    @classmethod
    def of(cls, settings: Settings, fields: Mapping[str, Field]) -> Planned:
        """A run that waits, in a folder whose name follows from its fields, or its data, and from all that decides it.

        So a run keeps its folder when others join the sweep or leave it.
        """
        options = write_options(settings)
        digest = hashlib.sha256(json.dumps([settings.data, *options]).encode("utf-8", "surrogatepass")).hexdigest()[:10]
        said = [value if isinstance(value, str) else f"{name}-{value}" for name, value in fields.items()]
        stem = "-".join(said) or Path(settings.data).stem
        plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in stem[:LONGEST_STEM]).lstrip(".") or "run"
        return cls(f"{plain}-{digest}", settings.data, tuple(options), dict(fields))


def name_runs(planned: Sequence[Planned]) -> dict[str, str]:
    """Folder -> what people call the run: its fields, or its data, and the options that not all runs have.

    >>> runs = [Planned("a-1", "a.npz", ("--seed", "0", "--tol", "1")), Planned("a-2", "a.npz", ("--seed", "0"))]
    >>> name_runs(runs)
    {'a-1': 'a.npz, tol 1', 'a-2': 'a.npz'}
    """
    spelled = [_spell(one.options) for one in planned]
    shared = set(spelled[0]).intersection(*spelled[1:]) if spelled else set()
    names = {}
    for one, options in zip(planned, spelled, strict=True):
        fields = " ".join(f"{name} {value}" for name, value in one.fields.items())
        own = [option.removeprefix("--") for option in options if option not in shared]
        names[one.folder] = shorten(", ".join([fields or one.data, *own]), LONGEST_NAME)
    return names


def _spell(options: Iterable[str]) -> list[str]:
    """Each option with its value as one text."""
    texts: list[str] = []
    for word in options:
        if word.startswith("--") or not texts:
            texts.append(word)
        else:
            texts[-1] += f" {word}"
    return texts


def check_plan(planned: Sequence[Planned]) -> None:
    """Raise `InputError` for more runs than a sweep may have, and for one that is planned twice."""
    if not 0 < len(planned) <= MOST_RUNS:
        raise InputError(f"a sweep has 1 to {MOST_RUNS:,} runs; this one would have {len(planned):,}.")
    seen: set[str] = set()
    for one in planned:
        if one.folder in seen:
            raise InputError(f"{shorten(one.data, 120)} is in the sweep twice with the same options. Name it once.")
        seen.add(one.folder)


def refuse_foreign(path: Path) -> None:
    """Raise `InputError` if `path` is a folder that holds something, and no sweep."""
    try:
        names = sorted(name for name in os.listdir(path) if name != ".lock")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"sweep folder {path} cannot be used: {reason}. Pass another --out.") from None
    if names and PLAN not in names:
        raise InputError(f"{path} holds {shorten(names[0])}, and no sweep. Pass another --out.")


def read_plan(folder: RunFolder) -> list[Planned]:
    """The runs of a sweep. Raises `InputError` if sweep.json is gone, or is not as a sweep writes it."""
    value, path = folder.read_json(PLAN), folder.path / PLAN
    wrong = SCHEMA.problem(value)
    if wrong is None:
        wrong = next(filter(None, (_fields_problem(one["fields"]) for one in value["runs"])), None)
    if wrong is None and len({one["folder"] for one in value["runs"]}) < len(value["runs"]):
        wrong = "it has a folder twice"
    if wrong is not None:
        raise InputError(f"{path} is damaged, or of another version: {wrong}. Delete it, and give the command again.")
    return [Planned(**{**one, "options": tuple(one["options"])}) for one in value["runs"]]


def _fields_problem(found: Mapping[str, Any]) -> str | None:
    for name, value in found.items():
        if not is_field(name) or isinstance(value, bool) or not isinstance(value, str | int):
            return f"it has a field {shorten(name)}"
    return None


def write_plan(folder: RunFolder, planned: Sequence[Planned]) -> None:
    folder.write_json(PLAN, {"format": FORMAT, "runs": [asdict(one) for one in planned]})


def go_on(planned: Iterable[Planned], earlier: Iterable[Planned]) -> list[Planned]:
    """`planned`, each in the state that the same run had `earlier`: one that had failed waits again."""
    done = {one.folder: one for one in earlier if one.state == "finished"}
    return [
        replace(one, state="finished", seconds=done[one.folder].seconds, stamp=done[one.folder].stamp)
        if one.folder in done
        else one
        for one in planned
    ]


def stamp_of(paths: Iterable[Path]) -> str | None:
    """Short hash of names, sizes and times of change of files and of all that folders hold; None of more than 200,000.

    As long as it is the same, the files need not be read to know that they are.
    """
    digest, left = hashlib.sha256(), MOST_STAMPED
    for path in paths:
        found = list(itertools.islice(path.rglob("*"), left + 1)) if path.is_dir() else [path]
        left -= len(found)
        if left < 0:
            return None
        for one in sorted(found):
            try:
                facts: Any = (one.stat().st_size, one.stat().st_mtime_ns)
            except (OSError, ValueError):
                facts = None
            digest.update(repr((str(one), facts)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()[:16]
