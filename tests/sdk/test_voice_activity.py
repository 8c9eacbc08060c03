"""Speech found where it is: by the real silero-vad, and by hysteresis on probabilities that are given."""

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgewise
import models_and_data
from edgewise.errors import CardError, InvalidInput
from edgewise.preprocess.resample import resample
from edgewise.preprocess.samples import to_float, to_mono
from edgewise.tasks.voice_activity import (
    SpeechSegment,
    SpeechSegmenter,
    VoiceActivity,
    VoiceActivityOptions,
)
from edgewise.tensors import Array

RATE, CHUNK, CONTEXT = 16_000, 512, 64
SPOKEN = Path("/usr/share/sounds/alsa")
"""Where Debian's alsa-utils has a voice saying "front center" and the like."""
SAME = 1e-6
"""onnxruntime twice with the same arrays: equal but for nothing."""
EDGE_S = 0.2
"""A detector may be late or early by some chunks of 32 ms, and a voice fades in and out."""


@pytest.fixture(scope="module")
def silero() -> Iterator[edgewise.Model]:
    with edgewise.load(models_and_data.silero_vad_onnx(), threads=1) as model:
        yield model


def read_wav(path: Path) -> Array:
    """Mono at 16 kHz, float32."""
    with wave.open(str(path)) as file:
        assert file.getsampwidth() == 2
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, file.getnchannels())
        return resample(to_mono(to_float(samples)), file.getframerate(), RATE)


def like_speech(seconds: float) -> Array:
    """A voice of 120 Hz with moving formants, in syllables."""
    time = np.arange(round(seconds * RATE)) / RATE
    voice = np.zeros_like(time)
    for harmonic in range(1, 30):
        formants = 600 + 200 * np.sin(2 * np.pi * 1.5 * time), 1500 + 500 * np.sin(2 * np.pi * 2.1 * time)
        strength = sum(np.exp(-(((120 * harmonic - formant) / 150) ** 2)) for formant in formants)
        phase = np.cumsum(120 + 15 * np.sin(2 * np.pi * 3 * time)) * harmonic / RATE
        voice += strength * np.sin(2 * np.pi * phase)
    return np.asarray(0.2 * voice * np.clip(np.sin(2 * np.pi * 2 * time), 0, 1))


def between_silences(sound: Array) -> Array:
    """A second of faint noise, the sound, two seconds of faint noise."""
    rng = np.random.default_rng(0)
    return np.concatenate([0.001 * rng.standard_normal(RATE), sound, 0.001 * rng.standard_normal(2 * RATE)])


def segments(model: edgewise.Model, samples: Array) -> list[SpeechSegment]:
    activity = VoiceActivity(model)
    return [*activity.push(samples), *activity.flush()]


def test_probabilities_are_those_of_onnxruntime_called_by_hand(silero: edgewise.Model) -> None:
    samples = between_silences(like_speech(2)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(silero.path), providers=["CPUExecutionProvider"])
    state, activity = np.zeros((2, 1, 128), np.float32), VoiceActivity(silero)
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), samples])
    seen = []
    for start in range(0, len(samples) - CHUNK + 1, CHUNK):
        chunk = padded[np.newaxis, start : start + CHUNK + CONTEXT]
        want, state = session.run(None, {"input": chunk, "state": state, "sr": np.array(RATE)})
        activity.push(samples[start : start + CHUNK])
        assert activity.probability == pytest.approx(float(want[0, 0]), abs=SAME)
        seen.append(activity.probability)
    assert min(seen) < 0.1
    assert max(seen) > 0.9


def test_speech_is_found_where_it_is_and_silence_is_not(silero: edgewise.Model) -> None:
    found = segments(silero, between_silences(like_speech(2)))
    assert found
    assert all(1 - EDGE_S < one.start_s < one.end_s < 3 + EDGE_S for one in found)
    assert sum(one.duration_s for one in found) > 0.4
    assert segments(silero, 0.001 * np.random.default_rng(1).standard_normal(3 * RATE)) == []
    assert segments(silero, np.zeros(3 * RATE)) == []


def test_a_recorded_singing_voice_is_found_where_it_is(silero: edgewise.Model) -> None:
    path = sorted(models_and_data.SOURCES["singing"].make().glob("*.wav"))[0]
    sound = read_wav(path)[: 6 * RATE]
    found = segments(silero, between_silences(sound))
    assert found
    assert all(1 - EDGE_S < one.start_s < one.end_s < 7 + EDGE_S for one in found)


