"""A solver's path as plain arrays, so that a fitted estimator holds nothing but numpy, numbers and text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from colinear.solvers.solution import Path, PathPoint, Status


def pack_path(path: Path) -> dict[str, Any]:
    """Arrays with one entry a point (coef (k, c, d), reg, objective, gap, passes, status), and the path's numbers."""
    points = path.points
    return {
        "coef": np.stack([point.coef.cpu().numpy() for point in points]),
        "reg": np.array([point.reg for point in points]),
        "objective": np.array([point.objective for point in points]),
        "gap": np.array([point.gap for point in points]),
        "point_passes": np.array([point.passes for point in points]),
        "status": np.array([point.status.key for point in points]),
        "passes": path.passes,
        "setup_seconds": path.setup_seconds,
        "seconds": path.seconds,
        "details": path.details,
    }


def unpack_path(packed: dict[str, Any]) -> Path:
    """The path that `pack_path` packed, with weights in host memory.

    >>> point = PathPoint(0.1, torch.ones(2, 3), 1.0, 0.5, 7, Status.STALLED)
    >>> again = unpack_path(pack_path(Path((point,), 7, 0.0, 0.0))).points[0]
    >>> again.status, again.relative_gap, again.coef.shape
    (<Status.STALLED: 'no further progress is possible in this precision'>, 0.5, torch.Size([2, 3]))
    """
    points = tuple(
        PathPoint(
            float(packed["reg"][k]),
            torch.tensor(packed["coef"][k]),
            float(packed["objective"][k]),
            float(packed["gap"][k]),
            int(packed["point_passes"][k]),
            Status[str(packed["status"][k]).upper()],
        )
        for k in range(len(packed["reg"]))
    )
    return Path(points, packed["passes"], packed["setup_seconds"], packed["seconds"], packed["details"])
