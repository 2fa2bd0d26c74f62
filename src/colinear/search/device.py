"""The device that a run computes on, by name."""

from __future__ import annotations

import torch

from colinear.checks import InputError, open_device
from colinear.texts import shown

DEVICES = ("cpu", "cuda", "mps", "xpu")


def pick_device(name: str) -> torch.device:
    """'auto' is a CUDA GPU if there is one, else the CPU; anything else is PyTorch's own name for a device."""
    # torch knows more: meta keeps no numbers, others need their own package
    if name != "auto" and name.partition(":")[0] not in DEVICES:
        raise InputError(f"device must be auto or one of {', '.join(DEVICES)}; got {shown(name)}. Use --device auto.")
    refusal = f"device {shown(name)} is not available here. Use --device cpu or auto."
    return open_device(name, torch.device("cpu"), refusal)
