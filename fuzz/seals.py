"""Digests made anew after a mutation: whoever edits a file on purpose does that too, and the checks behind are reached.

A file that the mutation has left without form, or of a format without a digest, stays as it is.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from typing import Any

from safetensors.torch import load

from fuzz.structure import join_safetensors, split_safetensors

Seal = Callable[[bytes], bytes]


def seal(kind: str, content: bytes) -> tuple[bytes, bool]:
    """`content` with a digest that fits, and whether it has one. kind : 'model', 'checkpoint' or 'settings.json'."""
    try:
        return SEALS[kind](content), True
    except Exception:
        return content, False


def _seal_model(content: bytes) -> bytes:
    digest = importlib.import_module("colinear.modelfile").digest
    header, data = split_safetensors(content)
    inner: dict[str, Any] = json.loads(header["__metadata__"]["colinear"])
    del inner["digest"]
    inner["digest"] = digest(inner, load(content))
    header["__metadata__"]["colinear"] = json.dumps(inner, sort_keys=True)
    return join_safetensors(json.dumps(header), data)


def _seal_checkpoint(content: bytes) -> bytes:
    digest = importlib.import_module("colinear.search.runfolder")._digest
    header, data = split_safetensors(content)
    del header["__metadata__"]["digest"]
    header["__metadata__"]["digest"] = digest(load(content), header["__metadata__"])
    return join_safetensors(json.dumps(header, sort_keys=True), data)


def _seal_settings(content: bytes) -> bytes:
    values: dict[str, Any] = json.loads(content)
    del values["digest"]
    values["digest"] = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:32]
    return json.dumps(values, indent=2).encode()


def seal_learned(facts: bytes, learned: bytes) -> bytes:
    """features.json with the digest of what the extractor has learned."""
    values: dict[str, Any] = json.loads(facts)
    values["fitted"]["sha256"] = hashlib.sha256(learned).hexdigest()
    return json.dumps(values).encode()


SEALS: dict[str, Seal] = {"model": _seal_model, "checkpoint": _seal_checkpoint, "settings.json": _seal_settings}
