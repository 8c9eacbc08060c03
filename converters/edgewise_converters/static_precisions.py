"""Precisions whose activations have ranges that were measured beforehand: static int8, mixed, int16x8."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from edgewise.model_card import ImagePreprocess
from edgewise.tensors import Array, Quantization
from edgewise_converters.errors import ConversionError
from edgewise_converters.quantize import Calibration, Shared, StaticOptions, Width, calibrate
from edgewise_converters.quantize.dense_as_convolution import dense_as_convolution
from edgewise_converters.quantize.equalize import (
    cross_layer_equalized,
    largest_by_channel,
    normalisation_links,
    smoothed,
)
from edgewise_converters.quantize.ranges import scale_of
from edgewise_converters.quantize.share_weights import share_weights
from edgewise_converters.quantize.swamped import swamped
from edgewise_converters.samples import Samples, spread
from edgewise_converters.search import Candidates, StaticRequest, Trial, search_static
from edgewise_converters.search.cost import threads_for
from edgewise_converters.spill import release_mapped
from edgewise_converters.targets import Target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.pieces import map_weights
from edgewise_converters.tflite.runtimes import rules_of
from edgewise_converters.verify import Case, Layouts, in_order

STATIC = frozenset({"int8", "mixed", "mixed16", "int16x8"})
_INT16_TRIAL_CASES = 6
"""int16x8 kernels are slow."""
_BYTE_STEPS = 128
_SMOOTHING = (0.5, 0.75)
"""Parts of the channels' differences that are moved into the weights, as a try each."""
_EVENING_WORTH_DB = 0.5


@dataclass(frozen=True)
class StaticChoice:
    """The best static graph, and what was tried."""

    graph: Graph
    ranges: dict[str, tuple[float, float]]
    """Smallest and largest value seen of each input and output, by name."""
    best: Trial
    tried: tuple[Trial, ...]
    candidates: Candidates


@dataclass(frozen=True)
class Setting:
    """What a static precision is chosen for, and what it is chosen by."""

    target: Target
    samples: Samples
    layouts: Layouts
    images: dict[str, ImagePreprocess]
    """By name of input: how pictures become it."""
    trials: list[Case]
    stage: Callable[[str, int], None]
    tick: Callable[[], None]

    def calibrate(self, graph: Graph) -> Calibration:
        """What flows through a float graph, on all samples."""
        self.stage("Calibrating", len(self.samples))
        inputs = (in_order(graph, feed, self.layouts) for feed in self.samples.feeds())
        threads = threads_for(graph)
        return calibrate(graph, inputs, count=len(self.samples), tick=self.tick, threads=threads)

    def candidates(self, graph: Graph, calibration: Calibration, *, wide: bool) -> Candidates:
        """Ways to quantize a calibrated graph, to be judged by the trial cases."""
        return Candidates(
            graph,
            Shared(calibration),
            {} if wide else {name: byte_quantization(image) for name, image in self.images.items()},
            self.target.runtimes[0],
            self.trials[: _INT16_TRIAL_CASES if wide else None],
            self.layouts,
            lambda most: self._inputs(graph, most),
            self.tick,
        )

    def trial_inputs(self, graph: Graph) -> list[list[Array]]:
        """The trial cases as the graph takes them."""
        return [in_order(graph, case.feed, self.layouts) for case in self.trials]

    def _inputs(self, graph: Graph, most: int) -> list[list[Array]]:
        chosen = self.samples.only(spread(self.samples.sources, most))
        return [in_order(graph, feed, self.layouts) for feed in chosen.feeds()]


def at_static_precision(
    graph: Graph, precision: str, wanted: StaticRequest, setting: Setting
) -> StaticChoice:
    """Calibrate, quantize in every way that is wanted, and keep the one whose outputs are nearest."""
    wide = precision == "int16x8"
    options = StaticOptions(
        width=Width.INT16 if wide else Width.INT8,
        rules=rules_of(setting.target.runtimes),
        per_tensor=wanted.per_tensor,
        symmetric=wanted.symmetric,
    )
    map_weights(graph)
    dense = graph.copy()
    dense_as_convolution(dense)
    share_weights(dense)
    dense, evened = _evened(dense, options, setting)
    calibration = setting.calibrate(dense)
    options = replace(options, widths_of=swamped(dense, calibration))
    candidates = setting.candidates(dense, calibration, wide=wide)
    wanted = replace(
        wanted,
        width=options.width,
        mixed=precision in ("mixed", "mixed16"),
        wide_culprits=precision == "mixed16",
    )
    best = search_static(candidates, wanted, options, setting.stage)
    ends = dense.inputs + dense.outputs
    ranges = {t.name: (s.minimum, s.maximum) for t in ends if (s := calibration.by_tensor.get(id(t)))}
    tried = (*evened, *candidates.tried)
    return StaticChoice(candidates.build(best.options), ranges, best, tried, candidates)


def _evened(graph: Graph, options: StaticOptions, setting: Setting) -> tuple[Graph, list[Trial]]:
    """The graph with its channels' sizes moved between layers where that helps, and what was tried.

    Judged in the plainest way, with ranges from the trial cases alone: what it gains does not depend on the rest.
    """
    makers: list[tuple[str, Callable[[], Graph]]] = []
    inputs = setting.trial_inputs(graph)
    if options.per_tensor:
        makers.append(("channels evened out between layers", partial(cross_layer_equalized, graph)))
    if normalisation_links(graph):
        largest = largest_by_channel(graph, inputs)
        makers += [
            (f"normalisations smoothed by {s}", partial(smoothed, graph, largest, s)) for s in _SMOOTHING
        ]
    if not makers:
        return graph, []
    makers = [("channels as they are", lambda: graph), *makers]
    setting.stage("Evening out channels", 2 * len(makers) * len(inputs))
    plain = replace(options, ranges="minmax", rounding="nearest")
    tried: list[Trial] = []
    ways: list[Graph] = []
    for why, make in makers:
        way = make()
        map_weights(way)
        ways.append(way)
        tried.append(_tried_plainly(way, why, plain, setting, inputs))
        release_mapped()
    best = max(range(len(ways)), key=lambda place: tried[place].score_db)
    worth = tried[best].score_db >= tried[0].score_db + _EVENING_WORTH_DB
    return (ways[best] if worth else graph), tried


def _tried_plainly(
    way: Graph, why: str, plain: StaticOptions, setting: Setting, inputs: list[list[Array]]
) -> Trial:
    """One graph calibrated and asked; a large one's calibration takes a hundred megabytes, which end here."""
    calibration = calibrate(way, inputs, count=len(inputs), tick=setting.tick, threads=1, moments=False)
    return setting.candidates(way, calibration, wide=plain.width is Width.INT16).ask(plain, why)


def check_ends(ends: str, precision: str) -> None:
    """Raise ConversionError for integer inputs and outputs of a file that computes in floats."""
    if ends in ("int8", "uint8") and precision not in (*STATIC, "auto"):
        raise ConversionError(
            f"--io {ends}: got precision {precision}, expected one with integer activations: "
            f"{', '.join(sorted(STATIC))} (they need --samples)"
        )


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
