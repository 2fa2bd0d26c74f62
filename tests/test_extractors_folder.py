"""A folder of features: the same bytes however it was stopped, nothing mixed, nothing believed that was changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Split, open_split
from colinear.extractors import Custom, Extractor, Fitted, Hog, Kernel, Patches, folder
from colinear.extractors.folder import Extraction, holds_features, open_extraction

ARRAYS = [f"{kind}_{part}.npy" for kind in "Xy" for part in ("train", "validation", "test")]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "BLOCK_ROWS", 64)


@pytest.fixture(scope="module")
def whole(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extraction that nothing stopped."""
    path = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "BLOCK_ROWS", 64)
        Extraction(split, Patches(9)).run([path])
    return path


def make(path: Path) -> Path:
    path.mkdir()
    return path


def arrays(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in [*ARRAYS, "extractor.safetensors"]}


def test_a_folder_of_features_is_a_table_with_the_parts_of_its_source(split: Split, whole: Path) -> None:
    found = open_extraction(whole)
    assert found is not None
    opened, facts = found
    fitted = Patches(9).fit(split.train)
    for part in ("train", "validation", "test"):
        raw, rows = getattr(split, part), getattr(opened, part)
        assert torch.equal(raw.labels, rows.labels)
        assert (rows.class_names, rows.label_kind) == (raw.class_names, raw.label_kind)
        expected = fitted.transform(raw.take(slice(0, raw.n_samples)))
        torch.testing.assert_close(rows.take(slice(0, rows.n_samples)), expected, atol=1e-3, rtol=1e-4)
    assert opened.train.extractor.trained_on == split.train.fingerprint
    assert opened.train.extractor.facts().items() <= facts["fitted"].items()
    assert open_split(whole).train.fingerprint == opened.train.fingerprint
    assert facts["seconds"] > 0
    assert facts["data"]["rows"] == {"train": 1258, "validation": 270, "test": 269}


class StopError(Exception):
    pass


def test_stopped_anywhere_it_goes_on_to_the_same_bytes(split: Split, whole: Path, tmp_path: Path) -> None:
    """A run that is stopped at every single report, again and again, and with half a block written."""
    reports: list[tuple[str, int]] = []

    def stop(what: str, done: int, total: int) -> None:
        if "rows" not in what:
            return
        reports.append((what, done))
        for part in tmp_path.glob("X_*.part"):
            with part.open("ab") as file:
                file.write(b"half a block")
        raise StopError

    while len(reports) < 100:
        try:
            Extraction(split, Patches(9)).run([tmp_path], stop)
            break
        except StopError:
            assert not list(tmp_path.glob("X_*.npy"))
            with pytest.raises(InputError, match="holds features that are not finished"):
                open_extraction(tmp_path)
    assert arrays(tmp_path) == arrays(whole)
    assert len(reports) == len(set(reports)) == 5 + 5 + 20  # each once: nothing is computed twice
    before = (tmp_path / "features.json").read_bytes()
    Extraction(split, Patches(9)).run([tmp_path], stop)  # finished: nothing to report
    assert (tmp_path / "features.json").read_bytes() == before


KILLED = """
import os, signal, sys
from pathlib import Path
from colinear.datasets import open_split
from colinear.extractors import Patches, folder
folder.BLOCK_ROWS = 64
left = int(sys.argv[2])
def tell(what, done, total):
    global left
    left -= "rows" in what
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
folder.Extraction(open_split("digits"), Patches(9)).run([Path(sys.argv[1])], tell)
"""


