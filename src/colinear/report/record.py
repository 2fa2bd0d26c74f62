"""What a run keeps for its report: the other candidates' weights, loss curves, and how each test row was labelled.

One file a loss, report-data/LOSS.safetensors, written when the loss is finished, so that `colinear report` needs
the run's folder and nothing else. Weights of candidates are pictures of 8 bits, curves have at most 200 points.
Test images among the mistakes stay in the user's own folder.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from colinear.datasets.answers import is_right
from colinear.datasets.base import Dataset, Split
from colinear.datasets.features import fit_scaling
from colinear.datasets.sources import SHOWABLE
from colinear.metrics.calibration import bin_confidences
from colinear.model import LinearModel
from colinear.objective import score_rows
from colinear.report.featured import pick_examples, push_of
from colinear.report.images import is_picture
from colinear.report.sprites import shrink_templates
from colinear.search.curves import decimate
from colinear.search.listener import Listener
from colinear.search.records import FORMAT, load_record, record_name, rows_digest
from colinear.search.runfolder import RunFolder
from colinear.search.trials import SearchResult
from colinear.search.winner import LossRun
from colinear.search.written import read_settings
from colinear.tracking import Everyone

MISTAKES = 24
SAMPLED = 20  # classes


def record_run(folder: RunFolder, run: LossRun, split: Split) -> None:
    """Write what the report of `run` needs, unless it is there: a run taken up again has no candidates to show.

    Deterministic: the same run gives the same bytes. Cost: one pass over the test rows.
    """
    digest = model_digest(run.model)
    earlier = load_record(folder, run.loss) if run.result is None else None
    if earlier is not None and earlier.facts.get("model") == digest:
        return
    tensors = {} if run.result is None else _of_search(run.result, run.model, folder, split)
    facts: dict[str, Any] = {"format": FORMAT, "loss": run.loss, "model": digest, "test": None, "test_rows": None}
    if split.test is not None:
        tensors |= _of_test(run.model, split.test)
        if read_settings(folder).data in SHOWABLE:
            tensors |= _samples(split.test)
        facts["test"] = split.test.fingerprint
        facts["test_rows"] = rows_digest(split.test, read_settings(folder).seed)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in sorted(tensors.items()) if tensor.numel()}
    folder.write(record_name(run.loss), save(tensors, {"colinear": json.dumps(facts, sort_keys=True)}))


def model_digest(model: LinearModel) -> str:
    """Short hash of weights and bias: a record belongs to one model."""
    numbers = torch.cat([model.weight.cpu().reshape(-1), model.bias.cpu()])
    return hashlib.sha256(numbers.numpy().tobytes()).hexdigest()[:16]


class Recorder(Everyone):
    """A listener of `tune` that records every finished loss, then tells `inner`."""

    def __init__(self, inner: Listener, folder: RunFolder, split: Split) -> None:
        super().__init__(inner)
        self.folder, self.split = folder, split

    def finished(self, run: LossRun) -> None:
        record_run(self.folder, run, self.split)
        super().finished(run)


def _of_search(result: SearchResult, model: LinearModel, folder: RunFolder, split: Split) -> dict[str, Tensor]:
    tensors = {}
    if is_picture(model.image_shape):
        coef = result.coef.cpu()[..., : model.n_features].float()
        settings = read_settings(folder)
        if settings.standardize or settings.max_abs:  # else one scale for all pixels: the same picture
            scaling = fit_scaling(split.train, standardize=settings.standardize, max_abs=settings.max_abs)
            coef = coef * scaling.scale.float()
        tensors["templates"] = shrink_templates(coef, model.image_shape)
    if (pushing := push_of(model, split.train)) is not None:
        tensors["pushing"] = pushing
    if result.history is not None:
        tensors["history"], tensors["steps"] = decimate(result.history.cpu())
    return tensors


def _of_test(model: LinearModel, test: Dataset) -> dict[str, Tensor]:
    """How each row was labelled, and how sure the model was: its probability, or its margin without one."""
    if model.many:  # of an answer for each class there is no single mistake to show
        right = [is_right(scores.mT.unsqueeze(0), test.labels[rows])[0] for rows, scores in score_rows(model, test)]
        return {"correct": torch.cat(right).to(torch.uint8)}
    predicted, confidence = torch.empty(test.n_samples, dtype=torch.int64), torch.empty(test.n_samples)
    labels, plain = test.labels.cpu(), torch.empty(2, test.n_samples)  # without calibration: confidence, whether right
    calibrated = model.temperature is not None or model.thresholds is not None
    for rows, scores in score_rows(model, test):
        scores = scores.cpu()
        best = model.shift(scores).topk(2, dim=1).values
        predicted[rows] = model.decide(scores)
        if model.has_probabilities:
            chosen = predicted[rows].unsqueeze(1)
            confidence[rows] = model.to_probabilities(scores).gather(1, chosen).squeeze(1)
        else:
            confidence[rows] = best[:, 0] - best[:, 1]
        plain[0, rows], plain[1, rows] = scores.softmax(1).amax(1), (scores.argmax(1) == labels[rows]).float()
    correct = predicted == labels
    tensors = {"correct": correct.to(torch.uint8)}
    if model.has_probabilities:
        tensors["bins"] = _bins(confidence, correct)
    if calibrated and model.loss == "softmax":
        tensors["bins_before"] = _bins(plain[0], plain[1].bool())
    wrong = (~correct).nonzero().squeeze(1)
    worst = wrong[confidence[wrong].argsort(descending=True, stable=True)[:MISTAKES]]
    tensors["mistakes"] = torch.stack([labels[worst], predicted[worst], confidence[worst]], 1).double()
    if is_picture(model.image_shape) and len(worst):
        tensors["pixels"] = _levels(test, worst)
    pictures = getattr(test, "pictures", None)
    if pictures is not None:  # of the raw rows that these are features of
        tensors["pixels"] = pictures[worst]
        chosen, tensors["examples"] = pick_examples(labels, confidence, correct, model.n_classes)
        tensors["example_pixels"] = pictures[chosen]
    return tensors


def _samples(test: Dataset) -> dict[str, Tensor]:
    """The first test picture of each class; nothing where rows are no pictures, or a class has none."""
    labels, pictures = test.labels.cpu(), getattr(test, "pictures", None)
    if labels.ndim != 1 or not (pictures is not None or is_picture(test.image_shape)):
        return {}
    found = [(labels == number).nonzero()[:1, 0] for number in range(min(test.n_classes, SAMPLED))]
    if not all(map(len, found)):
        return {}
    rows = torch.cat(found)
    if pictures is None:
        pictures, rows = _levels(test, rows), torch.arange(len(rows))
    return {"samples": pictures[rows]}


def _levels(rows: Dataset, chosen: Tensor) -> Tensor:
    """Pictures (m, channels, h, w) uint8 of some rows."""
    assert rows.image_shape is not None
    raw = rows.take(chosen.to(rows.labels.device)).cpu().float()
    levels = (raw * (255 / rows.value_range)).round().clamp(0, 255)
    return levels.to(torch.uint8).view(len(chosen), *rows.image_shape)


def _bins(confidence: Tensor, correct: Tensor) -> Tensor:
    found = bin_confidences(confidence, correct)
    return torch.stack([found.counts.double(), found.confidence, found.accuracy], 1)
