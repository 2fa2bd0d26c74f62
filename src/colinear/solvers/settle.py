"""The optimal bias of given weights, for an intercept without a penalty: c small numbers, found on stored scores.

A bias that is off by u in the class sums costs a certificate about |u|, other weights the square of their gradient, see
`balance`: L-BFGS on all of W at once takes four to seven passes for one. So each of its trial points gets the bias that
is best for it, and what is minimised is a function of the other columns alone.
Source: Golub & Pereyra 1973 (variable projection).
"""

from __future__ import annotations

import torch
from torch import Tensor

from colinear.losses import Loss
from colinear.objective import Objective, Scored
from colinear.solvers.lbfgs import History
from colinear.solvers.preconditioner import bends_of, bias_map

MOST_BYTES = 2**28  # of scores of all rows; where they are more, L-BFGS moves the bias as it moves all else
MOST_STEPS = 12
SHARE = 0.1  # of a gap that a bias that is not optimal may cost


def settle_(
    objective: Objective, loss: Loss, coef: Tensor, regs: Tensor, held_out: Tensor | None, aims: Tensor
) -> Scored | None:
    """Move the last column of weights (k, c, d) to where the class sums of the slopes are about 0, in place.

    aims : (k,), relative gaps; SHARE of them is what may be left to the bias.
    Returns  the scores at the weights, for `Objective.evaluate`; None, and nothing is moved, where they take more than
             MOST_BYTES.
    Cost     the scores of a pass, and the loss of all rows once for each step, usually two or three.
    """
    k, c, _ = coef.shape
    if k * c * objective.n_samples * coef.element_size() > MOST_BYTES * objective.group.size:
        return None
    scored = [(rows, scores) for rows, scores in objective.scores(coef)]
    sums, bias = objective.class_sums(held_out), objective.features.scaling.bias
    shift = torch.zeros(k, c, 1, dtype=torch.float64, device=coef.device)  # of scores
    history, scale = History(), torch.ones(k, dtype=torch.float64, device=coef.device)
    value, slope, bends = objective.bias_slopes(scored, shift.squeeze(2), loss, held_out)
    direction, turning = torch.zeros_like(shift), torch.ones_like(scale, dtype=torch.bool)
    for _ in range(MOST_STEPS):
        balance = sums.balance(loss, slope)
        moved = coef.clone()
        moved[..., -1] += (shift.squeeze(2) / bias).to(coef.dtype)
        open_ = balance.lost(value, moved) > SHARE * aims * value
        if not bool(open_.any()):
            break
        a, apart = bends_of(bends, shift_invariant=loss.shift_invariant)
        precondition = bias_map(a, regs, 1.0, apart, torch.float64)
        fresh = history.direction(slope.unsqueeze(2), precondition)
        uphill = ~((slope.unsqueeze(2) * fresh).sum((1, 2)) < 0)
        history.forget(uphill)
        fresh = torch.where(uphill.view(-1, 1, 1), -precondition(slope.unsqueeze(2)), fresh)
        direction = torch.where(turning.view(-1, 1, 1), fresh, direction)
        step = direction * (scale * open_).view(-1, 1, 1)
        there = objective.bias_slopes(scored, (shift + step).squeeze(2), loss, held_out)
        turning = there[0] <= value * (1 + torch.finfo(coef.dtype).eps)
        history.push(step, (there[1] - slope).unsqueeze(2), turning & open_)
        taken = turning.view(-1, 1, 1)
        shift = torch.where(taken, shift + step, shift)
        value, slope, bends = (
            torch.where(turning.view(-1, *(1,) * (old.ndim - 1)), new, old)
            for new, old in zip(there, (value, slope, bends), strict=True)
        )
        scale = torch.where(turning, 1.0, scale / 4)
    coef[..., -1] += (shift.squeeze(2) / bias).to(coef.dtype)
    for _, scores in scored:
        scores += shift.to(scores.dtype)
    return scored
