"""A small network that tells exercises apart, trained here in NumPy, and the recordings it is trained and judged on.

Random convolutions and a trained linear layer behind them, as in Dempster, Petitjean, Webb, "ROCKET: exceptionally
fast and accurate time series classification using random convolutional kernels", Data Mining and Knowledge Discovery
34 (2020); here with the mean of ReLU for a feature, so that the network is one of plain operators.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewise.model_card import TIME_SERIES_CLASSIFICATION, ModelCard, TensorCard
from edgewise.preprocess.series import to_tensor, windows_of
from edgewise.series_card import SeriesPreprocess
from edgewise.tensors import Array
from model_sources.exercises import RATE_HZ, Exercises

TEST_SUBJECTS, VALIDATION_SUBJECTS = (8, 9, 10), (6, 7)
"""Fixed before anything was trained; the rest is trained on."""
WINDOW, STRIDE = 150, 75
"""Three seconds, about one repetition, by half of it."""
TAPS, DILATIONS, KERNELS = 9, (1, 2, 4, 8), 48
"""KERNELS for each dilation."""
STEPS, RATE = 400, 0.3


@dataclass(frozen=True)
class Windows:
    """Windows as measured [n, window, channels], their labels, and which recording each is of."""

    series: Array
    labels: Array
    recordings: Array


@dataclass(frozen=True)
class Weights:
    """Of the network: convolutions by dilation, and the linear layer."""

    kernels: dict[int, Array]
    """[kernels, channels, taps]"""
    biases: dict[int, Array]
    linear: Array
    """[features, classes]"""
    offset: Array


def cut(data: Exercises, spec: SeriesPreprocess, subjects: tuple[int, ...]) -> Windows:
    """All windows of these people."""
    series, labels, recordings = [], [], []
    for place, recording in enumerate(data.recordings):
        if data.subjects[place] in subjects:
            found = windows_of(recording, spec)
            series += found
            labels += [data.labels[place]] * len(found)
            recordings += [place] * len(found)
    return Windows(np.stack(series), np.array(labels), np.array(recordings))


def split(
    data: Exercises, test: tuple[int, ...] = TEST_SUBJECTS
) -> tuple[SeriesPreprocess, Windows, Windows, Windows]:
    """The pre-processing, whose numbers are the train people's, and windows to train, to choose and to judge on."""
    held = {*test, *VALIDATION_SUBJECTS}
    train = tuple(sorted(set(data.subjects.tolist()) - held))
    rows = np.concatenate([r for r, s in zip(data.recordings, data.subjects, strict=True) if s in train])
    spec = SeriesPreprocess(
        rate_hz=RATE_HZ,
        window=WINDOW,
        stride=STRIDE,
        channels=data.channels,
        normalise="training",
        mean=tuple(rows.mean(axis=0, dtype=np.float64).tolist()),
        std=tuple(rows.std(axis=0, dtype=np.float64).tolist()),
    )
    return spec, *(cut(data, spec, people) for people in (train, VALIDATION_SUBJECTS, test))


def tensors(windows: Windows, spec: SeriesPreprocess) -> Array:
    """[n, window, channels], float32, as the network gets them."""
    return np.concatenate([to_tensor(window, spec) for window in windows.series])


def train(given: Array, labels: Array, classes: int, *, seed: int = 0) -> Weights:
    """Random kernels, biases at random quantiles of what they answer, softmax regression by gradient descent."""
    random = np.random.default_rng(seed)
    kernels, biases = {}, {}
    for dilation in DILATIONS:
        drawn = random.standard_normal((KERNELS, given.shape[2], TAPS)).astype(np.float32)
        # Each kernel looks at some of the channels, and at changes more than at levels.
        drawn *= random.random((KERNELS, given.shape[2], 1)) < 0.5
        drawn -= drawn.mean(axis=2, keepdims=True) * (random.random((KERNELS, 1, 1)) < 0.7)
        drawn /= np.sqrt((drawn**2).sum(axis=(1, 2), keepdims=True)) + 1e-6
        some = convolved(given[random.permutation(len(given))[:200]], drawn, dilation)
        levels = random.uniform(0.2, 0.9, KERNELS)
        kernels[dilation] = drawn
        biases[dilation] = -np.array(
            [np.quantile(some[:, :, i], level) for i, level in enumerate(levels)], np.float32
        )
    found = features(given, kernels, biases)
    mean, std = found.mean(axis=0), found.std(axis=0) + 1e-6
    linear, offset = softmax_regression((found - mean) / std, labels, classes)
    scaled = (linear / std[:, np.newaxis]).astype(np.float32)
    return Weights(kernels, biases, scaled, (offset - mean @ scaled).astype(np.float32))


