"""Windows of series against slices, classification of streams against the mean of scores, and what is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import edgewise
from edgewise import SeriesClassifier, SeriesPreprocess
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import TIME_SERIES_CLASSIFICATION, ModelCard, TensorCard
from edgewise.preprocess.series import SeriesWindower, to_tensor
from edgewise.tensors import Array

SPEC = SeriesPreprocess(rate_hz=50, window=8, stride=3, channels=("x", "y"), units=("g", "g"))
LABELS = ("x is more", "y is more")
SAME = 1e-6
"""Float32 means of eight numbers."""


def series(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 2)).astype(np.float32)


def write_more(path: Path, spec: SeriesPreprocess = SPEC) -> Path:
    """The channels' means, as logits."""
    time_axis = 1 if spec.layout == "time-channels" else 2
    nodes = [helper.make_node("ReduceMean", ["series"], ["scores"], axes=[time_axis], keepdims=0)]
    graph = helper.make_graph(
        nodes,
        "more",
        [helper.make_tensor_value_info("series", TensorProto.FLOAT, spec.shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.zeros(1, np.float32), "unused")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    card = ModelCard(
        name="more",
        task=TIME_SERIES_CLASSIFICATION,
        inputs=(TensorCard("series", spec.shape, "float32", series=spec),),
        outputs=(TensorCard("scores", (1, 2), "float32", activation="logits"),),
        labels=LABELS,
    )
    assert ModelCard.from_json(card.to_json()) == card
    edgewise.write_model(path, model.SerializeToString(), card=card)
    return path


def probabilities(window: Array) -> Array:
    exponents = np.exp(window.mean(axis=0, dtype=np.float64))
    return np.asarray(exponents / exponents.sum())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=9), st.sampled_from([1, 3, 8, 13]))
def test_windows_are_the_slices_however_the_stream_is_cut(cuts: list[int], stride: int) -> None:
    whole = series(60)
    windower = SeriesWindower(SPEC, stride=stride)
    pieces = np.split(whole, sorted(cuts))
    found = [window for piece in pieces for window in windower.push(piece)]
    want = [whole[start : start + 8] for start in range(0, 60 - 7, stride)]
    assert np.array_equal(found, want)


@pytest.mark.parametrize(("pad", "fill"), [("zeros", 0.0), ("edge", None), ("none", None)])
def test_the_end_is_filled_up_as_the_card_says(pad: str, fill: float | None) -> None:
    whole = series(13)
    windower = SeriesWindower(replace(SPEC, pad=pad))
    found = [*windower.push(whole), *windower.flush()]
    want = [whole[0:8], whole[3:11]]
    if pad != "none":
        filling = np.full((1, 2), fill) if fill is not None else whole[-1:]
        want.append(np.concatenate([whole[6:], filling]))
    assert np.array_equal(found, want)
    assert np.array_equal(list(windower.push(whole)), want[:2])  # flush began another stream


def test_an_end_that_windows_cover_is_not_filled_up() -> None:
    windower = SeriesWindower(replace(SPEC, pad="zeros"))
    assert len([*windower.push(series(11)), *windower.flush()]) == 2


def test_normalising_is_by_channel() -> None:
    window = series(8) * [2, 3] + [10, -5]
    trained = replace(SPEC, normalise="training", mean=(10.0, -5.0), std=(2.0, 3.0))
    assert to_tensor(window.astype(np.float32), trained)[0] == pytest.approx(series(8), abs=1e-5)
    own = to_tensor(window.astype(np.float32), replace(SPEC, normalise="window", layout="channels-time"))
    assert own.shape == (1, 2, 8)
    assert own[0].mean(axis=1) == pytest.approx([0, 0], abs=SAME)
    assert own[0].std(axis=1) == pytest.approx([1, 1], abs=SAME)
    at_rest = to_tensor(np.full((8, 2), 9.81, np.float32), replace(SPEC, normalise="window"))
    assert np.abs(at_rest).max() < 1


@pytest.mark.parametrize("layout", ["time-channels", "channels-time"])
def test_predict_answers_the_mean_of_the_windows(tmp_path: Path, layout: str) -> None:
    recording = series(20)
    want = np.mean([probabilities(recording[start : start + 8]) for start in (0, 3, 6, 9, 12)], axis=0)
    with edgewise.load(write_more(tmp_path / "a.onnx", replace(SPEC, layout=layout))) as model:
        found: edgewise.Classification = model.predict(recording)
        assert {one.label: one.score for one in found.categories} == pytest.approx(
            dict(zip(LABELS, want, strict=True)), abs=SAME
        )
        assert found.timings.total_ms > 0
        assert len(model.predict(recording.tolist(), top=1).categories) == 1


