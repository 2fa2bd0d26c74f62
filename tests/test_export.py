"""Exported models label rows as the model does, in the runtimes they are for."""

from __future__ import annotations

import builtins
import csv
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from colinear.checks import InputError
from colinear.cli import main
from colinear.datasets import Features, fit_scaling, load_cifar10, load_digits
from colinear.export import FORMATS, ExportError, export_model, formats
from colinear.export.graph import graph_input, takes_images
from colinear.losses import LOSSES
from colinear.model import LinearModel
from colinear.solvers import SGD
from colinear.solvers.path import solve_path

every_format = pytest.mark.parametrize("to", sorted(FORMATS))


def draw_model(
    n_classes: int = 3,
    *,
    loss: str = "softmax",
    images: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> LinearModel:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(n_classes, 12, generator=generator, dtype=dtype)
    names = tuple(f"class {number}, ünïcode" for number in range(n_classes))
    shape, range_ = ((3, 2, 2), 255.0) if images else (None, 1.0)
    bias = torch.randn(n_classes, generator=generator, dtype=dtype)
    return LinearModel(weight, bias, names, shape, range_, {"loss": loss, "reg": 0.1})


def draw_rows(n: int = 50) -> torch.Tensor:
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(1))


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@every_format
@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("loss", ["softmax", "hinge"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_format_is_checked_on_the_spot(
    tmp_path: Path, to: str, n_classes: int, loss: str, dtype: torch.dtype
) -> None:
    model = draw_model(n_classes, loss=loss, dtype=dtype)
    exported = export_model(model, tmp_path / f"m{FORMATS[to][0]}", to)
    assert exported.path.is_file()
    assert exported.checked == formats.CHECK_ROWS
    assert exported.near_ties == 0
    assert exported.largest_difference < (1e-4 if dtype == torch.float32 else 1e-12)


STAMPS = 1.7e9  # an offset at which float32 has steps of 128


def draw_stamps(n_classes: int, loss: str) -> tuple[LinearModel, torch.Tensor]:
    """A float64 model for timestamps that differ by seconds, and such rows."""
    near = draw_model(n_classes, loss=loss, dtype=torch.float64)
    bias = near.bias - STAMPS * near.weight.sum(1)
    return replace(near, bias=bias), draw_rows().double() + STAMPS


@every_format
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_every_format_labels_float64_rows_as_a_float64_model_does(
    tmp_path: Path, to: str, n_classes: int, loss: str
) -> None:
    model, rows = draw_stamps(n_classes, loss)
    path = tmp_path / f"m{FORMATS[to][0]}"
    exported = export_model(model, path, to, rows=rows)
    assert (exported.checked, exported.near_ties) == (50, 0)
    scores = FORMATS[to][2](path.read_bytes(), model, rows)
    assert scores is not None
    np.testing.assert_allclose(scores, model.scores(rows), rtol=0, atol=1e-4)
    assert torch.equal(scores.argmax(1), model.predict(rows))


@every_format
def test_a_float64_model_is_checked_on_rows_of_any_type(tmp_path: Path, to: str) -> None:
    for rows in (draw_rows(), draw_rows().abs().to(torch.uint8)):
        model = draw_model(dtype=torch.float64)
        assert export_model(model, tmp_path / f"m{FORMATS[to][0]}", to, rows=rows).largest_difference < 1e-12


def test_the_check_of_a_float64_model_is_as_fine_as_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suffix, encode, decode = FORMATS["numpy"]
    rounded = draw_model(dtype=torch.float64)
    rounded = replace(rounded, weight=rounded.weight.float(), bias=rounded.bias.float())
    monkeypatch.setitem(FORMATS, "numpy", (suffix, lambda _: encode(rounded), decode))
    with pytest.raises(ExportError, match="does not score row"):
        export_model(draw_model(dtype=torch.float64), tmp_path / "m.npz", "numpy")


def test_onnx_of_a_float64_model_takes_and_gives_float64(tmp_path: Path) -> None:
    model, rows = draw_stamps(3, "softmax")
    run = session(export_model(model, tmp_path / "m.onnx", rows=rows).path)
    assert [source.type for source in run.get_inputs()] == ["tensor(double)"]
    types = ["tensor(int64)", "tensor(string)", "tensor(double)", "tensor(double)"]
    assert [output.type for output in run.get_outputs()] == types
    found = run.run(["probabilities"], {"features": rows.numpy()})[0]
    np.testing.assert_allclose(found, model.predict_proba(rows), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "kind", "labels"),
    [
        (("-3", "0", "12"), "int", [-3, 0, 12]),
        (("-3", "0", "12"), None, [-3, 0, 12]),
        (("0", "1", "2"), "text", ["0", "1", "2"]),
        (("0", str(2**64 - 1)), "int", np.array([0, 2**64 - 1], dtype=np.uint64)),
        (("0", str(10**20 - 1)), "int", ["0", str(10**20 - 1)]),
        (("0", "01", "2"), None, ["0", "01", "2"]),
        (("0", "b", "2"), "int", ["0", "b", "2"]),
        (("False", "True"), "bool", [False, True]),
        (("False", "True"), None, ["False", "True"]),
    ],
    ids=str,
)
def test_scikit_learn_gets_the_labels_that_were_trained_with(
    tmp_path: Path, names: tuple[str, ...], kind: str | None, labels: list[Any]
) -> None:
    model, rows = replace(draw_model(len(names)), class_names=names, label_kind=kind), draw_rows()
    estimator = pickle.loads(export_model(model, tmp_path / "m.pkl", "sklearn").path.read_bytes())
    truth = np.array(labels)[model.predict(rows)]
    assert estimator.classes_.dtype == truth.dtype
    np.testing.assert_array_equal(estimator.predict(rows.numpy()), truth)
    assert estimator.score(rows.numpy(), truth) == 1.0


@pytest.mark.parametrize(
    "labels",
    [np.arange(60) % 3 + 5, np.array(["5", "6", "7"])[np.arange(60) % 3], np.arange(60) % 2 == 0],
    ids=["numbers", "text", "booleans"],
)
def test_labels_of_a_file_come_back_from_a_trained_and_exported_model(
    tmp_path: Path, labels: Any, without_figures: None
) -> None:
    X = np.random.default_rng(0).normal(size=(60, 4)) + 1.7e9
    X[:, 0] += 5 * np.unique(labels, return_inverse=True)[1]
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", labels)
    target = tmp_path / "m.safetensors"
    assert run("fit", str(tmp_path / "X.npy"), "--reg", "1e-3", "--out", str(target), "--quiet") == 0
    assert run("export", str(target), "--to", "sklearn") == 0
    estimator = pickle.loads((tmp_path / "m.pkl").read_bytes())
    assert estimator.predict(X).dtype == labels.dtype
    assert estimator.score(X, labels) > 0.95


@every_format
def test_a_model_without_biases_can_be_exported(tmp_path: Path, to: str) -> None:
    model = replace(draw_model(), bias=torch.zeros(3))  # a row of zeros scores exactly 0, whose rounding is 0
    assert export_model(model, tmp_path / f"m{FORMATS[to][0]}", to).near_ties == 0


def test_onnx_gives_label_name_scores_and_probabilities(tmp_path: Path) -> None:
    model, rows = draw_model(), draw_rows()
    path = export_model(model, tmp_path / "m.onnx").path
    run = session(path)
    found = dict(zip((o.name for o in run.get_outputs()), run.run(None, {"features": rows.numpy()}), strict=True))
    labels = model.predict(rows)
    np.testing.assert_array_equal(found["label"], labels)
    assert found["label"].dtype == np.int64
    assert found["class_name"].tolist() == [model.class_names[label] for label in labels.tolist()]
    np.testing.assert_allclose(found["scores"], model.scores(rows), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(rows), rtol=1e-4, atol=1e-6)
    assert json.loads({p.key: p.value for p in onnx.load(path).metadata_props}["provenance"]) == model.provenance


def test_onnx_of_a_hinge_has_no_probabilities(tmp_path: Path) -> None:
    path = export_model(draw_model(loss="hinge"), tmp_path / "m.onnx").path
    assert [output.name for output in session(path).get_outputs()] == ["label", "class_name", "scores"]


def test_onnx_of_8_bit_images_takes_images(tmp_path: Path) -> None:
    model = draw_model(images=True)
    rows = torch.randint(256, (20, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    run = session(export_model(model, tmp_path / "m.onnx", rows=rows).path)
    (source,) = run.get_inputs()
    assert (source.name, source.type, source.shape) == ("images", "tensor(uint8)", ["N", 3, 2, 2])
    images = rows.view(-1, 3, 2, 2).numpy()
    np.testing.assert_array_equal(run.run(["label"], {"images": images})[0], model.predict(rows))
    np.testing.assert_array_equal(run.run(["label"], {"images": images[:1]})[0], model.predict(rows[:1]))


def test_the_first_class_wins_ties_everywhere(tmp_path: Path) -> None:
    model = LinearModel(torch.ones(3, 2), torch.zeros(3), ("a", "b", "c"), provenance={"loss": "softmax"})
    rows = torch.ones(4, 2)
    path = export_model(model, tmp_path / "m.onnx", rows=rows).path
    assert session(path).run(["class_name"], {"features": rows.numpy()})[0].tolist() == ["a"] * 4
    estimator = pickle.loads(export_model(model, tmp_path / "m.pkl", "sklearn", rows=rows).path.read_bytes())
    assert estimator.predict(rows.numpy()).tolist() == ["a"] * 4


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_pickle_is_a_scikit_learn_estimator(tmp_path: Path, n_classes: int) -> None:
    model, rows = draw_model(n_classes), draw_rows()
    path = export_model(model, tmp_path / "m.pkl", "sklearn").path
    estimator = pickle.loads(path.read_bytes())
    assert type(estimator).__module__.startswith("sklearn.")
    named = [model.class_names[label] for label in model.predict(rows).tolist()]
    assert estimator.predict(rows.numpy()).tolist() == named
    np.testing.assert_allclose(estimator.predict_proba(rows.numpy()), model.predict_proba(rows), rtol=1e-4, atol=1e-6)
    assert estimator.score(rows.numpy(), named) == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_npz_and_csv_hold_the_very_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    model = draw_model(images=True, dtype=dtype)
    with np.load(export_model(model, tmp_path / "m.npz", "numpy").path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["weight"], model.weight)
        np.testing.assert_array_equal(file["bias"], model.bias)
        assert file["class_names"].tolist() == list(model.class_names)
        assert file["image_shape"].tolist() == [3, 2, 2]
        assert json.loads(str(file["provenance"])) == model.provenance
    with open(export_model(model, tmp_path / "m.csv", "csv").path, newline="", encoding="utf-8") as text:
        lines = list(csv.reader(text))
    assert lines[0][:3] == ["class", "bias", "feature_0"]
    assert [line[0] for line in lines[1:]] == list(model.class_names)
    back = np.array([line[1:] for line in lines[1:]], dtype=model.weight.numpy().dtype)
    np.testing.assert_array_equal(back[:, 1:], model.weight)
    np.testing.assert_array_equal(back[:, 0], model.bias)


@every_format
def test_a_file_that_scores_otherwise_is_an_error_and_not_written(
    tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    suffix, encode, decode = FORMATS[to]
    monkeypatch.setitem(FORMATS, to, (suffix, lambda _: encode(draw_model(seed=5)), decode))
    with pytest.raises(ExportError, match="does not score row"):
        export_model(draw_model(), tmp_path / f"m{suffix}", to)
    assert list(tmp_path.iterdir()) == []


def test_misuse_is_an_input_error(tmp_path: Path) -> None:
    for arguments, message in (
        ({"to": "pmml"}, "to must be one of onnx, sklearn, numpy, csv; got 'pmml'"),
        ({"path": tmp_path / "m.bin"}, "must end in .onnx"),
        ({"path": tmp_path / "no" / "m.onnx"}, "could not be written"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            export_model(draw_model(), **{"path": tmp_path / "m.onnx", **arguments})
    with pytest.raises(InputError, match="must be uint8"):
        graph_input(draw_model(images=True), draw_rows())


def hide(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let imports of `name` fail as if it were not installed."""
    real = builtins.__import__

    def find(wanted: str, *rest: Any, **more: Any) -> Any:
        if wanted.split(".")[0] == name:
            raise ImportError(wanted)
        return real(wanted, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", find)


def test_without_onnx_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "onnx")
    with pytest.raises(InputError, match=re.escape("pip install 'colinear[onnx]'")):
        export_model(draw_model(), tmp_path / "m.onnx")


def test_without_onnxruntime_the_file_is_written_unchecked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "onnxruntime")
    exported = export_model(draw_model(), tmp_path / "m.onnx")
    assert exported.checked == 0
    assert exported.path.is_file()


# On the command line


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


@every_format
def test_the_command_writes_beside_the_model(tmp_path: Path, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    draw_model().save(tmp_path / "m.safetensors")
    assert run("export", str(tmp_path / "m.safetensors"), "--to", to, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == str(tmp_path / f"m{FORMATS[to][0]}")
    assert said["checked_rows"] == formats.CHECK_ROWS
    assert Path(said["file"]).is_file()


def test_the_command_checks_on_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load_digits()
    scaling = fit_scaling(data)
    coef = solve_path(Features(data, scaling), LOSSES["softmax"], [1e-2]).points[0].coef
    model = LinearModel.from_coef(coef, scaling, data.class_names, data.image_shape, data.value_range)
    assert not takes_images(model)
    model.save(tmp_path / "m.safetensors")
    assert run("export", str(tmp_path / "m.safetensors"), "--check", "digits") == 0
    assert "Checked on 269 rows of digits: the same labels as the model" in " ".join(capsys.readouterr().out.split())


def test_a_mistake_is_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", str(tmp_path / "none.safetensors")) == 2
    assert "does not exist" in capsys.readouterr().err
    draw_model().save(tmp_path / "m.safetensors")
    assert run("export", str(tmp_path / "m.safetensors"), "--out", str(tmp_path / "m.bin")) == 2
    assert run("export", str(tmp_path / "m.safetensors"), "--to", "pmml") == 2


# The whole way


@pytest.mark.cifar10
def test_all_test_images_of_cifar10_have_the_same_labels_in_onnxruntime(data_dir: Path, tmp_path: Path) -> None:
    train, test = load_cifar10(data_dir)
    features = Features(train, fit_scaling(train.subset(slice(0, 2000))))
    sgd, one = SGD(200, 200), torch.ones(1)
    state = sgd.start(torch.zeros(10, features.n_features), 0.01 * one, 1e-3 * one, torch.Generator().manual_seed(0))
    coef = sgd.result(sgd.advance(state, features, LOSSES["softmax"], 200))[0]
    facts = {"loss": "softmax"}
    model = LinearModel.from_coef(coef, features.scaling, train.class_names, train.image_shape, 255.0, facts)
    rows = test.take(slice(0, test.n_samples))
    exported = export_model(model, tmp_path / "m.onnx", rows=rows)
    labels = session(exported.path).run(["label"], {"images": rows.view(-1, 3, 32, 32).numpy()})[0]
    np.testing.assert_array_equal(labels, model.predict(rows))
    assert (exported.checked, exported.near_ties) == (10_000, 0)


@pytest.mark.parametrize("to", ["onnx", "sklearn", "numpy", "csv"])
def test_rows_of_another_width_are_refused_before_anything_is_written(tmp_path: Path, to: str) -> None:
    model = LinearModel(torch.eye(2), torch.zeros(2), ("no", "yes"))
    target = tmp_path / f"model{FORMATS[to][0]}"
    with pytest.raises(InputError, match=r"rows to check on must have 2 columns; got 3\."):
        export_model(model, target, to, rows=torch.zeros(4, 3))
    assert not target.exists()
