"""A winner made to know how sure it is, and where its classes begin: both are fitted on validation rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from colinear.datasets.base import Dataset, sample_weights
from colinear.metrics import METRICS, fit_temperature
from colinear.metrics.thresholds import fit_thresholds
from colinear.model import LinearModel
from colinear.objective import score_rows
from colinear.parallel.group import ALONE, Group


@dataclass(frozen=True, eq=False)
class Calibration:
    """The calibrated model, and its part of results.json: what was fitted, and log loss and metric before and after."""

    model: LinearModel
    facts: dict[str, Any]


def calibrate(
    model: LinearModel, validation: Dataset, kinds: str, metric: str = "accuracy", group: Group = ALONE
) -> Calibration:
    """Fit a temperature, thresholds or both to the scores of `validation` rows, those of all processes of the group.

    kinds : 'temperature', for the log loss; 'thresholds', for `metric`, see `fit_thresholds`; or 'both'.
    """
    parts = [scores.cpu().double() for _, scores in score_rows(model, validation)]
    mine = torch.cat(parts) if parts else torch.empty(0, model.n_classes, dtype=torch.float64)
    weights = sample_weights(validation)
    every = group.gather((mine, validation.labels.cpu(), None if weights is None else weights.cpu()))
    scores, labels = (torch.cat([one[place] for one in every]) for place in (0, 1))  # type: ignore[misc]
    each = None if weights is None else torch.cat([one[2] for one in every])  # type: ignore[misc]
    temperature = fit_temperature(scores, labels, each) if kinds in ("temperature", "both") else None
    thresholds = None
    if kinds in ("thresholds", "both"):
        thresholds = tuple(fit_thresholds(scores, labels, METRICS[metric], each).tolist())
    found = replace(model, temperature=temperature, thresholds=thresholds)

    def pair(name: str) -> list[float]:
        """Before and after."""
        judge = METRICS[name]
        after = {"labels": found.shift(scores), "probabilities": scores / (temperature or 1.0)}.get(judge.sees, scores)
        return [judge(scores, labels, each), judge(after, labels, each)]

    facts = {
        "temperature": temperature, "thresholds": None if thresholds is None else list(thresholds),
        "rows": len(labels), "log_loss": pair("log-loss"), "score": pair(metric),
    }  # fmt: skip
    return Calibration(found, facts)
