"""The card of a model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.program import Program
from tests.reporting import HOSTILE, digits_split, run

from colinear.checks import InputError
from colinear.metrics import wilson_interval
from colinear.model import LinearModel
from colinear.report.card import make_card
from colinear.report.cardtext import card_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "exact"
    run(path, digits_split(), "exact")
    return path


def test_a_card_has_what_the_run_found(folder: Path) -> None:
    card = make_card(folder / "model-softmax.safetensors")
    [entry] = json.loads((folder / "results.json").read_text())["runs"]
    assert card["score"]["test"] == {"accuracy": entry["test_accuracy"], "accuracy_ci95": entry["test_accuracy_ci95"]}
    confusion = entry["confusion_matrix"]
    for number, one in enumerate(card["classes"]):
        right, rows = confusion[number][number], sum(confusion[number])
        assert (one["class"], one["rows"], one["recall"]) == (HOSTILE[number], rows, right / rows)
        assert one["recall_ci95"] == list(wilson_interval(right, rows))
        assert one["precision"] == right / sum(line[number] for line in confusion)
    assert card["data"]["n_train"] == 160
    assert "within 0.0" in card["certificate"]
    assert card["training"]["command"].startswith("colinear tune digits --loss softmax")
    assert json.loads(json.dumps(card, allow_nan=False)) == card


def test_names_are_escaped_in_the_text(folder: Path) -> None:
    text = card_text(make_card(folder / "model-softmax.safetensors"))
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "| \\<script\\>alert(1)\\</script\\> | 40 |" in text
    assert "two\\\\u2028lines" in text


def test_a_model_alone_says_that_its_run_is_not_there(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "model.safetensors"
    shutil.copy(folder / "model-softmax.safetensors", alone)
    card = make_card(alone)
    assert card["classes"] == []
    assert card["score"]["test"]["accuracy_ci95"] is None
    assert any("not beside the file" in one for one in card["limits"])


def test_results_of_another_model_are_not_taken_for_its_own(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(folder, other)
    model = LinearModel.load(other / "model-softmax.safetensors")
    for facts in ({"reg": 7.0}, {"test_accuracy": 0.5}, {"data_fingerprint": "0"}):
        replace(model, provenance=model.provenance | facts).save(other / "model-softmax.safetensors")
        assert make_card(other / "model-softmax.safetensors")["classes"] == []


def test_a_model_whose_file_says_nonsense_of_itself_has_a_card(tmp_path: Path) -> None:
    facts = {"loss": ["x"], "reg": "<b>", "versions": [1], "val_accuracy": {}, "above_optimum": [1, "x"], "data": 3}
    path = tmp_path / "model.safetensors"
    LinearModel(torch.eye(2), torch.zeros(2), ("a", "b"), provenance=facts).save(path)
    card = make_card(path)
    assert card["training"]["reg"] is None
    assert card["certificate"] == "none"
    assert card_text(card).startswith("# model.safetensors\n")


def test_limits_name_classes_with_few_rows_and_without_answers(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(folder, other)
    results = json.loads((other / "results.json").read_text())
    results["runs"][0]["confusion_matrix"] = [[3, 0, 0, 0], [0, 0, 0, 50], [0, 0, 50, 0], [0, 0, 0, 50]]
    results["runs"][0]["test_accuracy"] = 103 / 153
    (other / "results.json").write_text(json.dumps(results))
    path = other / "model-softmax.safetensors"
    model = LinearModel.load(path)
    replace(model, provenance=model.provenance | {"test_accuracy": 103 / 153}).save(path)
    limits = make_card(path)["limits"]
    assert any(one.startswith("Fewer than 30 test rows: <script>") for one in limits)
    assert any(one.startswith("It never answered </script>") for one in limits)


def test_counts_of_other_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(folder, other)
    results = json.loads((other / "results.json").read_text())
    results["runs"][0]["confusion_matrix"] = [[1, 0], [0, 0]]
    results["runs"][0]["test_accuracy"] = 1.0
    (other / "results.json").write_text(json.dumps(results))
    path = other / "model-softmax.safetensors"
    model = LinearModel.load(path)
    replace(model, provenance=model.provenance | {"test_accuracy": 1.0}).save(path)
    with pytest.raises(InputError, match="counts 2 classes, the model has 4"):
        make_card(path)


def test_the_command_prints_both_forms(colinear: Program, folder: Path) -> None:
    path = folder / "model-softmax.safetensors"
    assert colinear("card", path).out == card_text(make_card(path))
    assert colinear("card", path, "--to", "json").json == colinear("card", path, "--json").json == make_card(path)
