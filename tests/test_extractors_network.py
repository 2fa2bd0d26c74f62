"""Networks of transformers as extractors: their own numbers, nothing run that a file names, the same bytes again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.networks import NETWORKS, write_network
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Split
from colinear.extractors import Fitted, Network, RowKind, backbone, folder, open_extractor, parse_extractor, restore
from colinear.extractors.folder import Extraction, open_extraction

pytest.importorskip("transformers")
KIND = RowKind(3 * 20 * 24, (3, 20, 24), 255.0)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("networks")
    return {kind: write_network(kind, base / kind) for kind in NETWORKS}


@pytest.fixture(scope="module")
def rows() -> Tensor:
    return torch.randint(0, 256, (70, KIND.n_inputs), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def opened(place: Path, pool: str = "cls", layers: tuple[int, ...] = (), kind: RowKind = KIND) -> Fitted:
    network = open_extractor(f"hf:{place}", pool, layers)
    return Fitted(network, kind, n_features=network.width(kind))


def own_output(kind: str, place: Path, rows: Tensor) -> Any:
    """What the network's own class makes of pictures that its own processor reads one by one from Pillow."""
    import transformers

    names = {
        "vit": "ViTModel", "dinov2": "Dinov2Model", "registers": "Dinov2WithRegistersModel", "clip": "CLIPVisionModel",
        "convnext": "ConvNextModel",
    }  # fmt: skip
    model = getattr(transformers, names[kind]).from_pretrained(place).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(place, backend="pil")
    pictures = [Image.fromarray(row.view(3, 20, 24).permute(1, 2, 0).numpy()) for row in rows]
    pixels = torch.cat([processor(images=one, return_tensors="pt")["pixel_values"] for one in pictures])
    with torch.no_grad():
        return model(pixel_values=pixels, output_hidden_states=True)


@pytest.mark.parametrize("kind", NETWORKS)
def test_features_are_transformers_own(kind: str, places: dict[str, Path], rows: Tensor) -> None:
    place, expected = places[kind], own_output(kind, places[kind], rows)
    first = 5 if kind == "registers" else 1  # patch tokens come after CLS and the registers
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(opened(place, "pooled").transform(rows), expected.pooler_output, **close)
    for layers, states in (((), expected.last_hidden_state), ((2,), expected.hidden_states[2])):
        mean = states.mean((2, 3)) if kind == "convnext" else states[:, first:].mean(1)
        torch.testing.assert_close(opened(place, "mean", layers).transform(rows), mean, **close)
        if kind != "convnext":
            torch.testing.assert_close(opened(place, "cls", layers).transform(rows), states[:, 0], **close)
    both = opened(place, "mean", (2, 0))
    singles = [opened(place, "mean", (layer,)).transform(rows) for layer in (2, 0)]
    assert torch.equal(both.transform(rows), torch.cat(singles, 1))
    assert [one.layers for one in both.extractor.apart() if isinstance(one, Network)] == [(2,), (0,)]


def test_pictures_of_other_kinds_are_the_same_pictures(places: dict[str, Path], rows: Tensor) -> None:
    features = opened(places["vit"]).transform(rows[:5])
    unit = rows[:5].double() / 255
    before = unit.clone()
    found = opened(places["vit"], kind=replace(KIND, value_range=1.0)).transform(unit)
    torch.testing.assert_close(found, features, atol=1e-5, rtol=1e-5)
    assert torch.equal(unit, before)
    plain = rows[:5].float() + 0.3
    kept = plain.clone()
    torch.testing.assert_close(opened(places["vit"]).transform(plain), features, atol=1e-5, rtol=1e-5)
    assert torch.equal(plain, kept)  # the caller's rows stay
    grey = RowKind(480, (1, 20, 24), 255.0)
    one = opened(places["vit"], kind=grey).transform(rows[:5, :480])
    three = opened(places["vit"]).transform(rows[:5, :480].repeat(1, 3))
    assert torch.equal(one, three)


def test_half_precision_is_that_of_the_network(places: dict[str, Path], rows: Tensor) -> None:
    exact = opened(places["dinov2"])
    network = exact.extractor
    assert isinstance(network, Network)
    assert network.backbone is not None
    half = replace(network.backbone, half=True)
    rough = replace(exact, extractor=replace(network, backbone=half, half=True)).transform(rows)
    assert rough.dtype == torch.float32
    difference = (rough - exact.transform(rows)).abs().max()
    assert 0 < float(difference) < 0.02
    assert replace(network, half=True).options() != network.options()


