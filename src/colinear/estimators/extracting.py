"""The extractors with scikit-learn's conventions: a transformer for pipelines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from colinear.checks import InputError, check_finite, check_seed
from colinear.datasets.base import ArrayDataset, ImageShape
from colinear.estimators.base import plain
from colinear.estimators.inputs import as_matrix
from colinear.extractors import Custom, Extractor, Fitted, open_extractor


class FeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turn pictures, or rows of a table, into features.

    extractor : 'hog', 'hog+color', 'patches:K', 'kernel:D', 'MODULE:FUNCTION' (imported by `fit`), an object such as
        `Hog(cell=8)`, or a function from a batch of pictures (b, channels, height, width) to rows (b, D).
    image_shape : (channels, height, width) of the pictures that rows are; None for rows of a table.
    value_range : the raw value of white: 255 for bytes, 1 for pictures from 0 to 1.
    random_state : a whole number that draws samples and starts.

    fit(X) : X (n, d) in the order (channel, row, column); y is passed over.     transform(X) : (n, D) float32.
    Learned : `extractor_`, the `Fitted`, with its tensors; n_features_in_.
    Raises   `InputError` for rows that the extractor cannot take.

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from colinear import SoftmaxClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> patches = FeatureExtractor("patches:50", image_shape=(1, 8, 8), value_range=16)
    >>> make_pipeline(patches, SoftmaxClassifier(reg=1e-4)).fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.965
    True
    """

    extractor_: Fitted
    n_features_in_: int

    def __init__(
        self,
        extractor: str | Extractor | Callable[..., Any] = "hog",
        *,
        image_shape: ImageShape | None = None,
        value_range: float = 255.0,
        random_state: int = 0,
    ) -> None:
        self.extractor = extractor
        self.image_shape = image_shape
        self.value_range = value_range
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> FeatureExtractor:
        rows = _dense(X)
        validate_data(self, X, reset=True, skip_check_array=True)
        check_finite(rows)
        nothing = torch.zeros(len(rows), dtype=torch.int64)  # the rows have no labels
        shape = None if self.image_shape is None else (*(plain(size) for size in self.image_shape),)
        data = ArrayDataset(rows, nothing, ("",), shape, "X", float(self.value_range))
        seed = check_seed("random_state", plain(self.random_state))
        self.extractor_ = _open(self.extractor).fit(data, seed)
        self._n_features_out = self.extractor_.n_features
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self)
        rows = _dense(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        features: NDArray[np.float32] = self.extractor_.transform(rows).numpy()
        return features

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _open(given: Any) -> Extractor:
    if isinstance(given, Extractor):
        return given
    if isinstance(given, str):
        return open_extractor(given)
    if not callable(given):
        raise InputError(f"extractor must be a name, an Extractor or a function; got {type(given).__name__}.")
    place = f"{getattr(given, '__module__', '?')}:{getattr(given, '__qualname__', type(given).__name__)}"
    return Custom(place, None, given)


def _dense(X: Any) -> Tensor:
    """Rows (n, d) on the CPU; `InputError` for sparse ones."""
    rows = as_matrix(X)
    if not isinstance(rows, Tensor):
        raise InputError("features are made of dense rows; got a sparse matrix. Give X.toarray().")
    return rows.cpu()
