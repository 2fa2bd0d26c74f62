"""`colinear evaluate`, `predict` and `export`: what a saved model says about rows, and its file for other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colinear.checks import MOST_SEED, InputError
from colinear.cli.console import CLASS_WIDTH, Output
from colinear.cli.extracting import name_extractor
from colinear.cli.progress import Transfer
from colinear.cli.tables import as_accuracy, new_table, score_sentence
from colinear.datasets import ArrayDataset, Dataset, match_classes, open_dataset, read_image
from colinear.datasets.blocks import in_memory
from colinear.datasets.border import draws_light, looks_inverted
from colinear.datasets.doors import as_path
from colinear.datasets.features import CHUNK_ROWS
from colinear.datasets.shards import open_shard_features
from colinear.datasets.sources import NAMED
from colinear.datasets.sparse import SparseMatrix
from colinear.datasets.splits import open_unseen
from colinear.datasets.tables import SPARSE, open_features
from colinear.export import FORMATS, export_model
from colinear.export.features import has_nodes
from colinear.export.graph import PIXEL_RANGE
from colinear.extractors import ExtractedDataset, RowKind
from colinear.extractors.folder import holds_features
from colinear.metrics import METRICS
from colinear.metrics.ranked import Ranked
from colinear.model import LinearModel
from colinear.outputs import ARRAYS, ONNX, PICKLE, TABLE, check_output
from colinear.schemas import plain_number
from colinear.search.score import measure_model, rank_classes, score_test
from colinear.texts import printable, shorten, shown_path

CLASSES_SHOWN = 30
CHECKED_VALUES = 1 << 25  # other programs take dense rows only: 128 MiB of float32
KINDS = {"onnx": ONNX, "sklearn": PICKLE, "numpy": ARRAYS, "csv": TABLE}


def run_evaluate(
    model_file: Path,
    data: str,
    part: str | None,
    data_dir: Path | None,
    label: str | None,
    seed: int | None,
    extractor: str | None,
    as_json: bool,
    metrics: Sequence[str] = (),
    weight: str | None = None,
    quiet: bool = False,
) -> None:
    """Print accuracy, interval and every class of `model_file` on a part of `data`, by default rows new to the model.

    seed : that the parts are dealt with; None for the model's own.     metrics : names of others to print.
    weight : where rows have the weights by which these count them, see `open_split`.
    """
    output = Output(quiet=quiet, as_json=as_json)
    model = name_extractor(LinearModel.load(model_file), extractor, output)
    known = model.provenance.get("seed")
    dealt = seed if seed is not None else known if type(known) is int and 0 <= known <= MOST_SEED else 0
    with Transfer(output) as transfer:
        if part is None:
            trained_on = [model.provenance.get("data_fingerprint"), model.extractor and model.extractor.trained_on]
            part, dataset = open_unseen(
                data, data_dir, trained_on=trained_on, label=label, seed=dealt, progress=transfer, weight=weight
            )
        else:
            dataset = open_dataset(data, data_dir, part=part, label=label, seed=dealt, progress=transfer, weight=weight)
    extracted = data not in NAMED and holds_features(as_path(data))
    dataset = _fitting(dataset, model, extracted)
    score = score_test(model, dataset)
    classes = name_classes(score.class_table(), model.class_names)
    redealt = seed is not None and type(known) is int and seed != known
    if part in ("train", "all") or redealt:
        these = "These" if part == "train" and not redealt else "Some of these"
        output.say(f"{these} rows may have trained the model: the accuracy on them is no estimate for new ones.")
    output.say(
        score_sentence(
            f"{dataset.name} ({part}): accuracy{', all answers right,' * model.many}",
            score.accuracy,
            score.interval,
            score.total,
        ),
        style="bold",
    )
    estimates = {name: measure_model(model, dataset, METRICS[name]) for name in dict.fromkeys(metrics)}
    counted = "" if weight is None else " of weighted rows"
    for name, found in estimates.items():
        output.say(score_sentence(f"{name}{counted}", found.value, found.interval, score.total))
    ranked = rank_classes(model, dataset, [name for name in estimates if isinstance(METRICS[name], Ranked)])
    if len(classes) > CLASSES_SHOWN:
        output.say(f"The {CLASSES_SHOWN} of {len(classes)} classes with the lowest recall; --json has all:")
    columns = ("class", "rows", "recall", "precision", *ranked, "mostly taken for")
    table = new_table("", columns, ("class", "mostly taken for"))
    for name, each in ranked.items():
        for one, found_of in zip(classes, each, strict=True):
            one[name] = None if found_of is None else found_of.value
            one[f"{name}_ci95"] = None if found_of is None else list(found_of.interval)
    worst = sorted(classes, key=lambda one: (one["recall"] is None, one["recall"] or 0.0))
    for one in classes if len(classes) <= CLASSES_SHOWN else worst[:CLASSES_SHOWN]:
        other = one["mostly_taken_for"]
        taken_for = "–" if other is None else f"{shorten(other['class'], 16)} ({other['rows']:,})"
        shares = [as_accuracy(one[name]) for name in ("recall", "precision", *ranked)]
        table.add_row(shorten(one["class"], CLASS_WIDTH), f"{one['rows']:,}", *shares, taken_for)
    output.show(table)
    output.emit(
        {
            "model": str(model_file),
            "data": dataset.name,
            "part": part,
            "rows": score.total,
            "correct": score.correct,
            "accuracy": score.accuracy,
            "accuracy_ci95": list(score.interval),
            **(
                {
                    "metrics": {
                        name: {"value": plain_number(one.value), "ci95": list(one.interval)}
                        for name, one in estimates.items()
                    }
                }
                if metrics
                else {}
            ),
            "classes": classes,
            "confusion_matrix": None if score.confusion is None else score.confusion.tolist(),
        }
    )


def name_classes(table: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows, recall, precision and the commonest mistake of each class of a `class_table`, by their names."""
    return [
        {
            "class": name,
            **{key: one[key] for key in ("rows", "recall", "precision")},
            "mostly_taken_for": {"class": names[one["taken_for"]], "rows": one["taken_count"]}
            if one["taken_count"]
            else None,
        }
        for name, one in zip(names, table, strict=True)
    ]


