"""Minimisers for K candidates at once."""

from colinear.solvers.sgd import SGD, SGDState
from colinear.solvers.solution import Status

__all__ = ["SGD", "SGDState", "Status"]
