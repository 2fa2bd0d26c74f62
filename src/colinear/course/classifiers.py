"""The course's trainer, its prediction function and its classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from colinear.checks import InputError, check_count, check_number
from colinear.course.losses import softmax_loss_vectorized, svm_loss_vectorized

LossFunction = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]

INITIAL_SCALE = 1e-6  # the course's
PRINT_EVERY = 100


def train_linear_classifier(
    loss_func: LossFunction,
    W: Tensor | None,
    X: Tensor,
    y: Tensor,
    learning_rate: float = 1e-3,
    reg: float = 1e-5,
    num_iters: int = 100,
    batch_size: int = 200,
    verbose: bool = False,
) -> tuple[Tensor, list[float]]:
    """Minimise a loss by stochastic gradient descent, as the course does.

    W <- W - learning_rate * dW, with (loss, dW) = loss_func(W, X[rows], y[rows], reg) and rows drawn with
    replacement.

    loss_func : any function of (W, X, y, reg) that returns (loss, dW).
    W : (D, C) to start from, only read; None means 1e-6 * randn(D, C) with C = largest label + 1.
    X : (N, D) float32/64.   y : (N,) int64.   learning_rate : >= 0.   num_iters : >= 0.   batch_size : >= 1.
    verbose : print the loss at every 100th step.
    Returns  the weights after the last step, and the loss of each minibatch before its step.
    Random   draws from torch's global generator: the weights first (on X's device), then the rows of each step
             (on the CPU). After the same `fix_random_seed` a run repeats.
    Cost     one call of loss_func and one transfer of its value per step.

    >>> X, y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    >>> W, history = train_linear_classifier(svm_loss_vectorized, torch.zeros(2, 2), X, y, 0.1, verbose=True)
    iteration 0 / 100: loss 1.000000
    >>> predict_linear_classifier(W, X)
    tensor([0, 1])
    """
    if X.ndim != 2 or len(X) == 0 or y.shape != X.shape[:1]:
        raise InputError(
            f"X must be (N, D) with N >= 1 and y (N,); got {tuple(X.shape)} and {tuple(y.shape)}. "
            "Images are flattened into rows first."
        )
    check_number("learning_rate", float(learning_rate), least=0)  # a 0-dim tensor will do
    check_count("num_iters", num_iters, minimum=0)
    check_count("batch_size", batch_size)
    num_train, dim = X.shape
    W = INITIAL_SCALE * torch.randn(dim, int(y.max()) + 1, device=X.device, dtype=X.dtype) if W is None else W.clone()
    history: list[float] = []
    for step in range(num_iters):
        rows = torch.randint(num_train, (batch_size,)).to(X.device)
        loss, gradient = loss_func(W, X[rows], y[rows], reg)
        history.append(float(loss))
        W -= learning_rate * gradient
        if verbose and step % PRINT_EVERY == 0:
            print(f"iteration {step:d} / {num_iters:d}: loss {history[-1]:f}")
    return W, history


def predict_linear_classifier(W: Tensor, X: Tensor) -> Tensor:
    """The class with the largest score for each row, (N,) int64 on X's device; the lowest class on ties.

    W : (D, C).   X : (N, D) of W's dtype and device.

    >>> predict_linear_classifier(torch.eye(3), torch.tensor([[0.0, 0.0, 2.0], [5.0, 5.0, 0.0]]))
    tensor([2, 0])
    """
    if W.ndim != 2 or X.ndim != 2 or X.shape[1] != W.shape[0] or X.dtype != W.dtype:
        raise InputError(
            f"X must be (N, D) and W (D, C) with the same D and dtype; got {X.dtype} {tuple(X.shape)} "
            f"and {W.dtype} {tuple(W.shape)}."
        )
    return (X @ W).argmax(1)


class LinearClassifier:
    """A weight matrix `W` (D, C), None until trained, and the course's methods around it.

    A subclass gives `loss`; `train` goes on from the present `W`.
    """

    def __init__(self) -> None:
        self.W: Tensor | None = None

    def train(
        self,
        X_train: Tensor,
        y_train: Tensor,
        learning_rate: float = 1e-3,
        reg: float = 1e-5,
        num_iters: int = 100,
        batch_size: int = 200,
        verbose: bool = False,
    ) -> list[float]:
        """Run `train_linear_classifier` with this loss from this `W`, keep the weights, return the losses."""
        self.W, history = train_linear_classifier(
            self.loss, self.W, X_train, y_train, learning_rate, reg, num_iters, batch_size, verbose
        )
        return history

    def predict(self, X: Tensor) -> Tensor:
        """Labels (N,) int64 of the rows of X (N, D). Raises `InputError` before training."""
        if self.W is None:
            raise InputError("this classifier has no weights yet; call train first, or set W.")
        return predict_linear_classifier(self.W, X)

    def loss(self, W: Tensor, X_batch: Tensor, y_batch: Tensor, reg: float) -> tuple[Tensor, Tensor]:
        """(loss, dW) at W on a minibatch; every subclass has its own."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(W, X_batch, y_batch, reg)")


class LinearSVM(LinearClassifier):
    """The multiclass SVM.

    >>> X, y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    >>> svm = LinearSVM()
    >>> len(svm.train(X, y, learning_rate=0.1, num_iters=50)), svm.predict(X)
    (50, tensor([0, 1]))
    """

    def loss(self, W: Tensor, X_batch: Tensor, y_batch: Tensor, reg: float) -> tuple[Tensor, Tensor]:
        """`svm_loss_vectorized`."""
        return svm_loss_vectorized(W, X_batch, y_batch, reg)


class Softmax(LinearClassifier):
    """The softmax classifier: multinomial logistic regression."""

    def loss(self, W: Tensor, X_batch: Tensor, y_batch: Tensor, reg: float) -> tuple[Tensor, Tensor]:
        """`softmax_loss_vectorized`."""
        return softmax_loss_vectorized(W, X_batch, y_batch, reg)
