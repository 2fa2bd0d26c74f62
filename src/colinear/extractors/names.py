"""Extractors by name: what the command line calls them, and what files say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor

from colinear.checks import InputError
from colinear.extractors.base import Extractor, Fitted, RowKind
from colinear.extractors.custom import Custom, import_custom
from colinear.extractors.hog import Hog
from colinear.extractors.kernel import Kernel
from colinear.extractors.network import Network
from colinear.extractors.patches import Patches
from colinear.texts import shown

KINDS: dict[str, type[Extractor]] = {one.kind: one for one in (Hog, Patches, Kernel, Network, Custom)}
COUNTED: dict[str, type[Patches] | type[Kernel]] = {"patches": Patches, "kernel": Kernel}
PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
LONGEST_NAME = 200
FORMS = "hog, hog+color, patches:K, kernel:D, hf:NAME_OR_FOLDER or MODULE:FUNCTION"
FACTS = ("kind", "options", "seed", "n_inputs", "image_shape", "value_range", "n_features")


def parse_extractor(text: str, pool: str | None = None, layers: tuple[int, ...] = ()) -> Extractor:
    """Read the command line's form: hog, hog+color, patches:K, kernel:D, hf:NAME_OR_FOLDER or MODULE:FUNCTION.

    Networks are not loaded, and modules not imported.
    pool, layers : of a network, as `Network` has them; `InputError` with any other.

    >>> parse_extractor("patches:1600").count, parse_extractor("hog+color").color
    (1600, True)
    >>> parse_extractor("sift")
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: an extractor must be hog, hog+color, patches:K, kernel:D, hf:NAME_OR_FOLDER or
    MODULE:FUNCTION; got 'sift'.
    """
    word, _, rest = text.partition(":")
    if word == "hf":
        return Network(rest, pool or "cls", layers)
    if pool is not None or layers:
        raise InputError(f"--pool and --layers belong to networks, hf:NAME_OR_FOLDER; got {shown(text)}.")
    if text in ("hog", "hog+color"):
        return Hog(color=text != "hog")
    if word in COUNTED and rest.isascii() and rest.isdigit() and len(rest) < 10:
        return COUNTED[word](int(rest))
    if word not in COUNTED and len(text) <= LONGEST_NAME and PLACE.fullmatch(text):
        return Custom(text)
    raise InputError(f"an extractor must be {FORMS}; got {shown(text)}.")


def open_extractor(text: str, pool: str | None = None, layers: tuple[int, ...] = ()) -> Extractor:
    """`parse_extractor`, with the network loaded or the function imported. For names that the user wrote."""
    extractor = parse_extractor(text, pool, layers)
    if isinstance(extractor, Network):
        return extractor.open()
    return import_custom(text) if isinstance(extractor, Custom) else extractor


def restore(facts: Any, tensors: Mapping[str, Tensor]) -> Fitted:
    """The extractor that `Fitted.facts` describes; nothing is imported. Raises `InputError` for what does not fit."""
    if not isinstance(facts, dict) or any(name not in facts for name in FACTS):
        raise InputError("the facts of an extractor are incomplete.")
    kind, options, shape = KINDS.get(str(facts["kind"])), facts["options"], facts["image_shape"]
    if kind is None:
        raise InputError(f"there is no extractor of kind {shown(facts['kind'])} in this version.")
    known = {one.name for one in fields(kind) if one.compare}  # the others are what no file holds
    if not isinstance(options, dict) or set(options) != known:
        raise InputError(f"options of {kind.kind} must be {', '.join(sorted(known))}.")
    if not isinstance(shape, list | None):
        raise InputError("image_shape must be a list or null.")
    rows = RowKind(facts["n_inputs"], None if shape is None else (*shape,), facts["value_range"])
    extractor = kind(**options)
    fitted = Fitted(extractor, rows, tensors, facts["seed"], facts["n_features"], facts.get("trained_on"))
    if not isinstance(extractor, Custom | Network) and extractor.width(rows) != fitted.n_features:
        raise InputError(f"{fitted.name} makes {extractor.width(rows)} features, not {fitted.n_features}.")
    return fitted
