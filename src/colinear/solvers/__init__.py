"""Minimisers for K candidates at once."""

from colinear.solvers.certificate import Bracket, bracket_optimum, certify
from colinear.solvers.newton import solve_newton, suits_newton
from colinear.solvers.path import solve_path
from colinear.solvers.sgd import SGD, SGDState
from colinear.solvers.solution import Path, PathPoint, Status
from colinear.solvers.tuning import Tuning
from colinear.solvers.unpenalized import solve_unpenalized

__all__ = [
    "SGD",
    "Bracket",
    "Path",
    "PathPoint",
    "SGDState",
    "Status",
    "Tuning",
    "bracket_optimum",
    "certify",
    "solve_newton",
    "solve_path",
    "solve_unpenalized",
    "suits_newton",
]
__dir__ = __all__.copy
