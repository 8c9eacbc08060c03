"""The antialiased resize, bilinear or bicubic, as weights of a JPEG's DCT coefficients instead of its pixels.

Pixels are sums of cosines times coefficients, resized pixels are weighted sums of pixels: one product of matrices
makes resized pixels of coefficients, down and across each on its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgewise.tensors import Array, FloatArray

LANES = 8
"""Rows of the result that the C code makes side by side, in each of two bands."""
NEGLECTED = 0.003
"""Share of white noise's energy in the result that the coefficients left out would give. Of noise with a standard
deviation of 6, which is 0.6 in a 1080p picture made 224 x 224, they are 0.03."""

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


def _triangle(distance: FloatArray) -> FloatArray:
    return np.maximum(0.0, 1.0 - distance)


def _cubic(distance: FloatArray) -> FloatArray:
    """Keys' kernel with a = -0.5, as Pillow has it (Resample.c, bicubic_filter)."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


FILTERS = {"bilinear": (1.0, _triangle), "bicubic": (2.0, _cubic)}
"""How many output pixels each reaches, and its shares by distance in output pixels."""


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
def across(
    length: int, low: float, high: float, count: int, subsampling: int, blocks: int, resample: str
) -> Across:
    """Pixels ``low`` to ``high`` of ``length`` as ``count``.

    The component has ``blocks`` of samples, one sample for ``subsampling`` pixels, 1 or 2.
    """
    firsts, weights = _windows(length, low, high, count, subsampling, blocks, resample)
    return Across(
        (firsts * 8).astype(np.int32), weights.reshape(count, -1).astype(np.float32), _energy(weights)
    )


@lru_cache(maxsize=32)
def down(
    length: int, low: float, high: float, count: int, subsampling: int, blocks: int, resample: str
) -> Down | None:
    """The same down the picture; None where more rows are under way at once than two bands hold."""
    firsts, weights = _windows(length, low, high, count, subsampling, blocks, resample)
    is_used = (weights != 0).any(axis=2)
    lasts = firsts + weights.shape[1] - 1 - is_used[:, ::-1].argmax(axis=1)
    begins = firsts + is_used.argmax(axis=1)
    # A band begins only when the one before the last is done: all of its rows, as they are made together.
    later = begins[2 * LANES :: LANES]
    if not (later > lasts[LANES - 1 :: LANES][: len(later)]).all():
        return None
    laid = np.zeros((int(firsts[-1]) + weights.shape[1], 2, 8, LANES), np.float32)
    rows = np.arange(count)
    for block in range(weights.shape[1]):  # no two rows of one lane share a block that either needs
        laid[firsts + block, rows // LANES % 2, :, rows % LANES] += weights[:, block]
    return Down(
        begins.astype(np.int32),
        lasts.astype(np.int32),
        np.ascontiguousarray(laid[: lasts[-1] + 1]),
        _energy(weights),
    )


@lru_cache(maxsize=32)
def needed(down: Down, across: Across) -> bytes:
    """64 bytes in zigzag order, 0 for coefficients that together do not count."""
    shares = np.outer(down.energy, across.energy)[ZIGZAG[:, 0], ZIGZAG[:, 1]]
    order = np.argsort(shares, kind="stable")
    keep = np.ones(64, np.uint8)
    keep[order[np.cumsum(shares[order]) <= NEGLECTED]] = 0
    keep[0] = 1
    return keep.tobytes()


def _energy(weights: FloatArray) -> FloatArray:
    energy: FloatArray = np.square(weights).sum(axis=(0, 1))
    energy /= energy.sum()
    return energy


def _windows(
    length: int, low: float, high: float, count: int, subsampling: int, blocks: int, resample: str
) -> tuple[Array, FloatArray]:
    """The first block of each output pixel, and its weights of coefficients: float64 (count, some blocks, 8)."""
    radius, share = FILTERS[resample]
    scale = (high - low) / count
    reach = radius * max(scale, 1.0)
    centres = low + (np.arange(count)[:, np.newaxis] + 0.5) * scale
    side = 8 * subsampling
    several = min(blocks, int(np.ceil((2 * reach + 2 * subsampling) / side)) + 1)
    firsts = np.floor((centres - reach - subsampling) / side).astype(np.int64)
    firsts = np.clip(firsts, 0, blocks - several)
    samples = firsts * 8 + np.arange(8 * several)

    def share_of(pixels: Array) -> FloatArray:
        """As in Pillow's precompute_coeffs (Resample.c), not normalised; nothing beyond the picture."""
        shares = share(np.abs(pixels + 0.5 - centres) * radius / reach)
        return np.where((pixels >= 0) & (pixels < length), shares, 0.0)

    weights = share_of(samples) if subsampling == 1 else _of_samples(share_of, samples, length)
    weights /= weights.sum(axis=1, keepdims=True)
    return firsts[:, 0], weights.reshape(count, several, 8) @ _COSINES


def _of_samples(share_of: Callable[[Array], FloatArray], samples: Array, length: int) -> FloatArray:
    """Weights of samples for two pixels each: libjpeg's triangle (jdsample.c).

    A pixel is 3/4 of its own sample and 1/4 of the one beside it, at the picture's edges its own.
    """
    weights = 0.75 * (share_of(2 * samples) + share_of(2 * samples + 1))
    weights += 0.25 * (share_of(2 * samples - 1) + share_of(2 * samples + 2))
    for pixel in {0, length - 1} if length % 2 == 0 else {0}:
        weights += 0.25 * share_of(np.full_like(samples, pixel)) * (samples == pixel // 2)
    return weights
