"""The card of a model: what it was made from, how good it is and how sure that is, and what it is not for.

The file of a model says where it comes from. How it did on test rows, class by class, stands in results.json of its
run, in the same folder; a card without that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from colinear.checks import InputError
from colinear.losses import LOSSES
from colinear.metrics import wilson_interval
from colinear.model import LinearModel
from colinear.report.panels import FEW, repeat_command
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.winner import model_name
from colinear.search.wording import (
    as_percent,
    describe_above,
    describe_calibration,
    describe_range,
    is_number,
    is_placed,
)
from colinear.search.written import read_results
from colinear.texts import listed

Json = dict[str, Any]


def make_card(model_file: Path) -> Json:
    """Return the card of a model as JSON: model, data, training, score, classes, certificate, limits.

    classes : for each its test rows, recall and precision with 95 % Wilson intervals; empty without a run beside it.
    Raises   `InputError` for a file that is no model, and for a results.json beside it that is damaged.
    """
    model = LinearModel.load(model_file)
    results, entry = _find_run(model_file, model)
    dataset: Json = {} if results is None else results["dataset"]
    classes = _classes(model, entry)
    test = None
    if entry is not None and entry["test_accuracy"] is not None:
        test = {"accuracy": entry["test_accuracy"], "accuracy_ci95": entry["test_accuracy_ci95"]}
        if "test_score" in entry:
            test |= {"metric": entry["metric"], "score": entry["test_score"], "score_ci95": entry["test_score_ci95"]}
    elif (known := _fact(model, "test_accuracy", number=True)) is not None:
        test = {"accuracy": known, "accuracy_ci95": None}
    versions = model.provenance.get("versions")
    return {
        "model": {
            "file": model_file.name, "bytes": model_file.stat().st_size, "n_classes": model.n_classes,
            "n_features": model.n_features, "takes": _takes(model),
            "probabilities": model.probability, "class_names": list(model.class_names),
        },
        "data": {
            "name": _fact(model, "data"), "fingerprint": _fact(model, "data_fingerprint"),
            **{name: dataset.get(name) for name in ("n_train", "n_validation", "n_test")},
        },
        "training": {
            "loss": _fact(model, "loss"), "solver": _fact(model, "solver"),
            **{name: _fact(model, name, number=True) for name in ("reg", "learning_rate", "seed")},
            "versions": {str(name): str(one) for name, one in versions.items()} if isinstance(versions, dict) else {},
            "formula": LOSSES[model.loss].formula if model.loss in LOSSES else None,
            "command": None if results is None else repeat_command(Settings.from_json(results["settings"])),
            "notes": [] if entry is None else [*describe_range(entry), *describe_calibration(entry)],
        },
        "score": {"validation_accuracy": _fact(model, "val_accuracy", number=True), "test": test},
        "classes": classes,
        "certificate": _certificate(model, entry),
        "limits": _limits(model, classes, entry, test),
    }  # fmt: skip


def _find_run(model_file: Path, model: LinearModel) -> tuple[Json | None, Json | None]:
    """results.json beside the model and the model's entry in it, if they are of this model."""
    folder = model_file.resolve().parent
    if model_file.name != model_name(model.loss) or not (folder / "results.json").is_file():
        return None, None
    results = read_results(RunFolder(folder))
    entry = next((one for one in results["runs"] if one["loss"] == model.loss), None)
    facts = model.provenance
    theirs = entry is not None and (
        results["dataset"]["fingerprint"] == facts.get("data_fingerprint")
        and entry["test_accuracy"] == facts.get("test_accuracy")
        and entry["trials"][entry["best"]]["reg"] == facts.get("reg")
        and results["dataset"]["class_names"] == list(model.class_names)
    )
    return (results, entry) if theirs else (None, None)


