"""The extractors as a transformer of scikit-learn."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from colinear import FeatureExtractor, SoftmaxClassifier
from colinear.checks import InputError
from colinear.datasets import open_split
from colinear.extractors import Custom, Hog, Patches

X, Y = load_digits(return_X_y=True)
DIGITS: dict[str, Any] = {"image_shape": (1, 8, 8), "value_range": 16}


def test_scikit_learns_check_passes() -> None:
    results = check_estimator(FeatureExtractor("kernel:16"), on_skip=None)
    assert {result["status"] for result in results if result["check_name"] != "check_array_api_input"} == {"passed"}


def test_it_makes_the_features_of_the_command_line() -> None:
    rows = open_split("digits").train.take(slice(0, 1258)).numpy()
    found = FeatureExtractor("patches:20", random_state=5, **DIGITS).fit_transform(rows)
    fitted = Patches(20).fit(open_split("digits").train, seed=5)
    np.testing.assert_array_equal(found, fitted.transform(open_split("digits").train.take(slice(0, 1258))))
    assert found.dtype == np.float32


def test_in_a_pipeline_and_a_grid() -> None:
    program = make_pipeline(FeatureExtractor("hog", **DIGITS), SoftmaxClassifier(reg=1e-3))
    grid = GridSearchCV(program, {"featureextractor__extractor": ["hog", "patches:40"]}, cv=2, error_score="raise")
    assert grid.fit(X[:400], Y[:400]).best_params_ == {"featureextractor__extractor": "patches:40"}


def test_columns_have_names() -> None:
    extractor = FeatureExtractor("kernel:3").set_output(transform="pandas").fit(X)
    assert list(extractor.transform(X).columns) == ["featureextractor0", "featureextractor1", "featureextractor2"]


def test_it_is_cloned_and_pickled() -> None:
    extractor = FeatureExtractor(Hog(cell=2), **DIGITS).fit(X)
    assert clone(extractor).get_params() == extractor.get_params()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(extractor)).transform(X), extractor.transform(X))


def test_functions_and_what_is_none() -> None:
    own = FeatureExtractor(lambda batch: batch.flatten(1)[:, :2], **DIGITS).fit(X)
    np.testing.assert_array_equal(own.transform(X), X[:, :2])
    assert isinstance(own.extractor_.extractor, Custom)
    with pytest.raises(InputError, match="must be a name, an Extractor or a function; got int"):
        FeatureExtractor(5).fit(X)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="takes pictures; these are rows of a table"):
        FeatureExtractor("hog").fit(X)
    with pytest.raises(InputError, match="random_state must be a whole number"):
        FeatureExtractor("kernel:5", random_state=-1).fit(X)
    with pytest.raises(InputError, match="image shape"):
        FeatureExtractor("hog", image_shape=(3, 8, 8)).fit(X)
