"""Parameters that scikit-learn's programs pass: given here too, or without a meaning here, or refused by name."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from colinear.checks import InputError, check_choice

# scikit-learn's solvers find one optimum each in its own way; which way is no part of the problem
EXACT = ("exact", "lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga")


def check_solver(solver: Any, *more: str) -> str:
    """Return 'exact' for any solver of scikit-learn's, or the name itself if it is one of `more`.

    >>> check_solver("newton-cg"), check_solver("sgd", "sgd")
    ('exact', 'sgd')
    """
    check_choice("solver", solver, ("exact", *more, *EXACT[1:]))
    return solver if solver in more else "exact"


def check_penalty(penalty: Any, l1_ratios: Any, name: str = "l1_ratio") -> bool:
    """Return whether there is a penalty, the squared one. 'deprecated' is scikit-learn's own default.

    Raises `InputError` for an L1 part, under either name.

    >>> check_penalty("l2", 0.0), check_penalty(None, None)
    (True, False)
    """
    shares = np.ravel([] if l1_ratios is None else l1_ratios)
    if penalty in ("l1", "elasticnet") or any(share != 0 for share in shares.tolist()):
        raise InputError(
            f"the penalty is the sum of squares, penalty='l2' and {name}=0; got penalty={penalty!r} and {name}="
            f"{l1_ratios!r}. Select columns first (SelectFromModel, SelectKBest), or use scikit-learn's solver='saga'."
        )
    if penalty not in (None, "l2", "deprecated"):
        raise InputError(f"penalty must be 'l2', or None for no penalty; got {penalty!r}.")
    return penalty is not None


def warn_strength_ignored(name: str) -> None:
    """Warn that there is no penalty whose strength `name` could be."""
    warnings.warn(f"Setting penalty=None will ignore the {name} given: there is no penalty.", UserWarning, stacklevel=4)
