"""A trained classifier: what it scores, and what its file survives."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.problems import draw_coef, draw_rows

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, Scaling, fit_scaling
from colinear.datasets.base import LABEL_KINDS
from colinear.losses import Softmax
from colinear.model import LinearModel, rounding_shows
from colinear.objective import Objective, score_rows
from colinear.solvers.path import solve_path

MODEL = LinearModel(
    torch.linspace(-1, 1, 24).view(2, 12),
    torch.tensor([0.5, -0.5]),
    ("cat", "größer"),
    (3, 2, 2),
    255.0,
    {"loss": "softmax", "reg": 0.1, "seed": 3},
)


def draw_images(n: int = 9) -> torch.Tensor:
    return torch.randint(256, (n, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# Scores


def test_scores_labels_and_probabilities() -> None:
    rows = draw_images()
    scores = rows.double() @ MODEL.weight.double().mT + MODEL.bias
    torch.testing.assert_close(MODEL.scores(rows).double(), scores, rtol=1e-5, atol=1e-3)
    assert torch.equal(MODEL.predict(rows), MODEL.scores(rows).argmax(1))
    torch.testing.assert_close(MODEL.predict_proba(rows), MODEL.scores(rows).softmax(1))
    assert (MODEL.n_classes, MODEL.n_features, MODEL.loss) == (2, 12, "softmax")


@pytest.mark.parametrize("weights", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("rows", [torch.uint8, torch.float32, torch.float64], ids=str)
def test_rows_of_every_type_score_alike_in_the_wider_of_the_two_types(weights: torch.dtype, rows: torch.dtype) -> None:
    model = replace(MODEL, weight=MODEL.weight.to(weights), bias=MODEL.bias.to(weights))
    wide = torch.float64 in (weights, rows)
    scores = model.scores(draw_images().to(rows))
    assert scores.dtype == model.predict_proba(draw_images().to(rows)).dtype
    assert scores.dtype == (torch.float64 if wide else torch.float32)
    exact = draw_images().double() @ MODEL.weight.double().mT + MODEL.bias.double()
    torch.testing.assert_close(scores.double(), exact, rtol=0, atol=1e-11 if wide else 1e-3)


@pytest.mark.parametrize(
    ("weight", "row"), [(1e38, 1e3), (1e308, 1e3), (1e30, 3e38)], ids=["float32", "float64", "a float32 row"]
)
def test_scores_beyond_the_range_of_their_type_are_refused_and_never_nan(weight: float, row: float) -> None:
    dtype = torch.float64 if weight > 1e40 else torch.float32
    model = LinearModel(torch.tensor([[weight, -weight]], dtype=dtype), torch.zeros(1, dtype=dtype), ("a",))
    with pytest.raises(InputError, match=f"the scores of row 1 are beyond {str(dtype)[6:]}: its features are too"):
        model.scores(torch.tensor([[1.0, 1.0], [row, row]]))


def test_ties_go_to_the_lowest_class() -> None:
    model = LinearModel(torch.zeros(3, 2), torch.tensor([0.0, 1.0, 1.0]), ("a", "b", "c"))
    assert model.predict(torch.ones(4, 2)).tolist() == [1] * 4


@pytest.mark.parametrize("bias", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_model_scores_raw_rows_as_its_weights_score_scaled_ones(kind: str, standardize: bool, bias: float) -> None:
    if kind == "table":
        data = draw_rows(30, 12, 3, dtype=torch.float32)
    else:
        labels = torch.arange(30) % 3
        data = ArrayDataset(draw_images(30), labels, ("a", "b", "c"), (3, 2, 2), value_range=255.0)
    scaling = fit_scaling(data, standardize=standardize, intercept_scaling=bias)
    features = Features(data, scaling, torch.float64)
    coef = draw_coef(1, features)
    model = LinearModel.from_coef(coef[0], scaling, data.class_names)
    ((_, expected),) = Objective(features).scores(coef)
    found = torch.cat([scores for _, scores in score_rows(model, data, chunk_rows=7)])
    torch.testing.assert_close(found.double(), expected[0].mT, rtol=1e-4, atol=1e-4)


def test_only_softmax_models_have_probabilities() -> None:
    for provenance, loss in (({"loss": "hinge"}, "hinge"), ({}, "unknown")):
        with pytest.raises(InputError, match=f"probabilities need a softmax or logistic model; .* the {loss} loss"):
            replace(MODEL, provenance=provenance).predict_proba(draw_images())


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="features must have 12 columns; got 11"):
        MODEL.scores(torch.zeros(2, 11))
    with pytest.raises(InputError, match="row 1, column 3 has nan"):
        MODEL.scores(torch.zeros(2, 12).index_put((torch.tensor(1), torch.tensor(3)), torch.tensor(math.nan)))


# Files


def assert_same_model(one: LinearModel, other: LinearModel) -> None:
    assert one.weight.dtype == other.weight.dtype
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)
    for name in ("class_names", "image_shape", "value_range", "provenance", "label_kind"):
        assert getattr(one, name) == getattr(other, name)


@settings(max_examples=15)
@given(
    names=st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True),
    wide=st.booleans(),
    kind=st.sampled_from([None, *LABEL_KINDS]),
    d=st.integers(1, 5),
    image=st.booleans(),
    facts=st.dictionaries(st.text(max_size=4), st.one_of(st.integers(), st.text(max_size=4), st.booleans())),
)
def test_a_file_holds_everything(
    tmp_path_factory: pytest.TempPathFactory,
    names: list[str],
    d: int,
    image: bool,
    facts: dict[str, Any],
    wide: bool,
    kind: str | None,
) -> None:
    weight = torch.randn(d, len(names), generator=torch.Generator().manual_seed(d)).mT  # not contiguous
    weight, bias = (part.double() / 3 if wide else part for part in (weight, torch.ones(len(names))))
    model = LinearModel(weight, bias, tuple(names), (1, 1, d) if image else None, 16.0, facts, kind)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    model.save(path)
    assert_same_model(LinearModel.load(path), model)
    assert [entry.name for entry in path.parent.iterdir()] == ["m.safetensors"]


def test_the_same_model_has_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "a.safetensors")
    program = (
        "import sys; from colinear.model import LinearModel, rounding_shows\n"
        "LinearModel.load(sys.argv[1]).save(sys.argv[2])"
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")], check=True
    )
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes() == MODEL.to_bytes()


def test_a_missing_file_and_a_place_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.safetensors does not exist"):
        LinearModel.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match=r"could not be written: No such file or directory\. Pass another place"):
        MODEL.save(tmp_path / "no folder" / "m.safetensors")


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    content, path = MODEL.to_bytes(), tmp_path / "m.safetensors"
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=re.escape(str(path))):
            LinearModel.load(path)


# Folding


def test_folding_is_done_in_float64_whatever_is_stored() -> None:
    scaling = Scaling(torch.tensor(1 / 255, dtype=torch.float64), torch.full((2,), 0.5, dtype=torch.float64), 1.0)
    coef = torch.tensor([[3.0, -2.0, 0.25], [1.0, 5.0, 0.0]], dtype=torch.float64)
    for dtype, rows in ((torch.float64, None), (torch.float32, torch.tensor([[1, 2], [9, 0]], dtype=torch.uint8))):
        model = LinearModel.from_coef(coef, scaling, ("a", "b"), rows=rows)
        assert torch.equal(model.weight, torch.tensor([[3 / 255, -2 / 255], [1 / 255, 5 / 255]], dtype=dtype))
        assert torch.equal(model.bias, torch.tensor([0.25 - 0.5, -3.0], dtype=dtype))


def draw_stamps(dtype: torch.dtype, offset: float) -> ArrayDataset:
    """Three classes a unit of spread apart, on top of an offset."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    rows = torch.randn(300, 4, generator=generator, dtype=torch.float64).mul_(4).round_()
    rows[:, :3] += 16 * torch.nn.functional.one_hot(labels, 3)
    return ArrayDataset((rows + offset).to(dtype), labels, ("a", "b", "c"))


