"""The linear systems of Newton's method: Gram matrices, Cholesky factors, conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_VALUES = 1_000_000  # of rows weighted for each class, 8 MB: what is in cache costs half
RIDGES = (1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4)  # beside a diagonal of 1, the first that makes a matrix definite

Map = Callable[[Tensor], Tensor]


def gram(weights: Tensor, rows: Tensor) -> Tensor:
    """sum_i (w_i w_i^T) (x) x_i x_i^T, (c, d, c, d), of weights (c, n) and rows (n, d).

    Cost   n c^2 d^2 flops: BLAS multiplies a matrix with its own transpose by half, which numpy asks it for.
    """
    (c, n), d = weights.shape, rows.shape[1]
    step, result = max(1, BLOCK_VALUES // (c * d)), torch.empty(0)
    for start in range(0, n, step):
        part = slice(start, start + step)
        both = (weights[:, part].mT.unsqueeze(2) * rows[part].unsqueeze(1)).reshape(-1, c * d)  # (b, c d)
        if both.device.type == "cpu":
            array = both.numpy()
            product = torch.from_numpy(array.T @ array)
        else:
            product = both.mT @ both
        result = result.add_(product) if start else product
    return result.view(c, d, c, d)


def factor(matrix: Tensor) -> Tensor:
    """Cholesky factor of a matrix with a diagonal of 1, of which the lower triangle is read.

    Where rounding left it indefinite it gets a small ridge.
    """
    for ridge in (0.0, *(ridge for ridge in RIDGES if ridge > torch.finfo(matrix.dtype).eps)):
        ridged = matrix.clone() if ridge else matrix
        ridged.diagonal().add_(ridge)
        lower: Tensor
        lower, failed = torch.linalg.cholesky_ex(ridged)
        if not int(failed):
            break
    return lower


def conjugate_gradients(
    product: Map, precondition: Map, right: Tensor, enough: float, most: int, *, partial: bool = False
) -> Tensor | None:
    """x with |product(x) - right| <= enough; None, or if `partial` the last x, where `most` products do not.

    product, precondition : symmetric and positive definite, on arrays like `right`.
    Memory   four arrays like `right` and what the two need.
    Source   Nocedal & Wright 2006, algorithm 5.3.

    >>> ones = torch.ones(3, dtype=torch.float64)
    >>> conjugate_gradients(lambda x: 2 * x, lambda x: x, ones, 1e-9, 1)
    tensor([0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    x, rest, size, along = torch.zeros_like(right), right.clone(), 0.0, torch.zeros_like(right)
    for _ in range(most):
        inner = precondition(rest)
        before, size = size, dot(rest, inner)
        torch.add(inner, along, alpha=size / before if before else 0, out=along)
        del inner
        image = product(along)
        bend = dot(along, image)
        if not (bend > 0 and size > 0):
            return x if partial else None
        x.add_(along, alpha=size / bend)
        rest.sub_(image, alpha=size / bend)
        if float(torch.linalg.vector_norm(rest)) <= enough:
            return x
    return x if partial else None


def dot(a: Tensor, b: Tensor) -> float:
    """Inner product of two arrays (..., m), in the order in which `b` lies in memory."""
    if b.stride(-1) != 1:
        a, b = a.mT, b.mT
    return float(torch.dot(a.reshape(-1), b.reshape(-1)))
