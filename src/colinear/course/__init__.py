"""The vision course's own vocabulary for linear classifiers: `import colinear.course as coutils`."""

from colinear.course import data, exercises, utils
from colinear.course.classifiers import (
    LinearClassifier,
    LinearSVM,
    Softmax,
    predict_linear_classifier,
    train_linear_classifier,
)
from colinear.course.data import get_CIFAR10_data
from colinear.course.losses import (
    grad_check_sparse,
    softmax_loss_naive,
    softmax_loss_vectorized,
    svm_loss_naive,
    svm_loss_vectorized,
)

__all__ = [
    "LinearClassifier",
    "LinearSVM",
    "Softmax",
    "data",
    "exercises",
    "get_CIFAR10_data",
    "grad_check_sparse",
    "predict_linear_classifier",
    "softmax_loss_naive",
    "softmax_loss_vectorized",
    "svm_loss_naive",
    "svm_loss_vectorized",
    "train_linear_classifier",
    "utils",
]
__dir__ = __all__.copy
