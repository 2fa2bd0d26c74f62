"""Multiclass linear classifiers, trained and tuned a whole line-up at once, with a certificate."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colinear.checks import InputError
    from colinear.model import LinearModel

__version__ = version("colinear")
__all__ = ["InputError", "LinearModel", "__version__"]

_HOMES = {"InputError": "colinear.checks", "LinearModel": "colinear.model"}


def __getattr__(name: str) -> Any:
    """Import public names when they are first asked for: torch takes seconds, `colinear --help` needs none of it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
