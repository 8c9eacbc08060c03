"""The spelled-out forms of GELU become that operator.

Needs: constants as initializers. Leaves: Gelu for x * 0.5 * (1 + erf(x / sqrt(2))) and for its approximation
x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), in whatever order they are multiplied (Hendrycks and Gimpel
2016, arXiv:1606.08415, section 2). Exact but for float32 rounding.
"""

import math
from dataclasses import dataclass, field

import onnx_ir as ir

from edgewise_converters.passes.graph_edit import only_user, replace, scalar, with_scalar

_TOLERANCE = 1e-4
"""Exporters write sqrt(2) and its inverse with five digits or more."""
_CUBIC = 0.044715


@dataclass
class _Product:
    """What the chain of products behind 1 + erf has gathered so far."""

    scale: float = 1.0
    holds_data: bool = False
    nodes: list[ir.Node] = field(default_factory=list)


def apply(model: ir.Model) -> bool:
    """Fuse every occurrence; returns whether anything was fused."""
    changed = False
    for node in list(model.graph):
        if node.graph is not None and _is(node, "Erf", "Tanh"):
            changed |= _fuse(model.graph, node)
    return changed


def _is(node: ir.Node | None, *op_types: str) -> bool:
    return node is not None and node.op_type in op_types and node.domain in ("", "ai.onnx")


def _fuse(graph: ir.Graph, bend: ir.Node) -> bool:
    data = _data_of_erf(bend) if bend.op_type == "Erf" else _data_of_tanh(bend)
    add = only_user(bend.outputs[0])
    if data is None or add is None or not _is(add, "Add"):
        return False
    one = with_scalar(add)
    if one is None or one[1] != 1.0:
        return False
    product = _gather(add.outputs[0], data)
    if product is None or not math.isclose(product.scale, 0.5, rel_tol=_TOLERANCE):
        return False
    result = product.nodes[-1].outputs[0]
    kind = "none" if bend.op_type == "Erf" else "tanh"
    replace(graph, [bend, add, *product.nodes], "Gelu", [data], result, approximate=kind)
    return True


def _data_of_erf(erf: ir.Node) -> ir.Value | None:
    inside = _scaled(erf.inputs[0])
    fits = inside is not None and math.isclose(inside[1], math.sqrt(0.5), rel_tol=_TOLERANCE)
    return inside[0] if inside is not None and fits else None


def _data_of_tanh(tanh: ir.Node) -> ir.Value | None:
    """The x of sqrt(2 / pi) * (x + 0.044715 * x^3)."""
    inside = _scaled(tanh.inputs[0])
    if inside is None or not math.isclose(inside[1], math.sqrt(2 / math.pi), rel_tol=_TOLERANCE):
        return None
    add = inside[0].producer()
    if add is None or not _is(add, "Add"):
        return None
    for data, bent in (tuple(add.inputs), tuple(reversed(add.inputs))):
        cube = _scaled(bent)
        fits = cube is not None and math.isclose(cube[1], _CUBIC, rel_tol=_TOLERANCE)
        if cube is not None and fits and data is not None and _is_cube(cube[0], data):
            return data
    return None


def _is_cube(value: ir.Value, data: ir.Value) -> bool:
    """Whether a value is x^3, as a power or as products."""
    node = value.producer()
    if node is not None and _is(node, "Pow"):
        return node.inputs[0] is data and scalar(node.inputs[1]) == 3.0
    if node is None or not _is(node, "Mul") or data not in node.inputs:
        return False
    other = node.inputs[1] if node.inputs[0] is data else node.inputs[0]
    square = other.producer() if other is not None else None
    if square is not None and _is(square, "Pow"):
        return square.inputs[0] is data and scalar(square.inputs[1]) == 2.0
    return square is not None and _is(square, "Mul") and all(factor is data for factor in square.inputs)


def _scaled(value: ir.Value | None) -> tuple[ir.Value, float] | None:
    """What a value is a constant multiple of, and that multiple."""
    node = value.producer() if value is not None else None
    if node is None or not _is(node, "Mul", "Div"):
        return None
    pair = with_scalar(node)
    if pair is None or pair[1] == 0 or (node.op_type == "Div" and pair[0] is not node.inputs[0]):
        return None
    return pair[0], 1 / pair[1] if node.op_type == "Div" else pair[1]


def _gather(start: ir.Value, data: ir.Value) -> _Product | None:
    """Follow the products from ``start`` until the data and a half have been multiplied in."""
    product, value = _Product(), start
    while not (product.holds_data and math.isclose(product.scale, 0.5, rel_tol=_TOLERANCE)):
        node = only_user(value)
        if node is None or not _is(node, "Mul", "Div") or not _multiply(product, node, value, data):
            return None
        product.nodes.append(node)
        value = node.outputs[0]
    return product


def _multiply(product: _Product, node: ir.Node, value: ir.Value, data: ir.Value) -> bool:
    """Take one more factor into the product; returns whether it belongs to a GELU."""
    constant = _scaled(node.outputs[0])
    if constant is not None and constant[0] is value:
        product.scale *= constant[1]
        return True
    if node.op_type == "Div" or product.holds_data:
        return False
    other = node.inputs[1] if node.inputs[0] is value else node.inputs[0]
    scaled = (data, 1.0) if other is data else _scaled(other)
    if scaled is None or scaled[0] is not data:
        return False
    product.scale *= scaled[1]
    product.holds_data = True
    return True
