"""Random problems and independent float64 answers in plain numpy, for tests of objectives and solvers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from colinear.datasets import ArrayDataset, Features, Scaling

Array = npt.NDArray[np.float64]


def draw_rows(
    n: int, d: int, c: int, seed: int = 0, dtype: torch.dtype = torch.float64, spread: float = 1.0
) -> ArrayDataset:
    """n rows of d normal features whose classes are shifted against each other by `spread`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(c, (n,), generator=generator)
    centres = spread * torch.randn(c, d, generator=generator, dtype=torch.float64)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64) + centres[labels]
    return ArrayDataset(features.to(dtype), labels, tuple(f"class {j}" for j in range(c)))


def as_features(data: ArrayDataset, bias: float = 1.0, dtype: torch.dtype | None = None) -> Features:
    """The rows as they are, with one constant column of value `bias` (none if 0)."""
    scaling = Scaling(torch.ones((), dtype=torch.float64), torch.zeros(data.n_features, dtype=torch.float64), bias)
    return Features(data, scaling, dtype or data.dtype)


def draw_features(
    n: int, d: int, c: int, seed: int = 0, dtype: torch.dtype = torch.float64, spread: float = 1.0
) -> Features:
    """`draw_rows` with a bias column: d + 1 features."""
    return as_features(draw_rows(n, d, c, seed, dtype, spread))


def matrix(features: Features) -> Array:
    """All rows, (n, d) float64, from the stored values and the scaling, not through `Features`."""
    raw = features.dataset.take(slice(0, features.n_samples)).double().numpy()
    rows = raw * features.scaling.scale.numpy() - features.scaling.shift.numpy()
    bias = features.scaling.bias
    return np.hstack([rows, np.full((len(rows), 1), bias)]) if bias > 0 else rows


def draw_coef(k: int, features: Features, seed: int = 0, size: float = 0.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (k, features.n_classes, features.n_features)
    return size * torch.randn(shape, generator=generator, dtype=torch.float64)


class Reference:
    """mean_i loss(W x_i, y_i) + reg sum(W * W) in numpy, with a dense Newton method for small problems."""

    def __init__(self, loss: str, x: Array, y: npt.NDArray[Any], n_classes: int, reg: float) -> None:
        self.loss, self.x, self.y, self.c, self.reg = loss, x, y, n_classes, reg
        self.truth = np.eye(n_classes)[y]  # (n, c)

    def value(self, coef: Array, width: float = 0.0) -> float:
        scores = self.x @ coef.T
        own = scores[np.arange(len(self.y)), self.y][:, None]
        if self.loss == "softmax":
            top = scores.max(1, keepdims=True)
            losses = np.log(np.exp(scores - top).sum(1)) + (top - own)[:, 0]
        else:
            margins = (scores - own + 1) * (1 - self.truth)
            bent = margins - width / 2
            if width > 0:
                bent = np.where(margins < width, margins**2 / (2 * width), bent)
            losses = np.where(margins > 0, bent, 0.0).sum(1)
        return float(losses.mean() + self.reg * (coef**2).sum())

    def slopes(self, coef: Array, width: float = 0.0) -> tuple[Array, Array]:
        """d loss / d scores (n, c), and curvature weights: p, or [0 < m < width] / width."""
        scores = self.x @ coef.T
        if self.loss == "softmax":
            p = np.exp(scores - scores.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            return p - self.truth, p
        margins = (scores - (scores * self.truth).sum(1, keepdims=True) + 1) * (1 - self.truth)
        if width > 0:
            a = np.clip(margins / width, 0, 1)
            inside = ((margins > 0) & (margins < width)) / width
        else:
            a, inside = (margins > 0).astype(float), np.zeros_like(margins)
        return a - self.truth * a.sum(1, keepdims=True), inside

    def gradient(self, coef: Array, width: float = 0.0) -> Array:
        return self.slopes(coef, width)[0].T @ self.x / len(self.y) + 2 * self.reg * coef

    def gap(self, coef: Array, width: float = 0.0, margins: Array | None = None) -> float:
        """Primal minus dual value at the dual point that the (smoothed) loss gives, from the definitions.

        margins : slopes (n, c) of the hinge's margins in place of these.
        """
        slopes = self.slopes(coef, width)[0]
        if margins is not None:
            assert np.all(margins >= 0)
            assert np.all(margins <= 1 - self.truth)
            slopes = margins - self.truth * margins.sum(1, keepdims=True)
        if self.loss == "softmax":
            p = slopes + self.truth
            dual = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(1)
        else:
            dual = np.where(self.truth > 0, 0.0, slopes).sum(1)
        data = slopes.T @ self.x / len(self.y)
        return self.value(coef) - float(dual.mean() - (data**2).sum() / (4 * self.reg))

    def hessian(self, coef: Array, width: float) -> Array:
        inside = self.slopes(coef, width)[1]
        n, c, d = len(self.y), self.c, self.x.shape[1]
        if self.loss == "softmax":
            curve = inside[:, :, None] * np.eye(c) - inside[:, :, None] * inside[:, None, :]
        else:
            pairs = inside[:, :, None] * self.truth[:, None, :]  # (n, wrong, true)
            curve = -pairs - pairs.transpose(0, 2, 1)
            curve += (inside + self.truth * inside.sum(1, keepdims=True))[:, :, None] * np.eye(c)
        flat = (
            curve.transpose(1, 2, 0).reshape(c * c, n) @ (self.x[:, :, None] * self.x[:, None, :]).reshape(n, -1)
        ) / n
        full = flat.reshape(c, c, d, d).transpose(0, 2, 1, 3).reshape(c * d, c * d)
        return full + 2 * self.reg * np.eye(c * d)

    def minimise(self, coef: Array, widths: tuple[float, ...] = (0.0,), steps: int = 50) -> Array:
        """Damped Newton, one run per smoothing width, each from the last."""
        for width in widths:
            value = self.value(coef, width)
            for _ in range(steps):
                gradient = self.gradient(coef, width)
                turn = np.linalg.solve(self.hessian(coef, width), gradient.ravel()).reshape(coef.shape)
                decrement = float((turn * gradient).sum())
                if decrement <= 1e-13 * value:
                    break
                step = 1.0
                while (there := self.value(coef - step * turn, width)) > value - 0.1 * step * decrement:
                    step /= 2
                    if step < 1e-9:
                        break
                if step < 1e-9:
                    break
                coef, value = coef - step * turn, there
        return coef


def reference_of(loss: str, features: Features, reg: float) -> Reference:
    return Reference(loss, matrix(features), features.labels.numpy(), features.n_classes, reg)
