"""Loss curves made short: means of what is finite, from the first step to the last that was reached."""

from __future__ import annotations

import math

import numpy as np
import torch

from colinear.search.curves import decimate, smooth_curve, span_curve, thin_curve


def test_decimation_keeps_means_and_leaves_out_what_is_not_finite() -> None:
    history = torch.full((2, 10), math.inf)
    history[0] = torch.arange(10.0)
    history[1, 0] = 4.0
    losses, steps = decimate(history, points=5)
    assert losses[0].tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert steps.tolist() == [1.5, 3.5, 5.5, 7.5, 9.5]
    assert losses[1, 0] == 4.0
    assert losses[1, 1:].isnan().all()


def test_long_curves_are_averaged_over_spans_and_gaps_left_out() -> None:
    points = span_curve(np.concatenate([np.arange(2000.0), [np.nan] * 2000]), 1000)
    assert points == [(4 * span + 4, 4 * span + 1.5) for span in range(500)]


def test_a_thin_curve_ends_at_the_first_value_that_is_not_finite() -> None:
    steps, losses = thin_curve(np.array([1.5, 3.5, 5.5]), np.array([2.0, np.nan, 1.0]))
    assert (steps.tolist(), losses.tolist()) == ([1.5], [2.0])


def test_a_smoothed_curve_keeps_the_first_steps_and_the_mean() -> None:
    losses = np.random.default_rng(0).normal(2, 0.5, 5000)
    steps, means = smooth_curve(losses)
    assert (steps[0], means[0]) == (1.0, losses[0])
    assert len(steps) <= 200
    assert means[-20:].std() < 0.1 < losses[-20:].std()
    assert np.all(np.diff(steps) > 0)
