"""The README and the manual: examples run, options exist, links lead somewhere, public names are documented."""

from __future__ import annotations

import doctest
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FRONT = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
FILES = [*map(ROOT.joinpath, FRONT), *sorted(DOCS.rglob("*.md"))]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in FILES}
PICTURE_BYTES = 300_000
# packages whose __all__ is the public surface, and modules that are documented whole
PACKAGES = ("colinear", *(f"colinear.{name}" for name in ("datasets", "solvers", "search", "estimators", "course")))
PACKAGES += ("colinear.sweep", "colinear.export", "colinear.metrics", "colinear.report")
MODULES = tuple(f"colinear.{name}" for name in ("checks", "gradcheck", "losses", "objective", "reference"))
MODULES += ("colinear.selfcheck", "colinear.tracking")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text and the line it starts at."""

    language: str
    text: str
    line: int


def blocks_of(page: str) -> Iterator[Block]:
    text = PAGES[page]
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], text[: match.start()].count("\n") + 2)


def examples_of(page: str) -> list[Block]:
    return [block for block in blocks_of(page) if block.language in ("python", "pycon")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `run` of the pages: an exact run on digits."""
    from colinear.cli.app import main

    folder = tmp_path_factory.mktemp("pages") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colinear.report.figures.write_figures", lambda *_: [])
        with pytest.raises(SystemExit) as left:
            main(["tune", "digits", "--loss", "softmax", "--regs", "1e-3,1e-2", "--quiet", "--out", str(folder)])
    assert not left.value.code
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if examples_of(page)])
def test_examples_run(page: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in one namespace a page, in a folder that holds nothing but `run`, a finished run on digits."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(finished)
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
    """Its own entry, an entry of the module it comes from, or, for a submodule, entries of what is inside."""
    module = importlib.import_module(package)
    documented = documented_names()
    objects = [load(name) for name in documented]
    for name in set(module.__all__) - {"__version__"}:
        value = getattr(module, name)
        whole = getattr(value, "__module__", "") in documented
        inside = any(one.startswith(f"{package}.{name}.") for one in documented)
        assert whole or inside or any(value is one for one in objects), name


def test_whole_modules_are_in_the_reference() -> None:
    assert set(MODULES) <= documented_names()


@pytest.mark.parametrize("package", [*PACKAGES, "colinear.cli"])
def test_dir_shows_the_public_names_and_only_those(package: str) -> None:
    module = importlib.import_module(package)
    assert dir(module) == sorted(module.__all__)
    assert all(getattr(module, name) is not None for name in dir(module))


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
    runs = json.loads((ROOT / "benchmarks/results/accuracy-cifar10.json").read_text())["runs"]
    rows = [f"| `{r['command']}` | {r['loss']} | {r['val_accuracy']:.3f} | {r['test_accuracy']:.4f} |" for r in runs]
    for page in ("README.md", "docs/benchmarks.md"):
        assert rows, page
        assert [row for row in rows if row not in PAGES[page]] == [], page


def test_the_course_page_names_what_is_there() -> None:
    import colinear.course as coutils

    table = PAGES["docs/guide/course.md"].split("| --- | --- |\n")[1].split("\n\n")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`([\w.]+)`", row.split("|")[1])]
    assert len(named) >= 15
    for name in named:
        parts = name.removeprefix("coutils.").split(".")
        home = coutils.utils if not hasattr(coutils, parts[0]) else coutils
        for part in parts:
            home = getattr(home, part)


def test_docstrings_become_lists_and_code() -> None:
    spec = importlib.util.spec_from_file_location("docstrings", DOCS / "plugins" / "docstrings.py")
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    assert doctest.testmod(plugin).failed == 0
    assert plugin.to_markdown("A.\n\n    x * y\n\n>>> 1\n1") == "A.\n\n```text\nx * y\n```\n\n```pycon\n>>> 1\n1\n```"
    assert plugin.to_markdown("Where it stands. x : (n,) < 3") == "Where it stands. x : (n,) &lt; 3"
    assert plugin.to_markdown("A.\n\nParts\n-----\na, b : one\n    more") == "A.\n\n**Parts**\n\n- `a, b` : one\n  more"
