"""`colinear features`, `tune --features`, and models that take pictures by way of an extractor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.program import Program, assert_fits_a_page, assert_refused

from colinear.cli import extracting
from colinear.cli.signals import Stopped
from colinear.datasets import Split
from colinear.extractors import folder
from colinear.model import LinearModel
from colinear.search.runfolder import RunFolder

TUNE = ("--loss", "softmax", "--regs", "1e-4,1e-3")
pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    return place / "colinear" / "features"


@pytest.fixture(scope="module")
def places(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture, raw rows, rows of features, and a module with a function."""
    place = tmp_path_factory.mktemp("places")
    row = split.test.take(slice(0, 1)) if split.test else torch.empty(0)
    Image.fromarray((row.view(8, 8).numpy() * 15.9).astype(np.uint8)).save(place / "digit.png")
    np.save(place / "raw.npy", row.numpy())
    np.save(place / "odd.npy", np.zeros((2, 5), np.float32))
    (place / "own_features.py").write_text(
        "import torch\nprint('imported')\ndef embed(pictures):\n"
        "    return torch.nn.functional.avg_pool2d(pictures.float(), 2).flatten(1)\n"
    )
    return place


def test_one_command_and_two_give_the_same_model(colinear: Program, tmp_path: Path, cache: Path) -> None:
    said = colinear("features", "digits", "--with", "patches:30", "--out", tmp_path / "rows", "--seed", 3)
    assert said.status == 0, said.err
    assert_fits_a_page(said.out.replace(str(tmp_path), ""))
    assert "patches:30, 1,797 rows of 120 features, 1 MB" in said.out.replace("\n", " ")
    by_folder = colinear("tune", tmp_path / "rows", *TUNE, "--seed", 3, "--out", tmp_path / "two", "--json")
    by_name = colinear(
        "tune", "digits", "--features", "patches:30", *TUNE, "--seed", 3, "--out", tmp_path / "one", "--json"
    )
    assert by_name.status == by_folder.status == 0, by_name.err
    models = [LinearModel.load(tmp_path / run / "model-softmax.safetensors") for run in ("one", "two")]
    assert torch.equal(models[0].weight, models[1].weight)
    assert [model.extractor and model.extractor.name for model in models] == ["patches:30"] * 2
    assert by_name.json["dataset"]["name"] == "digits"
    assert by_name.json["settings"]["features"] == "patches:30"
    [kept] = cache.iterdir()
    written = (kept / "X_train.npy").stat().st_mtime_ns
    again = colinear("tune", "digits", "--features", "patches:30", *TUNE, "--seed", 3, "--out", tmp_path / "again")
    assert f"in {kept}" in again.err
    assert "k-means" not in again.err
    assert (kept / "X_train.npy").stat().st_mtime_ns == written
    resumed = colinear("tune", "--resume", tmp_path / "again")
    assert "is finished already" in resumed.err
    colinear("tune", "digits", "--features", "patches:30", *TUNE, "--seed", 4, "--out", tmp_path / "other")
    assert len(list(cache.iterdir())) == 2


