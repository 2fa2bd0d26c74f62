"""scikit-learn's own tests of linear classifiers and of what takes one, with ours in their place (see `swapped`).

Each of its files is a class here. What `swapped.toml` lists is skipped, or expected to fail, for the reason it gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

import pytest
import sklearn
from tests import swapped

if sklearn.__version__.rpartition(".")[0] != swapped.TABLE["version"]:
    pytest.skip(f"swapped.toml is of scikit-learn {swapped.TABLE['version']}", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("default")  # as scikit-learn runs them

for file in swapped.TABLE["files"]:
    tests, fixtures = swapped.load_tests(file)
    globals()[Path(file).stem] = type(Path(file).stem, (), {"__test__": True, **tests})
    globals().update(fixtures)


@pytest.fixture
def global_random_seed() -> int:
    """scikit-learn's default."""
    return 42


@pytest.fixture
def pyplot() -> Iterator[ModuleType]:
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture(autouse=True)
def ours(request: pytest.FixtureRequest) -> Iterator[None]:
    """Swap the names for those who import them while they run, and say what is known about the test."""
    if isinstance(request.node.parent, pytest.Class):
        kind, reason = swapped.look_up(name_of(request.node))
        if kind == "cannot":
            pytest.skip(reason)
        if kind is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=kind == "fails"))
    with swapped.swap():
        yield


def name_of(item: pytest.Item) -> str:
    return f"{item.parent.name if item.parent else ''}::{item.name}"


def test_nine_in_ten_of_those_that_apply_pass(request: pytest.FixtureRequest) -> None:
    if request.config.option.keyword or any("::" in argument for argument in request.config.args):
        pytest.skip("a selection says nothing about all")
    items = [
        item for item in request.session.items if isinstance(item.parent, pytest.Class) and item.path == Path(__file__)
    ]
    kinds = [swapped.look_up(name_of(item))[0] for item in items]
    applies = len(kinds) - kinds.count("cannot")
    assert kinds.count("fails") + kinds.count("waits") <= 0.1 * applies
    unused = [name for name in swapped.names() if not any(fnmatchcase(name_of(item), name) for item in items)]
    assert not unused
