"""JSON that colinear wrote itself, read back: strict text, and a value held against its JSON schema.

A file in a run's folder may be edited, cut, or somebody else's. `parse_json` takes no more than what `json.dumps` of
finite numbers writes, and `Schema` understands the part of JSON schema (draft 2020-12) that our own schemas use.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from colinear.checks import MOST_SEED
from colinear.texts import shown

DEEPEST = 32  # brackets inside each other; what we write has eight
TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),  # 1.0 is none: it is no index
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
}
# word -> the type it asks something of, whether a value of that type keeps it, and how that is told
RULES: dict[str, tuple[str, Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", operator.ge, "must be >= {wanted}; it is {shown}"),
    "maximum": ("number", operator.le, "must be <= {wanted}; it is {shown}"),
    "exclusiveMinimum": ("number", operator.gt, "must be > {wanted}; it is {shown}"),
    "exclusiveMaximum": ("number", operator.lt, "must be < {wanted}; it is {shown}"),
    "minItems": ("array", lambda items, least: len(items) >= least, "must be at least {wanted} long; it has {length}"),
    "maxItems": ("array", lambda items, most: len(items) <= most, "must be at most {wanted} long; it has {length}"),
    "uniqueItems": (
        "array",
        lambda items, _: len({json.dumps(item, sort_keys=True) for item in items}) == len(items),
        "must have each value once",
    ),
    "pattern": (
        "string",
        lambda text, form: re.search(form.replace("$", r"\Z"), text) is not None,
        "must match {wanted}; it is {shown}",
    ),
}


def parse_json(text: bytes) -> Any:
    """The value of strict JSON in UTF-8. Raises `ValueError` with the reason.

    Refused, with what is no JSON at all: NaN and infinities, numbers that overflow, whole numbers beyond 2^63, and
    more than 32 brackets inside each other.

    >>> parse_json(b'{"a": [1, null]}')
    {'a': [1, None]}
    >>> parse_json(b"[1e999]")
    Traceback (most recent call last):
    ...
    ValueError: it has the number 1e999
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("its brackets are too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON (line {error.lineno})") from None
    except UnicodeDecodeError:
        raise ValueError("it is no JSON in UTF-8") from None
    if _depth(value) > DEEPEST:
        raise ValueError("its brackets are too deep")
    return value


def _refuse(text: str) -> Any:
    raise ValueError(f"it has the number {shown(text).strip(chr(39))}")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _whole(text: str) -> int:
    value = int(text) if len(text) < 25 else MOST_SEED + 1
    return value if abs(value) <= MOST_SEED else _refuse(text)


def _depth(value: Any) -> int:
    """How many brackets are open at the deepest place; without recursion."""
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


def plain_number(value: Any) -> Any:
    """NaN and infinities as None: JSON has no word for them."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Schema:
    """A JSON schema, as far as ours go: an integer is an int, as JSON text distinguishes it.

    >>> schema = Schema({"type": "object", "required": ["steps"], "properties": {"steps": {"minimum": 1}}})
    >>> schema.problem({"steps": 0}), schema.problem({}), schema.problem({"steps": 3})
    ('steps must be >= 1; it is 0', 'steps is missing', None)
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def problem(self, value: Any, part: str = "#") -> str | None:
        """The first thing in which `value` breaks the schema, or None; `part` is a reference as '#/$defs/run'."""
        return next(self._problems(value, self._find(part), ""), None)

    def _find(self, reference: str) -> dict[str, Any]:
        found: Any = self.document
        for name in reference.removeprefix("#").split("/")[1:]:
            found = found[name]
        return dict(found)

    def _problems(self, value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
        if "$ref" in schema:
            yield from self._problems(value, self._find(schema["$ref"]), place)
        if "type" in schema:
            kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
            if not any(TYPES[kind](value) for kind in kinds):
                yield f"{place or 'it'} must be of type {' or '.join(kinds)}; it is {shown(value)}"
                return
        yield from _own_problems(value, schema, place)
        for part, inner, where in self._parts(value, schema, place):
            yield from self._problems(part, inner, where)

    def _parts(self, value: Any, schema: dict[str, Any], place: str) -> Iterator[tuple[Any, dict[str, Any], str]]:
        """What further schemas inside `schema` are about: (part of the value, its schema, its place)."""
        if isinstance(value, dict):
            for name in (name for name in schema.get("properties", {}) if name in value):
                yield value[name], schema["properties"][name], _inside(place, name)
        if isinstance(value, list) and "items" in schema:
            for number, item in enumerate(value):
                yield item, schema["items"], f"{place}[{number}]"
        for inner in schema.get("allOf", []):
            yield value, inner, place
        if "if" in schema:
            holds = next(self._problems(value, schema["if"], place), None) is None
            yield value, schema.get("then" if holds else "else", {}), place


def _own_problems(value: Any, schema: dict[str, Any], place: str) -> Iterator[str]:
    """In what `value` itself, its parts aside, breaks `schema`."""
    if isinstance(value, dict):
        yield from (f"{_inside(place, name)} is missing" for name in schema.get("required", []) if name not in value)
        if not schema.get("additionalProperties", True):
            known = schema.get("properties", {})
            yield from (f"{_inside(place, shown(name))} is unknown" for name in value if name not in known)
    for word in (word for word in schema if word in RULES):
        kind, keeps, rule = RULES[word]
        if TYPES[kind](value) and not keeps(value, schema[word]):
            length = len(value) if isinstance(value, list) else None
            yield f"{place or 'it'} {rule.format(wanted=schema[word], shown=shown(value), length=length)}"
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if choices and not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in choices):
        yield f"{place or 'it'} must be {' or '.join(map(str, choices))}; it is {shown(value)}"


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
