"""Names of precisions, what follows what, and the static ones: the best of several ways by measured output."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgewise.model_card import ImagePreprocess
from edgewise.tensors import Array, Quantization
from edgewise_converters.as_source import AS_SOURCE
from edgewise_converters.quantize import Shared, StaticOptions, Width, calibrate
from edgewise_converters.quantize.dense_as_convolution import dense_as_convolution
from edgewise_converters.quantize.ranges import CHOOSERS, scale_of
from edgewise_converters.samples import Feed, Samples
from edgewise_converters.search import Candidates, StaticRequest, Trial, protect, search_static
from edgewise_converters.targets import Target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.runtimes import rules_of
from edgewise_converters.verify import Case, Layouts

PRECISIONS = ("auto", "fp32", "fp16", "weights8", "dynamic", "int8", "mixed", "int16x8", "int4", AS_SOURCE)
STATIC = frozenset({"int8", "mixed", "int16x8"})
"""Precisions with activations of ranges that were measured beforehand."""
STEP_DOWN = {
    "int4": "dynamic",
    "int8": "mixed",
    "mixed": "dynamic",
    "int16x8": "dynamic",
    "dynamic": "fp16",
    "weights8": "fp16",
    "fp16": "fp32",
}
"""What `auto` tries next when a precision is not good enough."""
CALIBRATIONS = ("auto", *CHOOSERS)
TRIAL_CASES = 24
_INT16_TRIAL_CASES = 6
"""int16x8 kernels are slow."""
_BYTE_STEPS = 128


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


@dataclass(frozen=True)
class StaticChoice:
    """The best static graph, and what was tried."""

    graph: Graph
    ranges: dict[str, tuple[float, float]]
    """Smallest and largest value seen of each input and output, by name."""
    best: Trial
    tried: tuple[Trial, ...]
    candidates: Candidates


def static(
    graph: Graph,
    precision: str,
    target: Target,
    samples: Samples,
    wanted: StaticRequest,
    *,
    layouts: Layouts,
    images: dict[str, ImagePreprocess],
    trials: list[Case],
    classifies: bool,
    stage: Callable[[str, int], None],
    tick: Callable[[], None],
) -> StaticChoice:
    """Calibrate, quantize in every way that is wanted, and keep the one whose outputs are nearest."""
    dense = graph.copy()
    dense_as_convolution(dense)
    stage("Calibrating", len(samples))
    inputs = (_in_order(dense, feed, layouts) for feed in samples.feeds())
    calibration = calibrate(dense, inputs, count=len(samples), tick=tick, threads=1)
    wide = precision == "int16x8"
    candidates = Candidates(
        dense,
        Shared(calibration),
        {} if wide else {name: byte_quantization(image) for name, image in images.items()},
        target.runtimes[0],
        trials[: _INT16_TRIAL_CASES if wide else None],
        layouts,
        classifies,
        tick,
    )
    width = Width.INT16 if wide else Width.INT8
    first = StaticOptions(
        width=width, rules=rules_of(target.runtimes), per_tensor=wanted.per_tensor, symmetric=wanted.symmetric
    )
    best = search_static(candidates, replace(wanted, width=width), first, stage)
    if precision == "mixed":
        best = protect(candidates, best, stage)
    ends = dense.inputs + dense.outputs
    ranges = {t.name: (s.minimum, s.maximum) for t in ends if (s := calibration.by_tensor.get(id(t)))}
    return StaticChoice(candidates.build(best.options), ranges, best, tuple(candidates.tried), candidates)


def _in_order(graph: Graph, feed: Feed, layouts: Layouts) -> list[Array]:
    return [np.asarray(feed[t.name].transpose(layouts.inputs[t.name]), order="C") for t in graph.inputs]
