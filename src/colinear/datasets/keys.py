"""Which of the named arrays in a file are the features and which the labels."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from colinear.checks import InputError
from colinear.texts import listed, shorten, shown_path

FEATURE_KEYS = ("X", "x", "features", "embeddings", "data")
LABEL_KEYS = ("y", "Y", "labels", "label", "targets", "target")


def pick_keys(keys: Collection[str], path: Path, label: str | None) -> tuple[str, str]:
    """Return (key of the features, key of the labels); `label` names the latter, else the usual names are tried.

    >>> pick_keys(["ids", "X", "species"], Path("a.npz"), "species")
    ('X', 'species')
    """
    features = next((key for key in FEATURE_KEYS if key in keys and key != label), None)
    labels = label if label is not None else next((key for key in LABEL_KEYS if key in keys), None)
    if features is None:
        rest = [key for key in keys if key != labels]
        features = rest[0] if len(rest) == 1 else None
    if features is None or labels is None or labels not in keys:
        wanted = "y, labels, ..." if labels is None else shorten(labels, 30)
        raise InputError(
            f"{shown_path(path)} must have features (one of {', '.join(FEATURE_KEYS)}) and labels ({wanted}); "
            f"it has {listed(keys) or 'nothing'}. Name the labels with --label."
        )
    return features, labels
