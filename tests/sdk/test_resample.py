"""Sound at another rate, held against sines that are known at every rate; and samples in other forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.errors import InvalidInput
from edgewise.preprocess.resample import ATTENUATION_DB, PASSES, Resampler, resample
from edgewise.preprocess.samples import to_float, to_int16, to_mono
from edgewise.tensors import Array

RATES = [
    (48000, 16000),
    (16000, 48000),
    (44100, 16000),
    (16000, 44100),
    (22050, 16000),
    (8000, 16000),
    (16000, 11025),
]
RIPPLE = 2 * 10 ** (-ATTENUATION_DB / 20)
"""Kaiser's window has the same ripple in the pass band as in the stop band; twice, for two neighbours of a sine."""
EDGE_S = 0.02
"""Clips begin and end with silence, which a filter 32 samples of the lower rate long on each side sees."""


def sine(hz: float, rate_hz: int, seconds: float = 0.2) -> Array:
    return np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz + 0.3)


@pytest.mark.parametrize("from_hz, to_hz", RATES)
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.99])
def test_a_sine_that_passes_is_the_same_sine_at_the_other_rate(from_hz: int, to_hz: int, part: float) -> None:
    hz = part * PASSES * min(from_hz, to_hz) / 2
    got, want = resample(sine(hz, from_hz), from_hz, to_hz), sine(hz, to_hz)
    assert len(got) == len(want)
    edge = round(EDGE_S * to_hz)
    assert np.abs(got - want)[edge:-edge].max() < RIPPLE


@pytest.mark.parametrize("from_hz, to_hz", [rates for rates in RATES if rates[0] > rates[1]])
@pytest.mark.parametrize("part", [1.0, 1.2, 1.9])
def test_what_the_lower_rate_cannot_hold_is_gone_instead_of_aliased(
    from_hz: int, to_hz: int, part: float
) -> None:
    hz = min(part * to_hz / 2, from_hz / 2 * 0.999)
    edge = round(EDGE_S * to_hz)
    assert np.abs(resample(sine(hz, from_hz), from_hz, to_hz))[edge:-edge].max() < RIPPLE


def test_as_much_passes_as_the_documentation_says() -> None:
    assert round(PASSES, 2) == 0.84


def test_a_constant_stays_what_it_is() -> None:
    constant = resample(np.full(4000, 0.25), 44100, 16000)
    assert constant[400:-400] == pytest.approx(0.25, abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*RATES, (3, 7), (7, 3), (1, 1), (5, 1), (1, 5)]),
    st.lists(st.integers(0, 700), min_size=1, max_size=8),
)
def test_a_stream_gives_the_bits_of_the_whole_clip(rates: tuple[int, int], sizes: list[int]) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, sum(sizes))
    whole = resample(samples, *rates)
    assert len(whole) == -(-len(samples) * rates[1] // rates[0])
    stream = Resampler(*rates)
    for _ in range(2):
        pieces = [stream.push(piece) for piece in np.split(samples, np.cumsum(sizes)[:-1])]
        assert np.array_equal(np.concatenate([*pieces, stream.flush()]), whole)


def test_what_a_stream_holds_does_not_grow() -> None:
    stream = Resampler(48000, 16000)
    held = set()
    for _ in range(50):
        stream.push(np.zeros(480))
        held.add(len(stream._held))
    assert max(held) <= 2 * 96 + 3


def test_rates_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="rates: got 0 and 16000 Hz, expected at least 1"):
        Resampler(0, 16000)
    with pytest.raises(InvalidInput, match="use rates with a larger common divisor"):
        Resampler(96001, 95999)


@given(st.lists(st.integers(-32768, 32767), min_size=1))
def test_int16_comes_back_from_float(values: list[int]) -> None:
    samples = np.array(values, np.int16)
    real = to_float(samples)
    assert real.dtype == np.float32
    assert real.min() >= -1
    assert real.max() < 1
    assert np.array_equal(to_int16(real), samples)


def test_loud_floats_are_clipped_and_nan_is_refused() -> None:
    assert to_int16(np.array([1.0, 2.0, -1.0, -9.0, 0.5])).tolist() == [32767, 32767, -32768, -32768, 16384]
    with pytest.raises(InvalidInput, match="samples: got NaN"):
        to_int16(np.array([np.nan]))
    with pytest.raises(InvalidInput, match="samples: got dtype uint8, expected int16"):
        to_float(np.zeros(3, np.uint8))


def test_channels_are_averaged() -> None:
    assert to_mono(np.array([[32767, 32767], [1, 2], [-4, 2]], np.int16)).tolist() == [32767, 2, -1]
    assert to_mono(np.array([[0.5, 0.25]], np.float32)).tolist() == [0.375]
    alone = np.zeros(3, np.float32)
    assert to_mono(alone) is alone
    with pytest.raises(InvalidInput, match=r"expected \(time,\) or \(time, channels\)"):
        to_mono(np.zeros((1, 2, 3)))
