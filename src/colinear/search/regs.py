"""Strengths of regularization from text: a log-spaced range, a protocol's list, or numbers."""

from __future__ import annotations

import math

from colinear.checks import InputError, check_count
from colinear.texts import shown

RULE = "--regs must be LOW:HIGH:COUNT, a comma list of numbers > 0, dino45 or auto"
DINO_EXPONENTS = (-6.0, 5.0)  # DINOv2's linear-probe protocol: 45 values of C, log-spaced from 1e-6 to 1e5
DINO_COUNT = 45
MOST = 1000  # strengths in a list; more are a mistake in the text


def parse_regs(text: str, n_samples: int) -> tuple[float, ...]:
    """Strengths, ascending and each once.

    text : 'LOW:HIGH:COUNT', log-spaced with both ends; 'dino45', 45 values of C log-spaced from 1e-6 to 1e5 with
        reg = 1 / (2 n_samples C); or a comma list.
    n_samples : training rows; only dino45 depends on it.
    Raises   `InputError` with the rule.

    >>> parse_regs("1e-3:1e-1:3", 100)
    (0.001, 0.01, 0.1)
    >>> regs = parse_regs("dino45", 500)
    >>> len(regs), f"{regs[0]:.3g}", f"{regs[-1]:.3g}"
    (45, '1e-08', '1e+03')
    """
    check_count("n_samples", n_samples)
    if text.strip() == "dino45":
        costs = _log_spaced(*DINO_EXPONENTS, DINO_COUNT)
        return tuple(sorted(1 / (2 * n_samples * cost) for cost in costs))
    try:
        regs = _range(text) if ":" in text else [float(part) for part in text.split(",")]
    except (ValueError, OverflowError):
        regs = []
    if len(regs) > MOST:
        raise InputError(f"--regs has {len(regs):,} strengths; {MOST:,} are the most. Give a range LOW:HIGH:COUNT.")
    if not regs or not all(0 < reg < math.inf for reg in regs):
        raise InputError(f"{RULE}; got {shown(text)}. Try --regs 1e-5:1e-1:9.")
    return tuple(sorted(set(regs)))


def half_decades(first: int, count: int) -> tuple[float, ...]:
    """`count` numbers of ratio root 10, ascending; the first is 10^(first / 2).

    >>> half_decades(-4, 3)
    (0.01, 0.0316227766017, 0.1)
    """
    return tuple(_log_spaced(first / 2, (first + count - 1) / 2, count))


def _range(text: str) -> list[float]:
    low, high, count = text.split(":")
    ends, number = (float(low), float(high)), int(count)
    if not 0 < ends[0] <= ends[1] < math.inf or not 1 <= number <= MOST or (number == 1 and ends[0] < ends[1]):
        return []
    return _log_spaced(math.log10(ends[0]), math.log10(ends[1]), number)


def _log_spaced(low: float, high: float, count: int) -> list[float]:
    """10^low ... 10^high; twelve digits are kept, so that 1e-3:1e-1:3 is 0.001, 0.01, 0.1."""
    step = (high - low) / max(1, count - 1)
    return [float(f"{10 ** (low + step * number):.12g}") for number in range(count)]
