"""The device that a run computes on, by name."""

from __future__ import annotations

import torch

from colinear.checks import InputError
from colinear.texts import shown

DEVICES = ("cpu", "cuda", "mps", "xpu")


def pick_device(name: str) -> torch.device:
    """'auto' is a CUDA GPU if there is one, else the CPU; anything else is PyTorch's own name for a device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in DEVICES:  # torch knows more: meta keeps no numbers, others need their own package
        raise InputError(f"device must be auto or one of {', '.join(DEVICES)}; got {shown(name)}. Use --device auto.")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception:  # each kind of device has its own errors where it is missing
        raise InputError(f"device {shown(name)} is not available here. Use --device cpu or auto.") from None
    return device
