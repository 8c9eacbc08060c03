"""The float model at each precision; where there are several ways, the one whose outputs come nearest is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Quantization
from edgewise_converters.agreement import Agreement
from edgewise_converters.errors import ConversionError
from edgewise_converters.onnx_out.dense_int4 import quantize_int4
from edgewise_converters.onnx_out.dynamic_int8 import quantize_dynamic
from edgewise_converters.onnx_out.observe import observe
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.roles import roles_of
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.static_int8 import StaticOptions, quantize_static
from edgewise_converters.onnx_out.stored import store_float16, store_int8
from edgewise_converters.quantize.ranges import CHOOSERS
from edgewise_converters.samples import Samples
from edgewise_converters.verify import Case, Layouts, measure, open_runtime

PRECISIONS = ("fp32", "fp16", "weights8", "dynamic", "int8", "int4")
RUNTIME = "onnxruntime"
_INT4_SAMPLES = 48


@dataclass(frozen=True)
class Trials:
    """What the ways of quantizing are calibrated and compared on."""

    samples: Samples
    cases: list[Case]
    layouts: Layouts
    classifies: bool
    stage: Callable[[str, int], None]
    tick: Callable[[], None]

    def agreement(self, network: bytes) -> Agreement:
        """How near a network's outputs are to the original's."""
        backend = open_runtime(network, RUNTIME)
        agreement = measure(backend, self.cases, self.layouts, classifies=self.classifies, tick=self.tick)
        backend.close()
        return agreement

    @property
    def are_real(self) -> bool:
        return bool(self.cases) and not self.samples.is_noise


@dataclass(frozen=True)
class Choice:
    """A model at a precision, and how it was made."""

    model: ir.Model
    how: str
    ranges: Mapping[str, tuple[float, float]]
    """Smallest and largest value seen of each input and output, by name."""


def at_precision(
    model: ir.Model, precision: str, trials: Trials, *, method: str, inputs: Mapping[str, Quantization]
) -> Choice:
    """The model at a precision. Raises ConversionError where it has nothing that could be stored so."""
    if precision == "int8":
        return _static(model, trials, method, inputs)
    if precision == "int4":
        return _int4(model, trials)
    if precision == "dynamic":
        return Choice(quantize_dynamic(model), "", {})
    if precision not in PRECISIONS:
        raise ConversionError(
            f"--precision {precision}: not there for --format onnx, expected one of {', '.join(PRECISIONS)}"
        )
    twin = model.clone()
    if precision != "fp32":
        (store_float16 if precision == "fp16" else store_int8)(twin.graph)
    return Choice(twin, "", {})


def _static(model: ir.Model, trials: Trials, method: str, inputs: Mapping[str, Quantization]) -> Choice:
    """Calibrate, quantize in every way that ``method`` allows, and keep the one whose outputs are nearest."""
    roles = roles_of(model.graph)
    if not roles.integer:
        raise ConversionError(
            "--precision int8: the model has no layer with constant weights, expected a Conv, MatMul or Gemm; "
            "use --precision fp32"
        )
    ends = {str(value.name) for value in [*model.graph.inputs, *model.graph.outputs]}
    floats = {
        str(v.name) for v in [*model.graph.inputs, *model.graph.outputs] if v.dtype == ir.DataType.FLOAT
    }
    count = len(trials.samples)
    trials.stage("Calibrating", count)
    observed = observe(model, roles.rounded | floats, trials.samples.feeds(), count=count, tick=trials.tick)
    rounding = LayerRounding(observed.moments)

    def build(options: StaticOptions) -> ir.Model:
        twin = quantize_static(model, roles, observed, options, rounding=rounding, inputs=inputs)
        store_int8(twin.graph)
        return twin

    def score(options: StaticOptions) -> float:
        agreement = trials.agreement(serialized(build(options)))
        return float(np.mean([output.snr_db for output in agreement.outputs]))

    options = _best(score, tuple(CHOOSERS) if method == "auto" else (method,), trials)
    ranges = {n: (s.minimum, s.maximum) for n, s in observed.values.items() if n in ends}
    return Choice(build(options), str(options), ranges)


def _best(score: Callable[[StaticOptions], float], methods: tuple[str, ...], trials: Trials) -> StaticOptions:
    """Each way to choose ranges, then the best of them with plain rounding and without the correction."""
    first = [StaticOptions(ranges) for ranges in methods]
    trials.stage("Choosing ranges", (len(first) + 2) * len(trials.cases))
    scored = [(score(options), -index, options) for index, options in enumerate(first)]
    best = max(scored, key=lambda entry: entry[:2])
    others = [replace(best[2], rounding="nearest"), replace(best[2], correct_bias=False)]
    scored = [best, *((score(o), -len(first) - i, o) for i, o in enumerate(others))]
    return max(scored, key=lambda entry: entry[:2])[2]


def _int4(model: ir.Model, trials: Trials) -> Choice:
    plain = quantize_int4(model, {})
    if not trials.are_real:
        return Choice(plain.model, "rounded to nearest", {})
    some = trials.samples.only(trials.samples.sources[:_INT4_SAMPLES])
    trials.stage("Looking at what weights meet", len(some))
    moments = observe(model, (), some.feeds(), count=len(some), tick=trials.tick).moments
    joint = [quantize_int4(model, moments, correct_bias=correct) for correct in (True, False)]
    trials.stage("Choosing the rounding", 3 * len(trials.cases))
    candidates = [*zip(joint, ("jointly, bias corrected", "jointly"), strict=True), (plain, "to nearest")]
    scores = [
        float(np.mean([o.snr_db for o in trials.agreement(serialized(c.model)).outputs]))
        for c, _ in candidates
    ]
    chosen, how = candidates[int(np.argmax(scores))]
    return Choice(chosen.model, f"rounded {how}", {})
