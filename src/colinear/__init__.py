"""Multiclass linear classifiers, trained and tuned a whole line-up at once, with a certificate."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colinear.checks import InputError
    from colinear.estimators import (
        FeatureExtractor,
        HingeClassifier,
        HingeClassifierCV,
        LogisticClassifier,
        LogisticClassifierCV,
        SoftmaxClassifier,
        SoftmaxClassifierCV,
        SquaredHingeClassifier,
        SquaredHingeClassifierCV,
    )
    from colinear.model import LinearModel
    from colinear.solvers.path import solve_path

__version__ = version("colinear")
__all__ = [
    "FeatureExtractor",
    "HingeClassifier",
    "HingeClassifierCV",
    "InputError",
    "LinearModel",
    "LogisticClassifier",
    "LogisticClassifierCV",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
    "SquaredHingeClassifier",
    "SquaredHingeClassifierCV",
    "__version__",
    "solve_path",
]
__dir__ = __all__.copy  # public names, loaded or not, and nothing else: so in every package here

_HOMES = {
    "FeatureExtractor": "colinear.estimators",
    "HingeClassifier": "colinear.estimators",
    "HingeClassifierCV": "colinear.estimators",
    "InputError": "colinear.checks",
    "LinearModel": "colinear.model",
    "LogisticClassifier": "colinear.estimators",
    "LogisticClassifierCV": "colinear.estimators",
    "SoftmaxClassifier": "colinear.estimators",
    "SoftmaxClassifierCV": "colinear.estimators",
    "SquaredHingeClassifier": "colinear.estimators",
    "SquaredHingeClassifierCV": "colinear.estimators",
    "solve_path": "colinear.solvers.path",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first asked for: torch takes seconds, `colinear --help` needs none of it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
