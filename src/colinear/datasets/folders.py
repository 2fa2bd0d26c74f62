"""Image folders: one folder a class, decoded in parallel into one uint8 matrix."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from colinear.checks import InputError, check_count
from colinear.datasets.base import ArrayDataset, ImageShape, Progress
from colinear.datasets.doors import as_path, check_claim, check_memory, guarded, quiet
from colinear.datasets.images import decode_image, probe_image
from colinear.datasets.labels import match_classes
from colinear.texts import clean_name, shorten, shown_path

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp"))
PART_NAMES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
UNREADABLE_SHARE = 0.01  # below this share of all files, unreadable ones are listed and left out
MAX_BYTES = 16 << 30
MOST_OTHERS = 100_000  # entries that are no pictures, a second's walk; ten times the pictures, where these are more
NAMED = 5  # unreadable files named in a message
NAME_SHOWN = 50  # characters of each name
PROGRESS_FILES = 64  # files between two calls of progress

logger = logging.getLogger(__name__)
Item = TypeVar("Item")


def load_folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> ArrayDataset:
    """Return the PNG, JPEG, BMP and WEBP files under path/CLASS/ as uint8 rows; classes and files in sorted order.

    size : (height, width) that every picture is stretched to; default the most common size (ties: the smaller).
    channels : 1 or 3; default 1 if every picture is grey, else 3.
    progress : called as progress(what, files done, files in all).
    workers : threads; default the number of cores (decoding releases the GIL).
    Hidden files and other endings are passed over. Unreadable pictures are named in a warning of the log and left
    out; from 1 % of all files on they are an `InputError`. So are a folder without classes or pictures, one with over
    100,000 other entries and ten of them for each picture, and more than 16 GiB of pixels.
    Cost: reads each header, then each file once; memory n * channels * height * width bytes.
    """
    path = as_path(path)
    files, labels, names = _list_files(path)
    threads = workers if workers is not None else min(32, os.cpu_count() or 1)
    with ThreadPoolExecutor(check_count("workers", threads)) as pool, quiet():
        found = list(_watch(pool.map(probe_image, files), len(files), "reading headers", progress))
        _report_unreadable([file for file, probe in zip(files, found, strict=True) if probe is None], files, path)
        probes = [probe for probe in found if probe is not None]
        counts = Counter(found_size for found_size, _ in probes)
        common = min(counts, key=lambda one: (-counts[one], one[0] * one[1], one))
        shape = (channels or (1 if all(grey for _, grey in probes) else 3), *(size or common))
        held = sum(file.stat().st_size for file, probe in zip(files, found, strict=True) if probe is not None)
        _check_room(path, len(files), shape, held if size is None else None)
        pixels = np.empty((len(files), *shape), np.uint8)

        def decode(row: int) -> bool:
            try:
                pixels[row] = decode_image(files[row], shape)
            except InputError:
                return False
            return True

        done = _watch(pool.map(decode, range(len(files))), len(files), "decoding pictures", progress)
        good = np.fromiter(done, bool)  # to the last, whose progress is told after it
    _report_unreadable([files[row] for row in np.flatnonzero(~good)], files, path)
    pixels = pixels if good.all() else pixels[good]
    return ArrayDataset(
        features=torch.from_numpy(pixels.reshape(len(pixels), -1)),
        labels=torch.tensor(labels)[torch.from_numpy(good)],
        class_names=names,
        image_shape=shape,
        name=clean_name(path.resolve().name),
        value_range=255.0,
    )


def find_folder_parts(path: Path) -> dict[str, Path]:
    """Return the part folders of a root that has only train, val (valid, validation) and test; else an empty dict."""
    folders = class_folders(path)
    parts = {PART_NAMES.get(folder.name.lower(), ""): folder for folder in folders}
    whole = "" not in parts and "train" in parts and all(class_folders(folder) for folder in folders)
    return parts if whole and len(parts) > 1 else {}


def load_folder_parts(
    path: Path, *, size: tuple[int, int] | None = None, progress: Progress | None = None
) -> dict[str, ArrayDataset]:
    """Return the parts that `find_folder_parts` finds, in the shape and with the class names of the training part."""
    folders = find_folder_parts(path)
    train = load_folder(folders["train"], size=size, progress=progress)
    channels, height, width = train.image_shape or (3, 0, 0)
    loaded = {"train": train}
    for part, folder in folders.items():
        if part != "train":
            data = load_folder(folder, size=(height, width), channels=channels, progress=progress)
            loaded[part] = match_classes(data, train.class_names)
    return loaded


def class_folders(path: Path) -> list[Path]:
    """The folders in `path` that are not hidden, sorted."""
    with guarded(path, "a folder", "Check its permissions."):
        return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def _list_files(path: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Picture files, the class number of each, and the names of the classes that have any."""
    if not os.path.isdir(path):
        raise InputError(f"{shown_path(path)} does not exist or is no folder. Give a folder with one folder a class.")
    files: list[Path] = []
    labels: list[int] = []
    names: list[str] = []
    others = 0
    for folder in class_folders(path):
        with guarded(folder, "a folder", "Check its permissions."):
            inside = []
            for entry in folder.rglob("*"):
                if _is_picture(entry):
                    inside.append(entry)
                else:
                    others += 1
                if others > max(MOST_OTHERS, 10 * (len(files) + len(inside))):
                    raise InputError(
                        f"{shown_path(path)} is not read on: among its first {others:,} files and folders that are no "
                        f"pictures stand {len(files) + len(inside):,} that are. Give the folder that holds one folder "
                        "a class."
                    )
        if inside:
            inside.sort()
            files += inside
            labels += [len(names)] * len(inside)
            names.append(clean_name(folder.name))
    if not files:
        raise InputError(
            f"{shown_path(path)} must have one folder a class with {', '.join(sorted(ENDINGS))} files inside, or "
            "shards, as part-0000.npy, ...; it has none."
        )
    return files, labels, tuple(names)


