"""The rows of a run as its searches see them: scaled, copied, projected, and the preconditioner of all losses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from colinear.datasets.augment import Augmentation, parse_augment
from colinear.datasets.base import Dataset, Split, take_range
from colinear.datasets.derived import JoinedDataset
from colinear.datasets.features import Features, Scaling, fit_scaling
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.search.classweights import class_weights
from colinear.search.judging import weigh_rows
from colinear.search.settings import Settings
from colinear.solvers.path import fit_preconditioner
from colinear.solvers.preconditioner import Preconditioner
from colinear.solvers.spectrum import Projection


@dataclass(frozen=True, eq=False)
class Prepared:
    """A split through one scaling, which was fitted on its training rows alone.

    train : what is trained on, with the copies that `augment` asks for;   everything : training and validation
    rows once each;   augmentation : None, or what makes the copies.
    class_weight : what the rows of each class count in training, by those that are trained on.
    split : all rows, in a group where they were opened;   own : those of this process, ranges of each part, as are all
    that follow.
    """

    settings: Settings
    split: Split
    scaling: Scaling
    augmentation: Augmentation | None
    own: Split
    group: Group = ALONE
    class_weight: tuple[float, ...] | None = None

    @classmethod
    def fit(
        cls, settings: Settings, split: Split, group: Group = ALONE, device: torch.device | None = None
    ) -> Prepared:
        """Measure the training rows, and move those of this process to `device`, if it is given."""
        own = split if group.size == 1 else take_ranges(split, group)
        own = own if device is None else own.to(device)
        split = own if group.size == 1 else split
        trained = own.train if settings.cv is None else JoinedDataset(own.train, own.validation)
        class_weight = class_weights(settings.class_weight, trained, group)
        scaling = fit_scaling(
            own.train, standardize=settings.standardize, max_abs=settings.max_abs,
            intercept_scaling=settings.intercept_scaling, penalize_intercept=not settings.free_intercept, group=group,
            row_weights=weigh_rows(own.train, class_weight),
        )  # fmt: skip
        # copies are of pictures: those of extracted features are among the rows already
        copies = settings.augment if settings.features is None else None
        augmentation = None if copies is None else parse_augment(copies)
        return cls(settings, split, scaling, augmentation, own, group, class_weight)

    @cached_property
    def train(self) -> Features:
        return self.see(self.copies(self.own.train))

    @cached_property
    def validation(self) -> Features:
        return self.see(self.own.validation)

    @cached_property
    def trained_on(self) -> Features:
        """Rows that the exact path is solved on: with --cv, which needs no hold-out, validation rows too."""
        return self.train if self.settings.cv is None else self.refit_on

    @property
    def refit_on(self) -> Features:
        """Training and validation rows, with the copies of both."""
        return self.see(self.copies(self.everything))

    @cached_property
    def preconditioner(self) -> Preconditioner | None:
        """Of `trained_on`, for all losses."""
        weights = weigh_rows(self.trained_on.dataset, self.class_weight)
        return fit_preconditioner(Objective(self.trained_on, weights, group=self.group), self.settings.seed)

    @cached_property
    def projection(self) -> Projection:
        """Training and validation rows in the principal subspace, for all losses; as they are without --subspace."""
        return Projection.fit(self.train, self.validation, self.settings.subspace, self.settings.seed, self.group)

    @cached_property
    def everything(self) -> Dataset:
        joined = JoinedDataset(self.split.train, self.split.validation)
        if self.group.size == 1:
            return joined
        return joined.subset(self.group.own(joined.n_samples)).to(self.own.train.labels.device)

    def copies(self, dataset: Dataset) -> Dataset:
        """`dataset` with its further copies, if there are any."""
        return dataset if self.augmentation is None else self.augmentation.apply(dataset)

    def see(self, dataset: Dataset) -> Features:
        """`dataset` through the scaling, in float64 if it is stored so, else float32."""
        dtype = torch.float64 if dataset.dtype == torch.float64 else torch.float32
        return Features(dataset, self.scaling, dtype, getattr(dataset, "copies", 1))


def take_ranges(split: Split, group: Group) -> Split:
    """The rows of each part that belong to this process of the group."""

    def own(part: Dataset) -> Dataset:
        return take_range(part, group.own(part.n_samples))

    return Split(own(split.train), own(split.validation), None if split.test is None else own(split.test))
