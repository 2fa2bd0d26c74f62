"""docs/results.schema.json is what runs write, and docs/results.md names all of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.program import SMALL, Program

DOCS = Path(__file__).parents[1] / "docs"
SCHEMA = json.loads((DOCS / "results.schema.json").read_text())
EXACT = ("--regs", "1e-2,1e-1", "--tol", "1e-2")
SUBSPACE = (*SMALL, "--halving", "--subspace", "0.9")
RUNS = {
    "exact": (*EXACT,),
    "exact-cv": (*EXACT, "--cv", "3", "--loss", "softmax"),
    "exact-refit": (*EXACT, "--refit", "--loss", "softmax"),
    "exact-shots": (*EXACT, "--shots", "3", "--tries", "2"),
    "exact-one-try": (*EXACT, "--shots", "3", "--tries", "1", "--loss", "softmax"),
    "sgd": (*SMALL,),
    "sgd-shots": (*SMALL, "--shots", "3", "--tries", "2", "--loss", "softmax"),
    "sgd-halving-subspace": (*SUBSPACE, "--candidates", "12"),
    "sgd-diverged": (*SMALL, "--lr", "1e-2:1e6", "--seed", "1", "--candidates", "12"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """results.json of each run in RUNS, on digits."""
    from colinear.cli.app import main

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("colinear.report.figures.write_figures", lambda *_: [])
        for name, options in RUNS.items():
            folder = tmp_path_factory.mktemp("runs") / name
            with pytest.raises(SystemExit) as left:
                main(["tune", "digits", *options, "--quiet", "--out", str(folder)])
            assert not left.value.code, name
            found[name] = json.loads((folder / "results.json").read_text())
    return found


def problems(value: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(value)]


def named_properties(part: Any) -> Iterator[tuple[str, Any]]:
    """(name, schema) of every property, at any depth."""
    if isinstance(part, dict):
        for name, inner in part.get("properties", {}).items():
            yield name, inner
        for inner in part.values():
            yield from named_properties(inner)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_follows_the_schema(results: dict[str, Any], name: str) -> None:
    assert problems(results[name]) == []


def test_the_runs_show_what_the_schema_is_about(results: dict[str, Any]) -> None:
    """The parts that only some runs have are there, so the test above has looked at them."""
    assert {run["loss"] for run in results["exact"]["runs"]} == {"hinge", "softmax"}
    assert all("folds" in run["details"] for run in results["exact-cv"]["runs"])
    assert all("refit" in run["details"] for run in results["exact-refit"]["runs"])
    assert [record["count"] for record in results["exact-shots"]["tries"]] == [2, 2]
    assert results["exact-one-try"]["tries"][0]["test_spread"] is None
    assert results["sgd-shots"]["tries"][0]["each"][0]["winner"]["learning_rate"] > 0
    placed = results["sgd"]["runs"] + results["sgd-halving-subspace"]["runs"] + results["sgd-diverged"]["runs"]
    assert all("optimum" in run["details"] and "above_optimum" in run["trials"][run["best"]] for run in placed)
    assert not any("optimum" in run["details"] for run in results["exact"]["runs"])
    halved = results["sgd-halving-subspace"]["runs"]
    assert all(run["rungs"] and "subspace" in run["details"] for run in halved)
    diverged = [t for run in results["sgd-diverged"]["runs"] for t in run["trials"] if t["status"] == "diverged"]
    assert diverged
    assert all(trial["val_accuracy"] is None for trial in diverged)


@pytest.mark.parametrize("name", ["exact", "sgd"])
def test_a_missing_or_unknown_name_breaks_the_schema(results: dict[str, Any], name: str) -> None:
    for place in ("trials", "status", "seconds"):
        broken = copy.deepcopy(results[name])
        run = broken["runs"][0]
        holder = run["trials"][0] if place == "status" else run
        holder[f"{place}_"] = holder.pop(place)
        assert problems(broken), place


def test_runs_are_empty_only_with_tries_and_tries_only_with_shots(results: dict[str, Any]) -> None:
    assert problems({**results["exact"], "runs": []})
    assert problems({**results["exact"], "tries": results["exact-shots"]["tries"], "runs": []})
    assert problems({**results["exact-shots"], "runs": results["exact"]["runs"]})


def test_json_on_stdout_is_results_json_and_where_it_is(
    colinear: Program, without_figures: None, tmp_path: Path
) -> None:
    said = colinear("tune", "digits", *EXACT, "--loss", "softmax", "--json", "--out", tmp_path / "run").json
    written = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {name: said[name] for name in written} == written
    assert said["folder"] == str(tmp_path / "run")


def test_every_name_is_explained() -> None:
    page = (DOCS / "results.md").read_text()
    explained = dict(named_properties(SCHEMA))
    assert [name for name in explained if f"`{name}`" not in page] == []
    unclear = [name for name, inner in named_properties(SCHEMA["$defs"]) if inner.keys() - {"items", "const"} == set()]
    assert unclear == []
