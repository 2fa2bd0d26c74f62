"""What a run has written, read back: results.json against its schema, settings.json against its digest."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

from colinear.checks import InputError
from colinear.schemas import Schema
from colinear.search.runfolder import RunFolder, check_identity
from colinear.search.settings import Settings

Json = dict[str, Any]
SCHEMA = 1  # counts up when a name changes its meaning or goes away


@cache
def results_schema() -> Schema:
    """results.schema.json: what results.json and its parts must look like; '#/$defs/run' is an entry of `runs`."""
    return Schema(json.loads(files("colinear.search").joinpath("results.schema.json").read_text(encoding="utf-8")))


def read_results(folder: RunFolder, settings: Settings | None = None) -> Json:
    """results.json of a run. Raises `InputError` if there is none, or with what it breaks of its schema.

    settings : if given, those of the run: the first in which results.json differs is refused too.
    """
    results = folder.read_json("results.json")
    path = folder.path / "results.json"
    version = results.get("schema", SCHEMA) if isinstance(results, dict) else SCHEMA
    if type(version) is int and version != SCHEMA:
        raise InputError(f"{path} has schema {version}; this version reads {SCHEMA}. Read it with its own version.")
    found = results_schema().problem(results)
    found = found or next(filter(None, map(entry_problem, results["runs"])), None)
    if found is None and len({entry["loss"] for entry in results["runs"]}) < len(results["runs"]):
        found = "it has a loss twice"
    if found is not None:
        raise InputError(f"{path} is damaged, or of another version: {found}. Start a new run.")
    if settings is not None:
        check_identity(f"{path}", {"settings": results["settings"]}, {"settings": settings.to_json()})
    return dict(results)


def entry_problem(entry: Any) -> str | None:
    """What is wrong with an entry of `runs`: the schema, or numbers in it that do not fit together."""
    found = results_schema().problem(entry, "#/$defs/run")
    if found is not None:
        return found
    count, counts, best = len(entry["trials"]), entry["confusion_matrix"], entry["best"]
    answers = entry.get("test_answers")
    rules = {
        "order does not rank the trials": sorted(entry["order"]) == list(range(count)),
        "best is not the first of order": entry["order"][0] == best,
        "the winner has no score": _has_score(entry["trials"], best),
        "choice names no trial with a score": entry["solver"] != "exact"
        or _has_score(entry["trials"], entry["details"]["choice"]["best"]),
        "a rung compares candidates that are not there": all(
            len(rung["candidates"]) == len(rung["val_accuracies"]) == len(rung.get("val_scores", rung["candidates"]))
            and max(rung["candidates"], default=0) < count
            for rung in entry["rungs"]
        ),
        "test_accuracy and confusion_matrix do not fit": (entry["test_accuracy"] is None)
        == (counts is None and answers is None)
        == (entry["test_accuracy_ci95"] is None),
        "it has a confusion_matrix and test_answers": counts is None or answers is None,
        "test_answers do not fit together": answers is None
        or (0 < answers["rows"] >= answers["correct"] and all(len(row) == 4 for row in answers["counts"])),
        "confusion_matrix is not square, or empty": counts is None
        or (all(len(row) == len(counts) for row in counts) and sum(map(sum, counts)) > 0),
    }  # fmt: skip
    found = next((what for what, holds in rules.items() if not holds), None)
    if found is None and entry["test_accuracy"] is not None:
        right, rows = (
            (sum(row[place] for place, row in enumerate(counts)), sum(map(sum, counts)))
            if answers is None
            else (answers["correct"], answers["rows"])
        )
        if not math.isclose(entry["test_accuracy"], right / rows, abs_tol=1e-9):
            found = f"test_accuracy is not that of {'confusion_matrix' if answers is None else 'test_answers'}"
    return None if found is None else f"{entry['loss']}: {found}"


def _has_score(trials: list[Json], number: int) -> bool:
    return number < len(trials) and trials[number].get("val_score", trials[number]["val_accuracy"]) is not None


def write_settings(folder: RunFolder, settings: Settings) -> None:
    """Write settings.json, with a digest of itself."""
    values = settings.to_json()
    folder.write_json("settings.json", {**values, "digest": _digest(values)})


def read_settings(folder: RunFolder) -> Settings:
    """The settings that a run was started with. Raises `InputError` if they were edited, or are none.

    The digest tells what was changed by hand or by chance, and not by somebody who computes it anew.
    """
    values = folder.read_json("settings.json")
    path = folder.path / "settings.json"
    if not isinstance(values, dict) or not isinstance(values.get("digest"), str):
        raise InputError(f"{path} was written by another version, or by hand. Start a new run.")
    digest = values.pop("digest")
    if digest != _digest(values):
        raise InputError(f"{path} was edited: a run goes on with the settings it began with. Start a new run.")
    return Settings.from_json(values)


def _digest(values: Json) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
