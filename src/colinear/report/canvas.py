"""What every figure shares: sizes, colours, and text that is never read as mathematics or control codes."""

from __future__ import annotations

import io
import warnings

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from colinear.texts import printable

DPI = 150
FORMS = {"png": "", "svg": "Date", "pdf": "CreationDate"}  # kind of file -> what it would say of the moment
INK = "#222222"
FAINT = "#9aa0a6"
# told apart in print and by most colour-blind readers
ACCENTS = ("#1f4e9c", "#d1495b", "#2a9d6f", "#e09f3e", "#7b5ea7")


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own, in inches, with labels that never overlap; pyplot's list of figures is not touched."""
    engine = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=engine)


def to_file(figure: Figure, form: str = "png") -> bytes:
    """The figure as a file, a key of `FORMS`: the same figure, the same bytes.

    A name in a script that the font lacks shows boxes, and is no reason to stop. Text in SVG is drawn as outlines.
    Cost: 0.1 s for PNG. `savefig` would draw a figure with a layout twice, once unseen, for the same picture.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "colinear", "svg.fonttype": "path"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if form == "png":
            FigureCanvasAgg(figure).print_png(buffer)  # type: ignore[no-untyped-call]
        else:
            figure.savefig(buffer, format=form, metadata={FORMS[form]: None})
    return buffer.getvalue()


def label_text(name: object, width: int = 18) -> str:
    """A class name as figures show it: printable, at most `width` characters.

    >>> label_text("a class name that is too long")
    'a class name that…'
    """
    shown = printable(name)
    return shown if len(shown) <= width else shown[: width - 1].rstrip() + "…"


def of_data(data: str, title: str) -> str:
    """A title with the name of its data before it.

    >>> of_data("digits", "hinge: 50 settings"), of_data("", "hinge: 50 settings")
    ('digits, hinge: 50 settings', 'hinge: 50 settings')
    """
    return f"{label_text(data, 40)}, {title}" if data else title


def tidy(axes: Axes) -> None:
    """Only the two lines that carry a scale, and a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)


def without_scale(axes: Axes) -> None:
    """A picture's axes: no ticks, no lines."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
