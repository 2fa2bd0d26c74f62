"""`colinear sweep` and `colinear table`, as their user calls them."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.program import Program, assert_fits_a_page, assert_refused

from colinear.search.tune import tune
from colinear.sweep import list_results

QUICK = ("--regs", "1e-2,1e-1", "--loss", "softmax")
FILES = {"summary.csv", "summary.html", "sweep.json"}


def write_rows(path: Path, shift: float = 0.0) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = rng.normal(size=(90, 4)) + 2 * np.eye(3, 4)[labels] + shift
    np.savez(path, features=features.astype(np.float32), labels=labels)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of rows, layer-1.npz and layer-2.npz, in the folder that the program is called in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("colinear.report.figures.write_figures", lambda *_: [])
    for layer in (1, 2):
        write_rows(tmp_path / f"layer-{layer}.npz", layer)
    return tmp_path


def states(folder: Path) -> dict[str, str]:
    return {Path(one["data"]).name: one["state"] for one in json.loads((folder / "sweep.json").read_text())["runs"]}


def lines_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def results_of(folder: Path) -> dict[str, Any]:
    """results.json of every run, times aside, and the bytes of models."""

    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_times(one) for key, one in value.items() if not key.endswith("seconds")}
        return [without_times(one) for one in value] if isinstance(value, list) else value

    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name == "results.json":
            found[name] = without_times(json.loads(path.read_text()))
        elif path.suffix == ".safetensors":
            found[name] = path.read_bytes()
    return found


def test_every_run_has_its_folder_and_a_line_in_the_summary(colinear: Program, here: Path) -> None:
    said = colinear("sweep", "layer-{layer}.npz", *QUICK, "--out", "all")
    assert said.status == 0, said.err
    assert_fits_a_page(said.out)
    assert "2 of 2 runs finished.\nWritten to all: summary.csv" in said.out
    assert "run 1 of 2 finished in" in said.err
    assert "left" in said.err
    folders = {path.name for path in (here / "all").iterdir()} - FILES - {".lock"}
    assert [name.rsplit("-", 1)[0] for name in sorted(folders)] == ["layer-1", "layer-2"]
    for name in folders:
        assert {"report.html", "results.json", "model-softmax.safetensors"} <= {
            path.name for path in (here / "all" / name).iterdir()
        }
    lines = lines_of(here / "all")
    assert [(line["layer"], line["loss"], line["state"]) for line in lines] == [
        ("1", "softmax", "finished"), ("2", "softmax", "finished"),
    ]  # fmt: skip
    table = colinear("table", "all", "--rows", "loss", "--columns", "layer")
    assert table.out.startswith("| loss | 1 | 2 |\n| :-- | --: | --: |\n| softmax | ")
    own = [str(here / "all" / name) for name in sorted(folders)]
    same = colinear("table", *own, "--pattern", "layer-{layer}.npz", "--rows", "loss", "--columns", "layer")
    assert same.out == table.out
    cells = colinear("table", "all", "--json", "--where", "layer=2").json
    assert [cell["data"] for cell in cells] == ["layer-2"]


def test_a_run_is_that_of_tune(colinear: Program, here: Path) -> None:
    colinear("sweep", "layer-1.npz", *QUICK, "--seed", "3")
    colinear("tune", "layer-1.npz", *QUICK, "--seed", "3", "--out", "alone")
    [own] = [path for path in (here / "sweep").iterdir() if path.is_dir()]
    assert results_of(own) == results_of(here / "alone")
    assert (own / "settings.json").read_bytes() == (here / "alone/settings.json").read_bytes()


def test_what_is_finished_is_passed_over_without_a_look_at_its_rows(
    colinear: Program, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colinear("sweep", "layer-1.npz", *QUICK)
    before = results_of(here / "sweep")
    opened: list[Any] = []
    monkeypatch.setattr("colinear.cli.held.open_parts", lambda *given, **_: opened.append(given))
    said = colinear("sweep", "layer-1.npz", *QUICK)
    assert (said.status, opened) == (0, [])
    assert "1 run finished before." in said.err
    assert results_of(here / "sweep") == before


def test_a_file_that_was_touched_is_read_again_and_one_that_changed_fails(colinear: Program, here: Path) -> None:
    colinear("sweep", "layer-1.npz", *QUICK)
    os.utime("layer-1.npz", ns=(1, 1))
    assert colinear("sweep", "layer-1.npz", *QUICK).status == 0
    write_rows(here / "layer-1.npz", 9.0)
    said = colinear("sweep", "layer-1.npz", *QUICK)
    assert said.status == 1
    assert "is a run on other data than layer-1.npz holds now" in " ".join(said.out.split())


def test_a_run_that_fails_is_noted_and_tried_again(colinear: Program, here: Path) -> None:
    (here / "layer-1.npz").write_bytes(b"no archive")
    said = colinear("sweep", "layer-1.npz", "layer-2.npz", *QUICK)
    assert said.status == 1
    assert states(here / "sweep") == {"layer-1.npz": "failed", "layer-2.npz": "finished"}
    assert "layer-1.npz failed: " in said.out
    assert "1 of 2 runs finished, 1 failed" in said.out
    [line] = [one for one in lines_of(here / "sweep") if one["state"] == "failed"]
    assert "layer-1.npz" in line["error"]
    silent = colinear("sweep", "layer-1.npz", "layer-2.npz", *QUICK, "--quiet")
    assert (silent.status, silent.out) == (1, "")
    assert re.fullmatch(r"run 1 of 2 failed: .*layer-1\.npz.*\n", silent.err)  # errors are said, and nothing else
    write_rows(here / "layer-1.npz")
    assert colinear("sweep", "layer-1.npz", "layer-2.npz", *QUICK).status == 0
    assert states(here / "sweep") == {"layer-1.npz": "finished", "layer-2.npz": "finished"}


def test_a_defect_takes_no_other_run_with_it(colinear: Program, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_once(settings: Any, *rest: Any) -> Any:
        if settings.data == "layer-1.npz":
            raise ZeroDivisionError("spam")
        return tune(settings, *rest)

    monkeypatch.setattr("colinear.cli.sweeping.tune", fail_once)
    said = colinear("sweep", "layer-1.npz", "layer-2.npz", *QUICK)
    assert said.status == 1
    assert "Traceback" in said.err
    assert "a defect of colinear, ZeroDivisionError: spam" in said.out
    assert states(here / "sweep") == {"layer-1.npz": "failed", "layer-2.npz": "finished"}


def test_ctrl_c_says_how_far_it_is_and_the_same_command_goes_on(
    colinear: Program, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(settings: Any, *rest: Any) -> Any:
        if settings.data == "layer-2.npz":
            raise KeyboardInterrupt
        return tune(settings, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("colinear.cli.sweeping.tune", stopped)
        said = colinear("sweep", "layer-1.npz", "layer-2.npz", *QUICK)
    assert said.status == 130
    assert "Stopped. 1 of 2 runs finished in sweep. The same command goes on." in said.err
    assert "Waiting" in (here / "sweep/summary.html").read_text()
    assert states(here / "sweep") == {"layer-1.npz": "finished", "layer-2.npz": "waiting"}
    assert colinear("sweep", "layer-1.npz", "layer-2.npz", *QUICK).status == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this platform has no SIGKILL")
def test_a_killed_sweep_ends_with_the_same_bytes(colinear: Program, here: Path) -> None:
    words = ("sweep", "layer-1.npz", "layer-2.npz", "--solver", "sgd", "--steps", "300", "--candidates", "3")
    program = [sys.executable, "-m", "colinear.cli", *words, "--out", "killed"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for sign in ("run 1 of 2, hinge", "run 1 of 2 finished"):
        with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith(sign):
                    process.kill()
                    break
    for out in ("killed", "whole"):
        done = subprocess.run([*program[:-1], out], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
    assert results_of(here / "killed") == results_of(here / "whole")


def test_runs_of_one_file_share_its_rows_and_those_of_one_seed_the_split(
    colinear: Program, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colinear.cli import held

    counts = {"open_parts": 0, "deal": 0}

    def count(name: str) -> Callable[..., Any]:
        real = getattr(held, name)

        def counted(*given: Any, **more: Any) -> Any:
            counts[name] += 1
            return real(*given, **more)

        return counted

    for name in counts:
        monkeypatch.setattr(f"colinear.cli.held.{name}", count(name))
    (here / "grid.toml").write_text('data = ["layer-1.npz", "layer-2.npz"]\nseed = [0, 1]\ntol = [0.1, 0.01]\n')
    said = colinear("sweep", "grid.toml", *QUICK)
    assert said.status == 0, said.err
    assert counts == {"open_parts": 2, "deal": 4}
    assert len(states(here / "grid")) == 2
    refused = colinear("table", "grid", "--rows", "data", "--columns", "loss")
    assert_refused(refused, "4 results stand at data layer-1, loss softmax; they differ in tol", "--where")
    cells = colinear("table", "grid", "--columns", "tol", "--json").json
    assert [(cell["tol"], cell["count"]) for cell in cells] == [(0.01, 2), (0.1, 2)] * 2


def test_other_options_of_tune_go_through(colinear: Program, here: Path) -> None:
    (here / "few.toml").write_text(
        'data = "layer-1.npz"\n[[runs]]\nshots = 3\ntries = 2\n[[runs]]\ncv = 2\n[[runs]]\nregs = "dino45"\n'
        'metric = "macro-f1"\n'
    )
    said = colinear("sweep", "few.toml", "--max-passes", "3", "--loss", "softmax", "--json")
    assert said.status == 0, said.err
    tries, folds, scored = (run["results"][0] for run in said.json["runs"])
    assert (tries["count"], tries["spread"] is None, folds["cv"], scored["metric"]) == (2, False, 2, "macro-f1")
    assert len(scored["regs"]) == 45
    assert said.json["page"] == "few/summary.html"
    assert colinear("sweep", "few.toml", "--max-passes", "3", "--loss", "softmax").status == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.npz",), ("there is no nowhere.npz",)),
        (("layer-1.npz", "layer-1.npz"), ("layer-1.npz is in the sweep twice",)),
        (("layer-{x}.npy",), ("no files fit layer-{x}.npy",)),
        (("layer-1.npz", "--tol", "7"), ("--tol",)),
        (("layer-1.npz", "--shots", "2", "--cv", "2"), ("--shots",)),
        (("layer-1.npz", "--out", "taken"), ("taken holds mine.txt, and no sweep",)),
        (("a.toml", "layer-1.npz"), ("one .toml file says all runs",)),
        (("a.toml",), ("a.toml: seed must be int",)),
        (("layer-1.npz", "--out", "layer-2.npz"), ("sweep folder layer-2.npz cannot be",)),
    ],
)
def test_a_mistake_is_refused_before_anything_is_written(
    colinear: Program, here: Path, words: tuple[str, ...], said: tuple[str, ...]
) -> None:
    (here / "taken").mkdir()
    (here / "taken/mine.txt").touch()
    (here / "a.toml").write_text('data = "digits"\nseed = "x"\n')
    before = sorted(here.rglob("*"))
    assert_refused(colinear("sweep", *words, *(() if "--cv" in words else QUICK)), *said)
    assert sorted(here.rglob("*")) == before


def test_two_at_once_are_refused(colinear: Program, here: Path) -> None:
    from colinear.search.runfolder import RunFolder

    with RunFolder(here / "sweep"):
        assert_refused(colinear("sweep", "layer-1.npz", *QUICK), "sweep folder sweep is in use by process")


def test_a_run_that_leaves_the_plan_keeps_its_folder(colinear: Program, here: Path) -> None:
    colinear("sweep", "layer-1.npz", "layer-2.npz", *QUICK)
    said = colinear("sweep", "layer-2.npz", *QUICK)
    assert "Of an earlier plan, kept and in no summary: 1 run." in said.out
    assert states(here / "sweep") == {"layer-2.npz": "finished"}
    assert len([path for path in (here / "sweep").iterdir() if path.is_dir()]) == 2


def test_the_page_escapes_names_and_leads_to_the_runs(colinear: Program, here: Path) -> None:
    name = "layer-<script>alert(1)<.npz"
    (here / "layer-1.npz").rename(here / name)
    said = colinear("sweep", "layer-{layer}.npz", *QUICK)
    assert said.status == 0, said.err
    page = (here / "sweep/summary.html").read_text()
    assert "<script>alert" not in page
    assert "\\u003cscript\\u003ealert(1)\\u003c" in page
    data = json.loads(page.split('type="application/json">')[1].split("</script>")[0])
    for one in data["runs"]:
        assert (here / "sweep" / one["folder"] / "report.html").is_file()
    assert data["table"]["columns"] == ["layer"]
    again = (here / "sweep/summary.html").read_bytes()
    colinear("report", "sweep")
    assert (here / "sweep/summary.html").read_bytes() == again


def test_features_are_an_axis_and_one_that_is_not_there_fails_alone(
    colinear: Program, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    (here / "made.toml").write_text('data = "layer-1.npz"\nfeatures = ["absent_module:f", "kernel:8"]\n')
    said = colinear("sweep", "made.toml", *QUICK)
    assert said.status == 1
    assert "layer-1.npz, features absent_module:f failed: " in said.out
    assert "1 of 2 runs finished, 1 failed." in said.out
    again = colinear("sweep", "made.toml", *QUICK)
    assert "1 run finished before." in again.err
    [result] = list_results(["made"])
    assert (result["features"], result["n_features"]) == ("kernel:8", 8)
