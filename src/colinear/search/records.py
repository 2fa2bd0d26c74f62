"""How a run's folder keeps how each test row was labelled, curves and pictures: a file for each loss, read and checked.

report-data/LOSS.safetensors is written by `report.record` when the loss is finished. `SHAPES` says what may be in it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from colinear.checks import MOST_COUNT, InputError
from colinear.datasets.base import Dataset
from colinear.metrics import PairedTest, mcnemar
from colinear.metrics.calibration import BINS
from colinear.schemas import Schema, parse_json
from colinear.search.runfolder import RunFolder
from colinear.search.settings import LOSS_NAMES
from colinear.texts import shorten, shown

FORMAT = "colinear-report-data-1"
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
            "test_rows": {"type": ["string", "null"]},
        },
    }
)
SAME = ("test", "test_rows")  # facts of which one has to be alike: the same features, or features of the same rows
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
    "samples": (torch.uint8, ("samples", "channels", "height", "width")),  # of classes in their order, levels of 255
}


ROUNDING = 1e-6  # of a mean of float32 probabilities


@dataclass(frozen=True, eq=False)
class Record:
    """The content of one report-data file; every tensor of `SHAPES` may be missing."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    def get(self, name: str) -> Tensor | None:
        return self.tensors.get(name)


def record_name(loss: str) -> str:
    return f"report-data/{loss}.safetensors"


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
        counts, shares = tensor[:, 0], tensor[tensor[:, 0] > 0, 1:]
        whole_rows = (counts >= 0) & (counts == counts.floor()) & (counts <= MOST_COUNT)
        return bool(whole_rows.all() and len(shares) and ((shares >= 0) & (shares <= 1 + ROUNDING)).all())
    whole = {"mistakes": [0, 1], "examples": [0, 2], "pushing": [0]}.get(name)
    if whole is not None:
        numbers = tensor[..., whole]
        return bool(tensor.isfinite().all() and ((numbers >= 0) & (numbers == numbers.floor())).all())
    return True


def rows_digest(rows: Dataset, seed: int) -> str:
    """Short hash of which rows these are, whatever features they have: the seed that dealt them, names, labels.

    Two runs on features of the same pictures, as of two layers of a network, have it alike, and so can be paired.
    """
    digest = hashlib.sha256(json.dumps([seed, *rows.class_names]).encode())
    digest.update(rows.labels.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def paired_test(first: Record | None, second: Record | None) -> PairedTest | None:
    """McNemar's test of two winners; None unless both were scored on the same test rows, or on features of them."""
    if first is None or second is None:
        return None
    same = any(first.facts.get(key) is not None and first.facts[key] == second.facts.get(key) for key in SAME)
    mine, theirs = first.get("correct"), second.get("correct")
    if not same or mine is None or theirs is None or len(mine) != len(theirs):
        return None
    return mcnemar(torch.ones_like(mine), mine, theirs)
