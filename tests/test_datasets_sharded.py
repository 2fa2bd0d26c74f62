"""A folder of shards is the one matrix that its files make: the same rows, splits, models; and one clear error each."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from tests.program import Program, assert_refused

from colinear.checks import InputError
from colinear.datasets import doors, load_shards, load_table, open_dataset, open_split
from colinear.datasets.arrays import open_npy
from colinear.datasets.blocks import Blocks, stack
from colinear.datasets.shards import open_shard_features
from colinear.model import LinearModel
from colinear.parallel.group import Group

ROWS, COLUMNS = 240, 6
CUTS = (0, 3, 10, 100, 101, 160, 205, ROWS)  # seven uneven shards
GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 3, ROWS) * 5  # classes 0, 5, 10: as numbers not in the order of text
FEATURES = (GENERATOR.normal(size=(ROWS, COLUMNS)) + LABELS[:, None] / 5).astype(np.float16)
SPANS = list(pairwise(CUTS))

Label = Callable[[int], str]


def write_shards(folder: Path, features: np.ndarray = FEATURES, labels: Any = LABELS, label: str = "{}-labels") -> Path:
    """part-0000.npy, ..., with labels beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (start, stop) in enumerate(SPANS):
        np.save(folder / f"part-{number:04}.npy", features[start:stop])
        np.save(folder / f"{label.format(f'part-{number:04}')}.npy", labels[start:stop])
    return folder


def write_one(path: Path, features: np.ndarray = FEATURES) -> Path:
    np.save(path, features)
    np.save(path.with_name("labels.npy"), LABELS)
    return path


# the rows


@given(rows=st.lists(st.integers(0, ROWS - 1), max_size=40), cuts=st.sets(st.integers(0, ROWS), max_size=6))
def test_blocks_are_their_rows_one_below_the_other(rows: list[int], cuts: set[int]) -> None:
    whole = torch.from_numpy(FEATURES)
    ends = [0, *sorted(cuts), ROWS]
    blocks = Blocks(tuple(whole[start:stop] for start, stop in pairwise(ends)))
    index = torch.tensor(rows, dtype=torch.int64)
    assert torch.equal(blocks.index_select(0, index), whole.float()[index])
    start, stop, step = min(rows, default=0), max(rows, default=0), 1 + len(rows) % 9
    for cut in (slice(start, stop), slice(start, stop, step), slice(None)):
        assert torch.equal(blocks[cut].whole(), whole.float()[cut])


@pytest.mark.parametrize("row", [-1, ROWS])
def test_rows_that_are_not_there_are_an_error(row: int) -> None:
    whole = torch.from_numpy(FEATURES)
    with pytest.raises(IndexError):
        Blocks((whole[:9], whole[9:])).index_select(0, torch.tensor([0, row]))


def test_blocks_of_other_columns_are_no_matrix() -> None:
    with pytest.raises(InputError, match=r"must have the same columns; got \[2, 3\]"):
        stack([torch.zeros(1, 2), torch.zeros(1, 3)])
    with pytest.raises(InputError, match="rows must be in order"):
        Blocks((torch.zeros(1, 2),))[::-1]


@pytest.mark.parametrize("stored", [np.float16, np.float32, np.float64, np.uint8, np.int16])
def test_shards_are_the_one_file(tmp_path: Path, stored: type[np.generic]) -> None:
    features = (FEATURES * 20 + 100).astype(stored)
    one = load_table(write_one(tmp_path / "one.npy", features))
    many = load_shards(write_shards(tmp_path / "many", features))
    assert (many.name, many.n_samples, many.dtype) == ("many", ROWS, one.dtype)
    assert many.class_names == one.class_names == ("0", "5", "10")
    assert many.label_kind == "int"
    assert many.fingerprint == one.fingerprint
    some = many.subset(slice(8, 170))  # a range of rows, as a rank of several takes it
    assert torch.equal(some.take(slice(0, 162)), one.take(slice(8, 170)))
    assert torch.equal(some.subset(torch.tensor([160, 1])).take(slice(0, 2)), one.take(torch.tensor([168, 9])))


