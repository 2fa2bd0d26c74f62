"""The course's four loss functions: (W (D, C), X (N, D), y (N,), reg) -> (loss, dW).

All four compute mean_i loss_i + reg * sum(W * W), without a factor 1/2, and its gradient; see
`colinear.reference` for formulas, errors and cost. The loss is 0-dim and dW is (D, C), both new tensors of
W's dtype on W's device; arguments are only read. What does not fit raises `InputError`.
"""

from __future__ import annotations

from torch import Tensor

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
