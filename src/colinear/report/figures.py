"""The figures of a run, as PNG files, and the one of which classes are taken for which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from colinear.datasets.base import Split
from colinear.report.canvas import INK, label_text, new_figure, of_data, to_file
from colinear.report.images import is_picture, sample_figure, template_figure
from colinear.report.search_plots import loss_figure, path_figure, search_figure
from colinear.search.curves import Curve, smooth_curve, thin_curve
from colinear.search.records import Record
from colinear.search.winner import LossRun

NAMED = 20  # classes whose cells in the confusion can still be read
Write = Callable[[str, bytes], object]


def write_figures(
    runs: Sequence[LossRun],
    split: Split,
    write: Write,
    records: Mapping[str, Record | None] | None = None,
    form: str = "png",
    show: Write | None = None,
) -> list[str]:
    """Draw everything there is to draw and hand each file to `write(name, content)`; returns the names.

    records : of losses that were finished before a resume; their loss curves have the record's 200 points.
    form : kind of file, 'png', 'svg' or 'pdf'.     show : is given each as PNG besides, whatever the form.

    figures/samples.png            training images of each class, where rows are images
    figures/LOSS-loss.png          loss curves (SGD)
    figures/LOSS-search.png        settings by training and validation accuracy (SGD)
    figures/LOSS-path.png          accuracy and gap over reg (exact)
    figures/LOSS-templates.png     weights of each class, as images or a heat map
    figures/LOSS-confusion.png     true against predicted classes on test rows, where there are any

    Cost: about 0.2 s a figure.
    """
    names = []
    figures = [("samples", sample_figure(split.train))] if is_picture(split.train.image_shape) else []
    drawn = (_run_figures(run, (records or {}).get(run.loss), split.name) for run in runs)
    for name, figure in chain(figures, *drawn):
        names.append(f"figures/{name}.{form}")
        content = to_file(figure, form)
        write(names[-1], content)
        if show is not None:
            show(f"figures/{name}.png", content if form == "png" else to_file(figure))
    return names


def _curves(run: LossRun, record: Record | None) -> list[Curve] | None:
    """The loss curve of each candidate, from the search or from what was kept of it; None where nothing was."""
    if run.result is not None and run.result.history is not None:
        return [smooth_curve(losses) for losses in run.result.history.cpu().numpy()]
    steps, history = (None, None) if record is None else (record.get("steps"), record.get("history"))
    if steps is None or history is None or len(history) != len(run.entry["trials"]):
        return None
    return [thin_curve(steps.numpy(), losses) for losses in history.numpy()]


def _run_figures(run: LossRun, record: Record | None, data: str) -> Iterator[tuple[str, Figure]]:
    entry, loss = run.entry, run.loss
    if entry["solver"] == "exact":
        yield f"{loss}-path", path_figure(entry, data)
    else:
        if (curves := _curves(run, record)) is not None:
            yield f"{loss}-loss", loss_figure(entry, curves, data)
        yield f"{loss}-search", search_figure(entry, data)
    yield f"{loss}-templates", template_figure(run.model, data)
    if entry["confusion_matrix"] is not None:
        counts = np.array(entry["confusion_matrix"], dtype=np.int64)
        title = of_data(data, f"{loss}: test accuracy {entry['test_accuracy']:.4f} on {counts.sum():,} rows")
        yield f"{loss}-confusion", confusion_figure(counts, run.model.class_names, title)


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
            text = f"{value:.0f}" if counts[row, column] else "·"
            # in_layout: inside the axes nothing makes room for it, and 100 are measured twice
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour, in_layout=False)
    axes.set_xlabel("predicted class" if classes <= NAMED else "predicted class (number)")
    axes.set_ylabel("true class" if classes <= NAMED else "true class (number)")
    axes.set_title(title, fontsize=11, parse_math=False)
    figure.colorbar(image, ax=axes, label="% of the true class", fraction=0.046, pad=0.03)
    return figure
