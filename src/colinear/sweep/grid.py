"""From sweep.toml to runs: options of `tune`, of which each may be a list, and every combination is a run.

```toml
data = "features/{dataset}/layer-{layer}.npz"
loss = ["softmax", "hinge"]          # in one run, as --loss softmax,hinge
seed = [0, 1, 2]                     # a run for each
standardize = true
```
"""

from __future__ import annotations

import difflib
import itertools
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colinear.checks import InputError
from colinear.datasets.sources import NAMED
from colinear.search.option import Option, list_options
from colinear.search.settings import Settings
from colinear.sweep.pattern import Field, expand
from colinear.sweep.plan import MOST_RUNS
from colinear.texts import shorten, shown

LARGEST = 1 << 20  # bytes of a sweep.toml
JOINED = ("loss", "layers")  # a list of these is one value: searched in one run, extracted in one pass
GROUPS = "runs"  # tables of the file, each a grid of its own
OPTIONS = {name: option for option in list_options(Settings).values() for name in option.parameters}


@dataclass(frozen=True)
class Draft:
    """A run before its options are settings: DATA with its fields, and parameters of `tune` as the command line has."""

    data: str
    fields: Mapping[str, Field]
    values: Mapping[str, Any]

    @property
    def given(self) -> dict[str, str]:
        """Parameter -> option, of those that are given."""
        return {name: OPTIONS[name].parameters[name] for name in self.values}


def read_grid(path: Path) -> list[Draft]:
    """The runs of a TOML file, data outermost. Paths in it start at its own folder.

    Raises `InputError` for a file that is no TOML, a name that is no option, a value of another type, too many runs.
    """
    if not path.is_file():  # a pipe would be waited for
        raise InputError(f"there is no file {path}. Check the path.")
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} must have at most {LARGEST:,} bytes. Is it a file of data?")
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or shorten(error, 160)
        raise InputError(f"{path} cannot be read as TOML: {reason}.") from None
    groups = document.pop(GROUPS, [{}])
    if not isinstance(groups, list) or not groups or not all(isinstance(one, dict) for one in groups):
        raise InputError(f"{path}: {GROUPS} must be tables, as [[{GROUPS}]]; got {shown(groups)}.")
    drafts: list[Draft] = []
    for group in groups:
        drafts += _combine({**document, **group}, path)
    return drafts


def _combine(grid: Mapping[str, Any], path: Path) -> Iterator[Draft]:
    """Every combination of the values of one grid."""
    axes = dict(_axis(name, value, path) for name, value in grid.items() if name != "data")
    named = _listed(grid.get("data", []))
    if not named or not all(isinstance(one, str) and one for one in named):
        raise InputError(f"{path} must say data = a name, file, folder or pattern, or a list of these.")
    places = [one for data in named for one in expand(_placed(data, path), frozenset(NAMED))]
    count = len(places) * math.prod(map(len, axes.values()))
    if count > MOST_RUNS:
        raise InputError(f"{path} makes {count:,} runs; a sweep has at most {MOST_RUNS:,}. Shorten its lists.")
    for (data, fields), chosen in itertools.product(places, list(itertools.product(*axes.values()))):
        yield Draft(data, fields, dict(zip(axes, chosen, strict=True)))


def _placed(data: str, path: Path) -> str:
    """DATA as it is seen from here."""
    return data if data in NAMED else str(path.parent / Path(data).expanduser())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _axis(key: str, value: Any, path: Path) -> tuple[str, list[Any]]:
    """A parameter of `tune` and the values it takes, one after the other."""
    name = key.replace("-", "_")
    option = OPTIONS.get(name)
    if option is None:
        near = difflib.get_close_matches(name, [*OPTIONS, "data", GROUPS], 1, 0.5)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"{path}: {shorten(key)} is no option of tune.{meant}")
    values = _listed(value)
    if not values:
        raise InputError(f"{path}: {shorten(key)} is an empty list. Give it values, or leave it out.")
    if name in JOINED:
        values = [",".join(str(one) for one in values)]
    return name, [_read(option, name, one, path) for one in values]


def _read(option: Option, name: str, value: Any, path: Path) -> Any:
    """A value as the command line would have read it."""
    flag, kind = option.parameters[name], option.kind.read
    switch = option.switch is not None and flag == option.switch[0]
    wanted: tuple[type, ...] = (bool,) if switch or kind is bool else (int,)
    if wanted == (int,) and kind is not int:
        wanted = (int, float) if kind is float else (str, int, float)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted != (bool,)):
        names = " or ".join({"str": "text", "bool": "true or false"}.get(one.__name__, one.__name__) for one in wanted)
        raise InputError(f"{path}: {name} must be {names}; got {shown(value)}.")
    return kind(value) if kind in (int, float, Path) else value if wanted == (bool,) else str(value)
