"""The table of metrics: what a search may select by and what a report may say, by name."""

from __future__ import annotations

from colinear.metrics.metric import Metric
from colinear.metrics.ranked import AveragePrecision, RocArea
from colinear.metrics.summed import Accuracy, BalancedAccuracy, LogLoss, MacroF1, MicroF1

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Accuracy(), BalancedAccuracy(), MacroF1(), MicroF1(), AveragePrecision(), RocArea(), LogLoss(),
    )
}  # fmt: skip
