"""Extractors as nodes of an ONNX graph: pictures in, the features that `Fitted.transform` makes out.

The same formulas in the same types (float32; gradients of `hog` in float64), so features differ by the rounding of sums
in another order. A patch is cut out by a convolution whose kernels have a single 1 each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from colinear.extractors import Fitted, Hog, Kernel, Patches
from colinear.extractors.base import WHITE
from colinear.extractors.hog import CLIP, EPS

HELD = 1 << 24  # numbers of an intermediate result that a check has the runtime hold, 64 MB
ALL = 1 << 31  # beyond every end


@dataclass
class Nodes:
    """A graph in the making. `add` and `constant` return the name of what they add."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        from onnx import numpy_helper

        name = f"extractor_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=dtype), name))
        return name

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        output = output or f"extractor_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def cast(self, name: str, dtype: type) -> str:
        from onnx import helper

        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """0 in `shape` keeps that size."""
        return self.add("Reshape", name, self.constant(shape, np.int64))

    def sum(self, name: str, *axes: int, keep: bool = True) -> str:
        return self.add("ReduceSum", name, self.constant(axes, np.int64), keepdims=int(keep))

    def cut(self, name: str, *ranges: tuple[int, int, int]) -> str:
        """The part from start to end along axes: (axis, start, end) each."""
        axes, starts, ends = (self.constant(one, np.int64) for one in zip(*ranges, strict=True))
        return self.add("Slice", name, starts, ends, axes)


def has_nodes(fitted: Fitted | None) -> bool:
    """Whether a graph can make these features: not those of networks and functions, which a file only names."""
    return fitted is not None and type(fitted.extractor) in BUILDERS


def add_extractor(nodes: Nodes, fitted: Fitted, source: str, output: str) -> None:
    """Append what makes of raw rows `source`, (n, d) or pictures, the features `output` (n, n_features) float32."""
    extractor, kind = fitted.extractor, fitted.rows
    if kind.image_shape is not None and not isinstance(extractor, Kernel):
        source = nodes.cast(nodes.reshape(source, (0, *kind.image_shape)), np.float32)
        if kind.value_range != WHITE:
            source = nodes.add("Mul", source, nodes.constant(WHITE / kind.value_range))
    nodes.add("Identity", BUILDERS[type(extractor)](nodes, fitted, source), output=output)