def _is_picture(file: Path) -> bool:
    """Whether a name in a class folder stands for a picture; pipes and dead links do, and are unreadable ones."""
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".") and not file.is_dir()


def _check_room(path: Path, count: int, shape: ImageShape, held: int | None) -> None:
    """Bound the matrix of pixels; where the files themselves announce its size, by their `held` bytes too."""
    needed = count * shape[0] * shape[1] * shape[2]
    if needed > MAX_BYTES or min(shape) < 1:
        raise InputError(
            f"{count} pictures of shape {shorten(shape)} take {needed >> 30:.4g} GiB; sizes must be >= 1 and at most "
            f"{MAX_BYTES >> 30} GiB are held. Give another size."
        )
    check_memory(path, needed, "the matrix of pixels")
    if held is not None:
        check_claim(path, needed, held, "the matrix of pixels")


def _watch(items: Iterable[Item], total: int, what: str, progress: Progress | None) -> Iterable[Item]:
    """Pass `items` on, telling `progress` now and then."""
    for count, item in enumerate(items, start=1):
        yield item
        if progress is not None and (count % PROGRESS_FILES == 0 or count == total):
            progress(what, count, total)


def _report_unreadable(bad: Sequence[Path], files: Sequence[Path], path: Path) -> None:
    if not bad:
        return
    named = ", ".join(shown_path(file.relative_to(path), NAME_SHOWN) for file in bad[:NAMED])
    named += ", ..." if len(bad) > NAMED else ""
    if len(bad) >= UNREADABLE_SHARE * len(files):
        raise InputError(
            f"{shown_path(path)}: {len(bad)} of {len(files)} pictures cannot be read (less than 1 % may be): {named}. "
            "Repair or remove them."
        )
    logger.warning(
        "%s: %d of %d pictures cannot be read and are left out: %s", shown_path(path), len(bad), len(files), named
    )