def run_predict(
    model_file: Path, inputs: list[Path], top: int, extractor: str | None, as_json: bool, quiet: bool = False
) -> None:
    """Print the label, or every class with a score above 0, and the `top` largest scores of each row, as they come."""
    output = Output(quiet=quiet, as_json=as_json)
    model = name_extractor(LinearModel.load(model_file), extractor, output)
    if not as_json:
        for record in _predictions(model, inputs, top, output):
            if quiet:
                continue
            where = record["input"] if record["row"] is None else f"{record['input']}[{record['row']}]"
            key = "probability" if "probability" in record["top"][0] else "score"
            best = "  ".join(f"{printable(one['class'])} {one[key]:.3f}" for one in record["top"])
            named = ", ".join(map(printable, record["labels"])) if model.many else printable(record["label"])
            sys.stdout.write(f"{printable(where)}: {named or 'no class'}  ({key}: {best})\n")
        return
    output.emit(list(_predictions(model, inputs, top, output)))


def _predictions(model: LinearModel, inputs: list[Path], top: int, output: Output) -> Iterator[dict[str, Any]]:
    for path in inputs:
        for first, rows, is_table in _chunks(model, path, output):
            scores = model.scores(rows)
            shown = model.to_probabilities(scores) if model.has_probabilities else None
            best = model.shift(scores).argsort(dim=1, descending=True, stable=True)[:, :top]  # ties: the lowest class
            decided = model.decide(scores)
            for row, members in enumerate(best.tolist()):
                ranked = [
                    {"class": model.class_names[c], "score": float(scores[row, c])}
                    | ({} if shown is None else {"probability": float(shown[row, c])})
                    for c in members
                ]
                named: dict[str, Any] = {"label": ranked[0]["class"]}
                if model.many:
                    named = {"labels": [model.class_names[c] for c in decided[row].nonzero().squeeze(1).tolist()]}
                yield {"input": str(path), "row": first + row if is_table else None, **named, "top": ranked}


