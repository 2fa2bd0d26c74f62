"""What a project needs to be joined and released: workflows, citation, hooks and versions that agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import colinear

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = [path for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
FIELDS = ("markdown", "textarea", "input", "dropdown", "checkboxes")  # of an issue form


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def jobs_of(path: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = load(path)["jobs"]
    return jobs


def pythons() -> list[str]:
    found = [re.search(r":: (3\.\d+)$", line) for line in PROJECT["project"]["classifiers"]]
    return [match[1] for match in found if match]


def test_tests_run_on_every_system_and_every_python_that_is_promised() -> None:
    matrix = jobs_of(ROOT / ".github/workflows/tests.yml")["tests"]["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == pythons()
    assert PROJECT["project"]["requires-python"] == f">={pythons()[0]}"


def test_the_oldest_dependencies_are_tested_with_the_oldest_python_and_the_newest_with_the_newest() -> None:
    include = jobs_of(ROOT / ".github/workflows/tests.yml")["dependencies"]["strategy"]["matrix"]["include"]
    kinds = [(one["python"], one["resolution"]) for one in include]
    assert kinds == [(pythons()[0], "lowest-direct"), (pythons()[-1], "highest")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_what_is_there(path: Path) -> None:
    """make's targets, extras and other jobs by their names; actions by a version, never by a branch that moves on."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    extras = set(PROJECT["project"]["optional-dependencies"])
    jobs = jobs_of(path)
    for name, job in jobs.items():
        assert job.get("needs", name) in jobs
        for step in job["steps"]:
            command = step.get("run", "")
            assert set(re.findall(r"\bmake ([\w-]+)", command)) <= set(targets), command
            for named in re.findall(r'"\.\[([\w,]+)\]"', command):
                assert set(named.split(",")) <= extras, command
            if "uses" in step:
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+|release/v\d+)", step["uses"]), step


def test_nothing_but_a_whole_release_may_publish_and_without_any_secret() -> None:
    path = ROOT / ".github/workflows/release.yml"
    jobs = jobs_of(path)
    publishing = [name for name, job in jobs.items() if any("pypi-publish" in s.get("uses", "") for s in job["steps"])]
    assert publishing == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["needs"] == "install"
    assert jobs["install"]["needs"] == "build"
    for workflow in WORKFLOWS:
        assert load(workflow)["permissions"] == {"contents": "read"}, workflow
        assert "secrets." not in workflow.read_text("utf-8"), workflow


def test_a_release_is_refused_elsewhere_than_at_its_address() -> None:
    """So nothing is published that tells people to install from `-owner-`, or from the repository of somebody else."""
    steps = jobs_of(ROOT / ".github/workflows/release.yml")["build"]["steps"]
    commands = [step.get("run", "") for step in steps]
    guard = next(i for i, command in enumerate(commands) if "['urls']['Repository']" in command)
    assert commands[guard].startswith('test "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY" = ')
    assert "make release-check" in commands[guard + 1]
    assert re.fullmatch(r"https://github\.com/[\w-]+/colinear", PROJECT["project"]["urls"]["Repository"])


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_a_form_needs(path: Path) -> None:
    form = load(path)
    assert form["name"] and form["description"]  # noqa: PT018, one rule
    assert all(field["type"] in FIELDS for field in form["body"])
    named = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in named}) == len(named)
    assert all(field["attributes"]["label"] for field in named)


def test_one_version_one_licence_and_one_description() -> None:
    project, citation = PROJECT["project"], load(ROOT / "CITATION.cff")
    assert citation["version"] == project["version"] == colinear.__version__
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]
    assert citation["authors"] == project["authors"]


def test_a_commit_is_formatted_by_the_ruff_of_make_check() -> None:
    pinned = re.search(r"^ruff==.+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned
    hooks = [hook for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [hook["additional_dependencies"] for hook in hooks] == [[pinned[0]]] * 2
