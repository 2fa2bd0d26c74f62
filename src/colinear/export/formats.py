"""`export_model`: one model, one file, checked on rows before anybody relies on it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError, check_choice, check_features
from colinear.export.features import has_nodes
from colinear.export.graph import build_graph, input_kind, run_graph, takes_images
from colinear.model import CALIBRATION, LinearModel
from colinear.outputs import save_whole

CHECK_ROWS = 256
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,19}")  # as Python writes whole numbers of up to 64 bits
# of the sum of |terms|: what features computed elsewhere may move a score. Noise, in patches of 4 x 4, moves it by
# 1.5e-5, test pictures of CIFAR-10 by 8e-7
EXTRACTED = 1e-4
ROUNDING = 4  # units in the last place of a score, relative to the sum of |terms|, per root of d


class ExportError(RuntimeError):
    """An exported file does not label rows as the model does: a defect, and no file is left."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked.

    checked : rows that the file labelled, 0 where that was not possible.   near_ties : of these, rows where float32
    rounding alone decides between two classes, and decided otherwise.   largest_difference : between scores.
    """

    path: Path
    to: str
    checked: int
    near_ties: int
    largest_difference: float


def export_model(
    model: LinearModel, path: str | os.PathLike[str] | None = None, to: str = "onnx", *, rows: Tensor | None = None
) -> Exported:
    """Write `model` in a format of others and compare the file's scores and labels with the model's.

    to : 'onnx'     input `images` uint8 (N, channels, height, width) for models of 8-bit images, else `features`
                    (N, n_features), raw; where `hog`, `patches` or `kernel` make features, the graph makes them, of
                    `images` or of raw `rows` (N, d). Outputs `label` int64 (N,), `class_name` text (N,), `scores`
                    (N, c), and `probabilities` (N, c) of a model that has them; where rows may have many classes
                    `labels` int64 (N, c), 1 for each, in place of `label` and `class_name`. Features, scores and
                    probabilities have the type of the weights; sums are float64. Needs the extra `onnx`; onnxruntime,
                    if installed, runs the check.
         'sklearn'  a pickle of a fitted `LogisticRegression` (softmax) or `LinearSVC` (hinges), in float64; of a
                    `OneVsRestClassifier` of these (logistic, and where rows may have many classes). Its classes are
                    the labels that the model was trained with: whole numbers and booleans stay what they were. Of a
                    model that does not say, names that all are whole numbers become such; many classes are columns in
                    the model's order. A pickle runs code when it is loaded: load your own only.
         'numpy'    .npz with weight (c, d), bias (c,), class_names, image_shape, value_range and provenance (JSON).
         'csv'      a line per class: name, bias, weights; nine digits (float64: 17), from which they come back exactly.
    path : the file; by default model.<suffix> in the working directory.
    rows : raw rows (n, d), or features, to check on; by default 256 random ones.

    Scores are those of raw rows: preprocessing is in the weights. Of equal scores the first class wins everywhere.
    Raises   `InputError` for an unknown format, a missing extra or a place that cannot be written; `ExportError`
             if a label differs beyond what rounding explains.

    >>> import tempfile
    >>> model = LinearModel(torch.eye(2), torch.zeros(2), ("no", "yes"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_model(model, folder + "/model.csv", "csv").checked
    256
    """
    check_choice("to", to, tuple(FORMATS))
    suffix, encode, decode = FORMATS[to]
    target = Path(path) if path is not None else Path(f"model{suffix}")
    if target.suffix != suffix:
        raise InputError(f"a file for {to} must end in {suffix}; got {target}. Rename it.")
    content = encode(model)
    whole = model if to == "onnx" and has_nodes(model.extractor) else replace(model, extractor=None)
    probe = _draw_rows(whole) if rows is None else _take(model, whole, rows)
    scores = decode(content, model, probe)
    ties, difference = (0, 0.0) if scores is None else _compare(whole, probe, scores, to)
    save_whole(target, content, str(target))
    return Exported(target, to, 0 if scores is None else len(probe), ties, difference)


def _take(model: LinearModel, whole: LinearModel, rows: Tensor) -> Tensor:
    """Rows as the file takes them: where it takes features, raw ones are turned into these."""
    if whole.extractor is None and model.extractor is not None and rows.shape[1:] == (model.extractor.rows.n_inputs,):
        return model.extractor.transform(rows)
    return check_features(rows, input_kind(whole).n_inputs, "rows to check on")


def _draw_rows(model: LinearModel) -> Tensor:
    """Rows of the range that the model is for, the first all zero."""
    generator = torch.Generator().manual_seed(0)
    kind = input_kind(model)
    shape = (CHECK_ROWS, kind.n_inputs)
    if takes_images(model):
        rows = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
    elif kind.image_shape is not None:
        rows = kind.value_range * torch.rand(shape, generator=generator)
    elif model.extractor is not None:  # where phases differ by about 1, in any units
        center, directions = (model.extractor.tensors[name].double() for name in ("center", "directions"))
        reach = (directions.square().mean(1) * kind.n_inputs).clamp(min=1e-30).rsqrt()
        near: Tensor = center + reach * torch.randn(shape, generator=generator, dtype=torch.float64)
        return near
    else:
        rows = model.value_range * torch.randn(shape, generator=generator, dtype=model.weight.dtype)
    rows[0] = 0
    return rows


def _compare(model: LinearModel, rows: Tensor, scores: Tensor, to: str) -> tuple[int, float]:
    """(near ties that went the other way, largest difference of scores); raises if more than rounding differs."""
    made = model.extractor is not None
    rows = model.extractor.transform(rows) if model.extractor is not None else rows
    own = model.scores(rows).cpu()
    mine, theirs = model.decide(own), model.decide(scores)
    size = (rows.double().abs() @ model.weight.double().abs().cpu().mT + model.bias.double().abs().cpu()).amax(1)
    # a row of zeros has scores of exactly 0, of which `run_graph` marks the label's by the next number above
    rounding = torch.finfo(model.weight.dtype)
    allowed = ROUNDING * rounding.eps * model.n_features**0.5 * size + rounding.tiny  # (n,)
    allowed += EXTRACTED * size if made else 0.0
    difference = (own.double() - scores.double()).abs().amax(1)
    if model.many:
        split = torch.where(mine == theirs, 0.0, model.shift(own.double()).abs()).amax(1)
    else:
        pair = torch.stack((mine, theirs), 1)
        split = model.shift(own.double()).gather(1, pair).diff(dim=1).squeeze(1).abs()  # 0 where the labels agree
    wrong = (difference > allowed) | (split > 2 * allowed)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ExportError(
            f"the {to} file does not score row {row} as the model does: {scores[row].tolist()} against "
            f"{own[row].tolist()}. Nothing was written; please report this."
        )
    return int((mine != theirs).view(len(rows), -1).any(1).sum()), float(difference.max())


def _encode_sklearn(model: LinearModel) -> bytes:
    from sklearn.linear_model import LogisticRegression  # a second to import, for this format alone
    from sklearn.svm import LinearSVC

    if model.thresholds is not None:
        raise InputError(
            "scikit-learn's linear classifiers have no place for thresholds of classes. Export to onnx or numpy, or "
            "calibrate the temperature alone."
        )
    plain = model.seen_by("probabilities")

    def fitted(weight: NDArray[Any], bias: NDArray[Any], classes: NDArray[Any]) -> Any:
        estimator = LogisticRegression() if model.has_probabilities else LinearSVC()
        estimator.classes_, estimator.coef_, estimator.intercept_ = classes, weight, bias
        estimator.n_features_in_ = model.n_features
        estimator.n_iter_ = np.zeros(1, dtype=np.int32) if model.has_probabilities else 0
        return estimator

    weight, bias = plain.weight.double().cpu().numpy(), plain.bias.double().cpu().numpy()
    classes = _class_labels(model)
    sigmoid = model.probability == "sigmoid"
    if not model.many and (model.n_classes == 2 or not sigmoid):
        if model.n_classes == 2:  # scikit-learn keeps the difference of the two, of sigmoids half of it
            weight, bias = ((part[1:] - part[:1]) / (1 + sigmoid) for part in (weight, bias))
        return pickle.dumps(fitted(weight, bias, classes))
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    each = OneVsRestClassifier(LogisticRegression() if sigmoid else LinearSVC())
    classes = np.arange(model.n_classes) if model.many else classes
    each.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(np.eye(len(classes)) if model.many else classes)
    each.classes_ = each.label_binarizer_.classes_ = classes  # in the model's order
    each.estimators_ = [fitted(weight[j : j + 1], bias[j : j + 1], np.array([0, 1])) for j in range(model.n_classes)]
    each.n_features_in_ = model.n_features
    return pickle.dumps(each)


def _class_labels(model: LinearModel) -> NDArray[Any]:
    """The class names as the labels they were in training; names of no such number stay text."""
    names, kind = model.class_names, model.label_kind
    if kind == "bool" and set(names) <= {"False", "True"}:
        return np.array([name == "True" for name in names])
    if kind in ("int", None) and all(WHOLE.fullmatch(name) for name in names):
        for width in (np.int64, np.uint64):
            with contextlib.suppress(OverflowError):  # beyond that
                return np.array([int(name) for name in names], dtype=width)
    return np.array(names)


def _decode_sklearn(content: bytes, model: LinearModel, rows: Tensor) -> Tensor:
    found = torch.as_tensor(pickle.loads(content).decision_function(rows.cpu().numpy()))  # our own bytes
    found = found * (model.temperature or 1.0)
    if model.n_classes == 2 and not model.many:  # the model's first score and the difference say the second
        first = model.scores(rows).cpu().double()[:, 0]
        return torch.stack((first, first + found * (1 + (model.probability == "sigmoid"))), 1)
    return found


def _encode_numpy(model: LinearModel) -> bytes:
    buffer = io.BytesIO()
    calibration: Any = {
        name: np.array(getattr(model, name)) for name in CALIBRATION if getattr(model, name) is not None
    }
    np.savez(
        buffer,
        weight=model.weight.cpu().numpy(),
        bias=model.bias.cpu().numpy(),
        class_names=np.array(model.class_names),
        image_shape=np.array(model.image_shape or (), dtype=np.int64),
        value_range=np.array(model.value_range),
        provenance=np.array(json.dumps(model.provenance, sort_keys=True)),
        **calibration,
    )
    return buffer.getvalue()


def _decode_numpy(content: bytes, model: LinearModel, rows: Tensor) -> Tensor:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return _score(torch.from_numpy(file["weight"]), torch.from_numpy(file["bias"]), rows)


def _encode_csv(model: LinearModel) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    extra = {
        "temperature": None if model.temperature is None else [model.temperature] * model.n_classes,
        "threshold": model.thresholds,
    }
    columns = {name: values for name, values in extra.items() if values is not None}  # after the features
    writer.writerow(["class", "bias", *(f"feature_{number}" for number in range(model.n_features)), *columns])
    digits = 9 if model.weight.dtype == torch.float32 else 17
    for place, (name, bias, weights) in enumerate(
        zip(model.class_names, model.bias.tolist(), model.weight.tolist(), strict=True)
    ):
        own = (f"{values[place]:.17g}" for values in columns.values())
        writer.writerow([name, *(f"{value:.{digits}g}" for value in (bias, *weights)), *own])
    return text.getvalue().encode()


def _decode_csv(content: bytes, model: LinearModel, rows: Tensor) -> Tensor:
    lines = list(csv.reader(io.StringIO(content.decode(), newline="")))[1:]
    numbers = torch.tensor([[float(value) for value in line[1:]] for line in lines], dtype=torch.float64)
    return _score(numbers[:, 1 : 1 + model.n_features], numbers[:, 0], rows)


def _score(weight: Tensor, bias: Tensor, rows: Tensor) -> Tensor:
    return rows.cpu().double() @ weight.double().mT + bias.double()


Encode = Callable[[LinearModel], bytes]
Decode = Callable[[bytes, LinearModel, Tensor], Tensor | None]  # scores (n, c) of the file, None if nothing runs it
FORMATS: dict[str, tuple[str, Encode, Decode]] = {
    "onnx": (".onnx", build_graph, run_graph),
    "sklearn": (".pkl", _encode_sklearn, _decode_sklearn),
    "numpy": (".npz", _encode_numpy, _decode_numpy),
    "csv": (".csv", _encode_csv, _decode_csv),
}
