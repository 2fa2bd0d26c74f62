"""Which processors multiply bytes, and the variable that keeps bytes out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from colinear import processor
from colinear.checks import InputError

HAS_INSTRUCTIONS = processor.byte_instructions() is not None


@pytest.fixture(autouse=True)
def ask_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No answer from another test, and none left for the next."""
    monkeypatch.delenv("COLINEAR_BYTES", raising=False)
    asked = processor.byte_instructions
    asked.cache_clear()
    yield
    asked.cache_clear()


def exact_product(left: Tensor, right: Tensor) -> Tensor:
    return (left.double() @ right.double()).int()


def saturating_product(left: Tensor, right: Tensor) -> Tensor:
    """As vpmaddubsw does it: bytes made unsigned by adding 128, pairs of products added up in int16."""
    shifted, factors = left.double() + 128, right.double()
    pairs = [shifted[:, i : i + 2] @ factors[i : i + 2] for i in range(0, shifted.shape[1], 2)]
    return (torch.stack(pairs).clamp(-(2**15), 2**15 - 1).sum(0) - 128 * factors.sum(0)).int()


@pytest.mark.parametrize(
    ("flags", "product", "found"),
    [
        ({"amx_int8": True, "avx512_vnni": True}, exact_product, "AMX"),
        ({"amx_int8": False, "avx512_vnni": True, "avx_vnni": True}, exact_product, "AVX-512 VNNI"),
        ({"avx_vnni": True}, exact_product, "AVX-VNNI"),
        ({"avx512_f": True, "avx2": True}, exact_product, None),  # a plain loop, or instructions that saturate
        ({"avx512_vnni": True}, saturating_product, None),
        ({}, exact_product, None),
    ],
    ids=["AMX", "AVX-512 VNNI", "AVX-VNNI", "neither", "saturates", "unknown"],
)
def test_the_processor_has_to_have_instructions_that_are_exact(
    flags: dict[str, bool], product: object, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    monkeypatch.setattr(torch, "_int_mm", product)
    assert processor.byte_instructions() == found
    assert processor.multiplies_bytes() is (found is not None)


def test_the_variable_keeps_bytes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "byte_instructions", lambda: "AMX")
    for value, there in (("auto", True), ("off", False)):
        monkeypatch.setenv("COLINEAR_BYTES", value)
        assert processor.multiplies_bytes() is there
    monkeypatch.setenv("COLINEAR_BYTES", "yes")
    with pytest.raises(InputError, match=r"COLINEAR_BYTES must be one of auto, off; got 'yes'\."):
        processor.multiplies_bytes()


@pytest.mark.skipif(not HAS_INSTRUCTIONS, reason="needs a processor that multiplies bytes")
def test_onednn_without_these_instructions_is_found_out() -> None:
    """Its kernels for AVX-512 alone saturate, and the processor's flags do not tell that it was told to use them."""
    ask = "from colinear.processor import byte_instructions; print(byte_instructions())"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"


@pytest.mark.skipif(not HAS_INSTRUCTIONS, reason="needs a processor that multiplies bytes")
@pytest.mark.parametrize(("rows", "columns"), [(1, 256), (3, 257), (129, 300), (2048, 3072)])
@pytest.mark.parametrize(("low", "high"), [(-128, -128), (127, 127), (-128, 127), (-3, 3)])
def test_products_are_exact_whatever_the_bytes(rows: int, columns: int, low: int, high: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weights, slopes = (
        torch.randint(low, high + 1, size, generator=generator, dtype=torch.int8)
        for size in ((rows, columns), (31, columns), (31, rows))
    )
    sums = torch.ones(1, rows, dtype=torch.int8)
    for left, right in ((weights, x.mT), (slopes, x), (x.mT, x), (sums, x)):
        assert torch.equal(torch._int_mm(left, right), exact_product(left, right))
