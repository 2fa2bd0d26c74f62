"""ONNX files of models of features: pictures in, the labels of colinear out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from colinear.datasets import ArrayDataset, load_digits
from colinear.export import ExportError, export_model, features
from colinear.export.graph import graph_input
from colinear.extractors import Custom, Extractor, Fitted, Hog, Kernel, Network, Patches, RowKind
from colinear.model import LinearModel

COLOUR = (3, 17, 22)


def pictures(shape: tuple[int, int, int], value_range: float, n: int = 40) -> ArrayDataset:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(n, shape[0], 5, 5, generator=generator), shape[1:])
    bytes_ = (smooth * 200 + 55 * torch.rand(n, *shape, generator=generator)).to(torch.uint8).flatten(1)
    bytes_[0] = 0
    bytes_[1] = 255
    rows = bytes_ if value_range == 255 else (bytes_.float() * (value_range / 255)).round()
    return ArrayDataset(rows, torch.arange(n) % 3, ("a", "b", "c"), shape, "drawn", value_range)


def model_of(fitted: Fitted, **others: Any) -> LinearModel:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, fitted.n_features, generator=generator)
    return LinearModel(
        weight, torch.zeros(3), ("a", "b", "c"), provenance={"loss": "softmax"}, extractor=fitted, **others
    )


def features_of(path: Path, model: LinearModel, rows: Tensor) -> Tensor:
    """The inner result `features` of a file, which is made an output of a copy."""
    graph = onnx.load(path)
    graph.graph.output.append(onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["features"], graph_input(model, rows))[0])


EXTRACTORS = [
    Patches(17), Patches(5, size=4, contrast=1.0), Kernel(40), Hog(), Hog(color=True),
    Hog(orientations=4, cell=3, block=3, norm="L1"), Hog(norm="L1-sqrt", cell=5), Hog(norm="L2", sqrt=True),
    Hog(orientations=1, block=1), Hog(orientations=12, cell=2, block=4, color=True, hues=5),
]  # fmt: skip


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=str)
@pytest.mark.parametrize(("shape", "value_range"), [(COLOUR, 255.0), (COLOUR, 16.0), ((1, 17, 16), 255.0)])
def test_a_graph_makes_the_features(
    tmp_path: Path, extractor: Extractor, shape: tuple[int, int, int], value_range: float
) -> None:
    if shape[0] == 1 and getattr(extractor, "color", False):
        pytest.skip("grey pictures have no hues")
    if value_range == 16 and getattr(extractor, "sqrt", False):
        pytest.skip("of 17 levels, channels have gradients of one size up to rounding, which then picks one")
    data = pictures(shape, value_range)
    fitted = extractor.fit(data)
    model = model_of(fitted)
    exported = export_model(model, tmp_path / "m.onnx")
    assert (exported.checked, exported.near_ties) == (256, 0)
    rows = data.take(slice(0, 40))
    expected = fitted.transform(rows)
    close = {"atol": 5e-5 * float(expected.abs().max()), "rtol": 1e-4}  # as patches are of float64 ones
    torch.testing.assert_close(features_of(exported.path, model, rows), expected, **close)
    named = onnx.load(exported.path).graph.input[0]
    assert named.name == ("images" if value_range == 255 else "rows")
    assert [one.dim_value for one in named.type.tensor_type.shape.dim][1:] == (
        list(shape) if value_range == 255 else [len(rows[0])]
    )


def test_straight_and_diagonal_edges_are_in_their_bins(tmp_path: Path) -> None:
    y, x = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    planes = [x * 9, y * 9, (x + y) * 9, (7 - x + y) * 9, (7 - x) * 9, (7 - y) * 9, (14 - x - y) * 9, 0 * x]
    rows = torch.stack(planes).to(torch.uint8).flatten(1)
    for orientations in (2, 4, 8):
        fitted = Fitted(
            Hog(orientations=orientations), RowKind(64, (1, 8, 8), 255.0), n_features=16 * orientations // 4
        )
        model = model_of(fitted)
        path = export_model(model, tmp_path / f"{orientations}.onnx").path
        torch.testing.assert_close(features_of(path, model, rows), fitted.transform(rows), atol=1e-6, rtol=0)


def test_a_table_keeps_its_digits(tmp_path: Path) -> None:
    """float32 has numbers near 1e9 within 64 of what they are."""
    generator = torch.Generator().manual_seed(0)
    rows = 1e9 + torch.randn(90, 4, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 10, 100, 1000])
    fitted = Kernel(30).fit(ArrayDataset(rows, torch.arange(90) % 3, ("a", "b", "c")))
    model = model_of(fitted)
    path = export_model(model, tmp_path / "m.onnx", rows=rows).path
    torch.testing.assert_close(features_of(path, model, rows), fitted.transform(rows), atol=1e-4, rtol=0)
    assert export_model(model, tmp_path / "drawn.onnx").near_ties == 0
    assert onnx.load(path).graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE


def test_other_formats_take_features_and_are_checked_on_raw_rows(tmp_path: Path) -> None:
    data = pictures(COLOUR, 255.0)
    fitted = Patches(17).fit(data)
    rows = data.take(slice(0, 40))
    for to in ("numpy", "csv", "sklearn"):
        for given in (rows, fitted.transform(rows)):
            suffix = {"numpy": "npz", "csv": "csv", "sklearn": "pkl"}[to]
            exported = export_model(model_of(fitted), tmp_path / f"m.{suffix}", to, rows=given)
            assert (exported.checked, exported.near_ties) == (40, 0)


def test_features_of_networks_and_functions_are_taken(tmp_path: Path) -> None:
    kind = RowKind(12, (3, 2, 2), 255.0)
    for extractor in (Network("google/vit"), Custom("mine:embed")):
        model = model_of(Fitted(extractor, kind, n_features=7))
        path = export_model(model, tmp_path / "m.onnx").path
        source = onnx.load(path).graph.input[0]
        assert (source.name, source.type.tensor_type.shape.dim[1].dim_value) == ("features", 7)


def test_the_check_sees_features_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = Patches(17).fit(pictures(COLOUR, 255.0))
    turned = fitted.tensors["centres"].flip(0).contiguous()
    wrong = replace(fitted, tensors={**fitted.tensors, "centres": turned})
    real = features.BUILDERS[Patches]
    monkeypatch.setitem(features.BUILDERS, Patches, lambda nodes, _, source: real(nodes, wrong, source))
    with pytest.raises(ExportError, match="does not score row"):
        export_model(model_of(fitted), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_calibration_and_many_labels_come_after_features(tmp_path: Path) -> None:
    fitted = Patches(9, size=3).fit(load_digits())
    for others in ({"temperature": 2.0, "thresholds": (0.5, 0.0, -3.0)}, {"many": True, "link": "sigmoid"}):
        model = model_of(fitted, **others)
        exported = export_model(model, tmp_path / "m.onnx", rows=load_digits().take(slice(0, 200)))
        assert exported.checked == 200


def test_rows_are_given_in_parts_that_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fitted = Patches(17).fit(pictures(COLOUR, 255.0))
    assert features.rows_together(fitted) == features.HELD // (12 * 17 * 17)
    whole = export_model(model_of(fitted), tmp_path / "m.onnx")
    seen: list[int] = []
    real = onnxruntime.InferenceSession.run

    def run(self: Any, names: Any, given: dict[str, np.ndarray[Any, Any]]) -> Any:
        seen.append(len(given["images"]))
        return real(self, names, given)

    monkeypatch.setattr(features, "HELD", 12 * 17 * 17 * 100)
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    parts = export_model(model_of(fitted), tmp_path / "m.onnx")
    assert seen == [100, 100, 56]
    assert parts.checked == whole.checked == 256