def test_shards_are_mapped_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "machine_memory", lambda: 0)
    data = load_shards(write_shards(tmp_path))
    changed = np.lib.format.open_memmap(tmp_path / "part-0002.npy", mode="r+")
    changed[4, 1] = 99.0
    changed.flush()
    assert float(data.take(torch.tensor([14]))[0, 1]) == 99.0  # an unread page still comes from the file
    assert isinstance(data.features, Blocks)
    assert data.to(torch.device("cpu")).features is data.features
    assert {part.dtype for part in data.features.parts} == {torch.float16}


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_shards_of_tensors_are_mapped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    rows, labels = torch.from_numpy(FEATURES).float().repeat(1, 50), torch.from_numpy(LABELS)
    for number, part in enumerate((slice(0, 9), slice(9, ROWS))):
        tensors, path = (
            {"features": rows[part].clone(), "labels": labels[part].clone()},
            tmp_path / f"part{number}{ending}",
        )
        torch.save(tensors, path) if ending == ".pt" else save_file(tensors, path)
    monkeypatch.setattr(doors, "machine_memory", lambda: 1000)  # the pickle of a .pt takes some
    data = load_shards(tmp_path)
    last = tmp_path / f"part1{ending}"
    content, held = last.read_bytes(), rows[9:].numpy().tobytes()
    with last.open("r+b") as file:
        file.seek(content.index(held))
        file.write(bytes(len(held)))
    assert not data.take(slice(9, ROWS)).any()  # an unread page still comes from the file


def test_blocks_on_a_device_are_one_tensor() -> None:
    moved = Blocks((torch.ones(2, 3), torch.ones(1, 3))).to(torch.device("meta"))
    assert isinstance(moved, torch.Tensor)
    assert (moved.shape, moved.dtype, moved.device.type) == ((3, 3), torch.float32, "meta")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files as Linux lists them")