def test_killed_it_goes_on_to_the_same_bytes(split: Split, whole: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    for blocks in (3, 12):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(blocks)], env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
    Extraction(split, Patches(9)).run([tmp_path])
    assert arrays(tmp_path) == arrays(whole)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"extractor": Patches(10)}, "extractor.name is 'patches:9', not 'patches:10'"),
        ({"extractor": Patches(9, size=5)}, "extractor.options.size is 6, not 5"),
        ({"extractor": Hog()}, "extractor.name is 'patches:9', not 'hog'"),
        ({"seed": 1}, "seed is 0, not 1"),
        ({"dtype": "float16"}, "dtype is 'float32', not 'float16'"),
        ({"augment": "mirror"}, "augment is None, not 'mirror'"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_another_extraction_is_refused(split: Split, whole: Path, change: dict[str, Any], what: str) -> None:
    before = arrays(whole)
    with pytest.raises(InputError, match=rf"holds other features: its {what}. Pass another --out."):
        replace(Extraction(split, Patches(9)), **change).run([whole])
    assert arrays(whole) == before


def test_other_data_is_refused(split: Split, whole: Path) -> None:
    changed = split.train.take(slice(0, split.train.n_samples)).clone()
    changed[0, 0] += 1
    train = ArrayDataset(changed, split.train.labels, split.train.class_names, (1, 8, 8), "digits", 16.0)
    with pytest.raises(InputError, match=r"the data has changed since: its data.fingerprints.train is '"):
        Extraction(replace(split, train=train), Patches(9)).run([whole])
    keys = {Extraction(one, Patches(9)).key for one in (split, replace(split, train=train))}
    assert len(keys | {Extraction(split, Patches(9), seed=1).key, Extraction(split, Hog()).key}) == 4


def test_a_folder_with_anything_else_is_refused(split: Split, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"must be empty, or hold the same features; it holds photo.png"):
        Extraction(split, Hog()).run([tmp_path])
    assert [one.name for one in tmp_path.iterdir()] == ["photo.png"]


def test_changed_files_are_refused(split: Split, whole: Path, tmp_path: Path) -> None:
    Extraction(split, Patches(9)).run([tmp_path])
    learned, facts = tmp_path / "extractor.safetensors", tmp_path / "features.json"
    content, said = learned.read_bytes(), facts.read_text()
    for spoiled in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b"x"):
        learned.write_bytes(spoiled)
        with pytest.raises(InputError, match=r"extractor.safetensors cannot be used: it was changed"):
            open_extraction(tmp_path)
    learned.write_bytes(content)
    damage = (
        *(('"seconds"', '"second"'), ("{", "["), ('"finished": true', '"finished": 1'), ("}", "")),
        *(('"augment": null', '"augment": 3'), ('"augment"', '"copies"'), ('"seconds": ', f'"seconds": {"9" * 400}')),
    )
    for old, new in damage:
        facts.write_text(said.replace(old, new))
        with pytest.raises(InputError, match=r"features.json is damaged"):
            open_extraction(tmp_path)
    facts.write_text(said.replace('"n_features": 36', '"n_features": 40'))
    with pytest.raises(InputError, match="makes 36 features, not 40"):
        open_extraction(tmp_path)
    facts.write_text(said)
    np.save(tmp_path / "X_train.npy", np.zeros((1258, 5), np.float32))
    with pytest.raises(InputError):
        open_extraction(tmp_path)
    for change in (lambda: None, (tmp_path / "X_train.npy").unlink):
        change()
        with pytest.raises(InputError, match=r"X_train.npy is missing, or was changed. Delete its folder and extract"):
            Extraction(split, Patches(9)).run([tmp_path])
    learned.unlink()
    with pytest.raises(InputError, match=r"extractor.safetensors cannot be used"):
        open_extraction(tmp_path)
    with pytest.raises(InputError, match=r"extractor.safetensors cannot be used"):
        Extraction(split, Patches(9)).run([tmp_path])


def test_a_features_json_of_others_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "features.json").write_text('["age", "height"]')
    assert open_extraction(tmp_path) is None
    assert not holds_features(tmp_path)
    assert not holds_features(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("names", "kind", "dtype"),
    [
        (("no", "yes"), "text", "U"),
        (("-1", "7"), "int", "i"),
        (("1", str(2**63)), "int", "u"),
        (("False", "True"), "bool", "b"),
    ],
)
def test_labels_stay_what_they_are(tmp_path: Path, names: tuple[str, str], kind: str, dtype: str) -> None:
    generator = torch.Generator().manual_seed(0)
    data = ArrayDataset(torch.randn(40, 3, generator=generator), torch.arange(40) % 2, names, name="t", label_kind=kind)
    Extraction(Split(data, data), Kernel(5)).run([tmp_path])
    assert np.load(tmp_path / "y_train.npy").dtype.kind == dtype
    found = open_extraction(tmp_path)
    assert found is not None
    assert found[0].test is None
    assert (found[0].train.class_names, found[0].train.label_kind) == (names, kind)  # type: ignore[attr-defined]


