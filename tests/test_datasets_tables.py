"""Feature files of every kind hold the same rows; damaged and unfit ones are one clear error each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from safetensors.torch import save_file

from colinear.checks import InputError
from colinear.datasets import load_features, load_table, open_split

FEATURES = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
LABELS = np.array([3, 7, 7, 20] * 3)


def write_npy(path: Path, features: np.ndarray = FEATURES, labels: Any = LABELS) -> None:
    np.save(path, features)
    np.save(path.with_name("labels.npy"), labels)


def write_npz(path: Path, features: np.ndarray = FEATURES, labels: Any = LABELS) -> None:
    np.savez(path, X=features, y=labels)


def write_torch(path: Path, features: np.ndarray = FEATURES, labels: Any = LABELS) -> None:
    torch.save({"features": torch.tensor(features), "labels": torch.tensor(labels)}, path)


def write_safetensors(path: Path, features: np.ndarray = FEATURES, labels: Any = LABELS) -> None:
    save_file({"X": torch.tensor(features), "y": torch.tensor(labels)}, path)


def write_lists(path: Path, features: np.ndarray = FEATURES, labels: Any = LABELS) -> None:
    parquet.write_table(pa.table({"id": range(len(labels)), "embedding": list(features), "label": labels}), path)


def write_columns(path: Path, features: np.ndarray = FEATURES, labels: Any = LABELS) -> None:
    frame = pd.DataFrame(features, columns=[f"f{i}" for i in range(features.shape[1])])
    frame.assign(label=labels).to_parquet(path)


def write_svmlight(path: Path, features: np.ndarray = FEATURES, labels: Any = LABELS) -> None:
    rows = zip(labels, features.tolist(), strict=True)
    lines = [f"{y} " + " ".join(f"{i}:{value!r}" for i, value in enumerate(row, 1)) for y, row in rows]
    path.write_text("\n".join(lines) + "\n")


Writer = Callable[..., None]
WRITERS: list[tuple[str, Writer]] = [
    ("probe.npy", write_npy),
    ("probe.npz", write_npz),
    ("probe.pt", write_torch),
    ("probe.safetensors", write_safetensors),
    ("lists.parquet", write_lists),
    ("columns.parquet", write_columns),
    ("probe.svm", write_svmlight),
    ("probe.txt", write_svmlight),
]
each_format = pytest.mark.parametrize(("name", "write"), WRITERS, ids=[f"{n}-{w.__name__}" for n, w in WRITERS])


@each_format
def test_every_format_holds_the_same_rows(tmp_path: Path, name: str, write: Writer) -> None:
    write(tmp_path / name)
    data = load_table(tmp_path / name)
    torch.testing.assert_close(data.take(slice(0, 12)), torch.from_numpy(FEATURES))
    assert data.dtype == torch.float32
    assert data.class_names == ("3", "7", "20")
    assert data.labels.tolist() == [0, 1, 1, 2] * 3
    assert data.name == name.partition(".")[0]
    assert open_split(tmp_path / name, validation=0.3, test=0.3).train.n_samples > 0


@each_format
def test_value_that_is_not_finite_is_named_by_row_and_column(tmp_path: Path, name: str, write: Writer) -> None:
    features = FEATURES.copy()
    features[7, 2] = np.nan
    write(tmp_path / name, features)
    with pytest.raises(InputError, match=r"row 7, column 2 has nan|missing values"):
        load_table(tmp_path / name)


@each_format
def test_fractional_labels_are_refused(tmp_path: Path, name: str, write: Writer) -> None:
    write(tmp_path / name, labels=LABELS + 0.25)
    with pytest.raises(InputError, match=r"row 0 has 3\.25"):
        load_table(tmp_path / name)


@each_format
def test_every_truncation_is_one_clear_error(tmp_path: Path, name: str, write: Writer) -> None:
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    for length in (0, 1, 10, len(content) // 3, len(content) // 2, len(content) - 1):
        if write is write_svmlight and length > 0:
            continue  # a text file cut anywhere is a shorter text file
        path.write_bytes(content[:length])
        with pytest.raises(InputError) as caught:
            load_table(path)
        assert path.name in str(caught.value)
        assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("write", [write_npy, write_npz, write_torch, write_safetensors])
@pytest.mark.parametrize("count", [11, 13])
def test_labels_must_be_as_many_as_rows(tmp_path: Path, write: Writer, count: int) -> None:
    name = next(name for name, writer in WRITERS if writer is write)
    write(tmp_path / name, labels=np.arange(count) % 3)
    with pytest.raises(InputError, match=f"got {count} labels for 12 rows"):
        load_table(tmp_path / name)


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (np.uint8, torch.uint8),
        (np.float64, torch.float64),
        (np.float16, torch.float32),
        (np.int64, torch.float32),
        (np.int8, torch.float32),
        (np.uint16, torch.float32),
        (np.bool_, torch.float32),
        (">f4", torch.float32),
        (">f8", torch.float64),
    ],
)
@pytest.mark.parametrize("write", [write_npy, write_npz])
def test_number_types(tmp_path: Path, write: Writer, stored: Any, kept: torch.dtype) -> None:
    features = np.arange(24).reshape(12, 2).astype(stored)
    name = next(name for name, writer in WRITERS if writer is write)
    write(tmp_path / name, features)
    data = load_table(tmp_path / name)
    assert data.dtype == kept
    np.testing.assert_array_equal(data.take(slice(0, 12)).numpy(), features.astype(np.float64))


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    torch.save({"X": torch.ones(3, 2, dtype=torch.bfloat16), "y": torch.arange(3)}, tmp_path / "a.pt")
    assert load_table(tmp_path / "a.pt").dtype == torch.float32


def test_npy_is_mapped_not_copied(tmp_path: Path) -> None:
    write_npy(tmp_path / "probe.npy")
    data = load_table(tmp_path / "probe.npy")
    changed = np.lib.format.open_memmap(tmp_path / "probe.npy", mode="r+")
    changed[4, 1] = 99.0
    changed.flush()
    assert float(data.take(slice(4, 5))[0, 1]) == 99.0  # an unread page still comes from the file
    data.features[0, 0] = -1.0  # copy on write: the file is never changed
    assert np.load(tmp_path / "probe.npy")[0, 0] == FEATURES[0, 0]


@pytest.mark.parametrize(
    ("matrix", "labels"),
    [("a.npy", "a_labels.npy"), ("X_dev.npy", "y_dev.npy"), ("features.npy", "labels.npy"), ("a.npy", "y.npy")],
)
def test_labels_beside_the_matrix(tmp_path: Path, matrix: str, labels: str) -> None:
    np.save(tmp_path / matrix, FEATURES)
    np.save(tmp_path / labels, LABELS)
    assert load_table(tmp_path / matrix).n_classes == 3


def test_label_file_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", FEATURES)
    np.save(tmp_path / "species.npy", LABELS)
    assert load_table(tmp_path / "a.npy", label=str(tmp_path / "species.npy")).n_classes == 3
    assert load_table(tmp_path / "a.npy", label="species.npy").n_classes == 3  # beside the matrix
    monkeypatch.chdir(tmp_path)
    assert load_table("a.npy", label="species.npy").n_classes == 3
    with pytest.raises(InputError, match="Name it with --label FILE"):
        load_table("a.npy")
    with pytest.raises(InputError, match=r"absent\.npy does not exist"):
        load_table("a.npy", label="absent.npy")


def test_label_key_and_column_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", feats=FEATURES, species=LABELS)
    assert load_table(tmp_path / "a.npz", label="species").n_classes == 3
    frame = pd.DataFrame({"f": [1.0, 2.0], "species": ["cat", "bee"], "label": [1.0, 5.0]})
    frame.to_parquet(tmp_path / "a.parquet")
    data = load_table(tmp_path / "a.parquet", label="species")
    assert data.class_names == ("bee", "cat")
    assert data.take(slice(0, 2)).tolist() == [[1.0, 1.0], [2.0, 5.0]]


def test_load_features_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FEATURES)
    torch.testing.assert_close(load_features(tmp_path / "a.npy"), torch.from_numpy(FEATURES))
    with pytest.raises(InputError, match="does not exist"):
        load_features(tmp_path / "b.npy")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"f": [1.0, 2.0], "note": ["a", "b"], "label": [0, 1]}, "column note is .*string"),
        ({"f": [1.0, None], "label": [0, 1]}, "column f has 1 missing values"),
        ({"f": [1.0, 2.0], "label": [0, None]}, "column label has 1 missing labels"),
        ({"f": [[1.0], [1.0, 2.0]], "label": [0, 1]}, "row 1 has 2 values, row 0 has 1"),
        ({"f": [[1.0, None], [1.0, 2.0]], "label": [0, 1]}, "some lack values"),
        ({"f": [[1.0], None], "label": [0, 1]}, "of one length, without gaps"),
        ({"f": [["a"], ["b"]], "label": [0, 1]}, "must hold lists of numbers"),
        ({"f": [[1.0]], "g": [[1.0]], "label": [0]}, "2 columns of lists: f, g"),
        ({"f": [1.0], "g": [2.0]}, "must have a column of labels, label; it has f, g"),
        ({"label": [0, 1]}, "must have rows and feature columns; got 2 x 0"),
        ({"f": pa.array([], pa.float32()), "label": pa.array([], pa.int64())}, "got 0 x 1"),
    ],
)
def test_parquet_that_does_not_fit(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    parquet.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        load_table(tmp_path / "a.parquet")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_columns(tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"pip install 'colinear\[parquet\]'"):
        load_table(tmp_path / "a.parquet")


@pytest.mark.parametrize("shape", [(0, 5), (12, 0), (12,), (3, 2, 2)])
@pytest.mark.parametrize("write", [write_npy, write_npz])
def test_shapes_that_are_no_matrix(tmp_path: Path, write: Writer, shape: tuple[int, ...]) -> None:
    name = next(name for name, writer in WRITERS if writer is write)
    write(tmp_path / name, np.zeros(shape, np.float32))
    with pytest.raises(InputError, match=r"probe"):
        load_table(tmp_path / name)


@pytest.mark.parametrize("write", [write_npy, write_npz])
@pytest.mark.parametrize("values", [np.array([["a", "b"]] * 12), np.ones((12, 1), complex)], ids=["text", "complex"])
def test_features_that_are_no_numbers(tmp_path: Path, write: Writer, values: np.ndarray) -> None:
    name = next(name for name, writer in WRITERS if writer is write)
    write(tmp_path / name, values)
    with pytest.raises(InputError, match="must be numbers"):
        load_table(tmp_path / name)


class Command:
    """Fails the test if a reader runs it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("a pickle was run",)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pt"])
