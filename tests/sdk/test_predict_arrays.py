"""`predict` for sound and for plain tensors: the answers of the window's classifier and of run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sdk.test_sound_tasks import (
    LABELS,
    RATE,
    WINDOW,
    tone,
    write_described_tones,
)
from sdk.test_streams_sources import write_wav

import edgewise
from edgewise import AudioClassifier
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import TENSORS
from edgewise.preprocess.resample import resample
from edgewise.preprocess.samples import to_int16
from edgewise.streams import WavSource
from edgewise.tasks.timings import Timings
from edgewise.tensors import Array
from edgewise.testing import write_tiny_model

SAME = 1e-6
"""Means of float32 scores in another order."""
INT16 = 2e-3
"""A WAV file rounds samples to 16 bits, of tones at half of full scale."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The network that tells low tones from high ones, with a card."""
    return write_described_tones(tmp_path / "tones.onnx")


def scores(found: edgewise.Classification) -> Array:
    rows = np.zeros(len(LABELS))
    for one in found.categories:
        rows[one.index] = one.score
    return rows


def test_a_window_gets_the_classifiers_answer(path: Path) -> None:
    with edgewise.load(path) as model:
        found: edgewise.AudioClassification = model.predict(tone(300, WINDOW))
        assert found.categories == AudioClassifier(model).classify(tone(300, WINDOW)).categories
        assert model.predict(tone(300, WINDOW), top=1).top.label == "low"
        assert found.latency_ms > 0


def test_a_short_clip_ends_in_silence_and_a_long_one_is_the_mean_of_windows(path: Path) -> None:
    with edgewise.load(path) as model:
        classifier = AudioClassifier(model)

        def classified(window: Array) -> Array:
            return scores(classifier.classify(window))

        short = tone(300, 1000)
        padded = np.pad(short, (0, WINDOW - 1000))
        assert scores(model.predict(short)) == pytest.approx(classified(padded), abs=SAME)
        clip = np.concatenate([tone(300, WINDOW), tone(3000, 2000)])
        starts = [0, WINDOW // 2, WINDOW, len(clip) - WINDOW]
        want = np.mean([classified(clip[start : start + WINDOW]) for start in starts], axis=0)
        assert scores(model.predict(clip)) == pytest.approx(want, abs=SAME)


def test_a_wav_file_says_its_rate_and_samples_are_told(path: Path, tmp_path: Path) -> None:
    fast = 0.5 * np.sin(2 * np.pi * 300 * np.arange(4 * WINDOW) / (2 * RATE))
    wav = write_wav(tmp_path / "a.wav", to_int16(fast).tobytes(), width=2, rate_hz=2 * RATE)
    with edgewise.load(path) as model:
        want = scores(model.predict(resample(fast.astype(np.float32), 2 * RATE, RATE)))
        assert scores(model.predict(fast, rate_hz=2 * RATE)) == pytest.approx(want, abs=SAME)
        assert scores(model.predict(wav)) == pytest.approx(want, abs=INT16)
        for given, options, message in (
            (wav, {"rate_hz": 9}, "a WAV file says its own; leave it out"),
            (tmp_path / "gone.wav", {}, "gone.wav: No such file"),
            (path, {}, "a file that is no WAV of integers"),
            (np.zeros(0), {}, "samples: got none, expected some sound"),
            (np.zeros(9), {"rate_hz": 0}, "rate_hz: got 0, expected at least 1"),
            (np.zeros((9, 2)), {}, r"samples: got shape \(9, 2\)"),
        ):
            with pytest.raises(InvalidInput, match=message):
                model.predict(given, **options)  # type: ignore[arg-type]  # keywords by name, checked when called


def test_a_stream_of_sound_is_answered_by_windows_of_half_a_windows_step(path: Path, tmp_path: Path) -> None:
    clip = np.concatenate([tone(300, 3 * WINDOW), tone(3000, 3 * WINDOW)]).astype(np.float32)
    wav = write_wav(tmp_path / "a.wav", to_int16(clip).tobytes(), width=2, rate_hz=RATE)
    with edgewise.load(path) as model:
        labels = [result.answer.top.label for result in model.stream(WavSource(wav, block_samples=300))]
    assert len(labels) == 1 + (6 * WINDOW // 300 * 300 + 300 - WINDOW) // (WINDOW // 2)
    assert labels[:4] == ["low"] * 4
    assert labels[-4:] == ["high"] * 4


def test_tensors_are_the_outputs_of_run_as_real_numbers(tmp_path: Path) -> None:
    given = np.random.default_rng(0).random((1, 8, 8, 3)).astype(np.float32)
    for dtype in ("float32", "int8"):
        path = write_tiny_model(tmp_path / f"{dtype}.tflite", dtype=dtype)
        with edgewise.load(path, task=TENSORS) as model:
            want = model.outputs[0].dequantized(model.run(given)["scores"])
            for one in (given, {"image": given}):
                found: edgewise.Tensors = model.predict(one)
                assert np.array_equal(found["scores"], want)
                assert found.arrays["scores"].dtype == np.float32
            as_json = json.loads(json.dumps(found.to_dict()))
            assert as_json["outputs"]["scores"]["values"] == want.ravel().tolist()
            assert found.lines()[0].startswith("scores  float32 1 x 3")
            assert found.timings.invoke_ms > 0
            with pytest.raises(CardError, match=f"{path}: its task is 'tensors', .*got str; give load"):
                model.predict("photo.jpg")


def test_tensors_that_are_not_numbers_are_null_in_json() -> None:
    found = edgewise.Tensors({"a": np.array([1, np.nan, np.inf])}, Timings(0, 0, 0))
    assert found.to_dict()["outputs"]["a"]["values"] == [1.0, None, None]


def test_a_card_of_tensors_needs_no_argument(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.tflite")
    file = edgewise.read_model(path)
    assert file.card
    edgewise.write_model(path, path.read_bytes(), card=replace(file.card, task=TENSORS), golden=file.golden())
    with edgewise.load(path) as model:
        assert isinstance(model.predict(np.zeros((1, 8, 8, 3), np.float32)), edgewise.Tensors)
        with pytest.raises(InvalidInput, match="this model's input is no picture"):
            model.image_reader()
