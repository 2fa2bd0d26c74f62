"""Pictures of a run: what was trained on, how the search went, what the winner looks like."""

from colinear.report.figures import write_figures

__all__ = ["write_figures"]
