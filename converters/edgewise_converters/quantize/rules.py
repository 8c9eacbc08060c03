"""Which operators compute in int8, and how their outputs' scales relate to their inputs'."""

from edgewise_converters.tflite.graph import Graph, Operator, Tensor

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
SAME_SCALE = frozenset({
    "RESHAPE", "TRANSPOSE", "PAD", "PADV2", "MIRROR_PAD", "STRIDED_SLICE", "SLICE", "SPLIT", "MAX_POOL_2D",
    "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "GATHER",
    "REDUCE_MAX", "REDUCE_MIN", "TILE",
})  # fmt: skip
"""These move or choose values; TFLite's int8 kernels demand equal scales on both sides."""
FREE = frozenset({
    "ADD", "SUB", "MUL", "MEAN", "SUM", "RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "LEAKY_RELU", "PRELU", "ELU",
})  # fmt: skip
FIXED = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
"""Output scale and zero point that the kernels demand (TFLite 8-bit quantization specification)."""
CONCATENATION = "CONCATENATION"
DATA_INPUT = {"SPLIT": 1}
"""Where an operator's data is not its first input."""


def data_input(operator: Operator) -> Tensor:
    """The tensor an operator works on."""
    tensor = operator.inputs[DATA_INPUT.get(operator.kind, 0)]
    assert tensor is not None
    return tensor


def runs_in_int8(operator: Operator, graph: Graph) -> bool:
    """Whether an operator is to compute in int8; the others stay float32 between DEQUANTIZE and QUANTIZE.

    Gates of squeeze-and-excite blocks, sigmoids that are answers, softmax and normalisations lose most in int8
    and cost nothing in float.
    """
    data = data_input(operator)
    if operator.in_float or not operator.outputs[0].is_float or not data.is_float or data.is_constant:
        return False
    kind = operator.kind
    if kind in WEIGHTED:
        weights = operator.inputs[1]
        return weights is not None and weights.is_constant
    if kind in FIXED:
        leaves = any(operator.output is tensor for tensor in graph.outputs)
        return not leaves and not _is_gate(operator)
    if kind in FREE:
        if kind == "PRELU" and not operator.inputs[1].is_constant:  # type: ignore[union-attr]
            return False
        return kind == "MEAN" or not _is_gate(operator)
    return kind in SAME_SCALE or kind == CONCATENATION


def _is_gate(operator: Operator) -> bool:
    """Whether an operator works on one vector of channels: no space, or space of one by one."""
    return all(dim == 1 for dim in operator.output.shape[:-1])
