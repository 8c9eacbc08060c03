"""The float model at each precision; where there are several ways, the one whose outputs come nearest is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Quantization
from edgewise_converters.agreement import Agreement
from edgewise_converters.as_source import AS_SOURCE
from edgewise_converters.errors import ConversionError
from edgewise_converters.onnx_out.dense_int4 import quantize_int4
from edgewise_converters.onnx_out.dynamic_int8 import quantize_dynamic
from edgewise_converters.onnx_out.observe import observe
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.search import StaticSearch, Tried
from edgewise_converters.onnx_out.stored import store_float16, store_int8
from edgewise_converters.onnx_out.trials import Trials

PRECISIONS = ("fp32", "fp16", "weights8", "dynamic", "int8", "mixed", "int4", AS_SOURCE)
_INT4_SAMPLES = 48


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
    if precision == "dynamic":
        return Choice(quantize_dynamic(model))
    if precision not in PRECISIONS:
        raise ConversionError(
            f"--precision {precision}: not there for --format onnx, expected one of {', '.join(PRECISIONS)}"
        )
    twin = model.clone()
    if precision == "fp16":
        store_float16(twin.graph)
    elif precision == "weights8":
        store_int8(twin.graph)
    return Choice(twin)


def _static(search: StaticSearch, best: Tried) -> Choice:
    tried = tuple((str(entry.options), entry.agreement) for entry in search.tried)
    return Choice(search.build(best.options), str(best.options), search.ranges, tried)


def _int4(model: ir.Model, trials: Trials) -> Choice:
    plain = quantize_int4(model, {})
    if not trials.are_real:
        return Choice(plain.model, "rounded to nearest")
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
    return Choice(chosen.model, f"rounded {how}")
