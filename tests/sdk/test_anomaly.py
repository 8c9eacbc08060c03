"""Scores, thresholds and their intervals against formulas, and alarms on real recordings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import edgewise
from edgewise import AnomalyCard, ImagePreprocess, SeriesPreprocess
from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import ANOMALY_DETECTION, ModelCard, TensorCard
from edgewise.streams import SimulatedSensor
from edgewise.tasks.anomaly_fit import fit_mahalanobis, fit_nearest, fit_threshold
from edgewise.tensors import Array

SPEC = SeriesPreprocess(rate_hz=100, window=20, stride=20, channels=("x", "y"))
SAME = 1e-5
"""Of float32 models against float64 formulas."""
BETA = 1e-9
"""Halving a double sixty times, and a continued fraction to 1e-14."""


def write_gemm(path: Path, given: tuple[int, ...], into: Array, back: Array | None, card: ModelCard) -> Path:
    """Flattened and times ``into``, then times ``back`` in the shape of the input where there is one."""
    answer = given if back is not None else (1, into.shape[1])
    nodes = [
        helper.make_node("Reshape", ["given", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "into"], ["code" if back is not None else "answer"]),
    ]
    constants = {"flat_shape": np.array([1, into.shape[0]]), "into": into.astype(np.float32)}
    if back is not None:
        nodes += [
            helper.make_node("MatMul", ["code", "back"], ["long"]),
            helper.make_node("Reshape", ["long", "answer_shape"], ["answer"]),
        ]
        constants |= {"back": back.astype(np.float32), "answer_shape": np.array(given)}
    graph = helper.make_graph(
        nodes,
        "gemm",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, answer)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    edgewise.write_model(path, model.SerializeToString(), card=card)
    return path


def card_of(
    anomaly: AnomalyCard | None,
    given: tuple[int, ...],
    answer: tuple[int, ...],
    *,
    series: SeriesPreprocess | None = None,
    image: ImagePreprocess | None = None,
) -> ModelCard:
    layout = "nhwc" if image else ""
    return ModelCard(
        name="anomalies",
        task=ANOMALY_DETECTION,
        inputs=(TensorCard("given", given, "float32", layout, series=series, image=image),),
        outputs=(TensorCard("answer", answer, "float32"),),
        anomaly=anomaly,
    )


def write_halver(path: Path, anomaly: AnomalyCard | None, spec: SeriesPreprocess = SPEC) -> Path:
    """An autoencoder that gives everything back halved."""
    size = spec.window * len(spec.channels)
    card = card_of(anomaly, spec.shape, spec.shape, series=spec)
    return write_gemm(path, spec.shape, np.eye(size), np.eye(size) / 2, card)


def rows(seed: int = 0, count: int = 20) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 2)).astype(np.float32)


@pytest.mark.parametrize("layout", ["time-channels", "channels-time"])
@pytest.mark.parametrize(("kind", "power"), [("squared-error", 2), ("absolute-error", 1)])
def test_an_error_is_the_mean_over_the_window_and_channels_sum_to_it(
    tmp_path: Path, kind: str, power: int, layout: str
) -> None:
    spec = replace(SPEC, layout=layout)
    window = rows() * [1, 5]
    errors = (np.abs(window) / 2) ** power
    with edgewise.load(
        write_halver(tmp_path / "a.onnx", AnomalyCard(kind=kind, threshold=0.1), spec)
    ) as model:
        found: edgewise.Anomaly = model.predict(window)
    assert found.score == pytest.approx(errors.mean(), rel=SAME)
    assert found.contributions == pytest.approx(errors.mean(axis=0) / 2, rel=SAME)
    assert found.contributions.sum() == pytest.approx(found.score)
    assert (found.top_channel, found.is_anomalous, found.channels) == ("y", True, ("x", "y"))
    assert found.to_dict()["is_anomalous"] is True
    assert found.lines()[0].startswith("anomalous: ")


def write_distance(path: Path, anomaly: AnomalyCard) -> Path:
    """A window's means of x and y, and their sum."""
    into = np.zeros((40, 3))
    into[0::2, 0] = into[1::2, 1] = into[:, 2] = 1 / 20
    return write_gemm(path, SPEC.shape, into, None, card_of(anomaly, SPEC.shape, (1, 3), series=SPEC))


def embedded(window: Array) -> Array:
    means = window.astype(np.float64).mean(axis=0)
    return np.array([*means, means.sum()])


