"""The spectrum of the second moment, the preconditioner on it and the principal subspace."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.problems import as_features, draw_coef, draw_features, draw_rows, matrix, reference_of
from tests.processes import run_well

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Features, Scaling
from colinear.losses import LOSSES, Softmax
from colinear.objective import Objective
from colinear.solvers import spectrum
from colinear.solvers.path import solve_path
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.solution import Status
from colinear.solvers.spectrum import RowSample, Spectrum, Subspace, sample_rows
from colinear.solvers.tuning import Tuning


def low_rank(n: int = 300, d: int = 40, rank: int = 5) -> Features:
    """Rows in a subspace of `rank` directions."""
    generator = torch.Generator().manual_seed(0)
    left, right = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((n, rank), (rank, d))
    )  # fmt: skip
    labels = (left[:, 0] > 0).long()
    return as_features(ArrayDataset(left @ right, labels, ("a", "b")), bias=0)


# Rows


def test_sampled_rows_are_different_sorted_and_repeatable() -> None:
    rows = sample_rows(1000, 50, seed=4)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == 50
    assert torch.equal(rows, sample_rows(1000, 50, seed=4))
    assert not torch.equal(rows, sample_rows(1000, 50, seed=5))
    assert sample_rows(3, 50, seed=4).tolist() == [0, 1, 2]


# Spectrum


def test_a_spectrum_is_that_of_the_mean_outer_product() -> None:
    features = draw_features(200, 6, 3)
    found = Spectrum.fit(Objective(features))
    x = torch.from_numpy(matrix(features))
    torch.testing.assert_close(found.vectors @ found.values.diag() @ found.vectors.mT, x.mT @ x / 200)
    torch.testing.assert_close(found.vectors.mT @ found.vectors, torch.eye(7, dtype=torch.float64))
    assert found.values.tolist() == sorted(found.values.tolist(), reverse=True)
    assert {key: found.summary()[key] for key in ("eigenvectors", "of", "rows")} == {
        "eigenvectors": 7, "of": 7, "rows": 200,
    }  # fmt: skip


def badly_scaled(n: int, d: int, n_classes: int) -> Features:
    """Columns of 1e-4 to 1e4, and seconds since 1970 in their midst."""
    rows = draw_rows(n, d, n_classes)
    features = rows.features.clone()
    features *= torch.logspace(-4, 4, d, dtype=torch.float64)[torch.arange(d) * 7 % d]
    features[:, d // 2] = 1.7e9 + 1e7 * rows.features[:, d // 2]
    return as_features(replace(rows, features=features))


def test_a_spectrum_of_columns_that_differ_by_powers_of_ten_keeps_the_digits_of_all() -> None:
    features = badly_scaled(400, 11, 3)
    found, x = Spectrum.fit(Objective(features)), torch.from_numpy(matrix(features))
    moment = x.mT @ x / len(x)
    sizes = moment.diagonal().sqrt()
    again = found.vectors @ found.values.diag() @ found.vectors.mT
    assert float(((again - moment) / (sizes * sizes.unsqueeze(1))).abs().max()) <= 1e-12
    assert found.values.tolist() == sorted(found.values.tolist(), reverse=True)


def test_lbfgs_reaches_the_optimum_where_columns_differ_by_powers_of_ten() -> None:
    """Gradients go on where the value is at its rounding; with eps of the largest eigenvalue for all, they do not."""
    path = solve_path(badly_scaled(400, 11, 3), Softmax(), [1e-4, 1e-2], tuning=Tuning(newton_weights=0))
    assert [point.status for point in path.points] == [Status.CONVERGED] * 2
    assert path.passes <= 80


def test_directions_without_rows_have_tiny_positive_eigenvalues() -> None:
    found = Spectrum.fit(Objective(low_rank()))
    assert bool((found.values > 0).all())
    assert float(found.values[5] / found.values[0]) < 1e-14
    nothing = as_features(ArrayDataset(torch.zeros(3, 2), torch.tensor([0, 1, 0]), ("a", "b")), bias=0)
    assert bool((Spectrum.fit(Objective(nothing)).values > 0).all())


def test_a_sample_of_rows_is_drawn_by_seed() -> None:
    features, few = draw_features(500, 4, 2), Tuning(fewest_rows=10)
    one, same, other = (Spectrum.fit(Objective(features), seed, few) for seed in (1, 1, 2))
    assert one.n_rows == 30  # six rows per feature
    assert torch.equal(one.values, same.values)
    assert not torch.equal(one.values, other.values)


def heavy_tailed(n: int = 4000, d: int = 20, weights: bool = False) -> Objective:
    """Rows of normal numbers, one in a hundred of which is long."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(n, d, generator=generator, dtype=torch.float64)
    rows[::100] *= 30
    data = ArrayDataset(rows, (rows[:, 0] > 0).long(), ("a", "b"))
    return Objective(as_features(data, bias=0), 1 + torch.arange(n) % 3 if weights else None)


