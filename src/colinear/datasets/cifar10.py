"""CIFAR-10 in its official Python files: found, fetched if need be, checked, and read without running code.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
https://www.cs.toronto.edu/~kriz/cifar.html, which publishes the archive and its MD5.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from colinear.checks import InputError
from colinear.datasets.base import ArrayDataset, Progress
from colinear.datasets.doors import as_path
from colinear.datasets.fetch import check_md5, download, unpack, user_cache
from colinear.datasets.unpickle import unpickle
from colinear.texts import shown_path

TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_FILE = "test_batch"
META_FILE = "batches.meta"
IMAGE_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Source:
    """Where the files come from and what they must be: names inside the archive and published MD5 sums."""

    url: str = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    archive_md5: str = "c58f30108f718f92721af3b95e74349a"
    folder: str = "cifar-10-batches-py"
    md5s: Mapping[str, str] = field(
        default_factory=lambda: {
            META_FILE: "5ff9c542aee3614f3951f8cda6e48888",
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            TEST_FILE: "40351d587109b95175f43aff81a1287e",
        }
    )

    @property
    def archive(self) -> str:
        """File name of the archive."""
        return self.url.rsplit("/", 1)[-1]


def load_cifar10(
    data_dir: str | Path | None = None, *, source: Source | None = None, progress: Progress | None = None
) -> tuple[ArrayDataset, ArrayDataset]:
    """Return (train, test): uint8 (50000, 3072) and (10000, 3072), rows as (channel, row, column).

    Looked for in `data_dir`, or else in the folder that COLINEAR_DATA names, or else in the user cache; each
    may hold the official folder `cifar-10-batches-py`, be that folder, or hold or be `cifar-10-python.tar.gz`
    (unpacked into the user cache). If only the cache is left and has none, the archive is downloaded there.
    Every file is checked by MD5 once; the result is remembered in the user cache.

    progress : called as progress(what, done, total) during the download.
    source : other files of the same form, with their sums.
    Raises `InputError` for a missing or partial folder, a changed file, a failed download.
    Cost: about 0.2 s; the first time 0.4 s for the sums, and the unpacking of an archive 2 s.
    """
    source = source or Source()
    everything, n_train = _read(find_cifar10(data_dir, source=source, progress=progress), source)
    return everything.subset(slice(0, n_train)), everything.subset(slice(n_train, everything.n_samples))


def find_cifar10(
    data_dir: str | Path | None = None, *, source: Source | None = None, progress: Progress | None = None
) -> Path:
    """Return the folder with the official files, unpacking or downloading the archive if need be."""
    source = source or Source()
    named = data_dir or os.environ.get("COLINEAR_DATA")
    root = as_path(named) if named else user_cache()
    found = _look_in(root, source)
    if found is None and named:
        origin = "data_dir" if data_dir else "COLINEAR_DATA"
        what = f"has neither {source.folder} nor {source.archive}" if os.path.exists(root) else "does not exist"
        raise InputError(
            f"{origin} {shown_path(root)} {what}.\n"
            f"Give a folder with {source.folder} or {source.archive}, or leave {origin} out to download it."
        )
    return found or _unpacked(download(source.url, source.archive_md5, user_cache(), progress), source)


def _look_in(root: Path, source: Source) -> Path | None:
    """The official folder in `root`, `root` itself, or what an archive there unpacks to, or None."""
    if os.path.isfile(root) and root.name == source.archive:
        return _unpacked(root, source)
    if os.path.isdir(root / source.folder):
        return root / source.folder
    if any(os.path.isfile(root / name) for name in source.md5s):
        return root
    if os.path.isfile(root / source.archive):
        return _unpacked(root / source.archive, source)
    return None


def _unpacked(archive: Path, source: Source) -> Path:
    advice = f"Delete it and fetch {source.url} again."
    check_md5(archive, source.archive_md5, advice)
    folder = user_cache() / source.folder
    if not folder.is_dir():
        unpack(archive, source.folder, tuple(source.md5s), folder)
    return folder


def _read(folder: Path, source: Source) -> tuple[ArrayDataset, int]:
    """All rows, training first, and how many of them are for training."""
    missing = [name for name in source.md5s if not os.path.isfile(folder / name)]
    if missing:
        raise InputError(
            f"{shown_path(folder)} must have the {len(source.md5s)} official files; it lacks {', '.join(missing)}.\n"
            f"Unpack {source.archive} again."
        )
    for name, expected in source.md5s.items():
        check_md5(folder / name, expected, f"Delete it and unpack {source.archive} again, from {source.url}.")
    # An official file has no opcodes to fear. Another one with its MD5 would be a second preimage (2^123 steps; what
    # MD5 lost is that a pair can be made), and could still run nothing, only use up memory.
    known = source.md5s == Source().md5s
    names = _read_names(folder / META_FILE, known)
    batches = [_read_batch(folder / name, len(names), known) for name in (*TRAIN_FILES, TEST_FILE)]
    everything = ArrayDataset(
        features=torch.from_numpy(np.concatenate([pixels for pixels, _ in batches])),
        labels=torch.tensor([label for _, labels in batches for label in labels]),
        class_names=names,
        image_shape=IMAGE_SHAPE,
        name="cifar10",
        value_range=255.0,
    )
    return everything, everything.n_samples - len(batches[-1][1])


def _read_names(path: Path, known: bool) -> tuple[str, ...]:
    names = unpickle(path.read_bytes(), path, known=known).get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, bytes | str) for name in names):
        raise InputError(f"{path} must have label_names, a list of strings; fetch it again.")
    if len(set(names)) < len(names):
        raise InputError(f"{path} must name every class once; fetch it again.")
    return tuple(name.decode("utf-8") if isinstance(name, bytes) else name for name in names)


def _read_batch(path: Path, n_classes: int, known: bool) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels uint8 (n, 3072) and labels of one batch file."""
    batch: dict[str, Any] = unpickle(path.read_bytes(), path, known=known)
    pixels, labels = batch.get("data"), batch.get("labels")
    width = IMAGE_SHAPE[0] * IMAGE_SHAPE[1] * IMAGE_SHAPE[2]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (width,):
        raise InputError(f"{path} must have data of uint8 (n, {width}); fetch it again.")
    good = isinstance(labels, list) and all(type(label) is int and 0 <= label < n_classes for label in labels)
    if not good or len(labels or ()) != len(pixels):
        raise InputError(f"{path} must have one label in [0, {n_classes}) for each of its rows; fetch it again.")
    return pixels, labels or []