def rows_together(fitted: Fitted) -> int:
    """How many rows a runtime is given at a time, so that it holds at most `HELD` numbers of one result."""
    extractor, shape = fitted.extractor, fitted.rows.image_shape
    each = fitted.n_features
    if shape is not None and isinstance(extractor, Patches):
        each = math.prod(side - extractor.size + 1 for side in shape[1:]) * extractor.count
    if shape is not None and isinstance(extractor, Hog):
        each = math.prod(shape[1:]) * max(extractor.orientations, extractor.hues)
    return max(1, HELD // each)


def _patches(nodes: Nodes, fitted: Fitted, images: str) -> str:
    extractor, shape = fitted.extractor, fitted.rows.image_shape
    assert isinstance(extractor, Patches)
    assert shape is not None
    mean, whitener, centres = (fitted.tensors[name].numpy() for name in ("mean", "whitener", "centres"))
    side, d = extractor.size, len(mean)
    cutters = nodes.constant(np.eye(d).reshape(d, shape[0], side, side))
    patches = nodes.add("Transpose", nodes.add("Conv", images, cutters), perm=[0, 2, 3, 1])  # (n, down, right, d)
    centred = nodes.add("Sub", patches, nodes.add("ReduceMean", patches, axes=[3]))
    squares = nodes.sum(nodes.add("Mul", centred, centred), 3)
    variance = nodes.add("Div", squares, nodes.constant(d - 1))
    contrast = nodes.add("Sqrt", nodes.add("Add", variance, nodes.constant(extractor.contrast)))
    normal = nodes.add("Sub", nodes.add("Div", centred, contrast), nodes.constant(mean))
    white = nodes.add("MatMul", normal, nodes.constant(whitener))
    # |w - c|^2 = |w|^2 - 2 w c + |c|^2
    cross = nodes.add("MatMul", white, nodes.constant(-2 * centres.T))
    size = nodes.add("Add", nodes.sum(nodes.add("Mul", white, white), 3), nodes.constant((centres**2).sum(1)))
    distance = nodes.add("Sqrt", nodes.add("Relu", nodes.add("Add", cross, size)))  # (n, down, right, count)
    near = nodes.add("Relu", nodes.add("Sub", nodes.add("ReduceMean", distance, axes=[3]), distance))
    middle = [(length - side + 1) // 2 for length in shape[1:]]
    quadrants = [
        nodes.sum(nodes.cut(near, (1, *down), (2, *right)), 1, 2, keep=False)
        for down in ((0, middle[0]), (middle[0], ALL))
        for right in ((0, middle[1]), (middle[1], ALL))
    ]
    return nodes.add("Concat", *quadrants, axis=1)


def _kernel(nodes: Nodes, fitted: Fitted, rows: str) -> str:
    center, directions, phases = (fitted.tensors[name].numpy() for name in ("center", "directions", "phases"))
    wide = nodes.cast(nodes.reshape(rows, (0, len(center))), np.float64)
    centred = nodes.cast(nodes.add("Sub", wide, nodes.constant(center, np.float64)), np.float32)
    angles = nodes.add("Add", nodes.add("MatMul", centred, nodes.constant(directions)), nodes.constant(phases))
    return nodes.add("Mul", nodes.add("Cos", angles), nodes.constant(math.sqrt(2 / fitted.n_features)))


def _hog(nodes: Nodes, fitted: Fitted, images: str) -> str:
    extractor, shape = fitted.extractor, fitted.rows.image_shape
    assert isinstance(extractor, Hog)
    assert shape is not None
    size, down, right = _gradients(nodes, extractor, nodes.cast(images, np.float64), shape[1:])
    cells = _histogram(nodes, extractor, size, _direction(nodes, extractor.orientations, down, right), shape[1:], "o")
    cells = nodes.add("Div", cells, nodes.constant(extractor.cell**2, np.float64))
    rows, columns = (length // extractor.cell - extractor.block + 1 for length in shape[1:])
    windows = [
        nodes.cut(cells, (1, y, y + rows), (2, x, x + columns))
        for y in range(extractor.block)
        for x in range(extractor.block)
    ]
    blocks = _normalize(nodes, extractor.norm, nodes.add("Concat", *windows, axis=3))  # (n, rows, columns, b * b * o)
    features = nodes.cast(nodes.reshape(blocks, (0, -1)), np.float32)
    return (
        nodes.add("Concat", features, _hues(nodes, extractor, images, shape[1:]), axis=1)
        if extractor.color
        else features
    )


def _gradients(nodes: Nodes, extractor: Hog, images: str, sides: Sequence[int]) -> tuple[str, str, str]:
    """Size, and both parts, of the gradient (n, 1, height, width) of the channel where it is largest."""
    pixels = nodes.add("Sqrt", images) if extractor.sqrt else images
    zero = nodes.constant(0, np.float64)
    parts = []
    for axis, length in zip((2, 3), sides, strict=True):
        inner = nodes.add("Sub", nodes.cut(pixels, (axis, 2, length)), nodes.cut(pixels, (axis, 0, length - 2)))
        pads = [int(place % 4 == axis) for place in range(8)]
        parts.append(nodes.add("Pad", inner, nodes.constant(pads, np.int64), zero))
    squares = nodes.add("Add", *(nodes.add("Mul", part, part) for part in parts))
    channel = nodes.add("ArgMax", squares, axis=1, keepdims=1)
    size = nodes.add("Sqrt", nodes.add("GatherElements", squares, channel, axis=1))
    down, right = (nodes.add("GatherElements", part, channel, axis=1) for part in parts)
    return size, down, right


def _direction(nodes: Nodes, orientations: int, down: str, right: str) -> str:
    """Number of the bin of the angle in [0, 180), (n, 1, height, width): of the edges between bins, how many it passes.

    An angle in [0, 180) has passed the edge e where down cos e - right sin e >= 0, which needs no arc tangent.
    """
    zero = nodes.constant(0, np.float64)
    below = nodes.add("Less", down, zero)
    flat = nodes.add("Equal", down, zero)
    turned = nodes.add("Where", below, nodes.add("Neg", right), right)
    x, y = nodes.add("Where", flat, nodes.add("Abs", right), turned), nodes.add("Abs", down)
    edges = [180 * number / orientations for number in range(1, orientations)]
    if not edges:
        return nodes.cast(nodes.add("Mul", y, zero), np.int64)
    cosines, sines = (
        nodes.constant(np.reshape([_sine(edge + turn) for edge in edges], (1, -1, 1, 1)), np.float64)
        for turn in (90, 0)
    )
    passed = nodes.add("GreaterOrEqual", nodes.add("Mul", y, cosines), nodes.add("Mul", x, sines))
    return nodes.sum(nodes.cast(passed, np.int64), 1)


def _sine(degrees: float) -> float:
    """sin with exact symmetry, so that 45 and 135 degrees are edges as they are of pixels."""
    degrees %= 360
    if degrees >= 180:
        return -_sine(degrees - 180)
    acute = min(degrees, 180 - degrees)
    return math.sin(math.radians(acute)) if acute <= 45 else math.cos(math.radians(90 - acute))


def _hues(nodes: Nodes, extractor: Hog, images: str, sides: Sequence[int]) -> str:
    high, low = (nodes.add(kind, images, axes=[1]) for kind in ("ReduceMax", "ReduceMin"))
    chroma = nodes.add("Sub", high, low)
    red, green, blue = (nodes.cut(images, (1, number, number + 1)) for number in range(3))
    safe = nodes.add("Max", chroma, nodes.constant(1e-6))

    def sixth(one: str, other: str, start: int) -> str:
        share = nodes.add("Div", nodes.add("Sub", one, other), safe)
        return nodes.add("Add", share, nodes.constant(start)) if start else share

    warm = sixth(green, blue, 0)
    warm = nodes.add(
        "Where", nodes.add("Less", warm, nodes.constant(0)), nodes.add("Add", warm, nodes.constant(6)), warm
    )
    others = nodes.add("Where", nodes.add("Equal", high, green), sixth(blue, red, 2), sixth(red, green, 4))
    place = nodes.add("Where", nodes.add("Equal", high, red), warm, others)
    place = nodes.cast(nodes.add("Mul", place, nodes.constant(extractor.hues / 6)), np.int64)
    last = nodes.constant(extractor.hues - 1, np.int64)
    place = nodes.add("Max", nodes.add("Min", place, last), nodes.constant(0, np.int64))
    cells = _histogram(nodes, extractor, chroma, place, sides, "h")
    shares = nodes.add("Div", cells, nodes.constant(WHITE * extractor.cell**2))
    return nodes.reshape(nodes.add("Sqrt", shares), (0, -1))


def _histogram(nodes: Nodes, extractor: Hog, weight: str, place: str, sides: Sequence[int], what: str) -> str:
    """Sums of `weight` (n, 1, height, width) over the pixels of each cell and bin: (n, rows, columns, bins)."""
    bins, dtype = (extractor.orientations, np.float64) if what == "o" else (extractor.hues, np.float32)
    rows, columns = (length // extractor.cell for length in sides)
    mine = nodes.add("Equal", place, nodes.constant(np.reshape(range(bins), (1, -1, 1, 1)), np.int64))
    spread = nodes.add("Where", mine, weight, nodes.constant(0, dtype))
    spread = nodes.cut(spread, (2, 0, rows * extractor.cell), (3, 0, columns * extractor.cell))
    parts = nodes.reshape(spread, (0, bins, rows, extractor.cell, columns, extractor.cell))
    return nodes.add("Transpose", nodes.sum(parts, 3, 5, keep=False), perm=[0, 2, 3, 1])


def _normalize(nodes: Nodes, norm: str, blocks: str) -> str:
    def l1(values: str) -> str:
        size = nodes.add("Add", nodes.sum(nodes.add("Abs", values), 3), nodes.constant(EPS, np.float64))
        return nodes.add("Div", values, size)

    def l2(values: str) -> str:
        squares = nodes.sum(nodes.add("Mul", values, values), 3)
        return nodes.add(
            "Div", values, nodes.add("Sqrt", nodes.add("Add", squares, nodes.constant(EPS**2, np.float64)))
        )

    if norm.startswith("L1"):
        return nodes.add("Sqrt", l1(blocks)) if norm == "L1-sqrt" else l1(blocks)
    return l2(nodes.add("Min", l2(blocks), nodes.constant(CLIP, np.float64))) if norm == "L2-Hys" else l2(blocks)


BUILDERS: dict[type, Callable[[Nodes, Fitted, str], str]] = {Patches: _patches, Kernel: _kernel, Hog: _hog}
