"""Feature files: numpy, torch, safetensors, Parquet and svmlight files to an `ArrayDataset`.

Files from others are data, never code: numpy's pickled object arrays are refused and torch files are read with
`weights_only`. A `.npy` matrix is memory-mapped, never copied: pages are read as chunks ask for them.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from colinear.checks import InputError, check_features, check_finite
from colinear.datasets.base import ArrayDataset
from colinear.datasets.columns import read_parquet, read_svmlight
from colinear.datasets.labels import RawLabels, encode_labels, kind_of_labels, match_classes

Result = TypeVar("Result")
RawFeatures = Tensor | NDArray[Any]
FEATURE_KEYS = ("X", "x", "features", "embeddings", "data")
LABEL_KEYS = ("y", "Y", "labels", "label", "targets", "target")
CHECK_ROWS = 8192


def load_table(path: str | Path, *, label: str | None = None) -> ArrayDataset:
    """Return the rows and labels of a feature file, named after the file.

    .npy : the matrix, memory-mapped; the labels lie in the .npy that `label` names (a path as it stands, or
        beside the matrix), else beside it in X -> y or features -> labels of its name, <name>_labels.npy,
        labels.npy or y.npy.
    .npz, .pt, .pth, .safetensors : arrays under X, x, features, embeddings or data, and labels under `label`,
        else y, labels, targets, ...
    .parquet : one column of lists, or every numeric column; labels in the column `label`, else label, labels,
        y, target or class. Needs pyarrow.
    .svm, .svmlight, .libsvm, .txt : svmlight text, made dense float32.
    Features stay uint8, float32 or float64; float16, bfloat16, booleans and other integers become float32
    (whole numbers above 2^24 are rounded). Labels may be of any kind, see `encode_labels`.
    Raises `InputError` for files that are missing, damaged, empty or pickled, text features, values that are
    not finite (row and column are named), and labels that do not fit.
    Cost: one pass over the features to find values that are not finite.
    """
    path = Path(path).expanduser()
    features, labels = _read(path, label)
    codes, names = encode_labels(labels, f"labels of {path}")
    matrix = as_features(features, path)
    if len(codes) != len(matrix):
        raise InputError(f"{path} must have one label per row; got {len(codes)} labels for {len(matrix)} rows.")
    return ArrayDataset(matrix, codes, names, name=path.stem, label_kind=kind_of_labels(labels))


def load_features(path: str | Path) -> Tensor:
    """Return only the matrix (n, d) of a `.npy` file, memory-mapped, for rows that have no labels."""
    path = Path(path).expanduser()
    return as_features(_guarded(_open_npy, path), path)


def find_table_parts(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the files of a folder with X_train.npy and y_train.npy (or features_, labels_): part -> (X, y).

    Parts are train, validation (also written val) and test; the dict is empty if train is not there.
    """
    parts: dict[str, tuple[Path, Path]] = {}
    for part, spelled in (("train", "train"), ("validation", "validation"), ("validation", "val"), ("test", "test")):
        for first, second in (("X", "y"), ("features", "labels")):
            pair = folder / f"{first}_{spelled}.npy", folder / f"{second}_{spelled}.npy"
            if pair[0].is_file() and pair[1].is_file():
                parts[part] = pair
    return parts if "train" in parts else {}


def load_table_parts(folder: Path) -> dict[str, ArrayDataset]:
    """Return the parts that `find_table_parts` finds, all with the class names of the training part."""
    loaded = {
        part: load_table(matrix, label=str(labels)) for part, (matrix, labels) in find_table_parts(folder).items()
    }
    return {part: match_classes(data, loaded["train"].class_names) for part, data in loaded.items()}


def as_features(raw: RawFeatures, path: Path) -> Tensor:
    """Return `raw` as a (n, d) tensor of uint8, float32 or float64 with finite values, without a copy if it fits."""
    what = f"features of {path}"
    matrix = raw if isinstance(raw, Tensor) else _from_numpy(raw, what)
    if matrix.is_complex() or matrix.is_quantized or matrix.layout != torch.strided:
        raise InputError(f"{what} must be a dense matrix of real numbers; got {matrix.dtype}, {matrix.layout}.")
    if matrix.dtype not in (torch.uint8, torch.float32, torch.float64):
        matrix = matrix.float()
    check_features(matrix, what=what)
    if matrix.is_floating_point():
        for start in range(0, len(matrix), CHECK_ROWS):
            check_finite(matrix[start : start + CHECK_ROWS], what, start)
    return matrix


