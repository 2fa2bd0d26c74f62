"""A trained linear classifier: weights on raw features, names, provenance; one safetensors file.

Preprocessing is affine, so it is folded into the weights: a model takes raw features or raw uint8 pixels, and
its file (see `modelfile`) holds two tensors and a JSON header. A model of extracted features keeps the extractor too.
Loading runs no code and imports nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from colinear.checks import InputError, check_choice, check_features, check_finite, check_number
from colinear.datasets.answers import decide
from colinear.datasets.base import LABEL_KINDS, Dataset, ImageShape
from colinear.datasets.features import Scaling
from colinear.datasets.sparse import SparseMatrix
from colinear.extractors import Fitted, restore
from colinear.metrics.metric import Sees
from colinear.modelfile import LEARNED, encode, read
from colinear.outputs import save_whole
from colinear.texts import shown

# float64 is kept where float32 would move a score by this share of the scores' spread: it is about the share of the
# rows whose label changes (a normal density is at most 0.4). 60,000 times the rounding of float32, so 2,020 +- 1 in a
# column stays float32 and 1e7 +- 1 does not; CIFAR-10 is 40 times below.
ROUNDING_SHOWS = 1e-4
MOST_ROWS = 1024
Rows = Tensor | SparseMatrix  # raw ones
HEADER = ("class_names", "image_shape", "value_range", "provenance", "label_kind")  # what a file has beside tensors
Link = Literal["softmax", "sigmoid"]
LINKS = get_args(Link)
CALIBRATION = ("temperature", "thresholds")  # what it has too where a model is calibrated


@dataclass(frozen=True, eq=False)
class LinearModel:
    """scores = weight @ raw + bias; the label is the class with the largest score, the lowest index on ties.

    Where rows may have many classes, a row has those with scores above 0.
    A calibrated model compares scores less `thresholds`, and its probabilities are the softmax of scores / temperature,
    where rows may have many classes the sigmoid of each.

    weight : (c, d) float32 or float64.   bias : (c,) of the same type.   class_names : c strings, no two alike.
    image_shape : (channels, height, width) or None.
    value_range : the raw value that stands for full intensity (255 for uint8 images), 1 for tables; finite, > 0.
    provenance : JSON-able facts about the training (loss, reg, seed, data fingerprint, accuracies, versions).
    label_kind : what the names were as labels: 'int', 'bool' or 'text'; None if that is not known.
    temperature : None, or a number > 0.     thresholds : None, or c finite numbers, in scores' units.
    link : what makes probabilities of scores; None is 'softmax' of a model of that loss, and nothing of others.
    many : whether a row may have any number of classes.
    extractor : what makes features of raw rows, or None where raw rows are the features. `scores` and `predict` take
        features in any case: `model.predict(model.extractor.transform(pictures))` labels pictures.
    Raises   `InputError` for parts that do not fit together and for weights that are not finite.

    >>> model = LinearModel(torch.eye(2), torch.zeros(2), ("no", "yes"))
    >>> model.predict(torch.tensor([[0.0, 3.0]]))
    tensor([1])
    """

    weight: Tensor
    bias: Tensor
    class_names: tuple[str, ...]
    image_shape: ImageShape | None = None
    value_range: float = 1.0
    provenance: dict[str, Any] = field(default_factory=dict)
    label_kind: str | None = None
    temperature: float | None = None
    thresholds: tuple[float, ...] | None = None
    link: Link | None = None
    many: bool = False
    extractor: Fitted | None = None

    def __post_init__(self) -> None:
        _check_names(self.class_names)
        c = len(self.class_names)
        if self.weight.ndim != 2 or len(self.weight) != c or self.bias.shape != (c,) or not self.weight.shape[1]:
            raise InputError(
                f"weight must be ({c}, n_features) and bias ({c},) for {c} class names; got "
                f"{tuple(self.weight.shape)} and {tuple(self.bias.shape)}."
            )
        if self.weight.dtype not in (torch.float32, torch.float64) or self.bias.dtype != self.weight.dtype:
            raise InputError(
                f"weight and bias must be both float32 or both float64; got {self.weight.dtype}, {self.bias.dtype}."
            )
        if not bool(torch.isfinite(self.weight).all() & torch.isfinite(self.bias).all()):
            raise InputError("weight and bias must be finite; at least one value is NaN or infinite.")
        if self.image_shape is not None:
            _check_shape(self.image_shape, self.n_features)
        check_number("value_range", self.value_range, above=0)
        if not isinstance(self.provenance, dict):
            raise InputError(f"provenance must be a dict of facts; got {type(self.provenance).__name__}.")
        if self.label_kind is not None:
            check_choice("label_kind", self.label_kind, LABEL_KINDS)
        if self.temperature is not None:
            check_number("temperature", self.temperature, above=0)
        if self.thresholds is not None:
            if len(self.thresholds) != c:
                raise InputError(f"thresholds must be {c} numbers, one a class; got {len(self.thresholds)}.")
            for threshold in self.thresholds:
                check_number("each threshold", threshold)
        if self.link is not None:
            check_choice("link", self.link, LINKS)
        if not isinstance(self.many, bool):
            raise InputError(f"many must be true or false; got {shown(self.many)}.")
        if self.extractor is not None and self.extractor.n_features != self.n_features:
            raise InputError(
                f"the extractor must make {self.n_features} features, the number of weights of a class; it makes "
                f"{self.extractor.n_features}."
            )

    @classmethod
    def from_coef(
        cls,
        coef: Tensor,
        scaling: Scaling,
        class_names: tuple[str, ...],
        image_shape: ImageShape | None = None,
        value_range: float = 1.0,
        provenance: dict[str, Any] | None = None,
        *,
        rows: Rows | None = None,
        label_kind: str | None = None,
        link: Link | None = None,
        many: bool = False,
        extractor: Fitted | None = None,
    ) -> LinearModel:
        """Fold `scaling` into `coef` (c, d [+ 1]) in float64, and store float32 where that is as good.

        rows : raw rows (n, d) of the kind that the model is for, a few hundred. float64 rows get a float64 model.
        For float32 and uint8 rows it is float32, unless that would move a score of them by more than 1e-4 of the
        scores' spread (whole numbers near 1e7, say). Without rows the weights keep the type of `coef`.
        Raises   `InputError` if folded weights are beyond float64.
        """
        weight, bias = scaling.fold(coef)
        kept = coef.dtype if rows is None else rows.dtype
        if kept != torch.float64 and not (rows is not None and rounding_shows(weight, bias, rows)):
            weight, bias = weight.float(), bias.float()
        facts = dict(provenance or {})
        return cls(
            weight, bias, class_names, image_shape, value_range, facts, label_kind, link=link, many=many,
            extractor=extractor,
        )  # fmt: skip

    @property
    def n_classes(self) -> int:
        return len(self.weight)

    @property
    def n_features(self) -> int:
        return self.weight.shape[1]

    @property
    def loss(self) -> str:
        """Name of the loss it was trained with, 'unknown' if the file does not say."""
        return str(self.provenance.get("loss", "unknown"))

    def scores(self, features: Rows) -> Tensor:
        """Scores (n, c) of raw features (n, d): uint8, float32 or float64, or a `SparseMatrix`.

        They are computed in float64, and are float64, if the weights or the features are; else in float32.
        Raises   `InputError` on NaN or infinity in the features, and for scores beyond the type's range.
        """
        check_features(features, self.n_features)
        if isinstance(features, Tensor):
            check_finite(features)
        weight, bias = self.weight, self.bias
        if features.dtype == torch.float64:  # rounding them to float32 would lose what they hold
            weight, bias = weight.double(), bias.double()
        scores = _affine(features.to(weight.device, weight.dtype), weight, bias)
        finite = torch.isfinite(scores).all(1)
        if not bool(finite.all()):
            raise InputError(
                f"the scores of row {int((~finite).nonzero()[0])} are beyond {str(scores.dtype).removeprefix('torch.')}"
                ": its features are too large for these weights. Give rows of the kind the model was trained on."
            )
        return scores

    @property
    def probability(self) -> Link | None:
        """What makes probabilities of scores, None if nothing does; a temperature is fitted to what stands here.

        That is the softmax, or where rows may have many classes the sigmoid of each.
        """
        if self.temperature is not None:
            return "sigmoid" if self.many else "softmax"
        return self.link or ("softmax" if self.loss == "softmax" else None)

    @property
    def has_probabilities(self) -> bool:
        """Whether scores are log-probabilities, by the loss or by a temperature."""
        return self.probability is not None

    def shift(self, scores: Tensor) -> Tensor:
        """Scores (n, c) less the thresholds: what decides on labels."""
        if self.thresholds is None:
            return scores
        return scores - torch.tensor(self.thresholds, dtype=torch.float64, device=scores.device).to(scores.dtype)

    def decide(self, scores: Tensor) -> Tensor:
        """Class indices (n,) int64 of scores (n, c); where rows may have many classes (n, c) int8, 1 for each."""
        return decide(self.shift(scores), many=self.many)

    def to_probabilities(self, scores: Tensor) -> Tensor:
        """Probabilities (n, c) of scores (n, c) of a model that has any.

        Those of a sigmoid are of one class against the rest; where a row has one class they are divided by their sum.
        """
        scores = scores if self.temperature is None else scores / self.temperature
        if self.probability == "softmax":
            return scores.softmax(1)
        return scores.sigmoid() if self.many else divide_by_sum(scores)

    def seen_by(self, sees: Sees) -> LinearModel:
        """The plain model whose scores decide on labels, or are log-probabilities, as the calibration has it: what a
        metric that `sees` these is asked about. Of 'ranks' it is this one without its calibration.
        """
        weight, bias = self.weight, self.bias
        if sees == "labels":
            bias = self.shift(bias.unsqueeze(0)).squeeze(0)
        elif sees == "probabilities" and self.temperature is not None:
            weight, bias = weight / self.temperature, bias / self.temperature
        return replace(self, weight=weight, bias=bias, temperature=None, thresholds=None)

    def predict(self, features: Rows) -> Tensor:
        """Class indices (n,) int64; where rows may have many classes (n, c) int8, 1 for each."""
        return self.decide(self.scores(features))

    def predict_proba(self, features: Rows) -> Tensor:
        """Probabilities (n, c), see `to_probabilities`.

        Raises for a hinge model without a temperature, whose scores are no log-probabilities.
        """
        if not self.has_probabilities:
            raise InputError(
                f"probabilities need a softmax or logistic model; this one was trained with the {self.loss} loss. "
                "Use its scores, or train with --loss softmax or --calibrate temperature."
            )
        return self.to_probabilities(self.scores(features))

    def to_bytes(self) -> bytes:
        """The content of a model file: tensors, a JSON header and a digest; the same bytes for the same model."""
        calibration = {name: getattr(self, name) for name in CALIBRATION if getattr(self, name) is not None}
        further = {name: value for name, value in (("link", self.link), ("many", self.many)) if value} | calibration
        header = {name: getattr(self, name) for name in HEADER} | further
        tensors = {"weight": self.weight, "bias": self.bias}
        if self.extractor is not None:
            header["extractor"] = self.extractor.facts()
            tensors |= {f"{LEARNED}{name}": tensor for name, tensor in self.extractor.tensors.items()}
        return encode(header, tensors)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .safetensors file: beside `path` first, then renamed, so a file is whole or absent."""
        save_whole(Path(path), self.to_bytes(), f"model {path}")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LinearModel:
        """Read a model file; raises `InputError` if it is missing, cut short, changed or no model of this package."""
        header, tensors = read(Path(path))
        learned = {name.removeprefix(LEARNED): one for name, one in tensors.items() if name.startswith(LEARNED)}
        extractor = header.get("extractor")
        try:
            return cls(
                tensors["weight"],
                tensors["bias"],
                _as_tuple("class_names", header["class_names"]),
                None if header["image_shape"] is None else _as_tuple("image_shape", header["image_shape"]),
                check_number("value_range", header["value_range"], above=0),
                header["provenance"],
                header.get("label_kind"),
                header.get("temperature"),
                None if header.get("thresholds") is None else _as_tuple("thresholds", header["thresholds"]),
                header.get("link"),
                header.get("many", False),
                None if extractor is None else restore(extractor, learned),
            )
        except KeyError as error:
            raise InputError(f"model {path} has a damaged header: {error} is missing. Copy it again.") from None
        except InputError as error:
            raise InputError(f"model {path} is inconsistent: {error}") from None


