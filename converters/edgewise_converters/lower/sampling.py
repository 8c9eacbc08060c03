"""GridSample and AffineGrid: pixels read at computed places."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import constant_input, int_of, string_of
from edgewise_converters.lower.layout import channels_last
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_MODES = {"bilinear": "linear", "bicubic": "cubic"}
"""The names before opset 20."""
_CUBIC_ALPHA = -0.75
"""As ONNX and PyTorch have it (Keys, 1981)."""


@dataclass(frozen=True)
class _Axis:
    """One axis of space, and how places beyond it are meant."""

    size: int
    align_corners: bool
    padding: str

    @property
    def least(self) -> float:
        return 0.0 if self.align_corners else -0.5

    @property
    def span(self) -> float:
        return float(self.size - 1 if self.align_corners else self.size)


@dataclass(frozen=True)
class Tap:
    """One of the pixels along one axis that make a value: its number, and how much it counts (None for all)."""

    index: Tensor
    weight: Tensor | None


@lowers("GridSample", in_float=True)
def lower_grid_sample(low: Lowering, node: ir.Node) -> None:
    """Places, the pixels around each by GATHER, and their weighted sum."""
    data, grid, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and grid is not None
    mode = string_of(node, "mode", "linear")
    mode = _MODES.get(mode, mode)
    source = low.read(data, channels_last(len(low.shape(data))))
    f = Algebra(low, str(result.name))
    padding, align = string_of(node, "padding_mode", "zeros"), bool(int_of(node, "align_corners", 0))
    places = low.read(grid)
    count, space = int(np.prod(places.shape[1:-1])), source.shape[1:-1]
    taps = []
    for i, size in enumerate(space):
        # The last coordinate of the grid belongs to the first axis of space.
        number = len(space) - 1 - i
        column = f.part(places, len(places.shape) - 1, number, number + 1)
        axis = _Axis(size, align, padding)
        taps.append(_taps(f, f.reshape(column, (source.shape[0], count, 1)), axis, mode))
    rows = gather_weighted(f, source, taps)
    shape = (source.shape[0], *places.shape[1:-1], source.shape[-1])
    low.bind(result, f.reshape(rows, shape), channels_last(len(shape)))


def _taps(f: Algebra, place: Tensor, axis: _Axis, mode: str) -> list[Tap]:
    """The pixels along one axis around each place in [-1, 1]."""
    scaled = f.mul(place, axis.span / 2)
    x = f.add(scaled, (axis.size - 1) / 2)
    if mode == "nearest":
        return [_tap(f, f.apply("ROUND", x), None, axis)]
    if axis.padding == "reflection":
        x = _reflected(f, x, axis)
    below = f.apply("FLOOR", x)
    rest = f.sub(x, below)
    weights = _cubic_weights(f, rest) if mode == "cubic" else [f.sub(1.0, rest), rest]
    first = -1 if mode == "cubic" else 0
    return [_tap(f, f.add(below, float(first + i)) if first + i else below, weight, axis)
            for i, weight in enumerate(weights)]  # fmt: skip


def linear_taps(f: Algebra, place: Tensor, size: int) -> list[Tap]:
    """The two pixels around each place, given in pixels; those beyond the axis are zero."""
    below = f.apply("FLOOR", place)
    rest = f.sub(place, below)
    axis = _Axis(size, align_corners=True, padding="zeros")
    return [_tap(f, below, f.sub(1.0, rest), axis), _tap(f, f.add(below, 1.0), rest, axis)]


def _reflected(f: Algebra, x: Tensor, axis: _Axis) -> Tensor:
    """A wave between the borders that is x itself within them."""
    if axis.span == 0:
        return f.mul(x, 0.0)
    away = f.apply("ABS", f.sub(x, axis.least)) if axis.least else f.apply("ABS", x)
    periods = f.apply("FLOOR", f.mul(away, 1 / (2 * axis.span)))
    within = f.sub(away, f.mul(periods, 2 * axis.span))
    back = f.apply("ABS", f.sub(within, axis.span))
    return f.sub(axis.least + axis.span, back)


def _tap(f: Algebra, index: Tensor, weight: Tensor | None, axis: _Axis) -> Tap:
    """``index`` (whole numbers as float32) brought within the axis; pixels beyond it count nothing or are others."""
    if axis.padding == "reflection":
        index = _reflected(f, index, axis)
    held = f.clip(index, 0.0, axis.size - 1.0)
    if axis.padding == "zeros":
        inside = f.cast(f.apply("EQUAL", held, index), np.float32)
        weight = inside if weight is None else f.mul(weight, inside)
    return Tap(f.cast(held, np.int32), weight)


def _cubic_weights(f: Algebra, rest: Tensor) -> list[Tensor]:
    a = _CUBIC_ALPHA

    def near(x: Tensor) -> Tensor:  # ((a + 2) x - (a + 3)) x x + 1
        return f.add(f.mul(f.mul(f.sub(f.mul(x, a + 2), a + 3), x), x), 1.0)

    def far(x: Tensor) -> Tensor:  # ((a x - 5a) x + 8a) x - 4a
        return f.sub(f.mul(f.add(f.mul(f.sub(f.mul(x, a), 5 * a), x), 8 * a), x), 4 * a)

    other = f.sub(1.0, rest)
    return [far(f.add(rest, 1.0)), near(rest), near(other), far(f.add(other, 1.0))]


def gather_weighted(f: Algebra, source: Tensor, taps: Sequence[Sequence[Tap]]) -> Tensor:
    """[batch, places, channels]: the sum over all combinations of taps, one of each axis, of ``source``."""
    batch, space, channels = source.shape[0], source.shape[1:-1], source.shape[-1]
    rows = f.reshape(source, (batch * int(np.prod(space)), channels))
    first: Array = (np.arange(batch) * int(np.prod(space))).reshape(batch, 1, 1)
    total: Tensor | None = None
    for chosen in product(*taps):
        index: Tensor | None = None
        weight: Tensor | None = None
        for size, tap in zip(space, chosen, strict=True):
            index = tap.index if index is None else f.add(f.mul(index, size), tap.index)
            if tap.weight is not None:
                weight = tap.weight if weight is None else f.mul(weight, tap.weight)
        assert index is not None
        index = f.add(index, first) if batch > 1 else index
        pixels = f.gather(rows, f.reshape(index, index.shape[:2]), 0)
        pixels = pixels if weight is None else f.mul(pixels, weight)
        total = pixels if total is None else f.add(total, pixels)
    assert total is not None
    return total


@lowers("AffineGrid", in_float=True)
def lower_affine_grid(low: Lowering, node: ir.Node) -> None:
    """The places of an even grid, times theta."""
    theta, result, size = node.inputs[0], node.outputs[0], constant_input(node, 1)
    assert theta is not None
    if size is None:
        raise low.refuse(node, "its size is computed, expected a constant")
    space = [int(dim) for dim in size[2:]]
    f = Algebra(low, str(result.name))
    lines = [_line(dim, bool(int_of(node, "align_corners", 0))) for dim in space]
    axes = np.meshgrid(*lines, indexing="ij")
    points = np.stack([axis.reshape(-1) for axis in reversed(axes)] + [np.ones(int(np.prod(space)))], axis=1)
    matrix = low.read(theta)
    places = f.product(f.constant(points[None]), matrix, transpose_right=True)
    low.bind(result, f.reshape(places, low.shape(result)))


def _line(size: int, align_corners: bool) -> Array:
    """Evenly spaced from -1 to 1: the first and last pixels' centres, or else their outer edges, lie there."""
    if align_corners:
        return np.linspace(-1, 1, size)
    return (2 * np.arange(size) + 1) / size - 1
