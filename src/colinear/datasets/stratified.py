"""Rows dealt by class: into parts and folds, each as evenly as whole rows allow, and few-shot subsets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from colinear.checks import InputError, check_count
from colinear.datasets.answers import count_rows, strata
from colinear.datasets.base import Dataset

ROUNDING = 1e-9  # a share of rows this close below a whole number is that number: 0.29 * 100 is 28.999999999999996


def split_stratified(labels: Tensor, shares: Sequence[float], seed: int) -> list[Tensor]:
    """Deal shuffled rows of each class into parts of the given shares; returns sorted row numbers per part.

    A part has its share of all rows, rounded by largest remainders, and of each class its share rounded up or down.
    The first part, which trains, has at least one row of every class that has any; it is larger than its share only
    where single rows of rare classes leave no choice.
    Rows with an answer for each class are dealt by the rarest class they have, see `strata`.
    shares : >= 0, sum 1, the first > 0.     seed : draws the rows; the global generator is not touched.
    Cost     one sort of the labels.
    Source   Gale 1957 and Ryser 1957: handing each class's odd rows to the parts that lack most meets all sizes.

    >>> [part.tolist() for part in split_stratified(torch.tensor([0, 1, 0, 1]), (0.5, 0.5), seed=0)]
    [[0, 3], [1, 2]]
    >>> singles = torch.arange(20).repeat_interleave(3)
    >>> [len(part) for part in split_stratified(singles, (0.7, 0.15, 0.15), seed=0)]
    [42, 9, 9]
    """
    labels = strata(labels.cpu())
    counts = apportion_classes(labels.bincount(), torch.tensor(shares, dtype=torch.float64))
    parts: list[list[Tensor]] = [[labels.new_empty(0)] for _ in shares]
    for group, count in zip(_shuffle_classes(labels, seed), counts.tolist(), strict=True):
        for part, rows in zip(parts, torch.split(group, count), strict=True):
            part.append(rows)
    return [torch.cat(part).sort().values for part in parts]


def apportion_classes(sizes: Tensor, shares: Tensor) -> Tensor:
    """Rows of each class in each part, (c, parts) int64, from class sizes (c,) and shares (parts,); see above.

    >>> apportion_classes(torch.tensor([5, 5, 5]), torch.tensor([0.7, 0.15, 0.15])).tolist()
    [[3, 1, 1], [4, 1, 0], [4, 0, 1]]
    """
    exact = sizes.unsqueeze(1) * shares  # (c, parts)
    counts = (exact + ROUNDING).floor().long()
    counts[:, 0] = torch.maximum(counts[:, 0], sizes.clamp(max=1))
    odd = (sizes - counts.sum(1)).tolist()  # rows of each class that are still to be dealt
    lacking = (_round_shares(int(sizes.sum()), shares) - counts.sum(0)).tolist()
    remainders = (exact - counts).tolist()
    for label, rows in enumerate(odd):
        own = remainders[label]  # decides between parts that lack the same
        below = [part for part in range(len(shares)) if own[part] > -ROUNDING]  # not a first part that was rounded up
        for part in sorted(below, key=lambda p: (-lacking[p], -own[p]))[:rows]:
            counts[label, part] += 1
            lacking[part] -= 1
    return counts


def _round_shares(total: int, shares: Tensor) -> Tensor:
    """Whole numbers (parts,) that sum to `total`, by largest remainders; ties go to the earlier part."""
    exact = total * shares
    whole = (exact + ROUNDING).floor().long()
    over = (exact - whole).argsort(descending=True, stable=True)[: total - int(whole.sum())]
    whole[over] += 1
    return whole


def deal_folds(labels: Tensor, n_folds: int, seed: int, class_names: Sequence[str]) -> Tensor:
    """The fold of each row, (n,) int64 in [0, n_folds), on the device of `labels`.

    Rows are shuffled, sorted by class and dealt round: sizes of folds differ by at most one, and so do the rows of
    each class. These are the sizes of scikit-learn's StratifiedKFold.
    Raises   `InputError` if a class, the last one too, has fewer rows than there are folds; it names the smallest.
    Cost     one sort of the labels.

    >>> deal_folds(torch.tensor([0, 0, 0, 1, 1, 1]), 2, seed=0, class_names=("a", "b")).bincount()
    tensor([3, 3])
    """
    sizes = count_rows(labels, len(class_names))
    smallest = int(sizes.argmin())
    if sizes[smallest] < n_folds:
        raise InputError(
            f"--cv must not exceed the rows of the smallest class; got {n_folds} folds, "
            f"class {class_names[smallest]!r} has {sizes[smallest]} rows."
        )
    folds = torch.empty(len(labels), dtype=torch.int64)
    folds[torch.cat(_shuffle_classes(strata(labels.cpu()), seed))] = torch.arange(len(labels)) % n_folds
    return folds.to(labels.device)


def draw_shots(dataset: Dataset, shots: int, seed: int) -> Dataset:
    """Return `shots` rows of every class of `dataset`, drawn without replacement, in their order.

    With one seed fewer shots are a part of more: the five rows of a class are among its ten.
    shots : >= 1.     seed : draws the rows; the global generator is not touched.
    Returns  a view of shots * n_classes rows; features are not copied.
    Raises   `InputError` if a class has fewer rows; the message names the smallest.
    Cost     one sort of the labels.

    >>> from colinear.datasets import ArrayDataset
    >>> data = ArrayDataset(torch.arange(12.0).view(6, 2), torch.tensor([0, 1, 0, 1, 1, 0]), ("a", "b"))
    >>> draw_shots(data, 2, seed=0).labels
    tensor([0, 1, 1, 0])
    >>> draw_shots(data, 4, seed=0)
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: --shots must not exceed the training rows of the smallest class; got 4, class 'a' has 3.
    """
    check_count("--shots", shots)
    if dataset.labels.ndim == 2:
        raise InputError(f"--shots draws rows of one class each; rows of {dataset.name} have any number of them.")
    labels = dataset.labels.cpu()
    sizes = labels.bincount(minlength=dataset.n_classes)
    smallest = int(sizes.argmin())
    if sizes[smallest] < shots:
        raise InputError(
            f"--shots must not exceed the training rows of the smallest class; got {shots}, "
            f"class {dataset.class_names[smallest]!r} has {sizes[smallest]}."
        )
    return dataset.subset(torch.cat([group[:shots] for group in _shuffle_classes(labels, seed)]).sort().values)


def _shuffle_classes(labels: Tensor, seed: int) -> list[Tensor]:
    """The row numbers of each class, in random order."""
    generator = torch.Generator().manual_seed(seed)
    groups = torch.split(labels.argsort(stable=True), labels.bincount().tolist())
    return [group[torch.randperm(len(group), generator=generator)] for group in groups]
