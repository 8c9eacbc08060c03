"""What only a model's maker knows goes into its card, and the SDK then answers by it without being told."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import Case, case, model_of

from edgewise import load
from edgewise.model_card import ModelCard
from edgewise_converters.commands.options import parse_feedback
from edgewise_converters.described import AUTO_FEEDBACK
from edgewise_converters.errors import ConversionError
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request

SERIES = case(
    "t = Transpose<perm=[0,2,1]>(x) a = Conv(t, w) p = GlobalAveragePool(a) f = Flatten(p) y = Softmax(f)",
    x=(1, 32, 3), w=(4, 3, 5),
)  # fmt: skip
SERIES_TEXT = """
[series]
rate_hz = 50
window = 32
stride = 16
channels = ["ax", "ay", "az"]
normalise = "window"
"""
SOUND = case(
    "a = Conv(x, w) p = GlobalAveragePool(a) f = Flatten(p) y = Softmax(f)", x=(1, 1, 20, 10), w=(3, 1, 4, 10)
)
SOUND_TEXT = "[audio]\ncoefficients = 10\n"
AUTOENCODER = case(
    "f = Reshape(x, s) h = MatMul(f, v) r = Relu(h) g = MatMul(r, w) y = Reshape(g, t)",
    x=(1, 16, 2), v=(32, 6), w=(6, 32), s=np.array([1, 32]), t=np.array([1, 16, 2]),
)  # fmt: skip
ANOMALY_TEXT = """
[series]
rate_hz = 100
window = 16
stride = 16
channels = ["x", "y"]
[anomaly]
kind = "squared-error"
threshold = 0.5
"""
MEMORY = case(
    "u = MatMul(x, v) m = Add(u, xh) n = Tanh(m) y = MatMul(n, w) yh = Identity(n)",
    x=(1, 4), xh=(1, 6), v=(4, 6), w=(6, 2),
)  # fmt: skip


def converted(folder: Path, net: Case, text: str = "", *, form: str = "toml", **asked: object) -> ModelCard:
    """The card of the file that a conversion in float32 writes, which stays as folder/net.tflite."""
    onnx.save(model_of(net), folder / "net.onnx")
    request = Request(source=folder / "net.onnx", target="rpi4", precision="fp32", out=folder / "net.tflite")
    if text:
        (folder / f"said.{form}").write_text(text)
        request = replace(request, describe=folder / f"said.{form}")
    return convert(replace(request, **asked)).card  # type: ignore[arg-type]  # keywords by name, checked when called


def test_a_described_series_model_answers_measurements(tmp_path: Path) -> None:
    card = converted(tmp_path, SERIES, SERIES_TEXT)
    assert card.task == "time-series-classification" and card.inputs[0].series is not None
    with load(tmp_path / "net.tflite") as model:
        recording = np.random.default_rng(0).standard_normal((100, 3))
        assert len(model.predict(recording).categories) == 4


def test_a_described_sound_model_answers_samples(tmp_path: Path) -> None:
    card = converted(tmp_path, SOUND, SOUND_TEXT)
    assert card.task == "audio-classification" and card.inputs[0].audio is not None
    assert card.inputs[0].audio.coefficients == 10
    with load(tmp_path / "net.tflite") as model:
        answer = model.predict(np.random.default_rng(0).standard_normal(16_000).astype(np.float32) / 10)
        assert len(answer.categories) == 3


def test_a_described_autoencoder_raises_alarms(tmp_path: Path) -> None:
    card = converted(tmp_path, AUTOENCODER, ANOMALY_TEXT)
    assert card.task == "anomaly-detection" and card.anomaly is not None and card.anomaly.threshold == 0.5
    with load(tmp_path / "net.tflite") as model:
        assert model.predict(np.full((16, 2), 50.0)).is_anomalous


@pytest.mark.parametrize("feedback", [AUTO_FEEDBACK, {"yh": "xh"}], ids=["auto", "said"])
def test_feedback_goes_into_the_card(feedback: dict[str, str], tmp_path: Path) -> None:
    assert converted(tmp_path, MEMORY, feedback=feedback).feedback == {"yh": "xh"}
    with load(tmp_path / "net.tflite") as model:
        state = model.new_state()
        first, second = (model.run({"x": np.ones((1, 4), np.float32)}, state=state)["y"] for _ in range(2))
        assert not np.array_equal(first, second)


def test_json_and_inputs_by_name(tmp_path: Path) -> None:
    net = case("u = MatMul(x, v) y = Add(u, xh)", x=(1, 1, 4), xh=(1, 6), v=(4, 6))
    said = {"inputs": {"x": {"series": {"rate_hz": 10, "window": 1, "stride": 1, "channels": list("abcd")}}}}
    card = converted(tmp_path, net, json.dumps(said), form="json")
    assert card.inputs[0].series is not None and card.inputs[1].series is None


def test_the_tokenizer_that_was_described_is_the_one_that_counts(tmp_path: Path) -> None:
    text = '[text]\npooling = "mean"\n'
    with pytest.raises(ConversionError, match=r"tokenizer.*No such file.*put it beside"):
        converted(tmp_path, MEMORY, text)
    (tmp_path / "tokenizer.json").write_text("{}")
    card = converted(tmp_path, MEMORY, text)
    assert card.task == "text-embedding" and card.text is not None and len(card.text.sha256) == 64


@pytest.mark.parametrize(
    ("net", "text", "says"),
    [
        (SERIES, SERIES_TEXT.replace("stride", "strid"), r"series: got 'strid', expected 'stride'"),
        (SERIES, SERIES_TEXT.replace("window = 32", "window = 31"), r"\[1, 31, 3\].*is \[1, 32, 3\]"),
        (SERIES, SERIES_TEXT.replace('"az"', '"ay"'), "expected each name once"),
        (SERIES, "[series]\nrate_hz = 50\n", "window"),
        (SOUND, "[audio]\ncoefficients = 11\n", r"rows of 11.*is \[1, .*20, 10"),
        (MEMORY, SOUND_TEXT, r"2 inputs, expected \[inputs.NAME.audio\]"),
        (MEMORY, "[inputs.z.audio]\n", "got input 'z', expected one of x, xh"),
        (MEMORY, "[feedback]\ny = 'xh'\n", r"'y' is float32\[1, 2\], input 'xh' is float32\[1, 6\]"),
        (SERIES, "[series\n", "expected TOML"),
        (SERIES, "# nothing yet\n", "it says nothing"),
        (SERIES, "[sounds]\n", "got 'sounds', expected one of"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_long_work(
    net: Case, text: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=says):
        converted(tmp_path, net, text)
    assert not (tmp_path / "net.tflite").exists()


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_what_the_card_of_the_original_says_is_taken_over(form: str, tmp_path: Path) -> None:
    first = converted(tmp_path, SERIES, SERIES_TEXT, format=form, out=tmp_path / f"first.{form}")
    again = Request(
        source=tmp_path / f"first.{form}", target="rpi4", precision="fp32", out=tmp_path / "again.tflite"
    )
    card = convert(again).card
    assert card.task == "time-series-classification"
    assert card.inputs[0].series == first.inputs[0].series is not None


def test_a_missing_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"--describe .*gone.toml: cannot be read"):
        converted(tmp_path, SERIES, describe=tmp_path / "gone.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConversionError, match="this is no file"):
        converted(tmp_path, SERIES, describe=tmp_path / "pipe.toml")


def test_feedback_that_nothing_tells_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"--feedback auto.*no output can feed"):
        converted(tmp_path, SERIES, feedback=AUTO_FEEDBACK)


def test_feedback_options() -> None:
    assert parse_feedback(["auto"]) == AUTO_FEEDBACK and parse_feedback(["a=b", "c=d"]) == {
        "a": "b",
        "c": "d",
    }


def test_the_characters_that_a_recogniser_carries_become_its_labels(tmp_path: Path) -> None:
    model = model_of(case("a = MatMul(x, w) y = Softmax(a)", x=(1, 7, 4), w=(4, 5)))
    onnx.helper.set_model_props(model, {"character": "a\nb\nc"})
    onnx.save(model, tmp_path / "line.onnx")
    request = Request(
        source=tmp_path / "line.onnx", target="rpi4", precision="fp32", out=tmp_path / "line.tflite"
    )
    assert convert(request).card.labels == ("", "a", "b", "c", " ")