@pytest.mark.parametrize(
    ("kind", "pool", "layers", "message"),
    [
        ("vit", "cls", (4,), r"has layers 0 to 3; got --layers 4\."),
        ("convnext", "cls", (), r"has no CLS token\. Try --pool mean\."),
        ("vit", "max", (), "pool must be one of cls, mean, pooled; got 'max'"),
        ("vit", "pooled", (1,), "--pool pooled is of the network's output"),
        ("vit", "cls", (1, 1), "layers must name each layer once; got 1,1"),
        ("vit", "cls", (-1,), "layers must be a whole number >= 0; got -1"),
    ],
)
def test_what_a_network_has_not(
    places: dict[str, Path], kind: str, pool: str, layers: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        opened(places[kind], pool, layers)


def test_weights_that_are_missing_are_not_drawn(places: dict[str, Path], tmp_path: Path) -> None:
    """transformers makes up what a file lacks, and warns; a pooler that nobody asks for may be made up."""
    from safetensors.torch import load_file, save_file

    place = shutil.copytree(places["vit"], tmp_path / "vit")
    weights = load_file(place / "model.safetensors")
    kept = {name: one for name, one in weights.items() if not name.startswith("pooler.")}
    save_file(kept, place / "model.safetensors", {"format": "pt"})
    assert opened(place).n_features == 32
    with pytest.raises(InputError, match=r"has no weights for 'pooler.dense.bias' and 1 others. Try --pool cls"):
        opened(place, "pooled")
    less = {name: one for name, one in kept.items() if not name.startswith("layernorm.")}
    save_file(less, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"has no weights for 'layernorm.bias' and 1 others. Get the whole network"):
        opened(place)


def test_nothing_that_a_file_names_is_run(places: dict[str, Path], tmp_path: Path) -> None:
    """Code beside the weights, pickled weights, and kernels to download."""
    place = shutil.copytree(places["vit"], tmp_path / "vit")
    ran = tmp_path / "ran"
    (place / "own.py").write_text(f"open({str(ran)!r}, 'w')\nfrom transformers import ViTModel as Own, ViTConfig\n")
    config = json.loads((place / "config.json").read_text())
    code = {"auto_map": {"AutoConfig": "own.ViTConfig", "AutoModel": "own.Own", "AutoImageProcessor": "own.Own"}}
    (place / "config.json").write_text(json.dumps(config | code | {"attn_implementation": "somebody/kernel"}))
    assert opened(place).n_features == 32
    (place / "config.json").write_text(json.dumps(config | code | {"model_type": "unheard-of"}))
    with pytest.raises(InputError, match="cannot be loaded"):
        opened(place)
    assert not ran.exists()
    (place / "config.json").write_text(json.dumps(config))
    (place / "model.safetensors").unlink()
    torch.save({"bomb": Bomb(str(ran))}, place / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded"):
        opened(place)
    assert not ran.exists()


class Bomb:
    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.place, "w")


@pytest.mark.parametrize("place", ["nowhere/at/all", "", "/nowhere", "a b", "nobody/nothing"])
def test_networks_that_are_nowhere(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"must be a folder, or|no repository of that name|must be named by 1 to"):
        open_extractor(f"hf:{place}")


def test_without_transformers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"hf: needs the transformers package: pip install 'colinear\[embed\]'"):
        open_extractor("hf:google/vit")