def _takes(model: LinearModel) -> str:
    if model.extractor is not None:
        raw = model.extractor.rows.n_inputs
        return f"{model.n_features:,} features that {model.extractor.name} makes of {raw:,} raw ones"
    if model.image_shape is not None:
        channels, height, width = model.image_shape
        kind = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
        return f"{height} x {width} {kind} images of raw values 0 to {model.value_range:g}"
    return f"rows of {model.n_features:,} raw features"


def _classes(model: LinearModel, entry: Json | None) -> list[Json]:
    """Recall and precision of each class with their intervals."""
    if entry is None or entry["test_accuracy"] is None:
        return []
    if (answers := entry.get("test_answers")) is not None:
        counts = torch.tensor(answers["counts"], dtype=torch.int64)
        right, wrong, missed, _ = counts.unbind(1)
    else:
        counts = torch.tensor(entry["confusion_matrix"], dtype=torch.int64)
        right = counts.diagonal()
        wrong, missed = counts.sum(0) - right, counts.sum(1) - right
    if len(counts) != model.n_classes:
        raise InputError(
            f"results.json beside the model counts {len(counts)} classes, the model has {model.n_classes}. Start a new "
            "run."
        )
    return [
        {"class": name, "rows": hits + misses, **_share("recall", hits, misses), **_share("precision", hits, false)}
        for name, hits, misses, false in zip(
            model.class_names, right.tolist(), missed.tolist(), wrong.tolist(), strict=True
        )
    ]


def _share(name: str, right: int, wrong: int) -> Json:
    """A share of rows with its interval, None of none."""
    rows = right + wrong
    interval = list(wilson_interval(right, rows)) if rows else None
    return {name: right / rows if rows else None, f"{name}_ci95": interval}


def _certificate(model: LinearModel, entry: Json | None) -> str:
    """How far the weights may be from the optimum of their objective."""
    refit = {} if entry is None else entry["details"].get("refit") or {}
    gap = refit.get("relative_gap", _fact(model, "relative_gap", number=True))
    if gap is not None:
        if gap > 1:
            return "none: the weights may be far from the optimum"
        return f"the objective is within {as_percent(gap)} of its optimum (duality gap, float64)"
    above = model.provenance.get("above_optimum")
    if is_placed(above):
        return f"the objective is {describe_above(above)} for its strength (both bounds certified)"
    return "none"


def _fact(model: LinearModel, name: str, *, number: bool = False) -> Any:
    """What the file says under a name, if it is a number or a text as it should be: a file may say anything."""
    value = model.provenance.get(name)
    return value if (is_number(value) if number else isinstance(value, str)) else None


def _limits(model: LinearModel, classes: Sequence[Json], entry: Json | None, test: Json | None) -> list[str]:
    """Sentences about what the model does not know, from what is known of it."""
    said = [
        f"It takes {_takes(model)}, as the training rows had them: other columns, another order or scale give labels "
        "without any warning.",
        "It answers with none, one or several of its classes." if model.many
        else f"Every row gets one of its {model.n_classes:,} classes, whatever it shows.",
        "Classes are told apart by weighted sums of the features: what takes products of them is beyond it.",
    ]  # fmt: skip
    if model.probability is None:
        said.append("Its scores are no probabilities.")
    elif model.temperature is None:
        said.append("Its probabilities are those of the fitted model; no temperature was fitted to rows held out.")
    if test is None:
        said.append("No test rows have scored it: the validation accuracy selected it, and flatters it.")
    elif entry is None:
        said.append("The run's results are not beside the file: the accuracy is what that says, without an interval.")
    else:
        said.append("The accuracy holds for new rows as far as they are like the test rows, dealt from the same data.")
    few = [one for one in classes if one["rows"] < FEW]
    if few:
        names = listed([one["class"] for one in few])
        said.append(f"Fewer than {FEW} test rows: {names}. Their recall is hardly known.")
    never = [one["class"] for one in classes if one["precision"] is None]
    if never:
        said.append(f"It never answered {listed(never)} on the test rows.")
    return said
