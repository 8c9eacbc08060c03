"""Fewer rows for a large picture in an array: Pillow's antialiased bilinear filter down the picture, in NumPy.

Pillow copies an array into its own pixels of four bytes and resizes across first, over all rows. Here the rows are
made fewer on the array itself, in 16 bits, and Pillow resizes across what is left: an eighth to a half of it.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided

from edgewise.tensors import Array

_ONE = 256
"""What the integer weights of an output row add up to: 255 * 256 and half a step fit uint16."""
_BLOCK_ROWS = 8
"""Output rows of which the input rows are widened to 16 bits at a time: half a MB of 1080p stays in the cache."""
_GROUP_ROWS = 4
"""Output rows that one call of NumPy makes."""


@dataclass(frozen=True, eq=False)
class _Group:
    """Output row i is the sum of ``weights[i]`` times the input rows from ``start + i * step`` on."""

    start: int
    step: int
    weights: Array
    """(output rows, input rows), uint16."""

    @property
    def stop(self) -> int:
        """Where its windows end, which may be past the picture: its weights are zero there."""
        return self.start + self.step * (len(self.weights) - 1) + self.weights.shape[1]


@dataclass(frozen=True)
class _Block:
    """Output rows that are made of input rows from ``start`` on."""

    start: int
    groups: tuple[_Group, ...]

    @property
    def stop(self) -> int:
        """Where its groups end."""
        return max(group.stop for group in self.groups)

    def __len__(self) -> int:
        """How many rows it makes."""
        return sum(len(group.weights) for group in self.groups)


class RowShrinker(threading.local):
    """Keeps its buffers between pictures of one size; every thread has its own."""

    def __init__(self) -> None:
        self._size: tuple[object, ...] = ()

    def shrink(self, image_hwc: Array, *, top: float, bottom: float, rows: int) -> Array:
        """Rows ``top`` to ``bottom`` as ``rows`` fewer ones: uint8 (rows, width, channels), from uint8.

        As in Pillow, rows beyond those two count where the filter reaches them. The result is the shrinker's,
        until this thread's next call.
        """
        height, width, channels = image_hwc.shape
        lines = image_hwc.reshape(height, width * channels)
        blocks = _blocks(height, top, bottom, rows)
        if self._size != (blocks, lines.shape[1]):
            self._make_room(blocks, lines.shape[1])
        row = 0
        for block, stop, calls in self._work:
            given = lines[block.start : stop]
            np.copyto(self._wide[: len(given)], given)
            for weights, windows, sums in calls:
                np.einsum("rk,rkn->rn", weights, windows, out=sums)
            sums = self._sums[: len(block)]
            np.add(sums, _ONE // 2, out=sums)
            np.right_shift(sums, 8, out=sums)
            np.copyto(self._out[row : row + len(block)], sums, casting="unsafe")
            row += len(block)
        return self._out.reshape(rows, width, channels)

    def _make_room(self, blocks: tuple[_Block, ...], length: int) -> None:
        """Buffers for pictures of this size, and the views of them that every picture needs."""
        wide_rows = max(block.stop - block.start for block in blocks)
        self._wide = np.zeros((wide_rows, length), np.uint16)
        self._sums = np.empty((_BLOCK_ROWS, length), np.uint16)
        self._out = np.empty((sum(map(len, blocks)), length), np.uint8)
        self._work = [(block, block.stop, list(self._views(block))) for block in blocks]
        self._size = (blocks, length)

    def _views(self, block: _Block) -> Iterator[tuple[Array, Array, Array]]:
        row_bytes, item_bytes = self._wide.strides
        row = 0
        for group in block.groups:
            windows = as_strided(
                self._wide[group.start - block.start :],
                (*group.weights.shape, self._wide.shape[1]),
                (row_bytes * group.step, row_bytes, item_bytes),
                writeable=False,
            )
            yield group.weights, windows, self._sums[row : row + len(group.weights)]
            row += len(group.weights)


@lru_cache(maxsize=8)
def _blocks(height: int, top: float, bottom: float, rows: int) -> tuple[_Block, ...]:
    starts, weights = _integer_weights(height, top, bottom, rows)
    groups = [
        _group(starts[row : row + _GROUP_ROWS], weights[row : row + _GROUP_ROWS])
        for row in range(0, rows, _GROUP_ROWS)
    ]
    each = _BLOCK_ROWS // _GROUP_ROWS
    parts = [tuple(groups[first : first + each]) for first in range(0, len(groups), each)]
    return tuple(_Block(min(group.start for group in part), part) for part in parts)


def _integer_weights(height: int, top: float, bottom: float, rows: int) -> tuple[Array, Array]:
    """The first input row of each output row, and its weights (rows, reach): uint16, each row adding up to 256.

    The triangle of Pillow's precompute_coeffs (Resample.c). Rounding the running sum and not each weight keeps
    the sum, and is off by half a step at most at an edge.
    """
    scale = (bottom - top) / rows
    centres = top + (np.arange(rows) + 0.5) * scale
    starts = np.maximum(0, np.floor(centres - scale + 0.5)).astype(np.int64)
    positions = starts[:, np.newaxis] + np.arange(int(np.ceil(2 * scale)) + 2)
    distances = np.abs(positions + 0.5 - centres[:, np.newaxis]) / scale
    weights = np.where(positions < height, np.maximum(0.0, 1.0 - distances), 0.0)
    running = np.cumsum(weights, axis=1)
    steps = np.rint(running / running[:, -1:] * _ONE)
    return starts, np.diff(steps, axis=1, prepend=0).astype(np.uint16)


def _group(starts: Array, weights: Array) -> _Group:
    """The windows at one step from each other; where that is not where a row's weights begin, zeros come first."""
    order = np.arange(len(starts))
    step = round((starts[-1] - starts[0]) / max(len(starts) - 1, 1))
    while (starts - step * order).min() < 0:
        step -= 1
    start = (starts - step * order).min()
    late = starts - step * order - start
    moved = np.zeros((len(starts), weights.shape[1] + late.max()), np.uint16)
    for row, by in zip(order, late, strict=True):
        moved[row, by : by + weights.shape[1]] = weights[row]
    used = np.flatnonzero(moved.any(axis=0))
    return _Group(int(start + used[0]), int(step), np.ascontiguousarray(moved[:, used[0] : used[-1] + 1]))
