"""Strict JSON, and our reading of JSON schema: it agrees with jsonschema on every value that one edit makes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from colinear.schemas import DEEPEST, RULES, Schema, parse_json
from colinear.search.written import results_schema

DOCS = Path(__file__).parents[1] / "docs"
HANDLED = {"$ref", "type", "required", "properties", "additionalProperties", "items", "allOf", "if", "enum", "const"}
NOTES = {"$schema", "$defs", "title", "description", "then", "else"}  # that ask for nothing by themselves
DOCUMENT = json.loads((DOCS / "results.schema.json").read_text())
VALUES = (None, True, -1, 0, 1, 2.5, 1e-300, "", "exact", "try-1", "f" * 16, [], [0], [0, 0], {}, {"a": 1})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[NaN]", "number NaN"),
        (b"[-Infinity]", "number -Infinity"),
        (b"[1e999]", "number 1e999"),
        (b"[9223372036854775808]", "number 9223372036854775808"),
        (b"[" + b"9" * 5000 + b"]", "number 9999"),
        (b"[" * 100_000, "brackets|no JSON"),
        (b"[" * 200 + b"]" * 200, "brackets are too deep"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "brackets are too deep"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "brackets are too deep"),
        (b'"\xff"', "UTF-8"),
        (b"\xff\xfe[\0", "no JSON"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_text_that_is_not_ours_is_refused_with_the_reason(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        parse_json(text)
    assert len(str(refusal.value)) < 200


def test_what_we_write_is_read() -> None:
    value = {"é": [1.5, None, True, -(2**63) + 1, 2**63 - 1, "\ud800"], "deep": json.loads("[" * 30 + "]" * 30)}
    assert parse_json(json.dumps(value).encode()) == value


def test_the_package_has_the_schema_of_the_manual() -> None:
    assert results_schema().document == DOCUMENT


def test_every_word_of_the_schema_is_understood() -> None:
    def words(schema: Any) -> Iterator[str]:
        yield from schema
        for word, inner in schema.items():
            if word in ("properties", "$defs"):
                for part in inner.values():
                    yield from words(part)
            elif word in ("items", "if", "then", "else"):
                yield from words(inner)
            elif word == "allOf":
                for part in inner:
                    yield from words(part)

    assert set(words(DOCUMENT)) <= HANDLED | NOTES | set(RULES)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a value."""
    yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*way, key))


def edits(value: Any) -> Iterator[Any]:
    """`value` with one part replaced, dropped, or added to."""
    for way in places(value):
        for new in VALUES if way else ():
            edited = copy.deepcopy(value)
            holder = edited
            for key in way[:-1]:
                holder = holder[key]
            holder[way[-1]] = new
            yield edited
        edited = copy.deepcopy(value)
        holder = edited
        for key in way[:-1]:
            holder = holder[key]
        part = holder[way[-1]] if way else holder
        if isinstance(part, dict):
            part["more"] = 1
            yield edited
        if way and isinstance(holder, dict):
            edited = copy.deepcopy(edited)
            del holder[way[-1]]
            yield edited


