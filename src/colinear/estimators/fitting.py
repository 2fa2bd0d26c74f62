"""One fit: rows, labels and weights become an objective; a solver gives a path; its weights go back to raw features."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colinear.checks import InputError, check_number, open_device
from colinear.datasets.base import ArrayDataset
from colinear.datasets.features import CHUNK_ROWS, Features, Scaling, fit_scaling
from colinear.datasets.sparse import SparseMatrix
from colinear.losses import LOSSES
from colinear.model import rounding_shows, some_rows
from colinear.objective import Objective
from colinear.solvers.sgd import SGD
from colinear.solvers.solution import Path, PathPoint, Status
from colinear.solvers.spectrum import sample_rows

WHOLE = ("passes", "setup_seconds", "seconds", "details")  # of a `Path`, after its points
SGD_AVERAGING = 0.5  # the second half of the iterates is averaged


def pick_device(device: Any, rows: Tensor | SparseMatrix) -> torch.device:
    """None is where the rows are; 'auto' a CUDA GPU if there is one; else PyTorch's name for a device."""
    if device is None:
        return rows.device
    refusal = f"device {device!r} is not available here. Use device=None, 'cpu' or 'auto'."
    return open_device(device, rows.device, refusal)


def strength_of_cost(cost: float, total_weight: float, n_classes: int) -> float:
    """reg = 1 / (2 C n), n the sum of all weights, 1 / (C n) for two classes; the same formula gives C of reg.

    scikit-learn minimises C sum_i loss_i + |u|^2 / 2. Two classes have one vector u there and w2 = -w1 = u / 2 here
    (what both share costs penalty and changes no loss), so reg sum(W*W) = reg |u|^2 / 2.

    >>> strength_of_cost(1.0, 100, 3), strength_of_cost(1.0, 100, 2), strength_of_cost(0.0, 100, 2)
    (0.005, 0.01, inf)
    """
    scale = (1.0 if n_classes == 2 else 2.0) * total_weight
    return 1.0 / (cost * scale) if cost else math.inf


