"""What estimators take, without a copy, and what they refuse, in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import _get_feature_names

from colinear.checks import InputError
from colinear.estimators import HingeClassifier, SoftmaxClassifier, SoftmaxClassifierCV
from colinear.estimators.inputs import as_matrix

X, Y = load_iris(return_X_y=True)
NAMES = ["a", "b", "c", "d"]


def refused(message: str) -> Any:
    return pytest.raises(InputError, match=re.escape(message))


@pytest.fixture(scope="module")
def model() -> SoftmaxClassifier:
    return SoftmaxClassifier().fit(X, Y)


# What they take


@pytest.mark.parametrize(
    "wrap",
    [
        torch.from_numpy,
        np.asfortranarray,
        lambda rows: rows.astype(">f8"),
        lambda rows: rows.astype(object),
        lambda rows: rows[::-1][::-1],
        lambda rows: rows.tolist(),
        lambda rows: pd.DataFrame(rows, columns=NAMES),
        lambda rows: pl.DataFrame(rows, schema=NAMES),
    ],
    ids=["torch", "columns", "foreign bytes", "objects", "reversed", "lists", "pandas", "polars"],
)
def test_rows_of_any_kind_give_the_same_model(model: SoftmaxClassifier, wrap: Callable[[Any], Any]) -> None:
    own = SoftmaxClassifier().fit(wrap(X), Y)
    np.testing.assert_allclose(own.coef_, model.coef_, atol=1e-10)
    np.testing.assert_array_equal(own.predict(wrap(X)), model.predict(X))


def test_frames_give_names(model: SoftmaxClassifier) -> None:
    frames = [pd.DataFrame(X, columns=NAMES), pl.DataFrame(X, schema=NAMES)]
    if _get_feature_names(frames[1]) is None:  # scikit-learn 1.6 reads them by a protocol that polars 2 has not
        del frames[1]
    for frame in frames:
        own = SoftmaxClassifier().fit(frame, pd.Series(Y) if isinstance(frame, pd.DataFrame) else pl.Series(Y))
        assert own.feature_names_in_.tolist() == NAMES
        with pytest.raises(ValueError, match="feature names"):
            own.predict(pd.DataFrame(X, columns=NAMES[::-1]))
    assert not hasattr(model, "feature_names_in_")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint8, np.int32, np.bool_])
def test_numbers_of_any_width(dtype: type) -> None:
    rows = (10 * X).astype(dtype)
    if dtype is np.bool_:
        rows = X.mean(0) < X
    model = SoftmaxClassifier().fit(rows, Y)
    wide = SoftmaxClassifier().fit(rows.astype(np.float64), Y)
    np.testing.assert_allclose(model.predict_proba(rows), wide.predict_proba(rows.astype(float)), atol=2e-2)
    assert model.decision_function(rows).dtype == (np.float64 if dtype in (np.int32, np.bool_) else np.float32)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["x", "y", "z"])[Y],
        np.array(["x", "y", "z"], dtype=object)[Y],
        10 * Y - 5,
        Y.astype(float),
        torch.from_numpy(Y),
        pd.Series(["x", "y", "z"])[Y].reset_index(drop=True),
        pl.Series([("x", "y", "z")[label] for label in Y]),
        ["x" if label else "y" for label in Y],
        Y > 0,
    ],
    ids=["text", "objects", "gaps", "whole floats", "torch", "pandas", "polars", "list", "booleans"],
)
def test_labels_of_any_kind_come_back(labels: Any) -> None:
    model = SoftmaxClassifier().fit(X, labels)
    listed = np.asarray(labels).tolist()
    assert set(model.classes_.tolist()) == set(listed)
    assert np.mean([a == b for a, b in zip(model.predict(X).tolist(), listed, strict=True)]) > 0.95


def test_a_memory_map_and_a_read_only_array_are_shared(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    for mode in ("r", "c", "r+"):
        mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
        assert as_matrix(mapped).data_ptr() == mapped.ctypes.data
    frozen = X.copy()
    frozen.flags.writeable = False
    assert as_matrix(frozen).data_ptr() == frozen.ctypes.data
    assert as_matrix(frozen[::2, 1:]).data_ptr() == frozen[::2, 1:].ctypes.data
    model = SoftmaxClassifier().fit(np.load(tmp_path / "x.npy", mmap_mode="r"), Y)
    assert model.score(X.astype(np.float32), Y) > 0.95


def test_shared_rows_outlive_their_owner() -> None:
    frozen = np.arange(6.0).reshape(2, 3)
    frozen.flags.writeable = False
    matrix = as_matrix(frozen)
    del frozen
    assert matrix.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_rows_on_a_gpu_are_computed_there() -> None:
    rows = torch.from_numpy(X).cuda()
    there = SoftmaxClassifier(tol=1e-10).fit(rows, torch.from_numpy(Y).cuda())
    here = SoftmaxClassifier(tol=1e-10).fit(X, Y)
    np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-6)
    np.testing.assert_array_equal(there.predict(rows), here.predict(X))
    assert SoftmaxClassifier(device="cuda").fit(X, Y).path_.points[0].coef.device.type == "cpu"


@pytest.mark.parametrize("mask", [False, np.ma.nomask, np.zeros(X.shape, bool)], ids=["false", "none", "empty"])
def test_a_mask_that_masks_nothing_is_no_mask(model: SoftmaxClassifier, mask: Any) -> None:
    rows = np.ma.MaskedArray(X, mask=mask)
    assert as_matrix(rows).data_ptr() == X.ctypes.data
    own = SoftmaxClassifier().fit(rows, np.ma.MaskedArray(Y), np.ma.MaskedArray(np.ones(150)))
    np.testing.assert_allclose(own.coef_, model.coef_, atol=1e-10)


@pytest.mark.parametrize("kind", [SoftmaxClassifier, HingeClassifier])
def test_float32_rows_on_a_large_offset_are_scored_in_float64(kind: type) -> None:
    rows = (np.rint(8 * X) + 1e7).astype(np.float32)  # whole numbers: float32 holds them
    fitted = kind(reg=1e-3, standardize=True).fit(rows, Y)
    scores = fitted.decision_function(rows)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, fitted.decision_function(rows.astype(np.float64)), rtol=0, atol=1e-4)
    assert fitted.score(rows, Y) > 0.9


@pytest.mark.parametrize("labels", [Y, Y > 0], ids=["three", "two"])
def test_everyday_float32_rows_are_scored_in_float32(labels: np.ndarray) -> None:
    assert not SoftmaxClassifier().fit(X.astype(np.float32), labels)._wide
    assert SoftmaxClassifier().fit(X, labels)._wide


def test_scores_beyond_the_type_of_the_rows_are_refused() -> None:
    fitted = SoftmaxClassifier(reg=1e-3).fit(X.astype(np.float32), Y)
    with refused("scores of rows 0 to 1 are beyond float32: features are too large for these weights"):
        fitted.predict(np.full((2, 4), 3e38, dtype=np.float32))


# What they refuse: rows


def masked(values: np.ndarray, *place: int) -> np.ma.MaskedArray:
    array = np.ma.MaskedArray(values.copy(), mask=False)
    array[place] = np.ma.masked
    return array


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((masked(X, 70, 2), Y), "features must not be masked; row 70, column 2 is. Fill or drop masked cells first"),
        ((X, masked(Y, 3)), "labels must not be masked; row 3 is"),
        ((X, Y, masked(np.ones(150), 5)), "sample_weight must not be masked; row 5 is"),
        ((pl.DataFrame(X).lazy(), Y), "features must be in memory; got a polars LazyFrame. collect() it first"),
        ((X, pl.DataFrame({"y": Y}).lazy()), "labels must be in memory"),
        ((X, Y, pl.DataFrame({"w": Y}).lazy()), "sample_weight must be in memory"),
        ((np.rec.fromarrays(X.T), Y), "features must be plain numbers; got an array of records with 4 fields"),
        ((X, np.rec.fromarrays([Y])), "labels must be plain numbers; got an array of records"),
        ((X, Y, np.rec.fromarrays([Y])), "sample_weight must be plain numbers; got an array of records"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_containers_whose_numbers_are_not_there_to_be_read(arguments: Any, message: str) -> None:
    with refused(message):
        SoftmaxClassifier().fit(*arguments)
    with refused(message):
        SoftmaxClassifierCV(regs=[0.1]).fit(*arguments)


def test_predictions_refuse_the_same_containers(model: SoftmaxClassifier) -> None:
    for rows in (masked(X, 70, 2), pl.DataFrame(X).lazy(), np.rec.fromarrays(X.T)):
        with refused("features must"):
            model.predict(rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (csr_array(X * 1j), "Complex data not supported"),
        (csr_array((3, 0)), "Found array with 0 feature(s) (shape=(3, 0))"),
        (X[0], "features must have shape (n_samples, n_features); got (4,). Reshape your data"),
        (X.reshape(150, 2, 2), "got (150, 2, 2). Reshape your data"),
        (X[:0], "Found array with 0 sample(s) (shape=(0, 4)) while a minimum of 1 is required."),
        (X[:, :0], "Found array with 0 feature(s) (shape=(150, 0))"),
        (X + 1j, "Complex data not supported"),
        (torch.complex(torch.from_numpy(X), torch.from_numpy(X)), "Complex data not supported"),
        (X.astype(str)[:, :1].repeat(2, 1).astype(object) + "cm", "features must be numbers"),
        (pd.DataFrame({"w": X[:, 0], "colour": ["red"] * 150}), "features must be numbers; column 'colour' is"),
        (pl.DataFrame({"w": X[:, 0], "colour": ["red"] * 150}), "features must be numbers; column 'colour' is"),
    ],
    ids=[
        "sparse complex",
        "sparse without columns",
        "1-d",
        "3-d",
        "no rows",
        "no columns",
        "complex",
        "torch complex",
        "text",
        "pandas",
        "polars",
    ],
)
def test_rows_that_are_no_matrix_of_numbers(rows: Any, message: str) -> None:
    with refused(message):
        SoftmaxClassifier().fit(rows, Y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(model: SoftmaxClassifier, value: float) -> None:
    bad = X.copy()
    bad[70, 2] = value
    with refused(f"must be finite; row 70, column 2 has {value}"):
        SoftmaxClassifier().fit(bad, Y)
    with refused(f"must be finite; row 70, column 2 has {value}"):
        model.predict(bad)


def test_other_columns_than_in_fit(model: SoftmaxClassifier) -> None:
    with pytest.raises(ValueError, match="X has 3 features, but SoftmaxClassifier is expecting 4"):
        model.predict(X[:, :3])
    with pytest.raises(NotFittedError):
        SoftmaxClassifier().predict(X)


# Labels and weights


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "requires y to be passed"),
        (Y[:100], "inconsistent numbers of samples: [150, 100]"),
        (np.append(Y, 0), "inconsistent numbers of samples: [150, 151]"),
        (np.zeros(150), "at least 2 classes"),
        (Y + 0.5, "Unknown label type: continuous"),
        (np.where(Y == 1, np.nan, Y), "labels must be finite"),
        (np.stack([Y, Y], 1), "softmax takes one class a row; rows of y have any number of them"),
        (np.array([*["x"] * 75, *[1] * 75], dtype=object), "all of one kind"),
    ],
    ids=["none", "few", "many", "one class", "fractions", "nan", "two columns", "mixed"],
)
def test_labels_that_are_no_classes(labels: Any, message: str) -> None:
    with refused(message):
        SoftmaxClassifier().fit(X, labels)


def test_a_column_of_labels_is_taken_with_scikit_learns_warning() -> None:
    with pytest.warns(DataConversionWarning):
        model = SoftmaxClassifier().fit(X, Y[:, None])
    assert model.predict(X).shape == (150,)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(149), "sample_weight must have shape (150,)"),
        (np.ones((150, 1)), "sample_weight must have shape (150,)"),
        (-np.ones(150), "finite and >= 0; row 0 has -1.0"),
        (np.full(150, np.nan), "finite and >= 0; row 0 has nan"),
        (np.zeros(150), "sample_weight must not be zero in every row"),
        (["heavy"] * 150, "sample_weight must be numbers"),
        ((Y == 1).astype(float), "rows of at least 2 classes must have a weight > 0"),
    ],
    ids=["few", "column", "negative", "nan", "zero", "text", "one class left"],
)
def test_weights_that_weigh_nothing(weights: Any, message: str) -> None:
    with refused(message):
        SoftmaxClassifier().fit(X, Y, weights)


@pytest.mark.parametrize(
    ("weights", "options"), [(np.where(Y == 1, 0.0, 1.0), {}), (None, {"class_weight": {1: 0}})], ids=["rows", "class"]
)
def test_a_class_without_weight_stays_a_class_as_in_scikit_learn(weights: Any, options: dict[str, Any]) -> None:
    with_ones = np.column_stack([X, np.ones(len(X))])
    theirs = LogisticRegression(fit_intercept=False, tol=1e-10, max_iter=10_000, **options).fit(with_ones, Y, weights)
    ours = SoftmaxClassifier(C=1.0, tol=1e-10, **options).fit(X, Y, weights)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_allclose(ours.coef_, theirs.coef_[:, :-1], atol=1e-4)
    assert 1 not in ours.predict(X)


# Parameters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"reg": 0.1, "C": 1.0}, "give reg or C, not both"),
        ({"reg": 0.0}, "reg must be a finite number > 0; got 0.0"),
        ({"C": -1}, "C must be a finite number > 0; got -1"),
        ({"C": "strong"}, "C must be a finite number > 0; got 'strong'"),
        ({"tol": 0}, "tol must be"),
        ({"max_iter": -1}, "max_iter must be a whole number >= 0"),
        ({"solver": "adam"}, "solver must be one of exact, sgd, lbfgs, liblinear, newton-cg"),
        ({"intercept_scaling": 0}, "intercept_scaling must be"),
        ({"intercept_scaling": 1e308}, "intercept_scaling must be a finite number > 0 and <= 1e+08; got 1e+308"),
        ({"C": 10**400}, "C must be a finite number > 0; got 1000"),
        ({"class_weight": "heavy"}, "class_weight must be a dict, 'balanced' or None"),
        ({"class_weight": {"setosa": 2}}, "class_weight must name classes of y"),
        ({"class_weight": {0: -1}}, "class_weight must have finite values >= 0"),
        ({"device": "abacus"}, "device 'abacus' is not available"),
        ({"random_state": -1}, "random_state must be >= 0"),
        ({"solver": "sgd", "class_weight": {0: 2.0}}, "takes no weights. Use solver='exact'"),
        ({"solver": "sgd", "learning_rate": -1.0}, "learning_rate must be"),
        ({"solver": "sgd", "learning_rate": 1e300}, "diverged"),
        ({"solver": "sgd", "batch_size": 0}, "batch_size must be"),
    ],
    ids=str,
)
def test_parameters_that_make_no_sense(parameters: dict[str, Any], message: str) -> None:
    with refused(message):
        SoftmaxClassifier(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"regs": [0.1], "Cs": 3}, "give regs or Cs, not both"),
        ({"regs": []}, "regs must be a list of numbers > 0"),
        ({"regs": 0.1}, "regs must be a list of numbers > 0"),
        ({"regs": [0.1, 0.0]}, "regs must be a finite number > 0; got 0.0"),
        ({"Cs": 0}, "Cs must be a whole number >= 1"),
        ({"cv": 1.5}, "cv must be a number of folds, a share in (0, 1) or a splitter; got 1.5"),
        ({"cv": [(np.arange(5), np.arange(5, 5))]}, "split 0 of cv has none of one"),
        ({"cv": [(np.arange(9), np.arange(8, 20))]}, "split 0 of cv has rows in both"),
        ({"cv": []}, "cv must give at least one split"),
    ],
    ids=str,
)
def test_cross_validation_that_makes_no_sense(parameters: dict[str, Any], message: str) -> None:
    with refused(message):
        SoftmaxClassifierCV(**parameters).fit(X, Y)


def test_the_hinge_has_no_probabilities() -> None:
    assert not hasattr(HingeClassifier().fit(X, Y), "predict_proba")
