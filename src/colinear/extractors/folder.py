"""A folder of extracted rows: written block by block, taken up again where it was stopped, and read back.

| file | content |
| --- | --- |
| `X_train.npy`, `X_validation.npy`, `X_test.npy` | rows (n, n_features), float32 or float16 |
| `y_train.npy`, `y_validation.npy`, `y_test.npy` | labels as they were: numbers, booleans or names |
| `pictures_test.npy` | the test pictures, as the report shows them: uint8, at most 32 pixels a side |
| `extractor.safetensors` | what the extractor has learned |
| `features.json` | extractor, options, seed, fingerprints of the data, versions, seconds |

`open_split` reads it as a table with parts. Until all is there the arrays are called `*.npy.part`: of these the size
says how many blocks are whole, so nothing but a lost disk makes a block be computed twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save

from colinear.checks import InputError, check_choice
from colinear.datasets.augment import parse_augment
from colinear.datasets.base import Dataset, Split
from colinear.datasets.doors import check_file
from colinear.datasets.tables import load_table_parts
from colinear.extractors.base import Extractor, Fitted, RowKind, Told
from colinear.extractors.names import restore
from colinear.extractors.pictures import read_pictures, write_pictures
from colinear.outputs import write_whole
from colinear.schemas import parse_json
from colinear.texts import shorten, shown, shown_path

FORMAT = "colinear-features-1"
FACTS, ARRAYS, PICTURES = "features.json", "extractor.safetensors", "pictures_test.npy"
PARTS = ("validation", "test", "train")  # a table has parts once it has training rows: they are named last
BLOCK_ROWS = 1024  # rows that are written together; part of what decides the last digits
DTYPES = ("float32", "float16")
Json = dict[str, Any]


@dataclass(frozen=True)
class Extraction:
    """Which features of which rows: everything that decides the bytes of the arrays.

    split : raw rows.   extractor : learns from the training rows of it, with `seed`.   dtype : 'float32' or 'float16'.
    augment : copies of the training pictures that are extracted too, as `parse_augment` reads it; None for none.
    """

    split: Split
    extractor: Extractor
    seed: int = 0
    dtype: str = "float32"
    augment: str | None = None

    def __post_init__(self) -> None:
        check_choice("dtype", self.dtype, DTYPES)
        if self.split.train.labels.ndim == 2:
            raise InputError(
                f"features are made of rows of one class; rows of {shorten(self.split.name)} have any number of them. "
                "Leave --features out, or give one label a row."
            )
        self.extractor.check(RowKind.of(self.split.train))

    @property
    def parts(self) -> dict[str, Dataset]:
        """Raw rows of each part, with the copies of training rows."""
        train = self.split.train
        train = train if self.augment is None else parse_augment(self.augment).apply(train)
        parts = {"validation": self.split.validation, "test": self.split.test, "train": train}
        return {name: rows for name, rows in parts.items() if rows is not None}

    def identity(self) -> Json:
        """What another extraction must have in common to go on in the same folder."""
        train = self.split.train
        raw = {"train": train, "validation": self.split.validation, "test": self.split.test}
        return {
            "format": FORMAT,
            "extractor": {
                "name": self.extractor.name, "kind": self.extractor.kind, "options": self.extractor.options()
            },
            "seed": self.seed, "dtype": self.dtype, "augment": self.augment, "block_rows": BLOCK_ROWS,
            "data": {
                "name": self.split.name, "class_names": list(train.class_names),
                "rows": {part: rows.n_samples for part, rows in self.parts.items()},
                "fingerprints": {part: rows.fingerprint for part, rows in raw.items() if rows is not None},
            },
            "versions": {name: version(name) for name in self.extractor.packages},
        }  # fmt: skip

    @property
    def key(self) -> str:
        """16 hex digits that stand for `identity`."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:16]

    def apart(self) -> list[Extraction]:
        """One for each layer of a network, one in all of any other extractor; each has a folder of its own."""
        return [replace(self, extractor=one) for one in self.extractor.apart()]

    def run(self, folders: Sequence[Path], progress: Told | None = None) -> list[Json]:
        """Write what is missing in the folder of each of `apart`, in one pass; returns their features.json.

        Nobody else may write to these folders meanwhile.

        A process that was stopped anywhere has lost one block of 1,024 rows, or what it had begun to learn; on the same
        machine, with as many threads, the arrays come out the same to the last bit.
        Raises `InputError` for a folder that holds anything else, or the features of another extractor or other data;
        and where the disk has no room.
        """
        each = self.apart()
        facts = [one._begin(folder) for one, folder in zip(each, folders, strict=True)]
        if all(one["finished"] for one in facts):
            return facts
        started, before = time.perf_counter(), [float(one["seconds"]) for one in facts]
        try:
            fitted = [one._fit(folder, its, progress) for one, folder, its in zip(each, folders, facts, strict=True)]
            _check_disk(folders, [_size(rows, one, self.dtype) for one in fitted for rows in self.parts.values()])
            for folder in folders:
                write_pictures(folder / PICTURES, self.split.test)
            for part, rows in self.parts.items():
                for folder in folders:
                    _write_labels(folder / f"y_{part}.npy", rows, getattr(self.split.train, "label_kind", "text"))
                self._extract([folder / f"X_{part}.npy" for folder in folders], part, rows, fitted, progress)
            for aside in [_aside(folder / f"X_{part}.npy") for folder in folders for part in self.parts]:
                if aside.exists():
                    aside.rename(aside.with_suffix(""))
            for one in facts:
                one["finished"] = True
        finally:
            for folder, one, seconds in zip(folders, facts, before, strict=True):
                one["seconds"] = round(seconds + time.perf_counter() - started, 3)
                _write(folder / FACTS, one)
        return facts

    def _begin(self, folder: Path) -> Json:
        """features.json of a folder that holds, or will hold, what this makes."""
        mine, theirs = self.identity(), _read_facts(folder)
        if theirs is None:
            _refuse_other_files(folder)
            theirs = mine | {"seconds": 0.0, "finished": False}
            _write(folder / FACTS, theirs)
        _check_same(folder, mine, theirs)
        if theirs["finished"]:
            self._check_whole(folder, _read_fitted(folder, theirs))
        return theirs

    def _fit(self, folder: Path, facts: Json, progress: Told | None) -> Fitted:
        """The extractor that this folder holds already, or else one that learns now."""
        if facts.get("fitted") is not None:
            fitted = _read_fitted(folder, facts)
            return replace(fitted, extractor=self.extractor)  # which may have a function
        fitted = replace(
            self.extractor.fit(self.split.train, self.seed, progress), trained_on=self.split.train.fingerprint
        )
        content = save({name: tensor.contiguous() for name, tensor in sorted(fitted.tensors.items())})
        write_whole(folder / ARRAYS, content)
        facts["fitted"] = {**fitted.facts(), "sha256": hashlib.sha256(content).hexdigest()}
        _write(folder / FACTS, facts)
        return fitted

    def _check_whole(self, folder: Path, fitted: Fitted) -> None:
        """Raise `InputError` unless every array has the size that it was written with."""
        for part, rows in self.parts.items():
            path = folder / f"X_{part}.npy"
            size = len(_header(rows, fitted, self.dtype)) + _size(rows, fitted, self.dtype)
            if not path.is_file() or path.stat().st_size != size:
                raise InputError(f"{shown_path(path)} is missing, or was changed. Delete its folder and extract again.")

    def _extract(
        self, targets: list[Path], part: str, rows: Dataset, fitted: list[Fitted], progress: Told | None
    ) -> None:
        """Append the blocks that are missing in each file; blocks of several are made together."""
        ends = np.cumsum([one.n_features for one in fitted]).tolist()
        if len(fitted) == 1:
            [whole] = fitted
        else:  # which have learned nothing
            whole = replace(fitted[0], extractor=self.extractor, n_features=ends[-1])
        with contextlib.ExitStack() as stack:
            open_ones = []
            for target, one, end in zip(targets, fitted, ends, strict=True):
                if not target.exists():
                    file = stack.enter_context(open(_aside(target), "ab"))
                    open_ones.append((file, self._cut(file, rows, one), slice(end - one.n_features, end)))
            for start in range(
                min([done for _, done, _ in open_ones], default=rows.n_samples), rows.n_samples, BLOCK_ROWS
            ):
                block = slice(start, min(start + BLOCK_ROWS, rows.n_samples))
                features = whole.transform(rows.take(block)).numpy()
                for file, done, columns in open_ones:
                    if start >= done:
                        file.write(_stored(features[:, columns], self.dtype, whole.name))
                        file.flush()
                if progress is not None:
                    progress(f"{whole.name}: {part} rows", block.stop, rows.n_samples)
            for file, _, _ in open_ones:
                os.fsync(file.fileno())

    def _cut(self, file: BufferedWriter, rows: Dataset, fitted: Fitted) -> int:
        """Leave whole blocks in a file of rows, opened to append; returns the number of rows in it."""
        header, width = _header(rows, fitted, self.dtype), fitted.n_features * np.dtype(self.dtype).itemsize
        written = max(0, file.tell() - len(header)) // width
        done = rows.n_samples if written >= rows.n_samples else written // BLOCK_ROWS * BLOCK_ROWS
        if file.tell() < len(header):
            file.truncate(0)
            file.write(header)
        else:
            file.truncate(len(header) + done * width)
        return done


