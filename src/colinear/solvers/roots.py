"""The least point of a convex function along a line."""

from __future__ import annotations

import math

from colinear.curvature import Slope

FLAT = 1e-14  # share of the slope at 0 that is rounding
BRACKETINGS = 100  # 53 halve a bracket to rounding; the others double the step, or are Newton's from one side


def rising_root(slope: Slope, flat: float = FLAT) -> float:
    """The step > 0 at which a convex function of one number is least, 0 if there is none beyond rounding.

    slope : gives the first and the second derivative at a step; the first one rises, from below 0 at step 0.
    flat : share of the slope at 0 that is flat enough.
    Returns  a step whose slope was computed: flat, or the last one downhill in a bracket as narrow as float64 allows,
             so that the function is never higher there than at 0. Newton's step is taken where it falls into the
             bracket, and exact where the slope is piecewise linear.

    >>> rising_root(lambda step: (2 * step - 6, 2.0))
    3.0
    """
    low, high, step = 0.0, math.inf, 1.0
    enough = flat * abs(slope(0.0)[0])
    for _ in range(BRACKETINGS):
        here, bend = slope(step)
        if abs(here) <= enough:
            return step
        low, high = (step, high) if here < 0 else (low, step)
        if high < math.inf and high - low <= 4 * FLAT * high:
            break
        halfway = (low + high) / 2 if high < math.inf else 2 * step
        newton = step - here / bend if bend > 0 else math.inf
        step = newton if low < newton < high else halfway
    return low
