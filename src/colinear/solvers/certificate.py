"""How far from the optimum any weights are at most, whatever trained them."""

from __future__ import annotations

import torch
from torch import Tensor

from colinear.checks import check_number
from colinear.losses import Loss
from colinear.objective import Objective

WIDTHS = (1e-9, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0)  # smoothings whose slopes are tried as the hinge's dual point


def certify(objective: Objective, loss: Loss, coef: Tensor, reg: float) -> tuple[float, float]:
    """Objective and duality gap of weights (c, d) on the scaled features, in float64: objective - optimum <= gap.

    The softmax's probabilities are its dual point. The hinge has many at its kinks: the slopes of eight smoothings
    are tried, each of which is feasible, and the smallest gap counts.
    reg : > 0.     Cost : one pass over the rows in float64.

    >>> from colinear.datasets import Features, fit_scaling, load_digits
    >>> from colinear.losses import Softmax
    >>> data = load_digits()
    >>> value, gap = certify(Objective(Features(data, fit_scaling(data))), Softmax(), torch.zeros(10, 65), 1e-3)
    >>> round(value, 4), gap > 1  # weights of 0 are far from the optimum
    (2.3026, True)
    """
    check_number("reg", reg, above=0)
    widths = coef.new_tensor(WIDTHS if loss.kinked else WIDTHS[:1], dtype=torch.float64)
    copies = coef.double().expand(len(widths), *coef.shape)
    there = objective.evaluate(copies, torch.full_like(widths, reg), loss.smooth(widths) if loss.kinked else loss)
    return float(there.objective[0]), float(there.gap.min())
