"""How a classifier is scored: accuracy with its interval, and what hides behind an accuracy."""

from colinear.metrics.answers import answer_counts, answer_table
from colinear.metrics.calibration import (
    Reliability,
    bin_confidences,
    calibration_error,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from colinear.metrics.metric import Estimate, Measured, Metric, Rows
from colinear.metrics.shares import (
    ClassScores,
    PairedTest,
    balanced_accuracy,
    class_scores,
    class_table,
    confusion_matrix,
    log_loss,
    mcnemar,
    top_k_accuracy,
    wilson_interval,
)
from colinear.metrics.table import METRICS
from colinear.metrics.thresholds import fit_thresholds

__all__ = [
    "METRICS",
    "ClassScores",
    "Estimate",
    "Measured",
    "Metric",
    "PairedTest",
    "Reliability",
    "Rows",
    "answer_counts",
    "answer_table",
    "balanced_accuracy",
    "bin_confidences",
    "calibration_error",
    "class_scores",
    "class_table",
    "confusion_matrix",
    "expected_calibration_error",
    "fit_temperature",
    "fit_thresholds",
    "log_loss",
    "mcnemar",
    "reliability",
    "top_k_accuracy",
    "wilson_interval",
]
__dir__ = __all__.copy
