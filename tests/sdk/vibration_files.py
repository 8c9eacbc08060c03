"""A network of band energies, and what of them is normal for a bearing: Mahalanobis distance and a threshold.

The bands are fixed, not trained: the logarithm of the mean square of a convolution with windowed cosines and sines, so
that the network is one of plain operators. What is learnt is the mean, the covariance and the threshold.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import edgewise
from edgewise.model_card import ANOMALY_DETECTION, ModelCard, TensorCard
from edgewise.preprocess.series import to_tensor, windows_of
from edgewise.series_card import SeriesPreprocess
from edgewise.tasks.anomaly_fit import FittedThreshold, fit_mahalanobis, fit_threshold
from edgewise.tensors import Array
from model_sources.vibration import RATE_HZ, Vibration

TRAINED_ON = ("baseline_1", "baseline_2")
"""The first half of each is learnt from, the second sets the threshold; baseline_3 is judged on."""
WINDOW, BANDS, TAPS, STEP = 4096, 8, 64, 16
"""Windows of two turns of the shaft; eight bands were better than four and sixteen at what one of the two recordings
says of the other."""
FALSE_ALARMS = 0.05
SPEC = SeriesPreprocess(
    rate_hz=RATE_HZ,
    window=WINDOW,
    stride=WINDOW,
    channels=("acceleration",),
    units=("g",),
    normalise="window",
)


def kernels() -> Array:
    """[2 * BANDS, 1, TAPS]: cosines and sines of the middle of each band, in a Hann window."""
    middles = (np.arange(BANDS) + 0.5) / (2 * BANDS)
    angles = 2 * np.pi * middles[:, np.newaxis] * np.arange(TAPS)
    waves = np.concatenate([np.cos(angles), np.sin(angles)]) * np.hanning(TAPS)
    return waves[:, np.newaxis].astype(np.float32)


def energies(windows: list[Array]) -> Array:
    """[n, 2 * BANDS], what the network answers, in NumPy."""
    found = []
    for window in windows:
        rows = np.lib.stride_tricks.sliding_window_view(to_tensor(window, SPEC)[0, :, 0], TAPS)[::STEP]
        found.append(np.log(((rows @ kernels()[:, 0].T) ** 2).mean(axis=0) + 1e-6))
    return np.stack(found)


def network() -> onnx.ModelProto:
    """The same as an ONNX graph: 'series' [1, WINDOW, 1] to 'energies' [1, 2 * BANDS]."""
    nodes = [
        helper.make_node("Transpose", ["series"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["turned", "kernels"], ["waves"], strides=[STEP], kernel_shape=[TAPS]),
        helper.make_node("Mul", ["waves", "waves"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["means"], axes=[2], keepdims=0),
        helper.make_node("Add", ["means", "floor"], ["positive"]),
        helper.make_node("Log", ["positive"], ["energies"]),
    ]
    graph = helper.make_graph(
        nodes,
        "vibration",
        [helper.make_tensor_value_info("series", TensorProto.FLOAT, [1, WINDOW, 1])],
        [helper.make_tensor_value_info("energies", TensorProto.FLOAT, [1, 2 * BANDS])],
        [
            numpy_helper.from_array(kernels(), "kernels"),
            numpy_helper.from_array(np.array(1e-6, np.float32), "floor"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_vibration_model(path: Path, data: Vibration) -> FittedThreshold:
    """Learn from the good bearings and write the network with its card; the threshold, whose windows do not overlap."""
    halves = [np.array_split(data.recordings[name], 2) for name in TRAINED_ON]
    learnt = [window for first, _ in halves for window in windows_of(first, SPEC)]
    card = ModelCard(
        name="vibration",
        task=ANOMALY_DETECTION,
        inputs=(TensorCard("series", SPEC.shape, "float32", series=SPEC),),
        outputs=(TensorCard("energies", (1, 2 * BANDS), "float32"),),
        anomaly=fit_mahalanobis(energies(learnt)),
    )
    content = network().SerializeToString()
    edgewise.write_model(path, content, card=card)
    kept = [window for _, second in halves for window in windows_of(second, SPEC)]
    fitted = fit_threshold(scores(path, kept), false_alarm_rate=FALSE_ALARMS)
    assert card.anomaly
    edgewise.write_model(path, content, card=replace(card, anomaly=fitted.on(card.anomaly)))
    return fitted


def scores(path: Path, windows: list[Array]) -> Array:
    """By the SDK."""
    with edgewise.load(path, threads=1) as model:
        return np.array([model.predict(window).score for window in windows])
