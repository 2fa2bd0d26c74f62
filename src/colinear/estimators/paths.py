"""A solver's path as plain arrays, so that a fitted estimator holds nothing but numpy, numbers and text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from colinear.solvers.solution import Path, PathPoint, Status

WHOLE = ("passes", "setup_seconds", "seconds", "details")  # of a `Path`, after its points


def pack_path(path: Path) -> dict[str, Any]:
    """Arrays with one entry a point (coef (k, c, d), reg, objective, gap, passes, status), and the path's numbers."""
    points = path.points
    return {
        "coef": np.stack([point.coef.cpu().numpy() for point in points]),
        **{name: np.array([getattr(point, name) for point in points]) for name in ("reg", "objective", "gap")},
        "point_passes": np.array([point.passes for point in points]),
        "status": np.array([point.status.key for point in points]),
        **{name: getattr(path, name) for name in WHOLE},
    }


def unpack_path(packed: dict[str, Any]) -> Path:
    """The path that `pack_path` packed, with weights in host memory.

    >>> point = PathPoint(0.1, torch.ones(2, 3), 1.0, 0.5, 7, Status.STALLED)
    >>> again = unpack_path(pack_path(Path((point,), 7, 0.0, 0.0))).points[0]
    >>> again.status, again.relative_gap, again.coef.shape
    (<Status.STALLED: 'no further progress is possible in this precision'>, 0.5, torch.Size([2, 3]))
    """
    listed = (packed[name].tolist() for name in ("reg", "objective", "gap", "point_passes", "status"))
    points = tuple(
        PathPoint(reg, torch.tensor(coef), objective, gap, passes, Status[status.upper()])
        for coef, reg, objective, gap, passes, status in zip(packed["coef"], *listed, strict=True)
    )
    return Path(points, *(packed[name] for name in WHOLE))
