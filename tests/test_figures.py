"""Every figure is drawn for every kind of run, holds the numbers it is given, and trusts no name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from colinear.datasets import ArrayDataset, open_split
from colinear.datasets.base import Split
from colinear.model import LinearModel
from colinear.report.canvas import label_text, to_file
from colinear.report.figures import confusion_figure, write_figures
from colinear.report.images import as_picture, is_picture, sample_figure, template_figure
from colinear.report.search_plots import loss_figure, path_figure, search_figure
from colinear.search.curves import decimate, smooth_curve
from colinear.search.records import Record
from colinear.search.resultsfile import loss_json
from colinear.search.score import TestScore
from colinear.search.trials import SearchResult, Trial
from colinear.search.winner import LossRun
from colinear.solvers.solution import Status

HOSTILE = (r"$\frac$", "<script>alert(1)</script>", "line\nbreak\x1b[31m", "日本語", "", "_" * 80)


def decode(png: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def texts(figure: Figure) -> list[str]:
    from matplotlib.text import Text

    return [part.get_text() for part in figure.findobj(Text) if isinstance(part, Text)]


def make_entry(solver: str, trials: list[dict[str, Any]]) -> dict[str, Any]:
    order = sorted(range(len(trials)), key=lambda number: -(trials[number]["val_accuracy"] or 0.0))
    return {
        "loss": "softmax", "solver": solver, "metric": "accuracy", "trials": trials, "order": order, "best": order[0],
        "test_accuracy": None, "confusion_matrix": None,
    }  # fmt: skip


def sgd_trial(rate: float, reg: float, accuracy: float | None, status: str = "completed") -> dict[str, Any]:
    return {
        "learning_rate": rate, "reg": reg, "status": status, "train_accuracy": accuracy, "val_accuracy": accuracy,
    }  # fmt: skip


def make_run(names: tuple[str, ...], shape: tuple[int, int, int] | None, n_features: int) -> LossRun:
    """An SGD run of three candidates, one of them diverged."""
    history = torch.linspace(3, 1, 50).repeat(3, 1)
    history[2, 20:] = torch.inf
    trials = (
        Trial(0.1, 0.8, 0.7, Status.COMPLETED, 1e-2),
        Trial(0.2, 0.7, 0.6, Status.DROPPED, 1e-3),
        Trial(0.3, float("nan"), float("nan"), Status.DIVERGED, 1.0),
    )
    coef = torch.zeros(3, len(names), n_features + 1)
    result = SearchResult("hinge", "sgd", trials, (0, 1, 2), coef, history)
    weight = torch.randn(len(names), n_features, generator=torch.Generator().manual_seed(0))
    model = LinearModel(weight, torch.zeros(len(names)), names, shape, 1.0, {"loss": "hinge"})
    test = TestScore(4 * len(names), 5 * len(names), 4 * torch.eye(len(names), dtype=torch.int64) + _off(len(names)))
    return LossRun("hinge", model, loss_json(result, test, 1.0), test, result)


def _off(classes: int) -> torch.Tensor:
    """One mistake of each class: taken for the next."""
    return torch.eye(classes, dtype=torch.int64).roll(1, 1)


def make_split(names: tuple[str, ...], shape: tuple[int, int, int] | None, n_features: int) -> Split:
    labels = torch.arange(4 * len(names)) % len(names)
    features = torch.rand(len(labels), n_features, generator=torch.Generator().manual_seed(1))
    part = ArrayDataset(features, labels, names, shape, name="data $x$")
    return Split(part, part, part)


@pytest.mark.parametrize(
    ("shape", "n_features", "extra"),
    [((3, 4, 5), 60, {"samples"}), ((1, 4, 4), 16, {"samples"}), (None, 7, set()), ((2, 3, 3), 18, set())],
    ids=["colour", "grey", "table", "two channels"],
)
def test_every_figure_is_a_picture_whatever_the_names(
    shape: tuple[int, int, int] | None, n_features: int, extra: set[str], tmp_path: Path
) -> None:
    kept: dict[str, bytes] = {}
    names = write_figures(
        [make_run(HOSTILE, shape, n_features)], make_split(HOSTILE, shape, n_features), kept.__setitem__
    )
    expected = extra | {f"hinge-{name}" for name in ("loss", "search", "templates", "confusion")}
    assert set(names) == set(kept) == {f"figures/{name}.png" for name in expected}
    for png in kept.values():
        assert min(decode(png).shape[:2]) > 300
        assert decode(png).std() > 1  # something is drawn


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_figures_for_print_are_the_same_each_time_and_trust_no_name(form: str) -> None:
    kept: list[dict[str, bytes]] = [{}, {}]
    shown: dict[str, bytes] = {}
    run, split = make_run(HOSTILE, (1, 4, 4), 16), make_split(HOSTILE, (1, 4, 4), 16)
    for files in kept:
        names = write_figures([run], split, files.__setitem__, form=form, show=shown.__setitem__)
    assert kept[0] == kept[1]
    assert {name.rpartition(".")[2] for name in names} == {form}
    assert {name.replace(form, "png") for name in names} == set(shown)
    assert all(decode(png).std() > 1 for png in shown.values())  # for TensorBoard
    for content in kept[0].values():
        assert b"Date" not in content
        if form == "svg":
            root = ElementTree.fromstring(content)  # a name that broke out of its element would not parse, or add one
            assert {element.tag.rpartition("}")[2] for element in root.iter()} & {"script", "text"} == set()
        else:
            assert content.startswith(b"%PDF-")


def test_every_title_names_the_data() -> None:
    title = "$x$ data"
    run = make_run(("a", "b"), (1, 4, 4), 16)
    trials = [
        {"reg": reg, "train_accuracy": 0.5, "val_accuracy": 0.5, "status": "converged", "relative_gap": 1e-4}
        for reg in (1e-2, 1e-1)
    ]
    exact = {**make_entry("exact", trials), "details": {"choice": {"rule": "best"}}}
    figures = [
        loss_figure(run.entry, [smooth_curve(np.linspace(3, 1, 50))] * 3, title), search_figure(run.entry, title),
        path_figure(exact, title), template_figure(run.model, title),
        template_figure(make_run(("a", "b"), None, 7).model, title),
    ]  # fmt: skip
    for figure in figures:
        assert any(text.startswith(f"{title}, {name}: ") for text in texts(figure) for name in ("softmax", "hinge"))
        assert to_file(figure)


def test_after_a_resume_loss_curves_are_those_of_the_record() -> None:
    run = make_run(("a", "b"), None, 3)
    resumed = LossRun(run.loss, run.model, run.entry, None, None)
    split = make_split(("a", "b"), None, 3)
    names = write_figures([resumed], split, lambda name, content: None)
    assert names == [f"figures/hinge-{name}.png" for name in ("search", "templates", "confusion")]
    assert run.result is not None
    assert run.result.history is not None
    history, steps = decimate(run.result.history)
    kept: dict[str, bytes] = {}
    names = write_figures(
        [resumed], split, kept.__setitem__, {"hinge": Record({}, {"history": history, "steps": steps})}
    )
    assert names[0] == "figures/hinge-loss.png"
    assert decode(kept[names[0]]).std() > 1
    other = Record({}, {"history": history[:1], "steps": steps})  # of another search
    assert names[1:] == write_figures([resumed], split, kept.__setitem__, {"hinge": other})


def test_the_sample_grid_shows_the_pixels_of_each_class() -> None:
    train = open_split("digits").train
    figure = sample_figure(train)
    [axes] = figure.axes
    board = np.asarray(axes.images[0].get_array())
    first = train.take((train.labels == 3).nonzero()[:1, 0])[0].numpy() / 16
    np.testing.assert_allclose(board[27:35, :8], as_picture(first, (1, 8, 8)))  # 3 rows of 8 pixels and a gap of 1
    assert [label.get_text() for label in axes.get_yticklabels()] == [str(digit) for digit in range(10)]


def test_templates_are_scaled_class_by_class() -> None:
    weight = torch.tensor([[0.0, 1.0, 2.0, 4.0] * 3, [-1000.0, 0.0, 0.0, 1000.0] * 3])
    model = LinearModel(weight, torch.zeros(2), ("low", "high"), (3, 2, 2), provenance={"loss": "hinge"})
    first, second = (np.asarray(axes.images[0].get_array()) for axes in template_figure(model).axes)
    np.testing.assert_allclose(first[:, :, 0], [[0, 0.25], [0.5, 1]])
    np.testing.assert_allclose(second[:, :, 2], [[0, 0.5], [0.5, 1]])


def test_weights_that_are_all_zero_are_drawn_too() -> None:
    for shape, width in (((3, 2, 2), 12), ((1, 2, 2), 4), (None, 4)):
        model = LinearModel(torch.zeros(2, width), torch.zeros(2), ("a", "b"), shape)
        assert to_file(template_figure(model))


def test_many_classes_are_drawn_without_crowding() -> None:
    names = tuple(f"class {number}" for number in range(130))
    model = LinearModel(torch.rand(130, 12), torch.zeros(130), names, (3, 2, 2))
    figure = template_figure(model)
    assert "the first 100 of 130 classes" in " ".join(texts(figure))
    matrix = confusion_figure(np.eye(130, dtype=np.int64), names, "title")
    assert not matrix.axes[0].texts
    assert "predicted class (number)" in texts(matrix)
    assert to_file(figure)
    assert to_file(matrix)


def test_the_confusion_matrix_shows_per_cent_of_the_true_class() -> None:
    figure = confusion_figure(np.array([[3, 1], [0, 0]]), ("yes", "no"), "softmax")
    np.testing.assert_allclose(np.asarray(figure.axes[0].images[0].get_array()), [[75, 25], [0, 0]])
    assert [text.get_text() for text in figure.axes[0].texts] == ["75", "25", "·", "·"]


def test_both_scatter_plots_share_their_colours_and_mark_winner_and_diverged() -> None:
    trials = [sgd_trial(1e-2, 0.1, 0.6), sgd_trial(1e-3, 0.2, 0.2, "dropped"), sgd_trial(1.0, 0.1, None, "diverged")]
    trials[0]["train_accuracy"] = 0.9
    figure = search_figure(make_entry("sgd", trials))
    left, right, bar = figure.axes
    for axes in (left, right):
        assert {points.get_clim() for points in axes.collections if points.get_array() is not None} == {(0.2, 0.9)}
        assert axes.get_xlabel() == "learning rate"
        crosses = next(points for points in axes.collections if points.get_label() == "diverged")
        np.testing.assert_allclose(crosses.get_offsets(), [[0, -1]])
        winner = next(points for points in axes.collections if points.get_label() == "winner on validation")
        np.testing.assert_allclose(winner.get_offsets(), [[-2, -1]])
    assert left.get_ylabel() == "reg"
    assert bar.get_ylabel() == "accuracy"


def test_one_candidate_and_only_diverged_ones_can_be_drawn() -> None:
    for trial in (sgd_trial(1e-2, 0.1, 0.5), sgd_trial(1e-2, 0.1, None, "diverged")):
        entry = make_entry("sgd", [trial])
        assert to_file(search_figure(entry))
        assert to_file(loss_figure(entry, [smooth_curve(np.full(30, np.nan, dtype=np.float32))]))


def test_the_path_shows_accuracies_and_gap_over_log_reg() -> None:
    trials = [
        {"reg": reg, "train_accuracy": 0.5, "val_accuracy": accuracy, "status": "converged", "relative_gap": gap,
         "val_error": error}
        for reg, accuracy, gap, error in ((1e-1, 0.3, 1e-4, 0.01), (1e-3, 0.4, 1e-3, 0.02), (1e-2, 0.45, 0.0, 0.03))
    ]  # fmt: skip
    details = {"choice": {"rule": "1se", "best": 2, "at_least": 0.42}}
    figure = path_figure({**make_entry("exact", trials), "details": details})
    above, below = figure.axes
    [validation] = above.containers
    points, _, (bars,) = validation.lines
    np.testing.assert_allclose(points.get_xydata(), [[-3, 0.4], [-2, 0.45], [-1, 0.3]])
    np.testing.assert_allclose([bar[:, 1] for bar in bars.get_segments()], [[0.38, 0.42], [0.42, 0.48], [0.29, 0.31]])
    threshold = next(line for line in above.lines if line.get_label() == "one standard error from the best")
    assert list(threshold.get_ydata()) == [0.42, 0.42]
    assert below.get_xlabel() == "reg"
    assert below.xaxis.get_major_formatter()(-3.5) == "3.2e-4"
    assert "winner: reg 0.01, validation 0.450" in texts(figure)
    assert to_file(figure)


def test_loss_curves_end_where_a_candidate_left() -> None:
    trials = [sgd_trial(1e-2, 0.1, 0.5), sgd_trial(1e-3, 0.1, 0.4, "dropped")]
    history = np.linspace(2, 1, 100, dtype=np.float32) * np.ones((2, 1), dtype=np.float32)
    history[1, 30:] = np.nan
    lines = loss_figure(make_entry("sgd", trials), [smooth_curve(losses) for losses in history]).axes[0].lines
    assert sorted(round(float(line.get_xdata()[-1])) for line in lines) == [30, 99]


def test_a_figure_is_drawn_once_and_its_labels_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = confusion_figure(np.eye(3, dtype=np.int64), ("a long name", "another name", "c"), "three classes")
    drawn: list[Figure] = []
    draw = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: (drawn.append(self), draw(self, renderer)))
    to_file(figure)
    assert drawn == [figure]
    needed, whole = figure.get_tightbbox(), figure.bbox_inches
    assert min(needed.x0, needed.y0, whole.x1 - needed.x1, whole.y1 - needed.y1) >= 0


def test_figures_leave_no_trace_in_pyplot() -> None:
    import matplotlib
    import matplotlib._pylab_helpers as helpers

    before = dict(matplotlib.rcParams)
    write_figures([make_run(("a", "b"), None, 3)], make_split(("a", "b"), None, 3), lambda name, content: None)
    assert dict(matplotlib.rcParams) == before
    assert not helpers.Gcf.figs


def test_names_are_printable_and_short() -> None:
    assert all(label_text(name).isprintable() and len(label_text(name)) <= 18 for name in HOSTILE)
    assert not is_picture((3, 1, 9))
    assert is_picture((1, 8, 8))
