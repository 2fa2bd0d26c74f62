"""Which settings are tried, on which rows, by which rule, and what won."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colinear.search.candidates import Candidate, draw_candidates, grid_candidates, rank_candidates
    from colinear.search.halving import Rung, plan_rungs
    from colinear.search.result import Progress, RungResult, SearchResult, Trial
    from colinear.search.sgd_search import SGDSearch

_HOMES = {
    "candidates": ("Candidate", "draw_candidates", "grid_candidates", "rank_candidates"),
    "halving": ("Rung", "plan_rungs"),
    "result": ("Progress", "RungResult", "SearchResult", "Trial"),
    "sgd_search": ("SGDSearch",),
}
__all__ = [
    "Candidate",
    "Progress",
    "Rung",
    "RungResult",
    "SGDSearch",
    "SearchResult",
    "Trial",
    "draw_candidates",
    "grid_candidates",
    "plan_rungs",
    "rank_candidates",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first asked for: `colinear --help` reads the settings and needs no torch."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
