"""Whatever users hold their rows, labels and weights in, as tensors; nothing that can be shared is copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse  # type: ignore[import-untyped]
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets.labels import encode_labels
from colinear.datasets.sparse import SparseMatrix

PLAIN = "biuU"  # booleans, whole numbers, text: one-dimensional labels of these kinds need no further look
KEPT = (torch.uint8, torch.float32, torch.float64)  # computed in float32, float32 and float64


class _Shared:
    """A read-only array as one that torch takes without a warning. The tensor made of it is only read."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # keeps the memory alive
        self.__array_interface__ = array.__array_interface__ | {"data": (array.ctypes.data, False)}


def unwrap(values: Any, what: str) -> Any:
    """`values` without a mask that masks nothing; all else as it is.

    Raises `InputError` for containers whose numbers are not there to be read: masked cells, lazy frames, records.
    """
    if type(values).__name__ == "LazyFrame":  # of polars, which need not be installed
        raise InputError(f"{what} must be in memory; got a polars LazyFrame. collect() it first.")
    if isinstance(values, np.ndarray) and values.dtype.names is not None:
        raise InputError(
            f"{what} must be plain numbers; got an array of records with {len(values.dtype.names)} fields. Pass "
            "numpy.lib.recfunctions.structured_to_unstructured(...) of it, or a pandas frame."
        )
    if isinstance(values, np.ma.MaskedArray):
        masked = np.argwhere(np.ma.getmaskarray(values))
        if len(masked):
            place = ", ".join(f"{axis} {number}" for axis, number in zip(("row", "column"), masked[0], strict=False))
            raise InputError(f"{what} must not be masked; {place or 'the value'} is. Fill or drop masked cells first.")
        return np.ma.getdata(values)
    return values


def as_matrix(X: Any) -> Tensor | SparseMatrix:
    """Return rows as a tensor (n, d) of uint8, float32 or float64, sharing memory where their layout allows it.

    X : numpy array or memory map, torch tensor on any device, pandas or polars frame, or nested lists; a sparse matrix
    or array of scipy or a sparse torch tensor, which become a `SparseMatrix` of float32 or float64 (canonical CSR is
    shared).
    float16 and bfloat16 become float32; integers wider than 8 bits, booleans and numbers in objects float64.
    Values of dense rows are not looked at: solvers and predictions check by chunk that they are finite.
    Raises   `InputError` for masked, lazy, complex, empty or text input and for other than two dimensions.

    >>> as_matrix([[1, 2]])
    tensor([[1., 2.]], dtype=torch.float64)
    """
    X = unwrap(X, "features")
    if issparse(X) or (isinstance(X, Tensor) and X.layout != torch.strided):
        matrix: Tensor | SparseMatrix = _from_sparse(X)
    else:
        matrix = _from_tensor(X) if isinstance(X, Tensor) else _from_array(X)
    if matrix.ndim != 2:
        raise InputError(
            f"features must have shape (n_samples, n_features); got {tuple(matrix.shape)}. Reshape your data: "
            "X.reshape(1, -1) for a single row, X.reshape(len(X), -1) for images or a single column."
        )
    for axis, what in enumerate(("sample", "feature")):
        if matrix.shape[axis] == 0:
            raise InputError(
                f"Found array with 0 {what}(s) (shape={tuple(matrix.shape)}) while a minimum of 1 is required."
            )
    return matrix


def _from_sparse(X: Any) -> Tensor | SparseMatrix:
    if X.ndim != 2 or 0 in X.shape:
        return torch.empty(X.shape)  # of shape alone, which is refused as that of any rows
    if isinstance(X, Tensor):
        X = X.detach()
        if X.layout == torch.sparse_csr:
            starts, columns, values = X.crow_indices(), X.col_indices(), X.values()
        else:
            X = X.to_sparse_coo().coalesce()  # in the order of rows; torch warns of its CSR tensors
            counts, columns, values = torch.bincount(X.indices()[0], minlength=len(X)), X.indices()[1], X.values()
            starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    else:
        X = X.tocsr()
        starts, columns, values = X.indptr, X.indices, X.data
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "biufc":
            raise InputError(f"features must be numbers; got a sparse matrix of {values.dtype}. Convert it to float.")
        values = torch.from_numpy(np.ascontiguousarray(values, values.dtype.newbyteorder("=")))
    if values.dtype not in (torch.float32, torch.float64):
        values = _from_tensor(values)
        values = values.float() if values.dtype == torch.uint8 else values
    return SparseMatrix.checked(starts, columns, values, X.shape[1])


def _from_tensor(X: Tensor) -> Tensor:
    if X.is_complex():
        raise InputError("Complex data not supported: features must be real numbers.")
    if X.dtype in KEPT:
        return X.detach()
    return X.detach().to(torch.float32 if X.dtype in (torch.float16, torch.bfloat16) else torch.float64)


def _from_array(X: Any) -> Tensor:
    array = X if isinstance(X, np.ndarray) else _convert(X)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype not in (np.uint8, np.float32, np.float64):  # also false for foreign byte orders
        array = _convert(array)
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else np.asarray(_Shared(array)))


