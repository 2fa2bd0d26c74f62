"""The README and the manual: examples run, options exist, links lead somewhere, public names are documented."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.conftest import find_cifar10

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]}
NOT_RUN = "<!-- not run"
PICTURE_BYTES = 300_000
# packages whose __all__ is the public surface, and modules that are documented whole
PACKAGES = ("colinear", *(f"colinear.{name}" for name in ("datasets", "solvers", "search", "estimators", "course")))
PACKAGES += ("colinear.export", "colinear.report")
MODULES = tuple(f"colinear.{name}" for name in ("checks", "gradcheck", "losses", "metrics", "objective", "reference"))
MODULES += ("colinear.selfcheck", "colinear.tracking")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, text, the line it starts at and the line before it."""

    language: str
    text: str
    line: int
    before: str


def blocks_of(page: str) -> Iterator[Block]:
    text = PAGES[page]
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        above = text[: match.start()].rstrip("\n")
        yield Block(match[1], match[2], text[: match.start()].count("\n") + 2, above.rsplit("\n", 1)[-1])


def examples_of(page: str) -> list[Block]:
    return [b for b in blocks_of(page) if b.language in ("python", "pycon") and not b.before.startswith(NOT_RUN)]


@pytest.mark.parametrize("page", [page for page in PAGES if examples_of(page)])
def test_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one namespace a page, in an empty folder; the program is the one of this environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(os.sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in examples_of(page):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(block.text, names, page, page, block.line - 1)
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        said: list[str] = []
        runner.run(test, out=said.append, clear_globs=False)
        names.update(test.globs)
        assert runner.summarize(verbose=False).failed == 0, "".join(said)


def commands_of(page: str) -> Iterator[list[str]]:
    """The words of every line that calls `colinear`, in sh blocks and in `code` within the text."""
    text = PAGES[page]
    inline = re.findall(r"`(colinear [^`\n]*)`", text)
    lines = [line.strip() for block in blocks_of(page) if block.language == "sh" for line in block.text.splitlines()]
    for line in [*lines, *inline]:
        if line.startswith("colinear "):
            yield shlex.split(line, comments=True)


def known_options() -> dict[str, set[str]]:
    """Command -> its options; '' stands for the program itself."""
    from colinear.cli.app import app

    program: Any = typer.main.get_command(app)
    commands = {"": program, **program.commands}
    return {
        name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        | {"--help", "-h"}
        for name, command in commands.items()
    }


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands_of(page))])
def test_commands_and_options_exist(page: str) -> None:
    known = known_options()
    for words in commands_of(page):
        command = "" if words[1].startswith("-") or words[1] == "COMMAND" else words[1]
        assert command in known, words
        given = {word.split("=")[0] for word in words if word.startswith("-")}
        assert given <= known[command], words


def test_every_option_in_the_text_exists() -> None:
    every = set().union(*known_options().values()) | {"--help", "--cov"}
    for page, text in PAGES.items():
        if page != "docs/contributing.md" and page != "docs/benchmarks.md":
            assert set(re.findall(r"`(--[a-z-]+)", text)) <= every, page


def test_every_command_is_in_the_readme_and_the_manual() -> None:
    for page in ("README.md", "docs/cli.md"):
        named = {words[1] for words in commands_of(page)}
        assert set(known_options()) - {""} <= named, page


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", PAGES[page]):
        if not target.startswith(("http://", "https://")):
            assert (ROOT / page).parent.joinpath(target).is_file(), target


def test_pictures_are_small() -> None:
    pictures = sorted((DOCS / "images").glob("*.png"))
    assert pictures
    assert [picture.name for picture in pictures if picture.stat().st_size >= PICTURE_BYTES] == []


def documented_names() -> set[str]:
    return {name for text in PAGES.values() for name in re.findall(r"^::: ([\w.]+)", text, re.MULTILINE)}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package: str) -> None:
    module = importlib.import_module(package)
    documented = documented_names()
    for name in module.__all__:
        value = getattr(module, name)
        homes = {f"{package}.{name}", f"{getattr(value, '__module__', package)}.{getattr(value, '__name__', name)}"}
        # a documented module or class covers what is inside it; a submodule is covered by what is documented of it
        parents = {home.rsplit(".", 1)[0] for home in homes} - set(PACKAGES)
        inside = any(one.startswith(f"{package}.{name}.") for one in documented)
        assert (homes | parents) & documented or inside or name == "__version__", name


def test_whole_modules_are_in_the_reference() -> None:
    assert set(MODULES) <= documented_names()


def test_every_documented_object_has_a_docstring() -> None:
    plain = {"colinear.datasets.ImageShape", "colinear.datasets.Progress", "colinear.export.FORMATS"}  # aliases, a dict
    for dotted in sorted(documented_names() - plain):
        assert (load(dotted).__doc__ or "").strip(), dotted


def load(dotted: str) -> Any:
    """The module or the member of a module with this name."""
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        home, name = dotted.rsplit(".", 1)
        return getattr(load(home), name)


def test_the_numbers_in_the_tables_are_those_of_the_file() -> None:
    """Each row of the accuracy tables is in benchmarks/results/accuracy-cifar10.json."""
    import json

    runs = json.loads((ROOT / "benchmarks/results/accuracy-cifar10.json").read_text())["runs"]
    rows = [f"| `{r['command']}` | {r['loss']} | {r['val_accuracy']:.3f} | {r['test_accuracy']:.4f} |" for r in runs]
    for page in ("README.md", "docs/benchmarks.md"):
        assert rows, page
        assert [row for row in rows if row not in PAGES[page]] == [], page


@pytest.mark.cifar10
def test_the_vocabulary_of_the_course_page_is_there() -> None:
    import colinear.course as coutils

    assert find_cifar10() is not None
    named = re.findall(r"`((?:\w+\.)*\w+)`", PAGES["docs/guide/course.md"].split("| --- | --- |")[1].split("\n\n")[0])
    images, labels, *_ = coutils.data.cifar10(num_train=5, num_test=5)
    assert images.shape[1:] == (3, 32, 32)
    assert len(labels) == 5
    assert {"svm_loss_naive", "LinearSVM", "get_CIFAR10_data"} <= set(named)
