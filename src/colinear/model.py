"""A trained linear classifier: weights on raw features, names, provenance; one safetensors file.

Preprocessing is affine, so it is folded into the weights: a model takes raw features or raw uint8 pixels, and
its file holds two tensors and a JSON header. Loading runs no code.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from colinear.checks import InputError, check_features, check_finite
from colinear.datasets.base import ImageShape
from colinear.datasets.features import Scaling

FORMAT = "colinear-linear-model-1"


@dataclass(frozen=True, eq=False)
class LinearModel:
    """scores = weight @ raw + bias; the label is the class with the largest score, the lowest index on ties.

    weight : (c, d) float32.   bias : (c,) float32.   class_names : c strings.
    image_shape : (channels, height, width) or None.
    value_range : the raw value that stands for full intensity (255 for uint8 images), 1 for tables.
    provenance : JSON-able facts about the training (loss, reg, seed, data fingerprint, accuracies, versions).

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

    @classmethod
    def from_coef(
        cls,
        coef: Tensor,
        scaling: Scaling,
        class_names: tuple[str, ...],
        image_shape: ImageShape | None = None,
        value_range: float = 1.0,
        provenance: dict[str, Any] | None = None,
    ) -> LinearModel:
        """Fold `scaling` into `coef` (c, d [+ 1]) in float64, store float32."""
        weight, bias = scaling.fold(coef)
        return cls(weight.float(), bias.float(), class_names, image_shape, value_range, dict(provenance or {}))

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

    def scores(self, features: Tensor) -> Tensor:
        """Scores (n, c) float32 of raw features (n, d): uint8, float32 or float64. Raises on NaN or infinity."""
        check_finite(check_features(features, self.n_features))
        return torch.addmm(self.bias, features.to(self.weight.device, self.weight.dtype), self.weight.mT)

    def predict(self, features: Tensor) -> Tensor:
        """Class indices (n,) int64."""
        return self.scores(features).argmax(1)

    def predict_proba(self, features: Tensor) -> Tensor:
        """Softmax of the scores (n, c). Raises for a hinge model, whose scores are no log-probabilities."""
        if self.loss != "softmax":
            raise InputError(
                f"probabilities need a softmax model; this one was trained with the {self.loss} loss. "
                "Use its scores, or train with --loss softmax."
            )
        return self.scores(features).softmax(1)

    def to_bytes(self) -> bytes:
        """The content of a model file: two tensors and a JSON header, the same bytes for the same model."""
        header = {
            "format": FORMAT,
            "class_names": self.class_names,
            "image_shape": self.image_shape,
            "value_range": self.value_range,
            "provenance": self.provenance,
        }
        # one entry: safetensors writes several in an order that changes from process to process
        header_text = {"colinear": json.dumps(header, sort_keys=True)}
        return save({"weight": self.weight.cpu().contiguous(), "bias": self.bias.cpu().contiguous()}, header_text)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one .safetensors file: beside `path` first, then renamed, so a file is whole or absent."""
        path = Path(path)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            aside.write_bytes(self.to_bytes())
            aside.replace(path)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise InputError(f"model {path} could not be written: {error.strerror}. Pass another place.") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LinearModel:
        """Read a model file; raises `InputError` if it is missing, cut short or no model of this package."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"model {path} does not exist. Train one with `colinear tune` or `colinear fit`.")
        try:
            with safe_open(path, framework="pt") as file:
                text = (file.metadata() or {}).get("colinear", "{}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"model {path} cannot be read ({error}). It may be cut short: copy it again.") from None
        return cls._from_parts(path, text, tensors)

    @classmethod
    def _from_parts(cls, path: Path, text: str, tensors: dict[str, Tensor]) -> LinearModel:
        try:
            header = json.loads(text)
            if header.get("format") != FORMAT or set(tensors) != {"weight", "bias"}:
                raise InputError(f"{path} is a safetensors file but no colinear model; expected format {FORMAT}.")
            names = tuple(str(name) for name in header["class_names"])
            shape = header["image_shape"]
            image_shape = None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2]))
            value_range = float(header["value_range"])
            provenance = dict(header["provenance"])
        except InputError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"model {path} has a damaged header ({error!r}). Copy it again.") from None
        weight, bias = tensors["weight"], tensors["bias"]
        fits = weight.ndim == 2 and bias.shape == weight.shape[:1] == (len(names),)
        if image_shape is not None:
            fits = fits and min(image_shape) > 0 and weight.shape[1] == image_shape[0] * image_shape[1] * image_shape[2]
        if not fits or not bool(torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise InputError(f"model {path} is inconsistent: weights, classes and image shape do not fit together.")
        return cls(weight.float(), bias.float(), names, image_shape, value_range, provenance)
