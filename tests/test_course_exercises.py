"""The checks of the notebook's 'your turn': what is right passes, and each mistake is told by its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from notebooks import solutions

import colinear.course as coutils
from colinear.checks import InputError
from colinear.course import exercises

CHECKS: dict[str, Callable[[Any], None]] = {
    "my_hinge_loss": lambda answer: exercises.check_loss(answer, "hinge"),
    "my_softmax_loss": lambda answer: exercises.check_loss(answer, "softmax"),
    "my_train": exercises.check_training,
    "my_gap": exercises.check_gap,
}
RETURN_LOSS = "return loss, X.T @ slopes / len(X) + 2 * reg * W"
# the solution, what stands in it, what a student wrote instead, what has to be said
MISTAKES = [
    ("my_hinge_loss", "margins.sum() / len(X)", "margins.sum()", "the loss is a sum over the images"),
    ("my_hinge_loss", "    margins[rows, y] = 0\n", "", "the true class itself counts"),
    ("my_hinge_loss", "margins.sum()", "-margins.sum()", "the loss has the wrong sign"),
    ("my_hinge_loss", " + 1)", ")", "where the loops give"),
    ("my_hinge_loss", "@ slopes / len(X)", "@ slopes", "the gradient is a sum over the images"),
    ("my_hinge_loss", "X.T @", "-X.T @", "the gradient has the wrong sign"),
    ("my_hinge_loss", "-slopes.sum(dim=1)", "0", "what the true class gets taken off"),
    ("my_hinge_loss", "-slopes.sum(dim=1)", "-1", "moving that weight changes the loss by"),
    ("my_hinge_loss", "+ reg * (W * W).sum()", "", "reg * sum(W * W) is missing from the loss"),
    ("my_hinge_loss", "+ reg * (W * W)", "+ 0.5 * reg * (W * W)", "there is no factor 1/2"),
    ("my_hinge_loss", "margins.sum() / len(X) + reg * (W * W).sum()", "(margins.sum() + reg * (W * W).sum()) / len(X)",
     "it is no part of the mean"),
    ("my_hinge_loss", "+ reg * (W * W).sum()", "+ len(X) * reg * (W * W).sum()", "it is no part of the sum over them"),
    ("my_hinge_loss", "+ reg * (W * W).sum()", "+ reg * W.abs().sum()", "reg * sum(W * W) is 1.8"),
    ("my_hinge_loss", " + 2 * reg * W", "", "the gradient has no share of the penalty"),
    ("my_hinge_loss", " + 2 * reg * W", " + reg * W", "the square has a factor 2"),
    ("my_hinge_loss", " + 2 * reg * W", " + 3 * reg * W", "is not 2 * reg * W"),
    ("my_hinge_loss", RETURN_LOSS, "return loss", "this is one of shape ()"),
    ("my_hinge_loss", RETURN_LOSS, "pass", "this is None: is there a return?"),
    ("my_hinge_loss", RETURN_LOSS, "return margins, W", "the loss has to be one number; this is one of shape (12, 4)"),
    ("my_hinge_loss", RETURN_LOSS, "return loss, W.T", "dW has to be a tensor of W's shape (5, 4); this is one"),
    ("my_hinge_loss", RETURN_LOSS, "return loss, 0", "this is of the type int"),
    ("my_hinge_loss", RETURN_LOSS, "W *= 2\n    return loss, W", "writes over a tensor that it was given"),
    ("my_hinge_loss", RETURN_LOSS, "raise NotImplementedError", "my_hinge_loss is still to be written"),
    ("my_hinge_loss", RETURN_LOSS, "return W @ W", "my_hinge_loss raised RuntimeError: "),
    ("my_softmax_loss", "-logs[rows, y].mean()", "-logs[rows, y].sum()", "the loss is a sum over the images"),
    ("my_softmax_loss", "-logs[rows, y]", "logs[rows, y]", "the loss has the wrong sign"),
    ("my_softmax_loss", "    slopes[rows, y] -= 1\n", "", "what the true class gets taken off"),
    ("my_softmax_loss", "    scores = scores - scores.max(dim=1, keepdim=True).values\n", "",
     "inf or nan for large ones: subtract each image's largest first"),
    ("my_train", "- learning_rate * dW", "+ learning_rate * dW", "the step goes up"),
    ("my_train", "- learning_rate * dW", "- dW", "the step is all of dW"),
    ("my_train", "- learning_rate * dW", "- 3 * learning_rate * dW", "step 1 does not change W by minus learning_rate"),
    ("my_train", "        W = W - learning_rate * dW\n", "", "W did not move in step 1"),
    ("my_train", "W = W - ", "W -= 2 * W - ", "writes over a tensor that it was given"),
    ("my_train", "X[rows], y[rows]", "X[rows], y[:batch_size]", "not those of its rows"),
    ("my_train", "torch.randint(len(X), (batch_size,))", "torch.arange(batch_size)", "every step takes the same rows"),
    ("my_train", "torch.randint(len(X), (batch_size,))", "batch_size * len(losses) + torch.arange(batch_size)",
     "in the order in which they lie"),
    ("my_train", "X[rows], y[rows]", "X, y", "shape (500, 5); 8 rows of X have (8, 5)"),
    ("my_train", "y[rows], reg", "y[rows], 0.0", "pass 0.1 on as it came"),
    ("my_train", "range(num_iters)", "range(num_iters - 1)", "was called 5 times"),
    ("my_train", "range(num_iters)", "range(num_iters + 1)", "more than once in each of the 6 steps"),
    ("my_train", "loss_function(W,", "loss_function(W.T,", "the W that loss_function gets has to be"),
    ("my_train", "return W, losses", "return W", "W and the losses of all steps"),
    ("my_train", "return W, losses", "return W.T, losses", "the trained W has to be a tensor"),
    ("my_train", "return W, losses", "return W, losses[::-1]", "those of the 6 steps, in their order"),
    ("my_train", "return W, losses", "return W, [W]", "those of the 6 steps, in their order"),
    ("my_train", "return W, losses", "return W, None", "those of the 6 steps, in their order"),
    ("my_train", "return W, losses", "return W + learning_rate * dW, losses", "is it the last W that is returned?"),
    ("my_gap", "(dW * dW).sum()", "(dW * dW).sum().sqrt()", "has to be squared"),
    ("my_gap", "4 * reg", "2 * reg", "twice as large as need be"),
    ("my_gap", "4 * reg", "8 * reg", "better by twice as much"),
    ("my_gap", "4 * reg", "16 * reg", "better by four times as much"),
    ("my_gap", " / (4 * reg)", "", "reg has to be part of it"),
    ("my_gap", "4 * reg", "5 * reg", "and should be"),
    ("my_gap", "(dW * dW).sum()", "dW", "has to be one number"),
]  # fmt: skip


def source_of(name: str) -> str:
    return inspect.getsource(getattr(solutions, name))


def run(source: str, name: str) -> Any:
    module = ModuleType("student")
    exec("import torch\n" + source, vars(module))
    return getattr(module, name)


@pytest.mark.parametrize("name", CHECKS)
def test_a_solution_is_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    CHECKS[name](getattr(solutions, name))
    assert capsys.readouterr().out.startswith("right: ")


@pytest.mark.parametrize(("name", "old", "new", "advice"), MISTAKES)
def test_a_mistake_is_told(name: str, old: str, new: str, advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = source_of(name)
    assert source.count(old) == 1
    CHECKS[name](run(source.replace(old, new), name))
    said = capsys.readouterr().out
    assert said.startswith("not yet: ")
    assert advice in said
    assert said.count("\n") == 1


def test_other_ways_to_be_right_are(capsys: pytest.CaptureFixture[str]) -> None:
    """The course's own; autograd; float32; rows drawn without repetition; a loss as a number of Python or numpy."""

    def by_autograd(W: torch.Tensor, X: torch.Tensor, y: torch.Tensor, reg: float) -> tuple[Any, torch.Tensor]:
        W = W.float().requires_grad_()
        loss = torch.nn.functional.cross_entropy(X.float() @ W, y) + reg * W.square().sum()
        loss.backward()
        assert W.grad is not None
        return loss, W.grad

    def as_numpy(*arguments: Any) -> tuple[Any, torch.Tensor]:
        loss, dW = coutils.softmax_loss_naive(*arguments)
        return np.float64(loss.item()), dW

    for answer in (by_autograd, as_numpy, coutils.softmax_loss_naive):
        exercises.check_loss(answer, "softmax")
    exercises.check_loss(coutils.svm_loss_naive, "hinge")
    shuffled = source_of("my_train").replace(
        "torch.randint(len(X), (batch_size,))", "torch.randperm(len(X))[:batch_size]"
    )
    exercises.check_training(run(shuffled, "my_train"))
    exercises.check_gap(lambda dW, reg: float(dW.norm()) ** 2 / reg / 4)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 6
    assert all(line.startswith("right: ") for line in said)


def test_a_check_leaves_the_random_draws_alone(capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.get_rng_state()
    exercises.check_loss(coutils.svm_loss_naive, "hinge")
    exercises.check_gap(solutions.my_gap)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="kind"):
        exercises.check_loss(coutils.svm_loss_naive, "squared-hinge")
