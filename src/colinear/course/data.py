"""CIFAR-10 as the course hands it out: images in [0, 1], or rows ready for a linear classifier."""

from __future__ import annotations

import torch
from torch import Tensor

from colinear.checks import InputError, check_count
from colinear.datasets.base import ArrayDataset, Dataset, split_tail
from colinear.datasets.cifar10 import load_cifar10
from colinear.datasets.features import Features, Scaling, fit_scaling


def cifar10(num_train: int | None = None, num_test: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The images: X_train, y_train, X_test, y_test.

    num_train, num_test : keep the first so many images; None means all 50,000 and 10,000.
    Returns  X (N, 3, 32, 32) float32 in [0, 1], y (N,) int64, on the CPU.
    Raises   `InputError` if a number is < 1 or more than there are, or the files cannot be had
             (see `colinear.datasets.load_cifar10`, which finds, checks or downloads them).
    Cost     12 kB per image.
    """
    train, test = load_cifar10()
    return *_images(train, num_train, "num_train"), *_images(test, num_test, "num_test")


def get_CIFAR10_data(validation_ratio: float = 0.02) -> dict[str, Tensor]:
    """Rows for a linear classifier, preprocessed as in the course.

    Pixels / 255, minus the mean of each channel over the 50,000 training images (before validation is split
    off, as in the course), flattened (channel, row, column), and a last column of ones for the bias.

    validation_ratio : share of the training images, the last ones, kept for validation.
    Returns  X_train (49000, 3073), y_train, X_val (1000, 3073), y_val, X_test (10000, 3073), y_test; X float32,
             y int64, on the CPU.
    Raises   `InputError` if a part would be empty, or the files cannot be had.
    Cost     740 MB; one pass for the means, one to convert.
    """
    train, test = load_cifar10()
    scaling = fit_scaling(train)
    kept, held = split_tail(train, validation_ratio)
    rows = {"train": kept, "val": held, "test": test}
    data = {f"X_{part}": _rows(dataset, scaling) for part, dataset in rows.items()}
    return data | {f"y_{part}": dataset.labels.clone() for part, dataset in rows.items()}


def _images(dataset: ArrayDataset, count: int | None, what: str) -> tuple[Tensor, Tensor]:
    kept = dataset.n_samples if count is None else check_count(what, count)
    if kept > dataset.n_samples:
        raise InputError(f"{what} must be at most {dataset.n_samples}; got {kept}.")
    some = slice(0, kept)
    shape = dataset.image_shape or (3, 32, 32)
    return dataset.take(some).view(-1, *shape).float().div_(255), dataset.labels[some].clone()


def _rows(dataset: Dataset, scaling: Scaling) -> Tensor:
    """All rows scaled, (n, d + 1) float32, in memory of their own."""
    features = Features(dataset, scaling, torch.float32)
    out = torch.empty(features.n_samples, features.n_features)
    for rows, chunk in features.chunks():  # all rows at once would be converted into a second copy first
        out[rows] = chunk
    return out
