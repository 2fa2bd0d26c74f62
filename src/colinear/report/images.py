"""Pictures of rows and of weights: the sample grid and the template of each class."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from colinear.datasets.base import Dataset, ImageShape
from colinear.model import LinearModel
from colinear.report.canvas import FAINT, INK, label_text, new_figure, of_data, without_scale

Picture = NDArray[np.float64]
SAMPLE_CLASSES = 24
SAMPLES = 10
TEMPLATES = 100  # classes shown; more would be too small to see
HEAT_FEATURES = 40


def is_picture(shape: ImageShape | None) -> TypeGuard[ImageShape]:
    """Whether rows of this shape can be shown: grey or red, green, blue, and more than one line."""
    return shape is not None and shape[0] in (1, 3) and min(shape[1:]) > 1


def sample_figure(dataset: Dataset) -> Figure:
    """A row of images for each class, evenly spaced through the training rows. Needs `is_picture`."""
    shape = dataset.image_shape
    assert is_picture(shape)
    classes = min(dataset.n_classes, SAMPLE_CLASSES)
    gap = max(1, shape[1] // 16)
    height, width = shape[1] + gap, shape[2] + gap
    board = np.ones((classes * height - gap, SAMPLES * width - gap, 3))
    labels = dataset.labels.cpu()
    for number in range(classes):
        rows = (labels == number if labels.ndim == 1 else labels[:, number] == 1).nonzero().squeeze(1)
        rows = rows[:: max(1, len(rows) // SAMPLES)][:SAMPLES]
        raw = dataset.take(rows.to(dataset.labels.device)).cpu().double().numpy() / dataset.value_range
        for place, row in enumerate(raw):
            top, left = number * height, place * width
            board[top : top + shape[1], left : left + shape[2]] = as_picture(row.clip(0, 1), shape)
    scale = 7.0 / board.shape[1]
    figure = new_figure(8.6, board.shape[0] * scale + 0.5)
    axes = figure.add_subplot()
    axes.imshow(board, interpolation="nearest")
    without_scale(axes)
    middles = [number * height + shape[1] / 2 for number in range(classes)]
    names = [label_text(name) for name in dataset.class_names[:classes]]
    axes.set_yticks(middles, names, parse_math=False)
    axes.tick_params(length=0)
    shown = "" if classes == dataset.n_classes else f", {classes} of {dataset.n_classes} classes"
    axes.set_title(f"{label_text(dataset.name, 40)}: training images{shown}", parse_math=False)
    return figure


def as_picture(row: NDArray[Any], shape: ImageShape) -> Picture:
    """(h, w, 3) of a row (channel, line, column) with values in [0, 1]; grey is repeated."""
    picture: Picture = np.asarray(row, dtype=np.float64).reshape(shape).transpose(1, 2, 0)
    return np.repeat(picture, 3, axis=2) if shape[0] == 1 else picture


def template_figure(model: LinearModel, data: str = "") -> Figure:
    """The weights of each class as an image, or as a heat map where rows are no images; `data`: its name."""
    return _template_grid(model, model.image_shape, data) if is_picture(model.image_shape) else _weight_map(model, data)


def _template_grid(model: LinearModel, shape: ImageShape, data: str) -> Figure:
    """Colour: each class stretched from its least to its largest weight. Grey: red for, blue against, white 0."""
    shown = min(model.n_classes, TEMPLATES)
    columns = min(shown, 5 if shown <= 20 else 10)
    lines = math.ceil(shown / columns)
    side = 8.0 / columns
    figure = new_figure(8.4, lines * (side * shape[1] / shape[2] + 0.28) + (0.5 if shape[0] == 3 else 1.1))
    grid = figure.subplots(lines, columns, squeeze=False)
    weights = model.weight.cpu().double().numpy()
    image = None
    for number, axes in enumerate(grid.flat):
        without_scale(axes)
        if number >= shown:
            axes.set_visible(False)
            continue
        row = weights[number]
        if shape[0] == 3:
            low, high = row.min(), row.max()
            axes.imshow(as_picture((row - low) / ((high - low) or 1.0), shape), interpolation="nearest")
        else:
            peak = np.abs(row).max() or 1.0
            image = axes.imshow(row.reshape(shape[1:]) / peak, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
            axes.spines[:].set(visible=True, color=FAINT, linewidth=0.6)
        size, width = (10, 18) if columns <= 5 else (7, 11)
        axes.set_title(label_text(model.class_names[number], width), fontsize=size, parse_math=False)
    if image is not None:
        bar = figure.colorbar(image, ax=grid, location="bottom", shrink=0.5, aspect=40, ticks=[-1, 0, 1])
        bar.ax.set_xticklabels(["against the class", "0", "for the class"])
        bar.set_label("weight, each class by its largest")
    more = "" if shown == model.n_classes else f", the first {shown} of {model.n_classes} classes"
    scaled = ", each stretched to the full range" if shape[0] == 3 else ""
    title = of_data(data, f"{model.loss}: weight template of each class{scaled}{more}")
    figure.suptitle(title, color=INK, parse_math=False)
    return figure


def _weight_map(model: LinearModel, data: str) -> Figure:
    """Classes by features, the features with the largest weights if there are many."""
    weights = model.weight.cpu().double().numpy()
    peaks = np.abs(weights).max(0)
    chosen = np.sort(np.argsort(-peaks, kind="stable")[:HEAT_FEATURES])
    shown = min(model.n_classes, TEMPLATES)
    part = weights[:shown, chosen]
    limit = np.abs(part).max() or 1.0
    figure = new_figure(8.4, min(9.0, 1.9 + 0.24 * shown))
    axes = figure.add_subplot()
    image = axes.imshow(part, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(chosen)), [str(number) for number in chosen], rotation=90, fontsize=7)
    if shown <= 40:
        axes.set_yticks(range(shown), [label_text(name) for name in model.class_names[:shown]], parse_math=False)
    else:
        axes.set_ylabel("class number")
    every = len(chosen) == model.n_features
    which = "feature" if every else f"feature: the {len(chosen)} of {model.n_features} with the largest weights"
    axes.set_xlabel(which)
    axes.set_title(of_data(data, f"{model.loss}: weights of each class, on raw features"), parse_math=False)
    figure.colorbar(image, ax=axes, label="weight")
    return figure
