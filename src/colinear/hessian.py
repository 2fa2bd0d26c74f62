"""The Hessian of one candidate's objective as what multiplies with it: two products of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.curvature import AllPairs, ClassBends, Rows
from colinear.losses import Loss
from colinear.objective import Objective
from colinear.products import Products, pass_products


@dataclass(frozen=True, eq=False)
class Hessian:
    """Second derivatives of the mean loss + reg sum(W*W) at one candidate's weights.

    bends : ranges of rows and what curvature the mean loss has there, each row by its share of all weights.

    >>> from colinear.datasets import Features, fit_scaling, load_digits
    >>> from colinear.losses import Softmax
    >>> objective = Objective(Features(load_digits(), fit_scaling(load_digits())))
    >>> weights = torch.zeros(1, 10, 65)
    >>> Hessian.at(objective, weights, Softmax(), 1e-3).times(weights + 1).abs().max() < 3e-3
    tensor(True)
    """

    objective: Objective
    products: Products
    bends: list[tuple[slice, AllPairs | ClassBends]]
    reg: float

    @classmethod
    def at(cls, objective: Objective, coef: Tensor, loss: Loss, reg: float, held_out: Tensor | None = None) -> Hessian:
        """At weights (1, c, d), of a loss whose curvature is one of all pairs of classes, or of each class.

        held_out : (1,), the fold that is left out, -1 for none.
        Memory   two arrays of scores, (c, n) of coef's precision.     Cost: one product.
        """
        features, bends = objective.features, []
        total = torch.zeros(1, dtype=torch.float64, device=coef.device)
        for rows, scores in objective.scores(coef):
            weights = objective.weights_of(rows, held_out, coef.dtype)
            share = coef.new_ones(rows.stop - rows.start) if weights is None else weights.view(-1)
            labels = features.labels[rows]
            counted = Rows(labels.unsqueeze(0) if labels.ndim == 1 else labels.mT, share)
            found = loss.curved(counted).pairs(scores[0])
            if not isinstance(found, AllPairs | ClassBends):
                raise TypeError(f"{loss.name} has its curvature pair by pair, which costs more than a product")
            bends.append((rows, found))
            total += share.sum(dtype=torch.float64)
        objective.group.sum_(total)
        products = pass_products(features.at(coef.dtype), coef[0])
        return cls(objective, products, [(rows, found.by_rows(1 / float(total))) for rows, found in bends], reg)

    def times(self, along: Tensor) -> Tensor:
        """Hessian along, (1, c, d) in the precision of the weights. Cost: as a pass, 4 c n d flops."""
        flat, first = along[0], self.objective.group.rank == 0
        out = flat * (2 * self.reg if first else 0.0)
        self.products.hold(flat)
        for rows, bends in self.bends:
            self.products.load(rows)
            scores = self.products.scores_into(flat.new_empty(rows.stop - rows.start, len(flat)).mT)
            self.products.add_gradient_(out, bends.times(scores))
        self.objective.group.sum_(out)
        return out.unsqueeze(0)
