"""Names of files that say what is in them: features/{dataset}/layer-{layer}.npz finds files and reads both fields.

A pattern is matched component by component, the last against the file's name; a field is at least one character long,
as short as what follows it allows, and never holds a slash. `*` is a field without a name.
"""

from __future__ import annotations

import glob
import re
from dataclasses import fields
from pathlib import Path

from colinear.checks import InputError
from colinear.search.settings import Settings
from colinear.texts import shorten, shown_path

Field = str | int
FIELD = re.compile(r"\{([^{}]*)\}|\*")
MOST_FIELDS = 20
LONGEST_NAME = 40
MOST_FILES = 10_000
# what results have under names of their own; a field called data stands in place of the dataset's name
RESULTS = (
    "run", "source", "loss", "metric", "validation", "test", "low", "high", "spread", "validation_spread", "count",
    "gap", "reg", "learning_rate", "seconds", "n_train", "n_test", "n_features", "n_classes", "fingerprint", "folder",
    "value", "best", "tied", "p_value",
)  # fmt: skip
TAKEN = {*RESULTS, *(field.name for field in fields(Settings))} - {"data"}
DIGITS = 9  # of a field that is read as a whole number


class Pattern:
    """A pattern of paths. Raises `InputError` if it has no field, one without a plain name, or one name twice.

    >>> Pattern("{dataset}/layer-{layer}.npz").read("features/birds/layer-07.npz")
    {'dataset': 'birds', 'layer': 7}
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names = tuple(found[1] for found in FIELD.finditer(text) if found[1] is not None)
        if not FIELD.search(text) or len(self.names) > MOST_FIELDS:
            raise InputError(
                f"a pattern has 1 to {MOST_FIELDS} fields in braces, as {{dataset}}/layer-{{layer}}.npz; got "
                f"{shorten(text)}."
            )
        for place, name in enumerate(self.names):
            if not is_field(name):
                raise InputError(
                    f"a field has a name that no option and no result has, as {{layer}}; {shorten(text)} has "
                    f"{{{shorten(name)}}}. Call it otherwise."
                )
            if name in self.names[:place]:
                raise InputError(f"a pattern names each field once; {shorten(text)} has {{{name}}} twice.")
        self._parts = [_split(part) for part in Path(text).parts]

    def read(self, path: str) -> dict[str, Field] | None:
        """The fields of a path, whole numbers as such; None if it does not fit."""
        found: dict[str, Field] = {}
        parts = Path(path).parts
        if len(parts) < len(self._parts):
            return None
        for (texts, names), part in zip(self._parts, parts[-len(self._parts) :], strict=True):
            values = _match(texts, part)
            if values is None:
                return None
            found |= {name: _number(value) for name, value in zip(names, values, strict=True) if name is not None}
        return found

    def files(self) -> list[str]:
        """The paths that fit, in the order of `natural`. Raises `InputError` if there is none, or 10,000 and more."""
        parts = ["*".join(glob.escape(text) for text in texts) for texts, _ in self._parts]
        paths = sorted(glob.iglob(str(Path(*parts))), key=natural)
        paths = [path for path in paths if self.read(path) is not None]
        if not 0 < len(paths) < MOST_FILES:
            count = "no" if not paths else f"{len(paths):,}"
            raise InputError(f"{count} files fit {shorten(self.text, 120)}: a sweep has 1 to {MOST_FILES:,} of them.")
        return paths


def is_field(name: str) -> bool:
    """Whether a field may be called so.

    >>> is_field("layer"), is_field("loss"), is_field("1st")
    (True, False, False)
    """
    return name.isidentifier() and name.isascii() and len(name) <= LONGEST_NAME and name not in TAKEN


def _split(part: str) -> tuple[list[str], list[str | None]]:
    """The texts around the fields of one component, one more than fields, and the names of these."""
    names, texts, end = [], [], 0
    for found in FIELD.finditer(part):
        texts.append(part[end : found.start()])
        names.append(found[1])
        end = found.end()
    return [*texts, part[end:]], names


def _match(texts: list[str], part: str) -> list[str] | None:
    """What stands between the texts, each of them taken where it comes first: in time linear in the component."""
    first, *others = texts
    if not others:
        return [] if part == first else None
    if not part.startswith(first):
        return None
    values, start = [], len(first)
    for text in others[:-1]:
        place = part.find(text, start + 1)
        if place < 0:
            return None
        values.append(part[start:place])
        start = place + len(text)
    end = len(part) - len(others[-1])
    if end <= start or not part.endswith(others[-1]):
        return None
    return [*values, part[start:end]]


def _number(text: str) -> Field:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS else text


def natural(value: object) -> tuple[tuple[int, float, str], ...]:
    """A key that sorts text as people do, numbers in it by size: layer-2 before layer-10, nothing first.

    >>> sorted(["layer-10", "layer-2", None, 3, 0.5], key=natural)
    [None, 0.5, 3, 'layer-2', 'layer-10']
    """
    if value is None:
        return ()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ((0, value, ""),)
    pieces = re.findall(r"[0-9]{1,18}|[^0-9]+", str(value))
    return tuple((0, int(piece), "") if piece[0] in "0123456789" else (1, 0, piece) for piece in pieces)


def expand(data: str, known: frozenset[str] = frozenset()) -> list[tuple[str, dict[str, Field]]]:
    """What one DATA stands for: (path, fields); a name that is `known`, or that something has, stands for itself."""
    if "\0" in data:
        raise InputError(f"a path has no NUL character; got {shorten(data)}.")
    if data in known or not FIELD.search(data) or Path(data).exists():
        return [(data, {})]
    pattern = Pattern(data)
    return [(path, pattern.read(path) or {}) for path in pattern.files()]


def read_fields(pattern: Pattern | None, data: str) -> dict[str, Field]:
    """The fields of DATA. Raises `InputError` if it does not fit the pattern."""
    if pattern is None:
        return {}
    fields = pattern.read(data)
    if fields is None:
        raise InputError(
            f"{shown_path(Path(data))} does not fit --pattern {shorten(pattern.text, 120)}. Leave the run out."
        )
    return fields
