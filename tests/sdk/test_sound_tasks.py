"""Classifying sound and spotting words, with a small network that tells low tones from high ones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, save

import edgewise
from edgewise.audio_card import AudioPreprocess
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import AUDIO_CLASSIFICATION, ModelCard, TensorCard
from edgewise.preprocess.audio import log_mel
from edgewise.tasks.audio_classification import AudioClassifier
from edgewise.tasks.keyword_spotting import Keyword, KeywordSpotter
from edgewise.tensors import Array
from edgewise.testing import tiny_card

RATE, ROWS, MELS = 8000, 20, 16
LABELS = ("_silence_", "low", "high")
SPEC = AudioPreprocess(
    rate_hz=RATE, window=200, hop=80, n_fft=256, mels=MELS, log="none", spectrum="magnitude"
)
WINDOW = 200 + (ROWS - 1) * 80
SAME = 1e-6
"""Float32 scores of the same rows, multiplied by another library."""


def weights() -> Array:
    """Silence has a constant score; the others sum the lower and the upper half of the filters."""
    weights = np.zeros((MELS, 3), np.float32)
    weights[: MELS // 2, 1] = weights[MELS // 2 :, 2] = 0.2
    return weights


def write_described_tones(path: Path, labels: tuple[str, str, str] = LABELS) -> Path:
    """The network of `write_tones` with a card that says how sound becomes its input."""
    write_tones(path, [1, ROWS, MELS, 1])
    card = ModelCard(
        name="tones",
        task=AUDIO_CLASSIFICATION,
        inputs=(TensorCard("sound", (1, ROWS, MELS, 1), "float32", audio=SPEC),),
        outputs=(TensorCard("scores", (1, 3), "float32", activation="probabilities"),),
        labels=labels,
    )
    edgewise.write_model(path, path.read_bytes(), card=card)
    return path


def write_tones(path: Path, shape: list[int], transposed: bool = False) -> Path:
    """The mean of the rows, times the weights, softmax."""
    rows = helper.make_node("Reshape", ["sound", "rows_shape"], ["flat"])
    nodes = [rows]
    if transposed:
        nodes.append(helper.make_node("Transpose", ["flat"], ["rows"], perm=[1, 0]))
    nodes += [
        helper.make_node("ReduceMean", ["rows" if transposed else "flat"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("MatMul", ["mean", "weights"], ["sums"]),
        helper.make_node("Add", ["sums", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"]),
    ]
    flat = [MELS, ROWS] if transposed else [ROWS, MELS]
    constants = {
        "rows_shape": np.array(flat),
        "weights": weights(),
        "bias": np.array([[2, 0, 0]], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "tones",
        [helper.make_tensor_value_info("sound", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> edgewise.Model:
    path = write_tones(tmp_path_factory.mktemp("tones") / "tones.onnx", [1, ROWS, MELS, 1])
    return edgewise.load(path, labels=LABELS, threads=1)


def tone(hz: float, samples: int) -> Array:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)


def scores_by_hand(samples: Array) -> Array:
    logits = log_mel(samples, SPEC).mean(axis=0) @ weights() + [2, 0, 0]
    exponents = np.exp(logits - logits.max())
    return np.asarray(exponents / exponents.sum())


def test_a_window_is_classified_as_its_rows_say(tones: edgewise.Model) -> None:
    classifier = AudioClassifier(tones, preprocess=SPEC)
    assert (classifier.samples, classifier.window_s) == (WINDOW, WINDOW / RATE)
    for samples, label in (
        (tone(300, WINDOW), "low"),
        (tone(3000, WINDOW), "high"),
        (np.zeros(WINDOW), "_silence_"),
    ):
        found = classifier.classify(samples)
        assert found.top.label == label
        want = scores_by_hand(samples)
        for one in found.categories:
            assert one.score == pytest.approx(want[one.index], abs=SAME)
        assert found.latency_ms > 0
        assert found.to_dict()["categories"][0]["label"] == label
        assert found.lines()[0].endswith(label)
        assert str(found).startswith(label)


def test_rows_may_be_the_last_dimension(tones: edgewise.Model, tmp_path: Path) -> None:
    path = write_tones(tmp_path / "turned.onnx", [1, 1, MELS, ROWS], transposed=True)
    with edgewise.load(path, labels=LABELS) as turned:
        classifier = AudioClassifier(turned, preprocess=SPEC)
        assert classifier.samples == WINDOW
        got = classifier.classify(tone(700, WINDOW), top=3).categories
    want = AudioClassifier(tones, preprocess=SPEC).classify(tone(700, WINDOW), top=3).categories
    assert [one.index for one in got] == [one.index for one in want]
    assert [one.score for one in got] == pytest.approx([one.score for one in want], abs=SAME)


def test_a_model_of_samples_needs_no_preprocess(tmp_path: Path) -> None:
    path = write_tones(tmp_path / "samples.onnx", [1, ROWS * MELS])
    with edgewise.load(path, labels=LABELS) as model:
        classifier = AudioClassifier(model, rate_hz=RATE)
        assert classifier.samples == ROWS * MELS
        samples = np.full(ROWS * MELS, 16384, np.int16)
        logits = np.full(MELS, 0.5) @ weights() + [2, 0, 0]
        want = np.exp(logits) / np.exp(logits).sum()
        for one in classifier.classify(samples).categories:
            assert one.score == pytest.approx(want[one.index], abs=SAME)


def test_what_does_not_fit_the_model_is_refused(tones: edgewise.Model) -> None:
    with pytest.raises(InvalidInput, match=r"samples: got 5, expected 1720 \(0\.215 s at 8000 Hz\)"):
        AudioClassifier(tones, preprocess=SPEC).classify(np.zeros(5))
    with pytest.raises(
        CardError, match=r"input 'sound': got shape .* expected samples, or an AudioPreprocess"
    ):
        AudioClassifier(tones)
    with pytest.raises(CardError, match="expected one of rows of 40"):
        AudioClassifier(tones, preprocess=AudioPreprocess())


def utterances() -> Array:
    """Three seconds: a low tone from 0.5 to 0.9 s, a high one from 1.5 to 1.8 s, in faint noise."""
    samples = 1e-4 * np.random.default_rng(0).standard_normal(3 * RATE)
    samples[RATE // 2 : RATE // 2 + 3200] += tone(300, 3200)
    samples[RATE * 3 // 2 : RATE * 3 // 2 + 2400] += tone(3000, 2400)
    return samples


def spot(model: edgewise.Model, pieces: list[Array], **options: float) -> list[Keyword]:
    classifier = AudioClassifier(model, preprocess=SPEC)
    spotter = KeywordSpotter(classifier, step_s=0.05, **options)  # type: ignore[arg-type]  # keywords by name, checked when called
    return [word for piece in pieces for word in spotter.push(piece)]


def test_each_utterance_is_one_event_while_it_is_heard(tones: edgewise.Model) -> None:
    found = spot(tones, [utterances()], refractory_s=0.3)
    assert [one.label for one in found] == ["low", "high"]
    assert 0.5 < found[0].time_s < 0.9 + WINDOW / RATE
    assert 1.5 < found[1].time_s < 1.8 + WINDOW / RATE
    assert all(0.6 <= one.score <= 1 for one in found)
    assert found[0].to_dict()["index"] == 1


def test_the_score_is_the_mean_of_the_last_windows(tones: edgewise.Model) -> None:
    samples, smooth, step = utterances(), 4, RATE // 20
    starts = range(0, len(samples) - WINDOW + 1, step)
    scores = np.array([scores_by_hand(samples[start : start + WINDOW]) for start in starts])
    means = np.array([scores[max(0, end - smooth) : end].mean(axis=0) for end in range(1, len(scores) + 1)])
    first = int(np.argmax(means[:, 1] >= 0.8))
    found = spot(tones, [samples], smooth=smooth, threshold=0.8)[0]
    assert found.score == pytest.approx(means[first, 1], abs=SAME)
    assert found.time_s == pytest.approx((starts[first] + WINDOW) / RATE)


def test_the_first_windows_are_averaged_over_as_many_as_there_are(tones: edgewise.Model) -> None:
    [found] = spot(tones, [tone(300, RATE)], smooth=4, threshold=0.8)
    assert found.time_s == WINDOW / RATE
    assert found.score == pytest.approx(scores_by_hand(tone(300, WINDOW))[1], abs=SAME)


def test_a_word_within_the_refractory_time_is_no_event(tones: edgewise.Model) -> None:
    samples = np.concatenate([utterances(), utterances()])
    assert len(spot(tones, [samples], refractory_s=0.3)) == 4
    assert [one.label for one in spot(tones, [samples], refractory_s=2.0)] == ["low", "low"]


def test_a_word_that_goes_on_past_the_refractory_time_is_still_one_event(tones: edgewise.Model) -> None:
    samples = np.concatenate([np.zeros(RATE), tone(300, 3 * RATE), np.zeros(RATE), tone(300, RATE)])
    assert [one.label for one in spot(tones, [samples], refractory_s=0.2)] == ["low", "low"]


def test_silence_is_no_word_unless_asked_for(tones: edgewise.Model) -> None:
    assert spot(tones, [np.zeros(2 * RATE)]) == []
    classifier = AudioClassifier(tones, preprocess=SPEC)
    found = KeywordSpotter(classifier, ignore=()).push(np.zeros(2 * RATE))
    assert [one.label for one in found] == ["_silence_"]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 3 * RATE), max_size=12))
def test_words_do_not_depend_on_how_the_stream_is_cut(tones: edgewise.Model, cuts: list[int]) -> None:
    samples = utterances()
    whole = spot(tones, [samples], refractory_s=0.3)
    assert spot(tones, np.split(samples, sorted(cuts)), refractory_s=0.3) == whole


def test_a_spotter_that_is_reset_begins_at_zero(tones: edgewise.Model) -> None:
    spotter = KeywordSpotter(AudioClassifier(tones, preprocess=SPEC), step_s=0.05)
    first = spotter.push(utterances())
    spotter.reset()
    assert first
    assert spotter.push(utterances()) == first


@pytest.mark.parametrize(
    "options", [{"step_s": 0.0}, {"step_s": 1.0}, {"smooth": 0}, {"threshold": 0.0}, {"refractory_s": -1.0}]
)
def test_numbers_out_of_range_are_refused(tones: edgewise.Model, options: dict[str, float]) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(CardError, match=f"keyword spotting: {name}: got {value}, expected"):
        KeywordSpotter(AudioClassifier(tones, preprocess=SPEC), **options)  # type: ignore[arg-type]  # keywords by name, checked when called


def test_a_card_says_how_rows_are_made_and_what_scores_are(tones: edgewise.Model, tmp_path: Path) -> None:
    path = write_tones(tmp_path / "carded.onnx", [1, ROWS, MELS, 1])
    card = ModelCard(
        name="tones",
        task="tensors",
        inputs=(TensorCard("sound", (1, ROWS, MELS, 1), "float32", audio=SPEC),),
        outputs=(TensorCard("scores", (1, 3), "float32", activation="logits"),),
        labels=LABELS,
    )
    assert ModelCard.from_json(card.to_json()) == card
    edgewise.write_model(path, path.read_bytes(), card=card)
    with edgewise.load(path) as model:
        got = AudioClassifier(model).classify(tone(300, WINDOW), top=3).categories
    exponents = np.exp(scores_by_hand(tone(300, WINDOW)))
    assert [one.score for one in got] == pytest.approx(sorted(exponents / exponents.sum())[::-1], abs=SAME)


def test_a_card_without_sound_has_no_key_for_it() -> None:
    assert '"audio"' not in tiny_card().to_json()
