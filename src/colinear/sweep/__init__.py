"""Many runs: what they are, how they share what they can, and their results as one table."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colinear.sweep.formats import write_table
    from colinear.sweep.results import list_results
    from colinear.sweep.table import tabulate

__all__ = ["list_results", "tabulate", "write_table"]
__dir__ = __all__.copy

_HOMES = {"list_results": "results", "tabulate": "table", "write_table": "formats"}


def __getattr__(name: str) -> Any:
    """Import public names when they are first asked for: the program's help needs no torch."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