def test_a_stream_gets_the_running_mean_and_an_event_where_a_class_begins(tmp_path: Path) -> None:
    quiet, loud = np.zeros((30, 2)), np.zeros((30, 2))
    loud[:, 1] = 4
    whole = np.concatenate([quiet, loud, quiet, loud]) + [0.5, 0]
    starts = range(0, len(whole) - 7, 3)
    rows = [probabilities(whole[start : start + 8]) for start in starts]
    with edgewise.load(write_more(tmp_path / "a.onnx")) as model:
        classifier = SeriesClassifier(model, smooth=3, threshold=0.8)
        found = [answer for piece in np.array_split(whole, 17) for answer in classifier.push(piece)]
    assert [one.start_s for one in found] == pytest.approx([start / 50 for start in starts])
    assert found[0].end_s == pytest.approx(8 / 50)
    for place, one in enumerate(found):
        means = np.mean(rows[max(0, place - 2) : place + 1], axis=0)
        assert (one.index, one.label) == (int(means.argmax()), LABELS[int(means.argmax())])
        assert one.score == pytest.approx(means.max(), abs=SAME)
    assert [one.label for one in found if one.is_event] == ["y is more", "y is more"]
    assert found[0].to_dict()["is_event"] is False


def test_bad_rows_leave_the_stream_as_it_was(tmp_path: Path) -> None:
    whole = series(40)
    with edgewise.load(write_more(tmp_path / "a.onnx")) as model:
        classifier = SeriesClassifier(model)
        want = classifier.push(whole)
        classifier.reset()
        found = classifier.push(whole[:20])
        for bad, message in (
            (series(5)[:, :1], r"series: got shape \(5, 1\), expected \(time, 2\): x, y"),
            (np.full((3, 2), np.nan), "series: got NaN or infinity"),
            (np.full((3, 2), 1e300), "series: got NaN or infinity"),
            ([["a", "b"]], "series: got dtype <U1, expected numbers"),
        ):
            with pytest.raises(InvalidInput, match=message):
                classifier.push(bad)
        assert found + classifier.push(whole[20:]) == want


def test_a_series_too_short_is_refused_or_filled_up(tmp_path: Path) -> None:
    with (
        edgewise.load(write_more(tmp_path / "a.onnx")) as model,
        pytest.raises(InvalidInput, match=r"series: got 5 rows, expected at least 8 \(0\.160 s at 50 Hz\)"),
    ):
        model.predict(series(5))
    with edgewise.load(write_more(tmp_path / "a.onnx", replace(SPEC, pad="edge"))) as model:
        short = series(5)
        want = probabilities(np.concatenate([short, np.repeat(short[-1:], 3, axis=0)]))
        assert model.predict(short).top.score == pytest.approx(want.max(), abs=SAME)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate_hz": 0.0}, "series rate_hz: got 0.0, expected more than 0"),
        ({"rate_hz": float("inf")}, "series rate_hz: got inf"),
        ({"window": 0}, "series window: got 0, expected 1 to"),
        ({"window": 1 << 40}, "series window: got 1099511627776, expected 1 to"),
        ({"stride": -1}, "series stride: got -1"),
        ({"channels": ()}, "series channels: got 0, expected 1 to 1024 names"),
        ({"channels": ("x", "x")}, "expected each name once"),
        ({"units": ("g",)}, "series units: got 1, expected one for each"),
        ({"normalise": "magic"}, "series normalise: got 'magic', expected one of 'none'"),
        ({"normalise": "training"}, "series mean: got 0 values with normalise 'training', expected 2"),
        ({"normalise": "training", "mean": (0.0, 0.0), "std": (1.0, 0.0)}, "expected positive numbers"),
        ({"layout": "nhwc"}, "series layout: got 'nhwc'"),
        ({"pad": "wrap"}, "series pad: got 'wrap'"),
    ],
)
def test_cards_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(CardError, match=message):
        replace(SPEC, **options)  # type: ignore[arg-type]  # keywords by name, checked when called


def test_a_card_that_does_not_fit_the_input_is_named(tmp_path: Path, tiny: Path) -> None:
    path = write_more(tmp_path / "a.onnx")
    with (
        edgewise.load(path, preprocess=replace(SPEC, window=9)) as model,
        pytest.raises(
            CardError, match=rf"{path}: input 'series' is \(1, 8, 2\), the series' windows are \(1, 9, 2\)"
        ),
    ):
        model.predict(series(9))
    with (
        edgewise.load(tiny, task="time-series-classification") as model,
        pytest.raises(CardError, match=r"preprocess=SeriesPreprocess\(...\)"),
    ):
        model.predict(series(9))
    with (
        edgewise.load(path, preprocess=edgewise.AudioPreprocess()) as model,
        pytest.raises(CardError, match="got AudioPreprocess, expected SeriesPreprocess for this task"),
    ):
        model.predict(series(9))


def test_the_command_answers_a_recording_in_a_file(tmp_path: Path) -> None:
    path = write_more(tmp_path / "a.onnx")
    np.save(tmp_path / "recording.npy", series(20))
    with edgewise.load(path) as model:
        want = model.predict(series(20)).top
    (result,) = run_inputs_of(path, tmp_path / "recording.npy")
    assert result["categories"][0]["label"] == want.label


def run_inputs_of(model: Path, given: Path) -> list[dict[str, Any]]:
    """What `edgewise run --json` prints."""
    words = [Path(sys.executable).with_name("edgewise"), "run", model, given, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
