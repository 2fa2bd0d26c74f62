"""Few-shot subsets: the same number of training rows of every class."""

from __future__ import annotations

import torch

from colinear.checks import InputError, check_count
from colinear.datasets.base import Dataset


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
    labels = dataset.labels.cpu()
    sizes = labels.bincount(minlength=dataset.n_classes)
    smallest = int(sizes.argmin())
    if sizes[smallest] < shots:
        raise InputError(
            f"--shots must not exceed the training rows of the smallest class; got {shots}, "
            f"class {dataset.class_names[smallest]!r} has {sizes[smallest]}."
        )
    generator = torch.Generator().manual_seed(seed)
    groups = torch.split(labels.argsort(stable=True), sizes.tolist())
    drawn = [group[torch.randperm(len(group), generator=generator)[:shots]] for group in groups]
    return dataset.subset(torch.cat(drawn).sort().values)
