"""The embedded default: scikit-learn's 1,797 handwritten digits, 8 x 8 grey pixels of 0 to 16, offline."""

from __future__ import annotations

import numpy as np
import sklearn.datasets
import torch

from colinear.datasets.base import ArrayDataset


def load_digits() -> ArrayDataset:
    """Return the digits that scikit-learn ships: uint8 (1797, 64), image shape (1, 8, 8), classes '0' to '9'.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).

    >>> data = load_digits()
    >>> data.n_samples, data.n_features, data.n_classes, data.value_range
    (1797, 64, 10, 16.0)
    """
    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)
    return ArrayDataset(
        features=torch.from_numpy(pixels.astype(np.uint8)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        class_names=tuple(str(digit) for digit in range(10)),
        image_shape=(1, 8, 8),
        name="digits",
        value_range=16.0,
        label_kind="int",
    )
