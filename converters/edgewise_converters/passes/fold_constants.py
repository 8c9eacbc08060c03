"""What depends on constants and shapes only is computed now.

Needs: shapes as inferred so far. Leaves: no node whose inputs are all constants. Exact: onnxruntime computes
the values, as it would when the model runs.
"""

import numpy as np
import onnx
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters import onnx_session
from edgewise_converters.passes import domains, keep_quantization
from edgewise_converters.passes.clean import is_identity
from edgewise_converters.passes.graph_edit import add_constant

_KEPT = frozenset({
    "RandomNormal", "RandomUniform", "RandomNormalLike",
    "RandomUniformLike", "Bernoulli", "Multinomial", "If", "Loop", "Scan",
})  # fmt: skip
_MAX_ELEMENTS = 1 << 24
"""A folded result may not be larger (64 MB of float32): expanding constants would bloat the file."""


def apply(model: ir.Model) -> bool:
    """Fold once; returns whether anything was folded."""
    graph = model.graph
    shapes = _fold_shapes(graph) | _fold_empty(graph) | _fold_eyes(graph) | _fold_masks(graph)
    nodes = _foldable(graph, keeps_integers=keep_quantization.is_marked(model))
    if not nodes:
        return shapes
    wanted = [value for node in nodes for value in node.outputs if _leaves(value, nodes)]
    for value, array in zip(wanted, _compute(model, nodes, wanted) if wanted else [], strict=True):
        _make_constant(graph, value, array)
    for node in reversed(nodes):
        graph.remove(node, safe=True)
    return True


def _fold_shapes(graph: ir.Graph) -> bool:
    changed = False
    for node in list(graph):
        if node.op_type not in ("Shape", "Size") or node.inputs[0] is None:
            continue
        shape = node.inputs[0].shape
        if shape is None or not all(isinstance(dim, int) for dim in shape):
            continue
        dims = np.array([int(dim) for dim in shape], np.int64)  # type: ignore[arg-type]  # every dim is a number here
        start = node.attributes["start"].as_int() if "start" in node.attributes else 0
        end = node.attributes["end"].as_int() if "end" in node.attributes else len(dims)
        result = dims[start:end] if node.op_type == "Shape" else np.array(dims.prod(), np.int64)
        _make_constant(graph, node.outputs[0], result)
        graph.remove(node, safe=True)
        changed = True
    return changed


def _fold_eyes(graph: ir.Graph) -> bool:
    """EyeLike reads the shape of its input only."""
    changed = False
    for node in list(graph):
        source = node.inputs[0] if node.op_type == "EyeLike" else None
        shape = None if source is None else source.shape
        if source is None or shape is None or not all(isinstance(dim, int) for dim in shape):
            continue
        dtype = ir.DataType(node.attributes["dtype"].as_int()) if "dtype" in node.attributes else source.dtype
        if dtype is None:
            continue
        offset = node.attributes["k"].as_int() if "k" in node.attributes else 0
        rows, columns = (int(str(dim)) for dim in shape)
        _make_constant(graph, node.outputs[0], np.eye(rows, columns, offset, dtype.numpy()))
        graph.remove(node, safe=True)
        changed = True
    return changed


def _fold_masks(graph: ir.Graph) -> bool:
    """The mask of a Dropout that drops nothing keeps everything."""
    changed = False
    for node in list(graph):
        if not (node.op_type == "Dropout" and len(node.outputs) > 1 and is_identity(node)):
            continue
        mask = node.outputs[1]
        used = bool(mask.uses()) or mask.is_graph_output()
        if used and mask.dtype is not None and mask.shape is not None and _elements(mask):
            dims = [int(str(dim)) for dim in mask.shape]
            _make_constant(graph, mask, np.ones(dims, mask.dtype.numpy()))
            changed = True
    return changed


