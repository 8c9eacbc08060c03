"""The card: JSON and back, strict about types, tolerant about the future."""

import json
from dataclasses import replace

import pytest

from edgewise.detection_card import DetectionCard
from edgewise.errors import CardError
from edgewise.model_card import (
    Golden,
    ImagePreprocess,
    LayerPrecision,
    ModelCard,
    Quality,
    Source,
    TensorCard,
)
from edgewise.tensors import Quantization


def full_card() -> ModelCard:
    """A card with every field set."""
    image = ImagePreprocess(
        (224, 192), "centre-crop", 0.875, "bicubic", "bgr", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 114
    )
    quantization = Quantization((0.5,), (3,))
    return ModelCard(
        name="näme",
        task="image-classification",
        inputs=(
            TensorCard("in", (1, 192, 224, 3), "uint8", "nhwc", quantization, image, source_name="input.1"),
        ),
        outputs=(TensorCard("out", (1, 2), "float32", activation="logits"),),
        labels=("cat", "dog"),
        target="rpi4",
        precision="int8",
        runtimes=("litert", "tflite-runtime"),
        source=Source("a.onnx", "0" * 64, "onnx", 17),
        tools={"edgewise": "0.1.0"},
        command="edgewise convert a.onnx",
        golden=Golden(2, 40.0, output_steps=(3,)),
        quality=(Quality("top-1", 0.95, "", "photos", 100, 0.9, 0.98),),
        layers=(LayerPrecision("int8", 60), LayerPrecision("float32", 1, ("gate",))),
        calibration={"in": (-1.0, 2.5)},
        calibration_samples=80,
        calibration_method="mse ranges",
        licence="Apache-2.0",
        created="2026-11-22T12:00:00Z",
        detection=DetectionCard("yolov8", 0.4, 0.5, 17, True),
    )


def test_a_full_card_survives_json() -> None:
    assert ModelCard.from_json(full_card().to_json()) == full_card()


def test_keys_of_a_later_writer_are_ignored() -> None:
    values = json.loads(full_card().to_json())
    values["future"] = {"a": 1}
    values["inputs"][0]["image"]["future"] = 1
    assert ModelCard.from_json(json.dumps(values)) == full_card()


def test_a_card_without_detection_is_as_it_was_before_there_was_any() -> None:
    text = replace(full_card(), detection=None).to_json()
    assert text.endswith('"licence":"Apache-2.0","created":"2026-11-22T12:00:00Z"}')
    assert ModelCard.from_json(text).detection is None


def test_a_card_of_a_later_version_is_refused_and_says_what_to_do() -> None:
    values = json.loads(full_card().to_json()) | {"version": 2}
    with pytest.raises(CardError, match="version: got 2, expected at most 1; update edgewise"):
        ModelCard.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["name"], 3, r"model card\.name: got 3, expected text"),
        (["inputs"], {}, r"inputs: got \{\}, expected a list"),
        (["inputs", 0, "shape", 1], "192", r"inputs\[0\]\.shape\[1\]: got '192', expected an integer"),
        (["inputs", 0, "shape", 1], True, r"shape\[1\]: got True, expected an integer"),
        (["inputs", 0, "image", "size_wh"], [224], "size_wh: got 1 values, expected 2"),
        (["inputs", 0, "image", "colour"], "cmyk", "colour: got 'cmyk', expected one of 'rgb'"),
        (["inputs", 0, "image", "std"], [0.0], "std: got"),
        (["inputs", 0, "quantization", "scales"], [], "quantization: got 0 scales"),
        (["calibration", "in"], [0, "1"], r"calibration\.in\[1\]: got '1', expected a number"),
        (["quality", 0, "value"], float("nan"), "value: got nan, expected a finite number"),
        (["outputs"], [], "0 outputs"),
        (["detection", "head"], "yolo", r"detection: head: got 'yolo', expected one of 'yolov8'"),
        (["detection", "score_threshold"], 40, "detection: score_threshold: got 40.0, expected 0 to 1"),
        (["detection", "overlap_threshold"], -0.1, "detection: overlap_threshold: got -0.1"),
        (["detection", "keypoints"], -1, "detection: keypoints: got -1, expected at least 0"),
        (["detection", "keypoints"], 1.5, r"detection\.keypoints: got 1.5, expected an integer"),
        (["labels", 0], "two\nlines", "no line break"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(path: list[str | int], value: object, message: str) -> None:
    values = json.loads(full_card().to_json())
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(CardError, match=message):
        ModelCard.from_json(json.dumps(values))


def test_a_missing_key_is_named() -> None:
    values = json.loads(full_card().to_json())
    del values["task"]
    with pytest.raises(CardError, match="'task' is missing"):
        ModelCard.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "\xff", "[" * 100_000])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(CardError, match="model card"):
        ModelCard.from_json(text)


@pytest.mark.parametrize("steps", [(0,), (-3,), (1, 2, 3, 4, 5)])
def test_steps_through_golden_outputs_fit_the_outputs(steps: tuple[int, ...]) -> None:
    with pytest.raises(CardError, match="output_steps"):
        replace(full_card(), golden=Golden(2, 40.0, output_steps=steps))
