"""JSON that colinear wrote itself, read back: strict text, and a value held against its JSON schema.

A file in a run's folder may be edited, cut, or somebody else's. `parse_json` takes no more than what `json.dumps` of
finite numbers writes, and `Schema` understands the part of JSON schema (draft 2020-12) that our own schemas use.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from colinear.checks import MOST_SEED
from colinear.texts import shown

DEEPEST = 32  # brackets inside each other; what we write has eight
NUMBERS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}
WORDS = {
    "minimum": ">= {}", "maximum": "<= {}", "exclusiveMinimum": "> {}", "exclusiveMaximum": "< {}",
    "minItems": "at least {} long", "maxItems": "at most {} long",
}  # fmt: skip
TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),  # 1.0 is none: it is no index
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
}
NOTES = ("$schema", "$defs", "title", "description", "then", "else")  # that ask for nothing by themselves


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
    """A JSON schema, as far as ours go: see `KEYWORDS`. An integer is an int, as JSON text distinguishes it.

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
        for word, wanted in schema.items():
            if word not in NOTES and word not in ("$ref", "type"):
                yield from KEYWORDS[word](self, value, wanted, schema, place)


def _check_number(word: str) -> Any:
    def check(_: Schema, value: Any, bound: Any, __: Any, place: str) -> Iterator[str]:
        if TYPES["number"](value) and not NUMBERS[word](value, bound):
            yield f"{place or 'it'} must be {WORDS[word].format(bound)}; it is {shown(value)}"

    return check


def _check_length(word: str) -> Any:
    def check(_: Schema, value: Any, bound: int, __: Any, place: str) -> Iterator[str]:
        if isinstance(value, list) and (len(value) < bound if word == "minItems" else len(value) > bound):
            yield f"{place or 'it'} must be {WORDS[word].format(bound)}; it has {len(value)}"

    return check


def _check_required(_: Schema, value: Any, names: list[str], __: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{_inside(place, name)} is missing" for name in names if name not in value)


def _check_properties(one: Schema, value: Any, parts: dict[str, Any], _: Any, place: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, schema in parts.items():
            if name in value:
                yield from one._problems(value[name], schema, _inside(place, name))


def _check_others(_: Schema, value: Any, allowed: bool, schema: dict[str, Any], place: str) -> Iterator[str]:
    if isinstance(value, dict) and not allowed:
        known = schema.get("properties", {})
        yield from (f"{_inside(place, shown(name))} is unknown" for name in value if name not in known)


def _check_items(one: Schema, value: Any, schema: dict[str, Any], _: Any, place: str) -> Iterator[str]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from one._problems(item, schema, f"{place}[{number}]")


def _check_unique(_: Schema, value: Any, __: Any, ___: Any, place: str) -> Iterator[str]:
    if isinstance(value, list) and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
        yield f"{place or 'it'} must have each value once"


def _check_choice(_: Schema, value: Any, choices: list[Any], __: Any, place: str) -> Iterator[str]:
    if not any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices):
        yield f"{place or 'it'} must be {' or '.join(map(str, choices))}; it is {shown(value)}"


def _check_const(one: Schema, value: Any, wanted: Any, schema: Any, place: str) -> Iterator[str]:
    yield from _check_choice(one, value, [wanted], schema, place)


def _check_pattern(_: Schema, value: Any, pattern: str, __: Any, place: str) -> Iterator[str]:
    if isinstance(value, str) and re.search(pattern.replace("$", r"\Z"), value) is None:
        yield f"{place or 'it'} must match {pattern}; it is {shown(value)}"


def _check_all(one: Schema, value: Any, schemas: list[dict[str, Any]], _: Any, place: str) -> Iterator[str]:
    for schema in schemas:
        yield from one._problems(value, schema, place)


def _check_if(one: Schema, value: Any, condition: dict[str, Any], schema: dict[str, Any], place: str) -> Iterator[str]:
    holds = next(one._problems(value, condition, place), None) is None
    yield from one._problems(value, schema.get("then" if holds else "else", {}), place)


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


KEYWORDS: dict[str, Callable[[Schema, Any, Any, dict[str, Any], str], Iterator[str]]] = {
    **{word: _check_number(word) for word in NUMBERS},
    "minItems": _check_length("minItems"),
    "maxItems": _check_length("maxItems"),
    "required": _check_required,
    "properties": _check_properties,
    "additionalProperties": _check_others,
    "items": _check_items,
    "uniqueItems": _check_unique,
    "enum": _check_choice,
    "const": _check_const,
    "pattern": _check_pattern,
    "allOf": _check_all,
    "if": _check_if,
}
