"""Names for why a layer is noisy, each from a measured fact and with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.agreement import IDENTICAL_DB, decibel
from edgewise_converters.diagnosis.findings import Cause
from edgewise_converters.layer_facts import LayerFacts
from edgewise_converters.quantize.rules import CONCATENATION, has_weights
from edgewise_converters.quantize.weights import channel_axis, quantize_weights, smallest_scales
from edgewise_converters.tflite.graph import Operator

_CLIPPING_PART = 0.3
"""Noise of the grid from cut-off values, above which the range is to blame."""
_LONG_TAIL = 0.5
"""Span of nearly all values over that of all, below which the rest costs a bit."""
_FEW_STEPS = 32
"""Left to the median channel by one that reaches farther: five bits."""
_FAINT_SHARE = 0.1
_UNEQUAL_INPUTS = 4.0
_SATURATED = 0.25
_POOR_DB = 35.0
"""Eight bits well used give more (a uniform distribution 48 dB, Jacob et al. 2018, section 2)."""
_MAIN_PART_DB = 6.0
"""A part this little below the whole noise makes at least a quarter of it."""
_BIAS_COST_DB = 1.0
_UNSUITED = frozenset({
    "SOFTMAX", "LOG_SOFTMAX", "EXP", "LOG", "DIV", "POW", "SQRT", "RSQRT", "SQUARED_DIFFERENCE", "L2_NORMALIZATION",
})  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """What is known of one quantized layer."""

    facts: LayerFacts
    inputs: tuple[LayerFacts, ...]
    """Of its activations that were measured."""
    operator: Operator | None = None
    """The float one, with its weights."""
    spans: Mapping[str, float] | None = None
    """Width of the range of its output by each chooser; None where it was not calibrated here."""
    per_tensor: bool = False
    local_db: float | None = None
    """Of its output when nothing else is quantized; None where that was not measured."""


def causes_of(evidence: Evidence) -> tuple[Cause, ...]:
    """Everything that stands out, the surest first."""
    found = (look(evidence) for look in _LOOKS)
    return tuple(cause for cause in found if cause is not None)


def _range_cut(evidence: Evidence) -> Cause | None:
    facts = evidence.facts
    if facts.clipping_part < _CLIPPING_PART or facts.low is None:
        return None
    return Cause(
        "range cut",
        f"{facts.clipped:.3%} of its values ({facts.minimum:.3g} to {facts.maximum:.3g}) lie outside of "
        f"{facts.low:.3g} to {facts.high:.3g} and make {facts.clipping_part:.0%} of its grid's noise",
    )


def _unsuited(evidence: Evidence) -> Cause | None:
    facts = evidence.facts
    if facts.kind not in _UNSUITED or facts.low is None:
        return None
    return Cause(
        "unsuited pattern",
        f"{facts.kind} in {facts.precision}: what comes out spans many orders of magnitude",
    )


def _outlier_channel(evidence: Evidence) -> Cause | None:
    facts = evidence.facts
    if _steps(facts) > _FEW_STEPS * facts.channel_ratio or facts.low is None:
        return None
    return Cause(
        "outlier channel",
        f"one channel reaches {facts.channel_ratio:.0f} times as far as the median one, which has "
        f"{_steps(facts) / facts.channel_ratio:.0f} of {_steps(facts)} steps left",
    )


def _faint_channels(evidence: Evidence) -> Cause | None:
    facts = evidence.facts
    if facts.faint_channels < _FAINT_SHARE:
        return None
    name = "tiny depthwise weights" if facts.kind == "DEPTHWISE_CONV_2D" else "faint channels"
    return Cause(
        name, f"{facts.faint_channels:.0%} of its channels reach less than 8 of {_steps(facts)} steps"
    )


def _unequal_inputs(evidence: Evidence) -> Cause | None:
    if evidence.facts.kind != CONCATENATION or evidence.facts.low is None:
        return None
    spans = [facts.maximum - facts.minimum for facts in evidence.inputs if facts.maximum > facts.minimum]
    if len(spans) < 2 or max(spans) < _UNEQUAL_INPUTS * min(spans):
        return None
    return Cause(
        "unequal concat inputs",
        f"the widest input spans {max(spans) / min(spans):.1f} times the narrowest, one scale for all",
    )


def _long_tail(evidence: Evidence) -> Cause | None:
    span, facts = (evidence.spans or {}).get("percentile"), evidence.facts
    if span is None or facts.low is None or facts.high is None:
        return None
    part = span / (facts.high - facts.low)
    if part > _LONG_TAIL:
        return None
    return Cause(
        "long tail",
        f"all but the rarest hundredth of a percent at each end lie in {part:.0%} of its range",
    )


def _saturated(evidence: Evidence) -> Cause | None:
    facts = evidence.facts
    if facts.at_ends < _SATURATED:
        return None
    return Cause(
        "saturated activation",
        f"{facts.at_ends:.0%} of its values are {facts.minimum:.3g} or {facts.maximum:.3g}",
    )


def _large_bias(evidence: Evidence) -> Cause | None:
    weights, bias = _parameters(evidence.operator)
    if weights is None or bias is None or evidence.operator is None or not evidence.inputs:
        return None
    low, high = evidence.inputs[0].low, evidence.inputs[0].high
    if low is None or high is None:
        return None
    axis = None if evidence.per_tensor else channel_axis(evidence.operator.kind)
    floor = smallest_scales(bias, (high - low) / 255)
    free = _kept_db(weights, quantize_weights(weights, axis))
    held = _kept_db(
        weights, quantize_weights(weights, axis, floor=floor if axis is not None else floor.max())
    )
    if free - held < _BIAS_COST_DB:
        return None
    return Cause(
        "bias too large", f"to hold it in int32 the weights are kept to {held:.1f} dB instead of {free:.1f}"
    )


def _kept_db(weights: Array, quantized: tuple[Array, Quantization]) -> float:
    error = quantized[1].dequantize(quantized[0]).astype(np.float64) - weights
    return decibel(float(np.square(weights, dtype=np.float64).sum()), float(np.square(error).sum()))


def _coarsest(evidence: Evidence) -> Cause | None:
    """What rounds most: the layer's output, its input or its weights, by what is left of its noise alone."""
    facts, local = evidence.facts, evidence.local_db
    worst = min(evidence.inputs, key=lambda layer: _known(layer.grid_db), default=None)
    own, before = _known(facts.grid_db), _known(worst.grid_db if worst else None)
    limit = _POOR_DB if local is None else local + _MAIN_PART_DB
    if min(own, before) <= limit:
        if facts.clipping_part >= _CLIPPING_PART and own <= before:
            return None  # the cut range is it
        if own <= before or worst is None:
            return Cause(
                "coarse grid", f"{_steps(facts)} steps over its range keep its values to {own:.1f} dB"
            )
        return Cause("coarse input", f"{_steps(worst)} steps keep {_input(worst)} to {before:.1f} dB")
    if local is None or _parameters(evidence.operator)[0] is None:
        return None
    return Cause(
        "coarse weights",
        f"alone it keeps its output to {local:.1f} dB, though the steps keep that to {own:.1f} dB and its input "
        f"{'exactly' if before >= IDENTICAL_DB else f'to {before:.1f} dB'}: the rest is its weights",
    )


def _steps(facts: LayerFacts) -> int:
    """Values that one element can have."""
    return 65_536 if facts.precision.startswith("int16") else 256


def _input(facts: LayerFacts) -> str:
    """An input by its name, unless we gave it that ourselves."""
    return "its input" if facts.name.endswith("/rows") else f"its input '{facts.name}'"


def _known(level: float | None) -> float:
    return IDENTICAL_DB if level is None else level


_LOOKS: tuple[Callable[[Evidence], Cause | None], ...] = (
    _range_cut, _unsuited, _outlier_channel, _faint_channels, _unequal_inputs, _long_tail, _saturated, _large_bias,
    _coarsest,
)  # fmt: skip


def _parameters(operator: Operator | None) -> tuple[Array | None, Array | None]:
    """Float weights and bias of an operator that has them."""
    if operator is None or not has_weights(operator):
        return None, None
    weights = operator.inputs[1]
    bias = operator.inputs[2] if len(operator.inputs) > 2 else None
    return (weights.data if weights else None), (bias.data if bias is not None else None)
