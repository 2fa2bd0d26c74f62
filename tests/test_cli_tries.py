"""`colinear tune --shots K --tries N` as people meet it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.program import ANSI, Program, assert_fits_a_page, assert_refused

from colinear.cli.tries import TryWatcher
from colinear.search.runfolder import RunFolder
from colinear.search.trials import Progress
from colinear.search.written import read_settings, write_settings

OPTIONS = ("digits", "--shots", "3", "--tries", "2", "--regs", "1e-3,1e-2,1e-1", "--loss", "softmax")


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished few-shot run."""
    from colinear.cli.app import main

    folder = tmp_path_factory.mktemp("tries") / "run"
    with pytest.raises(SystemExit) as left:
        main(["tune", *OPTIONS, "--quiet", "--out", str(folder)])
    assert not left.value.code
    return folder


def test_the_table_has_mean_and_spread_of_every_loss(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = colinear("tune", *OPTIONS, "--loss", "both", "--out", "run")
    assert said.status == 0
    assert_fits_a_page(said.out)
    assert "3 rows of each class, 2 tries" in said.out
    for record in json.loads(Path("run/results.json").read_text())["tries"]:
        numbers = [record[name] for name in ("val_accuracy", "val_spread", "test_accuracy", "test_spread")]
        assert re.search(rf"{record['loss']} +" + " +".join(f"{number:.4f}" for number in numbers), said.out)
    assert (
        len(re.findall(r"^try [12] of 2, (?:hinge|softmax): reg .*, validation accuracy 0.*, test 0", said.err, re.M))
        == 4
    )
    assert len(said.err.splitlines()) == 4
    assert not ANSI.search(said.err)


def test_an_end_of_the_range_and_a_missed_tolerance_are_told(colinear: Program, tmp_path: Path) -> None:
    options = ("--regs", "1e-6,1e-5,1e-4", "--max-passes", "2", "--tol", "1e-9", "--tries", "1")
    said = colinear("tune", *OPTIONS, *options, "--out", tmp_path / "run")
    text = " ".join(said.out.split())
    assert re.search(
        r"softmax, 1 of 1 tries: The best is the (weakest|strongest) strength tried, .* widen --regs", text
    )
    assert "softmax: 1 of 1 winners stopped at the limit of passes" in said.out
    assert "1 try" in said.out
    assert "standard deviation" not in said.out


def test_json_and_quiet(colinear: Program, tries: Path, tmp_path: Path) -> None:
    said = colinear("tune", *OPTIONS, "--json", "--quiet", "--out", tmp_path / "run")
    written = json.loads((tmp_path / "run/results.json").read_text())
    assert (said.status, said.err) == (0, "")
    assert {name: said.json[name] for name in written} == written
    assert (said.json["folder"], said.json["figures"]) == (str(tmp_path / "run"), [])
    assert {path.name for path in tries.iterdir()} == {".lock", "settings.json", "results.json", "try-1", "try-2"}


def test_dino45_counts_the_rows_of_a_try(colinear: Program, tmp_path: Path) -> None:
    options = ("--regs", "dino45", "--max-passes", "1", "--tol", "0.5", "--tries", "1")
    said = colinear("tune", *OPTIONS, *options, "--out", tmp_path / "run", "--json")
    regs = said.json["settings"]["regs"]
    assert (len(regs), regs[0]) == (45, pytest.approx(1 / (2 * 30 * 1e5)))


def test_a_finished_run_is_shown_again_with_the_same_results(colinear: Program, tries: Path) -> None:
    before = (tries / "results.json").read_bytes()
    said = colinear("tune", "--resume", tries)
    assert said.status == 0
    assert "3 rows of each class, 2 tries" in said.out
    assert (tries / "results.json").read_bytes() == before


def test_settings_of_another_run_are_refused(colinear: Program, tries: Path, tmp_path: Path) -> None:
    shutil.copytree(tries, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    write_settings(folder, replace(read_settings(folder), seed=9))
    assert_refused(colinear("tune", "--resume", tmp_path / "run"), "results.json belongs to another run", "seed is 0")
    (tmp_path / "run/settings.json").write_text(
        (tries / "settings.json").read_text().replace('"tries": 2', '"tries": 3')
    )
    assert_refused(colinear("tune", "--resume", tmp_path / "run"), "was edited")


def test_one_try_is_not_resumed_by_itself(colinear: Program, tries: Path) -> None:
    assert_refused(colinear("tune", "--resume", tries / "try-1"), "one try", f"--resume {tries}")


def test_every_try_has_a_report_and_the_whole_says_so(colinear: Program, tries: Path) -> None:
    assert_refused(colinear("report", tries), "few-shot", str(tries / "try-1"))
    said = colinear("report", tries / "try-2")
    assert said.status == 0
    page = (tries / "try-2/report.html").read_text()
    assert "--shots 3 --tries 2 --seed 0" in page
    (tries / "try-2/report.html").unlink()
    compared = tries.parent / "compare.html"
    assert colinear("compare", tries / "try-1", tries / "try-2", "--out", compared).status == 0


@pytest.mark.parametrize("seen", [0, 1])
def test_ctrl_c_says_how_many_tries_are_kept(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: int
) -> None:
    real: Callable[..., Any] = TryWatcher.progressed

    def press(self: TryWatcher, progress: Progress) -> None:
        self.stopping = self.number > seen
        real(self, progress)

    monkeypatch.setattr(TryWatcher, "progressed", press)
    said = colinear("tune", *OPTIONS, "--out", tmp_path / "run")
    assert said.status == 130
    assert f"kept in {tmp_path / 'run'}: {seen} of 2 tries." in said.err
    assert f"colinear tune --resume {tmp_path / 'run'}" in said.err
    monkeypatch.setattr(TryWatcher, "progressed", real)
    done = colinear("tune", "--resume", tmp_path / "run", "--json")
    assert done.status == 0
    assert done.json["tries"][0]["count"] == 2
