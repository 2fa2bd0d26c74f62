"""The course's gradient check, with its printed lines."""

from __future__ import annotations

import random
from collections.abc import Callable

from torch import Tensor

from colinear.checks import check_count
from colinear.gradcheck import check_coordinates


def grad_check_sparse(
    f: Callable[[Tensor], Tensor], x: Tensor, analytic_grad: Tensor, num_checks: int = 10, h: float = 1e-7
) -> list[float]:
    """Compare a gradient with centred differences at random coordinates: print each, return the relative errors.

    f : function of a tensor shaped as x that returns one number.   x : float64 advised, only read.
    analytic_grad : the gradient of f at x, shaped as x.
    Random   coordinates come from Python's `random`, as in the course; `fix_random_seed` repeats them.
    Error    see `colinear.gradcheck.check_gradient`.

    >>> import torch
    >>> x = torch.tensor([3.0], dtype=torch.float64)
    >>> errors = grad_check_sparse(lambda v: v.square().sum(), x, 3 * x, num_checks=1)  # 3 x is wrong: it is 2 x
    numerical: 6.000000 analytic: 9.000000, relative error: 2.0000...e-01
    """
    check_count("num_checks", num_checks)
    indices = [tuple(random.randrange(size) for size in x.shape) for _ in range(num_checks)]
    checks = check_coordinates(f, x, analytic_grad, indices, h=h)
    for check in checks:
        print(f"numerical: {check.numerical:f} analytic: {check.analytic:f}, relative error: {check.relative_error:e}")
    return [check.relative_error for check in checks]
