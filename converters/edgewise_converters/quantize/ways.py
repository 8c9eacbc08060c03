"""A way to quantize a graph statically, and what the ways of quantizing one graph share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.calibrate import Calibration
from edgewise_converters.quantize.dynamic_int8 import quantize_dynamic
from edgewise_converters.quantize.narrow_weights import WeightStore
from edgewise_converters.quantize.ranges import CHOOSERS
from edgewise_converters.quantize.rounding import Rounding
from edgewise_converters.quantize.rules import possible_widths, sensible_widths
from edgewise_converters.quantize.widths import Width, Widths
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.runtimes import EVERY_RUNTIME, RuntimeRules


@dataclass(frozen=True)
class StaticOptions:
    """How to quantize: every combination is legal, and which is best is measured."""

    ranges: str = "mse"
    """A key of `ranges.CHOOSERS`, for every activation but those in ``ranges_of``."""
    rounding: str = "gptq"
    """One of `rounding.METHODS`, for the weights."""
    correct_bias: bool = True
    width: Width = Width.INT8
    """What operators compute in where they keep their meaning in it (see `rules.sensible_width`)."""
    rules: RuntimeRules = EVERY_RUNTIME
    """What the target's runtimes can run."""
    per_tensor: bool = False
    """Whether weights have one scale a tensor instead of one an output channel."""
    symmetric: bool = False
    """Whether int8 activations have zero point 0 (int16 ones always have)."""
    ranges_of: Mapping[int, str] = field(default_factory=dict)
    """By id of tensor, another key of `ranges.CHOOSERS`."""
    widths_of: Widths = field(default_factory=dict)
    """By id of operator, another width; one there is no kernel for is passed over."""
    shifts_of: Mapping[int, Array] = field(default_factory=dict)
    """By id of operator: what its bias gives up besides, float64 [C] (see `empirical_bias`)."""

    def __str__(self) -> str:
        correction = "with" if self.correct_bias else "without"
        measured = ", biases corrected by measurement" if self.shifts_of else ""
        return f"{self.ranges} ranges, {self.rounding} rounding, {correction} bias correction{measured}"


class Shared:
    """What the ways of quantizing one calibrated graph share: rounded weights, and ranges."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self.rounding = Rounding(calibration)
        self._ranges: dict[tuple[int, str], tuple[float, float]] = {}
        self._bodies: dict[int, Graph] = {}
        self.biases: dict[tuple[object, ...], tuple[tuple[object, object], tuple[Array, Quantization]]] = {}
        """Integer biases, most of which the ways have in common, each with what it was made from."""
        self.store = WeightStore()
        """Weights of operators that stay in float32, such as tables, in bytes."""

    def range_of(self, tensor: int, chooser: str) -> tuple[float, float]:
        """The range of a tensor (by id) by a key of `CHOOSERS`."""
        key = (tensor, chooser)
        if key not in self._ranges:
            self._ranges[key] = CHOOSERS[chooser](self.calibration.by_tensor[tensor])
        return self._ranges[key]

    def body(self, graph: Graph, rules: RuntimeRules) -> Graph:
        """A branch or the body of a loop: nothing was measured inside, so only its weights become narrow."""
        if id(graph) not in self._bodies:
            self._bodies[id(graph)] = quantize_dynamic(graph, self.store, rules)
        return self._bodies[id(graph)]


def widths_of(graph: Graph, options: StaticOptions) -> dict[int, Width]:
    """The width of every operator under these options."""
    widths = sensible_widths(graph, options.width, options.rules)
    for operator in graph.operators:
        wanted = options.widths_of.get(id(operator))
        if wanted is not None and wanted in possible_widths(operator, options.rules):
            widths[id(operator)] = wanted
    return widths
