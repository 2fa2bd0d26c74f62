"""What every figure shares: sizes, colours, and text that is never read as mathematics or control codes."""

from __future__ import annotations

import io
import warnings

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from colinear.texts import printable

DPI = 150
INK = "#222222"
FAINT = "#9aa0a6"
# told apart in print and by most colour-blind readers
ACCENTS = ("#1f4e9c", "#d1495b", "#2a9d6f", "#e09f3e", "#7b5ea7")


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches, with labels that never overlap; pyplot's list of figures is not touched."""
    engine = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=engine)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file. A name in a script that the font lacks shows boxes, and is no reason to stop.

    Cost: 0.1 s. `savefig` would draw a figure with a layout twice, once unseen, for the same picture.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def label_text(name: object, width: int = 18) -> str:
    """A class name as figures show it: printable, at most `width` characters.

    >>> label_text("a class name that is too long")
    'a class name that…'
    """
    shown = printable(name)
    return shown if len(shown) <= width else shown[: width - 1].rstrip() + "…"


def tidy(axes: Axes) -> None:
    """Only the two lines that carry a scale, and a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)


def without_scale(axes: Axes) -> None:
    """A picture's axes: no ticks, no lines."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
