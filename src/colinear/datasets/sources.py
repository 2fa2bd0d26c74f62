"""What a source provides: the table of datasets that have a name, and how a path is told to be a file or a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from colinear.checks import InputError
from colinear.datasets.base import ArrayDataset, Progress
from colinear.datasets.cifar10 import META_FILE, load_cifar10
from colinear.datasets.doors import as_path
from colinear.datasets.folders import class_folders, find_folder_parts, load_folder, load_folder_parts
from colinear.datasets.shards import load_shard_parts
from colinear.datasets.tables import find_table_parts, load_table, load_table_parts
from colinear.datasets.weights import attach_files
from colinear.parallel.group import ALONE, Group
from colinear.texts import shorten, shown_path

RUN_PART = re.compile(r"figures|report-data|checkpoints|try-\d+")  # folders of a run
DIGITS = "datasets/data/digits.csv.gz"  # inside scikit-learn: 64 pixels and the label a line


@dataclass(frozen=True)
class Parts:
    """What a source itself provides."""

    train: ArrayDataset
    validation: ArrayDataset | None = None
    test: ArrayDataset | None = None
    from_tail: bool = False  # validation is the end of the training rows, not drawn
    scored_on: str = "all"  # the part that is evaluated where none is asked for and the source has no test rows


def load_digits() -> ArrayDataset:
    """Return the digits that scikit-learn ships, 8 x 8 grey pixels of 0 to 16: uint8 (1797, 64), classes '0' to '9'.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).

    >>> data = load_digits()
    >>> data.n_samples, data.n_features, data.n_classes, data.value_range
    (1797, 64, 10, 16.0)
    """
    pixels, labels = _read_digits()
    return ArrayDataset(
        features=torch.from_numpy(pixels.astype(np.uint8)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        class_names=tuple(str(digit) for digit in range(10)),
        image_shape=(1, 8, 8),
        name="digits",
        value_range=16.0,
        label_kind="int",
    )


def _read_digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels (1797, 64) and labels, from scikit-learn's file: to import scikit-learn takes a second."""
    home = find_spec("sklearn")
    path = Path((home and home.origin) or "").parent / DIGITS
    if path.is_file():
        table: NDArray[Any] = np.loadtxt(path, delimiter=",")
        return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits as load_bundled  # a version that keeps its file elsewhere

    pixels, labels = load_bundled(return_X_y=True)
    return pixels, labels


def _cifar10(data_dir: str | Path | None, progress: Progress | None) -> Parts:
    train, test = load_cifar10(data_dir, progress=progress)
    return Parts(train, test=test, from_tail=True)


# name -> what gives its parts, from the folder that holds it and a listener for downloads
NAMED: dict[str, Callable[[str | Path | None, Progress | None], Parts]] = {
    "digits": lambda data_dir, progress: Parts(load_digits(), scored_on="test"),
    "cifar10": _cifar10,
}
SHOWABLE = ("digits",)  # whose pictures pages may show to strangers; those of CIFAR-10 have no licence


def open_parts(
    data: str | Path,
    data_dir: str | Path | None = None,
    label: str | None = None,
    size: tuple[int, int] | None = None,
    progress: Progress | None = None,
    weight: str | None = None,
    group: Group = ALONE,
) -> Parts:
    """The rows of a name, a file or a folder, as it has them. The arguments are those of `splits.open_split`."""
    path = as_path(data)
    if weight is not None and not weight.endswith(".npy"):
        return Parts(load_table(_as_file(path, weight), label=label, weight=weight, group=group))
    parts = _open(path, str(data), data_dir, label, size, progress, group)
    if weight is None:
        return parts
    own = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    home = path if os.path.isdir(path) else path.parent
    found = attach_files({part: rows for part, rows in own.items() if rows is not None}, weight, home)
    return replace(parts, train=found["train"], validation=found.get("validation"), test=found.get("test"))


def _as_file(path: Path, weight: str) -> Path:
    """The one file that can have a column of weights."""
    if not os.path.isfile(path):
        raise InputError(
            f"{shown_path(path)} has no column {shorten(weight, 60)}: columns of weights are those of feature files. "
            "Give --sample-weight a .npy file with one number a row."
        )
    return path


def _open(
    path: Path,
    data: str,
    data_dir: str | Path | None,
    label: str | None,
    size: tuple[int, int] | None,
    progress: Progress | None,
    group: Group,
) -> Parts:
    if data in NAMED:
        return NAMED[data](data_dir, progress)
    if os.path.isfile(path / META_FILE):
        return _cifar10(path, progress)
    if not os.path.lexists(path):
        raise InputError(
            f"data must be {', '.join(NAMED)}, a feature file, or a folder of shards or images; there is no "
            f"'{shown_path(path)}'. Check the path."
        )
    if not os.path.isdir(path):
        return Parts(load_table(path, label=label, group=group))
    if find_table_parts(path):
        return _own_parts(load_table_parts(path, group))
    _refuse_run(path)
    if shards := load_shard_parts(path, label, group):
        return _own_parts(shards)
    if find_folder_parts(path):
        return _own_parts(load_folder_parts(path, size=size, progress=progress))
    return Parts(load_folder(path, size=size, progress=progress))


def _refuse_run(path: Path) -> None:
    """Raise `InputError` for a folder that `colinear tune` wrote: its figures would be read as pictures of a class."""
    signs = os.path.isfile(path / "settings.json") and any((path / name).exists() for name in (".lock", "results.json"))
    if signs and all(RUN_PART.fullmatch(folder.name) for folder in class_folders(path)):
        where = shown_path(path)
        raise InputError(
            f"{where} is the folder of a run, no data. See it with `colinear report {where}`, beside others with "
            f"`colinear compare`, or name its model: {where}/model-LOSS.safetensors."
        )


def _own_parts(loaded: dict[str, ArrayDataset]) -> Parts:
    return Parts(loaded["train"], loaded.get("validation"), loaded.get("test"))
