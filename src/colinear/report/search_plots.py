"""How a search went: loss curves, settings by accuracy, and the regularization path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from colinear.report.canvas import ACCENTS, FAINT, INK, new_figure, of_data, tidy
from colinear.search.curves import Curve
from colinear.search.judging import score_of
from colinear.texts import short_number

Entry = Mapping[str, Any]
HIGHLIGHTED = 5
LOG_FROM = 4.0  # ratio of losses from which a log axis shows more than a linear one


def loss_figure(entry: Entry, curves: Sequence[Curve], data: str = "") -> Figure:
    """Minibatch losses, a curve for each candidate, on log axes: the best few in colour, the others faint."""
    figure = new_figure(7.2, 4.6)
    axes = figure.add_subplot()
    trials, order = entry["trials"], entry["order"]
    fine = [number for number in order if score_of(trials[number]) is not None]
    best = fine[:HIGHLIGHTED]
    for number in reversed(order):
        if number not in best and len(curves[number][0]):
            axes.plot(*curves[number], color=FAINT, alpha=0.45, linewidth=0.8)
    for place, number in reversed(list(enumerate(best))):
        trial = trials[number]
        setting = f"lr {short_number(trial['learning_rate'], 2)}, reg {short_number(trial['reg'], 2)}"
        name = f"{setting}: {score_of(trial):.3f}"
        axes.plot(*curves[number], color=ACCENTS[place], linewidth=2.2 if place == 0 else 1.4, label=name)
    axes.set_xscale("log")
    axes.set_xlim(left=1)
    _limit_losses(axes, [curves[number][1] for number in fine])
    axes.set_xlabel("step")
    axes.set_ylabel("minibatch loss, smoothed")
    others = len(order) - len(best)
    title = f"{entry['loss']}: loss of {len(order)} candidate{'s' * (len(order) != 1)}"
    axes.set_title(of_data(data, title), fontsize=11, parse_math=False)
    if best:
        handles, names = axes.get_legend_handles_labels()
        title = f"best {entry['metric']} on validation" + (f" (grey: {others} more)" if others else "")
        # outside: curves fill the box from corner to corner
        figure.legend(
            handles[::-1], names[::-1], title=title, fontsize=8, title_fontsize=8, loc="outside lower center", ncols=2,
            frameon=False,
        )  # fmt: skip
    tidy(axes)
    return figure


def _limit_losses(axes: Axes, curves: Sequence[NDArray[np.float64]]) -> None:
    """Scale by the candidates that did not diverge, without the peaks of those that nearly did."""
    values = np.concatenate([*curves, np.empty(0)])
    values = values[values > 0]
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    high = min(high, 3 * max(curve[0] for curve in curves if len(curve)))
    if high / low > LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.15, high * 1.15)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.06 * (high - low) or 0.1 * high
        axes.set_ylim(low - room, high + room)


def search_figure(entry: Entry, data: str = "") -> Figure:
    """Two scatter plots over learning rate and reg, on log scales, coloured by the metric on train and validation."""
    trials = entry["trials"]
    x = np.array([math.log10(trial["learning_rate"]) for trial in trials])
    y = np.array([math.log10(trial["reg"]) if trial["reg"] > 0 else math.nan for trial in trials])
    panels = {
        f"training {entry['metric']}": _scores(trials, "train"),
        f"validation {entry['metric']}": _scores(trials, "val"),
    }
    known = np.concatenate(list(panels.values()))
    known = known[np.isfinite(known)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    dropped = np.array([trial["status"] == "dropped" for trial in trials])
    figure = new_figure(9.0, 4.3)
    both = figure.subplots(1, 2, sharex=True, sharey=True)
    points = None
    for axes, (title, scores) in zip(both, panels.items(), strict=True):
        seen = np.isfinite(scores)
        for members, size in ((seen & dropped, 26), (seen & ~dropped, 70)):
            points = axes.scatter(
                x[members], y[members], c=scores[members], s=size, vmin=low, vmax=high, cmap="viridis",
                edgecolors="white", linewidths=0.5,
            )  # fmt: skip
        if not seen.all():
            axes.scatter(x[~seen], y[~seen], marker="x", s=36, color="#c23b3b", linewidths=1.2, label="diverged")
        if dropped.any():
            axes.scatter([], [], s=26, color=FAINT, label="left at a rung")
        best = entry["best"]
        axes.scatter(
            x[best], y[best], s=190, facecolors="none", edgecolors="#d1495b", linewidths=2, label="winner on validation"
        )
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("learning rate")
        axes.xaxis.set_major_formatter(_power)
        axes.margins(0.08)
        tidy(axes)
    both[0].set_ylabel("reg")
    both[0].yaxis.set_major_formatter(_power)
    if points is not None:
        figure.colorbar(points, ax=both, label=entry["metric"], fraction=0.05, pad=0.02)
    handles, names = both[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    title = f"{entry['loss']}: {len(trials)} setting{'s' * (len(trials) != 1)}"
    figure.suptitle(of_data(data, title), fontsize=12, parse_math=False)
    return figure


def path_figure(entry: Entry, data: str = "") -> Figure:
    """The metric on training and validation rows, and the relative gap, over reg on a log scale."""
    trials = sorted(entry["trials"], key=lambda trial: float(trial["reg"]))
    winner = entry["trials"][entry["best"]]
    x = np.log10([trial["reg"] for trial in trials])
    figure = new_figure(7.2, 5.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.plot(x, _scores(trials, "train"), "o-", color=FAINT, label="training", markersize=5)
    above.errorbar(
        x, _scores(trials, "val"), _column(trials, "val_error"), fmt="o-", color=ACCENTS[0], markersize=5,
        capsize=3, elinewidth=1, label="validation ± one standard error",
    )  # fmt: skip
    if entry["details"]["choice"]["rule"] == "1se":
        least = entry["details"]["choice"]["at_least"]
        above.axhline(least, color=INK, linewidth=0.8, linestyle=":", label="one standard error from the best")
    place = math.log10(winner["reg"])
    chosen = f"winner: reg {short_number(winner['reg'])}, validation {score_of(winner):.3f}"
    for axes in (above, below):
        axes.axvline(place, color=ACCENTS[1], linewidth=1.2, linestyle="--", label=chosen)
        tidy(axes)
    above.set_ylabel(entry["metric"])
    title = f"{entry['loss']}: the path of {len(trials)} strength{'s' * (len(trials) != 1)}"
    above.set_title(of_data(data, title), fontsize=11, parse_math=False)
    gap = _column(trials, "relative_gap")
    # a gap of exactly 0 has no place on a log axis; it is drawn at the least the numbers can tell apart
    below.plot(x, 100 * np.maximum(gap, 1e-16), "o-", color=INK, markersize=4)
    if np.isfinite(gap).any():
        below.set_yscale("log")
        below.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        below.yaxis.set_major_formatter("{x:g} %")
        below.yaxis.set_minor_formatter(NullFormatter())
    below.set_ylabel("relative gap")
    below.set_xlabel("reg")
    below.xaxis.set_major_formatter(_power)
    handles, names = above.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _power(place: float, number: int | None = None) -> str:
    """The label of a tick where an axis has log10 values: as the terminal and the page write that strength."""
    return short_number(10**place, 2)


def _scores(trials: Sequence[Mapping[str, Any]], part: str) -> NDArray[np.float64]:
    """What every trial has of the metric, NaN where there is nothing."""
    scores = [score_of(trial, part) for trial in trials]
    return np.array([math.nan if score is None else score for score in scores], dtype=np.float64)


def _column(trials: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """One number of every trial, NaN where there is none."""
    return np.array([math.nan if trial.get(key) is None else trial[key] for trial in trials], dtype=np.float64)
