"""Which operators compute in integers, and how their outputs' scales relate to their inputs'."""

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.quantize.weights import channel_axis
from edgewise_converters.quantize.widths import Width
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.runtimes import RuntimeRules

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
SAME_SCALE = frozenset({
    "RESHAPE", "TRANSPOSE", "PAD", "PADV2", "MIRROR_PAD", "STRIDED_SLICE", "SLICE", "SPLIT", "MAX_POOL_2D",
    "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "GATHER",
    "REDUCE_MAX", "REDUCE_MIN", "TILE",
})  # fmt: skip
"""These move or choose values; TFLite's integer kernels demand equal scales on both sides."""
FREE = frozenset({
    "ADD", "SUB", "MUL", "MEAN", "SUM", "RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "LEAKY_RELU", "PRELU", "ELU",
})  # fmt: skip
FIXED = {
    Width.INT8: {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)},
    Width.INT16: {"LOGISTIC": (1 / 32768, 0), "TANH": (1 / 32768, 0)},
}
"""Output scale and zero point that the kernels demand (TFLite 8-bit quantization specification)."""
CONCATENATION = "CONCATENATION"
DATA_INPUT = {"SPLIT": 1}
"""Where an operator's data is not its first input."""
_SMALLEST_HYBRID = 1024
"""Fewer weights than this are not worth a hybrid kernel."""


def data_input(operator: Operator) -> Tensor:
    """The tensor an operator works on."""
    tensor = operator.inputs[DATA_INPUT.get(operator.kind, 0)]
    assert tensor is not None
    return tensor


def has_weights(operator: Operator) -> bool:
    """Whether an operator multiplies with constant weights."""
    if operator.kind not in WEIGHTED:
        return False
    weights = operator.inputs[1]
    return weights is not None and weights.is_constant


def bias_of(operator: Operator) -> Array:
    """Of the operator, zeros if it has none, float32 [C]."""
    weights = operator.inputs[1]
    bias = operator.inputs[2] if len(operator.inputs) > 2 else None
    assert weights is not None
    channels = weights.shape[channel_axis(operator.kind)]
    return np.zeros(channels, np.float32) if bias is None else np.asarray(bias.data)


def is_pointwise(operator: Operator) -> bool:
    """Whether it is a convolution that looks at one place at a time, and at every place."""
    weights = operator.inputs[1]
    assert weights is not None
    strides = operator.options.get("strideH", 1), operator.options.get("strideW", 1)
    data = operator.inputs[0]
    whole = data is not None and data.shape[-1] == weights.shape[-1]
    return operator.kind == "CONV_2D" and weights.shape[1:3] == (1, 1) and strides == (1, 1) and whole


def possible_widths(operator: Operator, rules: RuntimeRules) -> frozenset[Width]:
    """What the runtimes have kernels for, whatever comes of it."""
    data = data_input(operator) if operator.inputs and operator.inputs[0] is not None else None
    found = {Width.FLOAT}
    if data is None or data.is_constant or not data.is_float or not operator.outputs[0].is_float:
        return frozenset(found)
    kind = operator.kind
    if kind in WEIGHTED:
        if not has_weights(operator):
            return frozenset(found)
        weights = operator.inputs[1]
        large = weights is not None and int(np.prod(weights.shape)) >= _SMALLEST_HYBRID
        if large and kind in rules.mixed_per_channel:
            found.add(Width.HYBRID)
    elif not _has_integer_kernel(operator):
        return frozenset(found)
    if kind not in rules.no_int8:
        found.add(Width.INT8)
    if kind not in rules.no_int16:
        found.add(Width.INT16)
    return frozenset(found)


def _has_integer_kernel(operator: Operator) -> bool:
    if operator.kind == "PRELU":
        slopes = operator.inputs[1]
        return slopes is not None and slopes.is_constant
    return operator.kind in FREE | SAME_SCALE | FIXED[Width.INT8].keys() | {CONCATENATION}


def sensible_width(operator: Operator, graph: Graph, wanted: Width, rules: RuntimeRules) -> Width:
    """The integer width ``wanted`` where the operator keeps its meaning in it, else float32.

    Gates of squeeze-and-excite blocks, sigmoids that are answers, softmax and normalisations lose most in integers
    and cost nothing in float.
    """
    if operator.in_float or wanted not in possible_widths(operator, rules):
        return Width.FLOAT
    kind = operator.kind
    if kind in FIXED[Width.INT8]:
        leaves = any(operator.output is tensor for tensor in graph.outputs)
        return Width.FLOAT if leaves or _is_gate(operator) else wanted
    if kind in FREE and kind != "MEAN" and _is_gate(operator):
        return Width.FLOAT
    return wanted


def sensible_widths(graph: Graph, wanted: Width, rules: RuntimeRules) -> dict[int, Width]:
    """`sensible_width` of every operator."""
    return {id(o): sensible_width(o, graph, wanted, rules) for o in graph.operators}


def _is_gate(operator: Operator) -> bool:
    """Whether an operator works on one vector of channels: no space, or space of one by one."""
    return all(dim == 1 for dim in operator.output.shape[:-1])
