"""`colinear tune` as people meet it: what it prints and writes, how it stops, and one or two lines for each mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.program import ANSI, SMALL, Program, assert_fits_a_page, assert_refused

from colinear.checks import InputError
from colinear.cli.console import Output
from colinear.cli.tables import as_percent, show_run, trial_table
from colinear.cli.tuning import choose_solver
from colinear.datasets import open_split, read_image
from colinear.model import LinearModel
from colinear.search.regs import parse_regs
from colinear.search.settings import Settings
from colinear.texts import printable, shorten

# tune ------------------------------------------------------------------------------------------------------------


def test_tune_writes_results_models_and_figures(run_folder: Path) -> None:
    results = json.loads((run_folder / "results.json").read_text())
    assert [run["loss"] for run in results["runs"]] == ["hinge", "softmax"]
    for run in results["runs"]:
        best = run["trials"][run["best"]]
        assert best["val_accuracy"] == max(trial["val_accuracy"] for trial in run["trials"])
        assert run["test_accuracy_ci95"][0] < run["test_accuracy"] < run["test_accuracy_ci95"][1]
        model = LinearModel.load(run_folder / f"model-{run['loss']}.safetensors")
        assert model.provenance["test_accuracy"] == run["test_accuracy"] > 0.7
    figures = {path.name for path in (run_folder / "figures").iterdir()}
    names = ("loss", "search", "templates", "confusion")
    assert figures == {"samples.png"} | {f"{loss}-{name}.png" for loss in ("hinge", "softmax") for name in names}


@pytest.mark.usefixtures("without_figures")
def test_tune_prints_the_best_first_and_the_test_score_with_its_interval(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a short path, so that every line fits
    said = colinear("tune", "digits", *SMALL, "--loss", "softmax", "--out", "run")
    assert said.status == 0
    assert_fits_a_page(said.out)
    entry = json.loads((tmp_path / "run/results.json").read_text())["runs"][0]
    rows = [line.split() for line in said.out.splitlines() if "completed" in line]
    assert len(rows) == 4
    assert [float(row[3]) for row in rows] == sorted((float(row[3]) for row in rows), reverse=True)
    assert rows[0][3] == f"{entry['trials'][entry['best']]['val_accuracy']:.4f}"
    low, high = entry["test_accuracy_ci95"]
    assert f"{entry['test_accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}, 269 rows)" in said.out
    assert "softmax: 40 steps" in said.err  # progress goes to stderr
    assert not ANSI.search(said.err)


def test_tune_json_is_results_json_and_nothing_else(colinear: Program, tmp_path: Path) -> None:
    said = colinear("tune", "digits", *SMALL, "--loss", "hinge", "--out", tmp_path / "run", "--json")
    written = json.loads((tmp_path / "run/results.json").read_text())
    assert {name: said.json[name] for name in written} == written
    assert said.json["folder"] == str(tmp_path / "run")
    assert all((tmp_path / "run" / name).is_file() for name in said.json["figures"])


@pytest.mark.usefixtures("without_figures")
def test_tune_quiet_says_nothing(colinear: Program, tmp_path: Path) -> None:
    said = colinear("tune", "digits", *SMALL, "--loss", "hinge", "--out", tmp_path / "run", "--quiet")
    assert (said.status, said.out, said.err) == (0, "", "")


@pytest.mark.usefixtures("without_figures")
def test_tune_without_out_makes_a_folder_of_its_own_each_time(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert colinear("tune", "digits", *SMALL, "--loss", "hinge", "--steps", "5", "-q").status == 0
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    assert all(re.fullmatch(r"digits-\d{8}-\d{6}(-\d+)?", folder.name) for folder in folders)


@pytest.mark.usefixtures("without_figures")
def test_tune_takes_halving_and_everything_of_the_sgd_search(colinear: Program, tmp_path: Path) -> None:
    more = ("--halving", "--eta", "2", "--subspace", "0.9", "--momentum", "0.5", "--schedule", "cosine")
    more += ("--averaging", "0.2", "--matmul-precision", "high", "--candidates", "8", "--standardize")
    said = colinear("tune", "digits", *SMALL, *more, "--loss", "softmax", "--out", tmp_path / "run", "--json")
    settings = said.json["settings"]
    assert (settings["eta"], settings["subspace"], settings["momentum"], settings["schedule"]) == (
        2,
        0.9,
        0.5,
        "cosine",
    )
    assert (settings["averaging"], settings["precision"], settings["standardize"]) == (0.2, "high", True)
    assert said.json["runs"][0]["rungs"]


@pytest.mark.usefixtures("without_figures")
def test_tune_shows_the_top_ten_and_how_many_more(colinear: Program, tmp_path: Path) -> None:
    said = colinear(
        "tune", "digits", *SMALL, "--candidates", "13", "--steps", "5", "--loss", "hinge", "--out", tmp_path / "run"
    )
    assert said.out.count(" completed") == 10
    assert "and 3 more in results.json" in said.out


@pytest.mark.usefixtures("without_figures")
def test_a_finished_run_whose_model_is_gone_is_searched_anew_without_its_results(
    colinear: Program, run_folder: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(run_folder, again)
    (again / "model-hinge.safetensors").unlink()
    refused = colinear("tune", "--resume", again)
    assert_refused(refused, "model-hinge.safetensors is gone", f"delete {again / 'results.json'}", "then --resume")
    (again / "results.json").unlink()
    assert colinear("tune", "--resume", again).status == 0
    model = "model-hinge.safetensors"
    assert (again / model).read_bytes() == (run_folder / model).read_bytes()


def test_a_finished_run_is_shown_again_by_resume(colinear: Program, run_folder: Path) -> None:
    before = (run_folder / "results.json").read_bytes()
    said = colinear("tune", "--resume", run_folder)
    assert said.status == 0
    assert "finished already" in said.err
    assert "softmax test accuracy" in said.out
    assert (run_folder / "results.json").read_bytes() == before


def test_ctrl_c_while_figures_are_drawn_says_how_to_go_on(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: object) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    monkeypatch.setattr("colinear.report.figures.write_figures", stopped)
    said = colinear("tune", "digits", "--loss", "softmax", "--regs", "1e-2", "--out", run)
    assert (said.status, f"colinear tune --resume {run}" in "".join(said.err.split("\n"))) == (130, True)
    assert (run / "model-softmax.safetensors").exists()


def test_ctrl_c_keeps_what_is_finished_and_resume_ends_with_the_same_results(tmp_path: Path) -> None:
    options = ("--solver", "sgd", "--steps", "1500", "--candidates", "3", "--out")
    # a shell may have started the tests with SIGINT ignored
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = [sys.executable, "-c", f"{heed}; from colinear.cli import main; main()", "tune"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*program, "digits", *options, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("softmax"):  # hinge is finished, softmax has begun
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "kept in" in err
    assert "hinge" in err
    assert f"colinear tune --resume {tmp_path / 'run'}" in err
    finished = (tmp_path / "run/model-hinge.safetensors").read_bytes()
    done = subprocess.run(
        [*program, "--resume", str(tmp_path / "run"), "--json", "--quiet"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert [run["loss"] for run in json.loads(done.stdout)["runs"]] == ["hinge", "softmax"]
    assert done.stderr == ""
    assert (tmp_path / "run/model-hinge.safetensors").read_bytes() == finished


@pytest.mark.usefixtures("without_figures")
def test_tune_is_exact_by_default_and_says_how_far_each_strength_is(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = colinear("tune", "digits", "--loss", "softmax", "--regs", "1e-2:1e-1:3", "--out", "run")
    assert said.status == 0
    assert_fits_a_page(said.out)
    entry = json.loads((tmp_path / "run/results.json").read_text())["runs"][0]
    assert (entry["solver"], len(entry["trials"])) == ("exact", 3)
    assert said.out.count(" converged") == 3
    winner = entry["trials"][entry["best"]]
    assert f"reg {winner['reg']:.3g}, is within {as_percent(winner['relative_gap'])} of the optimum" in said.out
    assert "softmax: 3 strengths" in said.err


@pytest.mark.usefixtures("without_figures")
def test_dino45_is_settled_when_the_number_of_training_rows_is_known(colinear: Program, tmp_path: Path) -> None:
    options = ("--loss", "softmax", "--regs", "dino45", "--max-passes", "2", "--tol", "0.5")
    said = colinear("tune", "digits", *options, "--out", tmp_path / "run", "--json")
    assert said.json["settings"]["regs"] == list(parse_regs("dino45", open_split("digits").train.n_samples))


@pytest.mark.usefixtures("without_figures")
def test_cross_validation_shows_its_spread_in_80_columns(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--loss", "softmax", "--regs", "0.0123456:0.1:2", "--cv", "2", "--max-passes", "2")
    said = colinear("tune", "digits", *options, "--out", "run")
    assert_fits_a_page(said.out)
    assert re.search(r"validation +± +status", said.out)


@pytest.mark.usefixtures("without_figures")
def test_one_is_singular(colinear: Program, tmp_path: Path) -> None:
    said = colinear("tune", "digits", "--loss", "softmax", "--regs", "0.1", "--out", tmp_path / "run")
    assert "softmax: 1 strength\n" in said.err
    assert "softmax: 1 strength " in said.out.replace("\n", " ")


def test_a_fit_that_diverges_is_told_its_own_rate(colinear: Program, tmp_path: Path) -> None:
    options = ("--loss", "softmax", "--solver", "sgd", "--steps", "60", "--lr", "1e9", "--reg", "1", "-q")
    said = colinear("fit", "digits", *options, "--out", tmp_path / "m.safetensors")
    assert_refused(said, "softmax diverged at learning rate 1e+09. Lower it, for example --lr 1e+07.")
    assert not (tmp_path / "m.safetensors").exists()


def test_class_weights_that_are_no_file_are_no_input(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "balanced").write_text("somebody's")
    options = ("--loss", "softmax", "--reg", "1", "-q", "--force")
    assert colinear("fit", "digits", *options, "--class-weight", "balanced", "--out", "balanced").status == 0
    many = json.dumps({str(digit): 1.0 + digit / 1e9 for digit in range(10)}) + " " * 300  # longer than a name may be
    assert colinear("fit", "digits", *options, "--class-weight", many, "--out", "m.safetensors").status == 0
    (tmp_path / "weights.csv").write_text("1,2\n")
    said = colinear("fit", "digits", *options, "--class-weight", "weights.csv", "--out", "weights.csv")
    assert_refused(said, "--out")


# mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tune"], ["DATA", "digits"]),
        (["tune", "nothing-here"], ["nothing-here"]),
        (["tune", "digits", "--lr", "1:0"], ["--lr", "LOW:HIGH", "1:0"]),
        (["tune", "digits", "--lr", "x"], ["--lr", "'x'"]),
        (["tune", "digits", "--lr", "nan:1"], ["--lr", "nan:1"]),
        (["tune", "digits", "--lr", "1:2:3"], ["--lr", "1:2:3"]),
        (["tune", "digits", "--reg", "0:1"], ["--reg", "0:1"]),
        (["tune", "digits", "--candidates", "0"], ["--candidates", ">= 1", "0"]),
        (["tune", "digits", "--candidates", "many"], ["--candidates", "--help"]),
        (["tune", "digits", "--steps", "0"], ["--steps", ">= 1"]),
        (["tune", "digits", "--batch-size", "-1"], ["--batch-size"]),
        (["tune", "digits", "--momentum", "-0.5"], ["momentum"]),
        (["tune", "digits", "--subspace", "1.5"], ["--subspace"]),
        (["tune", "digits", "--halving", "--eta", "1"], ["--eta"]),
        (["tune", "digits", "--eta", "3"], ["--halving"]),
        (["tune", "digits", "--loss", "squared"], ["--loss", "squared", "hinge"]),
        (["tune", "digits", "--regs", "1:2"], ["--regs", "LOW:HIGH:COUNT"]),
        (["tune", "digits", "--tol", "0"], ["--tol"]),
        (["tune", "digits", "--cv", "1"], ["--cv"]),
        (["tune", "digits", "--cv", "2", "--refit"], ["--cv", "--refit", "training and validation rows"]),
        (["tune", "digits", "--shots", "0"], ["--shots", ">= 1"]),
        (["tune", "digits", "--shots", "200"], ["--shots", "smallest class", "'8'", "122"]),
        (["tune", "digits", "--shots", "2", "--tries", "0"], ["--tries", ">= 1"]),
        (["tune", "digits", "--tries", "3"], ["--tries", "--shots"]),
        (["tune", "digits", "--shots", "2", "--cv", "2"], ["--shots", "--cv", "validation rows"]),
        (["tune", "digits", "--shots", "2", "--refit"], ["--shots", "--refit"]),
        (["tune", "digits", "--augment", "rotate"], ["rotate", "mirror"]),
        (["tune", "digits", "--device", "abacus", "--steps", "5"], ["abacus"]),
        (["tune", "digits", "--solver", "exact", "--lr", "1:2"], ["--lr", "--solver sgd"]),
        (["tune", "digits", "--solver", "sgd", "--regs", "1:2:3"], ["--regs", "--solver exact"]),
        (["tune", "digits", "--resume", "run"], ["DATA", "--resume"]),
        (["tune", "--resume", "nowhere"], ["nowhere", "settings.json"]),
        (["tune", "--data-dir", "nowhere", "cifar10"], ["nowhere", "cifar-10"]),
        (["fit", "digits", "--solver", "sgd"], ["--lr"]),
        (["fit", "digits", "--reg", "0"], ["--reg", "> 0"]),
        (["fit", "digits", "--out", "no/such/folder/m.safetensors"], ["--out", "folder"]),
        (["evaluate", "none.safetensors", "digits"], ["none.safetensors", "does not exist"]),
        (["predict", "none.safetensors", "a.png"], ["none.safetensors"]),
        (["check", "digits", "--rows", "1"], ["--rows"]),
        (["info", "none.safetensors"], ["none.safetensors"]),
        (["nonsense"], ["nonsense", "--help"]),
        (["tune", "digits", "--no-such-option"], ["--no-such-option"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0] in ("tune", "fit", "check", "info") else "",
)
def test_a_mistake_is_one_or_two_lines_and_status_2(
    arguments: list[str], words: list[str], colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = colinear(*arguments)
    assert_refused(said, *words)
    assert said.out == ""


def test_bad_files_are_refused_by_name(colinear: Program, tmp_path: Path, model_file: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(model_file.read_bytes()[:300])
    assert_refused(colinear("info", cut), "cut.safetensors")
    assert_refused(colinear("evaluate", cut, "digits"), "cut.safetensors")
    text = tmp_path / "text.png"
    text.write_text("no image")
    assert_refused(colinear("predict", model_file, text), "text.png", "image")
    rows = tmp_path / "rows.npy"
    np.save(rows, np.array([[0.0, np.nan]], dtype=np.float32))
    np.save(tmp_path / "rows_labels.npy", np.array([0]))
    assert_refused(colinear("tune", rows), "rows.npy", "row 0, column 1", "nan")
    np.save(rows, np.zeros((2, 5), dtype=np.float32))
    assert_refused(colinear("predict", model_file, rows), "64 columns", "5")


def test_a_used_or_locked_folder_is_left_alone(colinear: Program, run_folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")}
    said = colinear("tune", "digits", *SMALL, "--out", run_folder)
    assert_refused(said, "--resume")
    assert {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")} == before


def test_resume_refuses_settings_that_are_no_settings(colinear: Program, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    assert_refused(colinear("tune", "--resume", tmp_path), "settings.json")
    (tmp_path / "settings.json").write_text("[1]")
    assert_refused(colinear("tune", "--resume", tmp_path))


def test_a_name_with_control_characters_cannot_write_to_the_terminal(colinear: Program) -> None:
    said = colinear("tune", "a\x1b[31mb")
    assert_refused(said, r"\x1b[31m")
    assert "\x1b" not in said.err
    assert printable("a\x1b\n") == r"a\x1b\n"
    assert len(shorten("x" * 99, 20)) == 20


# the parts -------------------------------------------------------------------------------------------------------


def test_the_solver_follows_the_options_that_were_given() -> None:
    assert choose_solver(None, {}) == Settings.solver
    assert choose_solver(None, {"lr": "--lr"}) == "sgd"
    assert choose_solver(None, {"regs": "--regs"}) == "exact"
    assert choose_solver("sgd", {"lr": "--lr"}) == "sgd"
    with pytest.raises(InputError, match="--lr belongs to --solver sgd"):
        choose_solver(None, {"lr": "--lr", "regs": "--regs"})


EXACT: dict[str, Any] = {
    "loss": "softmax",
    "solver": "exact",
    "metric": "accuracy",
    "trials": [
        {"reg": 1e-3, "train_accuracy": 0.5, "val_accuracy": 0.4, "status": "budget_spent", "objective": 1.7,
         "relative_gap": 0.012, "passes": 200},
        {"reg": 1e-2, "train_accuracy": 0.45, "val_accuracy": 0.42, "status": "converged", "objective": 1.75,
         "relative_gap": 0.00041, "passes": 31},
    ],
    "best": 1,
    "order": [1, 0],
    "details": {
        "range": {"started_with": 1, "weaker_added": 1, "stronger_added": 0, "warning": None},
        "choice": {"rule": "best"},
    },
    "test_accuracy": None,
    "confusion_matrix": None,
}  # fmt: skip


def test_the_table_of_an_exact_path_says_how_far_each_strength_is_from_its_optimum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_run(Output(), EXACT)
    shown = capsys.readouterr().out
    assert_fits_a_page(shown)
    assert re.search(r"0\.01\s+1\.75\s+0\.041 %\s+31\s+0\.4500\s+0\.4200\s+converged", shown)
    assert "1 of 2 stopped at the limit of passes before the tolerance. Allow more passes" in shown
    assert "reg 0.01, is within 0.041 % of the optimum" in shown
    assert "1 strength at first; 1 weaker one was added, until validation accuracy no" in shown
    assert [column.header for column in trial_table(EXACT).columns][:4] == ["reg", "objective", "within", "passes"]


@pytest.mark.parametrize(
    ("share", "text"), [(3.0, "> 100 %"), (1.0, "1e+02 %"), (0.5, "50 %"), (2e-9, "0.0000002 %"), (None, "–")]
)
def test_percent_keeps_two_digits_that_count(share: float | None, text: str) -> None:
    assert as_percent(share) == text.replace("1e+02", "100")


@pytest.mark.usefixtures("without_figures")
def test_a_log_says_how_many_strengths_are_finished_and_ends_with_the_largest_gap(
    colinear: Program, tmp_path: Path
) -> None:
    said = colinear("tune", "digits", "--loss", "softmax", "--regs", "1e-3,1e-2,1e-1", "--out", tmp_path / "run")
    lines = said.err.splitlines()
    entry = json.loads((tmp_path / "run/results.json").read_text())["runs"][0]
    largest = as_percent(max(trial["relative_gap"] for trial in entry["trials"]))
    assert lines[-1] == f"softmax: finished 3 strengths, largest gap {largest}"
    assert re.match(r"softmax: finished \d of 3 strengths, pass \d+", lines[-2])
    assert "gap 0 %" not in said.err


@pytest.mark.usefixtures("without_figures")
def test_every_command_has_quiet_and_json(colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tuned = [
        colinear("tune", "digits", *SMALL, "--loss", "hinge", "--steps", "5", "--out", name, "-q") for name in "ab"
    ]
    assert [one.status for one in tuned] == [0, 0]
    for line in (
        "info digits --save-sample some.png", "info a/model-hinge.safetensors", "card a/model-hinge.safetensors",
        "evaluate a/model-hinge.safetensors digits", "predict a/model-hinge.safetensors some.png", "report a",
        "compare a b", "table a", "check digits --rows 20", "export a/model-hinge.safetensors --to numpy",
    ):  # fmt: skip
        quiet = colinear(*line.split(), "--quiet")
        assert (quiet.status, quiet.out, quiet.err) == (0, "", ""), line
        assert colinear(*line.split(), "--json").json, line
        assert colinear(*line.split(), "--json", "--quiet").json, line


def test_figures_are_drawn_for_print_at_once_or_later(colinear: Program, tmp_path: Path) -> None:
    said = colinear(
        "tune", "digits", *SMALL, "--loss", "hinge", "--out", tmp_path / "run", "--figures", "pdf", "--json"
    )
    assert {Path(name).suffix for name in said.json["figures"]} == {".pdf"}
    again = colinear("tune", "--resume", tmp_path / "run", "--figures", "svg", "--json").json["figures"]
    assert {Path(name).suffix for name in again} == {".pdf", ".svg"}
    assert all((tmp_path / "run" / name).is_file() for name in again)


@pytest.mark.usefixtures("without_figures")
def test_report_writes_try_it_alone(colinear: Program, tmp_path: Path) -> None:
    assert colinear("tune", "digits", *SMALL, "--loss", "hinge", "--out", tmp_path / "run", "-q").status == 0
    said = colinear("report", tmp_path / "run", "--only", "try-it")
    assert said.out == f"Written: {tmp_path / 'run/try-it.html'}\n"
    assert "Try it" in (tmp_path / "run/try-it.html").read_text()
    (tmp_path / "sweep.json").write_text("{}")
    refused = colinear("report", tmp_path, "--only", "try-it")
    assert refused.status == 2
    assert "--only try-it is of one run; " in refused.err


def test_the_sample_of_a_dataset_is_its_first_test_picture(colinear: Program, tmp_path: Path) -> None:
    said = colinear("info", "digits", "--save-sample", tmp_path / "some.png")
    assert f"Written: {tmp_path / 'some.png'}" in said.out
    test = open_split("digits").test
    assert test is not None
    row = read_image(tmp_path / "some.png", (1, 8, 8), value_range=16.0)
    assert row.tolist() == test.take(slice(0, 1))[0].tolist()
    (tmp_path / "mine.png").write_bytes(b"my own")
    taken = colinear("info", "digits", "--save-sample", tmp_path / "mine.png")
    assert taken.status == 2
    assert (tmp_path / "mine.png").read_bytes() == b"my own"
    np.save(tmp_path / "table.npy", np.hstack([np.eye(9).repeat(20, 0), np.arange(9).repeat(20)[:, None]]))
    refused = colinear("info", tmp_path / "table.npy", "--save-sample", tmp_path / "new.png")
    assert refused.status == 2
    assert not (tmp_path / "new.png").exists()
