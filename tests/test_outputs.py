"""What may be written over: the own kind of file, with force any regular file, and never an input or a device."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from colinear.checks import InputError
from colinear.cli.models import KINDS
from colinear.export import FORMATS, export_model
from colinear.model import LinearModel
from colinear.outputs import MARK, MODEL, PAGE, Kind, check_output, write_whole

NUMBERS = Kind("a file of digits", lambda path: path.read_bytes().isdigit())


def small_model() -> LinearModel:
    generator = torch.Generator().manual_seed(0)
    return LinearModel(torch.randn(3, 4, generator=generator), torch.ones(3), ("a", "b", "c"))


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_a_new_file_and_one_of_the_own_kind_may_be_written_and_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"123")
    assert check_output(tmp_path / "new", NUMBERS) == tmp_path / "new"
    assert check_output(tmp_path / "old", NUMBERS) == tmp_path / "old"
    assert content_of(tmp_path) == {"old": b"123"}


def test_another_kind_is_refused_without_force(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"my notes")
    with pytest.raises(
        InputError, match=r"notes is there and is not a file of digits\. Pass another --out, or --force"
    ):
        check_output(tmp_path / "notes", NUMBERS)
    assert check_output(tmp_path / "notes", NUMBERS, force=True).read_bytes() == b"my notes"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("node", ["folder", "pipe", "device", "link to a device", "socket"])
def test_what_is_no_regular_file_is_refused_even_with_force(
    tmp_path: Path, node: str, force: bool, request: pytest.FixtureRequest
) -> None:
    target = tmp_path / "node"
    if node == "folder":
        target.mkdir()
    elif node == "pipe":
        os.mkfifo(target)  # opening it would wait for ever
    elif node == "link to a device":
        target.symlink_to("/dev/null")
    elif node == "socket":
        import socket

        server = socket.socket(socket.AF_UNIX)
        request.addfinalizer(server.close)
        server.bind(str(target))
    else:
        target = Path("/dev/null")
    with pytest.raises(InputError, match=f"must be a file; {target} is a {node.removeprefix('link to a ')}"):
        check_output(target, NUMBERS, force=force)


@pytest.mark.parametrize("kind", ["path", "link", "hard link", "home"])
@pytest.mark.parametrize("force", [False, True])
def test_an_input_is_refused_under_every_name(
    tmp_path: Path, kind: str, force: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Any = tmp_path / "x"
    given.write_bytes(b"123")
    target = tmp_path / ("x" if kind in ("path", "home") else "y")
    if kind == "link":
        target.symlink_to(given)
    elif kind == "hard link":
        target.hardlink_to(given)
    elif kind == "home":
        monkeypatch.setenv("HOME", str(tmp_path))
        given = "~/x"
    with pytest.raises(InputError, match="itself, which is read"):
        check_output(target, NUMBERS, inputs=["digits", given], force=force)


def test_a_file_of_another_kind_inside_an_input_folder_is_refused_even_with_force(tmp_path: Path) -> None:
    (tmp_path / "data" / "cat").mkdir(parents=True)
    (tmp_path / "data" / "cat" / "1.png").write_bytes(b"picture")
    (tmp_path / "data" / "0").write_bytes(b"0")
    with pytest.raises(InputError, match="is part of the data"):
        check_output(tmp_path / "data" / "cat" / "1.png", NUMBERS, inputs=[tmp_path / "data"], force=True)
    check_output(tmp_path / "data" / "0", NUMBERS, inputs=[tmp_path / "data"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere/x", "folder that exists"),
        ("n" * 300, "File name too long"),
        ("caf\udce9", "UTF-8"),
        ("file/x", "folder that exists"),
    ],
)
def test_a_place_that_does_not_take_a_file_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=words):
        check_output(tmp_path / name, NUMBERS)
    assert content_of(tmp_path) == {"file": b""}


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    target = check_output(tmp_path / ("n" * 255), NUMBERS)
    write_whole(target, b"1")
    assert content_of(tmp_path) == {"n" * 255: b"1"}


def read_only(*_: Any, **__: Any) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_folder_on_a_read_only_disk_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "touch", read_only)
    monkeypatch.setattr(Path, "unlink", read_only)  # such a disk refuses that too
    with pytest.raises(InputError, match="cannot be written: Read-only file system"):
        check_output(tmp_path / "x", NUMBERS)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    (tmp_path / "x").write_bytes(b"1")
    monkeypatch.setattr(os, fails, read_only)
    with pytest.raises(OSError, match="Read-only"):
        write_whole(tmp_path / "x", b"2")
    assert content_of(tmp_path) == {"x": b"1"}


def test_the_kinds_are_told_from_each_other(tmp_path: Path) -> None:
    model = small_model()
    model.save(tmp_path / "m.safetensors")
    (tmp_path / "page.html").write_text(f"<head>{MARK}")
    np.savez(tmp_path / "own.npz", weight=np.eye(2), bias=np.ones(2))
    (tmp_path / "own.csv").write_text("class,bias\n")
    (tmp_path / "own.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0[]")
    files = {"m.safetensors": MODEL, "page.html": PAGE}
    for to, kind in KINDS.items():
        name = f"m{FORMATS[to][0]}"
        export_model(model, tmp_path / name, to)
        if to != "sklearn":  # a pickle is never known: to look into it is to run it
            files[name] = kind
    for path in sorted(tmp_path.iterdir()):
        for kind in {MODEL, PAGE, *KINDS.values()}:
            assert kind.owns(path) == (files.get(path.name) is kind), (path.name, kind.name)


def test_a_model_that_was_cut_short_is_still_a_model(tmp_path: Path) -> None:
    small_model().save(tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(whole[:-10])
    assert MODEL.owns(tmp_path / "m.safetensors")
    (tmp_path / "m.safetensors").write_bytes(whole[:20])
    assert not MODEL.owns(tmp_path / "m.safetensors")


def test_every_format_of_export_has_its_kind() -> None:
    assert KINDS.keys() == FORMATS.keys()
