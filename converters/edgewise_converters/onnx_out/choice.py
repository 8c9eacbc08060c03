"""The float model at each precision; where there are several ways, the one whose outputs come nearest is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgewise.onnx_properties import ACTIVATIONS
from edgewise.tensors import Quantization
from edgewise_converters.agreement import Agreement
from edgewise_converters.as_source import AS_SOURCE
from edgewise_converters.errors import ConversionError
from edgewise_converters.onnx_out.dense_int4 import quantize_int4
from edgewise_converters.onnx_out.dynamic_int8 import quantize_dynamic
from edgewise_converters.onnx_out.observe import observe
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.rounding import LayerRounding
from edgewise_converters.onnx_out.search import StaticSearch, Tried
from edgewise_converters.onnx_out.stored import store_float16, store_int8
from edgewise_converters.onnx_out.stored_layers import store_layers
from edgewise_converters.onnx_out.trials import Trials
from edgewise_converters.quantize.moments import Moments

PRECISIONS = ("fp32", "fp16", "weights8", "dynamic", "int8", "mixed", "int4", AS_SOURCE)
_MOMENT_SAMPLES = 48


@dataclass(frozen=True)
class Choice:
    """A model at a precision, and how it was made."""

    model: ir.Model
    how: str = ""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Smallest and largest value seen of each float input and output, by name."""
    tried: tuple[tuple[str, Agreement], ...] = ()
    """What was tried, and how near it came."""


def at_precision(
    model: ir.Model,
    precision: str,
    trials: Trials,
    *,
    method: str,
    inputs: Mapping[str, Quantization],
    rescue: bool = True,
) -> Choice:
    """The model at a precision. Raises ConversionError where it has nothing that could be stored so."""
    if precision in ("int8", "mixed"):
        search = StaticSearch(model, trials, inputs)
        best = search.best(method, rescue=rescue)
        return _static(search, search.protect(best) if precision == "mixed" else best)
    if precision == "int4":
        return _int4(model, trials)
    if precision in ("dynamic", "weights8"):
        return _narrow(model, precision, trials)
    if precision not in PRECISIONS:
        raise ConversionError(
            f"--precision {precision}: not there for --format onnx, expected one of {', '.join(PRECISIONS)}"
        )
    twin = model.clone()
    if precision == "fp16":
        store_float16(twin.graph)
    return Choice(twin)


def _static(search: StaticSearch, best: Tried) -> Choice:
    tried = tuple((str(entry.options), entry.agreement) for entry in search.tried)
    chosen = search.build(best.options)
    # Trials run with the kernels that are fast on x86; the file that ships is verified with those of ARM.
    chosen.metadata_props[ACTIVATIONS] = "int8"
    return Choice(chosen, str(best.options), search.ranges, tried)


def _narrow(model: ir.Model, precision: str, trials: Trials) -> Choice:
    """int8 weights, rounded jointly where there are samples and that comes nearer."""
    plain = _with_int8_weights(model, precision, None)
    if not trials.are_real:
        return Choice(plain, "rounded to nearest")
    joint = _with_int8_weights(model, precision, LayerRounding(_moments(model, trials)))
    trials.stage("Choosing the rounding", 2 * len(trials.cases))
    return _nearer([(joint, "rounded jointly, bias corrected"), (plain, "rounded to nearest")], trials)


def _with_int8_weights(model: ir.Model, precision: str, rounding: LayerRounding | None) -> ir.Model:
    if precision == "dynamic":
        return quantize_dynamic(model, rounding)
    twin = model.clone()
    if rounding is not None:
        store_layers(twin.graph, rounding)
    store_int8(twin.graph)
    return twin


def _moments(model: ir.Model, trials: Trials) -> Mapping[str, Moments]:
    """Of what each layer multiplies, over some of the samples."""
    some = trials.samples.only(trials.samples.sources[:_MOMENT_SAMPLES])
    trials.stage("Looking at what weights meet", len(some))
    return observe(model, (), some.feeds(), count=len(some), tick=trials.tick).moments


def _nearer(candidates: list[tuple[ir.Model, str]], trials: Trials) -> Choice:
    """The one whose outputs come nearest to the original's."""
    tried = [(how, trials.agreement(serialized(model))) for model, how in candidates]
    levels = [float(np.mean([output.snr_db for output in agreement.outputs])) for _, agreement in tried]
    model, how = candidates[int(np.argmax(levels))]
    return Choice(model, how, tried=tuple(tried))


def _int4(model: ir.Model, trials: Trials) -> Choice:
    plain = quantize_int4(model, {})
    if not trials.are_real:
        return Choice(plain.model, "rounded to nearest")
    moments = _moments(model, trials)
    joint = [quantize_int4(model, moments, correct_bias=correct).model for correct in (True, False)]
    trials.stage("Choosing the rounding", 3 * len(trials.cases))
    hows = ("rounded jointly, bias corrected", "rounded jointly", "rounded to nearest")
    return _nearer(list(zip([*joint, plain.model], hows, strict=True)), trials)
