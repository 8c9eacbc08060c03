"""Which exercise somebody does, by the SDK from converted files, on people that nothing was trained or chosen on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sdk import exercise_files
from sdk.exercise_files import Windows

import edgewise
from edgewise.model_card import TIME_SERIES_CLASSIFICATION
from edgewise.series_card import SeriesPreprocess
from edgewise.streams import SimulatedSensor
from edgewise.tensors import Array
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request
from model_sources.exercises import RATE_HZ, Exercises, read_exercises

CALIBRATION = 200
SAME_LOGITS = 1e-3
"""Float32 sums of some thousand products in another order; logits are up to 10."""
SAME_ACCURACY = 0.002
"""Two of the 963 test windows: float32 may turn a tie."""
INT8_LOSS = 0.01
"""What 8 bits may cost at most."""
TEST_ACCURACY = 0.80
"""What is measured is in docs/sdk.md; a figure below this means that something is broken, not that it is worse."""


@pytest.fixture(scope="module")
def data(exercises: Path) -> Exercises:
    return read_exercises(exercises)


@pytest.fixture(scope="module")
def trained(data: Exercises) -> tuple[SeriesPreprocess, exercise_files.Weights, Windows, Windows]:
    """Pre-processing and weights by the train people, windows to calibrate on, and those to judge on."""
    spec, train, _, test = exercise_files.split(data)
    weights = exercise_files.train(exercise_files.tensors(train, spec), train.labels, len(data.names))
    return spec, weights, train, test


@pytest.fixture(scope="module")
def folder(
    trained: tuple[SeriesPreprocess, exercise_files.Weights, Windows, Windows],
    data: Exercises,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The network as ONNX, its calibration windows and its labels, as a user has them."""
    spec, weights, train, _ = trained
    folder = tmp_path_factory.mktemp("exercises")
    (folder / "exercises.onnx").write_bytes(exercise_files.network(weights).SerializeToString())
    picked = np.linspace(0, len(train.labels) - 1, CALIBRATION).astype(int)
    some = Windows(train.series[picked], train.labels[picked], train.recordings[picked])
    np.save(folder / "windows.npy", exercise_files.tensors(some, spec))
    (folder / "labels.txt").write_text("\n".join(data.names) + "\n")
    return folder


def converted(folder: Path, spec: SeriesPreprocess, precision: str) -> Path:
    """By `edgewise convert`, with the pre-processing put into its card."""
    request = Request(
        source=folder / "exercises.onnx",
        target="rpi4",
        precision=precision,
        samples=folder / "windows.npy",
        labels=folder / "labels.txt",
        task=TIME_SERIES_CLASSIFICATION,
        out=folder / f"exercises-{precision}.tflite",
    )
    path = convert(request).path
    file = edgewise.read_model(path)
    assert file.card
    card = replace(
        file.card,
        inputs=(replace(file.card.inputs[0], series=spec),),
        outputs=(replace(file.card.outputs[0], activation="logits"),),
    )
    edgewise.write_model(path, path.read_bytes(), card=card, golden=file.golden())
    return path


@pytest.fixture(scope="module")
def fp32(
    folder: Path, trained: tuple[SeriesPreprocess, exercise_files.Weights, Windows, Windows]
) -> Iterator[edgewise.Model]:
    with edgewise.load(converted(folder, trained[0], "fp32"), threads=1) as model:
        yield model


def accuracy(model: edgewise.Model, windows: Windows) -> float:
    """Of single windows, as measured, by predict."""
    found = [model.predict(window).top.index for window in windows.series]
    return float((np.array(found) == windows.labels).mean())


def test_the_sdk_is_as_good_as_the_training_on_people_it_has_not_seen(
    fp32: edgewise.Model,
    folder: Path,
    trained: tuple[SeriesPreprocess, exercise_files.Weights, Windows, Windows],
    record_property: Callable[[str, object], None],
) -> None:
    spec, weights, _, test = trained
    given = exercise_files.tensors(test, spec)
    in_training = float((exercise_files.logits(given, weights).argmax(axis=1) == test.labels).mean())
    with edgewise.load(converted(folder, spec, "int8"), threads=1) as model:
        assert model.card
        assert model.card.precision == "int8"
        int8 = accuracy(model, test)
    floats = accuracy(fp32, test)
    record_property("windows", len(test.labels))
    record_property("training, float32, int8", f"{in_training:.4f}, {floats:.4f}, {int8:.4f}")
    assert floats == pytest.approx(in_training, abs=SAME_ACCURACY)
    assert int8 > in_training - INT8_LOSS
    assert in_training > TEST_ACCURACY


def test_a_window_gets_the_logits_that_training_gives_it(
    fp32: edgewise.Model, trained: tuple[SeriesPreprocess, exercise_files.Weights, Windows, Windows]
) -> None:
    spec, weights, train, _ = trained
    given = exercise_files.tensors(train, spec)[:20]
    want = exercise_files.logits(given, weights)
    got = np.concatenate([fp32.run(window[np.newaxis])["logits"] for window in given])
    assert np.abs(got - want).max() < SAME_LOGITS


def shares(model: edgewise.Model, recording: Array) -> Array:
    """The mean of the probabilities of all windows."""
    rows = np.zeros((1, len(model.labels)))
    for one in model.predict(recording, top=len(model.labels)).categories:
        rows[0, one.index] = one.score
    return rows[0]


def test_a_recording_is_the_mean_of_its_windows(fp32: edgewise.Model, data: Exercises) -> None:
    recording = data.recordings[0][:375]
    windows = [recording[start : start + 150] for start in (0, 75, 150, 225)]
    want = np.mean([shares(fp32, window) for window in windows], axis=0)
    assert shares(fp32, recording) == pytest.approx(want, abs=1e-6)


def test_most_recordings_of_new_people_are_recognised_as_a_whole(
    fp32: edgewise.Model, data: Exercises, record_property: Callable[[str, object], None]
) -> None:
    of_test = [place for place, who in enumerate(data.subjects) if who in exercise_files.TEST_SUBJECTS]
    right = [
        fp32.predict(data.recordings[place]).top.label == data.names[data.labels[place]] for place in of_test
    ]
    record_property("recordings", f"{sum(right)} of {len(right)}")
    assert sum(right) / len(right) > TEST_ACCURACY


def test_a_sensor_that_streams_gets_the_answers_of_the_recording(
    fp32: edgewise.Model, data: Exercises
) -> None:
    recording = data.recordings[1][:600]
    sensor = SimulatedSensor(recording, rate_hz=RATE_HZ, channels=data.channels, block_samples=32)
    streamed = [result.answer.top for result in fp32.stream(sensor)]
    windows = [recording[start : start + 150] for start in range(0, 451, 75)]
    assert streamed == [fp32.predict(window).top for window in windows]
