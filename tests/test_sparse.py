"""Sparse rows: what is learned from them is what is learned from the same rows dense, and nothing makes them so."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.problems import draw_coef
from tests.program import Program, assert_refused
from torch import Tensor

from colinear import HingeClassifier, LinearModel, SoftmaxClassifier, SoftmaxClassifierCV
from colinear.checks import InputError
from colinear.datasets import (
    ArrayDataset,
    Features,
    Scaling,
    Split,
    fingerprint,
    fit_scaling,
    load_features,
    load_table,
    open_split,
)
from colinear.datasets.derived import JoinedDataset
from colinear.datasets.sparse import SparseMatrix, stack_sparse
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.search.listener import Silent
from colinear.search.runfolder import RunFolder
from colinear.search.settings import Settings
from colinear.search.tune import tune
from colinear.solvers import diagonal
from colinear.solvers.diagonal import Diagonal, make_preconditioner
from colinear.solvers.path import solve_path
from colinear.solvers.present import Present
from colinear.solvers.rowspace import suits_row_space
from colinear.solvers.sgd import SGD
from colinear.solvers.tuning import Tuning

N, D, C = 300, 40, 3
NAMES = tuple("abc")
BY_LBFGS = Tuning(newton_weights=0, newton_first=0, interior_first=1)
BY_COLUMNS = replace(BY_LBFGS, eigh_freely=4, eigh_up_to=4, nystroem_rank=4)
SCALINGS: tuple[dict[str, Any], ...] = (
    {"center": False}, {"center": True}, {"standardize": True}, {"max_abs": True, "intercept_scaling": 3.0},
    {"center": False, "intercept_scaling": 0.0},
)  # fmt: skip


def draw(dtype: Any = np.float64) -> tuple[sparse.csr_array, np.ndarray]:
    """Rows with 15 % of their values, an empty row and an empty column among them, and labels that follow them."""
    rng = np.random.default_rng(0)
    rows = sparse.random_array((N, D), density=0.15, rng=rng, format="lil")
    rows[7, :] = 0
    rows[:, 5] = 0
    rows = rows.tocsr()
    rows.eliminate_zeros()
    labels = (rows @ rng.normal(size=(D, C)) * 3 + rng.normal(size=(N, C))).argmax(1)
    return rows.astype(dtype), labels


ROWS, LABELS = draw()


def both(dtype: Any, **options: Any) -> tuple[Objective, Objective]:
    """The same weighted rows, sparse and dense, seen through the scaling of the dense ones."""
    rows, labels = draw(dtype)
    weights = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    thin = ArrayDataset(SparseMatrix.from_scipy(rows), torch.tensor(labels), NAMES)
    full = ArrayDataset(torch.tensor(rows.toarray()), torch.tensor(labels), NAMES)
    options = {"center": False, **options} if "standardize" not in options else options
    scalings = [fit_scaling(data, row_weights=weights, **options) for data in (thin, full)]
    torch.testing.assert_close(scalings[0].scale.expand(D), scalings[1].scale.expand(D), rtol=1e-12, atol=0)
    torch.testing.assert_close(scalings[0].shift, scalings[1].shift, rtol=1e-12, atol=1e-12)
    precision = torch.float64 if dtype == np.float64 else torch.float32
    thin_one, full_one = (Objective(Features(data, scalings[1], precision), weights) for data in (thin, full))
    return thin_one, full_one


EVERY_THIRD = torch.arange(0, N, 3)
LOOKS: dict[str, Callable[[Objective], Tensor]] = {
    "gather": lambda o: o.features.gather(slice(3, 77)),
    "column_sizes": lambda o: o.column_sizes(EVERY_THIRD),
    "row_squares": lambda o: o.row_squares(EVERY_THIRD),
    "mean_square": lambda o: torch.tensor(o.mean_square()),
    "second_moment": lambda o: o.second_moment(EVERY_THIRD, torch.float64),
    "second_moment_times": lambda o: o.second_moment_times(
        torch.eye(o.features.n_features, 7, dtype=o.features.dtype), EVERY_THIRD
    ),
    "column_squares": lambda o: o.column_squares(),
}


@pytest.mark.parametrize("options", SCALINGS, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("look", LOOKS)
def test_sums_over_sparse_rows_are_those_over_dense_ones(look: str, dtype: Any, options: dict[str, Any]) -> None:
    thin, full = (LOOKS[look](one).double() for one in both(dtype, **options))
    torch.testing.assert_close(
        thin, full, rtol=0, atol=float(full.abs().max()) * (1e-6 if dtype == np.float32 else 1e-14)
    )


@pytest.mark.parametrize("options", SCALINGS, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_an_evaluation_is_that_of_dense_rows(loss: str, options: dict[str, Any]) -> None:
    thin, full = both(np.float64, **options)
    coef = torch.randn(30, C, thin.features.n_features, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    regs = torch.full((30,), 1e-3, dtype=torch.float64)  # 90 rows of weights: two blocks
    mine, theirs = (one.evaluate(coef, regs, LOSSES[loss], curvature=True) for one in (thin, full))
    for name in ("objective", "gap", "gradient", "curvature"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name), rtol=1e-12, atol=1e-12)
    alone = thin.evaluate(coef[4:5], regs[:1], LOSSES[loss])
    assert torch.equal(alone.gradient, mine.gradient[4:5])


def test_the_size_of_a_chunk_changes_nothing() -> None:
    thin, _ = both(np.float64, standardize=True)
    coef = torch.randn(2, C, D + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    regs = torch.full((2,), 1e-3, dtype=torch.float64)
    whole = thin.evaluate(coef, regs, LOSSES["softmax"])
    thin.features.sparse.fewest_rows = 17  # type: ignore[union-attr]
    parts = Objective(thin.features, thin.row_weights, chunk_rows=17).evaluate(coef, regs, LOSSES["softmax"])
    torch.testing.assert_close(parts.gradient, whole.gradient, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("options", SCALINGS, ids=str)
@pytest.mark.parametrize("tuning", [Tuning(), BY_LBFGS], ids=["newton", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_path_is_that_of_dense_rows(dtype: Any, tuning: Tuning, options: dict[str, Any]) -> None:
    thin, full = (
        solve_path(one, LOSSES["softmax"], [1e-2, 1e-4], tol=1e-8, max_passes=2000, tuning=tuning)
        for one in both(dtype, **options)
    )
    for mine, theirs in zip(thin.points, full.points, strict=True):
        assert mine.relative_gap <= 1e-8
        assert mine.objective == pytest.approx(theirs.objective, rel=1e-7)


def test_the_hinge_is_certified_and_that_of_dense_rows() -> None:
    thin, full = (solve_path(one, LOSSES["hinge"], [1e-2], tol=1e-6, max_passes=2000) for one in both(np.float64))
    assert thin.points[0].relative_gap <= 1e-6
    assert thin.points[0].objective == pytest.approx(full.points[0].objective, rel=1e-6)


def test_columns_precondition_where_a_spectrum_is_too_dear() -> None:
    thin, _ = both(np.float64)
    assert not isinstance(make_preconditioner(thin), Diagonal)
    wide = SparseMatrix.from_scipy(sparse.hstack([ROWS, sparse.csr_array((N, 5000))], format="csr"))
    data = ArrayDataset(wide, torch.tensor(LABELS), NAMES)
    objective = Objective(Features(data, fit_scaling(data), torch.float64))
    made = make_preconditioner(objective)
    assert isinstance(made, Diagonal)
    assert set(made.leading.tolist()) > {*range(5), *range(6, D), 5040}  # and others that no row has
    narrow_data = ArrayDataset(torch.tensor(ROWS.toarray()), torch.tensor(LABELS), NAMES)
    narrow_scaling = fit_scaling(narrow_data, center=False)
    alone = Objective(Features(narrow_data, narrow_scaling, torch.float64))
    path = solve_path(objective, LOSSES["softmax"], [1e-3], tol=1e-8, tuning=BY_LBFGS)
    narrow = solve_path(alone, LOSSES["softmax"], [1e-3], tol=1e-8, tuning=BY_LBFGS)
    assert path.points[0].relative_gap <= 1e-8
    assert path.points[0].objective == pytest.approx(narrow.points[0].objective, rel=1e-7)
    assert float(path.coef[0, :, D:-1].abs().max()) < 1e-12  # columns that no row has


@pytest.mark.parametrize(("bias", "penalized"), [(0.0, True), (1.0, True), (1.0, False)])
@pytest.mark.parametrize("loss", LOSSES)
def test_empty_columns_are_left_out_and_come_back(
    loss: str, bias: float, penalized: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagonal, "LEADING", 5)
    few = ROWS[:, [column for column in range(D) if column != 5]]
    order = torch.randperm(3 * D, generator=torch.Generator().manual_seed(0))[: D - 1].sort().values
    rows = sparse.csr_array((few.data, order.numpy()[few.indices], few.indptr), (N, 3 * D))
    scale = torch.linspace(1, 2, 3 * D, dtype=torch.float64)

    def objective(rows: Any, columns: Tensor) -> Objective:
        data = ArrayDataset(SparseMatrix.from_scipy(rows), torch.tensor(LABELS), NAMES)
        scaling = Scaling(scale[columns], torch.zeros(len(columns), dtype=torch.float64), bias, penalized)
        return Objective(Features(data, scaling, torch.float64))

    wide, alone = objective(rows, torch.arange(3 * D)), objective(few, order)
    found = Present.of(wide, Diagonal.fit(wide))
    assert found is not None
    assert found.columns.tolist() == [*order.tolist(), *[3 * D] * (bias > 0)]
    assert Present.of(alone, Diagonal.fit(alone)) is None
    start = draw_coef(1, wide.features)[0]
    path, expected = (
        solve_path(one, LOSSES[loss], [1e-2, 1e-3], start=begin, tol=1e-5, max_passes=3000, tuning=BY_COLUMNS)
        for one, begin in ((wide, start), (alone, start[:, found.columns]))
    )
    assert torch.equal(path.coef[..., found.columns], expected.coef)
    assert int((path.coef != 0).sum()) == int((expected.coef != 0).sum())
    regs, widths = torch.tensor([(point.reg, point.width) for point in path.points], dtype=torch.float64).mT
    there = wide.evaluate(path.coef, regs, LOSSES[loss].smooth(widths))
    torch.testing.assert_close(there.objective.tolist(), [point.objective for point in path.points])
    torch.testing.assert_close(there.gap.tolist(), [point.gap for point in path.points], rtol=1e-5, atol=1e-12)


def test_a_column_that_is_centred_is_not_empty() -> None:
    rows = SparseMatrix.from_scipy(sparse.hstack([ROWS, sparse.csr_array((N, 2))], format="csr"))
    data = ArrayDataset(rows, torch.tensor(LABELS), NAMES)
    shift = torch.zeros(D + 2, dtype=torch.float64)
    shift[-1] = 0.5
    scaling = Scaling(torch.ones((), dtype=torch.float64), shift)
    present = Objective(Features(data, scaling)).present()
    assert present.tolist() == [*[column != 5 for column in range(D)], False, True]
    assert both(np.float64)[1].present().tolist() == [True] * D  # of dense rows all are


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("options", SCALINGS[1:4], ids=str)
def test_sgd_takes_the_same_steps(options: dict[str, Any], momentum: float) -> None:
    ends = []
    for one in both(np.float64, **options):
        sgd = SGD(40, 16, momentum=momentum)
        rates = torch.tensor([1e-2, 1e-1], dtype=torch.float64)
        start = torch.zeros(C, one.features.n_features, dtype=torch.float64)
        state = sgd.start(start, rates, torch.full((2,), 1e-3), torch.Generator().manual_seed(0))
        ends.append(sgd.result(sgd.advance(state, one.features, LOSSES["hinge"], 40)))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-10, atol=1e-12)


def test_svmlight_may_have_several_labels_a_row(tmp_path: Path) -> None:
    file = tmp_path / "many.svm"
    file.write_text("1,10 1:1 9:2\n2 2:0.5\n3:1 9:1\n10,2,10 4:1\n")  # the third row has no class
    data = load_table(file)
    assert (data.class_names, data.layout) == (("1", "2", "10"), torch.sparse_csr)
    assert data.labels.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 1, 1]]
    file.write_text("1,2.5 1:1\n2 2:0.5\n")
    with pytest.raises(InputError, match=r"labels must be whole numbers, `1,3`; got 2\.5"):
        load_table(file)
    file.write_text("1,cat 1:1\n2 2:0.5\n")
    with pytest.raises(InputError, match="cannot be read as"):
        load_table(file)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_estimators_learn_the_same_from_scipys_kinds(kind: Any, layout: str) -> None:
    rows, dense = kind(ROWS).asformat(layout), ROWS.toarray()
    for labels in (LABELS, np.minimum(LABELS, 1)):
        thin, full = (SoftmaxClassifier(C=10.0, tol=1e-10).fit(X, labels) for X in (rows, dense))
        np.testing.assert_allclose(thin.coef_, full.coef_, atol=1e-6)
        np.testing.assert_allclose(thin.decision_function(rows), full.decision_function(dense), atol=1e-6)
        assert (thin.predict(rows) == full.predict(dense)).all()
        assert thin.score(rows, labels) == full.score(dense, labels)
        assert thin.relative_gap_ <= 1e-10


def test_estimators_take_torchs_sparse_tensors_and_whole_numbers() -> None:
    counts = sparse.csr_array((ROWS.toarray() * 10).astype(np.int64))
    dense = SoftmaxClassifier(tol=1e-8).fit(counts.toarray(), LABELS)
    warnings.filterwarnings("ignore", "Sparse")  # torch's, of its CSR tensors
    for rows in (
        counts,
        torch.tensor(counts.toarray()).to_sparse(),
        torch.sparse_csr_tensor(counts.indptr, counts.indices, torch.tensor(counts.data), size=counts.shape),
    ):
        thin = SoftmaxClassifier(tol=1e-8).fit(rows, LABELS)
        np.testing.assert_allclose(thin.coef_, dense.coef_, atol=1e-6)


def test_cross_validation_standardizing_and_sgd_are_those_of_dense_rows() -> None:
    dense = ROWS.toarray()
    thin, full = (SoftmaxClassifierCV(tol=1e-8, standardize=True).fit(X, LABELS) for X in (ROWS, dense))
    assert thin.reg_ == full.reg_
    np.testing.assert_allclose(thin.scores_, full.scores_)
    np.testing.assert_allclose(thin.coef_, full.coef_, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ends = [HingeClassifier(solver="sgd", max_iter=3, random_state=1).fit(X, LABELS).coef_ for X in (ROWS, dense)]
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-9, atol=1e-12)


def test_places_out_of_order_and_twice_are_read_as_scipy_reads_them() -> None:
    messy = sparse.csr_array(
        (np.array([1.0, 2.0, 4.0, 8.0]), np.array([3, 0, 3, 1]), np.array([0, 3, 4])), shape=(2, 4)
    )
    matrix = SparseMatrix.from_scipy(messy)
    assert matrix.dense().tolist() == [[2, 0, 0, 5], [0, 8, 0, 0]]
    assert matrix.columns.tolist() == [0, 3, 1]
    assert messy.indices.tolist() == [3, 0, 3, 1]  # the user's stays as it was
    assert SparseMatrix.from_scipy(ROWS).values.data_ptr() == ROWS.data.ctypes.data  # a canonical one is shared


@pytest.mark.parametrize(
    ("starts", "columns", "values", "message"),
    [
        ([0, 1], [5], [1.0], r"columns in \[0, 3\); number 0 of them is 5"),
        ([0, 2], [1, -1], [1.0, 1.0], "number 1 of them is -1"),
        ([0, 2, 1, 2], [0, 1], [1.0, 1.0], "bounds of rows that ascend"),
        ([0, 3], [0, 1], [1.0, 1.0], "bounds of rows that ascend"),
        ([1, 2], [0, 1], [1.0, 1.0], "bounds of rows that ascend"),
        ([0, 2], [0, 1], [1.0], r"2 columns, as many values \(1\)"),
        ([0.0, 1.0], [0], [1.0], "bounds of rows"),
        ([0, 0, 1], [2], [float("nan")], "must be finite; row 1, column 2 has nan"),
        ([0], [], [], "neither 0"),
    ],
)
def test_what_is_no_sparse_matrix_is_refused(starts: Any, columns: Any, values: Any, message: str) -> None:
    places = columns or torch.zeros(0, dtype=torch.int64)
    with pytest.raises(InputError, match=message):
        SparseMatrix.checked(starts, places, torch.tensor(values), 3)


def test_rows_are_cut_drawn_joined_and_told_apart() -> None:
    matrix, dense = SparseMatrix.from_scipy(ROWS), torch.tensor(ROWS.toarray())
    drawn = torch.tensor([7, 3, 3, 299])
    for rows in (slice(5, 9), slice(0, 0), slice(290, 400), slice(0, 300, 7)):
        assert torch.equal(matrix[rows].dense(), dense[rows])
    assert torch.equal(matrix.index_select(0, drawn).dense(), dense[drawn])
    assert torch.equal(matrix.transposed().dense(), dense.mT)
    assert torch.equal(stack_sparse((matrix[:5], matrix[5:])).dense(), dense)
    data = ArrayDataset(matrix, torch.tensor(LABELS), NAMES)
    joined = JoinedDataset(data.subset(slice(0, 100)), data.subset(torch.arange(100, N)))
    for rows in (slice(90, 110), slice(0, 50), slice(120, 300), torch.tensor([150, 2, 99, 100])):
        assert torch.equal(joined.take(rows), dense[rows])
    assert fingerprint(data) != fingerprint(data.subset(torch.arange(N).flip(0)))
    assert data.subset(torch.arange(N)).fingerprint == data.fingerprint


def test_joined_rows_must_all_be_sparse() -> None:
    data = ArrayDataset(SparseMatrix.from_scipy(ROWS), torch.tensor(LABELS), NAMES)
    dense = ArrayDataset(torch.tensor(ROWS.toarray()), torch.tensor(LABELS), NAMES)
    with pytest.raises(InputError, match="rows to be joined must be alike"):
        JoinedDataset(data, dense)


def write(folder: Path, layout: str) -> Path:
    sparse.save_npz(folder / f"{layout}.npz", ROWS.asformat(layout))
    np.save(folder / f"{layout}_labels.npy", LABELS)
    return folder / f"{layout}.npz"


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_files_of_scipy_stay_sparse(tmp_path: Path, layout: str) -> None:
    data = load_table(write(tmp_path, layout))
    assert data.layout == torch.sparse_csr
    assert torch.equal(data.take(slice(0, N)), torch.tensor(ROWS.toarray()))
    assert data.labels.tolist() == LABELS.tolist()
    assert torch.equal(load_features(tmp_path / f"{layout}.npz"), torch.tensor(ROWS.toarray()))


def test_labels_may_lie_in_the_archive(tmp_path: Path) -> None:
    parts = {"data": ROWS.data, "indices": ROWS.indices, "indptr": ROWS.indptr, "shape": ROWS.shape, "format": b"csr"}
    np.savez(tmp_path / "a.npz", **parts, topic=LABELS)
    np.savez(tmp_path / "b.npz", **parts, y=LABELS)
    assert load_table(tmp_path / "a.npz", label="topic").labels.tolist() == LABELS.tolist()
    assert load_table(tmp_path / "b.npz").labels.tolist() == LABELS.tolist()


def test_svmlight_is_kept_sparse_where_that_takes_less_memory(tmp_path: Path) -> None:
    for name, row in (("thin", "1:1"), ("full", "1:1 2:1 3:1 4:2")):
        (tmp_path / f"{name}.svm").write_text(f"0 {row}\n1 4:2\n" * 6)
    assert load_table(tmp_path / "thin.svm").layout == torch.sparse_csr
    assert load_table(tmp_path / "full.svm").layout == torch.strided
    assert load_features(tmp_path / "thin.svm")[:2].tolist() == [[1, 0, 0, 0], [0, 0, 0, 2]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": b"bsr"}, "CSR, CSC or COO matrix; it is 'bsr'"),
        ({"shape": (N, 10**10)}, "10,000,000,000 columns need takes"),
        ({"shape": (10**12, D)}, "1,000,000,000,000 rows and"),
        ({"shape": (N, -1)}, "its shape is"),
        ({"shape": (N,)}, "its shape is"),
        ({"indices": ROWS.indices + D}, "columns in"),
        ({"indptr": ROWS.indptr[::-1]}, "bounds of rows that ascend"),
        ({"data": ROWS.data * np.inf}, "must be finite"),
        ({"data": ROWS.data.astype(object)}, "pickled objects"),
        ({"indices": None}, "must have indices"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_damaged_files_are_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    parts = {"data": ROWS.data, "indices": ROWS.indices, "indptr": ROWS.indptr, "shape": ROWS.shape, "format": b"csr"}
    kept = {name: value for name, value in {**parts, "y": LABELS, **changed}.items() if value is not None}
    np.savez(tmp_path / "a.npz", **kept)
    with pytest.raises(InputError, match=message):
        load_table(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "settings", [{}, {"cv": 3}, {"standardize": True}, {"solver": "sgd", "steps": 30, "candidates": 3}]
)
def test_tune_finds_the_same_model(tmp_path: Path, settings: dict[str, Any]) -> None:
    split = open_split(write(tmp_path, "csr"))
    parts = [part for part in (split.train, split.validation, split.test) if part is not None]
    # dense tables are centred, sparse ones are not: equal where both are
    options = Settings("rows", losses=("softmax",), **{"standardize": True, **settings})
    dense = Split(*(ArrayDataset(part.take(slice(0, part.n_samples)), part.labels, part.class_names) for part in parts))
    found = []
    for number, rows in enumerate((split, dense)):
        with RunFolder(tmp_path / f"run-{number}") as folder:
            found += tune(options, rows, folder, Silent())
    torch.testing.assert_close(found[0].model.weight, found[1].model.weight, rtol=1e-3, atol=1e-4)
    assert found[0].test.accuracy == found[1].test.accuracy  # type: ignore[union-attr]


def test_no_command_makes_the_rows_dense(colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run = write(tmp_path, "csr"), tmp_path / "run"
    wide = sparse.hstack([ROWS, sparse.csr_array((N, 50_000))], format="csr").astype(np.float32)
    sparse.save_npz(path, wide)
    largest = []
    dense = SparseMatrix.dense
    monkeypatch.setattr(SparseMatrix, "dense", lambda self: largest.append(len(self)) or dense(self))
    colinear("tune", str(path), "--loss", "softmax", "--regs", "1e-3,1e-2", "--out", str(run))
    colinear("evaluate", str(run / "model-softmax.safetensors"), str(path))
    said = colinear("predict", str(run / "model-softmax.safetensors"), str(path), "--json")
    model = LinearModel.load(run / "model-softmax.safetensors")
    assert max(largest, default=0) <= 1
    labels = model.predict(SparseMatrix.from_scipy(wide))
    assert [one["label"] for one in said.json] == [model.class_names[n] for n in labels.tolist()]


def test_the_row_space_is_for_sparse_rows_that_are_few() -> None:
    wide = sparse.random_array((1000, 60_000), density=1e-3, rng=np.random.default_rng(0), format="csr")
    data = ArrayDataset(SparseMatrix.from_scipy(wide), torch.arange(1000) % 2, ("a", "b"))
    for rows, fits in ((100, True), (1000, False)):
        part = data.subset(slice(0, rows))
        assert suits_row_space(Objective(Features(part, fit_scaling(part)))) is fits


def test_few_sparse_rows_are_solved_in_their_own_space() -> None:
    rows = sparse.hstack([ROWS[:60], sparse.csr_array((60, 200))], format="csr")
    thin, full = (SoftmaxClassifier(tol=1e-9).fit(X, LABELS[:60]) for X in (rows, rows.toarray()))
    assert thin.path_.details["subspace"]["directions"] == 60
    np.testing.assert_allclose(thin.coef_, full.coef_, atol=1e-6)


def test_an_export_is_checked_on_as_many_rows_as_may_be_dense(
    colinear: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "csr")
    LinearModel(torch.ones(C, D), torch.zeros(C), ("0", "1", "2"), label_kind="int").save(tmp_path / "m.safetensors")
    monkeypatch.setattr("colinear.cli.models.CHECKED_VALUES", 3 * D)
    said = colinear("export", str(tmp_path / "m.safetensors"), "--to", "numpy", "--check", str(path), "--json")
    assert said.status == 0, said.err
    assert said.json["checked_rows"] == 3


def test_columns_are_divided_by_their_largest_magnitude(colinear: Program, tmp_path: Path) -> None:
    dense = ArrayDataset(torch.tensor([[2.0, 0.0, -8.0], [-4.0, 0.0, 8.0]]), torch.tensor([0, 1]), ("a", "b"))
    scaling = fit_scaling(dense, max_abs=True)
    assert scaling.scale.tolist() == [0.25, 1.0, 0.125]
    assert scaling.shift.tolist() == [-0.25, 0.0, 0.0]
    with pytest.raises(InputError, match="not by both"):
        fit_scaling(dense, max_abs=True, standardize=True)
    tiny = ArrayDataset(torch.full((2, 1), 1e-306, dtype=torch.float64), torch.tensor([0, 1]), ("a", "b"))
    with pytest.raises(InputError, match="magnitudes between"):
        fit_scaling(tiny, max_abs=True)
    run = tmp_path / "run"
    said = colinear("tune", str(write(tmp_path, "csr")), "--max-abs", "--loss", "softmax", "--out", str(run))
    assert said.status == 0
    assert json.loads((run / "settings.json").read_text())["max_abs"] is True
    assert_refused(colinear("tune", "digits", "--max-abs", "--standardize"), "--max-abs and --standardize both divide")
