"""The course's vocabulary: signatures, printed lines, random draws, and what a notebook does with them."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import Tensor

import colinear.course as coutils
from colinear.checks import InputError
from colinear.course import data as course_data
from colinear.datasets.base import ArrayDataset
from colinear.datasets.cifar10 import load_cifar10

LossFunction = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
LOSSES: list[LossFunction] = [
    coutils.svm_loss_naive,
    coutils.svm_loss_vectorized,
    coutils.softmax_loss_naive,
    coutils.softmax_loss_vectorized,
]
every_loss = pytest.mark.parametrize("loss_func", LOSSES, ids=lambda f: f.__name__)


@pytest.fixture(autouse=True)
def restored_randomness() -> Iterator[None]:
    """The course draws from global generators; put them back as they were."""
    state, torch_state = random.getstate(), torch.get_rng_state()
    yield
    random.setstate(state)
    torch.set_rng_state(torch_state)


@pytest.fixture
def separable() -> tuple[Tensor, Tensor]:
    """90 rows in three well separated groups, with a column of ones: X (90, 3), y (90,)."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(90) % 3
    centers = torch.tensor([[4.0, 0.0], [-4.0, 4.0], [-4.0, -4.0]])
    X = centers[y] + 0.5 * torch.randn(90, 2, generator=generator)
    return torch.cat([X, torch.ones(90, 1)], 1), y


@pytest.fixture
def small_cifar(monkeypatch: pytest.MonkeyPatch) -> tuple[ArrayDataset, ArrayDataset]:
    """Stands for CIFAR-10: 100 training and 20 test images of random pixels."""
    generator = torch.Generator().manual_seed(0)

    def make(n: int) -> ArrayDataset:
        pixels = torch.randint(256, (n, 3072), generator=generator, dtype=torch.uint8)
        return ArrayDataset(pixels, torch.arange(n) % 10, tuple("abcdefghij"), (3, 32, 32), "cifar10", 255.0)

    pair = make(100), make(20)
    monkeypatch.setattr(course_data, "load_cifar10", lambda: pair)
    return pair


# Losses


@every_loss
def test_losses_have_the_courses_signature_and_results(loss_func: LossFunction) -> None:
    assert list(inspect.signature(loss_func).parameters) == ["W", "X", "y", "reg"]
    W, X, y = torch.randn(4, 3), torch.randn(6, 4), torch.arange(6) % 3
    kept = [tensor.clone() for tensor in (W, X, y)]
    loss, dW = loss_func(W, X, y, 0.1)
    assert (loss.shape, dW.shape, loss.dtype, dW.dtype) == ((), (4, 3), torch.float32, torch.float32)
    assert "loss: %f" % loss == f"loss: {loss.item():f}"  # noqa: UP031, as notebooks print it
    assert all(torch.equal(now, then) for now, then in zip((W, X, y), kept, strict=True))