def test_nearest_is_the_distance_to_the_nearest_normal_vector(tmp_path: Path) -> None:
    normal = np.array([embedded(rows(seed)) for seed in range(1, 8)])
    vector = embedded(rows() + 3)
    want = np.sqrt(((normal - vector) ** 2).sum(axis=1).min())
    with edgewise.load(write_distance(tmp_path / "a.onnx", fit_nearest(normal))) as model:
        found = model.predict(rows() + 3)
        assert found.score == pytest.approx(want, rel=SAME)
        assert found.contributions.sum() == pytest.approx(found.score)
        assert found.to_dict()["is_anomalous"] is None
        with pytest.raises(CardError, match=r"got no threshold, .* set it by fit_threshold\(\)"):
            _ = found.is_anomalous


def test_mahalanobis_is_the_distance_by_mean_and_covariance(tmp_path: Path) -> None:
    covariance = np.array([[2, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 3]])
    mean = np.array([0.1, 0.2, 0.3])
    card = AnomalyCard(
        kind="mahalanobis", threshold=1, mean=tuple(mean), covariance=tuple(map(tuple, covariance.tolist()))
    )
    off = embedded(rows() + 3) - mean
    with edgewise.load(write_distance(tmp_path / "a.onnx", card)) as model:
        found = model.predict(rows() + 3)
    assert found.score == pytest.approx(np.sqrt(off @ np.linalg.inv(covariance) @ off), rel=SAME)
    assert found.contributions.sum() == pytest.approx(found.score)
    assert found.top_channel == f"#{int(found.contributions.argmax())}"


def test_a_covariance_of_fewer_vectors_than_numbers_can_be_inverted() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 30))
    card = fit_mahalanobis(vectors)
    values = np.linalg.eigvalsh(np.array(card.covariance))
    assert values.min() > 0.1 * values.max()


def test_a_covariance_of_many_vectors_is_nearly_that_of_the_sample() -> None:
    drawn = np.random.default_rng(0).standard_normal((20_000, 3)) * [1, 2, 3]
    card = fit_mahalanobis(drawn)
    assert np.array(card.covariance) == pytest.approx(np.cov(drawn.T, bias=True), abs=0.02)


@pytest.mark.parametrize(
    ("n", "rate", "above", "low", "high"),
    [  # With nothing above, 1 - (1 - p)^n; with one above, as solved for by hand: P(Bin(n, p) >= 2).
        (99, 0.01, 0, 1 - 0.975 ** (1 / 99), 1 - 0.025 ** (1 / 99)),
        (999, 0.001, 0, 1 - 0.975 ** (1 / 999), 1 - 0.025 ** (1 / 999)),
        (10, 0.1, 0, 1 - 0.975**0.1, 1 - 0.025**0.1),
    ],
)
def test_the_threshold_leaves_the_rate_above_it_and_says_how_sure_that_is(
    n: int, rate: float, above: int, low: float, high: float
) -> None:
    scores = np.random.default_rng(0).permutation(n) + 1.0
    found = fit_threshold(scores, false_alarm_rate=rate)
    assert (scores > found.threshold).sum() == above
    assert found.false_alarm_rate == pytest.approx((above + 1) / (n + 1))
    assert found.low == pytest.approx(low, abs=BETA)
    assert found.high == pytest.approx(high, abs=BETA)


def test_the_interval_holds_the_true_rate_as_often_as_it_says() -> None:
    random, inside, rates = np.random.default_rng(0), 0, []
    for _ in range(2000):
        found = fit_threshold(random.random(199), false_alarm_rate=0.05)
        rate = 1 - found.threshold  # of further uniform scores
        rates.append(rate)
        inside += found.low <= rate <= found.high
    assert np.mean(rates) == pytest.approx(
        0.05, abs=4 * 0.0154 / np.sqrt(2000)
    )  # standard deviation of Beta(10, 190)
    assert inside / 2000 == pytest.approx(0.95, abs=4 * 0.0049)  # four deviations of a share in 2,000


def test_the_distribution_agrees_with_sums_of_binomials() -> None:
    from math import comb

    found = fit_threshold(np.arange(60.0), false_alarm_rate=0.2)
    above = int((np.arange(60) > found.threshold).sum())
    assert above == 11
    for p, share in ((found.low, 0.025), (found.high, 0.975)):
        at_least = sum(comb(60, k) * p**k * (1 - p) ** (60 - k) for k in range(above + 1, 61))
        assert at_least == pytest.approx(share, abs=BETA)