def test_one_edit_of_a_run_is_judged_as_jsonschema_judges_it(results: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(DOCUMENT)
    refused = 0
    for whole in (results["exact"], results["sgd"], results["tries"]):
        assert results_schema().problem(whole) is None
        for edited in edits(whole):
            text = json.dumps(edited)
            ours, theirs = results_schema().problem(edited), validator.is_valid(edited)
            assert (ours is None) == theirs, (ours, text)
            refused += not theirs
    assert refused > 3000


def test_a_problem_names_its_place_in_bounded_words(results: dict[str, Any]) -> None:
    broken = copy.deepcopy(results["exact"])
    broken["runs"][0]["trials"][1]["reg"] = "x" * 10_000
    found = results_schema().problem(broken)
    assert found is not None
    assert re.match(r"runs\[0\]\.trials\[1\]\.reg must be of type number; it is 'xxx", found)
    assert len(found) < 250


def test_whole_numbers_are_ints_for_us_because_they_are_indices() -> None:
    assert Schema({"type": "integer"}).problem(1.0) is not None
    assert Schema({"type": "number"}).problem(1) is None
    assert Schema({"type": "number"}).problem(float("nan")) is not None


def test_the_end_of_a_pattern_is_the_end_of_the_text() -> None:
    assert Schema({"pattern": "^a$"}).problem("a") is None
    assert Schema({"pattern": "^a$"}).problem("a\n") is not None


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """One small results.json of each kind, made by hand."""
    trial = {"reg": 0.1, "train_accuracy": 0.5, "val_accuracy": 0.4, "status": "converged", "objective": 1.0,
             "relative_gap": 0.01, "passes": 3, "val_error": 0.1}  # fmt: skip
    drawn = {"reg": 0.1, "train_accuracy": 0.5, "val_accuracy": None, "status": "diverged", "learning_rate": 0.1,
             "steps": 5, "loss": None}  # fmt: skip
    details = {
        "tol": 0.1, "passes": 3, "solve_seconds": 0.1,
        "spectrum": {"eigenvectors": 1, "of": 2, "rows": 3, "seconds": 0.1},
        "range": {
            "automatic": True, "started_with": 2, "weaker_added": 0, "stronger_added": 0, "winner_at": None,
            "warning": None,
        },
        "choice": {"rule": "best", "best": 1, "at_least": 0.4},
    }  # fmt: skip
    run = {
        "loss": "hinge", "solver": "exact", "metric": "accuracy", "trials": [trial, trial], "best": 1, "order": [1, 0],
        "rungs": [],
        "details": details, "test_accuracy": 0.5, "test_accuracy_ci95": [0.1, 0.9],
        "confusion_matrix": [[1, 1], [0, 0]], "seconds": 0.5,
    }  # fmt: skip
    rung = {"step": 2, "entered": 2, "stayed": 1, "val_accuracies": [0.1, None], "candidates": [0, 1]}
    sgd = {**run, "solver": "sgd", "trials": [drawn, drawn], "rungs": [rung], "details": {}}
    settings = {
        "data": "digits", "data_dir": None, "label": None, "sample_weight": None, "losses": ["hinge"],
        "metric": "accuracy", "class_weight": None, "calibrate": None, "solver": "exact", "seed": 0,
        "device": "auto", "standardize": False, "intercept_scaling": 1.0, "augment": None, "candidates": 50,
        "learning_rates": [1e-4, 0.1], "reg_range": [1e-3, 1.0], "steps": 5000, "batch_size": None, "momentum": 0.0,
        "schedule": "constant", "averaging": 0.0, "precision": "highest", "eta": None, "subspace": None, "regs": [0.1],
        "tol": 1e-3, "max_passes": 300, "refit": False, "cv": None, "rule": "best", "shots": None,
        "tries": 5, "max_abs": False, "free_intercept": False, "features": None, "pool": None, "layers": None,
    }  # fmt: skip
    whole = {
        "schema": 1,
        "dataset": {
            "name": "digits", "n_train": 5, "n_validation": 2, "n_test": None, "n_features": 4,
            "class_names": ["a", "b"], "image_shape": [1, 2, 2], "fingerprint": "0" * 16,
        },
        "settings": settings,
        "environment": {
            "colinear": "1", "torch": "2", "safetensors": "0", "python": "3", "platform": "x", "device": "cpu",
            "threads": 1,
        },
        "runs": [run],
    }  # fmt: skip
    one = {"folder": "try-1", "seed": 0, "winner": trial, "winner_at": None, "test_accuracy": 0.5, "seconds": 0.1}
    tries = {
        "loss": "hinge", "solver": "exact", "metric": "accuracy", "count": 1, "val_accuracy": 0.4, "val_spread": None,
        "test_accuracy": 0.5, "test_spread": None, "each": [one],
    }  # fmt: skip
    made = {
        "exact": whole,
        "sgd": {**whole, "runs": [sgd]},
        "tries": {**whole, "settings": {**settings, "shots": 2}, "runs": [], "tries": [tries]},
    }
    return dict(json.loads(json.dumps(made)))  # no part is in two places
