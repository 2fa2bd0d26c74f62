"""The one place where features meet weights: walk the rows in chunks, for K candidates at once.

    objective_k = mean_i loss(W_k x_i, y_i) + reg_k sum(W_k * W_k)

A constant column whose `Scaling` says so is left out of the sum of squares; see `balance` for what its dual is.

Memory, a memory-mapped file and one shard of many processes are the same loop: in a group of several processes each
holds rows of its own and every sum is one over all of them, so that all processes must call the same methods in the
same order. Nothing else in the house loops over rows of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from colinear.balance import ClassSums
from colinear.byteproducts import MOST_SUMMANDS, byte_second_moment
from colinear.checks import InputError
from colinear.datasets.answers import is_right
from colinear.datasets.base import ArrayDataset, Dataset
from colinear.datasets.blocks import Matrix
from colinear.datasets.features import CHUNK_ROWS, Features
from colinear.datasets.moments import largest_weight, scaled_by_power
from colinear.datasets.sparse import gather_sparse
from colinear.losses import Loss
from colinear.model import LinearModel
from colinear.parallel.group import ALONE, Group
from colinear.products import pass_products, row_products, suits_bytes

Scored = list[tuple[slice, Tensor]]  # rows, and scores (k, c, b)


@dataclass(frozen=True)
class Evaluation:
    """The objective of K candidates at one point, after one pass over the rows.

    objective (k,) float64, of the original loss;   gap (k,) float64: its duality gap, an upper bound on
    objective - optimum.
    value (k,) float64 and gradient (k, c, d), of the loss as smoothed;   value_gap (k,) float64: the same bound for it.
    curvature (k, c): diagonal of the mean Hessian of the smoothed loss with respect to the scores of one row; (k, 0)
    unless asked for.
    """

    objective: Tensor
    gap: Tensor
    value: Tensor
    value_gap: Tensor
    gradient: Tensor
    curvature: Tensor

    @property
    def relative_gap(self) -> Tensor:
        """gap / objective, (k,) float64; 0 where the gap is 0, even at an objective of 0; NaN where that is not finite.

        So nothing that is not a number counts as small.
        """
        ratio = torch.where(self.gap == 0, self.gap, self.gap / self.objective)
        return torch.where(torch.isfinite(self.objective), ratio, torch.nan)

    def keep(self, members: Tensor) -> Evaluation:
        """The candidates `members` (int64) only."""
        return Evaluation(*(getattr(self, f.name)[members] for f in fields(self)))

    def wide(self) -> Evaluation:
        """The same numbers in float64."""
        return Evaluation(*(getattr(self, f.name).double() for f in fields(self)))

    def merge(self, other: Evaluation, where: Tensor) -> Evaluation:
        """`other` for the candidates where the mask is true, this one elsewhere."""

        def pick(mine: Tensor, theirs: Tensor) -> Tensor:
            return torch.where(where.view(-1, *(1,) * (mine.ndim - 1)), theirs, mine)

        return Evaluation(*(pick(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Objective:
    """Mean loss over `features`, plus the penalty, for any number of candidates.

    row_weights : None, (n,), >= 0: row i counts row_weights[i] times; the mean divides by their sum. Only their ratios
    matter: the sums are those of `unit_weights`, whatever the size of the numbers.
    folds : None, or (n,) int64, the fold of each row. A candidate that holds out fold f gives its rows weight 0.
    group : the processes that hold the rows, those of `features` here, perhaps none; `row_weights` and `folds` are of
    these. Rows are numbered through the processes, in the order of ranks, and copy by copy where rows have copies, so
    that numbers do not depend on who holds what: `n_samples` counts all of them. To make an objective is a message to
    the others.
    """

    features: Features
    row_weights: Tensor | None = None
    folds: Tensor | None = None
    chunk_rows: int = CHUNK_ROWS
    group: Group = ALONE

    def __post_init__(self) -> None:
        """Exchange what all need later, now: a process without rows would not ask for it within a loop over rows."""
        if self.group.size > 1:
            _ = self._sizes, self.unit_weights

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        """Rows of each process, and the numbers that they have."""
        return self.group.gather((self.features.n_samples, self.features.n_stored))

    @property
    def _counts(self) -> list[int]:
        """Rows of each process."""
        return [rows for rows, _ in self._sizes]

    @property
    def n_samples(self) -> int:
        """Rows of all processes."""
        return sum(self._counts)

    @property
    def n_stored(self) -> int:
        """Numbers that a pass of all processes reads: those of all rows, without the zeros of sparse ones."""
        return sum(numbers for _, numbers in self._sizes)

    @cached_property
    def _bounds(self) -> Tensor:
        """Where the rows of each process end among all, copies aside, (size,) int64."""
        counts = torch.tensor(self._counts, device=self.features.device) // self.features.copies
        return counts.cumsum(0)

    def locate(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Of row numbers (m,) int64 among all rows: the process that holds each, and its number there."""
        if self.group.size == 1:
            return torch.zeros_like(rows), rows
        counts = self._bounds.diff(prepend=self._bounds[:1] * 0)
        copy, row = rows // self._bounds[-1], rows % self._bounds[-1]
        owner = torch.bucketize(row, self._bounds, right=True)
        return owner, copy * counts[owner] + row - (self._bounds - counts)[owner]

    def mine(self, rows: Tensor) -> Tensor:
        """Of row numbers (m,) int64 among all rows those that are here, as numbers of `features`."""
        if self.group.size == 1:
            return rows
        owner, row = self.locate(rows)
        return row[owner == self.group.rank]

    @property
    def numbers(self) -> Tensor:
        """The numbers among all rows of those that are here, (n,) int64."""
        everywhere = torch.arange(self.n_samples, device=self.features.device)
        return everywhere[self.locate(everywhere)[0] == self.group.rank]

    def join(self, mine: Tensor) -> Tensor:
        """What all processes have of each of their rows, (n, ...), as one tensor in the order of all rows."""
        parts = self.group.gather(mine.cpu())
        by_copy = [part.view(self.features.copies, -1, *part.shape[1:]) for part in parts]
        return torch.cat(by_copy, 1).flatten(0, 1).to(self.features.device)

    def together(self) -> Objective:
        """The objective of all rows, all of them in each process and in no group: for what needs them at once."""
        if self.group.size == 1:
            return self
        data, here, join = self.features.dataset, slice(0, self.features.n_samples), self.join

        if data.layout == torch.sparse_csr:
            rows: Matrix = gather_sparse(data.stored(here), self.group).to(self.features.device)
        else:
            rows = join(data.take(here))
        held = ArrayDataset(rows, join(data.labels), data.class_names, data.image_shape, data.name, data.value_range)
        row_weights, folds = (None if part is None else join(part) for part in (self.row_weights, self.folds))
        features = Features(held, self.features.scaling, self.features.dtype, self.features.copies)
        return Objective(features, row_weights, folds, self.chunk_rows)

    def agree(self, **facts: Any) -> None:
        """Raise `InputError` in every process unless all see their rows alike, and have the same `facts`."""
        if self.group.size == 1:
            return
        features = self.features
        self.group.agree({
            "number of classes": features.n_classes, "precision": str(features.dtype),
            "stored precision": str(features.dataset.dtype), "size of chunks": self.chunk_rows,
            "use of row weights": self.row_weights is not None, "use of folds": self.folds is not None,
            "number of columns": features.n_features, "intercept scaling": features.scaling.bias,
            "penalty on the intercept": features.scaling.penalized, "scaling": torch.cat(
                [part.double().reshape(-1) for part in (features.scaling.scale, features.scaling.shift)]
            ),
            **facts,
        })  # fmt: skip

    def evaluate(
        self, coef: Tensor, regs: Tensor, loss: Loss, held_out: Tensor | None = None, *, curvature: bool = False,
        scored: Scored | None = None,
    ) -> Evaluation:  # fmt: skip
        """One pass over the rows.

        coef : (k, c, d) in the precision to work in.   regs : (k,) float64, > 0.
        held_out : (k,) int64, the fold each candidate leaves out, -1 for none.
        curvature : whether the result has it; it costs 3 k c n flops.
        scored : the scores at `coef` where they are known, from `scores`; they are overwritten.

        gap = original + reg |W|^2 - dual + |U|^2 / (4 reg), with U the data part of the gradient; for the loss whose
        gradient was taken this is exactly |gradient|^2 / (4 reg). Without a penalty on the intercept, see `balance`.
        Error    objective and gap: what a chunk sums over its rows, and the sum over chunks, are float64, of scores in
                 coef's precision. gradient and curvature: products of a chunk and their sum over chunks are in coef's
                 precision, so float32 leaves about 1e-7 sqrt(n / chunk_rows) of their size; the gap of float32 weights
                 has that squared. `solve_path` certifies in float64.
        Cost     4 k c n d flops, one read of the rows.
        Source   Shalev-Shwartz & Zhang 2013, section 3.
        """
        k, c, d = coef.shape
        features = self.features.at(coef.dtype)
        flat = coef.reshape(k * c, d)
        sums = torch.zeros(4, k, dtype=torch.float64, device=coef.device)  # value, original, dual, weight
        gradient, bent = torch.zeros_like(flat), coef.new_zeros(k, c if curvature else 0)
        products = pass_products(features, flat)
        for number, rows in enumerate(features.ranges(self.chunk_rows)):
            weights = self.weights_of(rows, held_out, coef.dtype)
            products.load(rows)
            if scored is None:
                scores = products.scores_into(coef.new_empty(k * c, rows.stop - rows.start))
            else:
                scores = scored[number][1].view(k * c, -1)
            part = loss.sums_(scores.view(k, c, -1), features.labels[rows], weights, curvature=curvature)
            products.add_gradient_(gradient, scores)
            if part.curvature is not None:
                bent += part.curvature
            dual = torch.zeros_like(part.value) if part.dual is None else part.dual
            sums += torch.stack((part.value, part.original, dual, self._total_weight(weights, rows, k)))
        self.group.sum_(sums, gradient, bent)
        value, original, dual = sums[:3] / sums[3]
        mean, gradient = sums[3].to(coef.dtype).view(-1, 1, 1), gradient.view(k, c, d)
        gradient /= mean  # U
        held = features.penalized(coef)
        penalty = regs * squared_norm(held)
        balance = self.class_sums(held_out).balance(loss, self._imbalance(gradient)) if features.free else None
        if balance is not None:
            dual = balance.dual_value(dual, gradient, regs)
        elif loss.smoothed:
            dual = dual - squared_norm(gradient) / (4 * regs)
        features.penalized(gradient).add_((2 * regs).to(coef.dtype).view(-1, 1, 1) * held)
        value_gap = squared_norm(gradient) / (4 * regs)
        value_gap = value_gap if balance is None else balance.gap(value, gradient, coef, regs)
        # without smoothing both gaps are one number, and the squared norm has no cancellation
        gap = original + penalty - dual if loss.smoothed else value_gap
        return Evaluation(original + penalty, gap, value + penalty, value_gap, gradient, bent / mean.squeeze(-1))

    def dual_value(
        self, coef: Tensor, regs: Tensor, loss: Loss, held_out: Tensor | None = None, *, on: Features
    ) -> Tensor:
        """A lower bound (k,) float64 on the optimum for the rows as `on` has them, whatever the rows here are.

        The slopes of the smoothed `loss` at weights (k, c, d) float64 on the rows here are the dual point; any will do.
        """
        k, c, _ = coef.shape
        sums = torch.zeros(2, k, dtype=torch.float64, device=coef.device)  # dual, weight
        gradient, theirs = coef.new_zeros(k * c, on.n_features), row_products(on)
        for rows, scores in self.scores(coef):
            weights = self.weights_of(rows, held_out, coef.dtype)
            part = loss.sums_(scores, self.features.labels[rows], weights)
            theirs.load(rows)
            theirs.add_gradient_(gradient, scores.reshape(k * c, -1))
            dual = torch.zeros_like(part.value) if part.dual is None else part.dual
            sums += torch.stack((dual, self._total_weight(weights, rows, k)))
        moment = (gradient / sums[1].repeat_interleave(c).unsqueeze(1)).view(k, c, -1)
        if on.free:
            balance = self.class_sums(held_out, on).balance(loss, self._imbalance(moment))
            return balance.dual_value(sums[0] / sums[1], moment, regs)
        return sums[0] / sums[1] - squared_norm(moment) / (4 * regs)

    def _imbalance(self, gradient: Tensor) -> Tensor:
        """Mean slopes (k, c) float64 of a gradient (k, c, d) whose last column is of the constant one."""
        return gradient[..., -1].double() / self.features.scaling.bias

    def class_sums(self, held_out: Tensor | None = None, on: Features | None = None) -> ClassSums:
        """What the rows of each class add up to, for an intercept without a penalty: `on` other rows, or on these.

        held_out : (k,), as of `evaluate`.    Cost : one read of the rows, once.
        """
        weights, moments = self._fold_sums if on is None else self._sum_by_fold(on)
        kept = torch.ones(1, len(weights), dtype=torch.float64, device=weights.device)
        if held_out is not None:
            kept = (self._fold_numbers != held_out.unsqueeze(1)).double()  # (k, folds)
        kept = kept / (kept @ weights[:, -1:]).clamp(min=torch.finfo(torch.float64).tiny)
        weights, moments = kept @ weights, torch.tensordot(kept, moments, 1)
        c = self.features.n_classes
        known = slice(-1, None) if self.features.labels.ndim == 1 else slice(c, 2 * c)
        bias = (self.features if on is None else on).scaling.bias
        return ClassSums(weights[:, :c], weights[:, known] - weights[:, :c], moments[:, :c], moments[:, known], bias)

    @cached_property
    def _fold_numbers(self) -> Tensor:
        """The folds that rows of any process are in, ascending; one, 0, where there are none."""
        if self.folds is None:
            return torch.zeros(1, dtype=torch.int64, device=self.features.device)
        every: Tensor = torch.unique(torch.cat(self.group.gather(torch.unique(self.folds).cpu())))
        return every.to(self.features.device)

    @cached_property
    def _fold_sums(self) -> tuple[Tensor, Tensor]:
        return self._sum_by_fold(self.features.at(torch.float64))

    def _sum_by_fold(self, on: Features) -> tuple[Tensor, Tensor]:
        """Weights (f, m) and moments (f, m, d), float64, of the m kinds of rows in each fold, see `_kinds`."""
        labels, c, d, folds = self.features.labels, self.features.n_classes, on.n_features, self._fold_numbers
        m = len(_kinds(labels[:0], c))
        weights, moments = (
            torch.zeros(len(folds) * m, size, dtype=torch.float64, device=labels.device) for size in (1, d)
        )
        products = row_products(on)
        for rows in on.ranges(self.chunk_rows):
            counted = _kinds(labels[rows], c).double()  # (m, b)
            if self.unit_weights is not None:
                counted *= self.unit_weights[rows]
            if self.folds is not None:
                counted = (self._held(rows, folds).unsqueeze(1) * counted).flatten(0, 1)  # (f m, b)
            weights += counted.sum(1, keepdim=True)
            products.load(rows)
            products.add_gradient_(moments, counted)
        self.group.sum_(weights, moments)
        return weights.view(-1, m), moments.view(-1, m, d)

    def bias_slopes(
        self, scored: Scored, shift: Tensor, loss: Loss, held_out: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean loss (k,), its slopes (k, c) and curvatures (k, c), float64, at scores that are all moved by (k, c)."""
        k, c = shift.shape
        sums = torch.zeros(k, 2 + 2 * c, dtype=torch.float64, device=shift.device)  # value, weight, slopes, curvatures
        for rows, scores in scored:
            weights = self.weights_of(rows, held_out, scores.dtype)
            moved = scores + shift.unsqueeze(2).to(scores.dtype)
            part = loss.sums_(moved, self.features.labels[rows], weights, curvature=True)
            total = self._total_weight(weights, rows, k)
            bends = moved.new_zeros(k, c) if part.curvature is None else part.curvature
            slopes = moved.sum(-1, dtype=torch.float64)
            sums += torch.cat((torch.stack((part.value, total), 1), slopes, bends.double()), 1)
        self.group.sum_(sums)
        means = sums / sums[:, 1:2]
        return means[:, 0], means[:, 2 : 2 + c], means[:, 2 + c :]

    @cached_property
    def unit_weights(self) -> Tensor | None:
        """The row weights divided by a power of two, the largest of all processes in [1, 2): same ratios to the bit."""
        if self.row_weights is None:
            return None
        return scaled_by_power(self.row_weights, largest_weight(self.row_weights, self.group))

    def present(self) -> Tensor:
        """Which columns of the dataset a row of any process has a number in, (d,) bool: all of dense rows."""
        counts = self.features.present().double()
        self.group.sum_(counts)
        return counts > 0

    def column_sizes(self, rows: Tensor | slice) -> Tensor:
        """Largest magnitude in each column over the given rows of each process, (d,) float64."""
        sizes = torch.zeros(self.features.n_features, dtype=torch.float64, device=self.features.device)
        count = rows.stop if isinstance(rows, slice) else len(rows)
        for start in range(0, count, self.chunk_rows):
            part = slice(start, min(start + self.chunk_rows, count))
            sizes = torch.maximum(sizes, self.features.column_sizes(part if isinstance(rows, slice) else rows[part]))
        self.group.max_(sizes)
        return sizes

    def row_squares(self, rows: Tensor | None = None) -> Tensor:
        """Squared norms of the given rows, or of all, (m,) float64; infinite beyond the features' precision."""
        given = self.features.ranges(self.chunk_rows) if rows is None else torch.split(rows, self.chunk_rows)
        squares = [self.features.squared_distances(part) for part in given]
        return torch.cat(squares) if squares else torch.zeros(0, dtype=torch.float64, device=self.features.device)

    def mean_square(self, count: int = 1024) -> float:
        """Weighted mean squared distance of the rows from their mean, the trace of their covariance.

        count : of rows that are looked at, evenly spaced; up to twice as many, all if there are no more.
        Error    that of a mean of `count` squared norms: 1 % on CIFAR-10.
        """
        features = self.features.at(torch.float64)
        rows = self.mine(torch.arange(0, self.n_samples, max(1, self.n_samples // count), device=features.device))
        weights = torch.ones(len(rows), dtype=torch.float64, device=features.device)
        weights = weights if self.unit_weights is None else self.unit_weights[rows].double()
        total = self._sampled_weight(rows)
        mean = torch.zeros(features.n_features, dtype=torch.float64, device=features.device)
        square = torch.zeros(1, dtype=torch.float64, device=features.device)
        parts = [slice(first, first + self.chunk_rows) for first in range(0, len(rows), self.chunk_rows)]
        for part in parts:
            mean += features.weighted_sum(rows[part], weights[part] / total)
        self.group.sum_(mean)
        for part in parts:
            square += weights[part] / total @ features.squared_distances(rows[part], mean)
        self.group.sum_(square)
        return float(square)

    def lay_out(self, coef: Tensor) -> Tensor:
        """The same weights (k, c, d) in the order in memory that products read and write without turning them.

        Of sparse rows that is column by column; what is computed of weights lies as they do.
        """
        return coef if self.features.sparse is None else coef.permute(2, 0, 1).contiguous().permute(1, 2, 0)

    def accuracy(self, coef: Tensor) -> Tensor:
        """Share of rows that each candidate labels correctly, (k,) float64; ties go to the lowest class.

        A row with an answer for each class counts where all known ones are right.
        """
        correct = torch.zeros(len(coef), dtype=torch.int64, device=coef.device)
        for rows, scores in self.scores(coef):
            correct += is_right(scores, self.features.labels[rows]).sum(1)
        self.group.sum_(correct)
        return correct.double() / self.n_samples

    def kept_weight(self, held_out: Tensor) -> Tensor:
        """Total `unit_weights` of the rows that each candidate learns from, (k,) float64: those outside its fold."""
        weights = torch.ones(1, device=held_out.device) if self.unit_weights is None else self.unit_weights
        folds, candidate = torch.unique(held_out, return_inverse=True)
        kept = [torch.where(self._fold_of_each == fold, 0, weights).sum(dtype=torch.float64) for fold in folds]
        total = torch.stack(kept)[candidate]
        self.group.sum_(total)
        return total

    def scores(self, coef: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Walk the rows: (row range, scores (k, c, b))."""
        k, c, d = coef.shape
        features = self.features.at(coef.dtype)
        products = pass_products(features, coef.reshape(k * c, d))
        for rows in features.ranges(self.chunk_rows):
            products.load(rows)
            scores = products.scores_into(coef.new_empty(k * c, rows.stop - rows.start))
            yield rows, scores.view(k, c, -1)

    def moment_of(self, columns: Tensor, rows: Tensor) -> Tensor:
        """The rows and columns (m,) of G, over the given rows of each process, (m, m) in the features' precision."""
        moment = torch.zeros(len(columns), len(columns), dtype=self.features.dtype, device=self.features.device)
        for start in range(0, len(rows), self.chunk_rows):
            part = rows[start : start + self.chunk_rows]
            chunk = self.features.gather_columns(part, columns)
            weighted = chunk if self.unit_weights is None else self.unit_weights[part].to(chunk).unsqueeze(1) * chunk
            moment.addmm_(weighted.mT, chunk)
        self.group.sum_(moment)
        return moment.div_(self._sampled_weight(rows))

    def second_moment(self, rows: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """G = weighted mean of x x^T over the given rows of each process, (d, d)."""
        features, d = self.features.at(dtype), self.features.n_features
        if self.row_weights is None and 0 < len(rows) <= MOST_SUMMANDS and suits_bytes(features):
            moment = byte_second_moment(features, rows, 4 * self.chunk_rows)
        else:
            moment = torch.zeros(d, d, dtype=dtype, device=features.device)
            for weighted, chunk in self._weighted_rows(rows, dtype):
                moment.addmm_(weighted.mT, chunk)
        self.group.sum_(moment)
        return moment.div_(self._sampled_weight(rows))

    def second_moment_times(self, matrix: Tensor, rows: Tensor) -> Tensor:
        """G matrix, (d, r), without forming G."""
        turned = matrix.mT.contiguous()
        product, products = torch.zeros_like(turned), row_products(self.features.at(matrix.dtype))
        products.hold(turned)
        for start in range(0, len(rows), self.chunk_rows):
            part = rows[start : start + self.chunk_rows]
            products.load(part)
            scores = products.scores_into(matrix.new_empty(len(turned), len(part)))
            if self.unit_weights is not None:
                scores *= self.unit_weights[part].to(matrix.dtype)
            products.add_gradient_(product, scores)
        self.group.sum_(product)
        return product.mT / self._sampled_weight(rows)

    def column_squares(self) -> Tensor:
        """Diagonal of G, the weighted mean square of each column over all rows, (d,) float64."""
        squares = torch.zeros(self.features.n_features, dtype=torch.float64, device=self.features.device)
        total = torch.zeros(1, dtype=torch.float64, device=self.features.device)
        for rows in self.features.ranges(self.chunk_rows):
            weights = self.weights_of(rows, None, torch.float64)
            weights = squares.new_ones(rows.stop - rows.start) if weights is None else weights
            squares += self.features.column_squares(rows, weights)
            total += weights.sum()
        self.group.sum_(squares, total)
        return squares / total

    def _weighted_rows(self, rows: Tensor, dtype: torch.dtype) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk the given rows: (weight * features, features), both (b, d); one tensor without weights."""
        features = self.features.at(dtype)
        for start in range(0, len(rows), self.chunk_rows):
            part = rows[start : start + self.chunk_rows]
            chunk = features.gather(part)
            if self.unit_weights is None:
                yield chunk, chunk
            else:
                yield self.unit_weights[part].to(dtype).unsqueeze(1) * chunk, chunk

    def _sampled_weight(self, rows: Tensor) -> float:
        ones = torch.ones(len(rows), device=self.features.device)
        total = (ones if self.unit_weights is None else self.unit_weights[rows]).sum(dtype=torch.float64)
        self.group.sum_(total)
        return max(float(total), torch.finfo(torch.float32).tiny)

    def _held(self, rows: slice, held_out: Tensor) -> Tensor:
        return self._fold_of_each[rows].unsqueeze(0) == held_out.unsqueeze(1)  # (k, b)

    @property
    def _fold_of_each(self) -> Tensor:
        """The folds, or `InputError` for a candidate that holds one out of rows without any."""
        if self.folds is None:
            raise InputError("held_out needs folds: give the Objective the fold of each row.")
        return self.folds

    def _total_weight(self, weights: Tensor | None, rows: slice, k: int) -> Tensor:
        if weights is None:
            return torch.full((k,), float(rows.stop - rows.start), dtype=torch.float64, device=self.features.device)
        return weights.sum(-1, dtype=torch.float64).expand(k)

    def weights_of(self, rows: slice, held_out: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        """What these rows count for: (b,), or (k, b) where candidates hold folds out; None if all are alike."""
        weights = None if self.unit_weights is None else self.unit_weights[rows].to(dtype)
        if held_out is None:
            return weights
        kept = (~self._held(rows, held_out)).to(dtype)
        return kept if weights is None else kept * weights


def score_rows(model: LinearModel, dataset: Dataset, chunk_rows: int = CHUNK_ROWS) -> Iterator[tuple[slice, Tensor]]:
    """Walk raw rows through a finished model: (row range, scores (b, c) float32)."""
    for start in range(0, dataset.n_samples, chunk_rows):
        rows = slice(start, min(start + chunk_rows, dataset.n_samples))
        sparse = dataset.layout == torch.sparse_csr
        yield rows, model.scores(dataset.stored(rows) if sparse else dataset.take(rows))


def label_rows(model: LinearModel, dataset: Dataset) -> Tensor:
    """The model's label for every row of `dataset`: (n,) int64, or answers (n, c) int8; see `LinearModel.decide`."""
    return torch.cat([dataset.labels[:0], *(model.decide(scores) for _, scores in score_rows(model, dataset))])


def _kinds(labels: Tensor, n_classes: int) -> Tensor:
    """Which rows have each class, of many labels also for which each is known, and all rows: (c + 1 or 2 c + 1, b)."""
    everyone = torch.ones(1, len(labels), dtype=torch.bool, device=labels.device)
    if labels.ndim == 2:
        return torch.cat((labels.mT == 1, labels.mT >= 0, everyone))
    return torch.cat((labels == torch.arange(n_classes, device=labels.device).unsqueeze(1), everyone))


def squared_norm(coef: Tensor) -> Tensor:
    """sum of squares per candidate, (k,) float64: accumulated in float64 whatever coef's precision."""
    if coef.stride(-1) == 1:
        return coef.flatten(1).square().sum(1, dtype=torch.float64)
    turned = coef.mT  # column by column, in float64 from there: a tenth of the time, which is as long as a product's
    squares: Tensor = torch.linalg.vecdot(turned, turned)
    return squares.sum(1, dtype=torch.float64)