def test_float16_is_read_as_float32(split: Split, whole: Path, tmp_path: Path) -> None:
    Extraction(split, Patches(9), dtype="float16").run([tmp_path])
    half, full = (np.load(place / "X_test.npy") for place in (tmp_path, whole))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, full.astype(np.float16))
    found = open_extraction(tmp_path)
    assert found is not None
    assert found[0].train.dtype == torch.float32
    large = Custom("here:large", None, lambda batch: batch.flatten(1).float() + 1e5)
    with pytest.raises(InputError, match=r"float16 ends at 65504. Use float32"):
        Extraction(split, large, dtype="float16").run([make(tmp_path / "large")])


def test_mirrored_pictures_are_rows_too(split: Split, tmp_path: Path) -> None:
    Extraction(split, Hog(cell=2), augment="mirror").run([tmp_path])
    rows, labels = np.load(tmp_path / "X_train.npy"), np.load(tmp_path / "y_train.npy")
    pictures = split.train.take(slice(0, 1258))
    fitted = Hog(cell=2).fit(split.train)
    np.testing.assert_allclose(rows[:1258], fitted.transform(pictures), atol=1e-6)
    mirrored = pictures.view(-1, 8, 8).flip(2).flatten(1)
    np.testing.assert_allclose(rows[1258:], fitted.transform(mirrored), atol=1e-6)
    assert (labels[:1258] == labels[1258:]).all()
    assert len(np.load(tmp_path / "X_validation.npy")) == 270


def test_small_copies_of_the_test_pictures_are_kept(split: Split, whole: Path, tmp_path: Path) -> None:
    found = open_extraction(whole)
    assert found is not None
    test: Any = found[0].test
    assert split.test is not None
    expected = split.test.take(slice(0, split.test.n_samples)).view(-1, 1, 8, 8).float() * 255 / 16
    assert torch.equal(test.pictures, expected.round().to(torch.uint8))
    assert test.subset(slice(0, 3)).pictures is test.subset(torch.tensor([1])).pictures is None
    large = ArrayDataset(torch.arange(2 * 3 * 40 * 70).float().view(2, -1) % 256, torch.tensor([0, 1]), ("a", "b"),
                         (3, 40, 70), "large", 255.0)  # fmt: skip
    Extraction(Split(large, large, large), Hog()).run([tmp_path])
    found = open_extraction(tmp_path)
    assert found is not None
    small: Any = found[0].test
    assert small.pictures.shape == (2, 3, 14, 24)
    for wrong in ((3, 3, 14, 24), (2, 3, 14, 33), (2, 2, 14, 24), (2, 3, 0, 24), (2, 14)):
        np.save(tmp_path / "pictures_test.npy", np.zeros(wrong, np.uint8))
        with pytest.raises(InputError, match=r"must be 2 pictures of bytes, at most 32 pixels a side\. Delete it"):
            open_extraction(tmp_path)
    (tmp_path / "pictures_test.npy").unlink()
    found = open_extraction(tmp_path)
    assert found is not None
    assert found[0].test.pictures is None  # type: ignore[union-attr]


def test_what_cannot_be_extracted_leaves_nothing(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="takes pictures in colour"):
        Extraction(split, Hog(color=True))
    with pytest.raises(InputError, match="dtype must be one of float32, float16; got 'int8'"):
        Extraction(split, Hog(), dtype="int8")
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda place: type("", (), {"free": 1000})())
    with pytest.raises(InputError, match=r"the features take 0.000\d+ GB more; the disk of .* has 1e-06 GB. Free some"):
        Extraction(split, Hog()).run([tmp_path])


def test_a_function_is_told_apart_by_its_source(split: Split, tmp_path: Path) -> None:
    def embed(batch: Any) -> Any:
        return batch.flatten(1)[:, :5]

    Extraction(split, Custom("here:embed", "1" * 16, embed)).run([tmp_path])
    found = open_extraction(tmp_path)
    assert found is not None
    kept: Fitted = found[0].train.extractor  # type: ignore[attr-defined]
    named: Extractor = kept.extractor
    assert named == Custom("here:embed", "1" * 16)
    assert vars(named)["function"] is None
    with pytest.raises(InputError, match=r"extractor.options.digest is"):
        Extraction(split, Custom("here:embed", "2" * 16, embed)).run([tmp_path])
