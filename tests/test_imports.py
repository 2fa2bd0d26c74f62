"""What a process loads: torch, matplotlib and scikit-learn take seconds, and come only with what needs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import colinear

HEAVY = {"numpy", "torch", "matplotlib", "sklearn", "scipy", "pandas", "pyarrow", "onnx", "transformers"}
TOLD = "import sys, json; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
QUICK = ("--solver", "sgd", "--steps", "5", "--candidates", "2", "--batch-size", "8", "--quiet")


def loaded(code: str, **variables: str) -> set[str]:
    """Which heavy packages a process holds after `code`, whatever else that prints."""
    environment = {**os.environ, "COLINEAR_DATA": "", **variables}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{TOLD}"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def command(*arguments: str) -> str:
    """Python that runs the program and goes on."""
    call = f"    main({list(arguments)!r})"
    return f"from colinear.cli import main\ntry:\n{call}\nexcept SystemExit as end:\n    assert not end.code"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, rows.npz, and a place for a run of it."""
    folder = tmp_path_factory.mktemp("imports")
    rng = np.random.default_rng(0)
    np.savez(folder / "rows.npz", features=rng.normal(size=(60, 4)).astype(np.float32), labels=np.arange(60) % 3)
    np.save(folder / "new.npy", np.zeros((2, 4), np.float32))
    return folder


@pytest.mark.parametrize(
    "code",
    [
        "import colinear; colinear.__version__; dir(colinear)",
        "import colinear.cli, colinear.search.settings",
        command("--help"),
        command("tune", "--help"),
        command("--version"),
    ],
    ids=["import", "import the program", "--help", "tune --help", "--version"],
)
def test_starting_loads_nothing_heavy(code: str) -> None:
    assert loaded(code) == set()


def test_completing_loads_nothing_heavy() -> None:
    words = {"COMP_WORDS": "colinear tune digits --solver s", "COMP_CWORD": "4", "_COLINEAR_COMPLETE": "complete_bash"}
    assert loaded(command(), **words) == set()


def test_words_complete_in_bash_zsh_and_fish() -> None:
    def said(instruction: str, **words: str) -> str:
        environment = {**os.environ, "_COLINEAR_COMPLETE": instruction, **words}
        done = subprocess.run([sys.executable, "-m", "colinear.cli"], capture_output=True, text=True, env=environment)
        assert done.stderr == ""
        return done.stdout

    for shell in ("bash", "zsh", "fish"):
        assert f"_COLINEAR_COMPLETE=complete_{shell}" in said(f"source_{shell}")
    for words, place, found in (("colinear tu", 1, "tune"), ("colinear tune --solver s", 3, "sgd")):
        assert said("complete_bash", COMP_WORDS=words, COMP_CWORD=str(place)).split() == [found]


def test_tune_loads_no_scikit_learn_and_predict_no_figures(run: Path) -> None:
    out = run / "run"
    assert loaded(command("tune", str(run / "rows.npz"), *QUICK, "--out", str(out))) == {"numpy", "torch", "matplotlib"}
    model = out / "model-softmax.safetensors"
    assert loaded(command("predict", str(model), str(run / "new.npy"))) == {"numpy", "torch"}
    assert loaded(command("export", str(model), "--to", "csv", "--out", str(run / "model.csv"))) == {"numpy", "torch"}


def test_opening_named_data_loads_no_scikit_learn() -> None:
    assert loaded("from colinear.datasets import load_cifar10, open_split; open_split('digits')") == {"numpy", "torch"}


def test_the_package_shows_its_public_names_and_only_those() -> None:
    code = "import colinear, json; print(json.dumps([dir(colinear), colinear.__all__, list(colinear._HOMES)]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, public, homes = json.loads(done.stdout)
    assert shown == sorted(public) == sorted([*homes, "__version__"])
    for name in public:
        assert getattr(colinear, name) is not None


def test_a_name_that_is_not_there_is_no_attribute() -> None:
    absent: Any = colinear
    with pytest.raises(AttributeError, match="'colinear' has no attribute 'SoftmaxClasifier'"):
        _ = absent.SoftmaxClasifier
    with pytest.raises(ImportError, match="SoftmaxClasifier"):
        exec("from colinear import SoftmaxClasifier")


def test_estimators_unpickle_in_a_process_that_has_loaded_nothing(tmp_path: Path) -> None:
    file = tmp_path / "model.pkl"
    write = "import pickle, colinear; pickle.dump(colinear.SoftmaxClassifier(reg=0.5), open({0!r}, 'wb'))"
    read = "import pickle; assert pickle.load(open({0!r}, 'rb')).reg == 0.5"
    for code in (write, read):
        subprocess.run([sys.executable, "-c", code.format(str(file))], check=True)
