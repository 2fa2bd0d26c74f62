"""Hostile command lines: each ends with status 2 and one or two lines, and nothing is written or written over."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from tests.program import Program, assert_refused

from colinear.cli import app
from colinear.model import LinearModel

LONG, HUGE, DIGITS = "n" * 300, "d/" * 3000, "9" * 400
EXACT, SGD = ("--regs", "0.1"), ("--solver", "sgd", "--steps", "2", "--candidates", "2")
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # numbers beyond what anything can hold: arguments, words of the message
    "seed of 2^63": (("tune", "x.npy", "--seed", "9223372036854775808"), ("--seed",)),
    "seed of 2^64": (("fit", "x.npy", "--seed", "18446744073709551616"), ("--seed",)),
    "seed of 400 digits": (("check", "x.npy", "--seed", DIGITS), ("--seed",)),
    "seed of 5000 digits": (("evaluate", "m.safetensors", "x.npy", "--seed", "9" * 5000), ("--seed",)),
    "candidates": (("tune", "x.npy", "--candidates", "10000000"), ("--candidates", "100,000")),
    "candidates of 400 digits": (("tune", "x.npy", "--candidates", DIGITS), ("--candidates",)),
    "steps of 400 digits": (("tune", "x.npy", "--steps", DIGITS), ("--steps",)),
    "steps no memory holds": (("tune", "x.npy", "--steps", "2147483647", "--candidates", "99999"), ("GiB", "--steps")),
    "batch size": (("tune", "x.npy", *SGD, "--batch-size", "2147483647"), ("--batch-size",)),
    "passes": (("tune", "x.npy", "--max-passes", DIGITS), ("--max-passes",)),
    "tries": (("tune", "x.npy", "--shots", "2", "--tries", DIGITS), ("--tries",)),
    "shots": (("tune", "x.npy", "--shots", DIGITS), ("--shots",)),
    "folds": (("tune", "x.npy", "--cv", DIGITS), ("--cv",)),
    "eta": (("tune", "x.npy", *SGD, "--halving", "--eta", DIGITS), ("--eta",)),
    "top": (("predict", "m.safetensors", "x.npy", "--top", DIGITS), ("--top",)),
    "rows": (("check", "x.npy", "--rows", DIGITS), ("--rows",)),
    "tol nan": (("tune", "x.npy", "--tol", "nan"), ("--tol",)),
    "tol above 1": (("tune", "x.npy", "--tol", "1e300"), ("--tol", "<= 1")),
    "constant feature": (("fit", "x.npy", "--intercept-scaling", "1e308"), ("--intercept-scaling", "1e+08")),
    "constant feature nan": (("fit", "x.npy", "--intercept-scaling", "nan"), ("--intercept-scaling",)),
    "strength of 1e-308": (("tune", "x.npy", "--regs", "1e-308"), ("--regs", "1e-20")),
    "strength of 1e308": (("tune", "x.npy", "--regs", "1:1e308:3"), ("--regs", "1e+20")),
    "strength of 400 digits": (("fit", "x.npy", "--reg", DIGITS), ("--reg",)),
    "strength nan": (("fit", "x.npy", "--reg", "nan"), ("--reg",)),
    "strength of 1e-308 to fit": (("fit", "x.npy", "--reg", "1e-308"), ("--reg", "1e-20")),
    "strengths of sgd": (("tune", "x.npy", *SGD, "--reg", "1e-308:1"), ("--reg", "1e-20")),
    "rates": (("tune", "x.npy", *SGD, "--lr", "1e-3:1e300"), ("--lr", "1e+20")),
    "too many strengths": (("tune", "x.npy", "--regs", ",".join(map(str, range(1, 2000)))), ("--regs", "1,000")),
    "text for strengths": (("tune", "x.npy", "--regs", "x" * 10_000), ("--regs",)),
    "text for rates": (("tune", "x.npy", *SGD, "--lr", "x" * 10_000), ("--lr",)),
    "copies": (("fit", "x.npy", "--augment", "shift:" + "9" * 5000), ("--augment", "5006 characters")),
    "label of 300": (("tune", "x.npy", "--label", LONG), ("name",)),
    # devices
    "device, before the data": (("tune", "nothing-here", "--device", "meta"), ("device must be",)),
    **{
        f"device {name[:12]}": (("fit", "x.npy", "--device", name), ("device", name[:5]))
        for name in ("meta", "hpu", "privateuseone", "xla", "mps", "xpu", "cuda:99", "cpu:-1", f"cuda:{DIGITS}", LONG)
    },
    # places that are none
    **{
        f"{words[0]} {words[-1][:8]}": (words, (named,))
        for place, named in ((LONG, "300 bytes"), (HUGE, "fits in no folder"), ("~nouser/x", "no user '~nouser'"))
        for words in (
            ("tune", place), ("tune", "x.npy", "--out", place), ("tune", "--resume", place), ("info", place),
            ("tune", "x.npy", "--log-dir", place), ("tune", "cifar10", "--data-dir", place), ("check", place),
            ("fit", place), ("fit", "x.npy", "--out", place), ("evaluate", place, "x.npy"), ("predict", place, "x.npy"),
            ("evaluate", "m.safetensors", place), ("predict", "m.safetensors", place), ("report", place),
            ("export", place), ("export", "m.safetensors", "--out", place), ("compare", place, "run"),
            ("export", "m.safetensors", "--check", place), ("compare", "run", "other", "--out", place),
            ("sweep", place), ("sweep", "x.npy", "--out", place), ("table", place), ("card", place),
        )
    },
    "empty name": (("fit", ""), ("not empty",)),
    "no folder of the output": (("fit", "x.npy", "--out", "no/m"), ("folder that exists",)),
    # what is there and not of the kind that is written
    **{
        f"fit over {target} {' '.join(more)}": (("fit", "x.npy", "--out", target, *more), (named,))
        for target, named in (
            ("x.npy", "which is read"), ("./x.npy", "which is read"), ("link", "which is read"),
            ("y.npy", "which is read"), ("pipe", "a pipe"), ("folder", "a folder"), ("/dev/null", "a device"),
            ("/dev/full", "a device"),
        )
        for more in ((), ("--force",))
    },
    "fit over notes": (("fit", "x.npy", "--out", "notes"), ("not a model of colinear", "--force")),
    "fit over its labels": (("fit", "x.npy", "--label", "notes", "--out", "notes", "--force"), ("which is read",)),
    "export over notes": (
        ("export", "m.safetensors", "--to", "csv", "--out", "notes.csv"), ("not a CSV file of colinear", "--force"),
    ),
    "export over a pickle": (("export", "m.safetensors", "--to", "sklearn", "--out", "p.pkl"), ("--force",)),
    "export over the model": (
        ("export", "m.safetensors", "--to", "numpy", "--out", "m.safetensors", "--force"), ("which is read",),
    ),
    "export to a pipe": (("export", "m.safetensors", "--to", "csv", "--out", "pipe", "--force"), ("a pipe",)),
    "compare over notes": (("compare", "run", "other", "--out", "notes"), ("not a page of colinear", "--force")),
    "compare to a pipe": (("compare", "run", "other", "--out", "pipe", "--force"), ("a pipe",)),
    "tune into a folder in use": (("tune", "x.npy", *EXACT, "--out", "used"), ("results.json", "write over")),
    "tune into a file": (("tune", "x.npy", *EXACT, "--out", "notes"), ("cannot be",)),
    "sweep into a folder in use": (("sweep", "x.npy", *EXACT, "--out", "used"), ("and no sweep", "Pass another --out")),
    "sweep into a file": (("sweep", "x.npy", *EXACT, "--out", "notes"), ("cannot be",)),
    "sweep of a pipe": (("sweep", "pipe.toml", *EXACT), ("no file pipe.toml",)),
    "table of a file": (("table", "x.npy"), ("no results.json",)),
    "table of nothing": (("table", "run", "--rows", ""), ("no results.json",)),
    "card of rows": (("card", "x.npy"), ("x.npy",)),
    "log into a pipe": (("tune", "x.npy", *EXACT, "--out", "new", "--log-dir", "pipe"), ("log folder",)),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a model, notes, a pipe; the working directory."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
    np.save("y.npy", np.arange(40) % 2)
    LinearModel(torch.eye(2, 3), torch.zeros(2), ("0", "1"), provenance={"loss": "hinge"}).save("m.safetensors")
    Path("notes").write_text("my notes")
    Path("notes.csv").write_text("a,b\n1,2\n")
    Path("p.pkl").write_bytes(b"a pickle of somebody")
    Path("folder").mkdir()
    Path("used").mkdir()
    Path("used/results.json").write_text("mine")
    Path("link").symlink_to("x.npy")
    os.mkfifo("pipe")
    return tmp_path


def listing(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every name in a folder, and the content of regular files."""
    for path in sorted(folder.rglob("*")):
        yield str(path), path.read_bytes() if path.is_file() else b""


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_line_is_refused_and_changes_nothing(place: Path, colinear: Program, case: str) -> None:
    arguments, words = CASES[case]
    before = dict(listing(place))
    said = colinear(*arguments)
    assert_refused(said, *words)
    assert max(map(len, said.err.splitlines())) <= app.LONGEST_LINE + len("error: ")
    assert said.out == ""
    assert {path: content for path, content in listing(place) if path not in before} == {}
    assert dict(listing(place)) == before


