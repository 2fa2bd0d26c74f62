"""`make release-check`, which follows the README too: the parts that need neither a network nor minutes."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from release import check, readme

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
STEPS = list(readme.steps(README))


def test_its_example_runs() -> None:
    assert doctest.testmod(readme) == (0, 1)


def test_every_block_of_the_readme_is_followed() -> None:
    assert len(re.findall(r"^```", README, re.MULTILINE)) == 2 * len(readme.BLOCK.findall(README))
    assert sum(language == "python" for language, _ in STEPS) == README.count("```python")
    assert {step for _, step in STEPS} >= set(readme.LEFT)
    assert any(readme.PLACEHOLDER in step for _, step in STEPS)


def test_what_the_reader_brings_is_nothing_that_the_readme_writes_itself(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", readme.MADE], cwd=tmp_path, check=True)
    made = {path.name for path in tmp_path.iterdir()}
    text = "\n".join(step for _, step in STEPS)
    assert not made & set(re.findall(r"--(?:out|save-sample) (\S+)", text))
    for name in made:
        asked = re.sub(r"layer-\d", "layer-{layer}", name).partition("_labels")[0]
        assert asked in text, name


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a `python` and a `colinear` that do nothing, and an empty clone."""
    for name in ("python", "colinear"):
        program = tmp_path / "programs" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    (tmp_path / "source").mkdir()
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="the README's commands, and the programs here, are those of a shell")
def test_the_readme_is_followed_in_its_order_until_something_fails(place: Path) -> None:
    (place / "source/README.md").write_text(
        "```sh\necho one > file    # first\npip install .\n```\n\n```python\npass\n```\n\n"
        "```sh\ngrep -q one file\ncat missing\ntouch never\n```\n"
    )
    done = []
    with pytest.raises(readme.StuckError, match=r"(?s)`cat missing` ended with status 1:.*No such file"):
        done.extend(readme.follow(place / "source", place / "programs", place / "readme"))
    told = list(readme.steps((place / "source/README.md").read_text()))
    assert [step for _, step in told][:2] == ["echo one > file", "pip install ."]
    assert (place / "readme/file").read_text() == "one\n"
    assert not (place / "readme/never").exists()


def test_a_failed_command_is_told_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(check.FailedError, match=r"(?s)ended with status 3:\nwhat went wrong"):
        check.run([sys.executable, "-c", "print('what went wrong'); raise SystemExit(3)"], tmp_path)


def test_a_command_sees_nothing_of_the_working_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in check.INHERITED:
        monkeypatch.setenv(name, "ours")
    program = f"import os; print([name for name in {check.INHERITED!r} if name in os.environ])"
    assert check.run([sys.executable, "-c", program], tmp_path) == "[]\n"
