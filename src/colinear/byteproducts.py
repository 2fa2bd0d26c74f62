"""Products of uint8 images as they are stored: a float32 number is three or four signed bytes of a fixed-point number.

Products of bytes are exact in int32, and processors with instructions for them (`processor`) do them four to ten times
as fast as float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from colinear.datasets.features import Features

DIGITS = 3  # signed bytes of a fixed-point number
PLACES = (1.0, 256.0, 65536.0)  # what they count, in units
FINE = 254  # a fourth one, of wide rows, counts 254ths of a unit: a rest of at most 1/2 is at most 127 of them
WIDEST = 6.0  # max|w| sqrt(n) / |w| of a row that three digits do; normal numbers have 4, one beside tiny ones sqrt(n)
TOP = 2**22 - 2**16  # largest fixed-point magnitude: the three digits and their carries stay below 2^22
# added to a float of magnitude < 2^22: the nearest integer stands in the mantissa's bits, its bytes shifted to >= 0
MAGIC = 1.5 * 2**23 + 2**15 + 2**7
MOST_SUMMANDS = 2**17 - 1  # products of two bytes that int32 can add up


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """Numbers (m, n) as signed bytes: value = unit * (sum_i PLACES_i digit_i + fine / FINE).

    digits : (3 m + w, n) int8, those of all rows, least significant first, then the fine one of the `wide` rows.
    wide : (w,) int64.   unit : (m, 1) float32, not finite for a row with a number that is not.
    """

    digits: Tensor
    unit: Tensor
    wide: Tensor

    def combine_into(self, out: Tensor, sums: Tensor) -> Tensor:
        """What sums (3 m + w, b) int32 over the digits are in units, (m, b), written to `out`."""
        m = len(self.unit)
        low, middle, high = sums[: DIGITS * m].view(DIGITS, m, -1)
        out.copy_(low).add_(middle, alpha=PLACES[1]).add_(high, alpha=PLACES[2])
        return out.index_add_(0, self.wide, sums[DIGITS * m :].to(out), alpha=1 / FINE) if len(self.wide) else out


class ByteProducts:
    """Rows of uint8 images kept as bytes v = raw - 128; numbers beside them as signed bytes of a fixed-point number.

    x = scale v + c, so that  W x^T = scale W v^T + W c  and  slopes x = scale slopes v + sum(slopes) c.  The bytes of c
    stand below those of the rows, so that both products are one.
    Error    of the scores of one row of W, root mean square, in parts of |W| |x| / sqrt(p), the size of a score:
             4.2e-7 from fixed point at most, 3e-7 for normal weights, and 1e-7 (1 + |scale v| / |x|) from float32 sums.
             A float32 product leaves 3e-7 to 4e-7. Gradients have the same bound, in parts of |slopes| |x| / sqrt(b).
             Three digits leave at most 2^-23 max|W| of each weight. A row whose largest weight is more than WIDEST
             times its root mean square is wide: it has a fourth digit, which leaves 2^-31 max|W|.
             Sums of bytes are exact and depend on no order, so that the same row of W has the same scores whatever
             else is in the matrix.
    whole    : slopes are whole numbers in [-127, 127] (the hinge's) and need one byte only.
    """

    def __init__(self, features: Features, *, whole: bool = False) -> None:
        self.features, self.whole = features, whole
        scaling = features.scaling
        self._pixels, self._scale, self._bias = len(scaling.shift), float(scaling.scale), scaling.bias
        self._buffers: dict[str, Tensor] = {}
        constant = (128 * scaling.scale - scaling.shift).float().unsqueeze(0)  # (1, p)
        below = self._split("constant", constant)
        self._below = below.digits
        # what a sum over the constant's digit i counts, beside a sum over v
        places = torch.tensor((*PLACES, 1 / FINE), dtype=torch.float64)[: len(below.digits)]
        self._below_units = below.unit[0].double() / self._scale * places
        self._constant = torch.full((features.n_features,), scaling.bias)
        self._constant[: self._pixels] = constant[0]

    def hold(self, coef: Tensor) -> None:
        self._held = self._split("coef", coef[:, : self._pixels])
        self._bias_scores = coef[:, -1:] * self._bias if self._bias else None

    def load(self, rows: Tensor | slice) -> None:
        raw = self.features.dataset.take(rows)
        both = self._buffer("rows", (len(raw) + len(self._below), self._pixels), torch.int8)
        torch.bitwise_xor(raw, 128, out=both[: len(raw)].view(torch.uint8))
        both[len(raw) :] = self._below
        self._rows = both

    def scores_into(self, out: Tensor) -> Tensor:
        held, count = self._held, out.shape[1]
        sums = self._multiply("scores", held.digits, self._rows.mT)  # (3 m + w, b + 3)
        offset = out.new_empty(len(out), len(self._below), dtype=torch.float64)
        offset = held.combine_into(offset, sums[:, count:]) @ self._below_units  # (m,)
        held.combine_into(out, sums[:, :count])
        out += offset.float().unsqueeze(1)
        out *= held.unit * self._scale
        return out if self._bias_scores is None else out.add_(self._bias_scores)

    def add_gradient_(self, target: Tensor, slopes: Tensor, factor: Tensor | None = None) -> None:
        shape, rows = (len(slopes), self._pixels), self._rows[: slopes.shape[1]]
        moved = self._buffer("moved", shape, torch.float32)
        if self.whole:
            unit, totals = slopes.new_ones(1, 1), slopes.sum(1, keepdim=True)
            moved.copy_(self._multiply("gradient", slopes.to(torch.int8), rows))
        else:
            fixed = self._split("slopes", slopes)
            unit = fixed.unit
            # of the digits, as the product is: what rounding to fixed point leaves is multiplied by x then, not by v
            totals = fixed.combine_into(torch.empty_like(unit), fixed.digits.sum(1, keepdim=True, dtype=torch.int32))
            fixed.combine_into(moved, self._multiply("gradient", fixed.digits, rows))
        if factor is not None:
            unit = unit * factor
        target[:, : self._pixels].addcmul_(moved, unit * self._scale)
        target.addcmul_(totals * unit, self._constant)

    def _split(self, name: str, values: Tensor) -> FixedPoint:
        m, n = values.shape
        largest = torch.maximum(values.amax(1, keepdim=True), -values.amin(1, keepdim=True))
        largest.clamp_(min=torch.finfo(values.dtype).tiny * TOP)
        fixed = self._buffer(f"{name}.fixed", (m, n), torch.float32)
        torch.mul(values, TOP / largest, out=fixed)
        norms = torch.linalg.vector_norm(fixed, dim=1)
        wide = ((norms > 0) & (norms * WIDEST < TOP * math.sqrt(n))).nonzero().squeeze(1)
        digits = self._buffer(f"{name}.digits", ((DIGITS + 1) * m, n), torch.int8)[: DIGITS * m + len(wide)]
        fixed += MAGIC
        if len(wide):
            rest = (values[wide] * (TOP / largest[wide])).sub_(fixed[wide].sub_(MAGIC))
            digits[DIGITS * m :].copy_(rest.mul_(FINE).round_())
        words = fixed.view(torch.int32)
        coarse = digits[: DIGITS * m].view(DIGITS, m, n)
        for digit in coarse:
            digit.copy_(words)  # keeps the lowest byte
            words >>= 8  # with vector instructions: half the time of every fourth byte
        coarse[: DIGITS - 1].bitwise_xor_(-128)
        coarse[DIGITS - 1].sub_(64)
        return FixedPoint(digits, largest / TOP, wide)

    def _multiply(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        out = self._buffer(name, (len(a), b.shape[1]), torch.int32)
        return torch._int_mm(a, b, out=out)

    def _buffer(self, name: str, shape: tuple[int, ...] | torch.Size, dtype: torch.dtype) -> Tensor:
        held = self._buffers.get(name)
        if held is None or held.shape != shape:
            held = self._buffers[name] = torch.empty(shape, dtype=dtype)
        return held


def byte_second_moment(features: Features, rows: Tensor, size: int) -> Tensor:
    """Sum of x x^T over the given rows of uint8 images, (d, d) float32, by exact sums of products of bytes.

    sum x x^T = scale^2 V^T V + h c^T + c h^T   with  x = scale v + c,  h = scale sum(v) + n c / 2
    """
    scaling, p = features.scaling, features.dataset.n_features
    moment, part = torch.zeros(p, p, dtype=torch.int32), torch.empty(p, p, dtype=torch.int32)
    total = torch.zeros(1, p, dtype=torch.int32)
    for start in range(0, len(rows), size):
        signed = features.dataset.take(rows[start : start + size]).bitwise_xor(128).view(torch.int8)
        moment += torch._int_mm(signed.mT, signed, out=part)
        total += torch._int_mm(signed.new_ones(1, len(signed)), signed)
    constant = torch.full((features.n_features,), scaling.bias, dtype=torch.float64)
    constant[:p] = 128 * scaling.scale - scaling.shift
    half = len(rows) / 2 * constant
    half[:p] += scaling.scale * total[0]
    result = torch.zeros(features.n_features, features.n_features)
    torch.mul(moment, float(scaling.scale) ** 2, out=result[:p, :p])
    half, constant = half.float(), constant.float()
    return result.addr_(half, constant).addr_(constant, half)