def test_the_cache_keeps_what_was_used_last(
    colinear: Program, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of folders of 0.4 MB, with room for two besides the one in use: the oldest is held, the next was used again."""
    monkeypatch.setattr(extracting, "MOST_KEPT", 9e5)
    places: list[Path] = []

    def extract(seed: int) -> str:
        words = ("--features", "kernel:50", *TUNE, "--max-passes", 2, "--seed", seed)
        run = colinear("tune", "digits", *words, "--out", tmp_path / f"{len(list(tmp_path.iterdir()))}")
        assert run.status == 0, run.err
        places.extend({*cache.iterdir()} - {*places})
        return " ".join(run.err.split())

    for seed in range(3):
        assert "Dropped" not in extract(seed)
        os.utime(places[seed] / ".lock", (10**9 + seed, 10**9 + seed))
    extract(1)
    with RunFolder(places[0]):
        os.utime(places[0] / ".lock", (10**9, 10**9))
        said = extract(3)
    assert "Dropped from the cache, unused for" in said
    assert f"{places[2].name}, 0 MB" in said
    assert {*cache.iterdir()} == {places[0], places[1], places[3]}


def test_a_model_takes_pictures_and_rows(colinear: Program, tmp_path: Path, places: Path, split: Split) -> None:
    colinear("features", "digits", "--with", "patches:30", "--out", tmp_path / "rows")
    colinear("tune", tmp_path / "rows", *TUNE, "--out", tmp_path / "run")
    model = tmp_path / "run" / "model-softmax.safetensors"
    score = json.loads((tmp_path / "run" / "results.json").read_text())["runs"][0]["test_accuracy"]
    np.save(places / "features.npy", np.load(tmp_path / "rows" / "X_test.npy")[:1])
    for data in ("digits", tmp_path / "rows"):
        assert colinear("evaluate", model, data, "--json").json["accuracy"] == score
    said = colinear(
        "predict", model, *(places / name for name in ("digit.png", "raw.npy", "features.npy")), "--json"
    ).json
    assert split.test is not None
    assert {one["label"] for one in said} == {str(int(split.test.labels[0]))}
    scores = [[top["score"] for top in one["top"]] for one in said]
    assert scores[1] == pytest.approx(scores[2], abs=1e-3)
    refused = colinear("predict", model, places / "odd.npy")
    assert_refused(refused, "must have 120 columns, as the model, or 64 raw ones; it has 5")
    facts = colinear("info", model, "--json").json
    assert (facts["extractor"], facts["n_inputs"], facts["image_shape"]) == ("patches:30", 64, [1, 8, 8])
    exported = colinear("export", model, "--to", "csv", "--out", tmp_path / "model.csv")
    assert "It takes features: making them (patches:30) is not part of the file." in " ".join(exported.out.split())
    exported = colinear("export", model, "--check", "digits", "--out", tmp_path / "model.onnx")
    assert "It takes what features are made of: making them (patches:30) is part of the file." in " ".join(
        exported.out.split()
    )
    assert "Checked on 269 rows of digits: the same labels as the model" in exported.out.replace("\n", " ")
    assert_refused(
        colinear("predict", model, places / "raw.npy", "--with", "hog"), "are of patches:30; got --with 'hog'"
    )


def test_rows_as_wide_as_their_source_are_told_apart(colinear: Program, tmp_path: Path) -> None:
    """64 features of 64 pixels: a folder of features says what it is."""
    colinear("features", "digits", "--with", "kernel:64", "--out", tmp_path / "rows")
    colinear("tune", tmp_path / "rows", *TUNE, "--out", tmp_path / "run")
    model = tmp_path / "run" / "model-softmax.safetensors"
    said = [colinear("evaluate", model, data, "--json").json["accuracy"] for data in ("digits", tmp_path / "rows")]
    assert said[0] == said[1] > 0.8


def test_a_file_of_pictures_is_dealt_as_it_was(colinear: Program, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "table.npz", X=generator.normal(size=(300, 6)), y=generator.choice(["no", "yes"], 300))
    run = tmp_path / "run"
    colinear("tune", tmp_path / "table.npz", "--features", "kernel:40", *TUNE, "--seed", 5, "--out", run)
    said = colinear("evaluate", run / "model-softmax.safetensors", tmp_path / "table.npz", "--json").json
    assert (said["part"], said["rows"]) == ("test", 45)
    assert said["accuracy"] == json.loads((run / "results.json").read_text())["runs"][0]["test_accuracy"]


def test_a_function_runs_only_where_it_is_named(
    colinear: Program, tmp_path: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places)
    named = ("--with", "own_features:embed")
    said = colinear("features", "digits", *named, "--out", tmp_path / "rows")
    assert said.status == 0, said.err
    colinear("tune", tmp_path / "rows", *TUNE, "--out", tmp_path / "run")
    model = tmp_path / "run" / "model-softmax.safetensors"
    score = json.loads((tmp_path / "run" / "results.json").read_text())["runs"][0]["test_accuracy"]
    assert colinear("evaluate", model, "digits", *named, "--json").json["accuracy"] == score
    assert colinear("predict", model, "digit.png", *named).status == 0
    assert colinear("evaluate", model, tmp_path / "rows", "--json").json["accuracy"] == score
    refused = "come from own_features:embed, which no file starts. Name it again with --with own_features:embed"
    for words in (("evaluate", model, "digits"), ("predict", model, "digit.png")):
        assert_refused(colinear(*words), refused)
    # a process that has never heard of the module, beside a file of its name
    words = [sys.executable, "-m", "colinear", "predict", str(model), "digit.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=places)
    assert done.returncode == 2
    assert "imported" not in done.stdout
    (places / "own_features.py").write_text((places / "own_features.py").read_text() + "\n")
    changed = subprocess.run([*words, *named], capture_output=True, text=True, check=False, cwd=places)
    assert "is not the source that the model's features were made with" in changed.stderr
    assert changed.stdout.startswith("imported\ndigit.png: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--features", "sift"),
            "must be hog, hog+color, patches:K, kernel:D, hf:NAME_OR_FOLDER or MODULE:FUNCTION; got 'sift'",
        ),
        (("--features", "patches:0"), "patches must be a whole number >= 1; got 0"),
        (("--features", "hog+color"), "hog+color takes pictures in colour; these have 1 channel(s). Try hog."),
        (("--features", "no_such_module:f"), "no_such_module:f cannot be imported (ModuleNotFoundError"),
        (("--features", "hog", "--augment", "mirror", "--cv", "3"), "--cv would part pictures from their copies"),
        (("--features", "hog", "--augment", "mirror", "--shots", "3"), "--shots would part pictures from their copies"),
        (("--features", "hog", "--sample-weight", "w.npy"), "--sample-weight is not for features"),
    ],
)
def test_what_cannot_be_extracted_is_refused_before_anything_is_made(
    colinear: Program, tmp_path: Path, cache: Path, words: tuple[str, ...], message: str
) -> None:
    assert_refused(colinear("tune", "digits", *words, "--out", tmp_path / "run"), message)
    assert not (tmp_path / "run").exists()
    assert not cache.exists()


def test_copies_are_rows_that_only_plain_runs_take(colinear: Program, tmp_path: Path) -> None:
    colinear("features", "digits", "--with", "hog", "--augment", "mirror", "--out", tmp_path / "rows")
    refused = colinear("tune", tmp_path / "rows", "--cv", "3", "--out", tmp_path / "run")
    assert_refused(refused, "--cv would part pictures from their copies: these features are of --augment mirror")
    said = colinear(
        "tune", "digits", "--features", "hog", "--augment", "mirror", *TUNE, "--out", tmp_path / "run", "--json"
    )
    assert said.json["dataset"]["n_train"] == 2 * 1258


def test_weights_are_not_passed_over(colinear: Program, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    assert colinear("features", "digits", "--with", "kernel:5", "--out", rows).status == 0
    words = ("--sample-weight", "w.npy", "--out", tmp_path / "run")
    assert_refused(colinear("tune", rows, *words), "--sample-weight is not for features")


def test_rows_of_many_labels_are_refused(colinear: Program, tmp_path: Path) -> None:
    """Their answers are numbers, which would be taken for those of class names."""
    answers = np.arange(24).reshape(12, 2) % 3 % 2
    np.savez(tmp_path / "many.npz", features=np.eye(12, dtype=np.float32), labels=answers)
    refused = "features are made of rows of one class; rows of many have any number of them"
    for words in (("features", "--with", "kernel:5"), ("tune", "--features", "kernel:5", "--loss", "logistic")):
        said = colinear(words[0], tmp_path / "many.npz", *words[1:], "--out", tmp_path / words[0])
        assert_refused(said, refused)
        assert not (tmp_path / words[0]).exists()


def test_folders_that_cannot_be_written_are_refused(colinear: Program, tmp_path: Path, places: Path) -> None:
    for out, message in (
        (places, "must be empty, or hold the same features"),
        (places / "digit.png", "cannot be made"),
    ):
        assert_refused(colinear("features", "digits", "--with", "hog", "--out", out), message)
    colinear("features", "digits", "--with", "hog", "--out", tmp_path / "rows")
    other = colinear("features", "digits", "--with", "kernel:5", "--out", tmp_path / "rows")
    assert_refused(other, "holds other features: its extractor.name is 'hog', not 'kernel:5'. Pass another --out.")
    assert_refused(colinear("evaluate", places / "raw.npy", "digits", "--with", "hog"))


def test_a_model_without_an_extractor_takes_no_with(colinear: Program, model_file: Path) -> None:
    assert_refused(
        colinear("evaluate", model_file, "digits", "--with", "hog"), "takes rows as they are", "Leave --with"
    )


def test_a_signal_keeps_what_is_finished(colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = folder._stored

    def stop(*arguments: object) -> bytes:
        if any(tmp_path.glob("rows/X_train.npy.part")):
            raise Stopped(signal.SIGTERM)
        return real(*arguments)  # type: ignore[arg-type]

    words = ("features", "digits", "--with", "hog", "--out", tmp_path / "rows")
    with monkeypatch.context() as patch:
        patch.setattr(folder, "_stored", stop)
        said = colinear(*words)
    assert said.status == 128 + signal.SIGTERM
    assert f"Stopped. What is finished is kept: the same command goes on in {tmp_path / 'rows'}." in said.err
    assert_refused(colinear("tune", tmp_path / "rows"), "holds features that are not finished. Go on with")
    assert colinear(*words).status == 0
    assert os.listdir(tmp_path / "rows") != []


def test_several_processes_are_told_to_extract_first(split: Split) -> None:
    from colinear.checks import InputError
    from colinear.parallel.group import Group
    from colinear.search.settings import Settings
    from colinear.search.tune import check_processes

    with pytest.raises(InputError, match="Leave --features out"):
        check_processes(Settings(data="digits", features="hog"), Group(0, 2))
