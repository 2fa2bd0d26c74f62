"""Linear classifiers with scikit-learn's conventions: swap one import, keep the program."""

from colinear.estimators.certificates import CertificateWarning
from colinear.estimators.classifiers import HingeClassifier, SoftmaxClassifier
from colinear.estimators.cv import HingeClassifierCV, SoftmaxClassifierCV

__all__ = [
    "CertificateWarning",
    "HingeClassifier",
    "HingeClassifierCV",
    "SoftmaxClassifier",
    "SoftmaxClassifierCV",
]
__dir__ = __all__.copy
