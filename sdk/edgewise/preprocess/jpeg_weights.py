"""The antialiased bilinear resize as weights of a JPEG's DCT coefficients instead of its pixels.

Pixels are sums of cosines times coefficients, resized pixels are weighted sums of pixels: one product of matrices
makes resized pixels of coefficients, down and across each on its own.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgewise.tensors import Array, FloatArray

LANES = 8
"""Rows of the result that the C code makes side by side, in each of two bands."""
NEGLECTED = 0.001
"""Share of the energy of white noise that the coefficients left out would give the result; it has 0.3 of a pixel value
where the picture has a standard deviation of 6."""

_positions = np.arange(8)
_COSINES = np.cos((2 * _positions[:, np.newaxis] + 1) * _positions * np.pi / 16) / 2
_COSINES[:, 0] /= np.sqrt(2)
"""The inverse DCT of eight values (T.81, A.3.3): pixels by coefficients."""

ZIGZAG = np.array(
    sorted(
        np.ndindex(8, 8),
        key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]),
    )
)
"""(64, 2): row and column of the places in a block, in the order in which they are coded (T.81, figure A.6)."""


@dataclass(frozen=True, eq=False)
class Across:
    """Each column of the result: coefficients from ``starts`` on, times ``weights``."""

    starts: Array
    """int32 (width,), multiples of 8."""
    weights: FloatArray
    """float32 (width, taps)."""
    energy: FloatArray
    """(8,): what each frequency adds to white noise in the result, of 1."""


@dataclass(frozen=True, eq=False)
class Down:
    """Each row of the result: block rows ``firsts`` to ``lasts``, times the weights in its lane."""

    firsts: Array
    lasts: Array
    """int32 (height,)."""
    weights: FloatArray
    """float32 (block rows, 2, 8, lanes): row r's in band r // lanes % 2 and lane r % lanes."""
    energy: FloatArray


@lru_cache(maxsize=32)
def across(length: int, low: float, high: float, count: int, subsampling: int, blocks: int) -> Across:
    """Pixels ``low`` to ``high`` of ``length`` as ``count``; the component has a sample for ``subsampling`` pixels."""
    weights = _of_coefficients(length, low, high, count, subsampling, blocks)
    firsts, lasts = _ends(weights)
    taps = int((lasts - firsts).max()) + 1
    starts = np.minimum(firsts, blocks - taps)
    windows = np.take_along_axis(weights, (starts[:, np.newaxis] + np.arange(taps))[:, :, np.newaxis], axis=1)
    windows = windows.reshape(count, taps * 8).astype(np.float32)
    return Across((starts * 8).astype(np.int32), windows, _energy(weights))


@lru_cache(maxsize=32)
def down(length: int, low: float, high: float, count: int, subsampling: int, blocks: int) -> Down | None:
    """The same down the picture; None where more rows are under way at once than two bands hold."""
    weights = _of_coefficients(length, low, high, count, subsampling, blocks)
    firsts, lasts = _ends(weights)
    both = 2 * LANES
    # A band begins only when the one before the last is done: all of its rows, as they are made together.
    if not (firsts[both::LANES] > lasts[LANES - 1 : -LANES - 1 : LANES][: len(firsts[both::LANES])]).all():
        return None
    laid = np.zeros((int(lasts[-1]) + 1, 2, 8, LANES), np.float32)
    for row in range(count):
        rows = slice(firsts[row], lasts[row] + 1)
        laid[rows, row // LANES % 2, :, row % LANES] = weights[row, rows]
    return Down(firsts.astype(np.int32), lasts.astype(np.int32), laid, _energy(weights))


def needed(down: Down, across: Across) -> bytes:
    """64 bytes in zigzag order, 0 for coefficients that together do not count."""
    shares = np.outer(down.energy, across.energy)[ZIGZAG[:, 0], ZIGZAG[:, 1]]
    order = np.argsort(shares, kind="stable")
    keep = np.ones(64, np.uint8)
    keep[order[np.cumsum(shares[order]) <= NEGLECTED]] = 0
    keep[0] = 1
    return keep.tobytes()


def _ends(weights: FloatArray) -> tuple[Array, Array]:
    """The first and the last block that each output pixel is made of."""
    is_used = (weights != 0).any(axis=2)
    return is_used.argmax(axis=1), weights.shape[1] - 1 - is_used[:, ::-1].argmax(axis=1)


def _energy(weights: FloatArray) -> FloatArray:
    energy: FloatArray = np.square(weights).sum(axis=(0, 1))
    energy /= energy.sum()
    return energy


def _of_coefficients(
    length: int, low: float, high: float, count: int, subsampling: int, blocks: int
) -> FloatArray:
    """(count, blocks, 8), float64."""
    weights = _triangle(length, low, high, count)
    if subsampling == 2:
        weights = _of_samples(weights)
    padded = np.zeros((count, blocks * 8))
    padded[:, : weights.shape[1]] = weights
    coefficients: FloatArray = padded.reshape(count, blocks, 8) @ _COSINES
    return coefficients


def _triangle(length: int, low: float, high: float, count: int) -> FloatArray:
    """(count, length): the filter of Pillow's precompute_coeffs (Resample.c)."""
    scale = (high - low) / count
    reach = max(scale, 1.0)
    centres = low + (np.arange(count) + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres[:, np.newaxis]) / reach
    weights: FloatArray = np.maximum(0.0, 1.0 - distances)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _of_samples(weights: FloatArray) -> FloatArray:
    """Weights of pixels to weights of samples half as many: libjpeg's triangle (jdsample.c), 3/4 of a pixel's own
    sample and 1/4 of the one on the pixel's other side, at the edges its own."""
    even, odd = weights[:, 0::2], weights[:, 1::2]
    samples = 0.75 * even
    samples[:, : odd.shape[1]] += 0.75 * odd
    samples[:, :-1] += 0.25 * even[:, 1:]
    samples[:, 0] += 0.25 * even[:, 0]
    inner = odd[:, : even.shape[1] - 1]
    samples[:, 1 : 1 + inner.shape[1]] += 0.25 * inner
    if odd.shape[1] == even.shape[1]:
        samples[:, -1] += 0.25 * odd[:, -1]
    return samples
