"""The figures of a run, as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from colinear.datasets.base import Split
from colinear.report.canvas import to_png
from colinear.report.confusion import confusion_figure
from colinear.report.images import is_picture, sample_figure, template_figure
from colinear.report.record import Record
from colinear.report.search_plots import loss_figure, path_figure, search_figure
from colinear.search.curves import Curve, smooth_curve, thin_curve
from colinear.search.winner import LossRun

Write = Callable[[str, bytes], object]


def write_figures(
    runs: Sequence[LossRun], split: Split, write: Write, records: Mapping[str, Record | None] | None = None
) -> list[str]:
    """Draw everything there is to draw and hand each PNG to `write(name, content)`; returns the names.

    records : of losses that were finished before a resume; their loss curves have the record's 200 points.

    figures/samples.png            training images of each class, where rows are images
    figures/LOSS-loss.png          loss curves (SGD)
    figures/LOSS-search.png        settings by training and validation accuracy (SGD)
    figures/LOSS-path.png          accuracy and gap over log10(reg) (exact)
    figures/LOSS-templates.png     weights of each class, as images or a heat map
    figures/LOSS-confusion.png     true against predicted classes on test rows, where there are any

    Cost: about 0.2 s a figure.
    """
    names = []
    for name, figure in _figures(runs, split, records or {}):
        names.append(f"figures/{name}.png")
        write(names[-1], to_png(figure))
    return names


def _figures(
    runs: Sequence[LossRun], split: Split, records: Mapping[str, Record | None]
) -> Iterator[tuple[str, Figure]]:
    if is_picture(split.train.image_shape):
        yield "samples", sample_figure(split.train)
    for run in runs:
        yield from _run_figures(run, records.get(run.loss))


def _curves(run: LossRun, record: Record | None) -> list[Curve] | None:
    """The loss curve of each candidate, from the search or from what was kept of it; None where nothing was."""
    if run.result is not None and run.result.history is not None:
        return [smooth_curve(losses) for losses in run.result.history.cpu().numpy()]
    steps, history = (None, None) if record is None else (record.get("steps"), record.get("history"))
    if steps is None or history is None or len(history) != len(run.entry["trials"]):
        return None
    return [thin_curve(steps.numpy(), losses) for losses in history.numpy()]


def _run_figures(run: LossRun, record: Record | None) -> Iterator[tuple[str, Figure]]:
    entry, loss = run.entry, run.loss
    if entry["solver"] == "exact":
        yield f"{loss}-path", path_figure(entry)
    else:
        if (curves := _curves(run, record)) is not None:
            yield f"{loss}-loss", loss_figure(entry, curves)
        yield f"{loss}-search", search_figure(entry)
    yield f"{loss}-templates", template_figure(run.model)
    if entry["confusion_matrix"] is not None:
        counts = np.array(entry["confusion_matrix"], dtype=np.int64)
        title = f"{loss}: test accuracy {entry['test_accuracy']:.4f} on {counts.sum():,} rows"
        yield f"{loss}-confusion", confusion_figure(counts, run.model.class_names, title)