def convolved(given: Array, kernels: Array, dilation: int) -> Array:
    """[n, time, kernels], without padding."""
    span = (TAPS - 1) * dilation + 1
    seen = np.lib.stride_tricks.sliding_window_view(given, span, axis=1)[..., ::dilation]
    flat = kernels.reshape(len(kernels), -1).T
    return np.stack([row.reshape(len(row), -1) @ flat for row in seen])


def features(given: Array, kernels: dict[int, Array], biases: dict[int, Array]) -> Array:
    """[n, features]: means over time of ReLU."""
    return np.concatenate(
        [
            np.maximum(convolved(given, kernels[dilation], dilation) + biases[dilation], 0).mean(axis=1)
            for dilation in kernels
        ],
        axis=1,
    )


def softmax_regression(given: Array, labels: Array, classes: int, decay: float = 0.01) -> tuple[Array, Array]:
    """Weights [features, classes] and offset, with a penalty on their squares; momentum 0.9."""
    wanted = np.eye(classes, dtype=np.float64)[labels]
    linear, offset = np.zeros((given.shape[1], classes)), np.zeros(classes)
    speed, offset_speed = np.zeros_like(linear), np.zeros(classes)
    for _ in range(STEPS):
        off = probabilities(given @ linear + offset) - wanted
        speed = 0.9 * speed - RATE * (given.T @ off / len(given) + decay * linear)
        offset_speed = 0.9 * offset_speed - RATE * off.mean(axis=0)
        linear, offset = linear + speed, offset + offset_speed
    return linear, offset


def probabilities(logits: Array) -> Array:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def logits(given: Array, weights: Weights) -> Array:
    """What the network answers, in NumPy: [n, classes]."""
    return np.asarray(features(given, weights.kernels, weights.biases) @ weights.linear + weights.offset)


def network(weights: Weights) -> onnx.ModelProto:
    """The same as an ONNX graph: 'series' [1, window, channels] to 'logits' [1, classes]."""
    constants = {"linear": weights.linear, "offset": weights.offset}
    nodes = [helper.make_node("Transpose", ["series"], ["turned"], perm=[0, 2, 1])]
    for dilation, kernel in weights.kernels.items():
        tag = f"d{dilation}"
        constants |= {f"{tag}.kernel": kernel, f"{tag}.bias": weights.biases[dilation]}
        inputs = ["turned", f"{tag}.kernel", f"{tag}.bias"]
        nodes += [
            helper.make_node("Conv", inputs, [f"{tag}.seen"], dilations=[dilation], kernel_shape=[TAPS]),
            helper.make_node("Relu", [f"{tag}.seen"], [f"{tag}.positive"]),
            helper.make_node("ReduceMean", [f"{tag}.positive"], [f"{tag}.mean"], axes=[2], keepdims=0),
        ]
    nodes += [
        helper.make_node("Concat", [f"d{d}.mean" for d in weights.kernels], ["features"], axis=1),
        helper.make_node("Gemm", ["features", "linear", "offset"], ["logits"]),
    ]
    channels = next(iter(weights.kernels.values())).shape[1]
    graph = helper.make_graph(
        nodes,
        "exercises",
        [helper.make_tensor_value_info("series", TensorProto.FLOAT, [1, WINDOW, channels])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(weights.offset)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def card_of(spec: SeriesPreprocess, names: tuple[str, ...]) -> ModelCard:
    """The card of that network."""
    return ModelCard(
        name="exercises",
        task=TIME_SERIES_CLASSIFICATION,
        inputs=(TensorCard("series", spec.shape, "float32", series=spec),),
        outputs=(TensorCard("logits", (1, len(names)), "float32", activation="logits"),),
        labels=names,
    )


def write_exercise_model(path: Path, data: Exercises) -> Path:
    """Train on the train people, and write the network with its card."""
    from edgewise.model_file import write_model

    spec, train_windows, _, _ = split(data)
    weights = train(tensors(train_windows, spec), train_windows.labels, len(data.names))
    write_model(path, network(weights).SerializeToString(), card=card_of(spec, data.names))
    return path
