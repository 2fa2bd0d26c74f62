"""scikit-learn's own tests, from the installed package, with the names of its linear classifiers swapped for ours.

A test file is executed anew while `sklearn.linear_model` and `sklearn.svm` hold our classes under scikit-learn's
names, so what it imports, and what stands in its decorators, are ours. Of its tests those are taken that name one of
them. One default is changed, since their LogisticRegression has no penalty on its intercept, and nothing else.
`swapped.toml` lists the files, and the tests that cannot pass, with the reason of each.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import sklearn
import sklearn.calibration
import sklearn.linear_model
import sklearn.svm
from sklearn.base import BaseEstimator

from colinear.estimators import SoftmaxClassifier, SoftmaxClassifierCV, SquaredHingeClassifier

ROOT = Path(sklearn.__file__).parent
TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("swapped.toml").read_text(encoding="utf-8"))
KINDS = ("cannot", "fails", "waits")  # the first that lists a test
FIXTURE = type(pytest.fixture(lambda: None))


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(SoftmaxClassifier):
    """`SoftmaxClassifier` under the name that scikit-learn's messages and tests expect, its intercept without a penalty
    as theirs.
    """

    penalize_intercept: bool = False


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegressionCV(SoftmaxClassifierCV):
    """`SoftmaxClassifierCV`, likewise."""

    penalize_intercept: bool = False


class LinearSVC(SquaredHingeClassifier):
    """`SquaredHingeClassifier`, likewise, which has its default loss."""


OURS = {ours.__name__: ours for ours in (LogisticRegression, LogisticRegressionCV, LinearSVC)}
PUBLIC = (sklearn.linear_model, sklearn.svm, sklearn.calibration)  # modules that hold the names; the last imports one


@contextmanager
def swap() -> Iterator[None]:
    """scikit-learn's names lead to our classes, where a program asks for them."""
    with pytest.MonkeyPatch.context() as patch:
        for module in PUBLIC:
            for name in OURS.keys() & vars(module).keys():
                patch.setattr(module, name, OURS[name])
        yield


def names() -> Iterator[str]:
    """The names in the table, of single tests and patterns."""
    for kind in KINDS:
        for entry in TABLE[kind]:
            yield from entry["tests"]


def look_up(test: str) -> tuple[str | None, str]:
    """What the table says about a test such as 'test_svm::test_weight': one of KINDS, or None, and the reason."""
    for kind in KINDS:
        for entry in TABLE[kind]:
            if any(fnmatchcase(test, name) for name in entry["tests"]):
                return kind, entry["reason"]
    return None, ""


def load_tests(file: str) -> tuple[dict[str, staticmethod[..., None]], dict[str, Any]]:
    """The tests of a file of scikit-learn's, such as 'svm/tests/test_svm.py', that name a swapped class; its fixtures.

    A test that goes through a table of estimators is taken for those that are, or hold, one of the swapped alone.
    """
    name = "swapped_" + file.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where pickle looks for its classes
    with swap(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what importing it warns of is no test's concern
        spec.loader.exec_module(module)
    tests = {key: value for key, value in vars(module).items() if key.startswith("test_") and inspect.isfunction(value)}
    fixtures = {key: value for key, value in vars(module).items() if isinstance(value, FIXTURE)}
    found = {}
    for key, test in tests.items():
        everywhere = _code_names_ours(inspect.unwrap(test).__code__, vars(module), set())
        everywhere = everywhere or _holds_ours(test.__defaults__ or ())
        marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
        if not everywhere and not any(_holds_ours(mark.args[1]) for mark in marks):
            continue
        found[key] = staticmethod(test)
        for mark in marks:
            values = list(mark.args[1])
            if not everywhere and _holds_ours(values):
                kept = [number for number, value in enumerate(values) if _holds_ours(value)]
                values = [values[number] for number in kept]
                if isinstance(mark.kwargs.get("ids"), list):
                    mark.kwargs["ids"] = [mark.kwargs["ids"][number] for number in kept]
            object.__setattr__(mark, "args", (mark.args[0], values, *mark.args[2:]))
    return found, fixtures


def _holds_ours(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_ours(part) for part in value.values())
    if isinstance(value, list | tuple | set):
        return any(_holds_ours(part) for part in value)
    if isinstance(value, partial):
        return _holds_ours(value.func)
    if isinstance(value, BaseEstimator):
        return type(value).__name__ in OURS or _holds_ours(list(vars(value).values()))
    return isinstance(value, type) and value.__name__ in OURS


def _code_names_ours(code: CodeType, names: dict[str, Any], seen: set[str]) -> bool:
    if OURS.keys() & set(code.co_names):
        return True
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    for name in set(code.co_names) & names.keys() - seen:
        seen.add(name)
        value = names[name]
        if _holds_ours(value):
            return True
        if inspect.isfunction(value) and value.__module__ == names["__name__"]:
            inner.append(value.__code__)
    return any(_code_names_ours(part, names, seen) for part in inner)
