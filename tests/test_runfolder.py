"""The run folder: one process at a time, whole files only, checkpoints that prove themselves."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from colinear.checks import InputError
from colinear.search.runfolder import CHECKPOINT_FORMAT, RunFolder, _digest, refuse_used

IDENTITY: dict[str, Any] = {"settings": {"steps": 10, "losses": ("hinge",)}, "training data": "abc", "threads": 1}
TENSORS = {
    "coef": torch.linspace(-1, 1, 12).view(2, 2, 3),
    "alive": torch.tensor([0, 2]),
    "history": torch.tensor([1.0, math.nan], dtype=torch.float64),
    "generator": torch.arange(5, dtype=torch.uint8),
    "nobody": torch.empty(0, 3),
}
FACTS = {"step": 7, "rungs": [{"val_accuracies": [0.5, None]}], "statuses": ["completed"]}
NAME = "checkpoints/hinge.safetensors"


def assert_same_tensors(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0, equal_nan=True)


# The lock


def test_a_second_run_is_refused_with_the_process_that_holds_the_folder(tmp_path: Path) -> None:
    program = (
        "import sys; from colinear.search.runfolder import RunFolder\n"
        "with RunFolder(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"in use by process {holder.pid}. Wait for it"), RunFolder(tmp_path):
            pass
        holder.kill()  # a killed run leaves no lock behind
    with RunFolder(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_is_free_again_after_its_run_even_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), RunFolder(tmp_path / "new" / "run"):
        raise RuntimeError
    with RunFolder(tmp_path / "new" / "run"), pytest.raises(InputError, match=f"process {os.getpid()}"):  # noqa: SIM117
        with RunFolder(tmp_path / "new" / "run"):
            pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be made: .*\. Pass another --out"), RunFolder(tmp_path / "file"):
        pass


@pytest.mark.parametrize("name", ["n" * 300, "caf\udce9", "a\0b"])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"UTF-8|cannot be made"), RunFolder(tmp_path / name):
        pass
    if "\0" not in name:
        with pytest.raises(InputError, match=r"UTF-8|cannot be used"):
            refuse_used(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "results.json",
        "report.html",
        "figures/a",
        "report-data/x",
        "checkpoints/x",
        "model-hinge.safetensors",
        "try-1/x",
    ],
)
def test_a_new_run_writes_over_nothing(tmp_path: Path, name: str) -> None:
    refuse_used(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("may stay")
    refuse_used(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"holds {name.partition('/')[0]}, which a run would write over"):
        refuse_used(tmp_path)
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds a run already\. Go on with --resume"):
        refuse_used(tmp_path)


# Files


def test_files_are_written_whole_in_new_folders_and_read_back(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        assert folder.write("a/b.bin", b"123").read_bytes() == b"123"
        folder.write_json("results.json", {"é": [1.5, None]})
        assert folder.read_json("results.json") == {"é": [1.5, None]}
        assert (tmp_path / "results.json").read_text().endswith("}\n")
        folder.remove("results.json")
        folder.remove("results.json")
        with pytest.raises(InputError, match=r"holds no results\.json"):
            folder.read_json("results.json")
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == [".lock", "a", "a/b.bin"]


def test_json_that_is_none_is_damaged_and_nan_is_never_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "results.json").write_bytes(b'{"runs": [')
    with pytest.raises(InputError, match="is damaged"):
        folder.read_json("results.json")
    with pytest.raises(ValueError, match="JSON"):
        folder.write_json("settings.json", {"value": math.nan})
    assert not (tmp_path / "settings.json").exists()


def test_lists_of_numbers_are_one_line_and_texts_stay_as_they_are(tmp_path: Path) -> None:
    value = {
        "counts": [[0] * 1000] * 1000, "order": [2, -1.5, 3e-9, None, True], "none": [], "both": [1, "a"],
        "names": ["[1,\n 2]", "[\n  1, 2\n]", "\u2028[ 1 ]"],
    }  # fmt: skip
    with RunFolder(tmp_path / "run") as folder:
        path = folder.write_json("results.json", value)
        assert folder.read_json("results.json") == value
        lines = path.read_text().splitlines()
        assert sum(set(line) <= set("0,[] ") and line.count("0") == 1000 for line in lines) == 1000
        assert '  "order": [2,-1.5,3e-09,null,true],' in lines
        assert path.stat().st_size < 2.1e6
        path.write_text(json.dumps(value, indent=2))  # as earlier versions wrote it
        assert folder.read_json("results.json") == value


@pytest.mark.parametrize("fails", ["fsync", "replace", "write"])
def test_a_full_disk_is_a_clear_error_and_leaves_the_last_good_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(NAME, (TENSORS, FACTS), IDENTITY)
    good = (tmp_path / NAME).read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if fails == "write":  # a device that is always full
        monkeypatch.setattr("builtins.open", lambda path, mode: os.fdopen(os.open("/dev/full", os.O_WRONLY), mode))
    else:
        monkeypatch.setattr(os, fails, full)
    with pytest.raises(InputError, match=r"No space left on device\. The last good checkpoints/hinge"):
        folder.save_checkpoint(NAME, ({"coef": torch.zeros(9)}, {"step": 8}), IDENTITY)
    with pytest.raises(InputError, match=r"No space left on device\. Free some space") as refusal:
        folder.write("new.bin", b"1")
    monkeypatch.undo()
    assert f"--resume {tmp_path}" in str(refusal.value)
    assert (tmp_path / NAME).read_bytes() == good
    assert [path.name for path in tmp_path.rglob("*.part")] == []
    assert not (tmp_path / "new.bin").exists()
    assert folder.load_checkpoint(NAME, IDENTITY) is not None


def test_a_folder_on_a_full_disk_can_still_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lock").symlink_to("/dev/full")
    with RunFolder(tmp_path) as folder:
        assert folder.path == tmp_path


# Checkpoints


def test_a_checkpoint_comes_back_as_it_went(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.load_checkpoint(NAME, IDENTITY) is None
    folder.save_checkpoint(NAME, (TENSORS, FACTS), IDENTITY)
    parts = folder.load_checkpoint(NAME, IDENTITY)
    assert parts is not None
    assert_same_tensors(parts[0], TENSORS)
    assert parts[1] == FACTS


@pytest.mark.parametrize("length", range(0, 64, 8))
def test_loaded_tensors_lie_as_new_ones_do_whatever_the_header(tmp_path: Path, length: int) -> None:
    """Products of floats end with other digits where rows begin at other addresses, and a run goes on to the byte."""
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(NAME, (TENSORS, {**FACTS, "note": "x" * length}), IDENTITY)
    parts = folder.load_checkpoint(NAME, IDENTITY)
    assert parts is not None
    assert all(tensor.data_ptr() % 64 == torch.empty(12).data_ptr() % 64 for tensor in parts[0].values())


def test_the_same_checkpoint_has_the_same_bytes_in_its_place(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint("a", ({"w": TENSORS["coef"].mT}, FACTS), IDENTITY)  # not contiguous
    parts = folder.load_checkpoint("a", IDENTITY)
    assert parts is not None
    assert torch.equal(parts[0]["w"], TENSORS["coef"].mT)


def test_a_byte_that_flipped_anywhere_is_found(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    target = folder.save_checkpoint(NAME, (TENSORS, FACTS), IDENTITY)
    good = target.read_bytes()
    for place in range(len(good)):
        for mask in (0xFF, 1 << place % 8):
            target.write_bytes(good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :])
            with pytest.raises(InputError, match=r"is damaged .*Delete it"):
                folder.load_checkpoint(NAME, IDENTITY)


@pytest.mark.parametrize("length", [0, 1, 8, 100, -1])
def test_a_checkpoint_cut_short_or_of_something_else_is_refused(tmp_path: Path, length: int) -> None:
    folder = RunFolder(tmp_path)
    target = folder.save_checkpoint(NAME, (TENSORS, FACTS), IDENTITY)
    target.write_bytes(target.read_bytes()[:length])
    with pytest.raises(InputError, match="is damaged"):
        folder.load_checkpoint(NAME, IDENTITY)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"threads": 2}, "threads is 1, this run's is 2"),
        ({"settings": {"steps": 11, "losses": ("hinge",)}}, "settings.steps is 10, this run's is 11"),
        ({"torch": "9.9"}, "torch is None, this run's is '9.9'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_a_checkpoint_of_another_run_is_refused_by_what_differs(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(NAME, (TENSORS, FACTS), IDENTITY)
    with pytest.raises(InputError, match=f"belongs to another run: its .*{named}"):
        folder.load_checkpoint(NAME, {**IDENTITY, **change})
    missing = {key: value for key, value in IDENTITY.items() if key != "threads"}
    with pytest.raises(InputError, match="its threads is 1, this run's is None"):
        folder.load_checkpoint(NAME, missing)


def test_data_that_changed_is_told_from_another_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(NAME, (TENSORS, FACTS), IDENTITY)
    with pytest.raises(
        InputError, match=r"is of other training data: the data has changed since\. Put it back .*--out"
    ):
        folder.load_checkpoint(NAME, {**IDENTITY, "training data": "xyz"})
    without = {key: value for key, value in IDENTITY.items() if key != "training data"}  # no data to have changed
    with pytest.raises(InputError, match="belongs to another run: its training data is 'abc', this run's is None"):
        folder.load_checkpoint(NAME, without)


def test_a_checkpoint_whose_facts_are_too_deep_is_damaged(tmp_path: Path) -> None:
    header = {"format": CHECKPOINT_FORMAT, "facts": "[" * 200_000, "identity": json.dumps(IDENTITY)}
    header["digest"] = _digest(TENSORS, header)
    (tmp_path / "a").write_bytes(save(TENSORS, header))
    with pytest.raises(InputError, match="a is damaged"):
        RunFolder(tmp_path).load_checkpoint("a", IDENTITY)


def test_a_long_identity_is_told_in_bounded_words(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(NAME, (TENSORS, FACTS), {"data": "x" * 100_000})
    with pytest.raises(InputError, match="its data is 'xxx") as refusal:
        folder.load_checkpoint(NAME, {"data": "y"})
    assert len(str(refusal.value)) < 800


def test_identities_are_compared_as_json(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_checkpoint(NAME, (TENSORS, FACTS), IDENTITY)
    assert folder.load_checkpoint(NAME, json.loads(json.dumps(IDENTITY))) is not None


def test_a_folder_goes_with_its_last_file(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.write("inner/a", b"1")
        folder.write("inner/b", b"2")
        folder.remove("inner/a")
        assert [path.name for path in (folder.path / "inner").iterdir()] == ["b"]
        (folder.path / "inner" / ".b.part").write_bytes(b"a kill came in between")
        folder.remove("inner/b")
        assert not (folder.path / "inner").exists()
        folder.remove("inner/b")
        folder.remove("settings.json")
        assert folder.path.is_dir()
