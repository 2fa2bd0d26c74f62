"""`colinear fit`, `evaluate`, `predict`, `check`, `info` and the help texts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from tests.program import SMALL, Program, assert_fits_a_page, assert_refused

from colinear.datasets import load_digits, open_split
from colinear.metrics import wilson_interval
from colinear.model import LinearModel
from colinear.objective import label_rows


def test_fit_trains_the_one_setting_it_is_given(colinear: Program, tmp_path: Path) -> None:
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


def test_fit_is_exact_by_default(colinear: Program, tmp_path: Path) -> None:
    said = colinear("fit", "digits", "--reg", "0.05", "--out", tmp_path / "model.safetensors", "--json")
    [trial] = said.json["trials"]
    assert (trial["reg"], trial["status"], said.json["solver"]) == (0.05, "converged", "exact")
    assert trial["relative_gap"] <= 1e-3
    assert "learning_rate" not in trial
    assert LinearModel.load(tmp_path / "model.safetensors").weight.dtype == torch.float32  # the rows are bytes


def test_evaluate_counts_what_the_model_labels(colinear: Program, model_file: Path) -> None:
    said = colinear("evaluate", model_file, "digits", "--part", "validation", "--json")
    validation = open_split("digits").validation
    right = int((label_rows(LinearModel.load(model_file), validation) == validation.labels).sum())
    assert (said.json["correct"], said.json["rows"]) == (right, validation.n_samples)
    assert said.json["accuracy_ci95"] == list(wilson_interval(right, validation.n_samples))
    classes = said.json["classes"]
    assert sum(one["rows"] for one in classes) == validation.n_samples
    assert sum(round(one["recall"] * one["rows"]) for one in classes) == right
    assert all((one["mostly_taken_for"] or {}).get("class") != one["class"] for one in classes)
    shown = colinear("evaluate", model_file, "digits", "--part", "validation").out
    assert_fits_a_page(shown)
    assert f"accuracy {right / validation.n_samples:.4f} (95 % interval" in shown


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Rows whose labels are chance: a model is right more often on those that trained it than on any other."""
    generator = torch.Generator().manual_seed(0)
    np.save(tmp_path / "X.npy", torch.randn(200, 100, generator=generator).numpy())
    np.save(tmp_path / "y.npy", torch.randint(2, (200,), generator=generator).numpy())
    return tmp_path / "X.npy"