def divide_by_sum(scores: Tensor) -> Tensor:
    """sigmoid(scores) over their sum in each row, (n, c): by logarithms, for a row that no class claims.

    >>> divide_by_sum(torch.tensor([[-800.0, -800.0]]))
    tensor([[0.5000, 0.5000]])
    """
    return torch.nn.functional.logsigmoid(scores).softmax(1)


def rounding_shows(weight: Tensor, bias: Tensor, rows: Rows) -> bool:
    """Whether float32 moves a score of `rows` (n, d) by more than 1e-4 of the spread of the class's scores.

    weight : (c, d), bias : (c,), float64. What all classes share decides nothing and is left out of the spread. A
    single row is the difference of two classes, and counts as it is.
    """
    rows = rows.to(weight.device)
    exact = _affine(rows.to(dtype=torch.float64), weight, bias)  # (n, c)
    moved = _affine(rows.to(dtype=torch.float32), weight.float(), bias.float()).double().sub(exact).abs().amax()
    if len(weight) > 1:
        exact = exact - exact.mean(1, keepdim=True)
    spread = exact.std(0, correction=0).amax()
    return not bool(moved <= ROUNDING_SHOWS * spread)  # also where float32 overflows


def some_rows(dataset: Dataset) -> Rows:
    """Up to 1,024 raw rows of `dataset`, evenly spaced: those that `rounding_shows` is asked about."""
    step = max(1, -(-dataset.n_samples // MOST_ROWS))
    rows = torch.arange(0, dataset.n_samples, step, device=dataset.labels.device)
    return dataset.stored(rows) if dataset.layout == torch.sparse_csr else dataset.take(rows)


def _affine(rows: Rows, weight: Tensor, bias: Tensor) -> Tensor:
    """rows weight^T + bias, (n, c)."""
    if isinstance(rows, SparseMatrix):
        return rows.times(weight.mT.contiguous()) + bias
    return torch.addmm(bias, rows, weight.mT)


def _as_tuple(name: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise InputError(f"{name} must be a list; got {type(values).__name__}.")
    return tuple(values)


def _check_names(names: tuple[str, ...]) -> None:
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"class_names must be text, at least one; got {len(names)} names.")
    if len(set(names)) < len(names):
        number = next(number for number, name in enumerate(names) if name in names[:number])
        raise InputError(f"class_names must differ; number {number} has the name of an earlier one.")
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise InputError("class_names must be text that UTF-8 can write; rename the class with a stray byte.") from None


def _check_shape(shape: ImageShape, n_features: int) -> None:
    whole = len(shape) == 3 and all(type(size) is int and size > 0 for size in shape)
    if not whole or shape[0] * shape[1] * shape[2] != n_features:
        raise InputError(
            f"image_shape must be three whole numbers > 0 whose product is {n_features}, the number of weights of a "
            "class."
        )
