"""From the winner of a search to what is kept of it: a model on raw rows, its test score, its part of results.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from colinear.checks import InputError
from colinear.datasets.border import training_border
from colinear.losses import LOSSES
from colinear.metrics import METRICS
from colinear.model import LinearModel, some_rows
from colinear.schemas import plain_number
from colinear.search.calibrate import calibrate
from colinear.search.prepared import Prepared
from colinear.search.resultsfile import loss_json, versions
from colinear.search.runfolder import RunFolder
from colinear.search.score import TestScore, score_test
from colinear.search.trials import SearchResult


@dataclass(frozen=True, eq=False)
class LossRun:
    """One loss of a run, finished: the search, the winner as a model, its test score.

    `result` is None when the loss was finished before the run was resumed; `entry` is its part of results.json.
    """

    loss: str
    model: LinearModel
    entry: dict[str, Any]
    test: TestScore | None
    result: SearchResult | None

    @classmethod
    def read(cls, folder: RunFolder, entry: dict[str, Any], source: str) -> LossRun:
        """A loss that was finished before, from its entry, which the file `source` has, and its model's file."""
        path = folder.path / model_name(entry["loss"])
        if not path.is_file():
            raise InputError(
                f"{path} is gone. Put it back, or delete {folder.path / source} to search anew; then --resume."
            )
        return cls(entry["loss"], LinearModel.load(path), entry, TestScore.read(entry), None)


def model_name(loss: str) -> str:
    """The file of a loss's model, in the folder of its run."""
    return f"model-{loss}.safetensors"


def score_winner(result: SearchResult, prepared: Prepared, seconds: float) -> LossRun:
    """Fold the scaling into the winner's weights, calibrate the model if asked to, and score it on the test rows: once.

    seconds : that the search took, for results.json.
    """
    model, calibration = _fold(result, prepared), None
    if prepared.settings.calibrate is not None:
        kinds, name = prepared.settings.calibrate, prepared.settings.metric
        found = calibrate(model, prepared.own.validation, kinds, name, prepared.group)
        model, calibration = found.model, found.facts
    metric, rows = METRICS[prepared.settings.metric], prepared.own.test
    test = None if rows is None else score_test(model, rows, prepared.group, metric)
    if test is not None:
        model.provenance["test_accuracy"] = test.accuracy
        if test.score is not None:
            model.provenance["test_score"] = plain_number(test.score.value)
    entry = loss_json(result, test, seconds, metric.name, prepared.class_weight, calibration)
    return LossRun(result.loss, model, entry, test, result)


def _fold(result: SearchResult, prepared: Prepared) -> LinearModel:
    train, winner = prepared.split.train, result.winner
    provenance = {
        "loss": result.loss,
        "solver": result.solver,
        "reg": winner.reg,
        "learning_rate": winner.learning_rate,
        "seed": prepared.settings.seed,
        "data": prepared.split.name,
        "data_fingerprint": train.fingerprint,
        "train_accuracy": plain_number(winner.train_accuracy),
        "val_accuracy": plain_number(winner.val_accuracy),
        **({} if winner.val_score is None else {"metric": prepared.settings.metric, "val_score": winner.score}),
        **({} if prepared.class_weight is None else {"class_weight": list(prepared.class_weight)}),
        "relative_gap": winner.relative_gap,
        "above_optimum": winner.to_json().get("above_optimum"),
        **({} if (border := training_border(train)) is None else {"border": border}),
        "versions": versions(),
    }
    return LinearModel.from_coef(
        result.winning_coef, prepared.scaling, train.class_names, train.image_shape, train.value_range, provenance,
        rows=some_rows(train), label_kind=getattr(train, "label_kind", None),
        extractor=getattr(train, "extractor", None), link=LOSSES[result.loss].link, many=train.labels.ndim == 2,
    )  # fmt: skip
