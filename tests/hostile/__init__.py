"""Files that want to hurt, as functions that write them: one a threat, by name in `HOSTILE`.

Each takes an empty folder, makes its file or folder inside, and returns the path to give to the program:
a picture (see `PICTURES`) to `predict`, everything else to whatever reads data. All of them must end in one
`InputError`. `EVERYDAY` has files that look odd and must work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.hostile import arrays, everyday, folders, pictures, tables, tensors

Maker = Callable[[Path], Path]


def _collect(module: object) -> dict[str, Maker]:
    """The public functions that a module defines, by name."""
    name = getattr(module, "__name__", "")
    return {
        key: value
        for key, value in vars(module).items()
        if callable(value) and not key.startswith("_") and getattr(value, "__module__", "") == name
    }


PICTURES: dict[str, Maker] = _collect(pictures)
HOSTILE: dict[str, Maker] = {
    **_collect(arrays),
    **_collect(tensors),
    **_collect(tables),
    **_collect(folders),
    **PICTURES,
}
EVERYDAY: dict[str, Maker] = _collect(everyday)
