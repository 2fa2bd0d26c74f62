"""`colinear features --layers`, `tune --layers`, and models of networks' features."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.networks import write_network
from tests.program import Program, assert_fits_a_page, assert_refused

from colinear.datasets import Split
from colinear.model import LinearModel

pytest.importorskip("transformers")
TUNE = ("--loss", "softmax,hinge", "--regs", "1e-4,1e-3")
pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    return place / "colinear" / "features"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network("vit", tmp_path_factory.mktemp("networks") / "vit")


@pytest.fixture(scope="module")
def digits(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 pictures in folders by class."""
    place = tmp_path_factory.mktemp("pictures")
    rows = split.train.take(slice(0, 300)).view(-1, 8, 8)
    for number, (row, label) in enumerate(zip(rows, split.train.labels[:300].tolist(), strict=True)):
        (place / str(label)).mkdir(exist_ok=True)
        Image.fromarray((row.numpy() * 15.9).astype(np.uint8)).save(place / str(label) / f"{number}.png")
    return place


def test_two_layers_in_one_command(colinear: Program, network: Path, digits: Path, tmp_path: Path, cache: Path) -> None:
    words = ("tune", digits, "--features", f"hf:{network}", "--layers", "1,3", "--pool", "mean", *TUNE)
    said = colinear(*words, "--out", tmp_path / "run")
    assert said.status == 0, said.err
    assert_fits_a_page(re.sub(r"(?m)^(Written|Look).*", "", said.out))
    results = {n: json.loads((tmp_path / "run" / f"layer-{n}" / "results.json").read_text()) for n in (1, 3)}
    assert [one["settings"]["layers"] for one in results.values()] == [[1], [3]]
    assert len(list(cache.iterdir())) == 2
    table = said.out[said.out.rindex("hinge: layers, accuracy") :]
    validation = {}
    for layer, entry in ((n, one["runs"][1]) for n, one in results.items()):
        validation[layer] = entry["trials"][entry["best"]]["val_accuracy"]
        assert re.search(rf"{layer} +{validation[layer]:.4f} +{entry['test_accuracy']:.4f}", table)
    best = [str(n) for n, one in validation.items() if one == max(validation.values())]
    assert f"Best on validation: layer {' and '.join(best)}." in table
    assert said.err.count("3: training rows") == said.err.count("1: training rows")
    # the same of each alone, and from folders that were made together
    features = ("features", digits, "--with", f"hf:{network}", "--pool", "mean", "--layers", "1,3")
    made = colinear(*features, "--out", tmp_path / "rows")
    assert f"Written to {tmp_path / 'rows' / 'layer-3'}: hf:{network}, layer 3, 300 rows of 32 features" in made.out
    alone = colinear("tune", tmp_path / "rows" / "layer-3", *TUNE, "--out", tmp_path / "alone", "--json").json
    assert [one["test_accuracy"] for one in alone["runs"]] == [one["test_accuracy"] for one in results[3]["runs"]]
    command = ("tune", digits, "--features", f"hf:{network}", "--layers", "3", "--pool", "mean", *TUNE)
    colinear(*command, "--out", tmp_path / "one")
    weights = [LinearModel.load(tmp_path / run / "model-hinge.safetensors").weight for run in ("one", "run/layer-3")]
    assert torch.equal(*weights)
    assert_refused(colinear(*words, "--out", tmp_path / "run"), "layer-1")
    again = colinear(*words, "--out", tmp_path / "run", "--auto-resume", "--json")
    assert again.err.count("is finished already") == 2
    assert [one["layer"] for one in again.json["layers"]] == [1, 3]
    assert again.json["layers"][0]["runs"] == results[1]["runs"]


