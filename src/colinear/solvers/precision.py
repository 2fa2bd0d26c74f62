"""Float32 matrix products: full precision, or what tensor cores offer, for the length of one run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from colinear.checks import check_choice

MatmulPrecision = Literal["highest", "high"]
PRECISIONS: tuple[MatmulPrecision, ...] = ("highest", "high")


@contextmanager
def matmul_precision(precision: MatmulPrecision) -> Iterator[None]:
    """Multiply float32 matrices in full precision ('highest') or perhaps in TF32 ('high') inside the block.

    The process-wide setting of PyTorch is put back at the end, whatever happens.
    """
    check_choice("matmul precision", precision, PRECISIONS)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