@pytest.mark.parametrize("standardize", [False, True])
def test_float64_rows_with_an_offset_of_timestamps_keep_every_label(tmp_path: Path, standardize: bool) -> None:
    data = draw_stamps(torch.float64, 1.7e9)
    scaling = fit_scaling(data, standardize=standardize)
    features = Features(data, scaling, torch.float64)
    coef = solve_path(features, Softmax(), [1e-3]).points[0].coef
    ((_, expected),) = Objective(features).scores(coef.unsqueeze(0))
    LinearModel.from_coef(coef, scaling, data.class_names, rows=data.take(slice(0, 100))).save(tmp_path / "m")
    model = LinearModel.load(tmp_path / "m")
    assert model.weight.dtype == torch.float64
    torch.testing.assert_close(model.scores(data.features), expected[0].mT, rtol=0, atol=1e-5)
    accuracy = (model.predict(data.features) == data.labels).double().mean()
    assert accuracy == (expected[0].argmax(0) == data.labels).double().mean() > 0.95
    rounded = LinearModel(model.weight.float(), model.bias.float(), model.class_names)
    assert (rounded.predict(data.features.float()) == data.labels).double().mean() < 0.7  # what float32 makes of them


@pytest.mark.parametrize(
    ("offset", "kept"), [(0.0, torch.float32), (2020.0, torch.float32), (1e7, torch.float64)], ids=str
)
def test_float32_rows_have_a_float32_model_unless_its_rounding_shows(offset: float, kept: torch.dtype) -> None:
    data = draw_stamps(torch.float32, offset)
    scaling = fit_scaling(data)
    coef = draw_coef(1, Features(data, scaling, torch.float64))[0]
    model = LinearModel.from_coef(coef, scaling, data.class_names, rows=data.features)
    assert model.weight.dtype == kept
    exact = Features(data, scaling, torch.float64).gather(slice(0, 300)) @ coef.mT
    torch.testing.assert_close(model.scores(data.features).double(), exact, rtol=0, atol=1e-4 * float(exact.std()))