@pytest.mark.parametrize(
    ("scores", "rate", "message"),
    [
        (np.arange(50.0), 0.01, "got 50, expected at least 99 for a false alarm rate of 0.01"),
        (np.arange(50.0), 0.0, "false_alarm_rate: got 0.0, expected more than 0"),
        ([1, np.nan], 0.5, "got NaN, infinity or a negative score"),
        ([], 0.5, "got 0, expected at least 1"),
    ],
)
def test_too_few_scores_for_a_rate_are_refused(scores: Array, rate: float, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        fit_threshold(scores, false_alarm_rate=rate)


def test_a_file_carries_what_is_normal(tmp_path: Path) -> None:
    path = write_halver(tmp_path / "a.onnx", AnomalyCard(kind="squared-error"))
    with edgewise.load(path) as model:
        scores = [model.predict(rows(seed)).score for seed in range(199)]
    file = edgewise.read_model(path)
    assert file.card
    assert file.card.anomaly
    fitted = fit_threshold(scores, false_alarm_rate=0.05).on(file.card.anomaly)
    edgewise.write_model(path, path.read_bytes(), card=replace(file.card, anomaly=fitted))
    with edgewise.load(path) as model:
        assert model.card
        assert model.card.anomaly == fitted
        assert not model.predict(rows(3) * 0.5).is_anomalous
        assert model.predict(rows(3) * 3).is_anomalous


def test_a_stream_answers_its_windows(tmp_path: Path) -> None:
    path = write_halver(tmp_path / "a.onnx", AnomalyCard(kind="squared-error", threshold=1.0))
    series = np.concatenate([rows(1, 40), 5 * rows(2, 20), rows(3, 30)])
    with edgewise.load(path) as model:
        source = SimulatedSensor(series, rate_hz=100, channels=("x", "y"), block_samples=7)
        assert [r.answer.is_anomalous for r in model.stream(source)] == [False, False, True, False]


def test_pictures_are_anomalous_by_their_embeddings(tmp_path: Path) -> None:
    preprocess = ImagePreprocess((4, 4), std=(255.0,))
    into = np.zeros((48, 3))
    for channel in range(3):
        into[channel::3, channel] = 1 / 16
    greens = [(0, 200 + i, 0) for i in range(0, 50, 5)]
    normal = fit_nearest(np.array(greens) / 255)
    card = card_of(replace(normal, threshold=0.1), (1, 4, 4, 3), (1, 3), image=preprocess)
    with edgewise.load(write_gemm(tmp_path / "a.onnx", (1, 4, 4, 3), into, None, card)) as model:
        assert not model.predict(Image.new("RGB", (9, 7), (0, 222, 0))).is_anomalous
        red = model.predict(Image.new("RGB", (9, 7), (222, 0, 0)))
    assert red.is_anomalous
    assert red.score == pytest.approx(np.hypot(222, 200) / 255, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "magic"}, "anomaly kind: got 'magic', expected one of 'squared-error'"),
        ({"kind": "squared-error", "threshold": -1.0}, "threshold: got -1.0, expected a finite number"),
        ({"kind": "squared-error", "low": 2.0}, "low: got 2.0, expected 0 to 1"),
        ({"kind": "nearest"}, "vectors: got 0 with kind 'nearest'"),
        ({"kind": "nearest", "vectors": ((1.0,), (1.0, 2.0))}, "vectors of several sizes"),
        ({"kind": "nearest", "vectors": ((float("nan"),),)}, "vectors: got NaN"),
        ({"kind": "mahalanobis", "mean": (0.0,), "covariance": ()}, "covariance: got 0 rows, expected 1 x 1"),
        ({"kind": "mahalanobis", "mean": (0.0,) * 600}, "mean: got 600 numbers, expected at most 512"),
    ],
)
def test_cards_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(CardError, match=message):
        AnomalyCard(**options)  # type: ignore[arg-type]  # keywords by name, checked when called


def test_a_covariance_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    card = AnomalyCard(
        kind="mahalanobis",
        mean=(0.0, 0.0, 0.0),
        covariance=((1.0, 2.0, 0.0), (2.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )
    path = write_distance(tmp_path / "a.onnx", card)
    with edgewise.load(path) as model, pytest.raises(CardError, match=f"{path}: .* not positive definite"):
        model.predict(rows())
    with (
        edgewise.load(path, anomaly=fit_nearest(np.zeros((2, 5)))) as model,
        pytest.raises(CardError, match="an embedding of 3 numbers, the card's have 5"),
    ):
        model.predict(rows())
