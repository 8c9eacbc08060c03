"""In which precision each node of a written model computes."""

import onnx_ir as ir

from edgewise.model_card import LayerPrecision
from edgewise_converters.onnx_out.roles import CHOOSES, MOVES
from edgewise_converters.passes.graph_edit import constant

_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast"})
_MOST_NAMED = 12
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU", "RNN"})


def layers_of(graph: ir.Graph) -> tuple[LayerPrecision, ...]:
    """How many nodes compute in each precision; all but the most frequent with the names of their outputs."""
    names: dict[str, list[str]] = {}
    for node in graph:
        if precision := _precision(node):
            names.setdefault(precision, []).append(str(node.outputs[0].name))
    ranked = sorted(names.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        LayerPrecision(precision, len(found), tuple(found)[:_MOST_NAMED] if rank else ())
        for rank, (precision, found) in enumerate(ranked)
    )


def precisions_by_output(graph: ir.Graph) -> dict[str, str]:
    """The precision of every node by the name of its first output; "" as for `layers_of`."""
    return {str(node.outputs[0].name): _precision(node) for node in graph}


def _precision(node: ir.Node) -> str:
    """Such as int8, dynamic, 4-bit weights; "" for what converts or moves between layers or restores weights."""
    if node.op_type in _CONVERSIONS or all(v is None or constant(v) is not None for v in node.inputs):
        return ""
    if node.op_type == "MatMulNBits":
        return "4-bit weights"
    if node.op_type == "MatMulInteger":
        return "dynamic"
    makers = [None if value is None else value.producer() for value in node.inputs]
    if makers[0] is not None and makers[0].op_type == "DequantizeLinear":
        weights = makers[1] if node.op_type in _WEIGHTED and len(makers) > 1 else makers[0]
        if weights is not None and weights.op_type == "DequantizeLinear":
            return "int8"
    if node.op_type in MOVES or node.op_type in CHOOSES or any(_is_index(value) for value in node.outputs):
        return ""
    for maker in makers[1:] if node.op_type in _WEIGHTED else ():
        if maker is not None and _restores(maker):
            return "float16 weights" if maker.op_type == "Cast" else "int8 weights"
    return "float32"


def _is_index(value: ir.Value) -> bool:
    return value.dtype is not None and not value.dtype.is_floating_point()


def _restores(node: ir.Node) -> bool:
    """Whether a node makes float32 weights of stored ones."""
    if node.op_type == "Mul":
        inner = node.inputs[0].producer() if node.inputs[0] is not None else None
        return inner is not None and _restores(inner)
    return node.op_type == "Cast" and constant(node.inputs[0]) is not None
