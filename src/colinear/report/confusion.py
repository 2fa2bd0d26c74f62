"""Which classes are taken for which."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from colinear.report.canvas import INK, label_text, new_figure

NAMED = 20  # classes whose cells can still be read


def confusion_figure(counts: NDArray[np.int64], names: tuple[str, ...], title: str) -> Figure:
    """Per cent of the rows of each true class (c, c); numbers in the cells up to 20 classes, a heat map beyond."""
    totals = counts.sum(1, keepdims=True)
    share = 100 * counts / np.maximum(totals, 1)
    classes = len(names)
    side = 2.2 + 0.46 * classes if classes <= NAMED else 6.5
    side = max(side, 4.2)
    figure = new_figure(side + 0.9, side)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    if classes <= NAMED:
        shown = [label_text(name, 14) for name in names]
        long = max(map(len, shown)) > 3
        axes.set_xticks(
            range(classes), shown, rotation=45 if long else 0, ha="right" if long else "center",
            rotation_mode="anchor" if long else "default", parse_math=False,
        )  # fmt: skip
        axes.set_yticks(range(classes), shown, parse_math=False)
        for row, column in np.ndindex(classes, classes):
            value = share[row, column]
            colour = "white" if value > 55 else INK if value >= 0.5 else "#b5b5b5"
            axes.text(
                column,
                row,
                f"{value:.0f}" if counts[row, column] else "·",
                ha="center",
                va="center",
                fontsize=9,
                color=colour,
                in_layout=False,  # inside the axes: nothing makes room for it, and 100 are measured twice
            )
    axes.set_xlabel("predicted class" if classes <= NAMED else "predicted class (number)")
    axes.set_ylabel("true class" if classes <= NAMED else "true class (number)")
    axes.set_title(title, fontsize=11, parse_math=False)
    figure.colorbar(image, ax=axes, label="% of the true class", fraction=0.046, pad=0.03)
    return figure
