"""Accuracy with its intervals, the largest drop allowed and the drift baseline, on a net that names a colour."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import case, model_of
from PIL import Image

import edgewise
from edgewise.model_card import ModelCard
from edgewise_converters.errors import InvalidSamples, VerificationFailed
from edgewise_converters.intervals import Paired
from edgewise_converters.pipeline import convert
from edgewise_converters.progress import Silent
from edgewise_converters.request import Request, Result
from edgewise_converters.survey import Verdicts

COLOURS = ("red", "green", "blue")
PICTURES = 60
MISLABELLED = 6
SCORES = np.eye(3, dtype=np.float32)


def net(weights: np.ndarray, bias: np.ndarray, path: Path) -> Path:
    """Mean of each colour, times ``weights`` [3, n], plus ``bias`` [n]."""
    body = "d = GlobalAveragePool(x) e = Flatten(d) y = Gemm(e, w, b)"
    onnx.save(
        model_of(case(body, x=(1, 3, 16, 16), w=weights.astype(np.float32), b=bias.astype(np.float32))), path
    )
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures in folders named after the colour they are, but for a few in the wrong one."""
    rng = np.random.default_rng(0)
    for i in range(PICTURES):
        colour = i % 3
        pixels = rng.integers(0, 200, (16, 16, 3))
        pixels[..., colour] += 40
        named = COLOURS[(colour + (i < MISLABELLED)) % 3].capitalize()
        (tmp_path / "photos" / named).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / named / f"{i:02}.png")
    (tmp_path / "labels.txt").write_text("\n".join(COLOURS))
    net(SCORES, np.zeros(3), tmp_path / "net.onnx")
    return tmp_path


def request(folder: Path, **options: object) -> Request:
    """A conversion with labelled photos."""
    plain = Request(
        source=folder / "net.onnx",
        target="rpi4",
        precision="fp32",
        samples=folder / "photos",
        preprocess="unit",
        labels=folder / "labels.txt",
        out=folder / "out.tflite",
    )
    return replace(plain, **options)  # type: ignore[arg-type]  # keywords by name, checked when called


def card_of(result: Result) -> ModelCard:
    """The card in the written file."""
    card = edgewise.read_model(result.path).card
    assert card is not None
    return card


def test_accuracy_is_counted_on_samples_that_nothing_was_calibrated_on(folder: Path) -> None:
    accuracy = convert(request(folder)).accuracy
    assert accuracy is not None and accuracy.original and accuracy.converted and accuracy.drop
    assert accuracy.samples == accuracy.labelled == PICTURES // 5
    wrong = round((1 - accuracy.original.value) * accuracy.labelled)
    assert 0 < wrong <= MISLABELLED
    assert accuracy.converted == accuracy.original
    assert accuracy.agreement.value == 1.0 and accuracy.agreement.low < 0.9
    assert accuracy.drop.value == 0 and accuracy.drop.low < 0 < accuracy.drop.high


def test_the_card_tells_accuracy_with_its_interval(folder: Path) -> None:
    result = convert(request(folder))
    figures = {figure.metric: figure for figure in card_of(result).quality}
    assert result.accuracy is not None and result.accuracy.converted is not None
    top1 = figures["top-1 accuracy"]
    assert top1.value == round(result.accuracy.converted.value, 4) and top1.samples == PICTURES // 5
    assert top1.low is not None and top1.high is not None and top1.low < top1.value < top1.high


def test_pictures_in_other_folders_have_no_class(folder: Path) -> None:
    (folder / "photos" / "Blue").rename(folder / "photos" / "sky")
    progress = Silent()
    accuracy = convert(request(folder), progress).accuracy
    assert accuracy is not None and 0 < accuracy.labelled < accuracy.samples
    assert any("no label of --labels" in notice and "sky" in notice for notice in progress.notices)


def test_an_archive_may_hold_the_classes(folder: Path) -> None:
    rng = np.random.default_rng(1)
    data = rng.random((50, 3, 16, 16), np.float32)
    truth = data.mean(axis=(2, 3)).argmax(axis=1)
    np.savez(folder / "some.npz", x=data, y=truth)
    options = {"samples": folder / "some.npz", "preprocess": None, "task": "image-classification"}
    accuracy = convert(request(folder, **options)).accuracy
    assert accuracy is not None and accuracy.converted is not None
    assert accuracy.labelled == 10 and accuracy.converted.value == 1.0
    np.savez(folder / "some.npz", x=data, y=truth + 9)
    with pytest.raises(InvalidSamples, match=r"of class \d+, the model has scores 0 to 2"):
        convert(request(folder, **options))
    np.savez(folder / "some.npz", x=data, y=truth[:-1])
    with pytest.raises(InvalidSamples, match="expected 50 integers"):
        convert(request(folder, **options))