def _convert(X: Any) -> NDArray[Any]:
    """A native float array of whatever scikit-learn takes for one; float32 stays, the rest becomes float64."""
    try:
        converted: NDArray[Any] = check_array(
            X, dtype=[np.float64, np.float32], ensure_2d=False, allow_nd=True, ensure_all_finite=False,
            ensure_min_samples=0, ensure_min_features=0,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(f"features must be numbers; {_text_column(X) or error}. Drop or encode it first.") from None
    return converted.astype(converted.dtype.newbyteorder("="), copy=False)


def _text_column(X: Any) -> str:
    """Which column of a frame does not hold numbers; '' if X is no frame or all do."""
    for name in getattr(X, "columns", ()):
        try:
            np.asarray(X[name]).astype(np.float64)
        except (TypeError, ValueError):
            return f"column {name!r} is {X[name].dtype}"
    return ""


def encode_classes(y: Any, n_samples: int) -> tuple[Tensor, NDArray[Any]]:
    """Return codes (n,) int64 in [0, c) and the c >= 2 classes, sorted, of the labels' own type.

    y : (n,) or (n, 1) whole numbers, booleans or text. Raises `InputError` for fractions, missing values, mixed
    kinds, a number other than one label a row, and a single class.
    """
    if y is None:
        raise InputError("This classifier requires y to be passed, but the target y is None.")
    y = unwrap(y, "labels")
    values = np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError("labels must be finite; y contains NaN or infinity. Drop these rows first.")
    try:
        if values.ndim != 1 or values.dtype.kind not in PLAIN:
            check_classification_targets(values)
            values = column_or_1d(values, warn=True)
        classes, codes = np.unique(values, return_inverse=True)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"labels must be one whole number, boolean or text for each row, all of one kind: {error}"
        ) from None
    if len(codes) != n_samples:
        raise InputError(f"there must be one label per row; got {len(codes)} labels for {n_samples} rows.")
    if len(classes) < 2:
        raise InputError(f"labels must have at least 2 classes; got only {classes[0]!r} in n_samples={n_samples}.")
    return torch.from_numpy(codes.astype(np.int64, copy=False)), classes


def has_answers(y: Any) -> bool:
    """Whether y is (n, c >= 2): an answer for each class, and not one label a row."""
    if isinstance(y, list | tuple) and len(y) and isinstance(y[0], list | tuple | np.ndarray) and np.ndim(y[0]):
        return len(y[0]) > 1
    shape: tuple[int, ...] = getattr(y, "shape", ())
    return len(shape) == 2 and shape[1] > 1


def encode_answers(y: Any, n_samples: int) -> tuple[Tensor, NDArray[Any]]:
    """Return answers (n, c) int8 and the classes 0, ..., c - 1, from y (n, c) of 1, 0, and -1 or NaN where unknown."""
    y = unwrap(y, "labels")
    values = y.toarray() if issparse(y) else y  # scikit-learn's label binarizers may give it
    try:
        values = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
        values = values.astype(np.float64) if values.dtype.kind == "O" else values
    except (TypeError, ValueError):
        raise InputError("labels of many classes must be 1 or 0 in every row, and -1 or NaN where unknown.") from None
    answers, names = encode_labels(values)
    if len(answers) != n_samples:
        raise InputError(f"there must be labels for every row; got {len(answers)} for {n_samples} rows.")
    return answers, np.arange(len(names))


def as_weights(sample_weight: Any, n_samples: int) -> Tensor | None:
    """Return weights (n,) float64, finite and >= 0, not all zero; None stays None. A number is every row's weight."""
    if sample_weight is None:
        return None
    raw = unwrap(sample_weight, "sample_weight")
    raw = raw.detach().cpu() if isinstance(raw, Tensor) else raw
    try:
        weights = np.array(raw, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("sample_weight must be numbers, one for each row.") from None
    if weights.ndim == 0:
        weights = np.full(n_samples, float(weights))
    if weights.shape != (n_samples,):
        raise InputError(f"sample_weight must have shape ({n_samples},), one for each row; got {weights.shape}.")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise InputError(f"sample_weight must be finite and >= 0; row {bad[0]} has {weights[bad[0]]}.")
    if not weights.any():
        raise InputError("sample_weight must not be zero in every row: no row has a weight above zero.")
    return torch.from_numpy(weights)


def total_weights(
    codes: Tensor, classes: NDArray[Any], sample_weight: Tensor | None, class_weight: Mapping[Any, float] | str | None
) -> Tensor | None:
    """Return the weight of each row, (n,) float64: sample weight times class weight; None if all are 1.

    class_weight : 'balanced' weighs class j by (sum of weights) / (c * sum of its weights), c the number of classes
    that have any weight; a dict by its value, 1 for classes that are not in it.
    Raises `InputError` if fewer than two classes are left with weight.
    """
    ones = torch.ones(len(codes), dtype=torch.float64) if sample_weight is None else sample_weight
    sums = torch.bincount(codes, ones, len(classes))  # (c,) float64
    weights = sample_weight
    if class_weight is not None:
        factors = _class_factors(classes, sums, class_weight)
        weights, sums = ones * factors[codes], sums * factors
    if int((sums > 0).sum()) < 2:
        raise InputError("rows of at least 2 classes must have a weight > 0; raise sample_weight or class_weight.")
    return None if weights is None or bool((weights == 1).all()) else weights


def _class_factors(classes: NDArray[Any], sums: Tensor, class_weight: Mapping[Any, float] | str) -> Tensor:
    if isinstance(class_weight, str) and class_weight == "balanced":
        present = sums > 0
        balanced = sums.sum() / (present.sum() * sums.clamp(min=torch.finfo(torch.float64).tiny))
        return torch.where(present, balanced, torch.zeros_like(sums))
    if not isinstance(class_weight, Mapping):
        raise InputError(f"class_weight must be a dict, 'balanced' or None; got {class_weight!r}.")
    labels = classes.tolist()
    if class_weight and not any(label in class_weight for label in labels):
        raise InputError(f"class_weight must name classes of y, such as {labels[0]!r}; got {list(class_weight)[:5]}.")
    factors = torch.tensor([float(class_weight.get(label, 1.0)) for label in labels], dtype=torch.float64)
    if not bool((torch.isfinite(factors) & (factors >= 0)).all()):
        raise InputError(f"class_weight must have finite values >= 0; got {dict(class_weight)!r}.")
    return factors
