"""SGD by the processes of a group: each trains its share of the candidates, on batches that all have.

The rows of a batch are drawn by their numbers among all rows, and those who hold them show them to the others, many
steps at once. A step has b d numbers of rows but k c d of gradients, ten times as many bytes for 50 candidates on
CIFAR-10; and no sum over rows is cut: a candidate's numbers are those of one process, but where a product of fewer
candidates rounds otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from colinear.datasets.base import ArrayDataset
from colinear.datasets.blocks import Matrix
from colinear.datasets.features import Features
from colinear.datasets.sparse import gather_sparse
from colinear.lossbase import Loss
from colinear.objective import Objective
from colinear.parallel.group import ALONE, Group
from colinear.solvers.sgd import SGD, SGDState

MOST_BYTES = 1 << 25  # of rows that are shown at once; if all rows are no more, they are, once


@dataclass(eq=False)
class Team:
    """`sgd` on the rows of all processes, those of `features` and `row_weights` here; see `SGD.advance`.

    With fewer candidates than processes some have nothing to do.
    Cost     b d numbers of rows a step, and k c d numbers of weights at each end of `advance`, to every process.
    """

    sgd: SGD
    features: Features
    loss: Loss
    row_weights: Tensor | None = None
    group: Group = ALONE
    _held: tuple[Features, Tensor | None] | None = field(default=None, init=False, repr=False)  # rows shown last
    _part: tuple[Tensor, SGDState] | None = field(default=None, init=False, repr=False)  # of which weights, and those

    def advance(self, state: SGDState, until: int) -> SGDState:
        """Take steps up to number `until`, in place; the state, the same in all processes before, is so after."""
        if self.group.size == 1:
            return self.sgd.advance(state, self.features, self.loss, until, self.row_weights)
        first, until = state.step, min(until, self.sgd.steps)
        mine = self._mine(state)
        while state.step < until:
            steps = min(until - state.step, self._most_steps)
            batches = torch.stack([self.sgd.draw(state, self._problem.n_samples) for _ in range(steps)])  # (steps, b)
            features, weights, batches = self._show(batches)
            if len(mine.coef):
                self.sgd.advance(mine, features, self.loss, state.step + steps, weights, batches)
            state.step = mine.step = state.step + steps
        self._join(state, first)
        return state

    def _mine(self, state: SGDState) -> SGDState:
        """Views of the candidates that this process trains."""
        if self._part is None or self._part[0] is not state.coef:
            own = self.group.own(len(state.coef))
            velocity, average = (None if part is None else part[own] for part in (state.velocity, state.average))
            rates, regs, history = state.learning_rates[own], state.regs[own], state.history[own]
            part = SGDState(
                state.coef[own], rates, regs, history, state.generator, state.step, velocity, average
            )  # fmt: skip
            self._part = state.coef, part
        return self._part[1]

    def _join(self, state: SGDState, first: int) -> None:
        """Give all what each has made of its candidates since step `first`."""
        counts = self._share_out(len(state.coef))
        for part in (state.coef, state.velocity, state.average):
            if part is not None:
                self.group.fill_(part, counts)
        losses = state.history[:, first : state.step].contiguous()
        self.group.fill_(losses, counts)
        state.history[:, first : state.step] = losses
        self.group.check_weights(state.generator.get_state())  # what no other has sent

    def _share_out(self, count: int) -> list[int]:
        ranges = (Group(rank, self.group.size).own(count) for rank in range(self.group.size))
        return [part.stop - part.start for part in ranges]

    @cached_property
    def _problem(self) -> Objective:
        return Objective(self.features, self.row_weights, group=self.group)

    @cached_property
    def _row_bytes(self) -> float:
        """Of the mean row as it is stored; a number of a sparse one has its column beside it."""
        data, problem = self.features.dataset, self._problem
        each = data.dtype.itemsize + (8 if data.layout == torch.sparse_csr else 0)
        return max(1.0, problem.n_stored / problem.n_samples * each)

    @property
    def _most_steps(self) -> int:
        return max(1, int(MOST_BYTES / (self._row_bytes * self.sgd.batch_size)))

    @cached_property
    def _weights(self) -> Tensor | None:
        """Of the rows here, over the mean of those of all."""
        weights = self._problem.row_weights
        if weights is None:
            return None
        total = weights.double().sum()
        self.group.sum_(total)
        return (weights.double() / (total / self._problem.n_samples)).to(self.features.dtype)

    @cached_property
    def _whole(self) -> tuple[Features, Tensor | None]:
        """All rows, where they are few."""
        weights = self._weights
        return self._problem.together().features, None if weights is None else self._problem.join(weights)

    def _show(self, batches: Tensor) -> tuple[Features, Tensor | None, Tensor]:
        """The rows of some steps, with their weights, and each step's numbers among these."""
        problem = self._problem
        if self._row_bytes * problem.n_samples <= MOST_BYTES:
            return *self._whole, batches
        owner, rows = problem.locate(batches.flatten().to(self.features.device))
        order = owner.argsort(stable=True)
        mine = rows[order][owner[order] == self.group.rank]
        counts = owner.bincount(minlength=self.group.size).tolist()
        features, weights = self._gather(mine) if self.features.sparse is not None else self._fill(mine, counts)
        return features, weights, order.argsort().view_as(batches)

    def _gather(self, mine: Tensor) -> tuple[Features, Tensor | None]:
        """Sparse rows of all processes, by process: their sizes are not known to the others."""
        data = self.features.dataset
        rows = gather_sparse(data.stored(mine), self.group)
        labels = torch.cat(self.group.gather(data.labels[mine].cpu()))
        weights = None if self._weights is None else torch.cat(self.group.gather(self._weights[mine].cpu()))
        device = self.features.device
        return self._see(rows.to(device), labels.to(device)), None if weights is None else weights.to(device)

    def _fill(self, mine: Tensor, counts: list[int]) -> tuple[Features, Tensor | None]:
        """Rows of all processes, by process, in buffers that stay where they are: what has them may be recorded."""
        data, total = self.features.dataset, sum(counts)
        if self._held is None or self._held[0].n_samples < total:
            rows = torch.empty(total, data.n_features, dtype=data.dtype, device=self.features.device)
            labels = data.labels.new_zeros(total, *data.labels.shape[1:])
            self._held = self._see(rows, labels), None if self._weights is None else self._weights.new_empty(total)
        features, weights = self._held
        assert isinstance(features.dataset, ArrayDataset)
        assert isinstance(features.dataset.features, Tensor)
        buffers = [(features.dataset.features, data.take(mine)), (features.labels, data.labels[mine])]
        if weights is not None and self._weights is not None:
            buffers.append((weights, self._weights[mine]))
        before = sum(counts[: self.group.rank])
        for buffer, own in buffers:
            buffer[before : before + len(own)] = own
            self.group.fill_(buffer[:total], counts)
        return features, weights

    def _see(self, rows: Matrix, labels: Tensor) -> Features:
        """Rows as they are stored, through the scaling of all."""
        data = self.features.dataset
        shown = ArrayDataset(rows, labels, data.class_names, data.image_shape, data.name, data.value_range)
        return Features(shown, self.features.scaling, self.features.dtype)
