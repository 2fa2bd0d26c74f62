"""From the folders of runs to what the page shows: a JSON-able panel for each loss, and the winners' paired tests."""

from __future__ import annotations

import base64
import math
import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.base import ImageShape
from colinear.datasets.border import draws_light
from colinear.losses import LOSSES
from colinear.metrics import METRICS, answer_table, calibration_error, class_table, wilson_interval
from colinear.model import LinearModel
from colinear.report.featured import as_base64, draw_patches, embed_patches
from colinear.report.images import TEMPLATES, is_picture
from colinear.report.record import model_digest
from colinear.report.sprites import MOST_CLASSES, make_sprite, shrink_templates
from colinear.search.option import write_options
from colinear.search.records import Record, load_record, paired_test, record_name
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.wording import describe_above, describe_calibration, describe_range
from colinear.search.written import read_results
from colinear.texts import shorten

Json = dict[str, Any]
CANDIDATE_LEVELS = 64
MOST_CELLS = 40  # classes a confusion matrix is shown for; above, the commonest confusions are listed
MOST_PAIRS = 30
MOST_WEIGHT_BYTES = 1_500_000  # float32 weights in the page, for 'Try it', and patches: 2,400 of them for 10 classes
MOST_PIXEL_BYTES = 1_000_000  # of the winner's templates; larger images are averaged down
LARGEST_WEIGHTS = 8  # a class, of a feature table
LARGEST_CLASSES = 40
FEW = 30  # rows of a class or bin, below which its share is hardly known: an interval of 0.3 and more at one of 0.8


def read_panels(path: Path) -> list[Json]:
    """The panels of a run's folder, in the order of its losses. Raises `InputError` if it holds no finished loss."""
    folder = RunFolder(path)
    results = read_results(folder)
    if results.get("tries"):
        raise InputError(
            f"{path} is a few-shot run, and each of its tries has a page of its own. Name one: {path / 'try-1'}."
        )
    settings = Settings.from_json(results["settings"])
    return [_panel(folder, results, entry, settings) for entry in results["runs"]]


def _panel(folder: RunFolder, results: Json, entry: Json, settings: Settings) -> Json:
    loss, above = entry["loss"], entry["trials"][entry["best"]].get("above_optimum")
    model = LinearModel.load(folder.path / f"model-{loss}.safetensors")
    record = load_record(folder, loss)
    answers = entry.get("test_answers")
    counts = entry["confusion_matrix"] if answers is None else answers["counts"]
    if counts is not None and len(counts) != model.n_classes:
        raise InputError(
            f"{folder.path / 'results.json'} is damaged: {loss} has counts of {len(counts)} classes, its "
            f"model has {model.n_classes}. Start a new run."
        )
    if record is not None and record.facts.get("model") != model_digest(model):
        raise InputError(
            f"{folder.path}/report-data belongs to another {loss} model. Delete it: the report then leaves out its "
            "charts. Or start a new run."
        )
    test = None
    if entry["test_accuracy"] is not None:
        rows = sum(map(sum, counts)) if answers is None else answers["rows"]
        test = {"accuracy": entry["test_accuracy"], "interval": entry["test_accuracy_ci95"], "rows": rows}
        if "test_score" in entry:
            test |= {"score": entry["test_score"], "score_interval": entry["test_score_ci95"]}
    return {
        "run": Path(os.path.realpath(folder.path)).name,
        "loss": loss,
        "formula": LOSSES[loss].formula,
        "link": model.probability,
        "many": model.many,
        "solver": entry["solver"],
        "metric": describe_metric(entry["metric"]),
        "classes": list(model.class_names),
        "dataset": results["dataset"],
        "settings": settings.to_json(),
        "environment": results["environment"],
        "command": repeat_command(settings),
        "trials": entry["trials"],
        "order": entry["order"],
        "best": entry["best"],
        "above": None if above is None else describe_above(above),  # the exact path's gap says it
        "calibration": describe_calibration(entry),
        "range": describe_range(entry),
        "rungs": entry["rungs"],
        "details": entry["details"],
        "seconds": entry["seconds"],
        "finished": _date(entry.get("finished_unix_seconds")),
        "test": test,
        **_confusion(entry),
        **_winner(model),
        **(_recorded(record, loss, folder, len(entry["trials"]), model) if record is not None else {}),
    }


