"""What a run keeps for its report: the other candidates' weights, loss curves, and how each test row was labelled.

One file a loss, report-data/LOSS.safetensors, written when the loss is finished, so that `colinear report` needs
the run's folder and nothing else. Weights of candidates are pictures of 8 bits, curves have at most 200 points.
Test images among the mistakes stay in the user's own folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.answers import is_right
from colinear.datasets.base import Dataset, Split
from colinear.datasets.features import fit_scaling
from colinear.metrics.calibration import BINS, bin_confidences
from colinear.model import LinearModel
from colinear.objective import score_rows
from colinear.report.featured import pick_examples, push_of
from colinear.report.images import is_picture
from colinear.report.sprites import shrink_templates
from colinear.schemas import Schema, parse_json
from colinear.search.curves import decimate
from colinear.search.listener import Listener
from colinear.search.runfolder import RunFolder
from colinear.search.settings import LOSS_NAMES
from colinear.search.trials import SearchResult
from colinear.search.winner import LossRun
from colinear.search.written import read_settings
from colinear.texts import shorten, shown
from colinear.tracking import Everyone

FORMAT = "colinear-report-data-1"
MISTAKES = 24
FACTS = Schema(
    {
        "type": "object",
        "required": ["format", "loss", "model", "test"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": FORMAT},
            "loss": {"enum": list(LOSS_NAMES)},
            "model": {"type": "string"},
            "test": {"type": ["string", "null"]},
        },
    }
)
# tensor -> its numbers, and its sizes: a letter is the same size wherever it stands
SHAPES: dict[str, tuple[torch.dtype, tuple[str | int, ...]]] = {
    "templates": (torch.uint8, ("candidates", "classes", "channels", "h", "w")),
    "history": (torch.float32, ("candidates", "points")),
    "steps": (torch.float32, ("points",)),
    "correct": (torch.uint8, ("rows",)),
    "bins": (torch.float64, (BINS, 3)),  # rows, their mean confidence, their share labelled right
    "bins_before": (torch.float64, (BINS, 3)),  # the same without the model's calibration
    "mistakes": (torch.float64, ("mistakes", 3)),  # truth, predicted, confidence
    "pixels": (torch.uint8, ("mistakes", "channels", "height", "width")),
    "pushing": (torch.float64, ("pushed", "patches", 2)),  # number of a patch, how far it moves the score of a class
    "examples": (torch.float64, ("examples", 3)),  # class, confidence, 1 of the surest and 0 of the least sure
    "example_pixels": (torch.uint8, ("examples", "channels", "height", "width")),
}


@dataclass(frozen=True, eq=False)
class Record:
    """The content of one report-data file; every tensor of `SHAPES` may be missing."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    def get(self, name: str) -> Tensor | None:
        return self.tensors.get(name)


def record_name(loss: str) -> str:
    return f"report-data/{loss}.safetensors"


def record_run(folder: RunFolder, run: LossRun, split: Split) -> None:
    """Write what the report of `run` needs, unless it is there: a run taken up again has no candidates to show.

    Deterministic: the same run gives the same bytes. Cost: one pass over the test rows.
    """
    digest = model_digest(run.model)
    earlier = load_record(folder, run.loss) if run.result is None else None
    if earlier is not None and earlier.facts.get("model") == digest:
        return
    tensors = {} if run.result is None else _of_search(run.result, run.model, folder, split)
    facts: dict[str, Any] = {"format": FORMAT, "loss": run.loss, "model": digest, "test": None}
    if split.test is not None:
        tensors |= _of_test(run.model, split.test)
        facts["test"] = split.test.fingerprint
    tensors = {name: tensor.cpu().contiguous() for name, tensor in sorted(tensors.items()) if tensor.numel()}
    folder.write(record_name(run.loss), save(tensors, {"colinear": json.dumps(facts, sort_keys=True)}))


def load_record(folder: RunFolder, loss: str) -> Record | None:
    """The record of a loss, None if there is none. Raises `InputError` if it is damaged or not as `SHAPES` has it."""
    path = folder.path / record_name(loss)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = parse_json((file.metadata() or {})["colinear"].encode(errors="surrogatepass"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        wrong = FACTS.problem(facts) or _tensor_problem(tensors)
        if wrong is not None:
            raise ValueError(wrong)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({shorten(error, 160)}). Delete it: the report then leaves its charts out."
        ) from None
    return Record(facts, tensors)


def _tensor_problem(tensors: dict[str, Tensor]) -> str | None:
    """What no record that was written has: other tensors, kinds of numbers, sizes, and values out of range."""
    sizes: dict[str, int] = {}
    for name, tensor in tensors.items():
        dtype, wanted = SHAPES.get(name, (None, ()))
        if tensor.dtype != dtype or tensor.ndim != len(wanted):
            return f"it has a tensor {shown(name)}, {tensor.dtype} of shape {tuple(tensor.shape)}"
        for size, known in zip(tensor.shape, wanted, strict=True):
            if size != (known if isinstance(known, int) else sizes.setdefault(known, size)) or size == 0:
                return f"{name} has shape {tuple(tensor.shape)}, which does not fit"
    if sizes.get("channels", 1) not in (1, 3):
        return "its pictures are neither grey nor red, green and blue"
    return next(
        (f"the values of {name} are out of range" for name, tensor in tensors.items() if not _holds(name, tensor)), None
    )


def _holds(name: str, tensor: Tensor) -> bool:
    """Whether the values are such as a record has."""
    if name == "steps":
        return bool(((tensor > 0) & tensor.isfinite()).all())
    if name == "correct":
        return int(tensor.max()) <= 1
    if name in ("bins", "bins_before"):
        counts = tensor[:, 0]
        return bool(((counts >= 0) & counts.isfinite()).all() and counts.sum() > 0) and not bool(tensor.isinf().any())
    whole = {"mistakes": [0, 1], "examples": [0, 2], "pushing": [0]}.get(name)
    if whole is not None:
        numbers = tensor[..., whole]
        return bool(tensor.isfinite().all() and ((numbers >= 0) & (numbers == numbers.floor())).all())
    return True


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
        raw = test.take(worst.to(test.labels.device)).cpu().float()
        grey_levels = (raw * (255 / test.value_range)).round().clamp(0, 255)
        tensors["pixels"] = grey_levels.to(torch.uint8).view(len(worst), *model.image_shape)
    pictures = getattr(test, "pictures", None)
    if pictures is not None:  # of the raw rows that these are features of
        tensors["pixels"] = pictures[worst]
        chosen, tensors["examples"] = pick_examples(labels, confidence, correct, model.n_classes)
        tensors["example_pixels"] = pictures[chosen]
    return tensors


def _bins(confidence: Tensor, correct: Tensor) -> Tensor:
    found = bin_confidences(confidence, correct)
    return torch.stack([found.counts.double(), found.confidence, found.accuracy], 1)
