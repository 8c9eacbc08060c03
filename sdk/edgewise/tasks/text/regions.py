"""Connected regions of a mask, found by runs: a page of a million cells has a few thousand of them."""

from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array


@dataclass(frozen=True, eq=False)
class Region:
    """One connected region by its rows, from top to bottom: all that its convex hull needs."""

    rows: Array
    """int64 [r], without gaps."""
    left: Array
    """int64 [r]: the first cell in each row."""
    right: Array
    """int64 [r]: the last one, inclusive."""


@dataclass(frozen=True, eq=False)
class _Runs:
    """Neighbouring cells of a row, in reading order, as positions in the mask with one empty column added."""

    starts: Array
    lasts: Array
    stride: int


def find_regions(mask: Array, *, limit: int) -> list[Region]:
    """The regions of a boolean mask [height, width], cells that touch at corners included; the largest ``limit``."""
    runs = _runs_of(mask)
    if not len(runs.starts):
        return []
    owners = _owners(len(runs.starts), *_touching(runs))
    order = np.argsort(owners, kind="stable")
    owners, starts, lasts = owners[order], runs.starts[order], runs.lasts[order]
    rows, left = np.divmod(starts, runs.stride)
    right = lasts - rows * runs.stride
    # Within a region runs are in reading order: one group for each of its rows.
    heads = np.flatnonzero(np.diff(owners, prepend=-1) | np.diff(rows, prepend=-1))
    left, right = np.minimum.reduceat(left, heads), np.maximum.reduceat(right, heads)
    owners, rows = owners[heads], rows[heads]
    cuts = np.flatnonzero(np.diff(owners)) + 1
    bounds = list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True))
    if len(bounds) > limit:
        sizes = np.add.reduceat(right - left + 1, [first for first, _ in bounds])
        bounds = [bounds[place] for place in np.sort(np.argsort(-sizes, kind="stable")[:limit])]
    return [Region(rows[a:b], left[a:b], right[a:b]) for a, b in bounds]


def _runs_of(mask: Array) -> _Runs:
    height, width = mask.shape
    padded = np.zeros((height, width + 1), np.int8)
    padded[:, :width] = mask
    steps = np.flatnonzero(np.diff(padded.ravel(), prepend=0))
    return _Runs(steps[0::2], steps[1::2] - 1, width + 1)


def _touching(runs: _Runs) -> tuple[Array, Array]:
    """Pairs of runs, one in a row and one in the next, that share a side or a corner."""
    first = np.searchsorted(runs.lasts, runs.starts + (runs.stride - 1))
    end = np.searchsorted(runs.starts, runs.lasts + (runs.stride + 1), side="right")
    counts = np.maximum(end - first, 0)
    upper = np.repeat(np.arange(len(first)), counts)
    within = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, np.repeat(first, counts) + within


def _owners(count: int, upper: Array, lower: Array) -> Array:
    """For each run the lowest run that it hangs together with.

    Hooking roots and halving paths in whole arrays (Shiloach and Vishkin, "An O(log n) parallel connectivity
    algorithm", 1982).
    """
    owners = np.arange(count)
    while True:
        ends = np.stack([owners[upper], owners[lower]])
        low, high = ends.min(axis=0), ends.max(axis=0)
        if np.array_equal(low, high):
            return owners
        np.minimum.at(owners, high, low)
        while not np.array_equal(owners, further := owners[owners]):
            owners = further
