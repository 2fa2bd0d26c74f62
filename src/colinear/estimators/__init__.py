"""Linear classifiers with scikit-learn's conventions: swap one import, keep the program."""

from colinear.estimators.base import CertificateWarning
from colinear.estimators.classifiers import HingeClassifier, SoftmaxClassifier
from colinear.estimators.cv import HingeClassifierCV, SoftmaxClassifierCV, StrengthWarning
from colinear.estimators.extracting import FeatureExtractor

__all__ = [
    "CertificateWarning",
    "FeatureExtractor",
    "HingeClassifier",
    "HingeClassifierCV",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
    "StrengthWarning",
]
__dir__ = __all__.copy
