"""A trained classifier: what it scores, and what its file survives."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tests.problems import draw_coef, draw_rows

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, Scaling, fit_scaling
from colinear.model import FORMAT, LinearModel
from colinear.objective import Objective, score_rows

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


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64], ids=str)
def test_rows_of_every_type_score_alike(dtype: torch.dtype) -> None:
    assert torch.equal(MODEL.scores(draw_images().to(dtype)), MODEL.scores(draw_images()))


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
        with pytest.raises(InputError, match=f"probabilities need a softmax model; .* the {loss} loss"):
            replace(MODEL, provenance=provenance).predict_proba(draw_images())


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="features must have 12 columns; got 11"):
        MODEL.scores(torch.zeros(2, 11))
    with pytest.raises(InputError, match="row 1, column 3 has nan"):
        MODEL.scores(torch.zeros(2, 12).index_put((torch.tensor(1), torch.tensor(3)), torch.tensor(math.nan)))


# Files


def assert_same_model(one: LinearModel, other: LinearModel) -> None:
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)
    for name in ("class_names", "image_shape", "value_range", "provenance"):
        assert getattr(one, name) == getattr(other, name)


@settings(max_examples=15)
@given(
    names=st.lists(st.text(max_size=5), min_size=1, max_size=4),
    d=st.integers(1, 5),
    image=st.booleans(),
    facts=st.dictionaries(st.text(max_size=4), st.one_of(st.integers(), st.text(max_size=4), st.booleans())),
)
def test_a_file_holds_everything(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], d: int, image: bool, facts: dict[str, Any]
) -> None:
    weight = torch.randn(d, len(names), generator=torch.Generator().manual_seed(d)).mT  # not contiguous
    model = LinearModel(weight, torch.ones(len(names)), tuple(names), (1, 1, d) if image else None, 16.0, facts)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    model.save(path)
    assert_same_model(LinearModel.load(path), model)
    assert [entry.name for entry in path.parent.iterdir()] == ["m.safetensors"]


def test_the_same_model_has_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "a.safetensors")
    program = (
        "import sys; from colinear.model import LinearModel\n"
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
        with pytest.raises(InputError, match=re_path(path)):
            LinearModel.load(path)


def test_a_flipped_byte_never_ends_in_anything_but_a_model_or_a_refusal(tmp_path: Path) -> None:
    content, path = MODEL.to_bytes(), tmp_path / "m.safetensors"
    header = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for place in range(header):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            LinearModel.load(path)
        except InputError:
            refused += 1
    assert refused == header  # none of the header's bytes is free


def re_path(path: Path) -> str:
    return str(path).replace(".", r"\.")


GOOD = {"format": FORMAT, "class_names": ["a", "b"], "image_shape": None, "value_range": 1.0, "provenance": {}}


@pytest.mark.parametrize(
    ("header", "weight", "bias", "message"),
    [
        (None, (2, 3), (2,), "is a safetensors file but no colinear model"),
        ({"format": "other"}, (2, 3), (2,), "no colinear model; expected format"),
        ({"class_names": 3}, (2, 3), (2,), "damaged header"),
        ({"image_shape": [1, 2]}, (2, 3), (2,), "damaged header"),
        ({"value_range": "x"}, (2, 3), (2,), "damaged header"),
        ({"provenance": 1}, (2, 3), (2,), "damaged header"),
        ({"class_names": ["a"]}, (2, 3), (2,), "inconsistent"),
        ({"image_shape": [1, 2, 2]}, (2, 3), (2,), "inconsistent"),
        ({"image_shape": [-1, -3, 1]}, (2, 3), (2,), "inconsistent"),
        ({}, (2, 3), (3,), "inconsistent"),
        ({}, (6,), (2,), "inconsistent"),
    ],
    ids=str,
)
def test_files_that_are_no_models_are_refused(
    tmp_path: Path, header: dict[str, Any] | None, weight: tuple[int, ...], bias: tuple[int, ...], message: str
) -> None:
    path = tmp_path / "m.safetensors"
    text = {} if header is None else {"colinear": json.dumps({**GOOD, **header})}
    save_file({"weight": torch.zeros(weight), "bias": torch.zeros(bias)}, path, text)
    with pytest.raises(InputError, match=message):
        LinearModel.load(path)


def test_headers_that_are_no_objects_other_tensors_and_infinite_weights_are_refused(tmp_path: Path) -> None:
    path, pair = tmp_path / "m.safetensors", {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    for text in ("[]", "{", "null"):
        save_file(pair, path, {"colinear": text})
        with pytest.raises(InputError, match=r"damaged header"):
            LinearModel.load(path)
    save_file({**pair, "more": torch.zeros(1)}, path, {"colinear": json.dumps(GOOD)})
    with pytest.raises(InputError, match="no colinear model"):
        LinearModel.load(path)
    save_file({**pair, "bias": torch.tensor([0, math.inf])}, path, {"colinear": json.dumps(GOOD)})
    with pytest.raises(InputError, match="inconsistent"):
        LinearModel.load(path)


def test_folding_keeps_float64_until_the_end() -> None:
    scaling = Scaling(torch.tensor(1 / 255, dtype=torch.float64), torch.full((2,), 0.5, dtype=torch.float64), 1.0)
    coef = torch.tensor([[3.0, -2.0, 0.25]], dtype=torch.float64)
    model = LinearModel.from_coef(coef, scaling, ("only",))
    assert model.weight.tolist() == torch.tensor([[3 / 255, -2 / 255]]).tolist()
    assert model.bias.tolist() == [0.25 - 0.5]
