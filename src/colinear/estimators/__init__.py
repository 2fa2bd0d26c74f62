"""Linear classifiers with scikit-learn's conventions: swap one import, keep the program."""

from colinear.estimators.base import CertificateWarning
from colinear.estimators.classifiers import HingeClassifier, SoftmaxClassifier
from colinear.estimators.classwise import (
    LogisticClassifier,
    LogisticClassifierCV,
    SquaredHingeClassifier,
    SquaredHingeClassifierCV,
)
from colinear.estimators.cv import HingeClassifierCV, SoftmaxClassifierCV, StrengthWarning
from colinear.estimators.extracting import FeatureExtractor

__all__ = [
    "CertificateWarning",
    "FeatureExtractor",
    "HingeClassifier",
    "HingeClassifierCV",
    "LogisticClassifier",
    "LogisticClassifierCV",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
    "SquaredHingeClassifier",
    "SquaredHingeClassifierCV",
    "StrengthWarning",
]
__dir__ = __all__.copy