@pytest.mark.parametrize(("naive", "vectorized"), [LOSSES[:2], LOSSES[2:]], ids=["svm", "softmax"])
def test_naive_and_vectorized_agree(naive: LossFunction, vectorized: LossFunction) -> None:
    W, X, y = torch.randn(7, 4).double(), torch.randn(20, 7).double(), torch.arange(20) % 4
    for expected, actual in zip(naive(W, X, y, 0.3), vectorized(W, X, y, 0.3), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@every_loss
def test_strengths_may_be_tensors_of_one_number(loss_func: LossFunction) -> None:
    W, X, y = torch.ones(2, 2), torch.ones(1, 2), torch.tensor([0])
    (strength,) = torch.logspace(-1, -1, 1)
    assert loss_func(W, X, y, strength)[0].item() == pytest.approx(loss_func(W, X, y, 0.1)[0].item())


def test_gradient_check_prints_the_courses_lines(capsys: pytest.CaptureFixture[str]) -> None:
    coutils.utils.fix_random_seed()
    W = 0.1 * torch.randn(5, 3).double()
    X, y = 30 * torch.randn(8, 5).double(), torch.arange(8) % 3
    _, grad = coutils.softmax_loss_naive(W, X, y, 0.0)
    errors = coutils.grad_check_sparse(lambda w: coutils.softmax_loss_naive(w, X, y, 0.0)[0], W, grad, 4)
    lines = capsys.readouterr().out.splitlines()
    assert len(errors) == len(lines) == 4
    assert max(errors) < 1e-6
    for line, error in zip(lines, errors, strict=True):
        numerical, rest = line.removeprefix("numerical: ").split(" analytic: ")
        analytic, printed = rest.split(", relative error: ")
        assert numerical == analytic
        assert printed == f"{error:e}"


def test_gradient_check_repeats_after_the_same_seed(capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.arange(100.0, dtype=torch.float64)
    printed = []
    for seed in (3, 3, 4):
        coutils.utils.fix_random_seed(seed)
        coutils.grad_check_sparse(lambda v: v.square().sum(), x, 2 * x)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]


# Training


def train_by_the_book(
    seed: int, X: Tensor, y: Tensor, steps: int, rate: float, reg: float
) -> tuple[Tensor, list[float]]:
    """The course's loop, written out: weights drawn first, then rows, W -= rate * dW."""
    torch.manual_seed(seed)
    W = 1e-6 * torch.randn(X.shape[1], int(y.max()) + 1)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(X), (200,))
        loss, dW = coutils.svm_loss_vectorized(W, X[rows], y[rows], reg)
        losses.append(loss.item())
        W = W - rate * dW
    return W, losses


def test_training_draws_weights_then_rows_from_the_global_generator(separable: tuple[Tensor, Tensor]) -> None:
    X, y = separable
    expected, losses = train_by_the_book(5, X, y, 20, 1e-2, 0.1)
    coutils.utils.fix_random_seed(5)
    W, history = coutils.train_linear_classifier(coutils.svm_loss_vectorized, None, X, y, 1e-2, 0.1, 20)
    assert torch.equal(W, expected)
    assert history == losses
    assert all(type(loss) is float for loss in history)