def test_long_rows_are_always_in_the_sample_which_still_has_its_size() -> None:
    sample = RowSample.draw(heavy_tailed(), 200, seed=1)
    assert sample.long.tolist() == list(range(0, 4000, 100))
    assert len(sample.drawn) == 160
    assert not set(sample.drawn.tolist()) & set(sample.long.tolist())
    assert sample.share == 40 / 4000


def test_rows_of_like_lengths_and_a_sample_of_all_are_drawn_as_ever() -> None:
    objective = Objective(low_rank())
    assert torch.equal(RowSample.draw(objective, 40, seed=1).drawn, sample_rows(300, 40, 1))
    everything = RowSample.draw(heavy_tailed(), 4000, seed=1)
    assert (len(everything.drawn), len(everything.long), everything.share) == (4000, 0, 0.0)


def test_no_more_than_half_of_a_sample_are_long_rows() -> None:
    rows = torch.ones(1000, 3, dtype=torch.float64)
    rows[:100] *= torch.arange(10, 110).unsqueeze(1)
    objective = Objective(as_features(ArrayDataset(rows, torch.arange(1000) % 2, ("a", "b")), bias=0))
    sample = RowSample.draw(objective, 60, seed=1)
    assert sample.long.tolist() == list(range(70, 100))  # the longest
    assert len(sample.drawn) == 30


@pytest.mark.parametrize("weights", [False, True])
def test_long_rows_count_for_no_more_than_their_weight(weights: bool) -> None:
    objective = heavy_tailed(weights=weights)
    sample = RowSample.draw(objective, 2000, seed=0)
    moment = sample.average(objective.second_moment)
    whole = objective.second_moment(torch.arange(4000), torch.float64)
    assert (moment - whole).abs().max() < 0.1


WORKER = """
import sys, torch
from dataclasses import replace
from colinear.objective import Objective
from colinear.parallel.group import Group
from colinear.parallel.launch import Launch
from colinear.solvers.spectrum import RowSample
from tests.test_spectrum import heavy_tailed
folder, first, group = sys.argv[1], int(sys.argv[2]), Group.join(Launch.find(), 300)
features = heavy_tailed().features
shard = features.dataset.subset(slice(0, first) if group.leads else slice(first, 4000))
objective = Objective(replace(features, dataset=shard), group=group)
moment = RowSample.draw(objective, 2000, seed=0).average(objective.second_moment)
torch.save(moment, f"{folder}/moment-{group.rank}.pt")
group.end()
"""


@pytest.mark.parametrize("first", [2001, 50])
def test_two_processes_sample_together_where_only_one_has_more_rows_than_asked_for(first: int, tmp_path: Path) -> None:
    run_well(["-c", WORKER, str(tmp_path), str(first)], 2, Path(__file__).parent.parent)
    whole = heavy_tailed().second_moment(torch.arange(4000), torch.float64)
    moments = [torch.load(tmp_path / f"moment-{rank}.pt") for rank in (0, 1)]
    assert torch.equal(*moments)
    assert (moments[0] - whole).abs().max() < 0.1


