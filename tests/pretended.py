"""An accelerator that is not there: tensors without numbers on a device that is not the processor.

PyTorch's fake tensors know shapes, types and devices, and refuse operations on two devices; its Python backend makes
the device. Both change the process for good: use them in one of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = "pretended"
ATEN = torch.ops.aten


class Waits(TorchDispatchMode):
    """Notes where the host would wait for the device: to read a number, or to copy a tensor to itself.

    A number that is read is True or 1, and there are no places of what is not zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is ATEN._local_scalar_dense.default:
            if args[0].device.type == DEVICE:
                self.seen.append(str(func))
            return True if args[0].dtype == torch.bool else 1
        if func is ATEN.nonzero.default:
            self.seen.append(str(func))
            return args[0].new_empty(0, args[0].ndim, dtype=torch.int64)
        source = args[1] if func is ATEN.copy_.default else args[0] if func is ATEN._to_copy.default else None
        made = func(*args, **kwargs)
        if source is not None and (source.device.type, made.device.type) == (DEVICE, "cpu"):
            self.seen.append(str(func))
        return made


@contextmanager
def pretend() -> Iterator[Waits]:
    """A context in which tensors are pretended, on the processor and on `DEVICE`."""
    _setup_privateuseone_for_python_backend(DEVICE)  # type: ignore[no-untyped-call]
    with FakeTensorMode(), Waits() as waits:
        yield waits
