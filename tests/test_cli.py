"""The command line as people meet it: what each command prints and writes, and one or two lines for each mistake."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from colinear.checks import InputError
from colinear.cli import commands
from colinear.cli.app import main
from colinear.cli.console import printable, shorten
from colinear.cli.tables import as_percent, show_run, trial_table
from colinear.cli.tuning import choose_solver, parse_range
from colinear.datasets import load_digits, open_split
from colinear.metrics import wilson_interval
from colinear.model import LinearModel
from colinear.objective import label_rows
from colinear.search.settings import Settings

SMALL = ("--solver", "sgd", "--steps", "40", "--candidates", "4", "--lr", "1e-2:1e-1", "--batch-size", "64")
ANSI = re.compile(r"\x1b\[")


@dataclass(frozen=True)
class Said:
    """What one call of the program left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def colinear(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the program in this process, through the same door as the shell."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(int(left.value.code or 0), said.out, said.err)

    return run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of both losses on digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    with pytest.raises(SystemExit) as left:
        main(["tune", "digits", *SMALL, "--quiet", "--out", str(folder)])
    assert not left.value.code
    return folder


@pytest.fixture
def model_file(run_folder: Path) -> Path:
    return run_folder / "model-softmax.safetensors"


def assert_refused(said: Said, *words: str) -> None:
    lines = said.err.strip().splitlines()
    assert said.status == 2, said
    assert 1 <= len(lines) <= 2, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err, (word, said.err)


def assert_fits_a_page(text: str) -> None:
    assert not ANSI.search(text)
    assert max(len(line) for line in text.splitlines()) <= 80, text


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


def test_tune_prints_the_best_first_and_the_test_score_with_its_interval(colinear: Any, tmp_path: Path) -> None:
    os.chdir(tmp_path)  # a short path, so that every line fits
    said = colinear("tune", "digits", *SMALL, "--loss", "softmax", "--out", "run")
    assert said.status == 0
    assert_fits_a_page(said.out)
    entry = json.loads((tmp_path / "run/results.json").read_text())["runs"][0]
    rows = [line.split() for line in said.out.splitlines() if line.endswith("completed")]
    assert [float(row[3]) for row in rows] == sorted((float(row[3]) for row in rows), reverse=True)
    assert rows[0][3] == f"{entry['trials'][entry['best']]['val_accuracy']:.4f}"
    low, high = entry["test_accuracy_ci95"]
    assert f"{entry['test_accuracy']:.4f} (95 % interval {low:.4f} to {high:.4f}, 269 rows)" in said.out
    assert "softmax: 40 steps" in said.err  # progress goes to stderr
    assert not ANSI.search(said.err)


def test_tune_json_is_results_json_and_nothing_else(colinear: Any, tmp_path: Path) -> None:
    said = colinear("tune", "digits", *SMALL, "--loss", "hinge", "--out", tmp_path / "run", "--json")
    written = json.loads((tmp_path / "run/results.json").read_text())
    assert {name: said.json[name] for name in written} == written
    assert said.json["folder"] == str(tmp_path / "run")
    assert all((tmp_path / "run" / name).is_file() for name in said.json["figures"])


def test_tune_quiet_says_nothing(colinear: Any, tmp_path: Path) -> None:
    said = colinear("tune", "digits", *SMALL, "--loss", "hinge", "--out", tmp_path / "run", "--quiet")
    assert (said.status, said.out, said.err) == (0, "", "")


def test_tune_without_out_makes_a_folder_of_its_own_each_time(
    colinear: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert colinear("tune", "digits", *SMALL, "--loss", "hinge", "--steps", "5", "-q").status == 0
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == 2
    assert all(re.fullmatch(r"digits-\d{8}-\d{6}(-\d+)?", folder.name) for folder in folders)


def test_tune_takes_halving_and_everything_of_the_sgd_search(colinear: Any, tmp_path: Path) -> None:
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


def test_tune_shows_the_top_ten_and_how_many_more(colinear: Any, tmp_path: Path) -> None:
    said = colinear(
        "tune", "digits", *SMALL, "--candidates", "13", "--steps", "5", "--loss", "hinge", "--out", tmp_path / "run"
    )
    assert said.out.count(" completed") == 10
    assert "and 3 more in results.json" in said.out


def test_a_finished_run_is_shown_again_by_resume(colinear: Any, run_folder: Path) -> None:
    before = (run_folder / "results.json").read_bytes()
    said = colinear("tune", "--resume", run_folder)
    assert said.status == 0
    assert "finished already" in said.err
    assert "softmax test accuracy" in said.out
    assert (run_folder / "results.json").read_bytes() == before


def test_ctrl_c_keeps_what_is_finished_and_resume_ends_with_the_same_results(tmp_path: Path) -> None:
    options = ("--solver", "sgd", "--steps", "6000", "--candidates", "3", "--out")
    program = [sys.executable, "-m", "colinear.cli", "tune"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*program, "digits", *options, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
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
    arguments: list[str], words: list[str], colinear: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = colinear(*arguments)
    assert_refused(said, *words)
    assert said.out == ""


def test_bad_files_are_refused_by_name(colinear: Any, tmp_path: Path, model_file: Path) -> None:
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


def test_a_used_or_locked_folder_is_left_alone(colinear: Any, run_folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")}
    said = colinear("tune", "digits", *SMALL, "--out", run_folder)
    assert_refused(said, "--resume")
    assert {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")} == before


def test_resume_refuses_settings_that_are_no_settings(colinear: Any, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    assert_refused(colinear("tune", "--resume", tmp_path), "settings.json")
    (tmp_path / "settings.json").write_text("[1]")
    assert_refused(colinear("tune", "--resume", tmp_path))


def test_a_name_with_control_characters_cannot_write_to_the_terminal(colinear: Any) -> None:
    said = colinear("tune", "a\x1b[31mb")
    assert_refused(said, r"\x1b[31m")
    assert "\x1b" not in said.err
    assert printable("a\x1b\n") == r"a\x1b\n"
    assert len(shorten("x" * 99, 20)) == 20


def test_a_reader_that_leaves_early_ends_the_program_quietly(model_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((50_000, 64), dtype=np.float32))
    with subprocess.Popen(
        [sys.executable, "-m", "colinear.cli", "predict", str(model_file), str(tmp_path / "rows.npy")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(str(tmp_path / "rows.npy[0]"))
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


# fit, evaluate, predict ------------------------------------------------------------------------------------------


def test_fit_trains_the_one_setting_it_is_given(colinear: Any, tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    options = ("--loss", "hinge", "--lr", "0.05", "--reg", "0.01", "--steps", "60", "--seed", "3")
    said = colinear("fit", "digits", *options, "--out", target, "--json")
    [trial] = said.json["trials"]
    model = LinearModel.load(target)
    assert (trial["learning_rate"], trial["reg"]) == (0.05, 0.01)
    assert (model.loss, model.provenance["seed"]) == ("hinge", 3)
    assert said.json["test_accuracy"] > 0.8
    again = tmp_path / "again.safetensors"
    colinear("fit", "digits", *options, "--out", again, "--quiet")
    assert again.read_bytes() == target.read_bytes()


def test_evaluate_counts_what_the_model_labels(colinear: Any, model_file: Path) -> None:
    said = colinear("evaluate", model_file, "digits", "--part", "validation", "--json")
    validation = open_split("digits").validation
    right = int((label_rows(LinearModel.load(model_file), validation) == validation.labels).sum())
    assert (said.json["correct"], said.json["rows"]) == (right, validation.n_samples)
    assert said.json["accuracy_ci95"] == list(wilson_interval(right, validation.n_samples))
    classes = said.json["classes"]
    assert sum(one["rows"] for one in classes) == validation.n_samples
    assert sum(round(one["recall"] * one["rows"]) for one in classes) == right
    shown = colinear("evaluate", model_file, "digits", "--part", "validation").out
    assert_fits_a_page(shown)
    assert f"accuracy {right / validation.n_samples:.4f} (95 % interval" in shown


def test_evaluate_refuses_data_of_another_kind(colinear: Any, model_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", np.zeros((4, 3), dtype=np.float32))
    np.save(tmp_path / "y.npy", np.array([0, 1, 0, 1]))
    assert_refused(colinear("evaluate", model_file, tmp_path / "X.npy"), "3 features", "64")


def test_predict_labels_images_and_rows_as_the_model_does(colinear: Any, model_file: Path, tmp_path: Path) -> None:
    digits, model = load_digits(), LinearModel.load(model_file)
    pixels = digits.take(slice(0, 1)).reshape(8, 8).numpy()
    Image.fromarray((pixels * 15).astype(np.uint8)).resize((64, 48)).save(tmp_path / "zero.png")
    np.save(tmp_path / "rows.npy", digits.take(slice(0, 5)).numpy())
    said = colinear("predict", model_file, tmp_path / "rows.npy", tmp_path / "zero.png", "--json")
    rows, [image] = said.json[:5], said.json[5:]
    expected = model.predict_proba(digits.take(slice(0, 5)))
    assert [row["row"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["label"] for row in rows] == [model.class_names[c] for c in expected.argmax(1).tolist()]
    assert [len(row["top"]) for row in rows] == [3] * 5
    assert rows[0]["top"][0]["probability"] == pytest.approx(float(expected[0].max()), abs=1e-6)
    assert (image["label"], image["row"]) == ("0", None)
    text = colinear("predict", model_file, tmp_path / "zero.png", "--top", "2").out
    assert text.startswith(f"{tmp_path / 'zero.png'}: 0  (probability: 0 0.")


def test_predict_gives_scores_and_no_probabilities_for_a_hinge_model(
    colinear: Any, run_folder: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "rows.npy", load_digits().take(slice(0, 1)).numpy())
    said = colinear("predict", run_folder / "model-hinge.safetensors", tmp_path / "rows.npy", "--json")
    assert [set(one) for one in said.json[0]["top"]] == [{"class", "score"}] * 3


def test_a_feature_table_goes_all_the_way_without_images(colinear: Any, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    features = torch.randn(120, 6, generator=generator) + 3 * torch.nn.functional.one_hot(labels, 6)
    np.save(tmp_path / "X.npy", features.numpy())
    np.save(tmp_path / "y.npy", np.array(["<b>$a$", "b\x1b[1m", "c"])[labels.numpy()])
    said = colinear("tune", tmp_path / "X.npy", *SMALL, "--loss", "softmax", "--out", tmp_path / "run", "--json")
    assert said.status == 0, said.err
    names = {Path(name).name for name in said.json["figures"]}
    assert names == {f"softmax-{name}.png" for name in ("loss", "search", "templates", "confusion")}
    model = tmp_path / "run/model-softmax.safetensors"
    shown = colinear("evaluate", model, tmp_path / "X.npy").out
    assert "<b>$a$" in shown
    assert "\x1b" not in shown
    assert_refused(colinear("predict", model, tmp_path / "a.png"), "no images")


# check, info, help -----------------------------------------------------------------------------------------------


def test_check_passes_on_digits_and_shows_both_sides(colinear: Any) -> None:
    said = colinear("check", "digits", "--rows", "60", "--json")
    assert (said.status, said.json["passed"]) == (0, True)
    for loss in said.json["losses"]:
        assert loss["worst_relative_error"] < 1e-6
        for one, bound in zip(loss["agreement"], (1e-6, 1e-12), strict=True):
            assert max(one["value_difference"], one["gradient_difference"]) < bound
            assert one["naive_value"] == pytest.approx(one["vectorized_value"], rel=bound)
            assert one["speedup"] > 0
    shown = colinear("check", "--rows", "60").out
    assert_fits_a_page(shown)
    assert "All checks passed." in shown


def test_check_leaves_with_status_1_when_a_loss_lies(colinear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colinear.selfcheck.GRADIENT_TOLERANCE", 1e-30)
    said = colinear("check", "digits", "--rows", "30")
    assert said.status == 1
    assert "FAILED" in said.out


def test_info_describes_models_and_data(colinear: Any, model_file: Path) -> None:
    facts = colinear("info", model_file, "--json").json
    assert (facts["loss"], facts["n_classes"], facts["image_shape"]) == ("softmax", 10, [1, 8, 8])
    facts = colinear("info", "digits", "--json").json
    assert sum(facts["rows"].values()) == 1797
    assert sum(facts["class_rows"]["train"]) == facts["rows"]["train"]
    for thing in (model_file, "digits"):
        assert_fits_a_page(colinear("info", thing).out.replace(str(model_file), "model"))


def test_version_and_help(colinear: Any) -> None:
    assert re.fullmatch(r"colinear \d+\.\d+\.\d+\n", colinear("--version").out)
    for arguments in ([], ["--help"], ["tune", "--help"], ["fit", "--help"], ["predict", "-h"]):
        said = colinear(*arguments)
        assert (said.status, said.err) == (0, "")
        assert_fits_a_page(said.out)
    assert all(command in colinear("--help").out for command in ("tune", "fit", "evaluate", "predict", "check", "info"))


def test_help_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys; from colinear.cli.app import app; app(['tune', '--help'], standalone_mode=False);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'matplotlib')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# the parts -------------------------------------------------------------------------------------------------------


def test_the_options_defaults_are_those_of_settings() -> None:
    settings = Settings("digits")
    defaults = dict(zip(commands.tune.__code__.co_varnames[1:], commands.tune.__defaults__ or (), strict=False))
    same = ("tol", "max_passes", "refit", "cv", "candidates", "steps", "batch_size", "subspace", "momentum",
            "schedule", "averaging", "standardize", "intercept_scaling", "augment", "seed", "device", "label",
            "data_dir", "regs")  # fmt: skip
    assert {name: defaults[name] for name in same} == {name: getattr(settings, name) for name in same}
    assert defaults["matmul_precision"] == settings.precision
    assert parse_range("--lr", defaults["lr"]) == settings.learning_rates
    assert parse_range("--reg", defaults["reg"]) == settings.reg_range


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
    "trials": [
        {"reg": 1e-3, "train_accuracy": 0.5, "val_accuracy": 0.4, "status": "budget_spent", "objective": 1.7,
         "relative_gap": 0.012, "passes": 200},
        {"reg": 1e-2, "train_accuracy": 0.45, "val_accuracy": 0.42, "status": "converged", "objective": 1.75,
         "relative_gap": 0.00041, "passes": 31},
    ],
    "best": 1,
    "order": [1, 0],
    "test_accuracy": None,
    "confusion_matrix": None,
}  # fmt: skip


def test_the_table_of_an_exact_path_says_how_far_each_strength_is_from_its_optimum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from colinear.cli.console import Output

    show_run(Output(), EXACT)
    shown = capsys.readouterr().out
    assert_fits_a_page(shown)
    assert re.search(r"0\.01\s+1\.75\s+0\.041 %\s+31\s+0\.4500\s+0\.4200\s+converged", shown)
    assert "1 of 2 stopped at the limit of passes before the tolerance. Allow more passes" in shown
    assert "reg 0.01, is within 0.041 % of the optimum" in shown
    assert [column.header for column in trial_table(EXACT).columns][:4] == ["reg", "objective", "within", "passes"]


@pytest.mark.parametrize(("share", "text"), [(1.0, "1e+02 %"), (0.5, "50 %"), (2e-9, "0.0000002 %"), (None, "–")])
def test_percent_keeps_two_digits_that_count(share: float | None, text: str) -> None:
    assert as_percent(share) == text.replace("1e+02", "100")
