"""The figures of a run, as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from colinear.datasets.base import Split
from colinear.report.canvas import to_png
from colinear.report.confusion import confusion_figure
from colinear.report.images import is_picture, sample_figure, template_figure
from colinear.report.search_plots import loss_figure, path_figure, search_figure
from colinear.search.tune import LossRun

Write = Callable[[str, bytes], object]


def write_figures(runs: Sequence[LossRun], split: Split, write: Write) -> list[str]:
    """Draw everything there is to draw and hand each PNG to `write(name, content)`; returns the names.

    figures/samples.png            training images of each class, where rows are images
    figures/LOSS-loss.png          loss curves (SGD; not of a loss that was finished before a resume)
    figures/LOSS-search.png        settings by training and validation accuracy (SGD)
    figures/LOSS-path.png          accuracy and gap over log10(reg) (exact)
    figures/LOSS-templates.png     weights of each class, as images or a heat map
    figures/LOSS-confusion.png     true against predicted classes on test rows, where there are any

    Cost: about 0.5 s a figure.
    """
    names = []
    for name, figure in _figures(runs, split):
        names.append(f"figures/{name}.png")
        write(names[-1], to_png(figure))
    return names


def _figures(runs: Sequence[LossRun], split: Split) -> Iterator[tuple[str, Figure]]:
    if is_picture(split.train.image_shape):
        yield "samples", sample_figure(split.train)
    for run in runs:
        yield from _run_figures(run)


def _run_figures(run: LossRun) -> Iterator[tuple[str, Figure]]:
    entry, loss = run.entry, run.loss
    if entry["solver"] == "exact":
        yield f"{loss}-path", path_figure(entry)
    else:
        if run.result is not None and run.result.history is not None:
            yield f"{loss}-loss", loss_figure(entry, run.result.history.cpu().numpy())
        yield f"{loss}-search", search_figure(entry)
    yield f"{loss}-templates", template_figure(run.model)
    if entry["confusion_matrix"] is not None:
        counts = np.array(entry["confusion_matrix"], dtype=np.int64)
        title = f"{loss}: test accuracy {entry['test_accuracy']:.4f} on {counts.sum():,} rows"
        yield f"{loss}-confusion", confusion_figure(counts, run.model.class_names, title)
