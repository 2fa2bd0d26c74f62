"""results.json: what a run writes for people and programs to read. docs/results.md has its schema."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import safetensors
import torch

from colinear.datasets.base import Split
from colinear.schemas import plain_number
from colinear.search.score import NO_SCORE, TestScore
from colinear.search.settings import Settings
from colinear.search.trials import SearchResult
from colinear.search.written import SCHEMA


def loss_json(
    result: SearchResult,
    test: TestScore | None,
    seconds: float,
    metric: str = "accuracy",
    class_weight: Sequence[float] | None = None,
    calibration: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One entry of `runs` in results.json."""
    score = None if test is None else test.score
    return {
        "loss": result.loss,
        "solver": result.solver,
        "metric": metric,
        **({} if class_weight is None else {"class_weight": list(class_weight)}),
        **({} if calibration is None else {"calibration": calibration}),
        "trials": [trial.to_json() for trial in result.trials],
        "best": result.best,
        "order": list(result.order),
        "rungs": [rung.to_json() for rung in result.rungs],
        "details": result.details,
        **(NO_SCORE if test is None else test.to_json()),
        **({} if score is None else {"test_score": plain_number(score.value), "test_score_ci95": list(score.interval)}),
        "seconds": plain_number(seconds if math.isfinite(seconds) else None),
        "finished_unix_seconds": int(time.time()),
    }


def results_json(
    settings: Settings, split: Split, entries: list[dict[str, Any]], device: torch.device
) -> dict[str, Any]:
    """The whole of results.json: a run on `device`."""
    train = split.train
    dataset = {
        "name": split.name,
        "n_train": train.n_samples,
        "n_validation": split.validation.n_samples,
        "n_test": None if split.test is None else split.test.n_samples,
        "n_features": train.n_features,
        "class_names": list(train.class_names),
        "image_shape": None if train.image_shape is None else list(train.image_shape),
        "fingerprint": train.fingerprint,
    }
    environment = {
        **versions(),
        "platform": platform.platform(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
    }
    return {
        "schema": SCHEMA, "dataset": dataset, "settings": settings.to_json(), "environment": environment,
        "runs": entries,
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of what a model's numbers depend on."""
    return {
        "colinear": version("colinear"),
        "torch": torch.__version__,
        "safetensors": safetensors.__version__,
        "python": platform.python_version(),
    }


def device_name(device: torch.device) -> str:
    """The GPU by its maker's name, the processor by the system's, any other device by PyTorch's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or "cpu" if device.type == "cpu" else str(device)
