"""The schema of results.json: results.schema.json beside this file, which the manual links to."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from colinear.schemas import Schema

SCHEMA = 1  # counts up when a name changes its meaning or goes away


@cache
def results_schema() -> Schema:
    """What results.json and its parts must look like: '#/$defs/run' is an entry of `runs`."""
    return Schema(json.loads(files("colinear.search").joinpath("results.schema.json").read_text(encoding="utf-8")))
