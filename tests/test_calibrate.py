"""Calibration: fitted on validation rows alone, kept in the model, and obeyed by all that labels rows with it."""

from __future__ import annotations

import json
import math
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.program import Program
from tests.test_judging import NAMES, draw
from tests.test_metrics_table import draw as draw_scores
from tests.test_metrics_table import draw_answers
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import Split
from colinear.export import export_model
from colinear.metrics import METRICS, expected_calibration_error, fit_temperature, fit_thresholds
from colinear.model import LinearModel
from colinear.report.panels import read_panels
from colinear.search.calibrate import calibrate
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import tune

# all answers of a row at once, its accuracy, are no sum over classes: there thresholds go by micro F1
LABELLING = ("balanced-accuracy", "macro-f1", "micro-f1")
CASES = [("accuracy", False), *((name, answers) for name in LABELLING for answers in (False, True))]


def sweep(scores: Tensor, labels: Tensor, name: str, weights: Tensor | None, moved: Tensor, number: int) -> float:
    """The best value that any threshold of one class gives while the others stay, by trying all."""
    best = -math.inf
    for step in torch.linspace(-6, 6, 1201, dtype=torch.float64):
        tried = moved.clone()
        tried[number] = step
        best = max(best, METRICS[name](scores - tried, labels, weights))
    return best


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "answers"), CASES)
def test_thresholds_do_best_class_by_class(name: str, weighted: bool, answers: bool) -> None:
    """No single threshold that is moved anywhere on a fine grid does better, and the value is no worse than without."""
    scores, labels, given = draw_answers(missing=True) if answers else draw_scores()
    weights = given if weighted else None
    found = fit_thresholds(scores, labels, METRICS[name], weights)
    value = METRICS[name](scores - found, labels, weights)
    assert value > METRICS[name](scores, labels, weights)
    for number in range(scores.shape[1]):
        assert sweep(scores, labels, name, weights, found, number) <= value + 1e-12


def test_thresholds_stay_where_nothing_is_gained() -> None:
    labels = torch.arange(3).repeat(5)
    right = torch.diag(torch.tensor([3.0, 1.0, 1.0]))[labels]  # half-way between the rows of a class is not 0
    assert fit_thresholds(right, labels, METRICS["accuracy"]).tolist() == [0, 0, 0]
    assert fit_thresholds(torch.zeros(15, 3), labels, METRICS["macro-f1"]).tolist() == [0, 0, 0]


def test_metrics_that_see_no_labels_leave_thresholds_to_macro_f1() -> None:
    scores, labels, _ = draw_scores()
    wanted = fit_thresholds(scores, labels, METRICS["macro-f1"])
    assert torch.equal(fit_thresholds(scores, labels, METRICS["map"]), wanted)
    assert bool((wanted != 0).any())


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_temperature_has_the_least_log_loss(weighted: bool, answers: bool) -> None:
    scores, labels, given = draw_answers(missing=True) if answers else draw_scores()
    weights = given if weighted else None
    found = fit_temperature(3 * scores, labels, weights)
    losses = [METRICS["log-loss"](3 * scores / (found * factor), labels, weights) for factor in (0.99, 1.0, 1.01)]
    assert losses[1] == min(losses)
    assert found > 1
    if not weighted and not answers:
        even = fit_temperature(3 * scores, labels, torch.full((len(labels),), 2.0))
        assert even == pytest.approx(found, rel=1e-9)


def made(temperature: float | None = 2.0, thresholds: tuple[float, ...] | None = (0.0, 0.5, -1.0)) -> LinearModel:
    return LinearModel(
        torch.eye(3, 4), torch.zeros(3), NAMES, provenance={"loss": "softmax"}, temperature=temperature,
        thresholds=thresholds,
    )  # fmt: skip


def test_a_model_decides_by_its_thresholds_and_is_sure_by_its_temperature(tmp_path: Path) -> None:
    model = made()
    row = torch.tensor([[1.0, 1.2, 0.0, 0.0], [1.0, 0.0, 0.2, 0.0]])
    assert model.predict(row).tolist() == [0, 2]  # 1.0, 0.7, 1.0 and 1.0, -0.5, 1.2: ties to the lowest class
    torch.testing.assert_close(model.predict_proba(row), (model.scores(row) / 2).softmax(1))
    model.save(tmp_path / "model.safetensors")
    again = LinearModel.load(tmp_path / "model.safetensors")
    assert (again.temperature, again.thresholds) == (2.0, (0.0, 0.5, -1.0))
    assert torch.equal(again.predict(row), model.predict(row))
    for sees, scores in (("labels", model.shift(model.scores(row))), ("probabilities", model.scores(row) / 2)):
        plain = model.seen_by(sees)  # type: ignore[arg-type]
        torch.testing.assert_close(plain.scores(row), scores)
        assert plain.temperature is plain.thresholds is None