def _fold_empty(graph: ir.Graph) -> bool:
    """What has no elements is known without computing it."""
    changed = False
    for node in list(graph):
        inputs, outputs = [value for value in node.inputs if value is not None], list(node.outputs)
        if any(o.dtype is None or o.dtype == ir.DataType.STRING or o.is_graph_output() for o in outputs):
            continue
        shapes = [output.shape for output in outputs]
        empty = all(shape is not None and _is_empty(shape) for shape in shapes)
        # A reshape of something to nothing is wrong, not empty.
        if not empty or (node.op_type == "Reshape" and not _is_empty(inputs[0].shape)):
            continue
        for output, shape in zip(outputs, shapes, strict=True):
            assert shape is not None and output.dtype is not None
            _make_constant(graph, output, np.empty([int(str(dim)) for dim in shape], output.dtype.numpy()))
        graph.remove(node, safe=True)
        changed = True
    return changed


def _is_empty(shape: ir.Shape | None) -> bool:
    return shape is not None and all(isinstance(dim, int) for dim in shape) and 0 in list(shape)


def _foldable(graph: ir.Graph, *, keeps_integers: bool) -> list[ir.Node]:
    known: set[int] = set()
    nodes = []
    for node in graph:
        if node.op_type in _KEPT or node.domain in domains.OWN or node.op_type == "Identity":
            continue
        if any(
            attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
            for attribute in node.attributes.values()
        ):
            continue
        inputs = [value for value in node.inputs if value is not None]
        if (not inputs and node.op_type != "Constant") or not all(
            value.const_value is not None or id(value) in known for value in inputs
        ):
            continue
        if any(_elements(output) > _MAX_ELEMENTS for output in node.outputs):
            continue
        if keeps_integers and keep_quantization.stays(node):
            continue
        nodes.append(node)
        known.update(id(output) for output in node.outputs)
    return nodes


def _elements(value: ir.Value) -> int:
    if value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
        return 0
    return int(np.prod([int(dim) for dim in value.shape], dtype=np.int64))  # type: ignore[arg-type]  # every dim is a number here


def _leaves(value: ir.Value, nodes: list[ir.Node]) -> bool:
    folded = {id(node) for node in nodes}
    return value.is_graph_output() or any(id(user) not in folded for user, _ in value.uses())


def _compute(model: ir.Model, nodes: list[ir.Node], wanted: list[ir.Value]) -> list[Array]:
    inside = {id(output) for node in nodes for output in node.outputs}
    constants = {
        str(value.name): value
        for node in nodes
        for value in node.inputs
        if value is not None and id(value) not in inside
    }
    graph = onnx.GraphProto(name="constants")
    graph.node.extend(ir.to_proto(node) for node in nodes)
    for name, value in constants.items():
        assert value.const_value is not None
        graph.initializer.append(onnx.numpy_helper.from_array(value.const_value.numpy(), name))
    graph.output.extend(onnx.ValueInfoProto(name=str(value.name)) for value in wanted)
    proto = onnx.ModelProto(ir_version=10, graph=graph)
    proto.opset_import.extend(
        onnx.OperatorSetIdProto(domain=domain, version=version)
        for domain, version in model.graph.opset_imports.items()
        if domain not in domains.OWN
    )
    return onnx_session.compute(proto)


def _make_constant(graph: ir.Graph, value: ir.Value, array: Array) -> None:
    constant = add_constant(graph, f"{value.name}/folded", array)
    if not value.is_graph_output():
        value.replace_all_uses_with(constant)
        return
    # What reads it reads the constant, so that chains behind an output fold too.
    for user, index in list(value.uses()):
        user.replace_input_with(index, constant)
    node, name = value.producer(), value.name
    assert node is not None
    value.name = f"{name}/computed"
    keeper = ir.Node("", "Identity", [constant], num_outputs=1, name=f"{node.name}/folded")
    graph.insert_before(node, keeper)
    kept = keeper.outputs[0]
    kept.shape, kept.type, kept.name = (
        ir.Shape(array.shape),
        ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        name,
    )
    value.replace_all_uses_with(kept, replace_graph_outputs=True)
