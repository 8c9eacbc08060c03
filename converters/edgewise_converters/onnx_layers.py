"""Every layer of a written ONNX file measured beside the original's, in onnxruntime."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from edgewise.tensors import Array, Quantization
from edgewise_converters.layer_facts import Grid, Layer, LayerFacts, LayerSums, add_sample, facts_of
from edgewise_converters.onnx_out.summary import precisions_by_output
from edgewise_converters.onnx_session import Reference

_PASSING = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast", "Identity"})


def measure_onnx_layers(
    original: Path, written: bytes, feeds: Iterable[Mapping[str, Array]], values: Mapping[str, Array]
) -> tuple[LayerFacts, ...]:
    """The facts of all layers whose tensors have the same name in both. Raises SourceError.

    ``values`` are inputs of the original that are always the same.
    """
    first = onnx.load(str(original), load_external_data=False)
    second = onnx.load_from_string(written)
    rounded, grids = _grids(second.graph)
    nodes = {n.output[0]: n.op_type for n in second.graph.node if n.op_type not in _PASSING}
    own_names = {name for node in first.graph.node for name in node.output}
    layers = {name: kind for name, kind in nodes.items() if name in own_names}
    before = Reference(
        _exposed(first, set(layers)), optimized=False, values=values, weights_in=original.parent
    )
    wanted = {rounded.get(name, name) for name in layers}
    after = Reference(_exposed(second, wanted), optimized=False)
    sums = {name: LayerSums() for name in layers}
    shapes: dict[str, tuple[int, ...]] = {}
    rng = np.random.default_rng(0)
    for feed in feeds:
        answers, made = before.run(feed), after.run(feed)
        for name in layers:
            own, other = answers[name], made[rounded.get(name, name)]
            if own.dtype.kind == "f" and own.shape == other.shape and own.size:
                shapes[name] = own.shape
                add_sample(sums[name], _channels_last(own), _channels_last(other), grids.get(name), rng)
    precisions = precisions_by_output(ir.from_proto(second).graph)
    return tuple(
        facts_of(Layer(name, kind, precisions.get(name, ""), shapes[name]), sums[name], grids.get(name))
        for name, kind in layers.items()
        if name in shapes
    )


def _exposed(model: onnx.ModelProto, wanted: set[str]) -> bytes:
    """The model with these tensors as outputs, too."""
    known = {output.name for output in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name in wanted - known:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
    return bytes(model.SerializeToString())


def _grids(graph: onnx.GraphProto) -> tuple[dict[str, str], dict[str, Grid]]:
    """By name of a layer's output: what it is once it is rounded, and on which grid, where one holds for all of it."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    restored = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    rounded: dict[str, str] = {}
    grids: dict[str, Grid] = {}
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or node.output[0] not in restored or len(node.input) < 3:
            continue
        scale, zero_point = (
            None if name not in constants else onnx.numpy_helper.to_array(constants[name])
            for name in node.input[1:3]
        )
        if scale is not None and zero_point is not None and scale.size == 1 and scale > 0:
            rounded[node.input[0]] = restored[node.output[0]]
            quantization = Quantization((float(scale.reshape(())),), (int(zero_point.reshape(())),))
            grids[node.input[0]] = quantization, zero_point.dtype.name
    return rounded, grids


def _channels_last(array: Array) -> Array:
    return np.moveaxis(array, 1, -1) if array.ndim > 2 else array
