"""A folder of numbered files as one dataset: the rows of all of them, one file after the other.

| folder | rows | labels |
| --- | --- | --- |
| `.npy` | of part-0000.npy, ..., each memory-mapped | beside each shard, or one file for all rows |
| `.pt`, `.pth`, `.safetensors` | of all files, each memory-mapped | in each |
| `.npz` | of all files, in memory | in each |
| `.parquet` | of all files, as one table | a column |

Names differ in one number, which counts from 0 or 1 without a gap; Parquet files may have other names, which are
sorted then. Rows that clip-retrieval wrote lie in img_emb/, their labels there, in the folder above it, or in labels/
beside it. Files called train-... and test-..., or folders train/ and test/ with shards in each, are the parts of a
dataset (validation, valid and val too).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.arrays import open_npy
from colinear.datasets.base import ArrayDataset
from colinear.datasets.blocks import Blocks, Matrix, stack
from colinear.datasets.columns import read_parquets
from colinear.datasets.doors import as_path, check_file, check_memory, reading
from colinear.datasets.labels import RawLabels, encode_labels, kind_of_labels, match_classes
from colinear.datasets.manylabels import renumber
from colinear.datasets.shardfiles import find_labels, find_shards
from colinear.datasets.sparse import SparseMatrix
from colinear.datasets.tables import as_features, check_values, find_reader
from colinear.parallel.group import ALONE, Group
from colinear.texts import clean_name, shorten, shown_path

COPIED = ".npz"  # numpy begins its members at odd bytes, where no float may lie; the others are memory-mapped


@dataclass(frozen=True, eq=False)
class _Shard:
    """The rows of one file, the type that they are stored in, and their labels: codes, class names, kind."""

    file: Path
    stored: str
    matrix: Matrix
    labels: tuple[Tensor, tuple[str, ...], str] | None

    @property
    def copied(self) -> int:
        """Bytes of memory that the rows take, 0 where they are memory-mapped."""
        if isinstance(self.matrix, SparseMatrix):
            return 2 * self.matrix.nbytes  # and once more when they are joined
        held = self.matrix.parts[0] if isinstance(self.matrix, Blocks) else self.matrix
        as_stored = self.stored == str(held.dtype) and self.file.suffix.lower() != COPIED
        return 0 if as_stored else held.numel() * held.itemsize


def load_shards(path: str | Path, *, label: str | None = None) -> ArrayDataset:
    """Return the rows and labels of a folder of shards without parts as one dataset, named after the folder.

    path : the folder; the module's table says what may lie in it, links included.
    label : where labels lie, as for `load_table` of one file: a file with the labels of all rows for .npy (default:
        labels.npy or y.npy), else the key or column of each file. Labels beside part-0000.npy are called
        part-0000-labels.npy, part-0000_labels.npy or labels-0000.npy (and y for X, labels for features, as there).
    Returns  a dataset whose `features` are the `Blocks` of all files: `take` copies the rows that are asked for and no
        others, and `subset(slice(start, stop))` is a range of rows across files. Its fingerprint is that of the same
        rows in one file.
    Raises   `InputError` for whatever `find_shards` and `load_table` refuse, and for shards that differ in columns or
        type.
    Cost     one pass over the features to find values that are not finite.
    """
    path = as_path(path)
    found = find_shards(path, label)
    if list(found) != ["train"]:
        got = ", ".join(found) or "none"
        raise InputError(f"{shown_path(path)} must hold shards of one part, as part-0000.npy, ...; it has {got}.")
    return _load(found["train"], path, label)


def load_shard_parts(path: Path, label: str | None = None, group: Group = ALONE) -> dict[str, ArrayDataset]:
    """Return the parts that `find_shards` finds, all with the columns and the class names of the training part.

    group : of processes that open the folder together; each looks for values that are not finite in its range of rows,
        and reads no others of `.npy` shards for that.
    """
    loaded = {part: _load(files, path, label, group) for part, files in find_shards(path, label).items()}
    for part, data in loaded.items():
        train = loaded["train"]
        if data.n_features != train.n_features:
            raise InputError(
                f"{shown_path(path)}: {part} rows must have {train.n_features} columns, as training rows; they have "
                f"{data.n_features}."
            )
        loaded[part] = match_classes(data, train.class_names, many=train.labels.ndim == 2)
    return loaded


def open_shard_features(path: Path) -> Matrix:
    """Return only the matrix (n, d) of the `.npy` shards in a folder, memory-mapped, for rows that have no labels."""
    files = [file for part in find_shards(path).values() for file in part]
    if not files or files[0].suffix.lower() != ".npy":
        raise InputError(f"{shown_path(path)} must hold shards of rows, as part-0000.npy, ...; it has none.")
    return stack([shard.matrix for shard in _open_all(files, path)])


def _load(files: list[Path], path: Path, label: str | None, group: Group = ALONE) -> ArrayDataset:
    ending, name = files[0].suffix.lower(), clean_name(path.resolve().name)
    if ending == ".parquet":
        with reading(path, ending):
            features, raw = read_parquets(files, path, label)
            labels = _encode(raw, path, len(features))
            matrix = as_features(features, path, sum(check_file(file) for file in files), group)
        return ArrayDataset(matrix, labels[0], labels[1], name=name, label_kind=labels[2])
    places = find_labels(files, label) if ending == ".npy" else []
    each = places if len(places) == len(files) else None
    shards = _open_all(files, path, each, label, group)
    matrix = stack([shard.matrix for shard in shards])
    codes, names, kind = _join_labels(shards) if each or not places else _read_labels(places[0], path, len(matrix))
    return ArrayDataset(matrix, codes, names, name=name, label_kind=kind)


def _open_all(
    files: Sequence[Path],
    path: Path,
    places: Sequence[Path] | None = None,
    label: str | None = None,
    group: Group = ALONE,
) -> list[_Shard]:
    """Every file with its labels: those of `places` for .npy (none without them), its own for others."""
    shards: list[_Shard] = []
    copied = 0
    for number, file in enumerate(files):
        shards.append(_open(file, None if places is None else places[number], label))
        copied += shards[-1].copied
        check_memory(path, copied, "the rows of its shards")
        mine, first = ((one.matrix.shape[1], one.stored.removeprefix("torch.")) for one in (shards[-1], shards[0]))
        if mine != first:
            raise InputError(
                f"{shown_path(file)} must have {first[0]} columns of {first[1]}, as {shown_path(Path(files[0].name))}; "
                f"it has {mine[0]} of {mine[1]}. Write all shards alike."
            )
    _check_range(shards, group)
    return shards


def _check_range(shards: Sequence[_Shard], group: Group) -> None:
    """Look for values that are not finite in the range of all rows that is this process's."""
    own, first = group.own(sum(len(shard.matrix) for shard in shards)), 0
    for shard in shards:
        rows = slice(max(0, own.start - first), min(len(shard.matrix), own.stop - first))
        for part in shard.matrix.parts if isinstance(shard.matrix, Blocks) else (shard.matrix,):
            if isinstance(part, Tensor):
                check_values(part, shard.file, rows)
        first += len(shard.matrix)