def open_extraction(folder: Path) -> tuple[Split, Json] | None:
    """The parts of a folder that holds extracted rows, and features.json; None for any other folder.

    The training rows have the extractor, which a model that learns from them keeps.
    Raises `InputError` for an extraction that is not finished, or was changed.
    """
    facts = _read_facts(folder)
    if facts is None:
        return None
    if not facts["finished"]:
        raise InputError(
            f"{shown_path(folder)} holds features that are not finished. Go on with the `colinear features` command "
            "that began them."
        )
    fitted = _read_fitted(folder, facts)
    parts = load_table_parts(folder)
    if not {"train", "validation"} <= parts.keys():
        raise InputError(f"{shown_path(folder)} must have training and validation rows. Extract the features again.")
    split = Split(**parts)
    if split.train.n_features != fitted.n_features:
        raise InputError(
            f"{shown_path(folder)} must have {fitted.n_features} columns, as its features.json says; it has "
            f"{split.train.n_features}. Extract the features again."
        )
    test: Any = split.test
    if test is not None and os.path.isfile(folder / PICTURES):
        test = replace(test, pictures=read_pictures(folder / PICTURES, test.n_samples))
    return replace(split, train=replace(split.train, extractor=fitted), test=test), facts  # type: ignore[type-var]


def holds_features(folder: Path) -> bool:
    """Whether a folder holds extracted rows. Raises `InputError` for a damaged features.json."""
    return _read_facts(folder) is not None


