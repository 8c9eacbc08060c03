"""Which version of an operator a node needs, after TensorFlow Lite's tools/versioning/op_version.cc.

A version that is too low makes some kernels compute something else (facts: per-channel hybrid FULLY_CONNECTED
in tflite-runtime 2.14), one that is too high is refused by an older runtime; so both matter.
"""

import numpy as np

from edgewise_converters.tflite.graph import Operator, Tensor
from edgewise_converters.tflite.nibbles import INT4

# Version for int8 tensors of operators that start at version 1 with float.
_INT8 = dict.fromkeys(
    (
        "ADD", "SUB", "MUL", "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "SOFTMAX", "LOGISTIC", "TANH",
        "RELU", "RELU6", "TRANSPOSE", "PAD", "PADV2", "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR", "STRIDED_SLICE", "SLICE", "SPLIT", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "MINIMUM",
        "MAXIMUM", "DEQUANTIZE", "BATCH_MATMUL", "TRANSPOSE_CONV", "MIRROR_PAD", "GATHER", "SPLIT_V", "TILE", "EXP",
        "LOG", "RSQRT", "ARG_MAX", "ARG_MIN", "EQUAL", "NOT_EQUAL", "LESS", "GREATER", "GREATER_EQUAL", "LESS_EQUAL",
    ),
    2,
)  # fmt: skip

# Version for quantized int16 tensors; kinds that are missing have no such kernel or no version of their own for it.
_INT16 = {
    **dict.fromkeys(
        (
            "ADD", "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "SOFTMAX", "LOGISTIC", "TANH", "RELU", "RELU6",
            "PAD", "PADV2", "MEAN", "MIRROR_PAD", "REDUCE_MAX", "REDUCE_MIN", "DEQUANTIZE", "BATCH_MATMUL",
        ),
        3,
    ),
    **dict.fromkeys(
        (
            "MUL", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "GATHER", "SPLIT", "MINIMUM", "MAXIMUM",
            "CONV_2D",
        ),
        4,
    ),
    **dict.fromkeys(("SUB", "TRANSPOSE", "DEPTHWISE_CONV_2D"), 5),
    "LEAKY_RELU": 2,
    "FULLY_CONNECTED": 7,
}  # fmt: skip


def operator_version(operator: Operator) -> int:
    """The lowest version that computes this node as meant."""
    data = operator.inputs[1 if operator.kind == "SPLIT" else 0] if operator.inputs else None
    special = _SPECIAL.get(operator.kind)
    if _is_quantized_int16(data) and operator.kind in _INT16:
        by_rank = special(operator) if special and operator.kind in _BY_RANK else None
        return max(_INT16[operator.kind], by_rank or 1)
    version = special(operator) if special else None
    if version is not None:
        return version
    if operator.kind == "QUANTIZE":
        return 2 if operator.output.dtype == np.int16 else 1
    return _INT8.get(operator.kind, 1) if data is not None and data.dtype == np.int8 else 1


def _is_quantized_int16(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.dtype == np.int16 and tensor.quantization is not None


def _types(operator: Operator) -> tuple[np.dtype[np.generic], np.dtype[np.generic], Tensor]:
    first, weights = operator.inputs[0], operator.inputs[1]
    assert first is not None and weights is not None
    return first.dtype, weights.dtype, weights


def _per_channel(weights: Tensor) -> bool:
    return weights.quantization is not None and len(weights.quantization.scales) > 1


def _conv_2d(operator: Operator) -> int:
    data, weights, tensor = _types(operator)
    first = operator.inputs[0]
    if first is not None and first.shape[-1] != tensor.shape[-1]:
        return 6  # grouped
    if data == np.int8:
        return 3
    if weights == np.int8:
        return 5 if _per_channel(tensor) else 2
    return 1


def _depthwise(operator: Operator) -> int:
    data, weights, tensor = _types(operator)
    if data == np.int8:
        return 3
    if weights == np.int8:
        return 6 if _per_channel(tensor) else 4
    dilated = (
        operator.options.get("dilationHFactor", 1) != 1 or operator.options.get("dilationWFactor", 1) != 1
    )
    return 2 if dilated else 1


def _fully_connected(operator: Operator) -> int:
    data, weights, tensor = _types(operator)
    if data == np.int8:
        if _per_channel(tensor):
            return 12
        return 5 if operator.options.get("keepNumDims") else 4
    if weights == np.int8:
        if _per_channel(tensor):
            return 12
        return 9 if operator.options.get("asymmetricQuantizeInputs") else 3
    if operator.options.get("keepNumDims"):
        return 5
    return 6 if len(operator.inputs) < 3 or operator.inputs[2] is None else 1


def _dequantize(operator: Operator) -> int | None:
    first = operator.inputs[0]
    assert first is not None
    if first.dtype == INT4:
        return 6
    if first.dtype in (np.float16, np.int16):
        return 3
    return 5 if _per_channel(first) else None


def _embedding_lookup(operator: Operator) -> int:
    _, table, tensor = _types(operator)
    return 4 if table == INT4 or _per_channel(tensor) else 1


def _resize(operator: Operator) -> int | None:
    return 3 if operator.options.get("halfPixelCenters") or operator.options.get("alignCorners") else None


def _transpose(operator: Operator) -> int | None:
    first = operator.inputs[0]
    return 4 if first is not None and len(first.shape) > 4 else None


def _pad(operator: Operator) -> int | None:
    first = operator.inputs[0]
    return 4 if first is not None and len(first.shape) > 4 else None


def _slice(operator: Operator) -> int | None:
    first = operator.inputs[0]
    return 5 if first is not None and len(first.shape) > 4 else None


def _broadcast_to(operator: Operator) -> int:
    return (
        3 if operator.inputs[0] is not None and operator.inputs[0].dtype == np.int8 else 2
    )  # no runtime has 1


def _transpose_conv(operator: Operator) -> int | None:
    return 3 if len(operator.inputs) > 3 else None


_BY_RANK = frozenset({"TRANSPOSE", "PAD", "PADV2", "SLICE"})
_SPECIAL = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "DEQUANTIZE": _dequantize,
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "PADV2": _pad,
    "BROADCAST_TO": _broadcast_to,
    "TRANSPOSE_CONV": _transpose_conv,
    "SLICE": _slice,
}