def test_without_out_there_is_a_folder_once_there_are_features(
    colinear: Program, network: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--regs", "1e-3", "--loss", "softmax", "--log-dir", "log")
    assert_refused(
        colinear("tune", "digits", "--features", f"hf:{network}", "--layers", "0,9", *words), "layers 0 to 3"
    )
    assert not (tmp_path / "runs").exists()
    assert colinear("tune", digits, "--features", f"hf:{network}", "--layers", "0,1", *words).status == 0
    [run] = (tmp_path / "runs").iterdir()
    assert sorted(place.name for place in run.iterdir()) == ["layer-0", "layer-1"]
    for name in ("layer-0", "layer-1"):
        assert any((tmp_path / "log" / name).rglob("events*"))


def test_few_shot_runs_of_layers(colinear: Program, network: Path, digits: Path, tmp_path: Path) -> None:
    words = ("--layers", "0,2", "--shots", "3", "--tries", "2", "--regs", "1e-3", "--loss", "softmax")
    said = colinear("tune", digits, "--features", f"hf:{network}", *words, "--out", tmp_path / "run", "--json").json
    assert [one["tries"][0]["count"] for one in said["layers"]] == [2, 2]
    assert (tmp_path / "run" / "layer-2" / "try-2" / "results.json").is_file()


def test_a_model_of_a_network_takes_pictures_when_it_is_named(
    colinear: Program, network: Path, digits: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    named = ("--with", f"hf:{network}")
    words = ("--features", f"hf:{network}", "--layers", "2", *TUNE, "--out", run)
    said = colinear("tune", digits, *words, "--json").json
    model = run / "model-softmax.safetensors"
    picture = next((digits / "7").iterdir())
    [softmax] = [one for one in said["runs"] if one["loss"] == "softmax"]
    assert colinear("evaluate", model, digits, *named, "--json").json["accuracy"] == softmax["test_accuracy"]
    assert colinear("predict", model, picture, *named).status == 0
    assert_refused(colinear("predict", model, picture), "which no file starts. Name it again with --with hf:")
    other = write_network("dinov2", tmp_path / "other")
    assert_refused(colinear("predict", model, picture, "--with", f"hf:{other}"), "are of another network")
    assert_refused(colinear("predict", model, picture, "--with", "hog"), "this model's features are of hf:")
    assert colinear("info", model, "--json").json["extractor"] == f"hf:{network}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layers", "1,3"), "--layers belongs to --features hf:NAME_OR_FOLDER. Add --features"),
        (("--pool", "mean"), "--pool belongs to --features hf:NAME_OR_FOLDER. Add --features"),
        (("--features", "hog", "--layers", "1"), "--pool and --layers belong to networks"),
        (("--features", "hf:x/y", "--layers", "1;3"), "--layers must be whole numbers with commas; got '1;3'"),
        (("--features", "hf:x/y", "--layers", "3,3"), "--layers must name each layer once; got 3,3"),
        (("--features", "hf:x/y", "--layers", "1001"), "--layers must be a whole number from 0 to 1,000; got 1001"),
        (("--features", "hf:/x", "--layers", "1,2", "--auto-resume"), "--auto-resume needs --out"),
        (("--features", "hf:/x", "--layers", "1,2"), "must be a folder, or the name of a repository"),
    ],
)
def test_options_that_do_not_fit(
    colinear: Program, tmp_path: Path, cache: Path, words: tuple[str, ...], message: str
) -> None:
    out = () if "--auto-resume" in words else ("--out", tmp_path / "run")
    assert_refused(colinear("tune", "digits", *words, *out), message)
    assert not (tmp_path / "run").exists()
    assert not cache.exists()


def test_one_model_has_one_layer(colinear: Program, network: Path, tmp_path: Path) -> None:
    words = ("--features", f"hf:{network}", "--layers", "1,3", "--out", tmp_path / "model.safetensors")
    assert_refused(colinear("fit", "digits", *words), "--layers must be one for one model")


def test_a_sweep_makes_a_run_of_each_layer_from_one_pass(
    colinear: Program, network: Path, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colinear.cli import sweeping

    passes: list[object] = []
    keep = sweeping.keep_features
    monkeypatch.setattr(sweeping, "keep_features", lambda *given: passes.append(given[0].layers) or keep(*given))
    words = ("--features", f"hf:{network}", "--layers", "1,3", "--pool", "mean", *TUNE)
    said = colinear("sweep", digits, *words, "--out", tmp_path / "sweep")
    assert said.status == 0, said.err
    assert passes == [(1, 3)]
    swept = colinear("table", tmp_path / "sweep", "--rows", "layers", "--json").json
    assert [cell["layers"] for cell in swept] == [[1], [1], [3], [3]]
    colinear("tune", digits, *words, "--out", tmp_path / "run")
    runs = (tmp_path / "run/layer-1", tmp_path / "run/layer-3")
    assert colinear("table", *runs, "--rows", "layers", "--json").json == swept
