"""Whether this processor multiplies bytes fast and exactly, and the variable that keeps them out."""

from __future__ import annotations

import os
from functools import lru_cache

import torch

from colinear.checks import check_choice

VARIABLE = "COLINEAR_BYTES"
# what torch.cpu calls them, fastest first. Others, which add pairs of products up in int16, saturate there: they are
# never used, and neither is the plain loop that int8 matrices get where there is none
INSTRUCTIONS = {"amx_int8": "AMX", "avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI"}


def multiplies_bytes() -> bool:
    """Whether products of uint8 images shall be those of bytes: the processor can, and COLINEAR_BYTES is not 'off'.

    Raises `InputError` for a value of that variable other than 'auto', which is the default, and 'off'.
    """
    chosen = os.environ.get(VARIABLE, "auto")
    check_choice(VARIABLE, chosen, ("auto", "off"))
    return chosen == "auto" and byte_instructions() is not None


@lru_cache(maxsize=1)
def byte_instructions() -> str | None:
    """The instructions that int8 matrices are multiplied with here, if they are fast and exact; None otherwise.

    A capability and not a measured speed, so that two runs on one machine always take the same way. Asked once for each
    process, in 2 ms.
    """
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    found = next((name for flag, name in INSTRUCTIONS.items() if capabilities.get(flag)), None)
    return found if found and hasattr(torch, "_int_mm") and _is_exact() else None


def _is_exact() -> bool:
    """Whether the largest bytes are multiplied without saturation: oneDNN can be told to leave an instruction out."""
    signs = torch.tensor([-128, 127], dtype=torch.int8)
    generator = torch.Generator().manual_seed(0)
    for m, n, p in ((1, 64, 256), (30, 64, 256), (270, 200, 300)):  # kernels differ by shape
        a, slopes, rows = (signs[torch.randint(2, size, generator=generator)] for size in ((m, p), (m, n), (n, p)))
        for left, right in ((a, rows.mT), (slopes, rows), (rows.mT, rows)):
            if not torch.equal(torch._int_mm(left, right), (left.double() @ right.double()).int()):
                return False
    return True
