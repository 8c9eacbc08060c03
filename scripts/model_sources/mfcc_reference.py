"""Mel-frequency cepstral coefficients as the keyword model's training makes them: plain NumPy, nothing of the SDK.

As in Zhang, Suda, Lai, Chandra, "Hello Edge: keyword spotting on microcontrollers", arXiv:1711.07128 (2017): frames of
40 ms every 20 ms, 40 filters, 49 rows for a second; here from 20 to 7,600 Hz and with 20 coefficients.
"""

import numpy as np

from model_sources.espeak import Samples
from model_sources.spoken_words import RATE_HZ

FRAME, HOP, POINTS, MELS, COEFFICIENTS = 640, 320, 1024, 40, 20
LOW_HZ, HIGH_HZ, FLOOR = 20.0, 7600.0, 1e-6
ROWS = (RATE_HZ - FRAME) // HOP + 1


def mfcc(sound: Samples) -> Samples:
    """int16 [samples] to float32 [rows, 20], not yet normalised."""
    frames = np.lib.stride_tricks.sliding_window_view(sound / 32768.0, FRAME)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    power = np.abs(np.fft.rfft(frames * hann, POINTS)) ** 2
    logs = np.log(np.maximum(power @ _FILTERS, FLOOR))
    return (logs @ _COSINES).astype(np.float32)


def normalised(sounds: Samples, mean: Samples, std: Samples) -> Samples:
    """int16 [n, RATE_HZ] to the model's input, float32 [n, 49, 20, 1]."""
    return ((np.stack([mfcc(sound) for sound in sounds]) - mean) / std)[..., np.newaxis].astype(np.float32)


def _filters() -> Samples:
    """[bins, MELS]: triangles between corners that are evenly spaced in mel, 2595 log10(1 + f / 700)."""
    ends = 2595 * np.log10(1 + np.array([LOW_HZ, HIGH_HZ]) / 700)
    corners = 700 * (10 ** (np.linspace(*ends, MELS + 2) / 2595) - 1)
    bins_hz = np.arange(POINTS // 2 + 1)[:, np.newaxis] * RATE_HZ / POINTS
    rise = (bins_hz - corners[:-2]) / np.diff(corners)[:-1]
    fall = (corners[2:] - bins_hz) / np.diff(corners)[1:]
    return np.clip(np.minimum(rise, fall), 0, None)


def _cosines() -> Samples:
    """[MELS, COEFFICIENTS]: the orthonormal DCT-II."""
    angles = np.pi / MELS * (np.arange(MELS)[:, np.newaxis] + 0.5) * np.arange(COEFFICIENTS)
    scales = np.where(np.arange(COEFFICIENTS) == 0, 1, 2) / MELS
    return np.asarray(np.cos(angles) * np.sqrt(scales))


_FILTERS, _COSINES = _filters(), _cosines()
