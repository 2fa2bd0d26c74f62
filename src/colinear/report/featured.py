"""What the report shows of features: patches that push a class, examples, and the dictionary for 'Try it'."""

from __future__ import annotations

import base64
from typing import Any

import torch
from torch import Tensor

from colinear.datasets.base import Dataset
from colinear.datasets.features import fit_scaling
from colinear.extractors import Patches
from colinear.model import LinearModel
from colinear.report.images import is_picture
from colinear.report.sprites import stretch

EXAMPLES, EXAMPLE_CLASSES = 4, 20  # surest and least sure rows of a class that is labelled right; classes with some
PUSHING, PUSHED = 8, 40  # patches of a class; classes


def push_of(model: LinearModel, train: Dataset) -> Tensor | None:
    """For each class the patches that move its score most, by a standard deviation of their sums on training rows.

    Returns  (classes, patches, 2) float64: number of a patch, and how far it moves the score; None without patches.
    """
    if model.extractor is None or not isinstance(model.extractor.extractor, Patches):
        return None
    spread = 1 / fit_scaling(train, standardize=True).scale.cpu()
    push = (model.weight.cpu().double() * spread)[:PUSHED]
    push = push.view(len(push), 4, -1).sum(1)  # over quadrants
    best = push.topk(min(PUSHING, push.shape[1]), dim=1)
    return torch.stack([best.indices.double(), best.values], 2)


def pick_examples(labels: Tensor, confidence: Tensor, correct: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Rows labelled right, and (m, 3) float64 of class, confidence, and 1 of the surest, 0 of the least sure.

    labels, confidence, correct : (n,) of test rows.
    """
    rows, facts = [], []
    for number in range(min(n_classes, EXAMPLE_CLASSES)):
        right = (correct & (labels == number)).nonzero().squeeze(1)
        order = right[confidence[right].argsort(descending=True, stable=True)]
        for first, some in ((1, order[:EXAMPLES]), (0, order[EXAMPLES:][-EXAMPLES:].flip(0))):
            rows.append(some)
            about = [labels[some], confidence[some], torch.full_like(confidence[some], first)]
            facts.append(torch.stack([one.double() for one in about], 1))
    return torch.cat(rows), torch.cat(facts)


def draw_patches(model: LinearModel, pushing: Tensor) -> Tensor | None:
    """The whitened patches of `push_of`, class by class, as pictures (m, channels, size, size) uint8.

    None where they are not of this model, or no pictures.
    """
    fitted = model.extractor
    if fitted is None or not isinstance(fitted.extractor, Patches) or not is_picture(fitted.rows.image_shape):
        return None
    if len(pushing) > model.n_classes or int(pushing[..., 0].max()) >= fitted.extractor.count:
        return None
    chosen = fitted.tensors["centres"][pushing[..., 0].long().flatten()]
    return stretch(chosen).view(len(chosen), fitted.rows.image_shape[0], *2 * (fitted.extractor.size,))


def embed_patches(model: LinearModel, most_bytes: int) -> dict[str, Any] | None:
    """The dictionary, for a page that makes features itself; None of others, and with weights beyond `most_bytes`."""
    fitted = model.extractor
    if fitted is None or not isinstance(fitted.extractor, Patches) or not is_picture(fitted.rows.image_shape):
        return None
    if 4 * (model.weight.numel() + sum(one.numel() for one in fitted.tensors.values())) > most_bytes:
        return None
    options = fitted.extractor
    arrays = {name: as_base64(tensor) for name, tensor in fitted.tensors.items()}
    return {"count": options.count, "size": options.size, "contrast": options.contrast, **arrays}


def as_base64(values: Tensor) -> str:
    """Numbers as float32, little endian."""
    return base64.b64encode(values.contiguous().numpy().astype("<f4").tobytes()).decode()
