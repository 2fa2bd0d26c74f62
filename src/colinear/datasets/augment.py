"""Copies of the images as further training rows: mirrored, and moved with their edges replicated.

A linear classifier trained on them is still a linear classifier of raw pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from colinear.checks import InputError, check_count
from colinear.datasets.base import Dataset, sample_weights
from colinear.datasets.derived import DerivedDataset


@dataclass(frozen=True)
class Augmentation:
    """Which copies are made: `mirror` left to right, and moves by `shift` pixels (0: none).

    >>> Augmentation(mirror=True, shift=1).n_copies
    10
    >>> str(Augmentation(mirror=True, shift=2))
    'mirror,shift:2'
    """

    mirror: bool = False
    shift: int = 0

    def __post_init__(self) -> None:
        check_count("shift", self.shift, minimum=0)

    @property
    def copies(self) -> tuple[tuple[int, int, bool], ...]:
        """(down, right, mirrored) of each copy; the first is the image itself. Mirrored ones are moved first."""
        step = self.shift
        moves = [(0, 0), (-step, 0), (step, 0), (0, -step), (0, step)] if step else [(0, 0)]
        return tuple((*move, flip) for flip in ((False, True) if self.mirror else (False,)) for move in moves)

    @property
    def n_copies(self) -> int:
        """Rows made from one image, itself included."""
        return len(self.copies)

    def apply(self, dataset: Dataset) -> Dataset:
        """The dataset with its copies; `dataset` itself if there are none to make."""
        return AugmentedDataset(dataset, self.mirror, self.shift) if self.n_copies > 1 else dataset

    def __str__(self) -> str:
        parts = ["mirror"] * self.mirror + [f"shift:{self.shift}"] * (self.shift > 0)
        return ",".join(parts) or "none"


def parse_augment(text: str) -> Augmentation:
    """Read the command line's form: parts `mirror` and `shift:PIXELS`, each at most once, joined by commas.

    >>> parse_augment("mirror,shift:1")
    Augmentation(mirror=True, shift=1)
    >>> parse_augment("rotate")
    Traceback (most recent call last):
    ...
    colinear.checks.InputError: augment must be parts of mirror and shift:PIXELS, ...; got 'rotate'.
    """
    mirror, shift = False, 0
    if text.strip() == "none":
        return Augmentation()
    for part in text.split(","):
        kind, _, amount = part.strip().partition(":")
        if kind == "mirror" and not amount and not mirror:
            mirror = True
        elif kind == "shift" and amount.isdecimal() and int(amount) > 0 and not shift:
            shift = int(amount)
        else:
            raise InputError(
                "augment must be parts of mirror and shift:PIXELS, each once, joined by commas, "
                f"as in mirror,shift:1; got {text!r}."
            )
    return Augmentation(mirror, shift)


@dataclass(frozen=True, eq=False)
class AugmentedDataset(DerivedDataset):
    """A `Dataset` of the images of `base` and their copies, made on the fly; nothing is stored but labels.

    Rows are ordered by copy: row i is copy i // n_base of base image i % n_base, and copy 0 is the image itself.
    So a run of rows shares one transform, which is a few slice copies (490,000 CIFAR rows cost about 0.3 s in
    all beyond reading them). rows : None, or the int64 row numbers that belong, as in `ArrayDataset`.

    >>> from colinear.datasets.base import ArrayDataset
    >>> line = ArrayDataset(torch.tensor([[1, 2, 3]], dtype=torch.uint8), torch.tensor([0]), ("a",), (1, 1, 3))
    >>> AugmentedDataset(line, mirror=True).take(slice(0, 2)).tolist()
    [[1, 2, 3], [3, 2, 1]]
    """

    base: Dataset
    mirror: bool = False
    shift: int = 0
    rows: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        shape = self.base.image_shape
        if shape is None:
            raise InputError(f"augmenting needs images; {self.base.name} is a table. Leave augment out.")
        if self.augmentation.shift >= min(shape[1:]):
            raise InputError(f"shift must be less than the images' {shape[1]} x {shape[2]} pixels; got {self.shift}.")
        self.take_over(self.base)

    @cached_property
    def augmentation(self) -> Augmentation:
        return Augmentation(self.mirror, self.shift)

    @property
    def copies(self) -> int:
        """How often each row comes, as a whole; 1 of a choice of rows."""
        return self.augmentation.n_copies if self.rows is None else 1

    @cached_property
    def base_rows(self) -> Tensor:
        """(n,) int64: the base image of each row, for folds that must keep an image and its copies together."""
        device = self.base.labels.device
        if self.rows is not None:
            return self.rows % self.base.n_samples
        return torch.arange(self.base.n_samples, device=device).repeat(self.augmentation.n_copies)

    @cached_property
    def labels(self) -> Tensor:
        return self.base.labels[self.base_rows]

    @cached_property
    def sample_weight(self) -> Tensor | None:
        weights = sample_weights(self.base)
        return None if weights is None else weights[self.base_rows]

    def take(self, rows: slice | Tensor) -> Tensor:
        """Raw copies (len(rows), n_features); a slice of the whole is the fast way."""
        if self.rows is not None:
            rows = self.rows[rows]
        elif isinstance(rows, slice):
            start, stop, step = rows.indices(self.n_samples)
            if step == 1:
                return self._take_run(start, max(start, stop))
            rows = torch.arange(self.n_samples, device=self.labels.device)[rows]
        return self._take_rows(rows)

    def subset(self, rows: slice | Tensor) -> AugmentedDataset:
        everything = torch.arange(self.n_samples, device=self.labels.device) if self.rows is None else self.rows
        return replace(self, rows=everything[rows])

    def to(self, device: torch.device) -> AugmentedDataset:
        rows = None if self.rows is None else self.rows.to(device)
        return replace(self, base=self.base.to(device), rows=rows)

    def _take_run(self, start: int, stop: int) -> Tensor:
        """Rows start..stop of the whole, cut where one copy ends and the next begins."""
        count = self.base.n_samples
        if start == stop:
            return self.base.take(slice(0, 0))
        pieces: list[Tensor] = []
        while start < stop:
            copy, first = divmod(start, count)
            last = min(count, first + stop - start)
            pieces.append(self._transform(self.base.take(slice(first, last)), copy))
            start += last - first
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _take_rows(self, rows: Tensor) -> Tensor:
        """Any rows: the base images at once, then each copy's share of them."""
        which = rows // self.base.n_samples
        raw = self.base.take(rows % self.base.n_samples)
        if raw.device.type != "cpu":  # where copies that are present would have to be waited for
            return raw.gather(1, self._pixels[which])
        present = torch.bincount(which, minlength=1).nonzero().squeeze(1).tolist()
        if len(present) == 1:
            return self._transform(raw, present[0])
        out = torch.empty_like(raw)
        for copy in present:
            chosen = (which == copy).nonzero().squeeze(1)
            out[chosen] = self._transform(raw.index_select(0, chosen), copy)
        return out

    @cached_property
    def _pixels(self) -> Tensor:
        """The pixel of the image that each pixel of a copy is, (copies, d) int64.

        Taking them is a third as fast on a processor as moving what belongs to one copy.
        """
        places = torch.arange(self.n_features, device=self.labels.device).unsqueeze(0)
        return torch.cat([self._transform(places, copy) for copy in range(self.augmentation.n_copies)])

    def _transform(self, raw: Tensor, copy: int) -> Tensor:
        """Rows (b, d) as copy number `copy`; (b, d) again."""
        assert self.image_shape is not None
        down, right, flip = self.augmentation.copies[copy]
        if not (down or right or flip):
            return raw
        images = raw.view(len(raw), *self.image_shape)  # (b, channels, height, width)
        if down:
            images = _moved(images, down, 2)
        if right:
            images = _moved(images, right, 3)
        return (images.flip(3) if flip else images).reshape(len(raw), -1)


def _moved(images: Tensor, step: int, axis: int) -> Tensor:
    """`images` moved by `step` pixels along `axis`; the edge they leave is repeated."""
    size, width = images.shape[axis], abs(step)
    out = torch.empty_like(images)
    out.narrow(axis, max(step, 0), size - width).copy_(images.narrow(axis, max(-step, 0), size - width))
    left = out.narrow(axis, 0 if step > 0 else size - width, width)
    left.copy_(images.narrow(axis, 0 if step > 0 else size - 1, 1).expand_as(left))
    return out