def _open(file: Path, place: Path | None, label: str | None) -> _Shard:
    ending = file.suffix.lower()
    check_file(file)
    with reading(file, ending):
        raw, values = (open_npy(file), None) if ending == ".npy" else find_reader(file)(file, label, None)
        matrix = as_features(raw, file, group=None)  # values are looked at when all files are known
        labels = None if values is None else _encode(values, file, len(matrix))
    if place is not None:
        labels = _read_labels(place, file, len(matrix))
    return _Shard(
        file, shorten(raw.dtype if isinstance(raw, Tensor | SparseMatrix) else f"torch.{raw.dtype}"), matrix, labels
    )


def _read_labels(place: Path, path: Path, n_rows: int) -> tuple[Tensor, tuple[str, ...], str]:
    return _encode(open_npy(place), place, n_rows, path)


def _encode(
    values: RawLabels, place: Path, n_rows: int, path: Path | None = None
) -> tuple[Tensor, tuple[str, ...], str]:
    """Codes, class names and kind of the labels in `place`, one for each of the `n_rows` rows of `path`."""
    with reading(place, "labels"):
        codes, names = encode_labels(values, f"labels of {shown_path(place)}")
    if len(codes) != n_rows:
        raise InputError(
            f"{shown_path(path or place)} must have one label per row; got {len(codes)} labels for {n_rows} rows"
            f"{'' if path is None else f', in {shown_path(Path(place.name))}'}."
        )
    return codes, names, kind_of_labels(values)


def _join_labels(shards: Sequence[_Shard]) -> tuple[Tensor, tuple[str, ...], str]:
    """The labels of all shards by one list of names, sorted as if they had been encoded together."""
    labelled = [(shard.file, *shard.labels) for shard in shards if shard.labels is not None]
    first, kind = labelled[0][0], labelled[0][3]
    for file, _, _, other in labelled:
        if other != kind:
            raise InputError(
                f"labels must be of one kind in all shards; those of {shown_path(file)} are {other}, those of "
                f"{shown_path(Path(first.name))} {kind}. Write all shards alike."
            )
    names = sorted({name for _, _, known, _ in labelled for name in known}, key=int if kind == "int" else None)
    numbers = {name: number for number, name in enumerate(names)}
    codes = [
        renumber(coded, torch.tensor([numbers[name] for name in known]), len(names)) for _, coded, known, _ in labelled
    ]
    if len({coded.ndim for coded in codes}) > 1:
        raise InputError("labels must be of one kind in all shards; some have lists of names. Write all shards alike.")
    return torch.cat(codes), tuple(names), kind