def _chunks(model: LinearModel, path: Path, output: Output) -> Iterator[tuple[int, Tensor | SparseMatrix, bool]]:
    """(number of the first row, rows as the model takes them, whether they are rows of a table)."""
    raw = RowKind(model.n_features, model.image_shape, model.value_range)
    raw = raw if model.extractor is None else model.extractor.rows
    if path.suffix.lower() in (".npy", *SPARSE) or path.is_dir():
        features = open_shard_features(path) if path.is_dir() else open_features(path)
        if features.shape[1] not in (model.n_features, raw.n_inputs):
            or_raw = "" if model.extractor is None else f", or {raw.n_inputs} raw ones"
            raise InputError(
                f"{path} must have {model.n_features} columns, as the model{or_raw}; it has {features.shape[1]}."
            )
        for start in range(0, len(features), CHUNK_ROWS):
            part = features[start : start + CHUNK_ROWS]
            if isinstance(part, SparseMatrix):
                yield start, part, True
                continue
            rows = in_memory(part)
            yield start, _extracted(model, rows) if rows.shape[1] == raw.n_inputs else rows, True
        return
    if raw.image_shape is None:
        raise InputError(
            f"this model takes rows of {raw.n_inputs} features, no images; got {path}. Give a .npy file, or a "
            "sparse .npz or .svm."
        )
    if raw.value_range > PIXEL_RANGE:
        raise InputError(
            f"this model's images reach {raw.value_range:g}, and pictures are read with 8 bits; got {path}. Give raw "
            "rows as .npy."
        )
    row = read_image(path, raw.image_shape, value_range=raw.value_range).unsqueeze(0)
    if looks_inverted(row, raw.image_shape, raw.value_range, model.provenance.get("border")):
        ink = "light ink on dark" if draws_light(model.provenance["border"]) else "dark ink on light"
        output.note(f"{shown_path(path)} looks inverted: the training pictures are {ink}. Exchange black and white.")
    yield 0, _extracted(model, row), False


def _extracted(model: LinearModel, rows: Tensor) -> Tensor:
    """What the model takes, of raw rows."""
    return rows if model.extractor is None else model.extractor.transform(rows)


def _fitting(dataset: Dataset, model: LinearModel, extracted: bool) -> Dataset:
    """`dataset` with its labels numbered as the model's, if its rows fit the model.

    Rows with as many columns as the model's raw rows are such, unless they are known to be features, `extracted`.
    """
    made_by = None if extracted else model.extractor
    if made_by is not None and dataset.n_features == made_by.rows.n_inputs and isinstance(dataset, ArrayDataset):
        return ExtractedDataset(match_classes(dataset, model.class_names, many=model.many), made_by)
    if dataset.n_features != model.n_features:
        raise InputError(
            f"{dataset.name} has {dataset.n_features} features; the model takes {model.n_features}. "
            "Give the kind of data it was trained on."
        )
    if isinstance(dataset, ArrayDataset):
        return match_classes(dataset, model.class_names, many=model.many)
    if dataset.class_names != model.class_names:
        raise InputError(f"{dataset.name} and the model must have the same classes in the same order.")
    return dataset


def _most_checked(dataset: Dataset) -> int:
    """How many rows an export is checked on: all, of sparse ones as many as make `CHECKED_VALUES` when dense."""
    sparse = dataset.layout == torch.sparse_csr
    return min(dataset.n_samples, max(1, CHECKED_VALUES // dataset.n_features)) if sparse else dataset.n_samples


def run_export(
    model_file: Path,
    to: str,
    out: Path | None,
    data: str | None,
    data_dir: Path | None,
    label: str | None,
    force: bool,
    as_json: bool,
    quiet: bool = False,
) -> None:
    """Write the file, beside the model by default, checked on the rows of `data` or on random ones."""
    output = Output(quiet=quiet, as_json=as_json)
    model = LinearModel.load(model_file)
    target = out or model_file.with_suffix(FORMATS[to][0])
    check_output(target, KINDS[to], inputs=[model_file, *([] if data is None else [data])], force=force)
    rows = None
    if data is not None:
        with Transfer(output) as transfer:
            dataset = open_dataset(data, data_dir, part=None, label=label, progress=transfer)
        rows = dataset.take(slice(0, _most_checked(dataset)))
    exported = export_model(model, target, to, rows=rows)
    output.say_path(f"Wrote {exported.path} ({exported.path.stat().st_size:,} bytes).")
    if model.extractor is not None:
        whole = to == "onnx" and has_nodes(model.extractor)
        where = "is part of the file" if whole else "is not part of the file"
        taken = "what features are made of" if whole else "features"
        output.say(f"It takes {taken}: making them ({model.extractor.name}) {where}.")
    if exported.checked:
        ties = f", {exported.near_ties} near-ties aside" if exported.near_ties else ""
        what = "random rows" if data is None else f"rows of {data}"
        output.say(
            f"Checked on {exported.checked:,} {what}: the same labels as the model{ties}; "
            f"scores differ by at most {exported.largest_difference:.1e}."
        )
    else:
        output.say("Not checked: onnxruntime is not installed (pip install 'colinear[onnx]').")
    output.emit(
        {
            "model": str(model_file),
            "file": str(exported.path),
            "format": to,
            "checked_rows": exported.checked,
            "near_ties": exported.near_ties,
            "largest_difference": exported.largest_difference,
        }
    )