@dataclass(frozen=True, eq=False)
class Fit:
    """The objective of one fit, mean_i w_i loss_i / mean_i w_i + reg sum(W*W), on raw rows and a constant column."""

    objective: Objective
    scaling: Scaling
    loss: str
    total_weight: float

    @classmethod
    def prepare(
        cls,
        rows: Tensor | SparseMatrix,
        codes: Tensor,
        n_classes: int,
        weights: Tensor | None,
        loss: str,
        *,
        bias: float,
        penalize: bool,
        standardize: bool,
        center: bool = False,
        device: torch.device,
    ) -> Fit:
        """Check values by chunk and set up the pass over the rows; nothing of the rows' size is allocated.

        center : whether means are taken off, which moves nothing but the intercept if that has no penalty, and saves
        passes.
        """
        names = tuple(str(number) for number in range(n_classes))
        data = ArrayDataset(rows, codes.to(rows.device), names, name="X").to(device)
        weights = None if weights is None else weights.to(device)
        scaling = fit_scaling(
            data, center=center or standardize, standardize=standardize, intercept_scaling=bias,
            penalize_intercept=penalize, row_weights=weights,
        )  # fmt: skip
        dtype = torch.float64 if rows.dtype == torch.float64 else torch.float32
        total = float(len(codes)) if weights is None else float(weights.sum())
        return cls(Objective(Features(data, scaling, dtype), weights), scaling, loss, total)

    @property
    def n_classes(self) -> int:
        return self.objective.features.n_classes

    @property
    def opposite(self) -> bool:
        """Whether there are two classes, one a row, whose weights are opposite at the optimum and are told as one."""
        return self.n_classes == 2 and self.objective.features.labels.ndim == 1

    @property
    def halves(self) -> float:
        """Of the vector that is told for two classes, what each of them has: all where it is a problem of its own."""
        return 1.0 if LOSSES[self.loss].by_class else 0.5

    def convert_strength(self, strength: float) -> float:
        """C of reg, and reg of C."""
        shared = self.opposite and not LOSSES[self.loss].by_class
        return strength_of_cost(strength, self.total_weight, 2 if shared else 3)  # or more

    def fold(self, coef: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (c, d) and intercepts (c,), float64, for raw rows; (1, d) and (1,) for two classes, > 0 for the
        second: the difference, halved where each class is a problem of its own, as scikit-learn's one vector is.
        """
        if not self.opposite:
            return self.scaling.fold(coef)
        return self.scaling.fold((coef[1:] - coef[:1]) / (2 * self.halves))

    def fold_together(self, coef: Tensor, *, with_intercept: bool) -> NDArray[np.float64]:
        """What `fold` returns as one array (c, d [+ 1]), the intercepts last."""
        weight, intercept = (part.numpy() for part in self.fold(coef))
        return np.column_stack([weight, intercept]) if with_intercept else weight

    def unfold(self, weight: Tensor, intercept: Tensor) -> Tensor:
        """Weights on scaled rows, (c, d [+ 1]), from weights and intercepts for raw rows: the inverse of `fold`."""
        if self.opposite:
            weight, intercept = (self.halves * torch.cat((-part, part)) for part in (weight, intercept))
        coef = weight / self.scaling.scale
        if self.scaling.bias == 0:
            return coef
        last = (intercept + coef @ self.scaling.shift) / self.scaling.bias
        return torch.cat((coef, last.unsqueeze(1)), 1)

    def needs_float64(self, weight: Tensor, intercept: Tensor) -> bool:
        """Whether scores of such rows have to be summed in float64 although the rows are narrower."""
        data = self.objective.features.dataset
        return data.dtype == torch.float64 or rounding_shows(weight, intercept, some_rows(data).to(torch.device("cpu")))

    def look(self, reg: float, start: Tensor | None) -> Path:
        """The point before any step: zero weights or those given, and their certificate (none without a penalty)."""
        began, features = time.perf_counter(), self.objective.features
        coef = torch.zeros(features.n_classes, features.n_features, dtype=torch.float64, device=features.device)
        if start is not None:
            coef.copy_(start)
        regs = torch.tensor([reg], dtype=torch.float64, device=features.device)
        found = self.objective.evaluate(coef.unsqueeze(0), regs, LOSSES[self.loss])
        gap = float(found.gap[0]) if reg else math.inf
        point = PathPoint(reg, coef.cpu(), float(found.objective[0]), gap, 0, Status.BUDGET_SPENT)
        return Path((point,), 0, 0.0, time.perf_counter() - began)

    def usual_rate(self, reg: float, seed: int) -> float:
        """1 / (a mean |x|^2 + 2 reg), about the inverse of a bound on the curvature: a is the loss's largest of one
        score, or 1 if that is more.
        """
        features, steepest = self.objective.features, LOSSES[self.loss].steepest
        rows = sample_rows(features.n_samples, CHUNK_ROWS, seed, features.device)
        return 1.0 / max(max(1.0, steepest) * float(features.squared_distances(rows).mean()) + 2 * reg, 1e-30)

    def run_sgd(
        self, reg: float, passes: int, batch_size: int, learning_rate: float | None, seed: int, start: Tensor | None
    ) -> Path:
        """Minibatch SGD with a cosine schedule and averaging, then one float64 pass for the certificate.

        learning_rate : None for `usual_rate`.
        """
        began = time.perf_counter()
        features, loss = self.objective.features, LOSSES[self.loss]
        if self.objective.row_weights is not None:
            raise InputError("solver='sgd' draws rows evenly and takes no weights. Use solver='exact'.")
        learning_rate = self.usual_rate(reg, seed) if learning_rate is None else learning_rate
        rate = torch.tensor([check_number("learning_rate", learning_rate, above=0)], dtype=torch.float64)
        steps = math.ceil(passes * features.n_samples / batch_size)
        sgd = SGD(steps, batch_size, schedule="cosine", averaging=SGD_AVERAGING)
        regs = torch.tensor([reg], dtype=torch.float64)
        coef = torch.zeros(features.n_classes, features.n_features, dtype=features.dtype, device=features.device)
        if start is not None:
            coef.copy_(start)
        state = sgd.start(coef, rate, regs, torch.Generator().manual_seed(seed))
        setup = time.perf_counter() - began
        result = sgd.result(sgd.advance(state, features, loss, steps)).double()
        status = sgd.statuses(state)[0]
        if status is Status.DIVERGED:
            raise InputError(f"SGD diverged at learning_rate={learning_rate:.3g}. Lower it, or use solver='exact'.")
        end = self.objective.evaluate(result, regs.to(features.device), loss)
        point = PathPoint(reg, result[0].cpu(), float(end.objective[0]), float(end.gap[0]), passes, status)
        return Path((point,), passes + 1, setup, time.perf_counter() - began)


def pack_path(path: Path) -> dict[str, Any]:
    """The path as an estimator keeps it: arrays with one entry a point (coef (k, c, d), reg, ...), and its numbers."""
    points = path.points
    return {
        "coef": np.stack([point.coef.cpu().numpy() for point in points]),
        **{name: np.array([getattr(point, name) for point in points]) for name in ("reg", "objective", "gap")},
        "point_passes": np.array([point.passes for point in points]),
        "status": np.array([point.status.key for point in points]),
        **{name: getattr(path, name) for name in WHOLE},
    }


def unpack_path(packed: dict[str, Any]) -> Path:
    """The path that `pack_path` packed, with weights in host memory.

    >>> point = PathPoint(0.1, torch.ones(2, 3), 1.0, 0.5, 7, Status.STALLED)
    >>> again = unpack_path(pack_path(Path((point,), 7, 0.0, 0.0))).points[0]
    >>> again.status, again.relative_gap, again.coef.shape
    (<Status.STALLED: 'stopped where no further progress is possible in this precision'>, 0.5, torch.Size([2, 3]))
    """
    listed = (packed[name].tolist() for name in ("reg", "objective", "gap", "point_passes", "status"))
    points = tuple(
        PathPoint(reg, torch.tensor(coef), objective, gap, passes, Status[status.upper()])
        for coef, reg, objective, gap, passes, status in zip(packed["coef"], *listed, strict=True)
    )
    return Path(points, *(packed[name] for name in WHOLE))
