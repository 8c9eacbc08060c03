"""Small edits that several rewrites need."""

import onnx_ir as ir

from edgewise.tensors import Array


def constant(value: ir.Value | None) -> Array | None:
    """The array of a constant value, else None."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The number of a constant value with one element, else None."""
    array = constant(value)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def only_user(value: ir.Value) -> ir.Node | None:
    """The one node that reads this value, if it is read once and does not leave the graph."""
    uses = list(value.uses())
    return uses[0][0] if len(uses) == 1 and not value.is_graph_output() else None


def producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that makes this value, if it is of this type."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type and node.domain in ("", "ai.onnx") else None


def with_scalar(node: ir.Node) -> tuple[ir.Value, float] | None:
    """The other input and the number, for a node with two inputs of which one is a constant scalar."""
    for this, other in ((0, 1), (1, 0)):
        number, value = scalar(node.inputs[this]), node.inputs[other]
        if number is not None and value is not None and constant(value) is None:
            return value, number
    return None


def add_constant(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """A new initializer of the graph, under a name made unique."""
    unique = name
    while unique in graph.initializers:
        unique += "_"
    value = ir.Value(
        name=unique,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        const_value=ir.tensor(array, name=unique),
    )
    graph.register_initializer(value)
    return value


def replace(
    graph: ir.Graph,
    old: list[ir.Node],
    op_type: str,
    inputs: list[ir.Value | None],
    result: ir.Value,
    **attributes: object,
) -> None:
    """Put one node where ``old`` (the last of which makes ``result``) stood."""
    attrs = [ir.convenience.convert_attribute(key, value) for key, value in attributes.items()]
    output = ir.Value(name=result.name, shape=result.shape, type=result.type)
    node = ir.Node("", op_type, inputs, attrs, outputs=[output], name=old[-1].name)
    ir.convenience.replace_nodes_and_values(graph, old[-1], old, [node], [result], [output])
