"""The one door of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
from PIL import Image

from colinear.checks import InputError
from colinear.cli.options import DATA_HELP
from colinear.datasets import load_digits, open_dataset, open_split, sources
from colinear.datasets.sources import NAMED, Parts


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """100 rows of 4 classes; the first column is the row number."""
    features = np.zeros((100, 3), np.float32)
    features[:, 0] = np.arange(100)
    np.save(tmp_path / "probe.npy", features)
    np.save(tmp_path / "probe_labels.npy", np.arange(100) % 4)
    return tmp_path / "probe.npy"


def numbers(dataset: object) -> list[int]:
    return dataset.take(slice(0, dataset.n_samples))[:, 0].int().tolist()  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", [sources.DIGITS, "elsewhere.csv.gz"])
def test_digits_are_those_that_scikit_learn_gives(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DIGITS", place)
    data, (pixels, labels) = load_digits(), sklearn.datasets.load_digits(return_X_y=True)
    assert (data.features.numpy() == pixels).all()
    assert (data.labels.numpy() == labels).all()


def test_digits_are_complete_raw_and_split_by_class() -> None:
    data = load_digits()
    assert (data.dtype, int(data.features.max()), data.image_shape) == (torch.uint8, 16, (1, 8, 8))
    split = open_split("digits")
    assert split.test is not None
    assert split.train.n_samples + split.validation.n_samples + split.test.n_samples == 1797
    assert int(split.validation.labels.bincount().min()) >= 25
    assert open_split("digits").test.fingerprint == split.test.fingerprint  # type: ignore[union-attr]
    assert open_split("digits", seed=1).test.fingerprint != split.test.fingerprint  # type: ignore[union-attr]


def test_file_is_dealt_into_disjoint_parts(table: Path) -> None:
    split = open_split(table)
    assert split.test is not None
    parts = [numbers(split.train), numbers(split.validation), numbers(split.test)]
    assert sorted(parts[0] + parts[1] + parts[2]) == list(range(100))
    assert [len(part) for part in parts] == [70, 15, 15]


def test_shares_are_the_callers(table: Path) -> None:
    split = open_split(table, validation=0.4, test=0)
    assert split.test is None
    assert (split.train.n_samples, split.validation.n_samples) == (60, 40)


def test_every_part_knows_what_its_labels_were(tmp_path: Path, table: Path) -> None:
    assert {part.label_kind for part in vars(open_split("digits")).values()} == {"int"}
    assert {part.label_kind for part in vars(open_split(table)).values()} == {"int"}
    for part in ("train", "test"):
        np.save(tmp_path / f"X_{part}.npy", np.arange(40.0)[:, None])
        np.save(tmp_path / f"y_{part}.npy", np.arange(40) % 2 == 0)
    assert open_dataset(tmp_path, part="all").label_kind == "bool"


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_open_dataset_gives_the_parts_of_open_split(table: Path, part: str) -> None:
    split = open_split(table, seed=3)
    assert numbers(open_dataset(table, part=part, seed=3)) == numbers(getattr(split, part))


def test_open_dataset_defaults(table: Path) -> None:
    assert open_dataset(table).n_samples == 100
    assert open_dataset("digits").n_samples == 269
    assert open_dataset("digits", part="all").n_samples == 1797


def test_folder_of_arrays_with_parts(tmp_path: Path) -> None:
    for part, names in (("train", ["b", "a", "c", "a"] * 10), ("test", ["c", "b"])):
        np.save(tmp_path / f"X_{part}.npy", np.arange(len(names), dtype=np.float64)[:, None])
        np.save(tmp_path / f"y_{part}.npy", names)
    split = open_split(tmp_path)
    assert split.test is not None
    assert split.test.labels.tolist() == [2, 1]  # numbered as in training
    assert split.train.n_samples + split.validation.n_samples == 40
    assert numbers(open_dataset(tmp_path)) == [0, 1]
    assert open_dataset(tmp_path, part="all").n_samples == 42
    with pytest.raises(InputError, match="its own test rows"):
        open_split(tmp_path, test=0.2)


def test_test_rows_of_an_unknown_class_are_refused(tmp_path: Path) -> None:
    for part, names in (("train", ["a", "b"]), ("test", ["a", "zebra"])):
        np.save(tmp_path / f"X_{part}.npy", np.eye(2))
        np.save(tmp_path / f"y_{part}.npy", names)
    with pytest.raises(InputError, match=r"not known: zebra\. Known are a, b"):
        open_split(tmp_path)


def test_image_folder_with_parts(tmp_path: Path) -> None:
    for part, count in (("train", 20), ("val", 2), ("test", 3)):
        for number, name in enumerate(("ant", "bee")):
            (tmp_path / part / name).mkdir(parents=True)
            for row in range(count):
                Image.new("RGB", (5, 4), (row, number, 9)).save(tmp_path / part / name / f"{row:02}.png")
    split = open_split(tmp_path)
    assert split.test is not None
    assert [split.train.n_samples, split.validation.n_samples, split.test.n_samples] == [40, 4, 6]
    assert split.test.image_shape == (3, 4, 5)
    with pytest.raises(InputError, match="its own validation rows"):
        open_split(tmp_path, validation=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "nowhere"}, "there is no 'nowhere'"),
        ({"data": "digits", "validation": 0}, "validation share must be a finite number > 0"),
        ({"data": "digits", "validation": 0.6, "test": 0.4}, "must leave rows to train on"),
        ({"data": "digits", "test": -0.1}, "test share must be"),
        ({"data": "digits", "validation": 1e-6}, r"too few rows \(1797, .* for a validation share of 1e-06"),
    ],
)
def test_what_cannot_be_opened(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_split(**arguments)  # type: ignore[arg-type]


def test_a_named_dataset_is_one_entry_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMED, "more", lambda data_dir, progress: Parts(load_digits().subset(slice(0, 500))))
    assert open_split("more").train.n_samples == 350
    assert open_dataset("more").n_samples == 500
    with pytest.raises(InputError, match="data must be digits, cifar10, more, a feature file"):
        open_split("nowhere")


def test_the_command_line_names_every_named_dataset() -> None:
    assert DATA_HELP.startswith(f"{', '.join(NAMED)}, a feature file ")


def test_unknown_part_is_refused() -> None:
    with pytest.raises(InputError, match="part must be one of train, validation, test, all"):
        open_dataset("digits", part="dev")


def test_one_class_is_refused_for_training_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", X=np.eye(3), y=np.zeros(3))
    assert open_dataset(tmp_path / "one.npz").n_classes == 1
    with pytest.raises(InputError, match="at least two classes"):
        open_split(tmp_path / "one.npz")


@pytest.mark.cifar10
def test_cifar10_is_split_as_the_course_does(data_dir: Path) -> None:
    split = open_split("cifar10", data_dir)
    assert split.test is not None
    assert [part.n_samples for part in (split.train, split.validation, split.test)] == [49000, 1000, 10000]
    everything = open_dataset(data_dir / "cifar-10-batches-py", part="all")
    assert everything.n_samples == 60000
    assert torch.equal(everything.take(slice(49000, 50000)), split.validation.take(slice(0, 1000)))
    assert torch.equal(everything.labels[50000:], split.test.labels)
    assert open_split("cifar10", data_dir, validation=0.1).validation.n_samples == 5000
