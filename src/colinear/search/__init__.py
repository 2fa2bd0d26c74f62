"""Which settings are tried, on which rows, by which rule, and what won."""

from colinear.search.candidates import Candidate, draw_candidates, rank_candidates
from colinear.search.halving import Rung, plan_rungs
from colinear.search.result import Progress, RungResult, SearchResult, Trial
from colinear.search.sgd_search import SGDSearch

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
__dir__ = __all__.copy