def _date(seconds: float | None) -> str | None:
    """A moment as people read it; of an older run there is none."""
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def describe_metric(name: str) -> Json:
    """What the page has to know of a metric to show its values."""
    metric = METRICS[name]
    return {"name": name, "higher": metric.higher, "share": metric.share}


def _confusion(entry: Json) -> Json:
    """The matrix if it can be shown, the commonest confusions, and every class."""
    if (answers := entry.get("test_answers")) is not None:
        return {"per_class": answer_table(torch.tensor(answers["counts"]))}
    if entry["confusion_matrix"] is None:
        return {}
    confusion = torch.tensor(entry["confusion_matrix"], dtype=torch.int64)
    wrong = confusion.clone().fill_diagonal_(0)
    largest = wrong.flatten().argsort(descending=True, stable=True)[:MOST_PAIRS].tolist()
    n = len(confusion)
    pairs = [[place // n, place % n, int(wrong.flatten()[place])] for place in largest if wrong.flatten()[place] > 0]
    return {
        "confusion": confusion.tolist() if n <= MOST_CELLS else None,
        "pairs": pairs,
        "per_class": class_table(confusion),
    }


def _winner(model: LinearModel) -> Json:
    """Templates and embedded weights of an image model; of others the largest weights, and what makes features."""
    if model.extractor is not None:
        panel: Json = {"extractor": shorten(model.extractor.name), "largest": _largest(model)}
        raw, patches = model.extractor.rows, embed_patches(model, MOST_WEIGHT_BYTES)
        if patches is not None and raw.image_shape is not None:
            panel["weights"] = {**_embedded(model, raw.image_shape, raw.value_range), "patches": patches}
        return panel
    if not is_picture(model.image_shape):
        return {"largest": _largest(model)}
    shape, weight = model.image_shape, model.weight.cpu()
    [pictures] = shrink_templates(weight.unsqueeze(0), shape, MOST_PIXEL_BYTES, TEMPLATES)
    grey = shape[0] == 1
    panel = {"templates": make_sprite(pictures, signed=grey), "signed": grey}
    if weight.numel() * 4 <= MOST_WEIGHT_BYTES:
        panel["weights"] = _embedded(model, shape, model.value_range)
    return panel


def _embedded(model: LinearModel, shape: ImageShape, value_range: float) -> Json:
    return {
        "shape": list(shape),
        "range": value_range,
        "weight": as_base64(model.weight.cpu()),
        "bias": as_base64(model.bias.cpu()),
        "probabilities": model.has_probabilities,
        "temperature": model.temperature,
        "thresholds": model.thresholds,
        "light": draws_light(model.provenance.get("border")),
    }


def _largest(model: LinearModel) -> list[list[list[float | None]]]:
    """For each class its weights of the largest size, [feature, weight], largest first."""
    weight = model.weight.cpu()[:LARGEST_CLASSES]
    order = weight.abs().argsort(dim=1, descending=True, stable=True)[:, :LARGEST_WEIGHTS]
    return [
        [[feature, value] for feature, value in zip(features.tolist(), _rounded(row), strict=True)]
        for features, row in zip(order, weight.gather(1, order), strict=True)
    ]


def _recorded(record: Record, loss: str, folder: RunFolder, trials: int, model: LinearModel) -> Json:
    classes = model.n_classes
    templates, history, mistakes = (record.get(name) for name in ("templates", "history", "mistakes"))
    pushing, examples = record.get("pushing"), record.get("examples")
    fits = all(tensor is None or len(tensor) == trials for tensor in (templates, history))
    fits = fits and (mistakes is None or int(mistakes[:, :2].max()) < classes)
    fits = fits and (examples is None or int(examples[:, 0].max()) < classes)
    bank = None if pushing is None else draw_patches(model, pushing)
    fits = fits and (pushing is None) == (bank is None)
    if record.facts["loss"] != loss or not fits:
        raise InputError(
            f"{folder.path / record_name(loss)} does not fit results.json. Delete it: the report then leaves its "
            "charts out."
        )
    panel: Json = {}
    if templates is not None:
        signed = templates.shape[2] == 1
        panel["candidates"] = [make_sprite(one, signed=signed, levels=CANDIDATE_LEVELS) for one in templates]
        panel["candidate_classes"] = min(MOST_CLASSES, templates.shape[1])
    steps = record.get("steps")
    if history is not None and steps is not None:
        panel["curves"] = {"steps": _rounded(steps), "losses": [_rounded(curve) for curve in history]}
    if (bins := record.get("bins")) is not None:
        panel["reliability"] = _reliability(bins)
        if (before := record.get("bins_before")) is not None:
            panel["reliability"]["before"] = _reliability(before)
    if mistakes is not None:
        rows = [[int(truth), int(predicted), round(sure, 4)] for truth, predicted, sure in mistakes.tolist()]
        panel["mistakes"] = {"rows": rows, "kind": "margin" if record.get("bins") is None else "probability"}
        if (pixels := record.get("pixels")) is not None:
            panel["mistakes"]["sprite"] = make_sprite(pixels)
    if (samples := record.get("samples")) is not None:
        panel["samples"] = _samples(samples, model)
    if pushing is not None and bank is not None:
        panel["pushing"] = {"sprite": make_sprite(bank), "push": [_rounded(row) for row in pushing[..., 1]]}
    if examples is not None and (pixels := record.get("example_pixels")) is not None:
        kept = [[int(label), round(sure, 4), bool(first)] for label, sure, first in examples.tolist()]
        panel["examples"] = {"rows": kept, "sprite": make_sprite(pixels)}
    return panel


def _samples(pictures: Tensor, model: LinearModel) -> list[str] | None:
    """Raw rows of pictures for 'Try it', as bytes; None where they are not what the model takes."""
    raw = model if model.extractor is None else model.extractor.rows
    if tuple(pictures.shape[1:]) != raw.image_shape or len(pictures) > model.n_classes:
        return None
    levels = (pictures.double() * (raw.value_range / 255)).round().clamp(0, 255).byte().flatten(1)
    return [base64.b64encode(row.numpy().tobytes()).decode() for row in levels]


def _reliability(bins: Tensor) -> Json:
    """Bins [rows, mean confidence, share right, ends of its 95 % interval], and how many rows are few."""
    spans = [
        wilson_interval(min(round(n * right), int(n)), int(n)) if n else (math.nan,) * 2
        for n, _, right in bins.tolist()
    ]
    rows = torch.cat([bins, torch.tensor(spans, dtype=bins.dtype)], 1)
    return {"bins": [_rounded(row, 6) for row in rows], "ece": calibration_error(*bins.unbind(1)), "few": FEW}


def _rounded(values: Tensor, digits: int = 4) -> list[float | None]:
    """Significant digits; what is not finite becomes null."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values.tolist()]


def repeat_command(settings: Settings) -> str:
    """A shell line with every setting that is not the default, and with the solver and seed in any case.

    >>> repeat_command(Settings(data="my data.npy", solver="sgd", steps=300, losses=("hinge",)))
    "colinear tune 'my data.npy' --loss hinge --solver sgd --steps 300 --seed 0"
    """
    return shlex.join(["colinear", "tune", settings.data, *write_options(settings)])


def name_runs(paths: Sequence[Path]) -> list[str]:
    """The folders' own names, with as many of those above as tell all of them apart.

    >>> name_runs([Path("/a/x/run"), Path("/a/y/run")]), name_runs([Path("/a/one"), Path("/a/two")])
    (['x/run', 'y/run'], ['one', 'two'])
    """
    parts = [Path(os.path.realpath(path)).parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names


def compare_winners(runs: Sequence[tuple[Path, list[Json]]]) -> Json:
    """The paired test of every two winners that were scored on the same test rows, or on features of the same rows.

    runs : folders and what `read_panels` makes of them.
    Returns pairs [{first, second, only_first, only_second, difference, p_value}], first < second numbers of panels
    counted through all runs, and untested, how many pairs share no test rows.
    """
    panels = [panel for _, those in runs for panel in those]
    records = [load_record(RunFolder(path), panel["loss"]) for path, those in runs for panel in those]
    pairs, untested = [], 0
    for second, theirs in enumerate(records):
        for first, mine in enumerate(records[:second]):
            test = paired_test(mine, theirs)
            if test is None:
                untested += 1
                continue
            pairs.append(
                {
                    "first": first,
                    "second": second,
                    "only_first": test.only_first,
                    "only_second": test.only_second,
                    "difference": (test.only_first - test.only_second) / panels[first]["test"]["rows"],
                    "p_value": test.p_value,
                }
            )
    return {"pairs": pairs, "untested": untested}
