"""Mel scales and filters, held against the formulas, written out here."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.audio_card import AudioPreprocess
from edgewise.preprocess.mel import SparseFilters, hz_to_mel, mel_filters, mel_to_hz
from edgewise.tensors import Array


def filter_by_definition(spec: AudioPreprocess, corners_hz: list[float]) -> Array:
    filters = np.zeros((spec.mels, spec.n_fft // 2 + 1))
    for row in range(spec.mels):
        low, middle, high = corners_hz[row : row + 3]
        for bin_ in range(filters.shape[1]):
            hz = bin_ * spec.rate_hz / spec.n_fft
            if low < hz <= middle:
                filters[row, bin_] = (hz - low) / (middle - low)
            elif middle < hz < high:
                filters[row, bin_] = (high - hz) / (high - middle)
            if spec.is_area_normalised:
                filters[row, bin_] *= 2 / (high - low)
    return filters


def htk_corners(spec: AudioPreprocess) -> list[float]:
    """In the natural-logarithm form of the formula: 1127 ln(1 + f / 700), O'Shaughnessy 1987."""
    low, high = (math.log1p(hz / 700) for hz in (spec.f_min, spec.top_hz))
    count = spec.mels + 1
    return [700 * math.expm1(low + (high - low) * index / count) for index in range(count + 1)]


def slaney_corners(spec: AudioPreprocess) -> list[float]:
    """The auditory toolbox: 3 steps in 200 Hz up to 1 kHz, then 27 equal ratios up to 6.4 kHz."""

    def to_steps(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000, 6.4)

    def to_hz(steps: float) -> float:
        return steps * 200 / 3 if steps < 15 else 1000 * 6.4 ** ((steps - 15) / 27)

    low, high, count = to_steps(spec.f_min), to_steps(spec.top_hz), spec.mels + 1
    return [to_hz(low + (high - low) * index / count) for index in range(count + 1)]


@pytest.mark.parametrize("is_area_normalised", [False, True])
@pytest.mark.parametrize(
    "rate_hz, n_fft, mels, f_min, f_max", [(16000, 512, 40, 20, 7600), (8000, 256, 20, 0, 0)]
)
def test_filters_are_triangles_between_evenly_spaced_mels(
    rate_hz: int, n_fft: int, mels: int, f_min: float, f_max: float, is_area_normalised: bool
) -> None:
    for scale, corners in (("htk", htk_corners), ("slaney", slaney_corners)):
        spec = AudioPreprocess(
            rate_hz=rate_hz, window=200, n_fft=n_fft, mels=mels, f_min=f_min, f_max=f_max,
            scale=scale, is_area_normalised=is_area_normalised,
        )  # fmt: skip
        got, want = mel_filters(spec), filter_by_definition(spec, corners(spec))
        assert want.max() > 0
        assert got == pytest.approx(want, rel=1e-9, abs=1e-9)
        power = np.random.default_rng(0).uniform(0, 1, n_fft // 2 + 1)
        assert SparseFilters.of(got).apply(power) == pytest.approx(want @ power, rel=1e-9)


def test_an_area_normalised_filter_bank_answers_white_noise_evenly() -> None:
    """Each triangle has the area 1 in Hz; bins are 7.8 Hz apart and the narrowest filter is 49 Hz wide."""
    spec = AudioPreprocess(n_fft=2048, mels=40, scale="slaney", is_area_normalised=True)
    areas = mel_filters(spec).sum(axis=1) * spec.rate_hz / spec.n_fft
    assert areas == pytest.approx(np.ones(40), abs=0.05)


@given(st.floats(0, 96_000), st.sampled_from(["htk", "slaney"]))
def test_mel_and_hz_are_inverse(hz: float, scale: str) -> None:
    assert mel_to_hz(hz_to_mel(hz, scale), scale) == pytest.approx(hz, rel=1e-9, abs=1e-9)


def test_mel_scales_have_their_known_points() -> None:
    assert hz_to_mel(1000, "htk") == pytest.approx(999.99, abs=0.01)
    assert hz_to_mel([200, 1000, 6400], "slaney") == pytest.approx([3, 15, 42])
