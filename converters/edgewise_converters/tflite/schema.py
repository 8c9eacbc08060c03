"""The one place that knows the generated TFLite schema (it comes with the ai-edge-litert package)."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgewise_converters.tflite.nibbles import INT4

TENSOR_TYPES: dict[np.dtype[Any], int] = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.float64): schema.TensorType.FLOAT64,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64,
    np.dtype(np.bool_): schema.TensorType.BOOL,
    INT4: schema.TensorType.INT4,
}

# Options table of each operator whose table is not simply its own name in camel case.
_OPTIONS_NAME = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
    "ATAN2": "ATan2Options",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "PADV2": "PadV2Options",
    "TOPK_V2": "TopKV2Options",
    "CONV_3D": "Conv3DOptions",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "SPACE_TO_BATCH_ND": "SpaceToBatchNDOptions",
    "BATCH_TO_SPACE_ND": "BatchToSpaceNDOptions",
}
# Operators that have no options table in the schema.
_WITHOUT_OPTIONS = frozenset({
    "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "SQRT", "RSQRT", "LOG", "SIN", "FLOOR",
    "CEIL", "ROUND", "PRELU", "ELU", "EMBEDDING_LOOKUP",
    "BROADCAST_ARGS",
})  # fmt: skip


def builtin_code(kind: str) -> int:
    """The number of a builtin operator."""
    return int(getattr(schema.BuiltinOperator, kind))


def builtin_name(code: int) -> str:
    """The name of a builtin operator's number, or CUSTOM_<code> for one this schema does not know."""
    names = (name for name, value in vars(schema.BuiltinOperator).items() if value == code)
    return str(next((name for name in names if not name.startswith("_")), f"UNKNOWN_{code}"))


def options_table(kind: str, values: dict[str, Any]) -> tuple[int, Any] | None:
    """The number and the filled object of an operator's options table, or None if it has none."""
    if kind in _WITHOUT_OPTIONS:
        return None
    name = _OPTIONS_NAME.get(kind) or "".join(part.capitalize() for part in kind.split("_")) + "Options"
    table = getattr(schema, name.replace("2d", "2D") + "T", None) or getattr(schema, name + "T")()
    table = table() if isinstance(table, type) else table
    for key, value in values.items():
        if not hasattr(table, key):
            raise AttributeError(f"{name} has no field {key}")
        setattr(table, key, list(value) if isinstance(value, tuple) else value)
    return int(getattr(schema.BuiltinOptions, type(table).__name__.removesuffix("T"))), table


def operator_kinds(data: bytes) -> list[str]:
    """Name of every operator of every subgraph in a serialized model, CUSTOM ones with their custom code."""
    model = schema.Model.GetRootAs(data, 0)
    kinds = []
    for g in range(model.SubgraphsLength()):
        graph = model.Subgraphs(g)
        for i in range(graph.OperatorsLength()):
            code = model.OperatorCodes(graph.Operators(i).OpcodeIndex())
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            custom = code.CustomCode()
            kinds.append(builtin_name(number) if not custom else f"CUSTOM {custom.decode()}")
    return kinds


Activation = schema.ActivationFunctionType
Padding = schema.Padding
MirrorMode = schema.MirrorPadMode
__all__ = [
    "TENSOR_TYPES", "Activation", "MirrorMode", "Padding", "builtin_code", "builtin_name", "operator_kinds",
    "options_table", "schema",
]  # fmt: skip