def test_a_choice_that_is_none_is_refused_with_what_can_be_chosen(colinear: Program) -> None:
    said = colinear("tune", "digits", "--rule", "2se")
    assert said.status == 2
    assert said.err.startswith("error: Invalid value for '--rule': '2se' is not one of 'best', '1se'.")


def test_force_replaces_a_regular_file_of_another_kind(place: Path, colinear: Program) -> None:
    assert colinear("fit", "x.npy", "--out", "notes", "--force", "--max-passes", "2", "-q").status == 0
    assert LinearModel.load("notes").n_features == 3
    assert colinear("export", "m.safetensors", "--to", "sklearn", "--out", "p.pkl", "--force").status == 0
    assert colinear("export", "m.safetensors", "--to", "csv", "--out", "notes.csv", "--force").status == 0
    assert Path("notes.csv").read_text().startswith("class,bias")


def test_the_own_kind_is_replaced_without_force(place: Path, colinear: Program) -> None:
    before = Path("m.safetensors").read_bytes()
    assert colinear("fit", "x.npy", "--out", "m.safetensors", "--max-passes", "2", "-q").status == 0
    assert Path("m.safetensors").read_bytes() != before
    for _ in range(2):
        for to in ("csv", "numpy", "onnx"):
            assert colinear("export", "m.safetensors", "--to", to).status == 0