def test_evaluate_scores_the_rows_of_a_file_that_its_model_has_not_seen(
    colinear: Program, noise: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    trained = colinear("fit", noise, "--reg", "1e-2", "--seed", "3", "--out", model, "--json").json
    said = colinear("evaluate", model, noise, "--json").json
    assert (said["part"], said["rows"], said["accuracy"]) == ("test", 30, trained["test_accuracy"])
    shown = colinear("evaluate", model, noise).out
    assert "X (test): accuracy" in shown
    assert "trained the model" not in shown
    validation = colinear("evaluate", model, noise, "--part", "validation", "--json").json
    assert validation["accuracy"] == trained["trials"][0]["val_accuracy"]
    assert colinear("evaluate", model, noise, "--part", "train", "--json").json["accuracy"] > 0.9


@pytest.mark.parametrize("facts", [{}, {"seed": "three", "data_fingerprint": [1]}, {"seed": 2**70}])
def test_evaluate_says_where_it_cannot_tell_rows_that_trained_the_model(
    colinear: Program, noise: Path, tmp_path: Path, facts: dict[str, object]
) -> None:
    model = tmp_path / "model.safetensors"
    LinearModel(torch.eye(2, 100), torch.zeros(2), ("0", "1"), provenance=facts).save(model)
    said = colinear("evaluate", model, noise, "--json").json
    assert (said["part"], said["rows"]) == ("all", 200)
    shown = colinear("evaluate", model, noise).out
    assert "Some of these rows may have trained the model" in shown
    assert "X (all): accuracy" in shown


def test_another_seed_deals_rows_that_trained_the_model(colinear: Program, noise: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    colinear("fit", noise, "--reg", "1e-2", "--out", model, "--quiet")
    assert colinear("evaluate", model, noise, "--seed", "1", "--json").json["part"] == "all"
    assert colinear("evaluate", model, noise, "--seed", "1", "--part", "test", "--json").json["rows"] == 30
    warning = "Some of these rows may have trained the model"
    assert warning in colinear("evaluate", model, noise, "--seed", "1", "--part", "test").out
    assert warning not in colinear("evaluate", model, noise, "--seed", "0", "--part", "test").out


def test_all_rows_of_another_file_are_scored_whatever_can_be_dealt_of_it(
    colinear: Program, noise: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    colinear("fit", noise, "--reg", "1e-2", "--out", model, "--quiet")
    (tmp_path / "other").mkdir()
    for labels in ([0, 0, 0], [0, 1]):  # one class; too few rows for three parts
        np.save(tmp_path / "other/X.npy", np.zeros((len(labels), 100), dtype=np.float32))
        np.save(tmp_path / "other/y.npy", np.array(labels))
        said = colinear("evaluate", model, tmp_path / "other/X.npy", "--json").json
        assert (said["part"], said["rows"]) == ("all", len(labels))


def test_evaluate_refuses_data_of_another_kind(colinear: Program, model_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", np.zeros((4, 3), dtype=np.float32))
    np.save(tmp_path / "y.npy", np.array([0, 1, 0, 1]))
    assert_refused(colinear("evaluate", model_file, tmp_path / "X.npy"), "3 features", "64")


def test_predict_labels_images_and_rows_as_the_model_does(colinear: Program, model_file: Path, tmp_path: Path) -> None:
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
    colinear: Program, run_folder: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "rows.npy", load_digits().take(slice(0, 1)).numpy())
    said = colinear("predict", run_folder / "model-hinge.safetensors", tmp_path / "rows.npy", "--json")
    assert [set(one) for one in said.json[0]["top"]] == [{"class", "score"}] * 3


def test_a_feature_table_goes_all_the_way_without_images(colinear: Program, tmp_path: Path) -> None:
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


def test_a_reader_that_leaves_early_ends_the_program_quietly(model_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((5_000, 64), dtype=np.float32))
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


# check, info, help -----------------------------------------------------------------------------------------------


def test_check_passes_on_digits_and_shows_both_sides(colinear: Program) -> None:
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


def test_check_leaves_with_status_1_when_a_loss_lies(colinear: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colinear.selfcheck.GRADIENT_TOLERANCE", 1e-30)
    said = colinear("check", "digits", "--rows", "30")
    assert said.status == 1
    assert "FAILED" in said.out


def test_info_describes_models_and_data(colinear: Program, model_file: Path) -> None:
    facts = colinear("info", model_file, "--json").json
    assert (facts["loss"], facts["n_classes"], facts["image_shape"]) == ("softmax", 10, [1, 8, 8])
    facts = colinear("info", "digits", "--json").json
    assert sum(facts["rows"].values()) == 1797
    assert sum(facts["class_rows"]["train"]) == facts["rows"]["train"]
    for thing in (model_file, "digits"):
        assert_fits_a_page(colinear("info", thing).out.replace(str(model_file), "model"))


def test_a_folder_of_a_run_is_no_data(colinear: Program, run_folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"  # whose tries would be classes with their figures
    for place in (few / "try-1/figures", few / "try-2/figures"):
        place.mkdir(parents=True)
        Image.new("L", (4, 4)).save(place / "samples.png")
    (few / "settings.json").touch()
    (few / "results.json").touch()
    for run in (run_folder, few):
        for command in (["info", run], ["tune", run], ["evaluate", run_folder / "model-hinge.safetensors", run]):
            assert_refused(colinear(*command), "is the folder of a run, no data", f"`colinear report {run}`")
    (few / "a").mkdir()
    Image.new("L", (4, 4)).save(few / "a/1.png")
    assert "too few rows (3," in colinear("info", few).err  # pictures, with a run beside them


def test_a_float64_table_of_timestamps_has_the_accuracy_of_its_search(
    colinear: Program, tmp_path: Path, without_figures: None
) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    rows = torch.randn(300, 4, generator=generator, dtype=torch.float64)
    rows[:, :3] += 4 * torch.nn.functional.one_hot(labels, 3)
    np.save(tmp_path / "X.npy", (rows + 1.7e9).numpy())
    np.save(tmp_path / "y.npy", labels.numpy())
    said = colinear("tune", tmp_path / "X.npy", "--loss", "softmax", "--out", tmp_path / "run", "--json")
    [entry] = said.json["runs"]
    model = tmp_path / "run/model-softmax.safetensors"
    assert LinearModel.load(model).weight.dtype == torch.float64
    evaluated = colinear("evaluate", model, tmp_path / "X.npy", "--part", "validation", "--json")
    assert evaluated.json["accuracy"] == entry["trials"][entry["best"]]["val_accuracy"] > 0.9
    assert entry["test_accuracy"] > 0.9
    predicted = colinear("predict", model, tmp_path / "X.npy", "--json").json
    assert np.mean([int(one["label"]) == label for one, label in zip(predicted, labels, strict=True)]) > 0.9
    assert colinear("info", model, "--json").json["dtype"] == "float64"


@pytest.mark.parametrize("scaling", ["1e308", "1e200", "2e8"])
def test_an_intercept_scaling_that_float_cannot_square_is_refused(
    colinear: Program, tmp_path: Path, scaling: str
) -> None:
    for command in ("fit", "tune"):
        options = ("--reg", "1e-2") if command == "fit" else ("--regs", "1e-2")
        said = colinear(command, "digits", *options, "--intercept-scaling", scaling, "--out", tmp_path / command)
        assert_refused(said, "--intercept-scaling must be a finite number >= 0 and <= 1e+08")


def test_a_picture_for_a_model_of_more_than_8_bits_is_refused(colinear: Program, tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 200, dtype=np.uint8)).save(tmp_path / "grey.png")
    for value_range, status in ((255.0, 0), (65535.0, 2)):
        model = LinearModel(torch.eye(2, 4), torch.zeros(2), ("a", "b"), (1, 2, 2), value_range)
        model.save(tmp_path / "m.safetensors")
        said = colinear("predict", tmp_path / "m.safetensors", tmp_path / "grey.png")
        assert said.status == status
    assert_refused(said, "this model's images reach 65535, and pictures are read with 8 bits")


def test_provenance_stands_behind_what_a_model_is(colinear: Program, tmp_path: Path) -> None:
    facts = {"n_classes": 9, "class_names": ["x"], "class_rows": 3, "rows": [1], "a\x1b[1m": "b", "versions": "none"}
    LinearModel(torch.eye(2), torch.zeros(2), ("no", "yes"), provenance=facts).save(tmp_path / "m.safetensors")
    said = colinear("info", tmp_path / "m.safetensors", "--json").json
    assert (said["n_classes"], said["class_names"], said["class_rows"]) == (2, ["no", "yes"], 3)
    shown = colinear("info", tmp_path / "m.safetensors")
    assert shown.status == 0
    assert "\x1b" not in shown.out


@pytest.mark.parametrize(
    "facts",
    [
        {"above_optimum": True},
        {"above_optimum": [1, "x"]},
        {"relative_gap": "x"},
        {"relative_gap": [0.1]},
        {"relative_gap": 10**400},
    ],
    ids=["bounds", "a bound", "gap", "gaps", "huge"],
)
def test_provenance_of_another_kind_is_shown_as_it_stands(
    facts: dict[str, Any], colinear: Program, tmp_path: Path
) -> None:
    LinearModel(torch.eye(2), torch.zeros(2), ("no", "yes"), provenance=facts).save(tmp_path / "m.safetensors")
    said = colinear("info", tmp_path / "m.safetensors")
    assert said.status == 0
    [(name, value)] = facts.items()
    shown = f"{value:,}"[:40] if type(value) is int else str(value)
    assert re.search(rf"{name.replace('_', ' ')} +{re.escape(shown)}", said.out)


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_scores_that_are_no_numbers_are_refused_and_not_printed(
    colinear: Program, tmp_path: Path, more: tuple[str, ...]
) -> None:
    LinearModel(torch.full((2, 3), 3e38), torch.zeros(2), ("no", "yes")).save(tmp_path / "m.safetensors")
    np.save(tmp_path / "X.npy", np.full((4, 3), 9, dtype=np.float32))
    np.save(tmp_path / "y.npy", np.array(["no", "yes", "no", "yes"]))
    for command in ("predict", "evaluate"):
        said = colinear(command, tmp_path / "m.safetensors", tmp_path / "X.npy", *more)
        assert_refused(said, "the scores of row 0 are beyond float32")
        assert said.out == ""


def test_version_and_help(colinear: Program) -> None:
    assert re.fullmatch(r"colinear \d+\.\d+\.\d+\n", colinear("--version").out)
    for arguments in ([], ["--help"], ["tune", "--help"], ["fit", "--help"], ["predict", "-h"]):
        said = colinear(*arguments)
        assert (said.status, said.err) == (0, "")
        assert_fits_a_page(said.out)
    assert all(command in colinear("--help").out for command in ("tune", "fit", "evaluate", "predict", "check", "info"))


def test_predict_warns_of_an_inverted_picture_on_stderr(colinear: Program, model_file: Path, tmp_path: Path) -> None:
    border = LinearModel.load(model_file).provenance["border"]
    assert 0 < border < 0.25  # digits are light ink on black
    colinear("info", "digits", "--save-sample", tmp_path / "some.png")
    with Image.open(tmp_path / "some.png") as picture:
        ImageOps.invert(picture).save(tmp_path / "inverted.png")
    assert colinear("predict", model_file, tmp_path / "some.png").err == ""
    said = colinear("predict", model_file, tmp_path / "inverted.png")
    assert said.err.strip().endswith(
        "looks inverted: the training pictures are light ink on dark. Exchange black and white."
    )
    assert said.out.startswith(f"{tmp_path / 'inverted.png'}: ")
