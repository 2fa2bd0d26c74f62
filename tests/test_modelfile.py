"""What the file of a model refuses: damage, edits, other formats, and everything that no model can be."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.test_model import MODEL, assert_same_model

from colinear.checks import InputError
from colinear.model import LinearModel
from colinear.modelfile import FORMAT, MOST_DEPTH, WITHOUT_DIGEST, digest

OLD = {"format": WITHOUT_DIGEST, "class_names": ["a", "b"], "image_shape": None, "value_range": 1.0, "provenance": {}}
PAIR = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}


def write(path: Path, header: dict[str, Any] | str, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    text = header if isinstance(header, str) else json.dumps(header)
    save_file(PAIR | (tensors or {}), path, {"colinear": text})
    return path


def refuse(path: Path, message: str) -> None:
    """Loading ends in one short line that names the file and says `message`."""
    with pytest.raises(InputError, match=message) as caught:
        LinearModel.load(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert len(said.replace(str(path), "")) < 300


# The digest


def test_a_flipped_byte_anywhere_is_refused(tmp_path: Path) -> None:
    content, path = MODEL.to_bytes(), tmp_path / "m.safetensors"
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        refuse(path, "model|safetensors")


def test_an_edited_fact_or_weight_is_refused(tmp_path: Path) -> None:
    content, path = MODEL.to_bytes(), tmp_path / "m.safetensors"
    for old, new in (
        (b'reg\\": 0.1', b'reg\\": 0.2'),
        (b'\\"seed\\": 3', b'\\"seed\\": 4'),
        (b'\\"cat\\"', b'\\"dog\\"'),
    ):
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, new))
        refuse(path, "was changed after it was saved: its digest is another")
    path.write_bytes(content[:-1] + b"\x40")
    refuse(path, "was changed after it was saved")


def test_the_digest_covers_types_and_shapes_and_may_not_be_missing(tmp_path: Path) -> None:
    header = OLD | {"format": FORMAT}
    refuse(write(tmp_path / "m.safetensors", header), "its digest is another")
    signed = header | {"digest": digest(header, PAIR)}
    assert LinearModel.load(write(tmp_path / "m.safetensors", signed)).class_names == ("a", "b")
    for other in ({"weight": torch.zeros(3, 2)}, {"weight": torch.zeros(2, 3, dtype=torch.float64)}):
        refuse(write(tmp_path / "m.safetensors", signed, other), "its digest is another")


def test_facts_that_json_writes_otherwise_keep_their_digest(tmp_path: Path) -> None:
    facts = {10: "ten", 9: (1, 2), "gap": math.nan, "bound": -math.inf, "folder": "caf\udce9"}
    MODEL.__class__(MODEL.weight, MODEL.bias, MODEL.class_names, provenance=facts).save(tmp_path / "m")
    loaded = LinearModel.load(tmp_path / "m")
    assert loaded.provenance == {"10": "ten", "9": [1, 2], "gap": None, "bound": None, "folder": "caf\\udce9"}


def test_a_file_of_the_first_format_has_no_digest_and_loads(tmp_path: Path) -> None:
    header = {
        "format": WITHOUT_DIGEST,
        "class_names": MODEL.class_names,
        "image_shape": MODEL.image_shape,
        "value_range": MODEL.value_range,
        "provenance": MODEL.provenance,
    }
    write(tmp_path / "m.safetensors", header, {"weight": MODEL.weight, "bias": MODEL.bias})
    assert_same_model(LinearModel.load(tmp_path / "m.safetensors"), MODEL)


@pytest.mark.parametrize("facts", [{"a": {1, 2}}, {"a": torch.zeros(1)}, {(1, 2): 3}], ids=["set", "tensor", "key"])
def test_facts_that_json_cannot_hold_are_refused_before_anything_is_written(tmp_path: Path, facts: Any) -> None:
    with pytest.raises(InputError, match="provenance must hold what JSON can hold"):
        MODEL.__class__(MODEL.weight, MODEL.bias, MODEL.class_names, provenance=facts).save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# Headers


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("[]", "damaged header"),
        ("{", "damaged header"),
        ("null", "damaged header"),
        ("[" * 200_000, "damaged header"),
        ('{"a": ' * 200_000, "damaged header"),
        (json.dumps(OLD)[:-1] + ', "more": ' + "[" * 100 + "]" * 100 + "}", "damaged header .brackets in brackets"),
        (json.dumps(OLD)[:-1] + ', "more": ' + "9" * 5000 + "}", "damaged header"),
        ("{}", "is a safetensors file but no colinear model"),
        (OLD | {"format": "other"}, "no colinear model; expected format"),
        (OLD | {"format": ["list"]}, "no colinear model; expected format"),
        ({name: value for name, value in OLD.items() if name != "value_range"}, "'value_range' is missing"),
        (OLD | {"class_names": 3}, "class_names must be a list; got int"),
        (OLD | {"class_names": "ab"}, "class_names must be a list; got str"),
        (OLD | {"class_names": []}, "class_names must be text, at least one"),
        (OLD | {"class_names": ["a"]}, "weight must be .1, n_features"),
        (OLD | {"class_names": ["a", "a"]}, "class_names must differ"),
        (OLD | {"class_names": ["a", ["x" * 1000]]}, "class_names must be text"),
        (OLD | {"image_shape": [1, 3]}, "image_shape must be three whole numbers"),
        (OLD | {"image_shape": "abc"}, "image_shape must be a list"),
        (OLD | {"image_shape": [1, 2, 2]}, "image_shape must be three"),
        (OLD | {"image_shape": [-1, -3, 1]}, "image_shape must be three"),
        (OLD | {"image_shape": [1, math.inf, 3]}, "image_shape must be three"),
        (OLD | {"value_range": "x" * 1000}, "value_range must be a finite number"),
        (OLD | {"value_range": [1] * 1000}, "value_range must be a finite number"),
        (OLD | {"value_range": 0}, "value_range must be a finite number > 0; got 0"),
        (OLD | {"value_range": math.inf}, "value_range must be a finite number"),
        (OLD | {"value_range": 10**400}, "value_range must be a finite number"),
        (OLD | {"provenance": 1}, "provenance must be a dict"),
        (OLD | {"label_kind": ["int"]}, "label_kind must be one of"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_headers_of_no_model_are_refused(tmp_path: Path, header: Any, message: str) -> None:
    refuse(write(tmp_path / "m.safetensors", header), message)


def test_the_deepest_header_that_is_written_is_read(tmp_path: Path) -> None:
    facts: dict[str, Any] = {}
    for _ in range(MOST_DEPTH - 2):
        facts = {"in": facts}
    MODEL.__class__(MODEL.weight, MODEL.bias, MODEL.class_names, provenance=facts).save(tmp_path / "m")
    assert LinearModel.load(tmp_path / "m").provenance == facts
    with pytest.raises(InputError, match="brackets in brackets"):
        MODEL.__class__(MODEL.weight, MODEL.bias, MODEL.class_names, provenance={"in": {"in": facts}}).to_bytes()


def test_text_that_utf8_cannot_write_is_read_escaped(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", json.dumps(OLD).replace('"b"', '"\\ud800"'))
    assert LinearModel.load(path).class_names == ("a", "\\ud800")


# Tensors


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"more": torch.zeros(1)}, "no colinear model"),
        ({"bias": torch.tensor([0, math.inf])}, "weight and bias must be finite"),
        ({"bias": torch.zeros(3)}, "weight must be"),
        ({"weight": torch.zeros(6)}, "weight must be"),
        ({"weight": torch.zeros(2, 0)}, "weight must be"),
        ({"weight": torch.zeros(2, 3, dtype=torch.float64)}, "both float32 or both float64"),
        ({"weight": torch.zeros(2, 3).to(torch.float8_e4m3fn)}, "weight and bias must be float32 or float64"),
        ({"weight": torch.zeros(2, 3).to(torch.float8_e5m2)}, "weight and bias must be float32 or float64"),
        ({"weight": torch.zeros(2, 3, dtype=torch.complex64)}, "weight and bias must be float32 or float64"),
        ({"weight": torch.zeros(2, 3, dtype=torch.bfloat16)}, "weight and bias must be float32 or float64"),
        ({"bias": torch.zeros(2, dtype=torch.int64)}, "weight and bias must be float32 or float64"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_tensors_of_no_model_are_refused(tmp_path: Path, tensors: Any, message: str) -> None:
    try:
        path = write(tmp_path / "m.safetensors", OLD, tensors)
    except KeyError as kind:  # 0.4 knows no complex numbers
        if "complex" not in str(kind):
            raise
        pytest.skip(f"this safetensors writes no {kind}")
    refuse(path, message)


# Writing


def test_a_save_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match=r"taken could not be written: .* Pass another place"):
        MODEL.save(tmp_path / "taken")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        MODEL.save(tmp_path / "m.safetensors")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_long_names_are_written_if_the_system_takes_them(tmp_path: Path) -> None:
    MODEL.save(tmp_path / ("é" * 127))  # 254 bytes
    with pytest.raises(InputError, match="could not be written: File name too long"):
        MODEL.save(tmp_path / ("m" * 300))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_that_no_file_can_have_is_no_traceback(tmp_path: Path) -> None:
    for name in ("n" * 300, "a\0b"):
        with pytest.raises(InputError, match="does not exist"):
            LinearModel.load(tmp_path / name)
