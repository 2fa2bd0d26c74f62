"""Which files of a folder are shards, in which order, and which hold their labels; see `shards`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from colinear.checks import InputError
from colinear.datasets.doors import as_path, guarded
from colinear.datasets.folders import PART_NAMES, class_folders
from colinear.texts import shown_path

ENDINGS = (".npy", ".npz", ".pt", ".pth", ".safetensors", ".parquet")
EMBEDDINGS = "img_emb"  # the folder in which clip-retrieval writes img_emb_0000.npy, ...
ANNOUNCED = re.compile(r"-of-(\d+)\.")  # the number of files, in the names of each
# from the stem of a shard to the one of its labels
BESIDE: tuple[Callable[[str], str], ...] = (
    lambda stem: f"{stem}-labels",
    lambda stem: f"{stem}_labels",
    lambda stem: re.sub(r"^.*?([-_.]?\d+)$", r"labels\1", stem),
    lambda stem: stem.replace("features", "labels"),
    lambda stem: stem.replace("X", "y"),
)


def find_shards(path: Path, label: str | None = None) -> dict[str, list[Path]]:
    """Return the shards of each part of a folder, in order; only 'train' if it has no parts, {} if it has no shards.

    label : as in `shards.load_shards`; a file of labels among the shards is none of them.
    Raises `InputError` for files of several kinds or names, numbers that are missing or twice, and a part without any.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("part-2.npy", "part-10.npy", "part-1.npy"):
    ...         _ = (Path(folder) / name).write_bytes(b"")
    ...     find_shards(Path(folder))
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: ...: part-2.npy is followed by part-10.npy; numbers must have no gap. ...
    """
    parts: dict[str, list[Path]] = {}
    files = _list_files(path, label)
    for file in files:
        parts.setdefault(PART_NAMES.get(_first_word(file), ""), []).append(file)
    if files and ("train" not in parts or "" in parts):
        return {"train": _in_order(files)}
    if not files:
        folders = {PART_NAMES.get(folder.name.lower(), ""): folder for folder in class_folders(path)}
        parts = {part: _list_files(folder, label) for part, folder in folders.items() if part}
        if not parts.get("train"):
            return {}
        empty = next((folders[part] for part, inside in parts.items() if not inside), None)
        if empty is not None:
            like = shown_path(Path(folders["train"].name))
            raise InputError(f"{shown_path(empty)} must hold shards, as {like} beside it does; it has none.")
    return {part: _in_order(inside) for part, inside in parts.items()}


def find_labels(files: Sequence[Path], label: str | None) -> list[Path]:
    """Return the files of labels of `.npy` shards: one for each, or one for the rows of all."""
    folder, stem = files[0].parent, files[0].stem
    if label is not None:
        given = as_path(label)
        return [folder / given if not os.path.isfile(given) and os.path.isfile(folder / given) else given]
    folders = [folder]
    if folder.name == EMBEDDINGS:
        folders += [folder.parent, folder.parent / "labels"]
    for place in folders:
        for name in BESIDE:
            if name(stem) != stem and os.path.isfile(place / f"{name(stem)}.npy"):
                return [place / f"{name(file.stem)}.npy" for file in files]
    common = re.split(r"[-_.]?\d", stem)[0]  # part of part-0000
    for place in folders:
        for one in (f"{common}-labels", f"{common}_labels", "labels", "y"):
            if os.path.isfile(place / f"{one}.npy"):
                return [place / f"{one}.npy"]
    raise InputError(
        f"{shown_path(folder)} needs labels: {shown_path(Path(f'{stem}-labels.npy'))} beside each shard, or labels.npy "
        "for all; there are none. Name one file for all with --label FILE."
    )


def _list_files(path: Path, label: str | None) -> list[Path]:
    """The files of `path`, or of img_emb in it, that may be shards; none unless one is numbered or Parquet."""
    for folder in (path, path / EMBEDDINGS):
        if not os.path.isdir(folder):
            continue
        with guarded(folder, "a folder", "Check its permissions."):
            files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
        files = [file for file in files if not file.name.startswith(".") and not _holds_labels(file, label)]
        if any(re.search(r"\d", file.stem) or file.suffix.lower() == ".parquet" for file in files):
            return files
    return []


def _holds_labels(file: Path, label: str | None) -> bool:
    words = re.findall(r"[a-z]+", file.stem.lower())
    named = label is not None and file.name == Path(label).name
    return file.suffix.lower() == ".npy" and (named or "labels" in words or words[:1] == ["y"])


def _first_word(file: Path) -> str:
    return re.split(r"[^a-z]", file.name.lower())[0]


def _in_order(files: list[Path]) -> list[Path]:
    """`files` by the one number in which their names differ; Parquet files that do not are in the order of names."""
    kinds = {file.suffix.lower(): file for file in files}
    if len(kinds) > 1:
        raise InputError(
            _unlike(
                files[0],
                next(file for kind, file in kinds.items() if kind != files[0].suffix.lower()),
                "must be of one kind",
            )
        )
    names = [re.split(r"(\d+)", file.name) for file in files]  # texts and numbers in turn
    like = next((n for n, one in enumerate(names) if one[::2] != names[0][::2]), None)
    places = range(1, len(names[0]), 2)
    differ = [place for place in places if len({int(one[place]) for one in names}) > 1] if like is None else []
    if like is None and len(differ) <= 1:
        place = differ[0] if differ else next((p for p in places if int(names[0][p]) <= 1), len(names[0]) - 2)
        return _without_gaps(sorted(zip((int(one[place]) for one in names), files, strict=True)))
    if ".parquet" in kinds:
        keys = [[int(word) if word.isdigit() else word for word in one] for one in names]
        return [files[number] for number in sorted(range(len(files)), key=lambda number: keys[number])]
    raise InputError(_unlike(files[0], files[like or 1], "must have names that differ in one number"))


def _unlike(one: Path, other: Path, rule: str) -> str:
    pair = f"{shown_path(Path(one.name), 60)} and {shown_path(Path(other.name), 60)}"
    return f"shards in {shown_path(one.parent)} {rule}; got {pair}. Keep one set of shards in a folder."


def _without_gaps(numbered: list[tuple[int, Path]]) -> list[Path]:
    folder, (first, name) = shown_path(numbered[0][1].parent), numbered[0]
    if first > 1:
        raise InputError(
            f"{folder}: the numbers of shards must begin with 0 or 1; {shown_path(Path(name.name))} is first."
        )
    for (number, file), (after, following) in pairwise(numbered):
        pair = f"{shown_path(Path(file.name), 60)} is followed by {shown_path(Path(following.name), 60)}"
        if after != number + 1:
            rule = "no number must stand twice" if after == number else "numbers must have no gap"
            raise InputError(f"{folder}: {pair}; {rule}. Copy the missing shards, or number them anew.")
    announced = ANNOUNCED.search(name.name)
    if announced is not None and int(announced[1]) != len(numbered):
        raise InputError(
            f"{folder} must have {int(announced[1]):,} shards, as {shown_path(Path(name.name), 60)} says; it has "
            f"{len(numbered):,}. Copy the missing ones."
        )
    return [file for _, file in numbered]