def test_pickled_objects_are_never_run(tmp_path: Path, name: str) -> None:
    objects = np.array([[Command()]], dtype=object)
    np.save(tmp_path / "labels.npy", LABELS)
    if name == "a.npy":
        np.save(tmp_path / name, objects, allow_pickle=True)
    elif name == "a.npz":
        np.savez(tmp_path / name, X=objects, y=LABELS)
    else:
        torch.save({"X": Command(), "y": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(InputError, match="cannot be read as"):
        load_table(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"1,2", r"must end in one of \.npy, \.npz"),
        ("a", b"1", "got 'no ending'"),
        ("a.npy", b"", "is empty"),
        ("a.npy", b"no array at all", r"cannot be read as \.npy"),
        ("a.svm", b"1 1:0.5\n2 x:1\n", r"cannot be read as \.svm"),
        ("a.pt", b"PK\x03\x04 broken", r"cannot be read as \.pt"),
        ("a.safetensors", b"\xff" * 20, r"cannot be read as \.safetensors"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "labels.npy", LABELS)
    with pytest.raises(InputError, match=message):
        load_table(tmp_path / name)


def test_torch_file_that_is_no_dict_or_lacks_keys(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "a.pt")
    with pytest.raises(InputError, match="must hold a dict of tensors"):
        load_table(tmp_path / "a.pt")
    torch.save({"weight": torch.zeros(3), "bias": torch.zeros(3)}, tmp_path / "b.pt")
    with pytest.raises(InputError, match="it has weight, bias"):
        load_table(tmp_path / "b.pt")


def test_sparse_text_takes_no_name_of_a_label(tmp_path: Path) -> None:
    write_svmlight(tmp_path / "a.svm")
    with pytest.raises(InputError, match="leave --label out"):
        load_table(tmp_path / "a.svm", label="y")


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "parquet"])
def test_whole_numbers_beyond_float32_are_not_rounded(tmp_path: Path, suffix: str) -> None:
    stamps = np.array([[1_700_000_001, 3], [1_700_000_002, 4]], dtype=np.int64)
    small = stamps - 1_700_000_000 * np.array([1, 0])
    for name, matrix, dtype in (("large", stamps, torch.float64), ("small", small, torch.float32)):
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "npy":
            np.save(path, matrix)
            np.save(tmp_path / f"{name}_labels.npy", np.arange(2))
        elif suffix == "npz":
            np.savez(path, X=matrix, y=np.arange(2))
        elif suffix == "pt":
            torch.save({"X": torch.from_numpy(matrix), "y": torch.arange(2)}, path)
        else:
            columns = {"b": matrix[:, 1].astype(np.float32), "a": matrix[:, 0], "label": np.arange(2)}
            parquet.write_table(pa.table(columns), path)
        data = load_table(path)
        assert data.dtype == dtype
        rows = data.take(slice(0, 2)).numpy()
        assert np.array_equal(rows if suffix != "parquet" else rows[:, ::-1], matrix)