def _read_facts(folder: Path) -> Json | None:
    """features.json of an extraction, None if there is none; a file of that name by others is none."""
    path = folder / FACTS
    if not os.path.isfile(path):
        return None
    try:
        check_file(path)
        facts = parse_json(path.read_bytes())
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            return None
        kept = isinstance(facts.get("seconds"), int | float) and isinstance(facts.get("finished"), bool)
        copies = isinstance(facts.get("augment", False), str | None)
        if not kept or not copies or not isinstance(facts.get("fitted"), dict | None):
            raise ValueError("it does not say how long it took, whether it is finished, or which copies it has")
        float(facts["seconds"])
    except (ValueError, OverflowError, OSError) as error:
        raise InputError(f"{shown_path(path)} is damaged: {error}. Extract the features again.") from None
    return facts


def _read_fitted(folder: Path, facts: Json) -> Fitted:
    path = folder / ARRAYS
    try:
        check_file(path)
        content = path.read_bytes()
        if not isinstance(facts["fitted"], dict) or hashlib.sha256(content).hexdigest() != facts["fitted"]["sha256"]:
            raise InputError("it was changed after it was written")
        return restore(facts["fitted"], load(content))
    except (InputError, SafetensorError, OSError, KeyError) as error:
        raise InputError(f"{shown_path(path)} cannot be used: {error}. Extract the features again.") from None


