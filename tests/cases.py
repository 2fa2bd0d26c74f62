"""The table of losses that contract tests run over: ids, where each may be differentiated, tolerances and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.losses import Hinge, Logistic, Loss, Softmax, SquaredHinge
from colinear.reference import Problem, hinge_loops, logistic_loops, softmax_loops, squared_hinge_loops

# Two float64 computations of one sum in different orders: a few hundred roundings of 1e-16 each.
ROUNDING64 = 1e-12
# The same in float32, relative to the size of the result: 1e-7 each, most of them cancel.
ROUNDING32 = 2e-6


@dataclass(frozen=True)
class LossCase:
    """A loss and what tests need to know about it.

    kinks : margins (s_j - s_y + 1; class by class 1 - t_j s_j) at which the loss has no derivative (slope), none for a
    smooth one.
    bends : margins at which the slope itself has none (curvature).
    loops : the plain loops, where there are any.
    """

    id: str
    loss: Loss
    kinks: tuple[float, ...] = ()
    bends: tuple[float, ...] = ()
    loops: Problem | None = None

    def is_smooth_at(self, scores: Tensor, labels: Tensor, reach: float, *, twice: bool = False) -> bool:
        """Whether every margin of scores (k, c, n) keeps further than `reach` from kinks (and bends if `twice`)."""
        true = labels.view(1, 1, -1).expand(len(scores), 1, -1)
        wrong = torch.ones_like(scores, dtype=torch.bool).scatter_(1, true, value=False)
        margins = scores - scores.gather(1, true) + 1
        if self.loss.by_class:
            margins, wrong = 1 + torch.where(wrong, scores, -scores), torch.ones_like(wrong)
        places = self.kinks + (self.bends if twice else ())
        return all(bool(((margins[wrong] - place).abs() > reach).all()) for place in places)


LOSS_CASES = (
    LossCase("softmax", Softmax(), loops=softmax_loops),
    LossCase("hinge", Hinge(), kinks=(0.0,), loops=hinge_loops),
    LossCase("hinge-wide", Hinge(1.0), bends=(0.0, 1.0)),
    LossCase("hinge-narrow", Hinge(0.05), bends=(0.0, 0.05)),
    LossCase("logistic", Logistic(), loops=logistic_loops),
    LossCase("squared-hinge", SquaredHinge(), bends=(0.0,), loops=squared_hinge_loops),
)
INVARIANT_CASES = tuple(case for case in LOSS_CASES if case.loss.shift_invariant)
CLASSWISE_CASES = tuple(case for case in LOSS_CASES if case.loss.by_class)
LOOP_CASES = tuple(case for case in LOSS_CASES if case.loops is not None)
