"""The user's own extractor: a function from a batch of raw pictures to rows of features.

It is imported where somebody names it, and never because a file does: a model's file keeps the name alone.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.base import Dataset
from colinear.extractors.base import Extractor, Fitted, RowKind, Told
from colinear.texts import shorten

BATCH = 256  # rows that a function is given
Function = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Custom(Extractor):
    """A function that is given pictures (b, channels, height, width), or rows of a table (b, d), as they are stored,
    and returns features (b, D): a tensor or an array of numbers.

    place : MODULE:FUNCTION.   digest : of the module's source, which tells one version of it from another.
    function : what is called; None for one that was read from a file, which takes no rows until it is named again.
    It has to treat each row by itself: batches of 256 rows are not those of another command.
    """

    place: str
    digest: str | None = None
    function: Function | None = field(default=None, repr=False, compare=False)

    kind: ClassVar[str] = "custom"

    def __post_init__(self) -> None:
        if not isinstance(self.place, str) or not isinstance(self.digest, str | None):
            raise InputError("an extractor of your own has the name MODULE:FUNCTION and the digest of its source.")

    @property
    def name(self) -> str:
        return self.place

    def check(self, rows: RowKind) -> None:
        """It is the function's to say."""

    def together(self, rows: RowKind) -> int:
        return BATCH

    def width(self, rows: RowKind) -> int:
        raise NotImplementedError("known from the first rows")

    def options(self) -> dict[str, Any]:
        return {"place": self.place, "digest": self.digest}

    def fit(self, dataset: Dataset, seed: int = 0, progress: Told | None = None) -> Fitted:
        kind = RowKind.of(dataset)
        first = self.apply(dataset.take(slice(0, 1)), kind, {})
        return Fitted(self, kind, {}, seed, first.shape[1])

    def apply(self, rows: Tensor, kind: RowKind, tensors: Mapping[str, Tensor]) -> Tensor:
        if self.function is None:
            raise InputError(
                f"the features come from {shorten(self.place)}, which no file starts. Name it again with --with "
                f"{shorten(self.place)}, or give rows of features."
            )
        batch = rows if kind.image_shape is None else rows.view(len(rows), *kind.image_shape)
        try:
            with torch.no_grad():
                found = self.function(batch)
            features = found.detach().cpu() if isinstance(found, Tensor) else torch.as_tensor(np.asarray(found))
        except Exception as error:  # the user's own code, which may fail in any way
            reason = shorten(" ".join(str(error).split()), 160)
            raise InputError(
                f"{shorten(self.place)} failed on a batch of shape {tuple(batch.shape)} "
                f"({type(error).__name__}: {reason})."
            ) from error
        if features.ndim != 2 or len(features) != len(rows) or features.dtype in (torch.complex64, torch.complex128):
            raise InputError(
                f"{shorten(self.place)} must return numbers of shape (b, D) for a batch of b; got {features.dtype} of "
                f"shape {tuple(features.shape)} for b = {len(rows)}."
            )
        return features.float()


def import_custom(place: str) -> Custom:
    """The function that MODULE:FUNCTION names, imported: the working directory is looked through last.

    Raises `InputError` if there is no such module or function, or if importing it fails.
    """
    module_name, _, function_name = place.partition(":")
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        module = import_module(module_name)
    except Exception as error:  # the user's own code, which may fail in any way
        reason = shorten(" ".join(str(error).split()) or type(error).__name__, 160)
        raise InputError(f"{shorten(place)} cannot be imported ({type(error).__name__}: {reason}).") from None
    finally:
        sys.path.remove(here)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"module {shorten(module_name)} must have a function {shorten(function_name)}; it has none.")
    source = getattr(module, "__file__", None)
    digest = None if source is None else hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]
    return Custom(place, digest, function)
