"""A whole canonical graph to a TFLite graph."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.lower.layout import (
    CHANNELS_LAST,
    Layout,
    before_transpose,
    channels_last,
    identity,
    stored_shape,
)  # fmt: skip
from edgewise_converters.lower.lowering import LOWERERS, Lowering, ShapesDisagree
from edgewise_converters.lower.peephole import tidy
from edgewise_converters.passes import domains, keep_quantization
from edgewise_converters.tflite.graph import Graph, Tensor
from edgewise_converters.tflite.schema import TENSOR_TYPES

_WANT_CHANNELS_LAST = frozenset({
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "Upsample",
    "DepthToSpace", "SpaceToDepth", "LpPool", "GlobalLpPool", "GroupNormalization", "LRN", "GridSample", "DeformConv",
    "ConvInteger", "QLinearConv",
})  # fmt: skip
_FOLLOW = frozenset({
    "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Sigmoid", "HardSwish", "HardSigmoid", "LeakyRelu", "PRelu", "Pad",
    "Cast", "Concat", "Identity", "Slice", "Max", "Min", "Pow", "Abs", "Neg", "Sqrt", "Exp", "Log", "Tanh", "Gelu",
    "Elu", "Selu", "Celu", "Softplus", "Softsign", "Mish", "Swish", "Erf", "Mod", "Floor", "Round", "Reciprocal",
    "QuantizeLinear", "DequantizeLinear", "BatchNormalization", "InstanceNormalization",
})  # fmt: skip
_LOOK_AHEAD = 6


@dataclass(frozen=True)
class LoweredGraph:
    """The TFLite graph, and how its inputs and outputs are stored, by their ONNX names."""

    graph: Graph
    input_layouts: dict[str, Layout]
    output_layouts: dict[str, Layout]
    keeps_quantization: bool = False
    """Whether its QUANTIZE and DEQUANTIZE are what a quantized source states."""


def lower_graph(model: ir.Model) -> LoweredGraph:
    """Lower every node. Raises UnsupportedOperator, naming all operators that have no lowering."""
    low = Lowering(
        str(model.graph.name or "model"),
        opset=model.graph.opset_imports.get("", 1),
        keeps_quantization=keep_quantization.is_marked(model),
    )
    inputs = {str(value.name): _lower_input(low, value) for value in model.graph.inputs}
    lower_nodes(low, model)
    outputs = {str(value.name): _lower_output(low, value) for value in model.graph.outputs}
    tidy(low.graph)
    make_names_unique(low.graph)
    return LoweredGraph(low.graph, inputs, outputs, low.keeps_quantization)


def lower_nodes(low: Lowering, model: ir.Model) -> None:
    """Lower what is between a model's inputs, which are bound, and its outputs. Raises UnsupportedOperator."""
    _refuse_unknown(model)
    for node in model.graph:
        try:
            LOWERERS[node.op_type](low, node)
        except ShapesDisagree as error:
            raise low.refuse(node, str(error)) from error


def _refuse_unknown(model: ir.Model) -> None:
    unknown: dict[str, str] = {}
    for node in model.graph:
        foreign = node.domain not in ("", "ai.onnx", *domains.OWN)
        if foreign or node.op_type not in LOWERERS:
            name = f"{node.domain}::{node.op_type}" if foreign else node.op_type
            unknown.setdefault(name, str(node.name or node.outputs[0].name))
    if unknown:
        name, first = next(iter(unknown.items()))
        others = f"; neither can {', '.join(list(unknown)[1:])}" if len(unknown) > 1 else ""
        raise UnsupportedOperator(name, first, f"there is no lowering for it yet{others}")


def _lower_input(low: Lowering, value: ir.Value) -> Layout:
    shape = low.shape(value)
    dtype = np.dtype(value.dtype.numpy()) if value.dtype is not None else np.dtype(np.float32)
    if dtype not in TENSOR_TYPES:
        raise UnsupportedOperator("Input", str(value.name), f"TFLite has no type {dtype}")
    wanted = _wanted_layout(value, len(shape), _LOOK_AHEAD)
    # The card has words for two orders only, ONNX's own and NHWC: an input in any other would be fed wrong.
    layout = CHANNELS_LAST if wanted == CHANNELS_LAST else identity(len(shape))
    tensor = Tensor(low.name(str(value.name)), stored_shape(shape, layout), dtype)
    low.graph.inputs.append(tensor)
    if dtype == np.float16:
        tensor = low.emit("CAST", [tensor], tensor.shape, f"{value.name}/float32", dtype=np.float32)
    low.bind(value, tensor, layout)
    return layout


def _wanted_layout(value: ir.Value, rank: int, depth: int) -> Layout | None:
    """The layout that the operators reading an input would ask for; None where they do not mind."""
    for node, index in value.uses():
        if index == 0 and node.op_type in _WANT_CHANNELS_LAST:
            return channels_last(rank) if rank == 4 else None
        if depth and node.op_type in _FOLLOW and len(node.outputs[0].shape or ()) == rank:
            layout = _wanted_layout(node.outputs[0], rank, depth - 1)
            if layout:
                return layout
        if depth and node.op_type == "Transpose":
            layout = _wanted_layout(node.outputs[0], rank, depth - 1)
            perm = list(node.attributes["perm"].as_ints()) if "perm" in node.attributes else []
            if layout and perm:
                return before_transpose(layout, perm)
    return None


def _lower_output(low: Lowering, value: ir.Value) -> Layout:
    place = low.stored(value)
    images_last = place.layout == CHANNELS_LAST and low.constant(value) is None
    layout = place.layout if images_last else identity(len(place.layout))
    tensor = low.read(value, layout)
    taken = {id(t) for t in (*low.graph.inputs, *low.graph.outputs)}
    if tensor.is_constant or id(tensor) in taken:
        tensor = _copy(low, tensor, str(value.name))
    tensor.name = str(value.name)
    low.graph.outputs.append(tensor)
    return layout


def _copy(low: Lowering, tensor: Tensor, name: str) -> Tensor:
    """An output needs a tensor of its own: a reshape to the same shape is a copy."""
    if 0 in tensor.shape:
        why = f"its shape is {tensor.shape}, which holds nothing; remove it from the model's outputs"
        raise UnsupportedOperator("Output", name, why)
    shape = low.ints(tensor.shape, f"{name}/shape")
    return low.emit("RESHAPE", [tensor, shape], tensor.shape, name, options={"newShape": tensor.shape})


def make_names_unique(graph: Graph) -> None:
    """Inputs and outputs keep their ONNX names; what else bears one of these gets another."""
    ends = [*graph.inputs, *graph.outputs]
    taken = {tensor.name for tensor in graph.tensors()}
    reserved = {tensor.name for tensor in ends}
    for tensor in graph.tensors():
        if tensor.name in reserved and not any(tensor is end for end in ends):
            count = 2
            while f"{tensor.name}_{count}" in taken:
                count += 1
            tensor.name = f"{tensor.name}_{count}"
            taken.add(tensor.name)
