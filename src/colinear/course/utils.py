"""The course's helpers: seeds and pictures."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from colinear.checks import InputError, check_count

GAP = 2  # black pixels around every image of a grid


def fix_random_seed(seed_no: int = 0) -> None:
    """Seed torch's global generators (CPU and every GPU) and Python's `random`; runs of the course repeat.

    >>> fix_random_seed(1); first = torch.rand(2)
    >>> fix_random_seed(1); bool((torch.rand(2) == first).all())
    True
    """
    torch.manual_seed(seed_no)
    random.seed(seed_no)


def tensor_to_image(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """A picture for matplotlib: (3, H, W) in [0, 1] -> (H, W, 3) uint8, rounded, clipped outside [0, 1].

    >>> tensor_to_image(torch.full((3, 1, 1), 0.5)).tolist()
    [[[128, 128, 128]]]
    """
    if tensor.ndim != 3:
        raise InputError(f"an image must have shape (channels, height, width); got {tuple(tensor.shape)}.")
    bright = tensor.mul(255).add_(0.5).clamp_(0, 255).permute(1, 2, 0)
    image: npt.NDArray[np.uint8] = bright.to("cpu", torch.uint8).numpy()
    return image


def visualize_dataset(
    X_data: Tensor, y_data: Tensor, samples_per_class: int, class_list: Sequence[str]
) -> npt.NDArray[np.uint8]:
    """A grid with one row of random images per class, and the class names beside it.

    X_data : (N, 3, H, W) or (N, 1, H, W) in [0, 1].   y_data : (N,) int64, the index into class_list.
    Returns  (rows * (H + 2) + 2, columns * (W + 2) + 2, 3) uint8, images 2 black pixels apart.
    Effect   writes each class name left of its row into matplotlib's current axes, so that `plt.imshow` of the
             result in the same cell shows both.
    Random   images come from Python's `random`, as in the course, with replacement.
    Raises   `InputError` if a class has no image or the shapes do not fit.
    """
    _check_images(X_data, y_data, class_list)
    check_count("samples_per_class", samples_per_class)
    height, width = X_data.shape[2:]
    grid = X_data.new_zeros(3, len(class_list) * (height + GAP) + GAP, samples_per_class * (width + GAP) + GAP)
    for label, name in enumerate(class_list):
        candidates = (y_data == label).nonzero().squeeze(1)
        if len(candidates) == 0:
            raise InputError(f"every class of class_list needs an image; class {label} ({name}) has none.")
        chosen = [random.randrange(len(candidates)) for _ in range(samples_per_class)]
        for column, image in enumerate(X_data[candidates[chosen]]):  # (channels, H, W)
            top, left = label * (height + GAP) + GAP, column * (width + GAP) + GAP
            grid[:, top : top + height, left : left + width] = image
    import matplotlib.pyplot as plt  # slow to import, and only this function draws

    for label, name in enumerate(class_list):
        plt.gca().text(-4, (height + GAP) * label + height // 2 + GAP, name, ha="right")
    return tensor_to_image(grid)


def _check_images(X_data: Tensor, y_data: Tensor, class_list: Sequence[str]) -> None:
    if X_data.ndim != 4 or X_data.shape[1] not in (1, 3) or not X_data.is_floating_point():
        raise InputError(
            "images must be floating point of shape (N, 3, H, W) or (N, 1, H, W); "
            f"got {X_data.dtype} {tuple(X_data.shape)}. Divide uint8 images by 255."
        )
    if y_data.shape != X_data.shape[:1] or len(class_list) == 0:
        raise InputError(
            f"there must be one label per image and at least one class; got labels {tuple(y_data.shape)} "
            f"for {len(X_data)} images and {len(class_list)} classes."
        )
