"""The trained keyword model: as ONNX, what it answers to rows that the SDK did not make, and converted for a board."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime

import edgewise
from edgewise.audio_card import AudioPreprocess
from edgewise.model_card import AUDIO_CLASSIFICATION
from edgewise.tensors import Array
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request
from model_sources.mfcc_reference import normalised
from model_sources.spoken_words import Clips, clips, in_noise, windows
from train_keywords import MODEL, training_windows

TEST_SEED = 300
CALIBRATION_SEEDS, CALIBRATION = range(400, 401), 200
"""Windows of training voices, in noise of their own."""


def spec() -> AudioPreprocess:
    """What the card of the ONNX file says of its sound."""
    card = edgewise.read_model(MODEL).card
    assert card
    found = card.inputs[0].audio
    assert found
    return found


def rows(sounds: Array) -> Array:
    """int16 [n, samples] to the model's input [n, 49, 20, 1], by the training's own NumPy."""
    said = spec()
    return normalised(sounds, np.array(said.mean, np.float32), np.array(said.std, np.float32))


def logits_in_training(given: Array) -> Array:
    """What the float network answers, by onnxruntime: [n, labels]."""
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"rows": one[np.newaxis]})[0] for one in given])


def write_calibration(path: Path) -> Path:
    """A .npy file of inputs, as a user has them."""
    found = training_windows(CALIBRATION_SEEDS).sounds
    picked = np.linspace(0, len(found) - 1, CALIBRATION).astype(int)
    np.save(path, rows(found[picked]))
    return path


def converted(folder: Path, precision: str) -> Path:
    """By `edgewise convert`, with the pre-processing of the ONNX file's card put into its own."""
    samples = folder / "rows.npy"
    source = edgewise.read_model(MODEL).card
    assert source
    labels = folder / "labels.txt"
    labels.write_text("\n".join(source.labels) + "\n")
    request = Request(
        source=MODEL,
        target="rpi4",
        precision=precision,
        samples=samples if samples.exists() else write_calibration(samples),
        labels=labels,
        task=AUDIO_CLASSIFICATION,
        out=folder / f"keywords-{precision}.tflite",
    )
    path = convert(request).path
    file = edgewise.read_model(path)
    assert file.card
    inputs = (replace(file.card.inputs[0], audio=source.inputs[0].audio),)
    outputs = (replace(file.card.outputs[0], activation="logits"),)
    card = replace(file.card, inputs=inputs, outputs=outputs)
    edgewise.write_model(path, path.read_bytes(), card=card, golden=file.golden())
    return path


def judged_windows() -> tuple[Array, Array]:
    """Sounds and labels of the voices that nothing was trained, chosen or calibrated on."""
    found = windows(clips("test"), seed=TEST_SEED)
    return found.sounds, found.labels


def stream_of(said: Clips, places: list[int], *, seed: int, every_s: float = 2.0) -> Array:
    """int16 at the model's rate: these clips, one every so many seconds after the first, in noise 20 dB below."""
    rate_hz = spec().rate_hz
    step, silence = round(every_s * rate_hz), rate_hz
    samples = np.zeros(silence + step * len(places))
    for number, place in enumerate(places):
        clip = said.samples[place].astype(np.float64)
        start = silence + number * step
        samples[start : start + len(clip)] = 0.5 * clip / np.abs(clip).max()
    return in_noise(samples, np.random.default_rng(seed), below_db=20)
