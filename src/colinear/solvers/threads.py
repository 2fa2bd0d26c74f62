"""How many threads small problems get: one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_if(small: bool) -> Iterator[None]:
    """Let PyTorch use one thread inside the block if `small`, and as many as before after it, whatever happens.

    Threads meet at the end of every operation. Where an operation takes microseconds they cost more than they bring,
    and on a busy machine a hundred times more: digits' hinge path went from 0.5 s to 21 s with two threads beside two
    other busy programs.
    """
    before = torch.get_num_threads()
    if not small or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
