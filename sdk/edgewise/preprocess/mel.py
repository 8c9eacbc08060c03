"""The mel scale and its triangular filters."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewise.audio_card import AudioPreprocess
from edgewise.preprocess.samples import Samples

Numbers: TypeAlias = NDArray[np.float64]

_HTK_FACTOR, _HTK_CORNER_HZ = 2595.0, 700.0
"""The HTK Book 3.4, equation 5.13: mel = 2595 log10(1 + f / 700)."""
_SLANEY_HZ_PER_MEL, _SLANEY_CORNER_HZ = 200 / 3, 1000.0
_SLANEY_LOG_STEP = np.log(6.4) / 27
"""Slaney, Auditory Toolbox (Interval Research, Technical Report 1998-010), mfcc.m: linear with 200/3 Hz per
step up to 1 kHz, above it 27 steps to 6.4 kHz, each by the same factor."""


def hz_to_mel(hz: Any, scale: str) -> Numbers:
    """Hz, any shape, to mels of the ``htk`` or the ``slaney`` scale, float64."""
    hz = np.asarray(hz, np.float64)
    if scale == "htk":
        return np.asarray(_HTK_FACTOR * np.log10(1 + hz / _HTK_CORNER_HZ))
    above = np.maximum(hz, _SLANEY_CORNER_HZ) / _SLANEY_CORNER_HZ
    corner = _SLANEY_CORNER_HZ / _SLANEY_HZ_PER_MEL
    return np.where(
        hz < _SLANEY_CORNER_HZ, hz / _SLANEY_HZ_PER_MEL, corner + np.log(above) / _SLANEY_LOG_STEP
    )


def mel_to_hz(mel: Any, scale: str) -> Numbers:
    """The inverse of `hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if scale == "htk":
        return np.asarray(_HTK_CORNER_HZ * (10 ** (mel / _HTK_FACTOR) - 1))
    corner = _SLANEY_CORNER_HZ / _SLANEY_HZ_PER_MEL
    above = _SLANEY_CORNER_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mel, corner) - corner))
    return np.where(mel < corner, mel * _SLANEY_HZ_PER_MEL, above)


def mel_filters(spec: AudioPreprocess) -> Numbers:
    """(mels, n_fft // 2 + 1), float64: triangles in Hz whose corners are evenly spaced in mels.

    Slaney's mfcc.m; as librosa.filters.mel and torchaudio's melscale_fbanks compute it. A filter between two
    bins of the transform is empty, as there.
    """
    ends = hz_to_mel([spec.f_min, spec.top_hz], spec.scale)
    corners = mel_to_hz(np.linspace(ends[0], ends[1], spec.mels + 2), spec.scale)[:, np.newaxis]
    bins_hz = np.arange(spec.n_fft // 2 + 1) * (spec.rate_hz / spec.n_fft)
    rising = (bins_hz - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins_hz) / (corners[2:] - corners[1:-1])
    filters = np.maximum(0, np.minimum(rising, falling))
    if spec.is_area_normalised:
        filters *= 2 / (corners[2:] - corners[:-2])
    return np.asarray(filters)


@dataclass(frozen=True, eq=False)
class SparseFilters:
    """The filters without their zeros, a twentieth of the products; sums in an order of their own, so that
    the same frame gives the same bits whatever else is computed (a BLAS promises no such thing)."""

    bins: NDArray[np.intp]
    weights: Numbers
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, filters: Numbers) -> "SparseFilters":
        """From (mels, bins)."""
        chosen = [np.flatnonzero(row) if row.any() else np.zeros(1, np.intp) for row in filters]
        weights = [row[bins] for row, bins in zip(filters, chosen, strict=True)]
        starts = np.cumsum([0, *map(len, chosen)][:-1])
        return cls(np.concatenate(chosen), np.concatenate(weights), starts)

    def apply(self, spectrum: Samples) -> Numbers:
        """(bins,) to (mels,)."""
        return np.asarray(np.add.reduceat(spectrum[self.bins] * self.weights, self.starts))
