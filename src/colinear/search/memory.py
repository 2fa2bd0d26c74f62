"""Whether a search fits into memory, asked before it starts: a search that does not takes the machine down with it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from colinear.checks import InputError
from colinear.search.settings import COURSE_BATCH, Settings

try:
    import resource
except ImportError:  # no such limits on this platform
    resource = None  # type: ignore[assignment]

GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


def search_bytes(settings: Settings, n_classes: int, n_columns: int, itemsize: int = 4) -> int:
    """Bytes that the random search of one loss holds at least, beside the rows.

    Weights, their gradient and the result (k, c, d) each; with momentum and averaging one more each; losses (k, steps)
    float32 twice; one batch of rows (b, d) and its scores (k, c, b).

    >>> search_bytes(Settings("digits", solver="sgd", steps=10, batch_size=1), n_classes=10, n_columns=65)
    396260
    """
    k, batch = settings.candidates, settings.batch_size or max(COURSE_BATCH[loss] for loss in settings.losses)
    copies = 3 + (settings.momentum > 0) + (settings.averaging > 0)
    weights = copies * k * n_classes * n_columns * itemsize
    return weights + 2 * k * settings.steps * 4 + batch * (n_columns + k * n_classes) * itemsize


def most_bytes(device: torch.device) -> int:
    """Memory of a GPU; else of the machine, or of the container or the limit that this process is held to."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    found = [2**63]
    if hasattr(os, "sysconf"):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if resource is not None:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        found += [limit] if limit != resource.RLIM_INFINITY else []
    for path in GROUP_LIMITS:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        found += [int(text)] if text.isdecimal() else []
    return min(found)


def check_memory(settings: Settings, n_classes: int, n_columns: int, device: torch.device) -> None:
    """Raise `InputError` if the random search that `settings` describe cannot fit into the memory of `device`."""
    needed, most = search_bytes(settings, n_classes, n_columns), most_bytes(device)
    if settings.solver == "sgd" and needed > most:
        raise InputError(
            f"{settings.candidates:,} candidates of {n_classes:,} x {n_columns:,} weights and {settings.steps:,} steps "
            f"need {needed / 2**30:,.0f} GiB; there are {most / 2**30:,.0f}. Use fewer --candidates or --steps, or a "
            "smaller --batch-size."
        )