def _from_numpy(array: NDArray[Any], what: str) -> Tensor:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "biuf":
        raise InputError(f"{what} must be numbers; got {array.dtype}. Convert text or objects to numbers first.")
    target: type[np.generic]
    if kind == "f":
        target = {2: np.float32, 4: np.float32}.get(size, np.float64)
    else:
        target = np.uint8 if kind == "u" and size == 1 else np.float32
    array = array.astype(target, copy=False)  # also turns foreign byte orders into ours
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _read(path: Path, label: str | None) -> tuple[RawFeatures, RawLabels]:
    readers: dict[str, Callable[[Path, str | None], tuple[RawFeatures, RawLabels]]] = {
        ".npy": _read_npy,
        ".npz": _read_npz,
        ".pt": _read_torch,
        ".pth": _read_torch,
        ".safetensors": _read_safetensors,
        ".parquet": read_parquet,
        **dict.fromkeys((".svm", ".svmlight", ".libsvm", ".txt"), read_svmlight),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} must end in one of {', '.join(readers)}; got {path.suffix or 'no ending'!r}.")
    return _guarded(lambda at: reader(at, label), path)


def _guarded(read: Callable[[Path], Result], path: Path) -> Result:
    """Run a reader; whatever a damaged file makes of it becomes one line."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file. Check the path.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes). Write it again.")
    try:
        return read(path)
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{path} does not fit into memory. Store it as .npy, which is memory-mapped.") from None
    except (
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
        KeyError,
        SyntaxError,
        TypeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        zlib.error,
        SafetensorError,
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise InputError(
            f"{path} cannot be read as {path.suffix}: {reason}. It is damaged, cut short or of another kind."
        ) from None


def _open_npy(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.open_memmap(path, mode="c")  # never reads pickles
    return array


def _read_npy(path: Path, label: str | None) -> tuple[RawFeatures, RawLabels]:
    return _open_npy(path), np.asarray(_guarded(_open_npy, _labels_beside(path, label)))


def _labels_beside(path: Path, label: str | None) -> Path:
    if label is not None:
        given = Path(label).expanduser()
        beside = path.parent / given
        return beside if not given.is_file() and beside.is_file() else given
    renamed = [path.stem.replace("features", "labels"), path.stem.replace("X", "y")]
    for stem in (*renamed, f"{path.stem}_labels", "labels", "y"):
        candidate = path.with_name(f"{stem}.npy")
        if candidate != path and candidate.is_file():
            return candidate
    raise InputError(
        f"{path} needs a file of labels beside it: {path.stem}_labels.npy, labels.npy or y.npy; there is none. "
        "Name it with --label FILE."
    )


def _read_npz(path: Path, label: str | None) -> tuple[RawFeatures, RawLabels]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no .npz archive; it is damaged, cut short or of another kind.")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        features, labels = _pick(arrays.files, path, label)
        return arrays[features], arrays[labels]


def _read_torch(path: Path, label: str | None) -> tuple[RawFeatures, RawLabels]:
    mapped = zipfile.is_zipfile(path)  # files of torch < 1.6 cannot be memory-mapped
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a dict of tensors, as features and labels; got a {type(content).__name__}.")
    features, labels = _pick([key for key in content if isinstance(key, str)], path, label)
    if not isinstance(content[features], Tensor):
        raise InputError(f"{path}: {features} must be a tensor; got a {type(content[features]).__name__}.")
    return content[features], content[labels]


def _read_safetensors(path: Path, label: str | None) -> tuple[RawFeatures, RawLabels]:
    with safe_open(path, framework="pt") as tensors:
        features, labels = _pick(list(tensors.keys()), path, label)
        return tensors.get_tensor(features), tensors.get_tensor(labels)


def _pick(keys: Collection[str], path: Path, label: str | None) -> tuple[str, str]:
    """Which of `keys` are the features and the labels."""
    features = next((key for key in FEATURE_KEYS if key in keys and key != label), None)
    labels = label if label is not None else next((key for key in LABEL_KEYS if key in keys), None)
    if features is None:
        rest = [key for key in keys if key != labels]
        features = rest[0] if len(rest) == 1 else None
    if features is None or labels is None or labels not in keys:
        raise InputError(
            f"{path} must have features (one of {', '.join(FEATURE_KEYS)}) and labels ({labels or 'y, labels, ...'}); "
            f"it has {', '.join(keys) or 'nothing'}. Name the labels with --label."
        )
    return features, labels
