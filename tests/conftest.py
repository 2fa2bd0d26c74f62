"""Shared fixtures, and the rule for tests that need the real CIFAR-10."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
