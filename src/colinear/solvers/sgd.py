"""Stochastic gradient descent for K candidates on one stream of minibatches.

All candidates are one (k*c, d) matrix and see the same rows, so a step is two matrix products whatever K is,
and their ranking is fairer than that of K separate runs. K = 1 is the course's trainer. Nothing waits for the
device inside a run of steps: losses stay there until a reporting point reads them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from colinear.checks import InputError, check_choice, check_count, check_number
from colinear.datasets.features import Features
from colinear.lossbase import Loss, check_takes
from colinear.products import step_products
from colinear.solvers.precision import PRECISIONS, MatmulPrecision, matmul_precision
from colinear.solvers.solution import Status

Schedule = Literal["constant", "cosine"]
BLOCK_ROWS = 250  # wider products are summed in an order that depends on K: 4e-4 off after 1,000 hinge steps, not 0
GRAPH_STEPS = 16  # fewer CUDA steps than this are not worth recording


@dataclass
class SGDState:
    """Where a run stands: everything that later steps depend on, and nothing else.

    coef (k, c, d);  learning_rates, regs (k,) float64;  history (k, steps taken or room) float32: the mean loss
    of each minibatch plus penalty, NaN where not reached;  velocity, average: like coef, or None.
    """

    coef: Tensor
    learning_rates: Tensor
    regs: Tensor
    history: Tensor
    generator: torch.Generator
    step: int = 0
    velocity: Tensor | None = None
    average: Tensor | None = None
    _stepper: _Stepper | None = field(default=None, init=False, repr=False, compare=False)  # buffers, no state

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_stepper": None}  # a recorded graph cannot be copied, and is made anew

    def keep(self, members: Tensor) -> None:
        """Compact to the candidates `members` (int64): the others leave the matrix."""
        self._stepper = None  # made for the larger matrix: its buffers go
        members = members.to(self.coef.device)
        self.coef, self.history = self.coef[members], self.history[members]
        self.learning_rates, self.regs = self.learning_rates[members], self.regs[members]
        self.velocity = None if self.velocity is None else self.velocity[members]
        self.average = None if self.average is None else self.average[members]


@dataclass(frozen=True)
class SGD:
    """Plain minibatch SGD, with what probe protocols add to it; all extras are off by default.

    W <- (1 - 2 lr reg) W - (lr / b) dS x :  the gradient of mean_i loss_i + reg sum(W*W) over b rows drawn with
    replacement. A constant column without a penalty does not shrink.
    momentum : v <- momentum v + gradient, W <- W - lr v (PyTorch's form).
    schedule : 'cosine' lets lr fall to 0 over `steps`, lr_t = lr (1 + cos(pi t / steps)) / 2.
    averaging : share of the last steps whose iterates are averaged into the result (Polyak & Juditsky 1992).
    precision : 'highest' multiplies in full float32; 'high' may use tensor cores for float32 products.
    Cost : 4 k c b d flops a step; buffers are allocated once.

    >>> SGD(steps=100, batch_size=32)
    SGD(steps=100, batch_size=32, momentum=0.0, schedule='constant', averaging=0.0, precision='highest')
    """

    steps: int
    batch_size: int
    momentum: float = 0.0
    schedule: Schedule = "constant"
    averaging: float = 0.0
    precision: MatmulPrecision = "highest"

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        check_count("batch_size", self.batch_size)
        if not check_number("momentum", self.momentum, least=0, most=1) < 1:
            raise InputError("momentum must be below 1; got 1. Typical values are 0.9 and 0.99.")
        check_number("averaging", self.averaging, least=0, most=1)
        check_choice("schedule", self.schedule, ("constant", "cosine"))
        check_choice("matmul precision", self.precision, PRECISIONS)

    def start(self, coef: Tensor, learning_rates: Tensor, regs: Tensor, generator: torch.Generator) -> SGDState:
        """State before the first step. coef : (c, d), shared by all candidates, or (k, c, d); it is copied."""
        learning_rates, regs = (torch.as_tensor(v, dtype=torch.float64) for v in (learning_rates, regs))
        if learning_rates.shape != regs.shape or regs.ndim != 1 or len(regs) == 0:
            raise InputError("learning_rates and regs must be two lists of the same length >= 1.")
        k, device = len(regs), coef.device
        if coef.ndim not in (2, 3) or (coef.ndim == 3 and len(coef) not in (1, k)):
            raise InputError(f"coef must be (c, d) or ({k}, c, d); got {tuple(coef.shape)}.")
        coef = coef.expand(k, *coef.shape[-2:]).clone(memory_format=torch.contiguous_format)
        return SGDState(
            coef,
            learning_rates.to(device),
            regs.to(device),
            torch.full((k, self.steps), math.nan, dtype=torch.float32, device=device),
            generator,
            velocity=torch.zeros_like(coef) if self.momentum else None,
            average=torch.zeros_like(coef) if self.averaging else None,
        )

    def advance(
        self, state: SGDState, features: Features, loss: Loss, until: int, row_weights: Tensor | None = None,
        batches: Tensor | None = None,
    ) -> SGDState:  # fmt: skip
        """Take steps up to number `until`, in place; the same state comes back.

        row_weights : None, or (n,) >= 0: rows are drawn evenly, and each counts by its weight over the mean of all, so
        that a step is one for the weighted mean. Pass the same tensor to every call.
        batches : None, or (steps, b) int64, the rows of each step; nothing is drawn then, and row_weights, in the
        precision of the weights, are those over the mean of all already.
        Rows are drawn one step at a time from state.generator, so stopping and going on changes nothing. Buffers, and
        on a CUDA device the recorded step, stay with the state until it is compacted.
        """
        until = min(until, self.steps)
        if state.step >= until:
            return state
        with matmul_precision(self.precision):
            stepper = self._stepper(state, features, loss, row_weights, drawn=batches is not None)
            first = state.step
            while state.step < until:
                drawn = self.draw(state, features.n_samples) if batches is None else batches[state.step - first]
                stepper.take(state, drawn)
        return state

    def draw(self, state: SGDState, n_samples: int) -> Tensor:
        """The rows of the next step, (b,) int64, with replacement."""
        generator = state.generator
        return torch.randint(n_samples, (self.batch_size,), generator=generator, device=generator.device)

    def _stepper(
        self, state: SGDState, features: Features, loss: Loss, row_weights: Tensor | None, *, drawn: bool
    ) -> _Stepper:
        """The one that made the last steps, if nothing it was made for has changed since."""
        stepper = state._stepper
        if stepper is None or not stepper.fits(self, state, features, loss, row_weights):
            check_takes(loss, features.labels, features.dataset.name)
            stepper = state._stepper = _Stepper(self, state, features, loss, row_weights, relative=drawn)
            if suits_graph(state, features) and self.steps - state.step >= GRAPH_STEPS:
                stepper.record(state)
        return stepper

    def result(self, state: SGDState) -> Tensor:
        """Weights (k, c, d) as they would be returned now: the average once averaging has begun."""
        if state.average is None or state.step <= self.averages_from:
            return state.coef
        return state.average

    def statuses(self, state: SGDState) -> list[Status]:
        """DIVERGED where weights or the last loss are not finite, else COMPLETED."""
        finite = torch.isfinite(self.result(state)).flatten(1).all(1)
        if state.step:
            finite &= torch.isfinite(state.history[:, state.step - 1])
        return [Status.COMPLETED if fine else Status.DIVERGED for fine in finite.tolist()]

    @property
    def averages_from(self) -> int:
        """The step after which iterates are averaged."""
        return self.steps - round(self.averaging * self.steps)

    def rate_factor(self, step: int) -> float:
        """What the learning rate is multiplied by at `step` (from 0)."""
        return 1.0 if self.schedule == "constant" else 0.5 * (1 + math.cos(math.pi * step / self.steps))


def suits_graph(state: SGDState, features: Features) -> bool:
    """Whether a step can be recorded: on a CUDA device, and reading rows does not wait for it."""
    return state.coef.is_cuda and bool(getattr(features.dataset, "capturable", False))


class _Stepper:
    """One step on buffers allocated once: static addresses, so that CUDA can record it as a graph.

    It keeps no state of its own and no hold of the state, only of the tensors it was made for. Rows come through a
    view of their own: the buffer of `features` moves when somebody asks it for more rows.
    """

    def __init__(
        self, sgd: SGD, state: SGDState, features: Features, loss: Loss, row_weights: Tensor | None = None,
        *, relative: bool = False,
    ) -> None:  # fmt: skip
        self._made_for = (sgd, features, loss, row_weights, *_tensors(state))
        self.sgd, self.features, self.loss = sgd, replace(features), loss
        coef, batch = state.coef, sgd.batch_size
        k, c, _ = coef.shape
        self.rows = torch.zeros(batch, dtype=torch.int64, device=coef.device)
        self.scores = coef.new_empty(k, c, batch)
        self.losses = coef.new_empty(k)
        column = (k, 1, 1)
        # per candidate and step: what coef is multiplied by, what the summed gradient is, and the averaging weight
        self.decay, self.rate = coef.new_empty(column), coef.new_empty(column)
        self.factor = coef.new_empty(k, c, 1)
        self._mean = coef.new_full((1, 1), 1.0 / batch)
        self.mixing = coef.new_zeros(())
        self._rates, self._regs = state.learning_rates.view(column), state.regs.view(column)
        self._penalty = state.regs.to(coef.dtype)
        self._weights = row_weights
        if row_weights is not None and not relative:
            self._weights = (row_weights.double() / row_weights.double().mean()).to(coef.device, coef.dtype)
        whole = row_weights is None
        self._products = step_products(self.features, loss, batch, block=BLOCK_ROWS, unweighted=whole)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._set_rates(state.step)

    def fits(
        self, sgd: SGD, state: SGDState, features: Features, loss: Loss, row_weights: Tensor | None = None
    ) -> bool:
        """Whether it was made for these: equal settings, and the very same rows, loss and tensors."""
        mine, (asked, *others) = self._made_for, (sgd, features, loss, row_weights, *_tensors(state))
        return mine[0] == asked and all(a is b for a, b in zip(mine[1:], others, strict=True))

    def record(self, state: SGDState) -> None:
        """Record the step as a CUDA graph. Warming up runs it, so what it changes is put back.

        Everything happens on the device of the weights, whichever is current, and on a stream of it: the capture
        stream that PyTorch makes by itself belongs to the device that recorded first in this process.
        """
        changed = [t for t in (state.coef, state.velocity, state.average) if t is not None]
        saved = [t.clone() for t in changed]
        with torch.cuda.device(state.coef.device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._step(state)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side):
                self._step(state)
        for tensor, old in zip(changed, saved, strict=True):
            tensor.copy_(old)
        self._graph = graph

    def take(self, state: SGDState, drawn: Tensor) -> None:
        sgd = self.sgd
        self.rows.copy_(drawn, non_blocking=True)
        if sgd.schedule != "constant":
            self._set_rates(state.step)
        if state.average is not None:
            self.mixing.fill_(1.0 / max(1, state.step + 1 - sgd.averages_from))
        if self._graph is None:
            self._step(state)
        else:
            self._graph.replay()
        state.history[:, state.step] = self.losses
        state.step += 1

    def _set_rates(self, step: int) -> None:
        rates = self._rates * self.sgd.rate_factor(step)
        self.rate.copy_(rates)
        self.factor.copy_(rates * (-1.0 / self.sgd.batch_size))
        self.decay.copy_(1 - 2 * rates * self._regs)

    def _step(self, state: SGDState) -> None:
        coef = state.coef
        k, c, d = coef.shape
        batch = self.sgd.batch_size
        flat, scores = coef.view(k * c, d), self.scores.view(k * c, batch)
        self._products.hold(flat)
        self._products.load(self.rows)
        self._products.scores_into(scores)
        weights = None if self._weights is None else self._weights[self.rows]
        data = self.loss.value_and_gradient_(self.scores, self.features.labels[self.rows], weights)  # (k,) float64
        held = self.features.penalized(coef)
        norms = torch.linalg.vector_norm(held.flatten(1), dim=1)
        self.losses.copy_(data / batch + self._penalty * norms * norms)
        if state.velocity is None:
            held *= self.decay
            self._products.add_gradient_(flat, scores, self.factor.view(k * c, 1))
        else:
            velocity = state.velocity
            velocity *= self.sgd.momentum
            self.features.penalized(velocity).add_(2 * self._penalty.view(k, 1, 1) * held)
            self._products.add_gradient_(velocity.view(k * c, d), scores, self._mean)
            coef -= self.rate * velocity
        if state.average is not None:
            state.average.lerp_(coef, self.mixing)


def _tensors(state: SGDState) -> tuple[Tensor | None, ...]:
    """What a step reads and writes by address."""
    return state.coef, state.velocity, state.average, state.learning_rates, state.regs