def test_a_mapped_file_is_not_held_open(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", FEATURES)
    before = len(os.listdir("/proc/self/fd"))
    kept = [open_npy(tmp_path / "a.npy") for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert np.array_equal(kept[0], FEATURES)


def test_a_name_that_is_no_utf8_is_mapped_too(tmp_path: Path) -> None:
    np.save(tmp_path / "caf\udce9.npy", FEATURES)
    assert np.array_equal(open_npy(tmp_path / "caf\udce9.npy"), FEATURES)


# the program


@pytest.mark.parametrize("options", [("--loss", "softmax"), ("--solver", "sgd", "--steps", "30", "--candidates", "3")])
def test_every_command_takes_a_folder_as_the_one_file(
    colinear: Program, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The same name and the same relative path, so that even the model files are the same bytes."""
    (tmp_path / "one").mkdir()
    one, many = write_one(tmp_path / "one" / "rows.npy"), write_shards(tmp_path / "rows")
    said = [
        colinear("tune", data, *options, "--out", tmp_path / f"run-{data.suffix}", "--json").json
        for data in (one, many)
    ]
    models = [next((tmp_path / f"run-{data.suffix}").glob("model-softmax*")) for data in (one, many)]
    assert models[0].read_bytes() == models[1].read_bytes()
    for run, other in zip(*(each["runs"] for each in said), strict=True):
        assert run["test_accuracy"] == other["test_accuracy"]
        assert [trial["reg"] for trial in run["trials"]] == [trial["reg"] for trial in other["trials"]]
    for command in (("evaluate", models[0]), ("info",)):
        first, second = (colinear(*command, data, "--json").json for data in (one, many))
        assert first == second
    first, second = (colinear("predict", models[0], data, "--json").json for data in (one, many))
    assert len(second) == ROWS
    assert [(row["row"], row["top"]) for row in first] == [(row["row"], row["top"]) for row in second]


def test_mistakes_end_with_status_2(colinear: Program, tmp_path: Path) -> None:
    write_shards(tmp_path)
    np.save(tmp_path / "part-0003.npy", FEATURES[:1, :4])
    assert_refused(colinear("info", tmp_path), "part-0003.npy must have 6 columns of float16, as part-0000.npy")
    (tmp_path / "part-0003.npy").unlink()
    assert_refused(colinear("tune", tmp_path, "--out", tmp_path / "run"), "numbers must have no gap")
    model = LinearModel(torch.zeros(3, COLUMNS), torch.zeros(3), ("0", "5", "10"), None, 1.0, {})
    model.save(tmp_path / "model.safetensors")
    (tmp_path / "none").mkdir()
    assert_refused(colinear("predict", tmp_path / "model.safetensors", tmp_path / "none"), "must hold shards of rows")


@pytest.mark.parametrize("place", ["labels.npy", "labels/labels_0000.npy"])
def test_labels_above_the_shards_are_not_written_over(colinear: Program, tmp_path: Path, place: str) -> None:
    write_shards(tmp_path / "img_emb")
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / place, LABELS)
    said = colinear("fit", tmp_path / "img_emb", "--out", tmp_path / place, "--force")
    assert_refused(said, "is part of the data that is read")


# which files


@pytest.mark.parametrize("label", ["{}-labels", "{}_labels"])
def test_labels_beside_each_shard(tmp_path: Path, label: str) -> None:
    assert load_shards(write_shards(tmp_path, label=label)).n_classes == 3


@pytest.mark.parametrize(
    ("rows", "labels"),
    [("part-{:04}", "labels-{:04}"), ("X_{}", "y_{}"), ("features.{:02}", "labels.{:02}"), ("clip512x{}", "labels{}")],
)
def test_labels_with_the_number_of_the_shard(tmp_path: Path, rows: str, labels: str) -> None:
    for number, (start, stop) in enumerate(SPANS, 1):
        np.save(tmp_path / f"{rows.format(number)}.npy", FEATURES[start:stop])
        np.save(tmp_path / f"{labels.format(number)}.npy", LABELS[start:stop])
    assert load_shards(tmp_path).labels.tolist() == (LABELS // 5).tolist()


@pytest.mark.parametrize("name", ["labels", "y", "part-labels", "part_labels"])
def test_one_file_of_labels(tmp_path: Path, name: str) -> None:
    for file in write_shards(tmp_path).glob("*-labels.npy"):
        file.unlink()
    np.save(tmp_path / "other.npy", LABELS)
    assert load_shards(tmp_path, label="other.npy").labels.tolist() == (LABELS // 5).tolist()
    (tmp_path / "other.npy").unlink()
    with pytest.raises(InputError, match=r"needs labels: part-0000-labels\.npy beside each shard, or labels\.npy"):
        load_shards(tmp_path)
    np.save(tmp_path / f"{name}.npy", LABELS)
    assert load_shards(tmp_path).labels.tolist() == (LABELS // 5).tolist()
    np.save(tmp_path / f"{name}.npy", LABELS[1:])
    with pytest.raises(InputError, match=rf"got 239 labels for 240 rows, in {name}\.npy"):
        load_shards(tmp_path)


@pytest.mark.parametrize("place", ["labels.npy", "img_emb/labels.npy", "labels/labels_{}.npy", "img_emb/labels_{}.npy"])
def test_the_layout_of_clip_retrieval(tmp_path: Path, place: str) -> None:
    for folder in ("img_emb", "labels", "metadata", "text_emb"):
        (tmp_path / folder).mkdir()
    for number, (start, stop) in enumerate(SPANS):
        np.save(tmp_path / "img_emb" / f"img_emb_{number}.npy", FEATURES[start:stop])
        parquet.write_table(
            pa.table({"caption": ["a"] * (stop - start)}), tmp_path / f"metadata/metadata_{number}.parquet"
        )
        np.save(tmp_path / place.format(number), LABELS if "{" not in place else LABELS[start:stop])
    data = load_shards(tmp_path)
    assert (data.n_samples, data.n_classes) == (ROWS, 3)
    assert load_shards(tmp_path / "img_emb").fingerprint == data.fingerprint


def test_numbers_are_numbers(tmp_path: Path) -> None:
    for number in range(12):
        np.save(tmp_path / f"part-{number}.npy", FEATURES[20 * number : 20 * number + 20])
    np.save(tmp_path / "labels.npy", LABELS)
    assert torch.equal(load_shards(tmp_path).take(slice(0, ROWS)), torch.from_numpy(FEATURES).float())


@pytest.mark.parametrize("link", [True, False])
def test_a_shard_may_be_a_link(tmp_path: Path, link: bool) -> None:
    """Caches of hubs are full of links; what a link leads to is looked at like any file."""
    folder = write_shards(tmp_path / "data")
    (folder / "part-0004.npy").rename(tmp_path / "blob")
    if link:
        (folder / "part-0004.npy").symlink_to("../blob")
        assert load_shards(folder).n_samples == ROWS
    else:
        os.mkfifo(folder / "part-0004.npy")
        with pytest.raises(InputError, match=r"part-0004\.npy must be a regular file; it is a pipe"):
            load_shards(folder)


def test_folders_of_shards_are_parts(tmp_path: Path) -> None:
    write_shards(tmp_path / "train")
    write_shards(tmp_path / "val", FEATURES + 1)
    write_shards(tmp_path / "test", FEATURES + 2, np.full(ROWS, 10))  # of one class, the last
    split = open_split(tmp_path)
    assert split.validation.n_samples == ROWS
    assert split.test is not None
    assert set(split.test.labels.tolist()) == {2}
    assert open_dataset(tmp_path, part="all").n_samples == 3 * ROWS
    with pytest.raises(InputError, match=r"must hold shards of one part, as .*; it has test, train, validation"):
        load_shards(tmp_path)
    write_shards(tmp_path / "test", FEATURES[:, :4])
    with pytest.raises(InputError, match="test rows must have 6 columns, as training rows; they have 4"):
        open_split(tmp_path)
    for file in (tmp_path / "test").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="test must hold shards, as train beside it does; it has none"):
        open_split(tmp_path)


def write_parquet(path: Path, start: int, stop: int, **more: Any) -> None:
    columns = {f"c{n}": FEATURES[start:stop, n].astype(np.float32) for n in range(COLUMNS)}
    parquet.write_table(pa.table({**columns, "label": LABELS[start:stop], **more}), path)


@pytest.mark.parametrize("name", ["train-{:05}-of-00007", "part-{:05}-9f2c-c000.snappy", "{}"])
def test_parquet_files_are_one_table(tmp_path: Path, name: str) -> None:
    for number, (start, stop) in enumerate(SPANS):
        write_parquet(tmp_path / f"{name.format(number)}.parquet", start, stop)
    one = tmp_path / "one"
    one.mkdir()
    write_parquet(one / "rows.parquet", 0, ROWS)
    assert load_shards(tmp_path).fingerprint == load_table(one / "rows.parquet").fingerprint


def test_parquet_files_of_any_name_and_of_parts(tmp_path: Path) -> None:
    write_parquet(tmp_path / "cats.parquet", 0, 50)
    write_parquet(tmp_path / "dogs.parquet", 50, ROWS)
    assert load_shards(tmp_path).n_samples == ROWS
    (tmp_path / "cats.parquet").rename(tmp_path / "test-00000-of-00001.parquet")
    (tmp_path / "dogs.parquet").rename(tmp_path / "train-00000-of-00001.parquet")
    split = open_split(tmp_path)
    assert split.test is not None
    assert split.train.n_samples + split.validation.n_samples == ROWS - 50
    assert split.test.n_samples == 50
    (tmp_path / "test-00000-of-00001.parquet").rename(tmp_path / "test-00000-of-00002.parquet")
    with pytest.raises(InputError, match=r"must have 2 shards, as test-00000-of-00002\.parquet says; it has 1"):
        open_split(tmp_path)


def test_parquet_files_must_have_the_same_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "a.parquet", 0, 9)
    write_parquet(tmp_path / "b.parquet", 9, 20, extra=np.arange(11))
    with pytest.raises(InputError, match=r"b\.parquet must have the columns of a\.parquet.*column 7 is extra .*none"):
        load_shards(tmp_path)
    table = parquet.read_table(tmp_path / "a.parquet")
    parquet.write_table(table.select(["c1", "c0", *table.column_names[2:]]), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"column 0 is c1 \(float\), there c0 \(float\)"):
        load_shards(tmp_path)
    parquet.write_table(table, tmp_path / "b.parquet")
    assert load_shards(tmp_path).n_samples == 18
    monkeypatch.setattr(doors, "machine_memory", lambda: 1000)  # each alone would fit
    with pytest.raises(InputError, match=r"b\.parquet: the table takes .* this machine has 1000 bytes"):
        load_shards(tmp_path)


@pytest.mark.parametrize("ending", [".npz", ".pt", ".safetensors"])
def test_other_files_are_shards_with_their_own_labels(tmp_path: Path, ending: str) -> None:
    for number, (start, stop) in enumerate(SPANS):
        X, y, path = FEATURES[start:stop], LABELS[start:stop], tmp_path / f"part{number}{ending}"
        if ending == ".npz":
            np.savez(path, X=X, species=y)
        else:
            tensors = {"X": torch.from_numpy(X), "species": torch.from_numpy(y)}
            torch.save(tensors, path) if ending == ".pt" else save_file(tensors, path)
    data = load_shards(tmp_path, label="species")
    assert torch.equal(data.take(slice(0, ROWS)), torch.from_numpy(FEATURES).float())
    assert data.labels.tolist() == (LABELS // 5).tolist()


def test_shards_that_are_copied_have_to_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        np.savez(tmp_path / f"part{number}.npz", X=np.ones((100, 10), np.float32), y=np.arange(100) % 2)
    assert load_shards(tmp_path).n_samples == 300
    monkeypatch.setattr(doors, "machine_memory", lambda: 11_999)
    with pytest.raises(InputError, match=r"the rows of its shards takes 11\.7 KiB"):
        load_shards(tmp_path)


# mistakes


def rename(old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / old).rename(folder / new)


def save(name: str, array: Any) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, array)


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gap": (rename("part-0003.npy", "part-0009.npy"), r"part-0002\.npy is followed by part-0004\.npy; .* no gap"),
    "twice": (save("part-02.npy", FEATURES), r"part-0002\.npy is followed by part-02\.npy; no number must stand twice"),
    "first": (
        lambda folder: [(folder / f"part-000{n}.npy").unlink() for n in (0, 1)],
        r"must begin with 0 or 1; part-0002\.npy is first",
    ),
    "name": (save("piece-0007.npy", FEATURES), r"one number; got part-0000\.npy and piece-0007\.npy"),
    "no number": (save("more.npy", FEATURES), r"differ in one number; got more\.npy and part-0000\.npy"),
    "kind": (lambda folder: np.savez(folder / "part-0007.npz", X=FEATURES), r"of one kind; got .*npy and .*npz"),
    "columns": (
        save("part-0001.npy", FEATURES[3:10, 1:]),
        r"part-0001\.npy must have 6 columns .*; it has 5 of float16",
    ),
    "type": (save("part-0001.npy", FEATURES[3:10].astype("f4")), r"of float16, as part-0000\.npy; it has 6 of float32"),
    "cut": (
        lambda folder: os.truncate(folder / "part-0005.npy", 200),
        r"part-0005\.npy announces float16 of shape \(45, 6\), but holds 72 bytes",
    ),
    "empty": (lambda folder: os.truncate(folder / "part-0005.npy", 0), r"part-0005\.npy is empty"),
    "labels short": (
        save("part-0002-labels.npy", LABELS[:89]),
        r"part-0002\.npy must have one label per row; got 89 labels for 90 rows, in part-0002-labels\.npy",
    ),
    "labels gone": (lambda folder: (folder / "part-0006-labels.npy").unlink(), r"part-0006-labels\.npy does not exist"),
    "labels of another kind": (
        save("part-0000-labels.npy", np.array(["0", "5", "0"])),
        r"one kind in all shards; those of .*part-0001\.npy are int, those of part-0000\.npy text",
    ),
    "fractions": (save("part-0000-labels.npy", np.array([0.5, 0, 0])), r"part-0000-labels\.npy must be whole numbers"),
    "nan": (
        save("part-0001.npy", np.full((7, 6), np.nan, np.float16)),
        r"part-0001\.npy must be finite; row 0, column 0",
    ),
}


@pytest.mark.parametrize(("damage", "message"), MISTAKES.values(), ids=MISTAKES)
def test_every_mistake_is_one_clear_error(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(write_shards(tmp_path))
    with pytest.raises(InputError, match=message) as caught:
        open_split(tmp_path)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_folder_without_shards_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "notes.npy", FEATURES)  # without a number
    for open_it in (open_split, load_shards, open_shard_features):
        with pytest.raises(InputError, match="it has none"):
            open_it(tmp_path)


# Several processes


def test_a_process_looks_at_the_values_of_its_range_alone(tmp_path: Path) -> None:
    """Of 240 rows in seven files; row 101 is the first of the fifth."""
    features = FEATURES.copy()
    features[101, 2] = np.inf
    np.savez(tmp_path / "rows.npz", features=features.astype(np.float32), labels=LABELS)
    shards = write_shards(tmp_path / "shards", features)
    for rank, sees in enumerate((False, True, False)):
        group = Group(rank, 3)  # rows up to 80, 160, 240
        for data, where in ((tmp_path / "rows.npz", "row 101,"), (shards, r"part-0004\.npy must be finite; row 0,")):
            if sees:
                with pytest.raises(InputError, match=where):
                    open_split(data, group=group)
            else:
                assert open_split(data, group=group).train.n_features == COLUMNS
