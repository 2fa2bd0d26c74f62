"""The device that a run computes on, by name."""

from __future__ import annotations

import torch

from colinear.checks import InputError, open_device
from colinear.parallel.group import Group
from colinear.texts import shown

DEVICES = ("cpu", "cuda", "mps", "xpu")


def check_group(name: str, group: Group) -> None:
    """Raise `InputError` for a device that the processes of a group cannot have one of each."""
    if group.size == 1:
        return
    device = pick_device(name)
    group.agree({"kind of device": device.type})
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and device.index is not None):
        raise InputError(f"{group.size} processes take one GPU each, or the processor; got {name}. Use --device cuda.")
    if device.type == "cuda" and group.local_size > torch.cuda.device_count():
        raise InputError(
            f"{group.local_size} processes on a machine need as many GPUs; this one has {torch.cuda.device_count()}. "
            "Start fewer, or use --device cpu."
        )


def pick_device(name: str) -> torch.device:
    """'auto' is a CUDA GPU if there is one, else the CPU; anything else is PyTorch's own name for a device."""
    # torch knows more: meta keeps no numbers, others need their own package
    if name != "auto" and name.partition(":")[0] not in DEVICES:
        raise InputError(f"device must be auto or one of {', '.join(DEVICES)}; got {shown(name)}. Use --device auto.")
    refusal = f"device {shown(name)} is not available here. Use --device cpu or auto."
    return open_device(name, torch.device("cpu"), refusal)
