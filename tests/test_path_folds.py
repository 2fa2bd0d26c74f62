"""`--cv`: every fold is a fit on the other rows; its rows count one by one; its seed deals them; a refit."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
import torch
from tests.problems import as_features, draw_rows
from torch import Tensor

from colinear.checks import InputError
from colinear.datasets import ArrayDataset, Augmentation, Features
from colinear.datasets.stratified import deal_folds
from colinear.losses import LOSSES
from colinear.objective import Objective
from colinear.search.path_search import PathSearch
from colinear.solvers.path import solve_path

REGS = (1e-1, 1e-3)
FOLDS = 4


def rows_of(n: int = 61) -> Features:
    """Rows that no three folds share out evenly, of classes that overlap."""
    return as_features(draw_rows(n, 4, 3, seed=1, spread=0.8))


def share_right(coef: Tensor, features: Features, rows: Tensor) -> float:
    """Share of the rows (a mask) that weights (c, d) label correctly."""
    scores = torch.cat([block[0].mT for _, block in Objective(features).scores(coef.unsqueeze(0))])
    return float((scores.argmax(1) == features.labels)[rows].double().mean())


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_a_fold_is_scored_by_a_fit_on_the_other_rows_as_dealt_by_the_seed(loss: str, seed: int) -> None:
    features = rows_of()
    search = PathSearch(loss, REGS, tol=1e-6, max_passes=3000, seed=seed)
    result = search.cross_validate(features, features, FOLDS)
    folds = deal_folds(features.labels, FOLDS, seed, features.dataset.class_names)
    for fold in range(FOLDS):
        kept = Objective(features, row_weights=(folds != fold).double())
        for number, coef in enumerate(solve_path(kept, LOSSES[loss], REGS, tol=1e-6, max_passes=3000).coef):
            share = share_right(coef, features, folds == fold)
            assert result.details["folds"]["val_accuracies"][number][fold] == pytest.approx(share)


def test_a_row_and_its_copies_are_in_one_fold() -> None:
    table = draw_rows(61, 6, 3, seed=2, spread=0.5)
    images = replace(table, image_shape=(1, 2, 3))
    once, copied = as_features(images), as_features(Augmentation(mirror=True, shift=1).apply(images))  # type: ignore[arg-type]
    result = PathSearch("softmax", REGS, tol=1e-6).cross_validate(copied, once, FOLDS)
    folds = deal_folds(once.labels, FOLDS, 0, images.class_names)
    for fold in range(FOLDS):
        kept = Objective(copied, row_weights=(folds != fold).double().repeat(copied.n_samples // once.n_samples))
        for number, coef in enumerate(solve_path(kept, LOSSES["softmax"], REGS, tol=1e-6).coef):
            share = share_right(coef, once, folds == fold)
            assert result.details["folds"]["val_accuracies"][number][fold] == pytest.approx(share)


def test_the_accuracy_is_the_share_of_all_rows_and_the_spread_that_of_the_folds() -> None:
    features = rows_of()
    result = PathSearch("softmax", REGS, tol=1e-6).cross_validate(features, features, FOLDS)
    sizes = deal_folds(features.labels, FOLDS, 0, features.dataset.class_names).bincount().tolist()
    assert sorted(sizes) == [15, 15, 15, 16]
    for trial, shares in zip(result.trials, result.details["folds"]["val_accuracies"], strict=True):
        right = sum(share * size for share, size in zip(shares, sizes, strict=True))
        assert trial.val_accuracy == pytest.approx(round(right) / 61)
        assert trial.spread == pytest.approx(statistics.stdev(shares))


@pytest.mark.parametrize("absent", [0, 2], ids=["first", "last"])
def test_a_class_without_rows_is_refused_whichever_it_is(absent: int) -> None:
    data = draw_rows(60, 4, 3, seed=1)
    rest = data.subset(data.labels != absent)
    assert isinstance(rest, ArrayDataset)
    features = as_features(rest)
    with pytest.raises(InputError, match=f"class '{data.class_names[absent]}' has 0 rows"):
        PathSearch("softmax", REGS).cross_validate(features, features, 2)


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_a_refit_gives_the_winners_weights_on_all_rows(loss: str) -> None:
    everything = rows_of(90)
    train, validation = (as_features(everything.dataset.subset(part)) for part in (slice(0, 60), slice(60, 90)))  # type: ignore[arg-type]
    result = PathSearch(loss, REGS, tol=1e-8, max_passes=3000).run(train, validation, refit_on=everything)
    own = solve_path(Objective(everything), LOSSES[loss], [result.winner.reg], tol=1e-8, max_passes=3000)
    torch.testing.assert_close(result.winning_coef, own.coef[0], rtol=1e-3, atol=1e-3)
    assert result.details["refit"]["n_train"] == 90
    assert float((result.winning_coef - result.coef[result.best]).norm()) > 0.01