@pytest.mark.skipif(not SPOKEN.is_dir(), reason="needs the spoken WAV files of Debian's alsa-utils")
@pytest.mark.parametrize("name", ["Front_Center", "Rear_Left", "Side_Right"])
def test_two_spoken_words_are_found_and_noise_is_not(silero: edgewise.Model, name: str) -> None:
    sound = read_wav(SPOKEN / f"{name}.wav")
    loud = np.flatnonzero(np.abs(sound) > 0.02) / RATE + 1
    found = segments(silero, between_silences(sound))
    assert found[0].start_s == pytest.approx(loud[0], abs=EDGE_S)
    assert found[-1].end_s == pytest.approx(loud[-1], abs=EDGE_S)
    assert segments(silero, between_silences(read_wav(SPOKEN / "Noise.wav"))) == []


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 5 * RATE), max_size=9))
def test_segments_do_not_depend_on_how_the_stream_is_cut(silero: edgewise.Model, cuts: list[int]) -> None:
    samples = between_silences(like_speech(2))
    activity = VoiceActivity(silero)
    found = [one for piece in np.split(samples, sorted(cuts)) for one in activity.push(piece)]
    assert [*found, *activity.flush()] == segments(silero, samples)


def test_a_stream_that_ends_within_speech_ends_its_segment(silero: edgewise.Model) -> None:
    samples = between_silences(like_speech(2))[: round(1.2 * RATE)]
    activity = VoiceActivity(silero, options=VoiceActivityOptions(min_speech_s=0.05))
    assert activity.push(samples) == []
    assert activity.is_speech
    assert activity.probability > 0.5
    [last] = activity.flush()
    assert last.end_s == 1.2
    assert not activity.is_speech
    assert activity.probability == 0
    assert activity.push(samples) == []  # flush has begun another stream
    assert activity.flush() == [last]


def decide(probabilities: list[float], **options: float) -> list[tuple[float, float]]:
    """Segments of chunks of a second."""
    segmenter = SpeechSegmenter(VoiceActivityOptions(**{"min_speech_s": 0, "min_silence_s": 0, **options}))
    found = [segmenter.push(one, index, index + 1) for index, one in enumerate(probabilities)]
    found.append(segmenter.close(len(probabilities)))
    return [(one.start_s, one.end_s) for one in found if one]


def test_speech_begins_at_one_threshold_and_ends_at_the_other() -> None:
    assert decide([0.1, 0.5, 0.4, 0.35, 0.34, 0.4]) == [(1, 4)]
    assert decide([0.49, 0.49]) == []
    assert decide([0.9, 0.9]) == [(0, 2)]
    assert decide([0.9, 0.1, 0.9]) == [(0, 1), (2, 3)]


def test_short_pauses_are_bridged_and_short_speech_is_left_out() -> None:
    pause = [0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.9]
    assert decide(pause, min_silence_s=2) == [(0, 3), (5, 7)]
    assert decide(pause, min_speech_s=2) == [(5, 7)]
    assert decide(pause, min_silence_s=2, min_speech_s=3) == [(0, 3)]
    assert decide(pause, min_silence_s=3) == [(0, 7)]
    assert decide([0.9, 0.1, 0.4, 0.4], min_silence_s=3) == [(0, 1)]  # what is between is no new speech
    assert decide([0.9, 0.1], min_silence_s=3) == [(0, 1)]


def test_what_does_not_fit_is_refused(silero: edgewise.Model, tiny: Path) -> None:
    with pytest.raises(CardError, match="expected 0 < end_threshold <= start_threshold <= 1"):
        VoiceActivityOptions(start_threshold=0.2)
    with pytest.raises(CardError, match="min_silence_s -1, expected 0 or more"):
        VoiceActivityOptions(min_silence_s=-1)
    with pytest.raises(InvalidInput, match="chunk 0, context 64"):
        VoiceActivity(silero, chunk=0)
    with pytest.raises(InvalidInput, match="samples: got dtype int64"):
        VoiceActivity(silero).push(np.zeros(512, np.int64))
    with edgewise.load(tiny) as other, pytest.raises(CardError):
        VoiceActivity(other)
