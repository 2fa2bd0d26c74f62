"""Rows with any number of classes, from a file of answers to predictions, exports and the report."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.processes import run_well
from tests.program import Program, assert_fits_a_page, assert_refused

from colinear.cli.options import Loss
from colinear.datasets import load_table, open_split
from colinear.datasets.answers import is_right
from colinear.losses import LOSSES
from colinear.model import LinearModel
from colinear.search.settings import LOSS_NAMES

NAMES = ("cat", "dog", "eel")
QUICK = ("--regs", "1e-2:1:3")


def draw(n: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 6) float32 and answers (n, 3) of 1 and 0, about one of each row."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n, 6)).astype(np.float32)
    Y = X @ generator.normal(size=(6, 3)) + generator.normal(size=(n, 3)) > 1
    return X, Y.astype(np.int8)


def column(name: str, kind: str) -> dict[str, list[object]]:
    """The answers as a column of labels."""
    rows = [[name for name, has in zip(NAMES, row, strict=True) if has] for row in draw()[1]]
    return {name: [*rows] if kind == "lists" else ["|".join(row) for row in rows]}


def write(path: Path, labels: dict[str, list[object]]) -> Path:
    X, _ = draw()
    pq.write_table(pa.table({**{f"x{j}": X[:, j] for j in range(6)}, **labels}), path)
    return path


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    """Answers as a matrix, of which every twentieth is unknown."""
    X, Y = draw()
    Y[np.random.default_rng(1).random(Y.shape) < 0.05] = -1
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", Y)
    return tmp_path / "X.npy"


def test_every_form_of_answers_is_the_same_data(tmp_path: Path, matrix: Path) -> None:
    _, Y = draw()
    for name, labels, label in (
        ("lists", column("tags", "lists"), "tags"),
        ("text", column("label", "text"), None),
        ("columns", {name: [*Y[:, j]] for j, name in enumerate(NAMES)}, "cat,dog,eel"),
    ):
        data = load_table(write(tmp_path / f"{name}.parquet", labels), label=label)
        assert (data.class_names, data.label_kind) == (NAMES, "text")
        assert np.array_equal(data.labels.numpy(), Y)
    rows = column("tags", "lists")["tags"]
    for mark in (" ", "|", " | "):
        (tmp_path / "names.txt").write_text("\n".join(mark.join(row) for row in rows) + "\n")  # type: ignore[arg-type]
        data = load_table(matrix, label="names.txt")
        assert data.class_names == NAMES
        assert np.array_equal(data.labels.numpy(), Y)
    unknown = [None if j == 0 else int(value) for j, value in enumerate(Y[:, 1])]
    data = load_table(write(tmp_path / "gap.parquet", {"a": [*Y[:, 0]], "b": unknown}), label="a,b")
    assert data.labels[0, 1] == -1
    numbered = load_table(matrix)
    assert numbered.class_names == ("0", "1", "2")
    assert numbered.labels.unique().tolist() == [-1, 0, 1]


def test_columns_of_answers_are_numbers(tmp_path: Path, colinear: Program) -> None:
    path = write(tmp_path / "t.parquet", {"a": ["yes"] * 240, "b": [1] * 240})
    assert_refused(colinear("tune", path, "--label", "a,b"), "column a must hold answers, 1 and 0; it is")
    assert_refused(colinear("tune", path, "--label", "a,c"), "must have a column of labels, a,c")


def test_a_file_of_names_has_a_line_for_each_row(matrix: Path, colinear: Program) -> None:
    (matrix.parent / "names.txt").write_text("cat dog\n")
    assert_refused(colinear("tune", matrix, "--label", "names.txt"), "got 1 labels for 240 rows")
    (matrix.parent / "none.txt").write_text("\n" * 240)
    assert_refused(colinear("tune", matrix, "--label", "none.txt"), "must name a class in some row")


@pytest.mark.parametrize("loss", ["logistic", "squared-hinge"])
def test_a_run_from_answers_to_predictions(loss: str, matrix: Path, tmp_path: Path, colinear: Program) -> None:
    folder = tmp_path / "run"
    said = colinear("tune", matrix, "--loss", loss, *QUICK, "--out", folder)
    assert said.status == 0, said
    assert_fits_a_page(said.out.split("Written to")[0])
    assert f"{loss} test accuracy, all answers right," in said.out
    [entry] = json.loads((folder / "results.json").read_text())["runs"]
    file, test = folder / f"model-{loss}.safetensors", open_split(matrix).test
    assert test is not None
    model = LinearModel.load(file)
    scores = model.scores(test.take(slice(0, test.n_samples)))
    right = int(is_right(scores.mT.unsqueeze(0), test.labels).sum())
    answers = entry["test_answers"]
    assert (answers["correct"], answers["rows"]) == (right, test.n_samples)
    assert entry["confusion_matrix"] is None
    for j, (hit, wrong, missed, fine) in enumerate(answers["counts"]):
        own = test.labels[:, j]
        assert hit + missed == int((own == 1).sum())
        assert wrong + fine == int((own == 0).sum())
        assert hit == int(((scores[:, j] > 0) & (own == 1)).sum())
    assert all(trial["relative_gap"] <= 1e-3 for trial in entry["trials"])
    told = colinear("evaluate", file, matrix, "--json").json
    assert (told["correct"], told["rows"], told["confusion_matrix"]) == (right, test.n_samples, None)
    assert [one["rows"] for one in told["classes"]] == [hit + missed for hit, _, missed, _ in answers["counts"]]
    rows = colinear("predict", file, matrix, "--json").json
    expected = model.predict(torch.from_numpy(np.load(matrix)))
    assert [[int(name) for name in row["labels"]] for row in rows] == [
        row.nonzero().squeeze(1).tolist() for row in expected
    ]
    assert ("probability" in rows[0]["top"][0]) == (loss == "logistic")
    said = colinear("predict", file, matrix)
    assert "X.npy[0]: " in said.out
    assert "no class  (" in said.out
    formula = json.dumps(LOSSES[loss].formula)  # as JSON of plain ASCII
    assert formula in (folder / "report.html").read_text()
    again = colinear("tune", "--resume", folder)
    assert "is finished already" in again.err
    assert colinear("report", folder, "--force").status == 0


def test_sgd_folds_and_refits_take_answers(matrix: Path, tmp_path: Path, colinear: Program) -> None:
    for number, more in enumerate(
        (
            ("--cv", "3", *QUICK),
            ("--refit", "--rule", "1se", *QUICK),
            ("--solver", "sgd", "--steps", "40", "--candidates", "4", "--halving", "--batch-size", "32"),
        )
    ):
        said = colinear("tune", matrix, "--loss", "logistic", *more, "--out", tmp_path / str(number), "--json")
        assert said.status == 0, said
        [entry] = said.json["runs"]
        assert entry["trials"][entry["best"]]["val_accuracy"] > 0.3


def test_several_processes_count_answers_as_one_does(matrix: Path, tmp_path: Path, colinear: Program) -> None:
    asked = (str(matrix), "--loss", "logistic,squared-hinge", *QUICK, "--tol", "1e-7", "--quiet")
    run_well(["-m", "colinear", "tune", *asked, "--out", str(tmp_path / "several")], 2)
    assert colinear("tune", *asked, "--out", tmp_path / "one").status == 0
    several, one = (json.loads((tmp_path / name / "results.json").read_text())["runs"] for name in ("several", "one"))
    for theirs, mine in zip(several, one, strict=True):
        assert theirs["test_answers"] == mine["test_answers"]
        for trial, alone in zip(theirs["trials"], mine["trials"], strict=True):
            assert trial["objective"] == pytest.approx(alone["objective"], rel=2e-7)
            assert trial["val_accuracy"] == alone["val_accuracy"]


def test_what_takes_one_class_a_row_says_so_before_a_folder_is_made(
    matrix: Path, tmp_path: Path, colinear: Program
) -> None:
    said = colinear("tune", matrix, "--out", tmp_path / "run")
    assert_refused(said, "hinge takes one class a row; rows of X have any number of them. Use logistic")
    assert not (tmp_path / "run").exists()
    said = colinear("fit", matrix, "--reg", "1", "--out", tmp_path / "m.safetensors")
    assert_refused(said, "softmax takes one class a row")
    assert_refused(colinear("tune", matrix, "--loss", "logistic", "--shots", "2"), "--shots draws rows of one class")


def test_class_weights_take_one_class_a_row(matrix: Path, tmp_path: Path, colinear: Program) -> None:
    out = tmp_path / "out"
    for command in (("tune",), ("fit", "--reg", "1")):
        said = colinear(*command, matrix, "--loss", "logistic", "--class-weight", "balanced", "--out", out)
        assert_refused(said, "--class-weight takes one class a row; rows of X have any number of them. Leave it out.")
        assert not out.exists()


@pytest.mark.parametrize("loss", ["logistic", "squared-hinge"])
def test_calibrated_answers_are_sigmoids_and_those_above_their_thresholds(
    loss: str, matrix: Path, tmp_path: Path, colinear: Program
) -> None:
    out = tmp_path / "out"
    asked = ("tune", matrix, "--loss", loss, "--calibrate", "both", "--metric", "macro-f1", *QUICK, "--out", out)
    assert colinear(*asked, "--quiet").status == 0
    model = LinearModel.load(out / f"model-{loss}.safetensors")
    [run] = json.loads((out / "results.json").read_text())["runs"]
    before, after = run["calibration"]["log_loss"]
    assert model.temperature is not None
    assert after <= before + 1e-12
    assert run["calibration"]["score"][1] >= run["calibration"]["score"][0]
    rows = torch.from_numpy(draw()[0]).float()
    scores = model.scores(rows)
    torch.testing.assert_close(model.predict_proba(rows), (scores / model.temperature).sigmoid())
    assert torch.equal(model.predict(rows), (scores > torch.tensor(model.thresholds).to(scores)).to(torch.int8))
    for kind in ("onnx", "numpy"):
        file = tmp_path / f"m.{'npz' if kind == 'numpy' else kind}"
        asked = ("--to", kind, "--out", file, "--check", matrix)
        assert colinear("export", out / f"model-{loss}.safetensors", *asked).status == 0
    session = onnxruntime.InferenceSession((tmp_path / "m.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    [shares] = session.run(["probabilities"], {"features": rows.numpy()})
    np.testing.assert_allclose(shares, model.predict_proba(rows).numpy(), atol=1e-6)
    plain = replace(model, thresholds=None)
    plain.save(tmp_path / "plain.safetensors")
    assert (
        colinear("export", tmp_path / "plain.safetensors", "--to", "sklearn", "--out", tmp_path / "m.pkl").status == 0
    )
    with (tmp_path / "m.pkl").open("rb") as file:
        theirs = pickle.load(file).predict_proba(rows.numpy())
    np.testing.assert_allclose(theirs, model.predict_proba(rows).numpy(), atol=1e-6)


def test_a_loss_is_named_once_and_is_one_of_those_there_are(colinear: Program) -> None:
    said = colinear("tune", "digits", "--loss", "logistic,hinge,logistic")
    assert_refused(said, "--loss must name each loss once; got logistic,hinge,logistic.")
    assert_refused(colinear("tune", "digits", "--loss", "logistic,"), "--loss must be one of hinge, softmax, logistic")


def test_a_model_and_rows_of_another_kind_of_labels_do_not_meet(
    matrix: Path, tmp_path: Path, colinear: Program
) -> None:
    single = tmp_path / "single.parquet"
    write(single, {"label": [["0", "1", "2"][int(row.argmax())] for row in draw()[1]]})
    file = tmp_path / "m.safetensors"
    assert colinear("fit", single, "--loss", "logistic", "--reg", "0.1", "--out", file, "--quiet").status == 0
    assert_refused(colinear("evaluate", file, matrix), "an answer for each class, one class a row is asked for")
    assert colinear("fit", matrix, "--loss", "logistic", "--reg", "0.1", "--out", file, "--quiet").status == 0
    assert colinear("evaluate", file, single, "--part", "all", "--json").json["rows"] == 240


@pytest.mark.parametrize(("loss", "many"), [("logistic", True), ("logistic", False), ("squared-hinge", True)])
def test_onnx_answers_and_probabilities_are_the_models(
    loss: str, many: bool, matrix: Path, tmp_path: Path, colinear: Program
) -> None:
    data = matrix if many else write(tmp_path / "one.parquet", {"label": [*draw()[1].argmax(1)]})
    file = tmp_path / "m.safetensors"
    colinear("fit", data, "--loss", loss, "--reg", "0.1", "--out", file, "--quiet")
    assert colinear("export", file, "--to", "onnx", "--json").json["checked_rows"] == 256
    model, (X, _) = LinearModel.load(file), draw()
    session = onnxruntime.InferenceSession(str(file.with_suffix(".onnx")))
    found = dict(zip((one.name for one in session.get_outputs()), session.run(None, {"features": X}), strict=True))
    assert np.array_equal(found["labels" if many else "label"], model.predict(torch.from_numpy(X)).numpy())
    assert ("probabilities" in found) == (loss == "logistic")
    if loss == "logistic":
        expected = model.predict_proba(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)
        assert many or np.allclose(expected.sum(1), 1)


def test_the_names_of_losses_are_the_same_wherever_they_stand() -> None:
    assert set(LOSS_NAMES) == set(LOSSES) == {one.value for one in Loss}


def test_all_losses_together_are_one_run(tmp_path: Path, colinear: Program) -> None:
    data = write(tmp_path / "one.parquet", {"label": [*draw()[1].argmax(1)]})
    asked = ("--loss", ",".join(LOSS_NAMES), *QUICK, "--out", tmp_path / "run")
    assert [run["loss"] for run in colinear("tune", data, *asked, "--json").json["runs"]] == list(LOSS_NAMES)
    assert colinear("tune", "--resume", tmp_path / "run", "--quiet").status == 0
    assert colinear("report", tmp_path / "run").status == 0
