"""No `@given` test has a deadline, and each can be repeated: the profile in conftest.py holds for all of them."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest
from hypothesis import given, is_hypothesis_test, settings
from hypothesis import strategies as st

FILES = sorted(Path(__file__).parent.glob("test_*.py"))
OWN = ("deadline", "derandomize", "print_blob", "database")  # what the profile alone decides


@given(st.none())
def ordinary(_: None) -> None:
    """A property test as any file has them."""


@pytest.mark.parametrize("test", [ordinary, settings(max_examples=3)(ordinary)], ids=["plain", "own number"])
def test_a_property_has_no_deadline_and_can_be_repeated(test: object) -> None:
    assert is_hypothesis_test(test)
    own = getattr(test, "_hypothesis_internal_use_settings", None) or settings()
    assert own.deadline is None
    assert own.print_blob
    assert own.derandomize == bool(os.environ.get("CI"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_file_overrides_the_profile(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    given_ = [word for call in calls if ast.unparse(call.func).endswith("settings") for word in call.keywords]
    faults = [ast.unparse(word) for word in given_ if word.arg in OWN and ast.unparse(word) != "deadline=None"]
    assert faults == []