def refuse_to_write(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.parametrize("words", [("fit", "x.npy"), ("export", "m.safetensors"), ("compare", "run", "other")])
def test_a_read_only_folder_is_told_before_any_work(
    place: Path, colinear: Program, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("work has begun")

    monkeypatch.setattr(Path, "touch", refuse_to_write)
    monkeypatch.setattr(Path, "unlink", refuse_to_write)
    monkeypatch.setattr("colinear.cli.extracting.open_split", work)
    monkeypatch.setattr("colinear.cli.models.export_model", work)
    assert_refused(colinear(*words), "Read-only file system")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, "Input/output error", "disk/x"), ("disk/x", "Input/output error")),
        (OSError("odd"), ("odd",)),
        (PermissionError(errno.EACCES, "Permission denied", "x" * 5000), ("Permission denied",)),
        (MemoryError(), ("memory", "--candidates")),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), ("memory",)),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), ("memory",)),
        (RuntimeError("Storage size calculation overflowed with sizes=[99]"), ("memory",)),
    ],
    ids=range(7),
)
def test_what_the_machine_cannot_do_is_no_traceback(
    colinear: Program, monkeypatch: pytest.MonkeyPatch, error: Exception, words: tuple[str, ...]
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("colinear.cli.describing.run_info", fail)
    said = colinear("info", "digits")
    assert_refused(said, *words)
    assert max(map(len, said.err.splitlines())) <= app.LONGEST_LINE + len("error: ")


@pytest.mark.parametrize("error", [RuntimeError("a defect"), ValueError("a defect"), EOFError(), AssertionError()])
def test_a_defect_keeps_its_traceback(colinear: Program, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("colinear.cli.describing.run_info", fail)
    with pytest.raises((type(error), typer.Abort)):  # as which click passes on the end of a file
        app.main(["info", "digits"])


def test_a_folder_whose_name_is_no_utf_8_can_be_trained_on(place: Path, colinear: Program, run_of_bytes: Path) -> None:
    said = colinear("tune", run_of_bytes, *EXACT, "--loss", "softmax", "--log-dir", "log", "--out", "new")
    assert said.status == 0, said.err
    assert r"caf\\xe9" in (place / "new/report.html").read_text()  # as JSON writes a backslash
    assert colinear("info", run_of_bytes, "--json").json["data"] == r"caf\xe9"
    assert colinear("tune", "--resume", "new").status == 0
    assert_refused(colinear("fit", run_of_bytes, "--out", "caf\udce9.safetensors"), "UTF-8", r"\udce9")
    assert_refused(colinear("tune", run_of_bytes, *EXACT, "--out", "caf\udce9-run"), "UTF-8")


@pytest.fixture
def run_of_bytes(place: Path) -> Path:
    """Two classes of grey pictures in a folder whose name is the bytes of another encoding."""
    from PIL import Image

    folder = Path("caf\udce9")
    generator = np.random.default_rng(0)
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    for name in ("a", "b"):
        (folder / name).mkdir()
        for number in range(12):
            pixels = generator.integers(0, 255, (4, 4)).astype(np.uint8)
            with open(folder / name / f"{number}.png", "wb") as file:
                Image.fromarray(pixels).save(file, "PNG")
    return folder


def test_figures_and_report_come_with_a_resume_if_a_kill_came_before_them(
    colinear: Program, run_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/figures")
    (tmp_path / "run/report.html").unlink()
    assert colinear("tune", "--resume", tmp_path / "run", "-q").status == 0
    names = [sorted(path.name for path in (folder / "figures").iterdir()) for folder in (run_folder, tmp_path / "run")]
    assert names[0] == names[1]
    assert (tmp_path / "run/report.html").stat().st_size > 100_000


def test_a_page_of_somebody_in_the_run_is_told_before_the_search(
    colinear: Program, run_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run/report.html").write_text("my notes")
    assert_refused(colinear("tune", "--resume", tmp_path / "run"), "not a page of colinear", "report --force")
    assert_refused(colinear("report", tmp_path / "run"), "not a page of colinear")
    assert colinear("report", tmp_path / "run", "--force").status == 0


def test_edited_settings_are_refused_by_resume_finished_or_not(
    colinear: Program, run_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    settings = tmp_path / "run/settings.json"
    settings.write_text(settings.read_text().replace('"seed": 0', '"seed": 1'))
    assert_refused(colinear("tune", "--resume", tmp_path / "run"), "settings.json was edited", "new run")
    for name in ("results.json", "model-hinge.safetensors", "model-softmax.safetensors"):  # as after an early kill
        (tmp_path / "run" / name).unlink()
    assert_refused(colinear("tune", "--resume", tmp_path / "run"), "settings.json was edited")