def _check_same(folder: Path, mine: Json, theirs: Json) -> None:
    """Raise `InputError` with the first thing in which two extractions differ."""
    for name, (own, other) in _differences(json.loads(json.dumps(mine)), theirs):
        what = "the data has changed since: " if name.startswith("data.") else ""
        raise InputError(
            f"{shown_path(folder)} holds other features: {what}its {name} is {shown(other)}, not {shown(own)}. Pass "
            "another --out."
        )


def _differences(mine: Json, theirs: Json, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name, own in mine.items():
        other = theirs.get(name)
        if isinstance(own, dict) and isinstance(other, dict) and own.keys() == other.keys():
            yield from _differences(own, other, f"{prefix}{name}.")
        elif own != other:
            yield f"{prefix}{name}", (own, other)


def _refuse_other_files(folder: Path) -> None:
    other = next((one.name for one in sorted(folder.iterdir()) if one.name != ".lock"), None)
    if other is not None:
        raise InputError(
            f"{shown_path(folder)} must be empty, or hold the same features; it holds {shown_path(Path(other), 60)}. "
            "Pass another --out."
        )


def _check_disk(folders: Sequence[Path], sizes: list[int]) -> None:
    needed = sum(sizes) - sum(one.stat().st_size for folder in folders for one in folder.glob("X_*"))
    free = shutil.disk_usage(folders[0]).free
    if needed > free:
        raise InputError(
            f"the features take {needed / 1e9:.3g} GB more; the disk of {shown_path(folders[0])} has "
            f"{free / 1e9:.3g} GB. Free some space, or pass --dtype float16."
        )


def _size(rows: Dataset, fitted: Fitted, dtype: str) -> int:
    return rows.n_samples * fitted.n_features * np.dtype(dtype).itemsize


def _header(rows: Dataset, fitted: Fitted, dtype: str) -> bytes:
    buffer = io.BytesIO()
    shape = {"descr": np.dtype(dtype).newbyteorder("<").str, "fortran_order": False}
    np.lib.format.write_array_header_1_0(buffer, shape | {"shape": (rows.n_samples, fitted.n_features)})
    return buffer.getvalue()


def _stored(features: NDArray[np.float32], dtype: str, name: str) -> bytes:
    with np.errstate(over="ignore"):
        stored = features.astype(np.dtype(dtype).newbyteorder("<"))
    if not np.isfinite(stored).all():
        raise InputError(f"features of {name} reach {np.abs(features).max():.3g}; float16 ends at 65504. Use float32.")
    return stored.tobytes()


def _write_labels(target: Path, rows: Dataset, kind: str) -> None:
    """Labels of the kind that they were, so that they are the same classes when they are read."""
    values = np.array(rows.class_names)
    if kind == "bool":
        values = values == "True"
    for whole in (np.int64, np.uint64) if kind == "int" else ():
        with contextlib.suppress(OverflowError):
            values = np.array([int(name) for name in rows.class_names], dtype=whole)
            break
    buffer = io.BytesIO()
    np.save(buffer, values[rows.labels.numpy()])
    write_whole(target, buffer.getvalue())


def _write(path: Path, value: Json) -> None:
    write_whole(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def _aside(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")
