"""The report of features, without a browser: which patches, which examples, and no picture that a file made up."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from tests.reporting import HOSTILE, patches_split, run, table_split
from tests.test_report import data_of, open_sprite

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, load_digits
from colinear.extractors import Hog, Kernel, Patches
from colinear.model import LinearModel
from colinear.report import write_report
from colinear.report.featured import draw_patches, embed_patches, pick_examples, push_of
from colinear.report.record import load_record, record_name
from colinear.report.sprites import stretch
from colinear.search.runfolder import RunFolder


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("patches")
    run(root / "run", patches_split(root / "rows"), "exact")
    return root / "run"


def test_the_page_holds_the_dictionary_and_the_examples(patches: Path) -> None:
    [panel] = data_of(patches / "report.html")["panels"]
    model = LinearModel.load(patches / "model-softmax.safetensors")
    fitted = model.extractor
    assert fitted is not None
    assert panel["extractor"] == "patches:12"
    kept = panel["weights"]["patches"]
    assert (kept["count"], kept["size"], kept["contrast"]) == (12, 3, 10.0)
    assert (panel["weights"]["shape"], panel["weights"]["range"]) == ([1, 8, 8], 16.0)
    for name, tensor in fitted.tensors.items():
        numbers = np.frombuffer(base64.b64decode(kept[name]), "<f4")
        assert np.array_equal(numbers, tensor.numpy().reshape(-1))
    record = load_record(RunFolder(patches), "softmax")
    assert record is not None
    pushing = record.tensors["pushing"]
    drawn = np.asarray(open_sprite(panel["pushing"]["sprite"]))
    first = stretch(fitted.tensors["centres"][int(pushing[0, 0, 0])][None]).view(3, 3).numpy()
    assert np.array_equal(drawn[:3, :3], first)
    assert panel["pushing"]["push"] == [[float(f"{one:.4g}") for one in row] for row in pushing[..., 1].tolist()]
    rows = panel["examples"]["rows"]
    assert panel["examples"]["sprite"]["count"] == len(rows) == 2 * 4 * len(HOSTILE)
    for label in range(len(HOSTILE)):
        sure = [one[1] for one in rows if one[0] == label]
        assert [one[2] for one in rows if one[0] == label] == [True] * 4 + [False] * 4
        assert sure[:4] == sorted(sure[:4], reverse=True)
        assert sure[4:] == sorted(sure[4:])
        assert max(sure[4:]) <= min(sure[:4])


def test_patches_push_by_their_spread() -> None:
    """A weight of 1 on sums that vary by 5 pushes more than one of 2 on sums that vary by 1."""
    fitted = Patches(3, size=3).fit(load_digits())
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([1.0, 5.0, 0.1]).repeat(4)
    rows = torch.randn(4000, 12, generator=generator) * spread
    train = ArrayDataset(rows, torch.arange(4000) % 2, ("a", "b"))
    weight = torch.stack([torch.tensor([2.0, 1.0, 3.0]).repeat(4), torch.tensor([1.0, -1.0, 0.0]).repeat(4)])
    model = LinearModel(weight, torch.zeros(2), ("a", "b"), extractor=fitted)
    found = push_of(model, train)
    assert found is not None
    assert found[..., 0].tolist() == [[1, 0, 2], [0, 2, 1]]
    torch.testing.assert_close(found[0, :, 1], torch.tensor([20, 8, 1.2], dtype=torch.float64), rtol=0.05, atol=0)
    for other in (None, Hog(cell=2).fit(load_digits()), Kernel(12).fit(load_digits())):
        n = 12 if other is None else other.n_features
        assert push_of(LinearModel(torch.ones(2, n), torch.zeros(2), ("a", "b"), extractor=other), train) is None


def test_examples_are_rows_labelled_right() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 2)
    confidence = torch.tensor([0.5, 0.9, 0.6, 0.8, 0.7, 1.0, 0.4, 0.3, 0.9, 0.9, 0.9])
    correct = torch.tensor([True, True, True, True, True, False, True, True, True, False, False])
    rows, facts = pick_examples(labels, confidence, correct, 3)
    assert rows.tolist() == [1, 3, 4, 2, 0, 8, 6, 7]
    assert facts[:, 0].tolist() == [0] * 5 + [1] * 3
    assert facts[:, 2].tolist() == [1, 1, 1, 1, 0, 1, 1, 1]
    assert len(pick_examples(labels, confidence, ~correct & False, 3)[0]) == 0


def test_a_dictionary_that_is_too_large_stays_out() -> None:
    fitted = Patches(10, size=3).fit(load_digits())
    model = LinearModel(torch.ones(2, 40), torch.zeros(2), ("a", "b"), extractor=fitted)
    size = 4 * (80 + 9 + 81 + 90)
    assert embed_patches(model, size) is not None
    assert embed_patches(model, size - 1) is None
    pushing = torch.tensor([[[9.0, 1.0]]], dtype=torch.float64)
    assert draw_patches(model, pushing) is not None
    assert draw_patches(model, pushing + 1) is None
    assert draw_patches(replace(model, extractor=None), pushing) is None


DAMAGES: dict[str, dict[str, Any]] = {
    "a patch that is not there": {"pushing": torch.tensor([[[12.0, 1.0]]], dtype=torch.float64)},
    "half a patch": {"pushing": torch.tensor([[[1.5, 1.0]]], dtype=torch.float64)},
    "more classes than there are": {"pushing": torch.zeros(5, 1, 2, dtype=torch.float64)},
    "an example of no class": {"examples": torch.tensor([[4.0, 0.5, 1.0]], dtype=torch.float64)},
    "nan among examples": {"examples": torch.full((1, 3), torch.nan, dtype=torch.float64)},
    "more pictures than examples": {
        "examples": torch.zeros(1, 3, dtype=torch.float64), "example_pixels": torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    },
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_no_run_writes_is_refused(patches: Path, damage: str) -> None:
    folder = RunFolder(patches)
    record = load_record(folder, "softmax")
    assert record is not None
    before = (patches / record_name("softmax")).read_bytes()
    folder.write(record_name("softmax"), save(DAMAGES[damage], {"colinear": json.dumps(record.facts)}))
    with pytest.raises(InputError, match=r"softmax\.safetensors (is damaged|does not fit results\.json).*Delete it"):
        write_report(folder.path)
    (patches / record_name("softmax")).write_bytes(before)


def test_patches_of_a_model_without_any_are_refused(tmp_path: Path) -> None:
    run(tmp_path, table_split(), "exact")
    folder = RunFolder(tmp_path)
    record = load_record(folder, "softmax")
    assert record is not None
    tensors = {"pushing": torch.zeros(1, 1, 2, dtype=torch.float64)}
    folder.write(record_name("softmax"), save(tensors, {"colinear": json.dumps(record.facts)}))
    with pytest.raises(InputError, match=r"does not fit results\.json"):
        write_report(tmp_path)


def test_features_of_others_show_their_weights(tmp_path: Path) -> None:
    run(tmp_path / "run", patches_split(tmp_path / "rows", extractor=Hog(cell=2)), "exact")
    [panel] = data_of(tmp_path / "run" / "report.html")["panels"]
    assert panel["extractor"] == "hog"
    assert not {"weights", "pushing"} & panel.keys()
    assert len(panel["largest"]) == len(HOSTILE)
    assert panel["examples"]["sprite"]["w"] == 8
