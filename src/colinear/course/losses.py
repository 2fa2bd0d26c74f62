"""The course's four loss functions, (W (D, C), X (N, D), y (N,), reg) -> (loss, dW), and its gradient check.

All four losses are mean_i loss_i + reg * sum(W * W), without a factor 1/2, and its gradient; see
`colinear.reference` for formulas, errors and cost. The loss is 0-dim and dW is (D, C), both new tensors of
W's dtype on W's device; arguments are only read. What does not fit raises `InputError`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from torch import Tensor

from colinear.checks import check_count
from colinear.gradcheck import check_coordinates
from colinear.losses import Hinge, Softmax
from colinear.reference import hinge_loops, softmax_loops, vectorized


def svm_loss_naive(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Multiclass SVM loss and gradient, by loops over samples and classes.

    >>> import torch
    >>> loss, dW = svm_loss_naive(torch.zeros(3, 10), torch.ones(2, 3), torch.tensor([4, 0]), 0.0)
    >>> print("loss: %f" % loss)
    loss: 9.000000
    """
    return hinge_loops(W, X, y, float(reg))


def svm_loss_vectorized(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Multiclass SVM loss and gradient, all samples at once.

    >>> import torch
    >>> loss, dW = svm_loss_vectorized(torch.zeros(3, 10), torch.ones(2, 3), torch.tensor([4, 0]), 0.0)
    >>> dW[0, :5]
    tensor([-4.,  1.,  1.,  1., -4.])
    """
    return vectorized(Hinge(), W, X, y, float(reg))


def softmax_loss_naive(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the softmax and its gradient, by loops over samples and classes.

    >>> import torch
    >>> softmax_loss_naive(torch.zeros(3, 10), torch.ones(2, 3), torch.tensor([4, 0]), 0.0)[0]
    tensor(2.3026)
    """
    return softmax_loops(W, X, y, float(reg))


def softmax_loss_vectorized(W: Tensor, X: Tensor, y: Tensor, reg: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the softmax and its gradient, all samples at once.

    >>> import torch
    >>> softmax_loss_vectorized(torch.ones(3073, 10), torch.ones(1, 3073), torch.tensor([4]), 2.5e4)[0].item()
    768249984.0
    """
    return vectorized(Softmax(), W, X, y, float(reg))


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
