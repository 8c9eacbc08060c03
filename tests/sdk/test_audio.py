"""Sound to rows, held against the definitions: Fourier sums, mel formulas and cosine sums, written out here."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.audio_card import LOGS, PADS, SPECTRA, WINDOWS, AudioPreprocess
from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.audio import LogMel, Spectrogram, dct_basis, log_mel, spectrogram
from edgewise.preprocess.framing import Framer, make_window
from edgewise.preprocess.mel import mel_filters
from edgewise.tensors import Array

SMALL = AudioPreprocess(rate_hz=8000, window=50, hop=20, n_fft=64, mels=12, log="none")
FLOAT32 = 3e-7
"""Relative: rows are rounded to float32 once, 2**-24, after arithmetic in float64."""
FLOAT64 = 1e-12
"""Relative: both sides are sums of some hundred float64 numbers."""


def noise(samples: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, samples)


def frames_by_definition(samples: Array, spec: AudioPreprocess) -> Array:
    """Frames of n_fft: centred as librosa.stft documents it, with the window in the middle; else lying inside."""
    first = (spec.n_fft - spec.window) // 2
    if spec.pad != "none":
        mode = {"zeros": "constant", "reflect": "reflect"}[spec.pad]
        samples = np.pad(samples, spec.n_fft // 2, mode=mode)  # type: ignore[call-overload]  # numpy's overloads want literals
        starts = range(0, len(samples) - spec.n_fft + 1, spec.hop)
    else:
        starts = range(-first, len(samples) - spec.window - first + 1, spec.hop)
    divisor = spec.window if spec.is_window_periodic else spec.window - 1
    frames = np.zeros((len(starts), spec.n_fft))
    for row, start in zip(frames, starts, strict=True):
        for index in range(spec.window):
            weight = 0.5 - 0.5 * math.cos(2 * math.pi * index / divisor)
            row[first + index] = weight * samples[start + first + index]
    return frames


def power_by_definition(samples: Array, spec: AudioPreprocess) -> Array:
    """|sum over n of x[n] exp(-2 pi i k n / N)|^2."""
    turns = np.outer(np.arange(spec.n_fft), np.arange(spec.n_fft // 2 + 1)) / spec.n_fft
    return np.asarray(np.abs(frames_by_definition(samples, spec) @ np.exp(-2j * np.pi * turns)) ** 2)


@pytest.mark.parametrize("is_periodic", [True, False])
@pytest.mark.parametrize("pad", PADS)
def test_power_is_the_fourier_sum_of_weighted_frames(pad: str, is_periodic: bool) -> None:
    spec = replace(SMALL, pad=pad, is_window_periodic=is_periodic)
    samples = noise(333)
    got, want = spectrogram(samples, spec), power_by_definition(samples, spec)
    assert got.shape == want.shape
    assert got.dtype == np.float32
    assert got == pytest.approx(want, rel=FLOAT32, abs=FLOAT64)
    magnitude = spectrogram(samples, replace(spec, spectrum="magnitude"))
    assert magnitude == pytest.approx(np.sqrt(want), rel=FLOAT32, abs=1e-6)


@pytest.mark.parametrize("samples", [400, 401, 1599, 1600, 1601])
def test_padded_clips_have_one_frame_for_each_hop_begun(samples: int) -> None:
    for pad in ("zeros", "reflect"):
        spec = AudioPreprocess(pad=pad)
        assert len(log_mel(noise(samples), spec)) == 1 + samples // spec.hop
        assert len(log_mel(noise(spec.samples_for(7)), spec)) == 7
    assert len(log_mel(noise(samples), AudioPreprocess())) == 1 + (samples - 400) // 160
    assert len(log_mel(noise(AudioPreprocess().samples_for(7)), AudioPreprocess())) == 7


def test_windows_have_the_known_values() -> None:
    assert make_window("hann", 4) == pytest.approx([0, 0.5, 1, 0.5])
    assert make_window("hann", 5, is_periodic=False) == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert make_window("hamming", 5, is_periodic=False) == pytest.approx([0.08, 0.54, 1, 0.54, 0.08])
    assert make_window("blackman", 5, is_periodic=False) == pytest.approx([0, 0.34, 1, 0.34, 0], abs=FLOAT64)
    assert make_window("rectangular", 3).tolist() == [1, 1, 1]
    assert make_window("hann", 64, is_periodic=False) == pytest.approx(np.hanning(64))
    assert make_window("hamming", 64, is_periodic=False) == pytest.approx(np.hamming(64))
    assert make_window("blackman", 64, is_periodic=False) == pytest.approx(np.blackman(64), abs=FLOAT64)


def test_a_filter_between_two_bins_gives_nothing() -> None:
    spec = AudioPreprocess(n_fft=64, window=64, mels=40, log="none")
    filters = mel_filters(spec)
    empty = ~filters.any(axis=1)
    assert empty.any()
    assert (log_mel(noise(64), spec)[0] == 0).tolist() == empty.tolist()


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("log", LOGS)
def test_logarithms_are_as_described(log: str, spectrum: str) -> None:
    floor = 1e-3
    samples = np.concatenate([noise(300), np.zeros(100)])
    plain = log_mel(samples, replace(SMALL, spectrum=spectrum)).astype(np.float64)
    assert (plain == 0).any()
    want = {
        "none": plain,
        "natural": np.log(np.maximum(plain, floor)),
        "natural-offset": np.log(plain + floor),
        "log10": np.log10(np.maximum(plain, floor)),
        "db": (10 if spectrum == "power" else 20) * np.log10(np.maximum(plain, floor)),
    }[log]
    got = log_mel(samples, replace(SMALL, spectrum=spectrum, log=log, floor=floor))
    assert got == pytest.approx(want, rel=1e-6, abs=1e-5)


def test_mfcc_is_the_orthonormal_cosine_sum_of_the_logarithms() -> None:
    spec = replace(SMALL, log="natural")
    logs = log_mel(noise(300), spec).astype(np.float64)
    want = np.zeros((len(logs), 8))
    for row, values in enumerate(logs):
        for order in range(8):
            total = sum(
                value * math.cos(math.pi * order * (2 * n + 1) / (2 * 12)) for n, value in enumerate(values)
            )
            want[row, order] = total * math.sqrt((1 if order == 0 else 2) / 12)
    got = log_mel(noise(300), replace(spec, coefficients=8))
    assert got == pytest.approx(want, rel=1e-5, abs=1e-5)
    assert dct_basis(12) @ dct_basis(12).T == pytest.approx(np.eye(12), abs=FLOAT64)


def test_mean_and_std_are_of_columns() -> None:
    plain = log_mel(noise(200), SMALL)
    mean, std = tuple(float(i) for i in range(12)), tuple(0.5 + i for i in range(12))
    got = log_mel(noise(200), replace(SMALL, mean=mean, std=std))
    assert got == pytest.approx((plain - np.array(mean)) / np.array(std), rel=1e-5, abs=1e-5)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_stream_gives_the_bits_of_the_whole_clip_however_it_is_cut(data: st.DataObject) -> None:
    window = data.draw(st.integers(2, 64), "window")
    spec = replace(
        SMALL,
        window=window,
        hop=data.draw(st.integers(1, 90), "hop"),
        n_fft=data.draw(st.sampled_from([64, 65, 100]), "n_fft"),
        pad=data.draw(st.sampled_from(PADS), "pad"),
        window_kind=data.draw(st.sampled_from(WINDOWS), "kind"),
        coefficients=data.draw(st.sampled_from([0, 5]), "coefficients"),
        log="natural",
    )
    samples = noise(data.draw(st.integers(101, 500), "samples"))
    whole = log_mel(samples, spec)
    stream = LogMel(spec)
    for _ in range(2):  # a stream that is flushed begins again
        rows, left = [], samples
        while len(left):
            size = data.draw(st.integers(0, len(left)), "chunk") or 1
            rows.append(stream.push(left[:size]))
            left = left[size:]
        assert np.array_equal(np.concatenate([*rows, stream.flush()]), whole)


def test_int16_is_read_as_its_fraction() -> None:
    samples = np.array([-32768, -1, 0, 1, 16384, 32767] * 20, np.int16)
    assert np.array_equal(log_mel(samples, SMALL), log_mel(samples / 32768, SMALL))


def test_what_a_stream_holds_does_not_grow() -> None:
    stream = Spectrogram(replace(SMALL, pad="reflect"))
    stream.push(noise(500))
    sizes = {name: getattr(value, "nbytes", 0) for name, value in vars(stream._framer).items()}
    for seed in range(20):
        stream.push(noise(137 * seed, seed))
    assert sizes == {name: getattr(value, "nbytes", 0) for name, value in vars(stream._framer).items()}


@pytest.mark.parametrize(
    "samples, said",
    [
        (np.zeros((4, 2)), r"samples: got shape \(4, 2\), expected \(time,\); to_mono\(\) mixes channels"),
        (np.zeros(4, np.int32), "samples: got dtype int32, expected int16, or floats from -1 to 1"),
        (np.array([0.0, np.nan]), "samples: got NaN or infinity"),
        (np.array([np.inf]), "samples: got NaN or infinity"),
    ],
)
def test_bad_samples_are_refused_and_the_stream_goes_on(samples: Array, said: str) -> None:
    stream = LogMel(SMALL)
    first = stream.push(noise(77))
    with pytest.raises(InvalidInput, match=said):
        stream.push(samples)
    rest = stream.push(noise(90, 1))
    whole = log_mel(np.concatenate([noise(77), noise(90, 1)]), SMALL)
    assert np.array_equal(np.concatenate([first, rest]), whole)


def test_a_clip_too_short_to_mirror_is_refused() -> None:
    with pytest.raises(InvalidInput, match="got a clip of 20, expected at least 33 to mirror its ends"):
        log_mel(noise(20), replace(SMALL, window=64, pad="reflect"))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"rate_hz": 0}, "audio rate_hz: got 0, expected at least 1"),
        ({"hop": 0}, "audio hop: got 0, expected 1 to 65536"),
        ({"mels": 0}, "audio mels: got 0"),
        ({"mels": 65}, "audio mels: got 65, expected 1 to 64"),
        ({"n_fft": 1 << 14, "mels": 513}, "audio mels: got 513, expected 1 to 512"),
        ({"window": 65}, "audio window, n_fft: got 65 and 64"),
        ({"n_fft": 1 << 15}, "audio window, n_fft"),
        ({"f_max": 4001.0}, "audio f_min, f_max: got 0.0 and 4001.0 Hz"),
        ({"f_min": 4000.0}, "audio f_min, f_max"),
        ({"f_max": math.nan}, "audio f_min, f_max"),
        ({"floor": 0.0}, "audio floor: got 0.0, expected a positive number"),
        ({"coefficients": 13}, "audio coefficients: got 13, expected 0 to mels = 12"),
        ({"mean": (0.0, 0.0)}, "audio mean: got 2 values, expected 1 or 12"),
        ({"mean": (math.inf,)}, "audio mean: got"),
        ({"std": (0.0,)}, "audio std: got"),
        ({"scale": "bark"}, "audio scale: got 'bark', expected one of 'htk', 'slaney'"),
        ({"window_kind": "kaiser"}, "audio window_kind"),
        ({"pad": "edge"}, "audio pad"),
        ({"log": "log2"}, "audio log"),
        ({"spectrum": "complex"}, "audio spectrum"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(CardError, match=said):
        replace(SMALL, **changes)  # type: ignore[arg-type]  # keywords by name, checked when called


def test_windows_and_frames_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="window: got 'kaiser', expected one of 'hann'"):
        make_window("kaiser", 8)
    with pytest.raises(InvalidInput, match="window: got 1 samples"):
        make_window("hann", 1)
    with pytest.raises(InvalidInput, match="frames: got window 4, hop 0"):
        Framer(4, 0)
    with pytest.raises(InvalidInput, match="frames: got padding 4, expected less than window 4"):
        Framer(4, 1, before=4)
