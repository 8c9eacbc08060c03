"""The float graph at each precision; for static int8, the best of several ways by measured output."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgewise.model_card import ImagePreprocess
from edgewise.tensors import Array, Quantization
from edgewise_converters.agreement import Agreement
from edgewise_converters.quantize import (
    Rounding,
    StaticOptions,
    calibrate,
    quantize_static,
)  # fmt: skip
from edgewise_converters.quantize.dense_as_convolution import dense_as_convolution
from edgewise_converters.quantize.ranges import CHOOSERS, scale_of
from edgewise_converters.samples import Feed, Samples
from edgewise_converters.targets import Target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import Case, Layouts, measure, open_runtime

PRECISIONS = ("auto", "fp32", "fp16", "weights8", "dynamic", "int8")
STEP_DOWN = {"int8": "dynamic", "dynamic": "fp16", "weights8": "fp16", "fp16": "fp32"}
"""What `auto` tries next when a precision is not good enough."""
CALIBRATIONS = ("auto", *CHOOSERS)
TRIAL_CASES = 24
_OLD_RUNTIME = "tflite-runtime"
_NO_INT8_THERE = frozenset({"TRANSPOSE_CONV"})
"""Kernels that tflite-runtime 2.14 lacks."""
_BYTE_STEPS = 128


@dataclass(frozen=True)
class StaticChoice:
    """The best static int8 graph, and what was tried."""

    graph: Graph
    ranges: dict[str, tuple[float, float]]
    """Smallest and largest value seen of each input and output, by name."""
    options: StaticOptions
    tried: tuple[tuple[StaticOptions, Agreement], ...]


def byte_quantization(image: ImagePreprocess) -> Quantization:
    """int8 quantization of an image input under which a pixel's byte needs the least rounding.

    With one mean and std for all channels integer = pixel - 128 exactly (up to half a step where the mean is no
    whole number); otherwise the range of all channels together.
    """
    if len(set(image.mean)) == 1 and len(set(image.std)) == 1:
        zero_point = int(np.clip(round(image.mean[0] - _BYTE_STEPS), -128, 127))
        return Quantization((float(np.float32(1 / image.std[0])),), (zero_point,))
    ends = [((limit - m) / s) for limit in (0, 255) for m, s in zip(image.mean, image.std, strict=True)]
    scale, zero_point = scale_of(min(ends), max(ends))
    return Quantization((scale,), (zero_point,))


def static_int8(
    graph: Graph,
    target: Target,
    samples: Samples,
    *,
    layouts: Layouts,
    images: dict[str, ImagePreprocess],
    trials: list[Case],
    method: str,
    classifies: bool,
    stage: Callable[[str, int], None],
    tick: Callable[[], None],
) -> StaticChoice:
    """Calibrate, quantize in every way that ``method`` allows, and keep the one whose outputs are nearest."""
    dense = graph.copy()
    dense_as_convolution(dense)
    stage("Calibrating", len(samples))
    inputs = (_in_order(dense, feed, layouts) for feed in samples.feeds())
    calibration = calibrate(dense, inputs, count=len(samples), tick=tick, threads=1)
    kept_float = _NO_INT8_THERE if _OLD_RUNTIME in target.runtimes else frozenset()
    entries = {name: byte_quantization(image) for name, image in images.items()}
    rounding = Rounding(calibration)
    tried: list[tuple[StaticOptions, Agreement]] = []

    def build(options: StaticOptions) -> Graph:
        return quantize_static(dense, calibration, options, inputs=entries, rounding=rounding)

    def score(options: StaticOptions) -> float:
        network = serialize(build(options), description="trial", metadata={})
        backend = open_runtime(network, target.runtimes[0])
        agreement = measure(backend, trials, layouts, classifies=classifies, tick=tick)
        backend.close()
        tried.append((options, agreement))
        return float(np.mean([output.snr_db for output in agreement.outputs]))

    first = [
        StaticOptions(ranges, kept_float=kept_float)
        for ranges in (CHOOSERS if method == "auto" else (method,))
    ]
    stage("Choosing ranges", (len(first) + 2) * len(trials))
    by_ranges = max((score(options), -i) for i, options in enumerate(first))
    best = first[-by_ranges[1]]
    # Cleverer rounding and the correction stay only where they help.
    others = [replace(best, rounding="nearest"), replace(best, correct_bias=False)]
    options = max([(by_ranges[0], 0, best), *((score(o), -1 - i, o) for i, o in enumerate(others))])[2]
    ends = dense.inputs + dense.outputs
    ranges = {t.name: (s.minimum, s.maximum) for t in ends if (s := calibration.by_tensor.get(id(t)))}
    return StaticChoice(build(options), ranges, options, tuple(tried))


def _in_order(graph: Graph, feed: Feed, layouts: Layouts) -> list[Array]:
    return [np.asarray(feed[t.name].transpose(layouts.inputs[t.name]), order="C") for t in graph.inputs]
