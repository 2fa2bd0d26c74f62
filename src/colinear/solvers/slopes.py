"""Slopes of margins as the hinge's dual point: a bound that weights alone may not find."""

from __future__ import annotations

import torch
from torch import Tensor

from colinear.curvature import Rows
from colinear.objective import Objective


def count_rows(objective: Objective, held_out: Tensor | None = None) -> Rows:
    """What each row of one candidate counts for.   held_out : fold left out, a tensor of one number, -1 for none."""
    features, weights = objective.features, objective.unit_weights
    share = torch.ones(features.n_samples, dtype=torch.float64, device=features.device)
    share = share if weights is None else weights.to(share)
    if held_out is not None and objective.folds is not None:
        share = share * (objective.folds != held_out.to(share.device))
    labels = features.labels
    return Rows(labels.unsqueeze(0) if labels.ndim == 1 else labels.mT, share / share.sum())


def hinge_dual(slopes: Tensor, counted: Rows, rows: Tensor, reg: float) -> float:
    """A lower bound on the hinge's optimum, from any slopes in [0, 1].

    sum_ij s_i a_ij - |U|^2 / (4 reg),   U = sum_ij s_i a_ij (e_j - e_y) x_i^T

    slopes : a (c, n) float64, 0 for true classes.   rows : (n, d) float64.   reg : > 0.
    """
    shared = slopes * counted.share
    return float(shared.sum()) - float((against_true(shared, counted) @ rows).square().sum()) / (4 * reg)


def against_true(shared: Tensor, counted: Rows) -> Tensor:
    """Derivatives (c, n) by the scores of slopes of margins, share included, which are 0 for true classes."""
    return shared.scatter(0, counted.true, -shared.sum(0, keepdim=True))
