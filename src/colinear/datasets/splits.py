"""The one door of the command line: the name of a dataset, a file or a folder to training, validation, test.

| data | training | validation | test |
| --- | --- | --- | --- |
| cifar10 | the official training rows but the last 2 %, as the course splits | these last 2 % | official |
| digits | 70 %, stratified by class, drawn by seed | 15 % | 15 % |
| a file or folder with parts | its own | its own, else 15 % of training, stratified | its own |
| any other file or folder | 70 %, stratified by class, drawn by seed | 15 % | 15 % |

A folder has parts if it holds X_train.npy, y_train.npy, X_test.npy, y_test.npy, or train/ and test/ with shards or
one folder a class in each.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from colinear.checks import InputError, check_choice, check_number
from colinear.datasets.base import ArrayDataset, Dataset, Progress, Split, split_tail
from colinear.datasets.blocks import stack
from colinear.datasets.sources import Parts, open_parts
from colinear.datasets.stratified import split_stratified
from colinear.parallel.group import ALONE, Group
from colinear.texts import shorten

SHARE = 0.15  # of all rows, for validation and for test each, where a source does not say
COURSE_SHARE = 0.02  # of CIFAR-10's training rows, for validation, as the course splits
PARTS = ("train", "validation", "test", "all")


def open_split(
    data: str | Path,
    data_dir: str | Path | None = None,
    *,
    label: str | None = None,
    validation: float | None = None,
    test: float | None = None,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
    progress: Progress | None = None,
    weight: str | None = None,
    group: Group = ALONE,
) -> Split:
    """Return training, validation and test rows of `data`; the module's table says which.

    data : 'digits', 'cifar10', or the path of a feature file, a folder of shards or an image folder (./digits is
        a path).
    data_dir : where CIFAR-10 lies, see `load_cifar10`.     label : where labels lie, see `load_table`.
    validation, test : shares of the rows, in (0, 1) and [0, 1); test=0 makes no test part.
    seed : draws the rows where a source has no official parts. image_size, progress : see `load_folder`.
    weight : where the rows have their weights: a column or key of a feature file, see `load_table`, or a `.npy` file
        with one number a row, as it stands or beside the rows. For w.npy, a source that has its own test or validation
        rows needs w_train.npy, w_test.npy, ...
    group : of processes that open the same data together, all of it each: of feature files and shards a process looks
        for values that are not finite in its range of rows alone, so that it reads no others that are memory-mapped.
    Raises `InputError` for anything that cannot be opened, shares that leave a part empty, and a single class.

    >>> split = open_split("digits")
    >>> split.train.n_samples, split.validation.n_samples, split.test.n_samples
    (1258, 270, 269)
    """
    return deal(open_parts(data, data_dir, label, image_size, progress, weight, group), seed, validation, test)


def open_dataset(
    data: str | Path,
    data_dir: str | Path | None = None,
    *,
    part: str | None = None,
    label: str | None = None,
    validation: float | None = None,
    test: float | None = None,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
    progress: Progress | None = None,
    weight: str | None = None,
) -> Dataset:
    """Return one part of `data` to evaluate or describe; the other arguments are those of `open_split`.

    part : 'train', 'validation' or 'test' as `open_split` makes them with the same arguments, or 'all' rows.
        Default: test, for digits, cifar10 and whatever has its own test rows; all, for any other file or folder.
    """
    if part is not None:
        check_choice("part", part, PARTS)
    parts = open_parts(data, data_dir, label, image_size, progress, weight)
    if part is None and parts.test is not None:
        return parts.test
    part = part or parts.scored_on
    if part == "all":
        return _join(parts)
    split = deal(parts, seed, validation, test)
    chosen = {"train": split.train, "validation": split.validation}.get(part, split.test)
    if chosen is None:
        raise InputError(f"{split.name} has no test rows with a test share of 0. Ask for another part.")
    return chosen


def open_unseen(
    data: str | Path,
    data_dir: str | Path | None = None,
    *,
    trained_on: Collection[object],
    label: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    weight: str | None = None,
) -> tuple[str, Dataset]:
    """Return the rows of `data` that a model has not seen, and which part they are: ('test', rows) or ('all', rows).

    Test rows are those of digits, cifar10 and whatever has its own, and of any other source the ones that `seed` deals
    beside the training rows of that model. All rows are returned where it deals others: the model may have seen some.

    trained_on : fingerprints of the model's training rows, raw and as features; the other arguments are those of
        `open_split`.
    """
    parts = open_parts(data, data_dir, label, progress=progress, weight=weight)
    if parts.test is not None:
        return "test", parts.test
    try:
        split = deal(parts, seed)
    except InputError:  # rows of one class, or too few to be dealt: none were trained on
        return "all", _join(parts)
    if split.test is not None and (parts.scored_on == "test" or split.train.fingerprint in trained_on):
        return "test", split.test
    return "all", _join(parts)


def deal(parts: Parts, seed: int, validation: float | None = None, test: float | None = None) -> Split:
    """Refuse what cannot be trained on, and make the parts that the source does not have; arguments of `open_split`."""
    if parts.train.n_classes < 2:
        raise InputError(
            f"{shorten(parts.train.name)} must have at least two classes to train on; "
            f"it has only {shorten(repr(parts.train.class_names[0]))}."
        )
    for part, own, share in (("test", parts.test, test), ("validation", parts.validation, validation)):
        if own is not None and share is not None:
            raise InputError(f"{parts.train.name} has its own {part} rows; leave the {part} share out.")
    held = check_number("validation share", SHARE if validation is None else validation, above=0, most=1)
    if parts.from_tail:
        train, tail = split_tail(parts.train, COURSE_SHARE if validation is None else held)
        return Split(train, tail, parts.test)
    return _deal(parts, held, check_number("test share", SHARE if test is None else test, least=0, most=1), seed)


def _deal(parts: Parts, validation: float, test: float, seed: int) -> Split:
    """Draw, stratified, the parts that the source does not have; shares are of the rows that are dealt."""
    held = 0.0 if parts.validation is not None else validation
    scored = 0.0 if parts.test is not None else test
    if held + scored >= 1:
        raise InputError(f"validation and test shares must leave rows to train on; they sum to {held + scored:g}.")
    rows = split_stratified(parts.train.labels, (1 - held - scored, held, scored), seed)
    for share, part, what in zip((1.0, held, scored), rows, ("training", "validation", "test"), strict=True):
        if share > 0 and len(part) == 0:
            raise InputError(
                f"{parts.train.name} has too few rows ({parts.train.n_samples}, and each of its "
                f"{parts.train.n_classes} classes needs one to train on) for a {what} share of {share:g}. Give more "
                "rows or a larger share."
            )
    train = parts.train if held == scored == 0 else parts.train.subset(rows[0])
    drawn = parts.train.subset(rows[2]) if scored else None
    return Split(train, parts.validation or parts.train.subset(rows[1]), parts.test or drawn)


def _join(parts: Parts) -> ArrayDataset:
    """All rows of all parts, one after the other."""
    pieces = [part for part in (parts.train, parts.validation, parts.test) if part is not None]
    if len(pieces) == 1:
        return pieces[0]
    features, labels = stack([piece.features for piece in pieces]), torch.cat([piece.labels for piece in pieces])
    weights = [piece.sample_weight for piece in pieces if piece.sample_weight is not None]
    return replace(
        pieces[0], features=features, labels=labels,
        sample_weight=torch.cat(weights) if len(weights) == len(pieces) else None,
    )  # fmt: skip
