"""Newton's method for problems small enough for a Hessian: certificates that L-BFGS cannot reach.

The softmax is smooth, and a few steps end anywhere. The hinge smoothed over a width mu is piecewise quadratic, so
Newton's method with an exact line search ends after finitely many steps, at the optimum to rounding whatever way it
came; mu shrinks until the gap of the hinge itself is small enough (Nesterov 2005; Keerthi & DeCoste 2005 for Newton on
squared hinges). Neither steps nor their error depend on the scale of a column: a Hessian is divided by its diagonal.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from colinear.losses import Hinge, Loss
from colinear.objective import Objective
from colinear.solvers.arguments import check_solve
from colinear.solvers.basis import Basis
from colinear.solvers.candidate import USUAL_PRODUCTS, Candidate
from colinear.solvers.descent import Report
from colinear.solvers.journal import FORGETFUL, Journal, Parts, UnreadableError, pack_points, unpack_points
from colinear.solvers.preconditioner import Preconditioner, free_bias
from colinear.solvers.solution import Path, PathPoint
from colinear.solvers.spectrum import Spectrum
from colinear.solvers.threads import one_thread_if
from colinear.solvers.tuning import USUAL, Tuning

FIRST_WIDTH = 1.0
STEP_FLOPS = 1e6  # of a Newton step, for one more pass of L-BFGS before: small problems crawl longer than they need
FACTOR_ALONE = 1e8  # flops of a Cholesky factor up to which one thread is as good as two: 2.5 ms
COSTS = (1e6, 5e5)  # of a factor and of a conjugate gradient beside their flops: time of their operators, at 20 GFLOPS
NARROW = 1e6  # size of features up to which, and its inverse down to which, float32 holds their products
STEP_COST = 2e6  # of a Newton step beside its system, in flops
STEPS = 6  # of a softmax, usually
INTERIOR_STEPS, INTERIOR_COST = 15, 5e6  # of a hinge, usually; flops of a step beside its system and its margins
MARGIN_COST = 2e3  # flops of a margin in such a step: a hundred numbers are read and written for it


def suits_newton(objective: Objective, loss: Loss | None = None, tuning: Tuning = USUAL) -> bool:
    """Whether a Hessian of the objective, of the rows of all processes, is cheap enough.   loss : None is the hinge."""
    loss, features = loss or Hinge(), objective.features
    n, c, d = objective.n_samples, features.n_classes, features.n_features
    work = loss.hessian_products(c) * n * d * d
    weights = d if loss.by_class else c * d  # of one system
    return weights <= tuning.newton_weights and n * max(c, d) <= tuning.newton_values and work <= tuning.newton_flops


def solve_newton(
    objective: Objective,
    regs: Sequence[float] | Tensor,
    *,
    loss: Loss | None = None,
    tol: float = 1e-3,
    max_passes: int = 1000,
    held_out: Tensor | None = None,
    start: Tensor | None = None,
) -> Path:
    """Minimise mean loss + reg sum(W*W) for each strength until relative_gap <= tol, in float64.

    regs : k strengths > 0.   loss : `Hinge()` by default, or another that has `curved`.
    held_out : (k,) fold that each leaves out, -1 for none.
    start : (c, d) or (k, c, d) weights to start from; zeros by default.
    max_passes : limit for each strength: Newton steps, and one pass for the certificate at each width.

    Returns  a `Path` as `solve_path` does; candidates are solved one after the other.
    Raises   `InputError` for arguments that cannot be, and for features beyond float64's squares.
    Error    steps do not depend on the scales of columns; see `certify` for what float64 can certify.
    Cost     n c d^2 (softmax: n c^2 d^2 / 2) + (c d)^3 / 3 flops a step (class by class: c d^3 / 3), for the hinge
             fewer as fewer margins lie inside the width; 30 to 150 steps, 5 to 15 of a smooth loss.

    >>> from colinear.datasets import Features, fit_scaling, load_digits
    >>> data = load_digits()
    >>> data = data.subset(data.labels < 2)
    >>> objective = Objective(Features(data, fit_scaling(data), torch.float64))
    >>> solve_newton(objective, [1e-2], tol=1e-9).points[0].status.name
    'CONVERGED'
    """
    strengths = torch.as_tensor(regs, dtype=torch.float64).cpu()
    loss = loss or Hinge()
    check_solve(objective, loss, strengths, tol, max_passes, held_out)
    newton = Newton(objective, loss)
    return newton.path(strengths, start, tol=tol, max_passes=max_passes, held_out=held_out)


@dataclass(frozen=True, eq=False)
class Newton:
    """Newton's method on one objective, for one candidate at a time."""

    objective: Objective
    loss: Loss = field(default_factory=Hinge)
    tuning: Tuning = USUAL
    prepared: Preconditioner | None = None

    def comes_first(self, candidates: int) -> bool:
        """Whether the problem is so small that there is no use in L-BFGS before: its operators would take longer.

        A smooth loss takes about six steps whatever the features are, the hinge fifteen of the interior point method.
        """
        features = self.objective.features
        if self.loss.kinked:
            if not self.loss.has_interior or features.free:
                return False
            step = INTERIOR_COST + MARGIN_COST * features.n_samples * features.n_classes + 2 * self.step_flops
            return candidates * INTERIOR_STEPS * step <= self.tuning.interior_first
        step = STEP_COST + min(self.factor_cost, USUAL_PRODUCTS * self.product_cost)
        return candidates * STEPS * step <= self.tuning.newton_first

    @property
    def factor_cost(self) -> float:
        """Time of a Hessian of a smooth loss and its factor, in flops."""
        features = self.objective.features
        c = features.n_classes
        blocks, classes = (c, 1) if self.loss.by_class else (1, c if c > 2 else 1)
        weights = float(classes * features.n_features)
        return COSTS[0] + blocks * (features.n_samples * weights**2 + weights**3 / 3)

    @property
    def product_cost(self) -> float:
        """Time of a conjugate gradient, in flops."""
        features = self.objective.features
        return COSTS[1] + 4.0 * features.n_samples * features.n_classes * features.n_features

    @cached_property
    def preconditioner(self) -> Preconditioner:
        """Of conjugate gradients."""
        spectrum = Spectrum.fit
        return self.prepared or Preconditioner(spectrum(self.objective, tuning=self.tuning), free_bias(self.objective))

    @property
    def patience(self) -> float:
        """Passes that L-BFGS gets before: a hinge crawls; a softmax left open was beyond the spectrum's precision."""
        least, most = self.tuning.patience
        return min(max(self.step_flops / STEP_FLOPS, least), most) if self.loss.kinked else math.inf

    @property
    def step_flops(self) -> float:
        """A bound on the flops of a step, Hessian and Cholesky factor."""
        features = self.objective.features
        n, c, d = features.n_samples, features.n_classes, features.n_features
        return self.loss.hessian_products(c) * float(n) * d * d + float(c * d) ** 3 / 3

    @cached_property
    def rows(self) -> Tensor:
        """All scaled features, (n, d) float64."""
        return self.objective.features.at(torch.float64).gather(slice(0, self.objective.features.n_samples)).clone()

    @cached_property
    def narrow(self) -> Tensor:
        """All scaled features as conjugate gradients, which need no more than a few digits, multiply them."""
        largest = float(self.rows.abs().max())
        return self.rows.float() if 1 / NARROW < largest < NARROW else self.rows

    @cached_property
    def basis(self) -> Basis | None:
        """Coordinates to work in, where those of the features are ill-conditioned."""
        return Basis.fit(self.rows, free=self.objective.features.free)

    def path(
        self,
        regs: Tensor,
        start: Tensor | None,
        *,
        tol: float,
        max_passes: int,
        held_out: Tensor | None,
        report: Report | None = None,
        journal: Journal = FORGETFUL,
    ) -> Path:
        """One strength after the other; arguments as of `solve_path`."""
        began = time.perf_counter()
        k, c, (n, d) = len(regs), self.objective.features.n_classes, self.rows.shape
        starts, device = self.rows.new_zeros(k, c, d), self.rows.device
        if start is not None:
            starts.copy_(start)
        setup = time.perf_counter() - began
        first = start is None or not self.loss.kinked

        def take_steps() -> Parts:
            position = journal.position()
            points = {} if position is None else unpack_points(position[0], regs, (c, d), device, n)
            for number, reg in enumerate(regs.tolist()):
                if number in points:
                    continue
                held = None if held_out is None else held_out[number]
                points[number] = self.solve(
                    reg, starts[number], tol=tol, max_passes=max_passes, held_out=held, first=first
                )
                journal.keep(lambda: (pack_points(points, (c, d), n), {}))
                if report is not None:
                    report(len(points), k, sum(point.passes for point in points.values()), 0.0)
            return pack_points(points, (c, d), n), {}

        found = unpack_points(journal.step(take_steps)[0], regs, (c, d), device, n)
        if len(found) < k:
            raise UnreadableError("it lacks strengths")
        points = tuple(found[number] for number in range(k))
        return Path(points, sum(point.passes for point in points), setup, time.perf_counter() - began)

    def solve(
        self,
        reg: float,
        start: Tensor,
        *,
        tol: float,
        max_passes: int,
        held_out: Tensor | None = None,
        width: float = FIRST_WIDTH,
        first: bool = False,
    ) -> PathPoint:
        """The point of one strength, from weights (c, d) that are about optimal for the smoothing `width`.

        first : nobody has moved the weights yet; a hinge begins with the interior point method, from weights of zero.
        held_out : fold left out, a tensor of one number, -1 for none.   max_passes : at least 1, the certificate's.
        """
        held = None if held_out is None else held_out.view(1).to(self.rows.device)
        weights = self.objective.features.n_classes * self.rows.shape[1]
        with one_thread_if(float(weights) ** 3 / 3 <= FACTOR_ALONE and self.rows.device.type == "cpu"):
            return Candidate(self, reg, held, tol, max_passes).solve(start.to(self.rows), width, first=first)