@pytest.mark.parametrize("rank", [20, 10])
def test_long_rows_in_the_sample_save_passes(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = Tuning(
        fewest_rows=200, rows_per_feature=1, newton_first=0, eigh_freely=rank, eigh_up_to=rank, nystroem_rank=rank
    )
    passes = []
    for least in (spectrum.LONG, math.inf):
        monkeypatch.setattr(spectrum, "LONG", least)
        passes.append(solve_path(heavy_tailed(), Softmax(), [1e-4], tuning=tuning, tol=1e-6).passes)
    assert passes[0] < passes[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_nystroem_finds_the_leading_pairs(dtype: torch.dtype) -> None:
    exact, rows = Spectrum.fit(Objective(low_rank())), low_rank()
    leading = Tuning(eigh_freely=10, eigh_up_to=10, nystroem_rank=8)
    found = Spectrum.fit(Objective(Features(rows.dataset, rows.scaling, dtype)), tuning=leading)
    tolerance = 1e-8 if dtype == torch.float64 else 1e-3
    assert found.vectors.shape == (40, 8)
    torch.testing.assert_close(found.values[:5].double(), exact.values[:5], rtol=tolerance, atol=0)
    both = (found.vectors[:, :5].double().mT @ exact.vectors[:, :5]).abs()
    torch.testing.assert_close(both, torch.eye(5, dtype=torch.float64), rtol=0, atol=10 * tolerance)
    torch.testing.assert_close(found.vectors.mT @ found.vectors, torch.eye(8, dtype=dtype), rtol=0, atol=1e-4)


# Preconditioner


def test_a_full_spectrum_inverts_the_hessian_of_equal_probabilities() -> None:
    features, reg = draw_features(60, 4, 3), 0.05
    regs = torch.tensor([reg], dtype=torch.float64)
    zero = torch.zeros(1, 3, 5, dtype=torch.float64)
    curvature = Objective(features).evaluate(zero, regs, Softmax(), curvature=True).curvature
    gradient = draw_coef(1, features)
    gradient -= gradient.mean(1, keepdim=True)  # as those of a loss of differences of scores are
    applied = Preconditioner(Spectrum.fit(Objective(features))).at(curvature, regs)(gradient)
    hessian = torch.from_numpy(reference_of("softmax", features, reg).hessian(zero[0].numpy(), 0.0))
    torch.testing.assert_close(hessian @ applied.flatten(), gradient.flatten())


def test_a_full_spectrum_inverts_the_curvature_of_unequal_probabilities_and_divides_what_classes_share() -> None:
    a = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    curvature = torch.diag(a) - torch.outer(a, a)
    spectrum = Spectrum(torch.ones(4).double(), torch.eye(4, dtype=torch.float64), 4, 0.0)
    divide = Preconditioner(spectrum).at(2 / 3 * a.unsqueeze(0), torch.tensor([1e-14], dtype=torch.float64))
    gradient = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradient -= gradient.mean(1, keepdim=True)
    torch.testing.assert_close(curvature @ divide(gradient)[0], gradient[0])
    torch.testing.assert_close(divide(gradient).sum(1), torch.zeros(1, 4, dtype=torch.float64))
    torch.testing.assert_close(divide(torch.ones_like(gradient)), torch.full_like(gradient, float((1 / a).mean())))


def test_a_truncated_spectrum_still_gives_a_symmetric_positive_map() -> None:
    features = draw_features(60, 4, 3)
    full = Spectrum.fit(Objective(features))
    cut = Preconditioner(Spectrum(full.values[:2], full.vectors[:, :2].contiguous(), 60, 0.0))
    regs = torch.ones(1).double()
    curvature = Objective(features).evaluate(draw_coef(1, features), regs, Softmax(), curvature=True).curvature
    basis = torch.eye(15, dtype=torch.float64).view(15, 3, 5)
    one = torch.full((15,), 0.1, dtype=torch.float64)
    matrix_of = cut.at(curvature.expand(15, 3), one)(basis).view(15, 15)
    torch.testing.assert_close(matrix_of, matrix_of.mT)
    assert float(torch.linalg.eigvalsh(matrix_of).min()) > 0


# Subspace


@pytest.mark.parametrize("share", [0.5, 0.9, 0.985, 1.0])
def test_a_subspace_holds_the_share_asked_for_with_the_fewest_directions(share: float) -> None:
    features = draw_features(300, 12, 3)
    found = Subspace.fit(features, share)
    values = Spectrum.fit(Objective(features)).values
    total = values.sum()
    assert found.share >= share - 1e-12
    assert float(values[: found.n_outputs].sum() / total) == pytest.approx(found.share)
    assert float(values[: found.n_outputs - 1].sum() / total) < share
    assert found.summary() == {"directions": found.n_outputs, "of": 13, "share": found.share}


def test_a_subspace_of_few_rows_is_cut_from_all_eigenvectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of them would make do with the leading ones."""
    usual = Tuning(eigh_freely=4, eigh_passes=1, nystroem_rank=3, fewest_rows=200)
    assert usual.spectrum_size(10, 200, 3)[0] == 3
    monkeypatch.setattr(spectrum, "USUAL", usual)
    assert Subspace.fit(draw_features(200, 9, 3), 1.0).n_outputs == 10


def test_a_share_of_one_is_the_whole_space_even_of_columns_without_variance() -> None:
    # the values of dead columns are lost in a sum that starts with the largest
    data = draw_rows(200, 9, 3)
    data.features[:, [1, 4]] = 0
    assert Subspace.fit(as_features(data), 1.0).n_outputs == 10


def test_lifted_weights_score_features_as_weights_in_the_subspace_score_projections() -> None:
    features = draw_features(90, 12, 3, dtype=torch.float32)
    basis = Subspace.fit(features, 0.9)
    projected = basis.project(features)
    assert projected.n_features == basis.n_outputs < features.n_features
    assert torch.equal(projected.labels, features.labels)
    coef = draw_coef(2, projected).float()
    scores, lifted = (
        torch.cat([block for _, block in Objective(rows).scores(weights)], 2)
        for rows, weights in ((projected, coef), (features, basis.lift(coef)))
    )
    torch.testing.assert_close(scores, lifted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(basis.restrict(basis.lift(coef)), coef, rtol=1e-4, atol=1e-5)
    norms = [weights.square().sum() for weights in (coef, basis.lift(coef))]
    torch.testing.assert_close(norms[0], norms[1])


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_shares_outside_of_zero_to_one_are_refused(share: float) -> None:
    with pytest.raises(InputError, match="subspace"):
        Subspace.fit(draw_features(10, 2, 2), share)


@pytest.mark.parametrize("size", [1e10, 0.0])
def test_a_sketch_of_squares_beyond_float32_or_of_nothing_is_no_error(size: float) -> None:
    rows = size * torch.randn(300, 120, generator=torch.Generator().manual_seed(0))
    data = ArrayDataset(rows, torch.arange(300) % 3, ("a", "b", "c"))
    features = Features(data, Scaling(torch.ones((), dtype=torch.float64), torch.zeros(120).double(), 0.0))
    path = solve_path(
        features, LOSSES["softmax"], [1e-2], tuning=Tuning(eigh_freely=50, eigh_up_to=50, nystroem_rank=60)
    )
    assert path.points[0].objective < 1.1
