"""Shared fixtures, and the rule for tests that need the real CIFAR-10."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from tests.program import SMALL, Program, Said

from colinear.datasets import Features, Split, fit_scaling, open_split

# The one place for hypothesis: a busy machine is no failure, and what failed can be repeated, from the blob it prints
# or, where CI is set, because the draws are the same every time.
settings.register_profile("house", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("house")


def find_cifar10() -> Path | None:
    """The folder given by COLINEAR_DATA, if it holds the official batches."""
    root = os.environ.get("COLINEAR_DATA")
    if not root:
        return None
    for folder in (Path(root) / "cifar-10-batches-py", Path(root)):
        if (folder / "data_batch_1").is_file():
            return Path(root)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if find_cifar10() is None:
        skip = pytest.mark.skip(reason="needs the real CIFAR-10: set COLINEAR_DATA")
        for item in items:
            if "cifar10" in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def data_dir() -> Path:
    """Where the real CIFAR-10 lies; only for tests marked cifar10."""
    root = find_cifar10()
    assert root is not None
    return root


@pytest.fixture
def colinear(capsys: pytest.CaptureFixture[str]) -> Program:
    """Run the program in this process, through the same door as the shell."""

    from colinear.cli.app import main

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(int(left.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def without_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra `tracking` is not installed."""
    real = builtins.__import__

    def find(wanted: str, *rest: Any, **more: Any) -> Any:
        if wanted.startswith("torch.utils.tensorboard"):
            raise ImportError(wanted)
        return real(wanted, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", find)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of something else: drawing takes most of a small run's time."""
    monkeypatch.setattr("colinear.report.figures.write_figures", lambda *_: [])


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of both losses on digits."""
    from colinear.cli.app import main

    folder = tmp_path_factory.mktemp("runs") / "digits"
    with pytest.raises(SystemExit) as left:
        main(["tune", "digits", *SMALL, "--quiet", "--out", str(folder)])
    assert not left.value.code
    return folder


@pytest.fixture(scope="session")
def split() -> Split:
    return open_split("digits")


@pytest.fixture(scope="session")
def rows(split: Split) -> tuple[Features, Features]:
    """Training and validation rows of digits, scaled."""
    scaling = fit_scaling(split.train)
    return Features(split.train, scaling), Features(split.validation, scaling)


@pytest.fixture
def model_file(run_folder: Path) -> Path:
    return run_folder / "model-softmax.safetensors"


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows too many for Newton's method: 10 classes of 200 columns."""
    path = tmp_path_factory.mktemp("table") / "rows.npz"
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=1500)
    features = rng.normal(size=(1500, 200)) + 0.4 * rng.normal(size=(10, 200))[labels] + 3
    np.savez(path, features=features.astype(np.float32), labels=labels)
    return path
