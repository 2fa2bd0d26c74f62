"""Which settings are tried, on which rows, by which rule, and what won."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colinear.search.candidates import Candidate, draw_candidates, rank_candidates
    from colinear.search.halving import Rung, plan_rungs
    from colinear.search.sgd_search import SGDSearch
    from colinear.search.trials import Progress, RungResult, SearchResult, Trial

__all__ = [
    "Candidate",
    "Progress",
    "Rung",
    "RungResult",
    "SGDSearch",
    "SearchResult",
    "Trial",
    "draw_candidates",
    "plan_rungs",
    "rank_candidates",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first asked for: `colinear --help` reads the settings and needs no torch."""
    for home in ("candidates", "halving", "sgd_search", "trials") if name in __all__ else ():
        module = import_module(f"{__name__}.{home}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__dir__ = __all__.copy