def test_a_hinge_has_probabilities_once_it_has_a_temperature() -> None:
    hinge = replace(made(None, None), provenance={"loss": "hinge"})
    with pytest.raises(InputError, match="--calibrate temperature"):
        hinge.predict_proba(torch.eye(4))
    assert replace(hinge, temperature=3.0).predict_proba(torch.eye(4)).sum() == pytest.approx(4)


def test_files_without_calibration_are_as_they_were() -> None:
    content = made(None, None).to_bytes()
    assert b"temperature" not in content
    assert b"thresholds" not in content
    assert b"temperature" in made().to_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a finite number > 0"),
        ({"temperature": math.inf}, "temperature must be a finite number > 0"),
        ({"thresholds": (1.0,)}, "thresholds must be 3 numbers, one a class; got 1"),
        ({"thresholds": (1.0, math.nan, 0.0)}, "each threshold must be a finite number"),
        ({"thresholds": (1.0, "x", 0.0)}, "each threshold must be a finite number"),
    ],
)
def test_a_calibration_that_is_none_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(made(), **changes)


def test_every_export_labels_as_the_calibrated_model(tmp_path: Path) -> None:
    """`export_model` compares labels itself; what else a file has of the calibration is looked at here."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model, rows = made(), torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    assert bool((model.predict(rows) != replace(model, thresholds=None).predict(rows)).any())
    done = export_model(model, tmp_path / "m.onnx", "onnx", rows=rows)
    session = onnxruntime.InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
    label, shares = session.run(["label", "probabilities"], {"features": rows.numpy()})
    assert label.tolist() == model.predict(rows).tolist()
    np.testing.assert_allclose(shares, model.predict_proba(rows).numpy(), rtol=1e-5)
    with np.load(export_model(model, tmp_path / "m.npz", "numpy", rows=rows).path) as file:
        assert file["temperature"] == 2.0
        assert file["thresholds"].tolist() == [0.0, 0.5, -1.0]
    lines = export_model(model, tmp_path / "m.csv", "csv", rows=rows).path.read_text().splitlines()
    assert [lines[0].split(",")[-2:], lines[2].split(",")[-2:]] == [["temperature", "threshold"], ["2", "0.5"]]
    with pytest.raises(InputError, match="have no place for thresholds"):
        export_model(model, tmp_path / "m.pkl", "sklearn", rows=rows)


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_pickle_has_the_probabilities_of_the_temperature_in_an_export(
    tmp_path: Path, loss: str, classes: int
) -> None:
    model = LinearModel(torch.eye(classes, 4), torch.zeros(classes), NAMES[:classes], provenance={"loss": loss},
                        temperature=0.3)  # fmt: skip
    rows = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    estimator = pickle.loads(export_model(model, tmp_path / "m.pkl", "sklearn", rows=rows).path.read_bytes())
    np.testing.assert_allclose(estimator.predict_proba(rows.numpy()), model.predict_proba(rows).numpy(), rtol=1e-4)


@pytest.mark.parametrize("kinds", ["temperature", "thresholds", "both"])
def test_calibration_sees_validation_rows_and_no_others(kinds: str, tmp_path: Path) -> None:
    """Other test rows change nothing of it; what it says of itself is what these rows have."""
    validation = draw(120, seed=1)
    split = Split(draw(), validation, draw(60, seed=2))
    settings = Settings("rows", losses=("softmax",), regs=(1e-2,), metric="macro-f1", calibrate=kinds)
    models = []
    for test in (split.test, draw(60, seed=3), None):
        with RunFolder(tmp_path / f"run-{len(models)}") as folder:
            [run] = tune(settings, replace(split, test=test), folder)
        models.append(run.model)
    assert len({(model.temperature, model.thresholds) for model in models}) == 1
    model, plain = models[0], replace(models[0], temperature=None, thresholds=None)
    assert (model.temperature is None, model.thresholds is None) == (kinds == "thresholds", kinds == "temperature")
    facts = calibrate(plain, validation, kinds, "macro-f1").facts
    assert (facts["temperature"], facts["thresholds"] and tuple(facts["thresholds"])) == (
        model.temperature, model.thresholds,
    )  # fmt: skip
    scores, weights = plain.scores(validation.features), validation.sample_weight  # type: ignore[arg-type]
    for name, key, after in (
        ("log-loss", "log_loss", scores / (model.temperature or 1)), ("macro-f1", "score", model.shift(scores)),
    ):  # fmt: skip
        pair = [METRICS[name](one, validation.labels, weights) for one in (scores, after)]
        assert facts[key] == pytest.approx(pair)
    assert facts["log_loss"][1] <= facts["log_loss"][0]
    assert facts["score"][1] >= facts["score"][0]


def test_a_calibrated_run_is_told_and_scored_as_its_model_labels(
    colinear: Program, without_figures: None, tmp_path: Path
) -> None:
    data = draw(400, weighted=False)
    np.savez(tmp_path / "rows.npz", X=data.features.numpy(), y=np.array(NAMES)[data.labels.numpy()])
    out = tmp_path / "run"
    options = ("--calibrate", "both", "--metric", "macro-f1", "--loss", "softmax", "--regs", "1e-1,1")
    said = colinear("tune", tmp_path / "rows.npz", *options, "--out", out)
    assert said.status == 0, said.err
    [entry] = json.loads((out / "results.json").read_text())["runs"]
    found = entry["calibration"]
    text = " ".join(said.out.split())
    assert f"Temperature {found['temperature']:.4g}, from 60 validation rows: log loss" in text
    assert "Thresholds of 3 classes, from 60 validation rows: macro-f1" in text
    model = out / "model-softmax.safetensors"
    asked = ("--metric", "macro-f1", "--metric", "map", "--metric", "log-loss")
    scored = colinear("evaluate", model, tmp_path / "rows.npz", *asked, "--json").json
    assert (scored["part"], scored["accuracy"]) == ("test", entry["test_accuracy"])
    assert scored["metrics"]["macro-f1"] == {"value": entry["test_score"], "ci95": entry["test_score_ci95"]}
    assert scored["confusion_matrix"] == entry["confusion_matrix"]
    assert all(one["map"] is not None and len(one["map_ci95"]) == 2 for one in scored["classes"])
    shown = colinear("evaluate", model, tmp_path / "rows.npz", *asked).out
    assert f"macro-f1 {entry['test_score']:.4f} (95 % interval" in shown
    assert re.search(r"class +rows +recall +precision +map +mostly taken for", shown)
    loaded = LinearModel.load(model)
    np.save(tmp_path / "new.npy", data.features[:40].float().numpy())
    told = colinear("predict", model, tmp_path / "new.npy", "--json").json
    rows = torch.from_numpy(np.load(tmp_path / "new.npy"))
    assert [one["label"] for one in told] == [NAMES[label] for label in loaded.predict(rows).tolist()]
    shares = loaded.predict_proba(rows)
    assert told[0]["top"][0]["probability"] == pytest.approx(float(shares[0, NAMES.index(told[0]["label"])]))
    [panel] = read_panels(out)
    assert panel["reliability"]["before"]["ece"] != panel["reliability"]["ece"]
    assert [part.split()[0] for part in panel["calibration"]] == ["Temperature", "Thresholds"]
    probabilities = colinear("evaluate", model, tmp_path / "rows.npz", "--metric", "log-loss", "--json").json
    assert probabilities["metrics"] == {"log-loss": scored["metrics"]["log-loss"]}


def test_an_overconfident_model_is_less_so_afterwards() -> None:
    scores, labels, _ = draw_scores(n=2000)
    temperature = fit_temperature(4 * scores[:1000], labels[:1000])
    before, after = (
        expected_calibration_error((4 * scores[1000:] / one).softmax(1), labels[1000:]) for one in (1.0, temperature)
    )
    assert after < before / 2


@pytest.mark.parametrize("other", [("--cv", "3"), ("--refit",)])
def test_rows_that_train_the_winner_calibrate_nothing(
    colinear: Program, tmp_path: Path, other: tuple[str, ...]
) -> None:
    said = colinear("tune", "digits", "--calibrate", "temperature", *other, "--out", tmp_path / "run")
    assert said.status == 2
    assert f"{other[0]} would train on these too. Leave {other[0]} out." in " ".join(said.err.split())