def test_a_repository_is_pinned_to_its_revision(
    places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's cache, as it is laid out; main moves on, and the features are those of the commit that they name."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--tiny"
    commits = {kind: letter * 40 for kind, letter in (("vit", "a"), ("dinov2", "b"))}
    for kind, commit in commits.items():
        shutil.copytree(places[kind], repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commits["vit"])
    first = open_extractor("hf:someone/tiny")
    assert isinstance(first, Network)
    assert first.revision == commits["vit"]
    (repository / "refs" / "main").write_text(commits["dinov2"])
    assert first.name_again("someone/tiny").backbone is not None  # the revision that it knows
    with pytest.raises(InputError, match="are of another network than hf:someone/tiny@b"):
        first.name_again("someone/tiny@" + commits["dinov2"])
    now = open_extractor("hf:someone/tiny")
    assert isinstance(now, Network)
    assert (now.revision, now.digest == first.digest) == (commits["dinov2"], False)


def test_a_file_has_the_name_and_never_loads_it(places: dict[str, Path], tmp_path: Path, rows: Tensor) -> None:
    place = shutil.copytree(places["vit"], tmp_path / "vit")
    fitted = opened(place, "mean", (1,))
    back = restore(json.loads(json.dumps(fitted.facts())), {})
    assert back.facts() == fitted.facts()
    assert back.extractor == fitted.extractor
    with pytest.raises(InputError, match=r"come from hf:.*, which no file starts. Name it again with --with hf:"):
        back.transform(rows)
    network = back.extractor
    assert isinstance(network, Network)
    moved = place.rename(tmp_path / "moved")
    named = replace(back, extractor=network.name_again(str(moved)))
    assert torch.equal(named.transform(rows), fitted.transform(rows))
    with pytest.raises(InputError, match="the features are of another network"):
        network.name_again(str(places["dinov2"]))
    for wrong in ({"layers": [-1]}, {"layers": 3}, {"pool": "max"}, {"half": 1}, {"place": ""}, {"digest": 4}):
        facts = fitted.facts()
        with pytest.raises(InputError):
            restore(facts | {"options": facts["options"] | wrong}, {})


def test_options_of_networks_are_for_networks() -> None:
    assert parse_extractor("hf:google/vit@main", "mean", (3, 6)) == Network("google/vit@main", "mean", (3, 6))
    for text in ("hog", "patches:10", "mine:embed"):
        with pytest.raises(InputError, match="--pool and --layers belong to networks, hf:NAME_OR_FOLDER; got"):
            parse_extractor(text, layers=(1,))


@pytest.fixture(scope="module")
def small(split: Split) -> Split:
    return Split(*(part and part.subset(slice(0, 150)) for part in (split.train, split.validation, split.test)))


KILLED = """
import os, signal, sys
from pathlib import Path
from colinear.datasets import Split, open_split
from colinear.extractors import folder, open_extractor
folder.BLOCK_ROWS = 32
split, left = open_split("digits"), int(sys.argv[3])
small = Split(*(part.subset(slice(0, 150)) for part in (split.train, split.validation, split.test)))
def tell(what, done, total):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
places = [Path(sys.argv[1]) / name for name in ("one", "three")]
folder.Extraction(small, open_extractor("hf:" + sys.argv[2], "cls", (1, 3))).run(places, tell)
"""


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
def test_layers_killed_five_times_have_the_same_bytes(
    kind: str, places: dict[str, Path], small: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "BLOCK_ROWS", 32)
    killed = [tmp_path / name for name in ("one", "three")]
    whole = [tmp_path / name for name in ("whole1", "whole3")]
    for place in (*killed, *whole):
        place.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    for blocks in (1, 4, 2, 1, 3):
        words = [sys.executable, "-c", KILLED, str(tmp_path), str(places[kind]), str(blocks)]
        assert subprocess.run(words, env=environment, check=False).returncode == -signal.SIGKILL
    for part in tmp_path.glob("three/X_*.part"):  # one file has a block more than the other
        size = part.stat().st_size
        os.truncate(part, max(0, size - 1000))
    network = open_extractor(f"hf:{places[kind]}", "cls", (1, 3))
    Extraction(small, network).run(killed)
    Extraction(small, network).run(whole)
    for one, other in zip(killed, whole, strict=True):
        for name in (f"X_{part}.npy" for part in ("train", "validation", "test")):
            assert (one / name).read_bytes() == (other / name).read_bytes()
    found = open_extraction(killed[1])
    assert found is not None
    single = open_extractor(f"hf:{places[kind]}", "cls", (3,)).fit(small.train)
    assert np.array_equal(np.load(killed[1] / "X_test.npy"), single.transform(small.test.take(slice(0, 150))))  # type: ignore[union-attr]
    assert found[1]["versions"].keys() == {"colinear", "torch", "transformers"}
    assert found[0].train.extractor.facts()["options"]["layers"] == [3]  # type: ignore[attr-defined]


def test_tables_are_no_pictures(places: dict[str, Path]) -> None:
    table = ArrayDataset(torch.eye(4), torch.tensor([0, 1, 0, 1]), ("a", "b"), name="table")
    with pytest.raises(InputError, match="takes pictures; these are rows of a table"):
        open_extractor(f"hf:{places['vit']}").fit(table)


def test_a_backbone_is_silent(places: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    level = logging.get_verbosity()
    assert opened(places["clip"]).n_features == 32
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, True)
    logging.disable_progress_bar()
    assert (
        backbone.open_backbone(str(places["vit"]), None).digest
        != backbone.open_backbone(str(places["clip"]), None).digest
    )