def test_training_learns_and_prints_every_hundredth_loss(
    separable: tuple[Tensor, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = separable
    W, history = coutils.train_linear_classifier(
        coutils.softmax_loss_vectorized, None, X, y, learning_rate=0.1, reg=1e-4, num_iters=201, verbose=True
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["iteration %d / %d: loss %f" % (i, 201, history[i]) for i in (0, 100, 200)]  # noqa: UP031
    assert len(history) == 201
    assert bool((coutils.predict_linear_classifier(W, X) == y).all())


def test_training_is_silent_by_default_and_starts_where_told(
    separable: tuple[Tensor, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = separable
    start = torch.zeros(3, 3)
    W, _ = coutils.train_linear_classifier(coutils.svm_loss_vectorized, start, X, y, num_iters=3)
    assert capsys.readouterr().out == ""
    assert bool((start == 0).all())
    assert bool((W != 0).any())


def test_a_loss_of_ones_own_may_return_a_plain_number(separable: tuple[Tensor, Tensor]) -> None:
    X, y = separable
    W, history = coutils.train_linear_classifier(
        lambda W, X, y, reg: (7, torch.ones_like(W)), torch.zeros(3, 3), X, y, learning_rate=0.5, num_iters=2
    )
    assert history == [7.0, 7.0]
    assert bool((W == -1).all())


@pytest.mark.parametrize("kind", [coutils.LinearSVM, coutils.Softmax])
def test_classes_train_predict_and_go_on_from_their_weights(
    kind: type[coutils.LinearClassifier], separable: tuple[Tensor, Tensor]
) -> None:
    X, y = separable
    classifier = kind()
    assert classifier.W is None
    history = classifier.train(X, y, learning_rate=0.05, reg=1e-4, num_iters=100, batch_size=50)
    assert bool((classifier.predict(X) == y).all())
    assert classifier.predict(X).dtype == torch.int64
    assert classifier.train(X, y, learning_rate=0.05, reg=1e-4, num_iters=1)[0] < history[0]
    loss, dW = classifier.loss(classifier.W, X, y, 0.0)
    assert (loss.shape, dW.shape) == ((), (3, 3))


def test_misuse_of_classifiers_is_refused(separable: tuple[Tensor, Tensor]) -> None:
    X, y = separable
    train = coutils.train_linear_classifier
    with pytest.raises(InputError, match="no weights yet"):
        coutils.Softmax().predict(X)
    with pytest.raises(NotImplementedError, match="LinearClassifier must define loss"):
        coutils.LinearClassifier().train(X, y)
    with pytest.raises(InputError, match="flattened into rows"):
        train(coutils.svm_loss_vectorized, None, X.view(90, 3, 1), y)
    with pytest.raises(InputError, match="batch_size must be"):
        train(coutils.svm_loss_vectorized, None, X, y, batch_size=0)
    with pytest.raises(InputError, match="learning_rate must be"):
        train(coutils.svm_loss_vectorized, None, X, y, learning_rate=float("nan"))
    with pytest.raises(InputError, match="same D and dtype"):
        coutils.predict_linear_classifier(torch.zeros(4, 3), X)


# Data


def test_images_come_as_the_course_has_them(small_cifar: tuple[ArrayDataset, ArrayDataset]) -> None:
    X_train, y_train, X_test, y_test = coutils.data.cifar10(num_train=30)
    assert (X_train.shape, X_test.shape) == ((30, 3, 32, 32), (20, 3, 32, 32))
    assert (X_train.dtype, y_train.dtype) == (torch.float32, torch.int64)
    assert torch.equal(y_train, torch.arange(30) % 10)
    assert torch.equal(y_test, torch.arange(20) % 10)
    raw = small_cifar[0].features[3].view(3, 32, 32)
    assert X_train[3, 1, 2, 5].item() == pytest.approx(int(raw[1, 2, 5]) / 255)


def test_too_many_images_are_refused(small_cifar: tuple[ArrayDataset, ArrayDataset]) -> None:
    with pytest.raises(InputError, match="num_test must be at most 20; got 21"):
        coutils.data.cifar10(num_test=21)
    with pytest.raises(InputError, match="num_train must be a whole number >= 1; got 0"):
        coutils.data.cifar10(num_train=0)


def preprocess_by_the_book(validation_ratio: float) -> dict[str, Tensor]:
    """The notebook's own preprocessing, on the images that `data.cifar10` gives."""
    X_train, y_train, X_test, y_test = coutils.data.cifar10()
    mean = X_train.double().mean(dim=(0, 2, 3), keepdim=True).float()
    X_train, X_test = (X_train - mean).flatten(1), (X_test - mean).flatten(1)
    X_train, X_test = (torch.cat([X, torch.ones(len(X), 1)], 1) for X in (X_train, X_test))
    kept = int(len(X_train) * (1.0 - validation_ratio))
    rows = {"X_train": X_train[:kept], "X_val": X_train[kept:], "X_test": X_test}
    return rows | {"y_train": y_train[:kept], "y_val": y_train[kept:], "y_test": y_test}


def assert_same_data(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=0, atol=2e-7)


def test_rows_are_preprocessed_as_in_the_notebook(small_cifar: tuple[ArrayDataset, ArrayDataset]) -> None:
    assert_same_data(coutils.get_CIFAR10_data(0.2), preprocess_by_the_book(0.2))


@pytest.mark.cifar10
def test_the_real_data_has_the_courses_shapes_and_numbers(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLINEAR_DATA", str(data_dir))
    data = coutils.get_CIFAR10_data()
    shapes = {name: tuple(data[name].shape) for name in ("X_train", "X_val", "X_test")}
    assert shapes == {"X_train": (49_000, 3073), "X_val": (1_000, 3073), "X_test": (10_000, 3073)}
    assert [len(data[name]) for name in ("y_train", "y_val", "y_test")] == [49_000, 1_000, 10_000]
    train, test = load_cifar10(data_dir)
    mean = train.features[:50_000].view(-1, 3, 1024).sum((0, 2), dtype=torch.int64).double() / (50_000 * 1024 * 255)
    for name, raw in (("X_val", train.take(slice(49_000, 50_000))), ("X_test", test.take(slice(0, 1_000)))):
        expected = (raw.view(-1, 3, 1024).double() / 255 - mean.view(1, 3, 1)).flatten(1).float()
        torch.testing.assert_close(data[name][:1_000, :-1], expected, rtol=0, atol=2e-7)
        assert bool((data[name][:, -1] == 1).all())
    assert torch.equal(data["y_val"], train.labels[49_000:])


# Pictures and seeds


def test_a_seed_fixes_torch_and_python() -> None:
    def numbers(seed: int) -> tuple[list[float], float]:
        coutils.utils.fix_random_seed(seed)
        return torch.rand(3).tolist(), random.random()

    assert numbers(1) == numbers(1) != numbers(2)
    coutils.utils.fix_random_seed()
    assert torch.initial_seed() == 0


def test_a_tensor_becomes_an_image_rounded_and_clipped() -> None:
    tensor = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0, 100.4 / 255]).view(1, 2, 3).expand(3, 2, 3)
    kept = tensor.clone()
    image = coutils.utils.tensor_to_image(tensor)
    assert (image.dtype, image.shape) == (np.uint8, (2, 3, 3))
    assert image[:, :, 0].tolist() == [[0, 0, 128], [255, 255, 100]]
    assert torch.equal(tensor, kept)


@pytest.fixture
def canvas() -> Iterator[None]:
    """A figure that needs no screen, closed afterwards."""
    before = matplotlib.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_grid_has_a_row_per_class_and_gaps_of_two(canvas: None, channels: int) -> None:
    y = torch.arange(12) % 3
    shades = torch.tensor([0.2, 0.6, 1.0])
    X = shades[y].view(12, 1, 1, 1).expand(12, channels, 4, 6)
    image = coutils.utils.visualize_dataset(X, y, 5, ["plane", "car", "bird"])
    assert (image.dtype, image.shape) == (np.uint8, (3 * 6 + 2, 5 * 8 + 2, 3))
    for row, shade in enumerate((51, 153, 255)):
        for column in range(5):
            top, left = 2 + 6 * row, 2 + 8 * column
            assert (image[top : top + 4, left : left + 6] == shade).all()
    assert image.sum() == 3 * 5 * 24 * (51 + 153 + 255)  # everything else is black
    texts = [(text.get_text(), text.get_position(), text.get_ha()) for text in plt.gca().texts]
    assert texts == [(name, (-4, 6 * row + 4), "right") for row, name in enumerate(["plane", "car", "bird"])]


def test_the_grid_repeats_after_the_same_seed_and_leaves_torchs_generator_alone(canvas: None) -> None:
    X, y = torch.rand(40, 3, 2, 2), torch.arange(40) % 2
    images = []
    for seed in (0, 0, 1):
        coutils.utils.fix_random_seed(seed)
        state = torch.get_rng_state()
        images.append(coutils.utils.visualize_dataset(X, y, 6, ["a", "b"]))
        assert torch.equal(torch.get_rng_state(), state)
    assert (images[0] == images[1]).all()
    assert (images[0] != images[2]).any()


@pytest.mark.parametrize(
    ("X", "y", "names", "message"),
    [
        (torch.zeros(2, 3, 4, 4), torch.tensor([0, 0]), ["a", "b"], r"class 1 \(b\) has none"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 0]), ["a"], "Divide uint8 images by 255"),
        (torch.zeros(2, 48), torch.tensor([0, 0]), ["a"], r"shape \(N, 3, H, W\)"),
        (torch.zeros(2, 3, 4, 4), torch.tensor([0]), ["a"], "one label per image"),
    ],
)
def test_images_that_do_not_fit_are_refused(X: Tensor, y: Tensor, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        coutils.utils.visualize_dataset(X, y, 3, names)