def test_a_drop_that_the_samples_cannot_show_is_refused_with_how_many_would(folder: Path) -> None:
    with pytest.raises(InvalidSamples, match=r"12 samples cannot show it.*give about \d+"):
        convert(request(folder, max_drop=0.01))
    assert not (folder / "out.tflite").exists()


def test_a_largest_drop_needs_a_classifier_and_samples(folder: Path) -> None:
    with pytest.raises(InvalidSamples, match="no --samples"):
        convert(request(folder, max_drop=0.1, samples=None))
    with pytest.raises(InvalidSamples, match="the task tensors"):
        convert(request(folder, max_drop=0.1, task="tensors"))


def far_apart(folder: Path) -> None:
    """A net whose scores differ by less than an int8 step, since one lies far away: high dB, wrong answers."""
    weights = np.concatenate([0.3 * SCORES, np.zeros((3, 1), np.float32)], axis=1)
    net(weights, np.array([0.0, 0.0, 0.0, -60.0]), folder / "net.onnx")
    (folder / "labels.txt").write_text("\n".join((*COLOURS, "none")))


def test_int8_that_may_lose_more_than_allowed_is_refused(folder: Path) -> None:
    far_apart(folder)
    lossy = convert(request(folder, precision="int8", calibration="minmax"))
    assert lossy.accuracy is not None and lossy.accuracy.drop_bound > 0.3
    (folder / "out.tflite").unlink()
    with pytest.raises(VerificationFailed, match=r"--max-drop allows 0\.3"):
        convert(request(folder, precision="int8", calibration="minmax", max_drop=0.3))
    assert not (folder / "out.tflite").exists()


def test_auto_steps_down_to_what_loses_less(folder: Path) -> None:
    far_apart(folder)
    progress = Silent()
    result = convert(request(folder, precision="auto", max_drop=0.3), progress)
    assert result.accuracy is not None and result.accuracy.drop_bound <= 0.3
    assert result.precision != "int8" or any(layer.precision != "int8" for layer in result.card.layers)


def test_the_baseline_is_of_all_samples_and_of_the_written_file(folder: Path) -> None:
    result = convert(request(folder, precision="int8"))
    drift = card_of(result).drift
    assert drift is not None and drift.answers is not None and drift.outputs == ()
    assert drift.samples == PICTURES == drift.answers.confidences.total
    assert sum(entry.count for entry in drift.answers.classes) + drift.answers.other_classes == PICTURES
    assert {entry.index for entry in drift.answers.classes} == {0, 1, 2}
    seen = [edgewise.load(result.path).predict(file).top for file in sorted(folder.rglob("*.png"))]
    counts = np.bincount([category.index for category in seen], minlength=3)
    assert {entry.index: entry.count for entry in drift.answers.classes} == dict(enumerate(counts.tolist()))
    (pictures,) = drift.inputs
    assert 0 <= pictures.minimum < pictures.mean < pictures.maximum <= 1
    assert pictures.sample_means.total == PICTURES


def test_a_model_that_does_not_classify_has_a_baseline_of_its_outputs(folder: Path) -> None:
    drift = card_of(convert(request(folder, task="tensors"))).drift
    assert drift is not None and drift.answers is None
    assert [tensor.name for tensor in drift.outputs] == ["y"]


def test_accuracy_on_what_was_calibrated_on_is_said_to_be_so(folder: Path) -> None:
    for path in sorted((folder / "photos").rglob("*.png"))[30:]:
        path.unlink()
    said, unsaid = Silent(), Silent()
    convert(request(folder, precision="int8"), said)
    convert(request(folder), unsaid)
    assert any("the 30 samples that are calibrated on" in notice for notice in said.notices)
    assert not unsaid.notices


def test_random_inputs_make_no_baseline(folder: Path) -> None:
    result = convert(request(folder, samples=None, precision="dynamic"))
    assert card_of(result).drift is None and result.accuracy is None


def test_the_bound_is_that_of_other_answers_where_no_class_is_known() -> None:
    nothing = Paired(0, 0, 0, 0)
    assert Verdicts(100, 0, nothing).drop_bound == pytest.approx(0.0263, abs=1e-4)  # z^2 / (n + z^2)
    assert Verdicts(95, 5, nothing).drop_bound > 0.05
    # With classes, answers that change without being right before cost nothing.
    assert Verdicts(90, 10, Paired(80, 0, 0, 20)).drop_bound < 0.05
