"""Imports run one way: a module may import from its own floor and from the floors below, never from above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import colinear

# Lowest first. A new top-level module or package has to be put on a floor here.
FLOORS = (
    ("checks", "outputs", "parallel", "schemas", "texts"),
    ("datasets", "extractors", "metrics", "model", "modelfile"),
    (
        "balance",
        "byteproducts",
        "classwise",
        "curvature",
        "export",
        "gradcheck",
        "lossbase",
        "losses",
        "processor",
        "products",
        "reference",
        "selfcheck",
    ),
    ("objective",),
    ("solvers",),
    ("estimators", "search", "sweep"),
    ("__main__", "cli", "course", "report", "tracking"),
)
LEVEL = {part: level for level, parts in enumerate(FLOORS) for part in parts}
ROOT = Path(colinear.__file__).parent


def list_modules(root: Path) -> dict[str, Path]:
    """Dotted name inside the package -> file; the package's own `__init__` is ''."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        steps = path.relative_to(root).with_suffix("").parts
        found[".".join(steps[:-1] if steps[-1] == "__init__" else steps)] = path
    return found


def list_imports(name: str, path: Path, package: str) -> Iterator[str]:
    """Dotted names inside the package that a file imports, wherever the statement stands; '' is the package."""
    inner = name.split(".") if name else []
    here = [package, *(inner if path.stem == "__init__" else inner[:-1])]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            full = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in full:
            if target == package or target.startswith(package + "."):
                yield target[len(package) + 1 :]


def list_arrows(root: Path, package: str) -> set[tuple[str, str]]:
    """(importing module, imported part) for every import inside the package.

    A name that the package's own `__init__` gives stands for all that this file imports.
    """
    modules = list_modules(root)
    parts = {name.split(".")[0] for name in modules if name}
    through_root = {target.split(".")[0] for target in list_imports("", modules[""], package)} & parts
    arrows = set()
    for name, path in modules.items():
        for target in list_imports(name, path, package) if name else ():
            part = target.split(".")[0]
            arrows |= {(name, other) for other in ({part} if part in parts else through_root)}
    return arrows


def list_faults(root: Path, package: str) -> list[str]:
    """One line per module without a floor, arrow that points up, and cycle between parts of one floor."""
    parts = {name.split(".")[0] for name in list_modules(root) if name}
    faults = [f"{part} is on no floor: add it to FLOORS" for part in sorted(parts - set(LEVEL))]
    beside: dict[str, set[str]] = {}
    for name, target in sorted(list_arrows(root, package)):
        part = name.split(".")[0]
        if part == target or part not in LEVEL or target not in LEVEL:
            continue
        if LEVEL[target] > LEVEL[part]:
            faults.append(f"{name} imports {target}, which is {LEVEL[target] - LEVEL[part]} floor(s) above it")
        elif LEVEL[target] == LEVEL[part]:
            beside.setdefault(part, set()).add(target)
    try:
        TopologicalSorter(beside).prepare()
    except CycleError as error:
        faults.append("cycle on one floor: " + " -> ".join(error.args[1]))
    return faults


def write_package(root: Path, **files: str) -> Path:
    """A package of the given top-level modules and their sources."""
    for name, source in {"__init__": "", **files}.items():
        path = root / "house" / f"{name.replace('__', '/') if name != '__init__' else name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root / "house"


def test_no_arrow_points_up() -> None:
    assert list_faults(ROOT, "colinear") == []


def test_the_walk_sees_the_house() -> None:
    arrows = list_arrows(ROOT, "colinear")
    assert ("losses", "checks") not in arrows  # losses need no argument checks
    assert {("reference", "losses"), ("objective", "losses"), ("course.data", "datasets")} <= arrows


@pytest.mark.parametrize(
    "source",
    [
        "from house.course import data",
        "import house.course.data",
        "from house import course",
        "from .course import data",
        "from . import course",
        "def late():\n    from house.course import data",
        "import typing\nif typing.TYPE_CHECKING:\n    import house.course",
    ],
)
def test_an_arrow_that_points_up_is_a_fault(tmp_path: Path, source: str) -> None:
    house = write_package(tmp_path, losses=source, course="")
    assert list_faults(house, "house") == ["losses imports course, which is 4 floor(s) above it"]


def test_an_arrow_up_through_the_package_itself_is_a_fault(tmp_path: Path) -> None:
    house = write_package(tmp_path, __init__="from house.course import Softmax", losses="import house", course="")
    assert list_faults(house, "house") == ["losses imports course, which is 4 floor(s) above it"]


def test_a_relative_arrow_out_of_a_subpackage_is_followed(tmp_path: Path) -> None:
    house = write_package(
        tmp_path, solvers__sgd="from ..search import grid", search="", solvers__path="from . import sgd"
    )
    assert list_faults(house, "house") == ["solvers.sgd imports search, which is 1 floor(s) above it"]


def test_a_cycle_on_one_floor_is_a_fault(tmp_path: Path) -> None:
    house = write_package(tmp_path, model="import house.metrics", metrics="import house.model")
    (fault,) = list_faults(house, "house")
    assert fault.startswith("cycle on one floor: ")


def test_arrows_down_and_along_a_floor_are_fine(tmp_path: Path) -> None:
    house = write_package(
        tmp_path, model="import house.metrics", metrics="from house import checks", checks="import ast"
    )
    assert list_faults(house, "house") == []


def test_a_module_on_no_floor_is_a_fault(tmp_path: Path) -> None:
    assert list_faults(write_package(tmp_path, attic=""), "house") == ["attic is on no floor: add it to FLOORS"]