def test_what_all_classes_share_hides_no_rounding() -> None:
    rows = torch.randn(20, 1, generator=torch.Generator().manual_seed(0))
    weight, bias = torch.tensor([[1e6 + 0.01], [1e6 - 0.01]], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    assert rounding_shows(weight, bias, rows)
    assert not rounding_shows(weight - 1e6, bias, rows)
    assert not rounding_shows(weight[:1], bias[:1], rows)  # a difference of two classes is all that decides


def test_weights_that_float32_cannot_hold_stay_float64() -> None:
    rows = torch.tensor([[1e30], [2e30], [4e30]])
    scaling = Scaling(torch.tensor([1e-30], dtype=torch.float64), torch.zeros(1, dtype=torch.float64), 0.0)
    model = LinearModel.from_coef(torch.tensor([[1e-25], [-1e-25]]), scaling, ("a", "b"), rows=rows)
    assert model.weight.dtype == torch.float64
    assert model.predict(rows).tolist() == [0, 0, 0]


def test_folded_weights_beyond_float64_are_refused() -> None:
    scaling = Scaling(torch.tensor([1e300], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    with pytest.raises(InputError, match="the weights for raw rows are beyond float64"):
        LinearModel.from_coef(torch.tensor([[1e9, 1.0]]), scaling, ("only",))


# Parts that do not fit


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"weight": torch.zeros(6)}, r"weight must be \(2, n_features\) and bias \(2,\) for 2 class names"),
        ({"weight": torch.zeros(2, 0), "image_shape": None}, r"weight must be \(2, n_features\)"),
        ({"bias": torch.zeros(3)}, r"got \(2, 12\) and \(3,\)"),
        ({"class_names": ("a",)}, r"weight must be \(1, n_features\)"),
        ({"weight": torch.zeros(2, 12, dtype=torch.float16)}, "both float32 or both float64; got torch.float16"),
        ({"weight": torch.zeros(2, 12).to(torch.float8_e4m3fn)}, "got torch.float8_e4m3fn"),
        ({"bias": torch.zeros(2, dtype=torch.float64)}, "got torch.float32, torch.float64"),
        ({"bias": torch.tensor([0.0, math.nan])}, "weight and bias must be finite"),
        ({"weight": torch.full((2, 12), math.inf)}, "weight and bias must be finite"),
        ({"class_names": ()}, "class_names must be text, at least one; got 0 names"),
        ({"class_names": ("a", 1)}, "class_names must be text"),
        ({"class_names": ("a", "a")}, "class_names must differ; number 1 has the name of an earlier one"),
        ({"class_names": ("a", "\ud800")}, "text that UTF-8 can write"),
        ({"image_shape": (1, 12)}, "image_shape must be three whole numbers > 0 whose product is 12"),
        ({"image_shape": (-3, -2, 2)}, "image_shape must be three whole numbers"),
        ({"image_shape": (3, 2.0, 2)}, "image_shape must be three whole numbers"),
        ({"image_shape": (3, 2, 3)}, "whose product is 12"),
        ({"value_range": -255.0}, "value_range must be a finite number > 0; got -255.0"),
        ({"value_range": math.inf}, "value_range must be a finite number > 0; got inf"),
        ({"value_range": 10**400}, "value_range must be a finite number > 0; got 1000"),
        ({"provenance": [1]}, "provenance must be a dict of facts; got list"),
        ({"label_kind": "float"}, "label_kind must be one of int, bool, text"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_parts_that_do_not_fit_together_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        replace(MODEL, **parts)
    assert len(str(caught.value)) < 200
