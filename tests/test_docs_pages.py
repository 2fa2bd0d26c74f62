"""Pages that promise more than that their examples run: each error of the questions is met, each name exists."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.model_selection
import sklearn.multiclass
import sklearn.multioutput
import sklearn.svm
import torch

import colinear
from colinear.cli.app import main

DOCS = Path(__file__).parents[1] / "docs"
ERRORS = re.findall(r"^```console\n\$ colinear (.+?)\n(.+?)\n```$", (DOCS / "faq.md").read_text("utf-8"), re.M | re.S)
TABLES = (DOCS / "from-scikit-learn.md").read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands name: a run on digits, and small tables."""
    place: Path = tmp_path_factory.mktemp("questions")
    rows, labels = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32), np.arange(200) % 4
    np.savez(place / "features.npz", X=rows, y=labels)
    np.save(place / "rows.npy", rows)
    rows[17, 3] = np.nan
    np.savez(place / "holes.npz", X=rows, y=labels)
    with pytest.raises(SystemExit) as left:
        main(["tune", "digits", "--loss", "softmax", "--regs", "1e-2", "--quiet", "--out", str(place / "run")])
    assert not left.value.code
    return place


@pytest.mark.parametrize(("command", "answer"), ERRORS, ids=[command for command, _ in ERRORS])
def test_an_error_of_the_questions_is_what_is_said(
    command: str, answer: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "cuda" in command and torch.cuda.is_available():
        pytest.skip("there is one here")
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as left:
        main(shlex.split(command))
    assert left.value.code == 2
    assert capsys.readouterr().err.strip() == answer


def rows_of(section: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    table = TABLES.split(f"## {section}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"][2:]


def test_the_classes_of_the_dictionary_exist_on_both_sides() -> None:
    homes = (sklearn.linear_model, sklearn.svm, sklearn.multiclass, sklearn.multioutput, sklearn.model_selection)
    for theirs, ours, *_ in rows_of("The classes"):
        assert getattr(colinear, ours.strip("`").split("(")[0])
        name = re.findall(r"\w+", theirs)[0]
        assert name == "make_pipeline" or any(hasattr(home, name) for home in homes), name


def test_the_parameters_of_the_dictionary_are_those_of_the_estimators() -> None:
    kinds = (colinear.SoftmaxClassifier, colinear.SoftmaxClassifierCV)
    names = {name for kind in kinds for name in inspect.signature(kind).parameters}
    told = {name for row in rows_of("The parameters") for cell in row for name in re.findall(r"`([A-Za-z]\w*)", cell)}
    assert told - {"sample_weight", "fit", "lbfgs", "saga", "LinearSVC", "InputError"} <= names
    fitted = colinear.SoftmaxClassifierCV(Cs=[1.0], cv=2).fit(np.eye(4), [0, 1, 0, 1])
    for row in rows_of("What was learned"):
        for name in re.findall(r"\b[a-zA-Z_]+_\b", row[1]):
            assert hasattr(fitted, name), name
