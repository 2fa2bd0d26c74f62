"""The checks behind the notebook's 'your turn': each asks an answer, and prints one line.

'right: ...', or 'not yet: ...' with what is wrong, found by comparing with the loops of `colinear.reference` and with
what the usual mistakes give. Whatever an answer does, a check raises nothing, so that the cells below still run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from colinear.checks import check_choice
from colinear.course.judging import NotYetError, ask, check_equal, check_pair, check_shape, is_number, kind_of, tell
from colinear.losses import LOSSES
from colinear.reference import LOOPS, Problem, vectorized

N_ROWS, N_FEATURES, N_CLASSES = 12, 5, 4  # of the problem that answers are asked
REG = 0.1


def check_loss(answer: Problem, kind: str) -> None:
    """Print whether `answer` is the loss `kind` and its gradient.

    answer : (W (D, C), X (N, D), y (N,), reg) -> (loss, dW), as `svm_loss_vectorized`.   kind : 'hinge' or 'softmax'.
    Raises   `InputError` for another kind.   Error: 1e-5 of each number, so float32 will do.

    >>> import colinear.course as coutils
    >>> check_loss(coutils.softmax_loss_vectorized, "softmax")
    right: loss and gradient are those of the loops
    >>> check_loss(lambda W, X, y, reg: coutils.svm_loss_naive(W, X, y, reg / 2), "hinge")
    not yet: the penalty is half of reg * sum(W * W); there is no factor 1/2
    """
    check_choice("kind", kind, ("hinge", "softmax"))
    tell(lambda: _look_at_loss(answer, kind), "loss and gradient are those of the loops")


def check_training(answer: Callable[..., tuple[Tensor, Any]]) -> None:
    """Print whether `answer` trains by stochastic gradient descent.

    answer : (loss_function, W, X, y, learning_rate, reg, num_iters, batch_size) -> (trained W, losses of the steps), as
             `train_linear_classifier`. Each step takes batch_size random rows, with or without drawing one twice.

    >>> import colinear.course as coutils
    >>> check_training(coutils.train_linear_classifier)
    right: random minibatches, and a step against the gradient of each
    >>> check_training(lambda loss_function, W, X, y, *rest: (W, []))
    not yet: loss_function was called 0 times; each of the 6 steps should call it once
    """
    tell(lambda: _look_at_training(answer), "random minibatches, and a step against the gradient of each")


def check_gap(answer: Callable[[Tensor, float], Any]) -> None:
    """Print whether `answer` bounds how far the softmax objective is above its optimum, as tightly as it can.

    answer : (dW (D, C), reg) -> a number, |dW|^2 / (4 reg).

    >>> check_gap(lambda dW, reg: dW.square().sum() / (4 * reg))
    right: no weights whatsoever can be better by more than this
    >>> check_gap(lambda dW, reg: dW.norm() / (4 * reg))
    not yet: the norm of dW has to be squared
    """
    tell(lambda: _look_at_gap(answer), "no weights whatsoever can be better by more than this")


def _problem() -> tuple[Tensor, Tensor, Tensor]:
    """W (D, C), X (N, D) and y (N,) of every class, float64; the same at each call."""
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(N_FEATURES, N_CLASSES, generator=generator, dtype=torch.float64)
    X = torch.randn(N_ROWS, N_FEATURES, generator=generator, dtype=torch.float64)
    return W, X, torch.arange(N_ROWS) % N_CLASSES


def _look_at_loss(answer: Problem, kind: str) -> None:
    W, X, y = _problem()
    loss, dW = _form(ask(answer, W, X, y, 0.0), W)
    right, gradient = LOOPS[kind](W, X, y, 0.0)
    check_equal(
        loss,
        right,
        [
            (N_ROWS * right, "the loss is a sum over the images; take their mean"),
            (-right, "the loss has the wrong sign"),
            (right + 1, "the loss is 1 too large: the true class itself counts, whose margin is always 1"),
        ],
        f"the loss is {float(loss):.6g} where the loops give {float(right):.6g}, without any penalty",
    )
    slopes = vectorized(LOSSES[kind], X @ W, torch.eye(N_ROWS, dtype=X.dtype), y, 0.0)[1]  # (N, C), d loss / d scores
    of_true = torch.nn.functional.one_hot(y, N_CLASSES).to(X.dtype) / N_ROWS
    no_true = X.mT @ (slopes.clamp(min=0) if kind == "hinge" else slopes + of_true)
    d, c = divmod(int((dW - gradient).abs().argmax()), N_CLASSES)
    slope = f"{float(gradient[d, c]):.6g}"
    check_equal(
        dW,
        gradient,
        [
            (N_ROWS * gradient, "the gradient is a sum over the images; divide it by their number, as the loss"),
            (-gradient, "the gradient has the wrong sign"),
            (no_true, "the loss is right; its gradient leaves out what the true class gets taken off"),
        ],
        f"the loss is right; dW[{d}, {c}] is {float(dW[d, c]):.6g}, and moving that weight changes the loss by {slope}",
    )
    penalised, shrinking = _form(ask(answer, W, X, y, REG), W)
    penalty = REG * W.square().sum()
    check_equal(
        penalised - loss,
        penalty,
        [
            (torch.zeros_like(penalty), "the penalty reg * sum(W * W) is missing from the loss"),
            (penalty / 2, "the penalty is half of reg * sum(W * W); there is no factor 1/2"),
            (N_ROWS * penalty, "the penalty is taken once an image; it is no part of the sum over them"),
            (penalty / N_ROWS, "the penalty is divided by the number of images; it is no part of the mean"),
        ],
        f"the penalty is {float(penalised - loss):.6g}; reg * sum(W * W) is {float(penalty):.6g}",
    )
    check_equal(
        shrinking - dW,
        2 * REG * W,
        [
            (torch.zeros_like(W), "the gradient has no share of the penalty: 2 * reg * W"),
            (REG * W, "the penalty's share of the gradient is 2 * reg * W: the square has a factor 2"),
        ],
        "the penalty's share of the gradient is not 2 * reg * W",
    )
    large = _form(ask(answer, 1000 * W.float(), X.float(), y, 0.0), W)
    if not all(bool(number.isfinite().all()) for number in large):
        raise NotYetError("right for small scores, and inf or nan for large ones: subtract each image's largest first")


def _form(given: Any, W: Tensor) -> tuple[Tensor, Tensor]:
    """Loss (0-dim) and dW (D, C), if that is what was returned."""
    loss, dW = check_pair(given, "loss and dW")
    if not is_number(loss):
        raise NotYetError(f"the loss has to be one number; this is {kind_of(loss)}")
    check_shape(dW, "dW", W)
    return torch.as_tensor(loss).detach().double().reshape(()), dW.detach().double()


def _look_at_training(answer: Callable[..., tuple[Tensor, Any]]) -> None:
    steps, size, rate = 6, 8, 0.5
    W, _, _ = _problem()
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(500, N_FEATURES, generator=generator, dtype=torch.float64)
    X[:, 0] = torch.arange(500)  # so that a row tells its number
    y = torch.randint(N_CLASSES, (500,), generator=generator)
    slopes = torch.randn(steps, *W.shape, generator=generator, dtype=torch.float64)
    asked: list[tuple[Tensor, list[int]]] = []

    def loss_function(moving: Tensor, X_batch: Tensor, y_batch: Tensor, reg: float) -> tuple[Tensor, Tensor]:
        if len(asked) == steps:
            raise NotYetError(f"loss_function is called more than once in each of the {steps} steps")
        check_shape(moving, "the W that loss_function gets", W)
        if X_batch.shape != (size, N_FEATURES):
            raise NotYetError(
                f"a minibatch has the shape {tuple(X_batch.shape)}; {size} rows of X have {size, N_FEATURES}"
            )
        rows = X_batch[:, 0].long()
        if not torch.equal(y[rows], y_batch):
            raise NotYetError("the labels of a minibatch are not those of its rows: take both by the same numbers")
        if reg != REG:
            raise NotYetError(f"loss_function got reg {reg}; pass {REG} on as it came")
        asked.append((moving.detach().clone(), rows.tolist()))
        return torch.tensor(float(steps - len(asked))), slopes[len(asked) - 1].clone()

    given = ask(answer, loss_function, W, X, y, rate, REG, steps, size)
    if len(asked) != steps:
        raise NotYetError(f"loss_function was called {len(asked)} times; each of the {steps} steps should call it once")
    trained, losses = check_pair(given, "W and the losses of all steps")
    check_shape(trained, "the trained W", W)
    drawn = [rows for _, rows in asked]
    if all(rows == drawn[0] for rows in drawn):
        raise NotYetError("every step takes the same rows: draw new ones")
    if all(rows == list(range(rows[0], rows[0] + size)) for rows in drawn):
        raise NotYetError("rows are taken in the order in which they lie: draw them at random")
    moved = [after - before for (before, _), (after, _) in zip(asked, [*asked[1:], (trained, [])], strict=True)]
    for step, (move, slope) in enumerate(zip(moved, slopes, strict=True)):
        last = "; is it the last W that is returned?" if step == steps - 1 else ""
        mistakes = [
            (torch.zeros_like(W), f"W did not move in step {step + 1}{last}"),
            (rate * slope, "the step goes up: against the gradient is minus learning_rate * dW"),
            (-slope, "the step is all of dW; it is learning_rate * dW that is subtracted"),
        ]
        check_equal(
            move, -rate * slope, mistakes, f"step {step + 1} does not change W by minus learning_rate * dW{last}"
        )
    told = [float(loss) for loss in losses if is_number(loss)] if isinstance(losses, list | Tensor) else []
    if told != list(range(steps - 1, -1, -1)):
        raise NotYetError(f"the losses returned have to be those of the {steps} steps, in their order")


def _look_at_gap(answer: Callable[[Tensor, float], Any]) -> None:
    dW = _problem()[0]
    given = ask(answer, dW, REG)
    if not is_number(given):
        raise NotYetError(f"the bound has to be one number; this is {kind_of(given)}")
    right = dW.square().sum() / (4 * REG)
    mistakes = [
        (dW.norm() / (4 * REG), "the norm of dW has to be squared"),
        (right * 2, "true, but twice as large as need be: the penalty is reg * sum(W * W), without a factor 1/2"),
        (right / 2, "too small: weights can be better by twice as much"),
        (right / 4, "too small: weights can be better by four times as much"),
        (right * 4 * REG, "reg has to be part of it: a stronger penalty is a steeper bowl, and a smaller gap"),
    ]
    otherwise = (
        f"for |dW| = {float(dW.norm()):.4g} and reg = {REG} it is {float(given):.6g}, and should be {float(right):.6g}"
    )
    check_equal(torch.as_tensor(given, dtype=torch.float64).reshape(()), right, mistakes, otherwise)
