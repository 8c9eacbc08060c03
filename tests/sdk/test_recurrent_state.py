"""The state of a recurrent model, held by the app: it equals a state that is carried by hand."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, save

import edgewise
import models_and_data
from edgewise.errors import CardError, InvalidInput
from edgewise.feedback import guess_feedback
from edgewise.model_card import TENSORS, ModelCard, TensorCard
from edgewise.tensors import Array, Quantization, TensorSpec
from edgewise.testing import tiny_card

RATE, CHUNK, BEFORE = 16_000, 512, 64
"""silero-vad 6 takes 32 ms at 16 kHz with the last 4 ms before them."""
SAME = 1e-6
"""onnxruntime twice with the same arrays: equal but for nothing."""
TFLITE_AGREES = 1e-3
"""Probabilities of another float32 runtime; what differs is carried on through sixty calls."""


@pytest.fixture(scope="module")
def silero_onnx() -> Path:
    return models_and_data.silero_vad_onnx()


@pytest.fixture(scope="module")
def silero_tflite(silero_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("silero") / "silero.tflite"
    command = [sys.executable, "-m", "edgewise.cli", "convert", str(silero_onnx), "--out", str(path)]
    command += ["--target", "rpi4", "--precision", "fp32", "--value", f"sr={RATE}"]
    command += ["--shape", f"input=1,{CHUNK + BEFORE}", "--shape", "state=2,1,128"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def chunks() -> Iterator[Array]:
    """Two seconds like speech: a voice of 120 Hz with moving formants, in syllables, over noise."""
    time = np.arange(2 * RATE) / RATE
    rng = np.random.default_rng(0)
    voice = np.zeros_like(time)
    for harmonic in range(1, 30):
        formants = 600 + 200 * np.sin(2 * np.pi * 1.5 * time), 1500 + 500 * np.sin(2 * np.pi * 2.1 * time)
        strength = sum(np.exp(-(((120 * harmonic - formant) / 150) ** 2)) for formant in formants)
        voice += strength * np.sin(
            2 * np.pi * np.cumsum(120 + 15 * np.sin(2 * np.pi * 3 * time)) * harmonic / RATE
        )
    syllables = np.clip(np.sin(2 * np.pi * 2 * time), 0, 1) * (time > 0.5)
    signal = (0.2 * voice * syllables + 0.002 * rng.standard_normal(len(time))).astype(np.float32)
    signal = np.concatenate([np.zeros(BEFORE, np.float32), signal])
    for start in range(0, len(signal) - CHUNK - BEFORE + 1, CHUNK):
        yield signal[np.newaxis, start : start + CHUNK + BEFORE]


@pytest.fixture(scope="module")
def by_hand(silero_onnx: Path) -> tuple[list[float], Array]:
    """The probabilities and the last state, from onnxruntime called by hand."""
    session = onnxruntime.InferenceSession(str(silero_onnx), providers=["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), np.float32)
    found = []
    for chunk in chunks():
        probability, state = session.run(None, {"input": chunk, "state": state, "sr": np.array(RATE)})
        found.append(float(probability[0, 0]))
    return found, state


def test_the_signal_makes_the_model_answer_both_ways(by_hand: tuple[list[float], Array]) -> None:
    probabilities, state = by_hand
    assert len(probabilities) == 62
    assert min(probabilities) < 0.1
    assert max(probabilities) > 0.5
    assert np.abs(state).max() > 0.1


def test_silero_in_onnxruntime_equals_a_state_carried_by_hand(
    silero_onnx: Path, by_hand: tuple[list[float], Array]
) -> None:
    with edgewise.load(silero_onnx, threads=1) as model:
        state = model.new_state()
        assert repr(state) == "<RecurrentState stateN -> state>"
        got = []
        for chunk in chunks():
            outputs = model.run({"input": chunk, "sr": np.array(RATE)}, state=state)
            assert set(outputs) == {"output"}
            got.append(float(outputs["output"][0, 0]))
    assert got == pytest.approx(by_hand[0], abs=SAME)
    assert state.arrays["state"] == pytest.approx(by_hand[1], abs=SAME)


@pytest.mark.parametrize("views", [False, True])
def test_silero_as_tflite_equals_a_state_carried_by_hand(
    silero_tflite: Path, by_hand: tuple[list[float], Array], views: bool
) -> None:
    with edgewise.load(silero_tflite, threads=1) as model:
        state = model.new_state()
        got = [float(model.run(chunk, state=state, views=views)["output"][0, 0]) for chunk in chunks()]
    assert got == pytest.approx(by_hand[0], abs=TFLITE_AGREES)


def test_two_states_of_one_model_do_not_mix_and_a_copy_goes_its_own_way(
    silero_tflite: Path, by_hand: tuple[list[float], Array]
) -> None:
    with edgewise.load(silero_tflite, threads=1) as model:
        first, second = model.new_state(), model.new_state()
        pieces = list(chunks())
        for index, chunk in enumerate(pieces):
            answer = model.run(chunk, state=first)["output"][0, 0]
            assert answer == pytest.approx(by_hand[0][index], abs=TFLITE_AGREES)
            model.run(pieces[-1 - index], state=second)
            if index == 30:
                copied = first.copy()
        for index, chunk in enumerate(pieces[31:], 31):
            answer = model.run(chunk, state=copied)["output"][0, 0]
            assert answer == pytest.approx(by_hand[0][index], abs=TFLITE_AGREES)
        second.reset()
        again = model.run(pieces[0], state=second)["output"][0, 0]
        assert again == pytest.approx(by_hand[0][0], abs=TFLITE_AGREES)


def test_a_failed_call_leaves_the_state_as_it_was(silero_tflite: Path) -> None:
    with edgewise.load(silero_tflite, threads=1) as model:
        state = model.new_state()
        model.run(next(chunks()), state=state)
        before = state.arrays["state"]
        with pytest.raises(InvalidInput):
            model.run(np.zeros((1, 5), np.float32), state=state)
        with pytest.raises(InvalidInput, match="got 'state', which the state gives; leave it out"):
            model.run({"input": next(chunks()), "state": before}, state=state)
        assert np.array_equal(state.arrays["state"], before)


def test_a_state_goes_on_after_a_swap(silero_tflite: Path, by_hand: tuple[list[float], Array]) -> None:
    with edgewise.load(silero_tflite, threads=1) as model:
        state = model.new_state()
        for index, chunk in enumerate(chunks()):
            answer = model.run(chunk, state=state)["output"][0, 0]
            assert answer == pytest.approx(by_hand[0][index], abs=TFLITE_AGREES)
            if index == 20:
                model.swap(silero_tflite, probe=False)


def test_a_state_of_another_model_is_refused(silero_tflite: Path, tiny: Path) -> None:
    with edgewise.load(silero_tflite) as model, edgewise.load(tiny) as other:
        with pytest.raises(
            InvalidInput, match=r"'stateN' feeds input 'state', and .*tiny\.tflite has other ones"
        ):
            other.run(np.zeros((1, 8, 8, 3), np.float32), state=model.new_state())
        with pytest.raises(CardError, match=r"tiny\.tflite: no output can feed an input"):
            other.new_state()


@pytest.fixture
def accumulator(tmp_path: Path) -> Path:
    """a' = a + x and b' = b * x, of one shape, under names that tell nothing."""
    nodes = [helper.make_node("Add", ["a", "x"], ["p"]), helper.make_node("Mul", ["b", "x"], ["q"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "abxpq"]
    path = tmp_path / "sums.onnx"
    graph = helper.make_graph(nodes, "g", ends[:3], ends[3:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_what_is_not_one_way_is_an_error_with_the_candidates(accumulator: Path) -> None:
    with edgewise.load(accumulator) as model:
        with pytest.raises(
            CardError, match=r"could be 'p' to 'a', 'p' to 'b', 'p' to 'x', .*new_state\(feedback="
        ):
            model.new_state()
        state = model.new_state(feedback={"p": "a"})
        for _ in range(3):
            left = model.run({"x": np.full(2, 2, np.float32), "b": np.ones(2, np.float32)}, state=state)
        assert set(left) == {"q"}
        assert state.arrays["a"].tolist() == [6, 6]
        for wrong, message in (
            ({"r": "a"}, "got output 'r', expected one of p, q"),
            ({"p": "z"}, "got input 'z', expected one of a, b, x"),
            ({"p": "a", "q": "a"}, "expected each input once"),
        ):
            with pytest.raises(InvalidInput, match=message):
                model.new_state(feedback=wrong)


def test_the_card_says_what_feeds_what(accumulator: Path) -> None:
    tensors = {name: TensorCard(name, (2,), "float32") for name in "abxpq"}
    card = ModelCard(
        name="sums",
        task=TENSORS,
        inputs=tuple(tensors[name] for name in "abx"),
        outputs=tuple(tensors[name] for name in "pq"),
        feedback={"p": "a", "q": "b"},
    )
    edgewise.write_model(accumulator, accumulator.read_bytes(), card=card)
    with edgewise.load(accumulator) as model:
        state = model.new_state()
        assert model.run(np.ones(2, np.float32), state=state) == {}
        assert repr(state) == "<RecurrentState p -> a, q -> b>"


def test_a_card_with_a_feedback_that_cannot_be_is_refused_and_an_old_one_is_read() -> None:
    values = json.loads(tiny_card().to_json())
    del values["feedback"]  # as written before there was one
    assert ModelCard.from_json(json.dumps(values)) == tiny_card()
    for feedback, message in (
        ({"scores": "none"}, "got output 'scores' to input 'none', and there is no such pair"),
        ({"scores": "image"}, r"output 'scores' is float32\[1, 3\], input 'image' is float32\[1, 8, 8, 3\]"),
    ):
        with pytest.raises(CardError, match=message):
            replace(tiny_card(), feedback=feedback)
    with pytest.raises(CardError, match=r"model card\.feedback"):
        ModelCard.from_json(json.dumps(values | {"feedback": {"scores": 3}}))


def specs(**shapes: tuple[int, ...]) -> list[TensorSpec]:
    return [TensorSpec(name, shape, "float32") for name, shape in shapes.items()]


@pytest.mark.parametrize(
    ("inputs", "outputs", "feedback"),
    [
        (
            specs(x=(1, 3), h0=(1, 4), c0=(1, 4)),
            specs(y=(1, 3), hn=(1, 4), cn=(1, 4)),
            {"hn": "h0", "cn": "c0"},
        ),
        (specs(x=(1, 3), h_in=(1, 4)), specs(y=(1, 2), h_out=(1, 4)), {"h_out": "h_in"}),
        (specs(x=(1, 3), past_key=(1, 4)), specs(y=(1, 2), present_key=(1, 4)), {"present_key": "past_key"}),
        (specs(x=(1, 3), a=(1, 4)), specs(y=(1, 2), b=(1, 4)), {"b": "a"}),
    ],
)
def test_names_and_then_shapes_tell(
    inputs: list[TensorSpec], outputs: list[TensorSpec], feedback: dict[str, str]
) -> None:
    assert guess_feedback(inputs, outputs, where="m") == feedback


def test_an_only_input_is_not_taken_for_a_state() -> None:
    with pytest.raises(CardError, match="could be 'y' to 'x'"):
        guess_feedback(specs(x=(1, 4)), specs(y=(1, 4)), where="m")


def test_a_quantized_state_starts_at_its_zero_and_changes_its_scale_on_the_way() -> None:
    given = TensorSpec("h", (1, 2), "int8", quantization=Quantization((0.5,), (-3,)))
    made = TensorSpec("hn", (1, 2), "int8", quantization=Quantization((0.25,), (10,)))
    state = edgewise.RecurrentState((given,), (made,), {"hn": "h"})
    assert state.arrays["h"].tolist() == [[-3, -3]]
    state.keep({"hn": np.array([[14, 10]], np.int8)}, copied=False)  # 1.0 and 0.0
    assert state.arrays["h"].tolist() == [[-1, -3]]
