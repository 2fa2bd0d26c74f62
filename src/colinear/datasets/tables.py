"""Feature files: numpy, torch, safetensors, Parquet and svmlight files to an `ArrayDataset`.

Files from others are data, never code: numpy's pickled object arrays are refused and torch files are read with
`weights_only`. What a file may be and may ask for is said in `doors`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError, check_features, check_finite
from colinear.datasets.arrays import open_npy, plain_tensor, read_npz, read_safetensors, read_torch
from colinear.datasets.base import ArrayDataset
from colinear.datasets.blocks import HALVES, Blocks, Matrix, in_memory
from colinear.datasets.columns import needs_float64, read_parquet, read_svmlight
from colinear.datasets.doors import as_path, check_claim, check_file, check_memory, reading
from colinear.datasets.labels import RawLabels, encode_labels, kind_of_labels, match_classes
from colinear.datasets.manylabels import MARK
from colinear.datasets.sparse import SparseMatrix
from colinear.datasets.sparsefiles import read_sparse
from colinear.datasets.weights import read_column
from colinear.parallel.group import ALONE, Group
from colinear.texts import clean_name, shorten, shown_path

RawFeatures = Tensor | NDArray[Any] | SparseMatrix
CHECK_ROWS = 8192
NAME_BYTES = 32  # of memory for a byte of text, where names have one letter
SVMLIGHT = (".svm", ".svmlight", ".libsvm", ".txt")
SPARSE = (".npz", *SVMLIGHT)  # of rows without labels


def load_table(
    path: str | Path, *, label: str | None = None, weight: str | None = None, group: Group = ALONE
) -> ArrayDataset:
    """Return the rows and labels of a feature file, named after the file.

    .npy : the matrix, memory-mapped; the labels lie in the .npy that `label` names (a path as it stands, or
        beside the matrix; a .txt has in each line the names of a row's classes), else beside it in X -> y or
        features -> labels of its name, <name>_labels.npy, labels.npy or y.npy.
    .npz, .pt, .pth, .safetensors : arrays under X, x, features, embeddings or data, and labels under `label`,
        else y, labels, targets, ...
    .npz of scipy.sparse.save_npz : the CSR, CSC or COO matrix, kept sparse; labels in the same archive, or else as
        those of a .npy file.
    .parquet : one column of lists, or every numeric column; labels in the column `label`, else label, labels,
        y, target or class. Needs pyarrow.
    .svm, .svmlight, .libsvm, .txt : svmlight text, float32; kept sparse if at most a quarter of the values is not 0.
    weight : the column or key that says what each row counts, of .parquet, .npz, .pt, .pth and .safetensors.
    group : of processes that open the file together; each looks for values that are not finite in its range of rows.
    Features stay uint8, float32 or float64; float16 and bfloat16 stay as they are stored, and rows of them are read as
    float32; booleans and other integers become float32, or float64 where a whole number is beyond 2^24 in size. Labels
    may be of any kind, see `encode_labels`.
    Raises `InputError` for files that are missing, damaged, empty or pickled, text features, values that are
    not finite (row and column are named), and labels that do not fit; for anything but a regular file; and for
    a file that announces more than it can hold or the machine has memory for.
    Cost: one pass over the features to find values that are not finite.
    """
    path = as_path(path)
    reader = find_reader(path)
    check_file(path)
    with reading(path, path.suffix.lower()):
        features, labels = reader(path, label, weight)
        codes, names = encode_labels(labels, f"labels of {shown_path(path)}")
        matrix = as_features(features, path, group=group)
    if len(codes) != len(matrix):
        raise InputError(
            f"{shown_path(path)} must have one label per row; got {len(codes)} labels for {len(matrix)} rows."
        )
    weights = None if weight is None else read_column(path, weight, len(matrix))
    name, kind = clean_name(path.stem), kind_of_labels(labels)
    return ArrayDataset(matrix, codes, names, name=name, label_kind=kind, sample_weight=weights)


def load_features(path: str | Path) -> Tensor:
    """Return only the matrix (n, d) of a `.npy` file, memory-mapped, for rows that have no labels.

    A file of `open_features` whose rows are sparse is made dense.
    """
    path = as_path(path)
    matrix = open_features(path)
    if isinstance(matrix, SparseMatrix):
        check_memory(path, matrix.dtype.itemsize * len(matrix) * matrix.width, "the matrix, made dense,")
    if isinstance(matrix, Blocks):
        check_memory(path, 4 * len(matrix) * matrix.shape[1], "the matrix as float32")
    return in_memory(matrix)


def open_features(path: Path) -> Matrix:
    """Only the matrix (n, d) of a `.npy` file, half precision left as it is stored, or the rows of a sparse file."""
    check_file(path)
    ending = path.suffix.lower()
    with reading(path, ending if ending in SPARSE else ".npy"):
        if ending == ".npz":
            found = read_sparse(path, None)
            if found is None:
                raise InputError(
                    f"{shown_path(path)} must be a file of scipy.sparse.save_npz. Give other rows as .npy."
                )
            return found[0]
        return as_features(read_svmlight(path, None)[0] if ending in SPARSE else open_npy(path), path)


def find_table_parts(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the files of a folder with X_train.npy and y_train.npy (or features_, labels_): part -> (X, y).

    Parts are train, validation (also written val) and test; the dict is empty if train is not there.
    """
    parts: dict[str, tuple[Path, Path]] = {}
    for part, spelled in (("train", "train"), ("validation", "validation"), ("validation", "val"), ("test", "test")):
        for first, second in (("X", "y"), ("features", "labels")):
            pair = folder / f"{first}_{spelled}.npy", folder / f"{second}_{spelled}.npy"
            if os.path.isfile(pair[0]) and os.path.isfile(pair[1]):
                parts[part] = pair
    return parts if "train" in parts else {}


def load_table_parts(folder: Path, group: Group = ALONE) -> dict[str, ArrayDataset]:
    """Return the parts that `find_table_parts` finds, all with the class names of the training part."""
    loaded = {
        part: load_table(matrix, label=str(labels), group=group)
        for part, (matrix, labels) in find_table_parts(folder).items()
    }
    train = loaded["train"]
    return {part: match_classes(data, train.class_names, many=train.labels.ndim == 2) for part, data in loaded.items()}


def as_features(raw: RawFeatures, path: Path, held: int | None = None, group: Group | None = ALONE) -> Matrix:
    """Return `raw` as a (n, d) matrix of uint8, float32 or float64 with finite values, without a copy if it fits.

    Half precision stays as it is stored, and is float32 when rows are read: `Blocks`.
    held : bytes of the file or files that announce it; default the size of `path`.
    group : as of `load_table`; None: no value is looked at.
    """
    what = f"features of {shown_path(path)}"
    if isinstance(raw, SparseMatrix):
        return raw
    stored = plain_tensor(raw, what) if isinstance(raw, Tensor) else _from_numpy(raw, path, what)
    kept = stored.dtype in (torch.uint8, torch.float32, torch.float64, *HALVES)
    needed = stored.numel() * (stored.itemsize if kept else 4)
    # rows that share memory were announced by a few bytes
    check_claim(path, needed, check_file(path) if held is None else held, "the matrix")
    if not kept:
        wide = not stored.is_floating_point() and needs_float64(stored.numpy())
        check_memory(path, needed * (1 + wide), f"the matrix as float{64 if wide else 32}")
        stored = stored.double() if wide else stored.float()
    halves = stored.dtype in HALVES and stored.ndim == 2
    matrix: Matrix = check_features(Blocks((stored,)) if halves else stored, what=what)
    if group is not None:
        check_values(stored, path, group.own(len(stored)))
    return matrix


def check_values(stored: Tensor, path: Path, rows: slice) -> None:
    """Raise `InputError` with the first value of a range of rows (n, d) of the file `path` that is not finite."""
    if stored.is_floating_point():
        for start in range(rows.start, rows.stop, CHECK_ROWS):
            part = stored[start : min(start + CHECK_ROWS, rows.stop)]
            check_finite(part, f"features of {shown_path(path)}", start)


def _from_numpy(array: NDArray[Any], path: Path, what: str) -> Tensor:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "biuf":
        raise InputError(
            f"{what} must be numbers; got {shorten(array.dtype)}. Convert text or objects to numbers first."
        )
    native = np.dtype(np.float64) if kind == "f" and size > 8 else array.dtype.newbyteorder("=")
    if array.dtype != native:
        check_memory(path, array.size * native.itemsize, f"the matrix as {native}")
    with np.errstate(over="ignore"):  # a long double beyond float64 is named as infinite, by row and column
        array = array.astype(native, copy=False)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


Reader = Callable[[Path, str | None, str | None], tuple[RawFeatures, RawLabels]]


def find_reader(path: Path) -> Reader:
    """What gives features and labels of a file, from the names of its labels and of its weights, which are neither."""
    readers: dict[str, Reader] = {
        ".npy": _read_npy,
        ".npz": _read_npz,
        ".pt": read_torch,
        ".pth": read_torch,
        ".safetensors": read_safetensors,
        ".parquet": read_parquet,
        **dict.fromkeys(SVMLIGHT, read_svmlight),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        got = shorten(path.suffix, 30) or "no ending"
        raise InputError(f"{shown_path(path)} must end in one of {', '.join(readers)}; got {got!r}.")
    return reader


def _read_npy(path: Path, label: str | None, weight: str | None) -> tuple[RawFeatures, RawLabels]:
    features = open_npy(path)
    place = _labels_beside(path, label)
    return features, _read_names(place) if place.suffix.lower() == ".txt" else np.asarray(open_npy(place))


def _read_names(path: Path) -> list[list[str]]:
    """The names of each row, a line of text: between `|` if there is any in the file, else between spaces."""
    check_memory(path, NAME_BYTES * check_file(path), "the names of its rows")
    with reading(path, "text"):
        lines = path.read_bytes().decode("utf-8", "backslashreplace").split("\n")
    lines = lines[:-1] if not lines[-1] else lines
    mark = MARK if any(MARK in line for line in lines) else None
    return [line.split(mark) for line in lines]


def _read_npz(path: Path, label: str | None, weight: str | None) -> tuple[RawFeatures, RawLabels]:
    found = read_sparse(path, label)
    if found is None:
        return read_npz(path, label, weight)
    matrix, labels = found
    return matrix, np.asarray(open_npy(_labels_beside(path, label))) if labels is None else labels


def _labels_beside(path: Path, label: str | None) -> Path:
    if label is not None:
        given = as_path(label)
        beside = path.parent / given
        return beside if not os.path.isfile(given) and os.path.isfile(beside) else given
    renamed = [path.stem.replace("features", "labels"), path.stem.replace("X", "y")]
    for stem in (*renamed, f"{path.stem}_labels", "labels", "y"):
        candidate = path.with_name(f"{stem}.npy")
        if candidate != path and os.path.isfile(candidate):
            return candidate
    beside = path.with_name(f"{path.stem}_labels.npy")
    raise InputError(
        f"{shown_path(path)} needs a file of labels beside it: {shown_path(Path(beside.name))}, labels.npy or y.npy; "
        "there is none. Name it with --label FILE."
    )
