"""The operators that onnxruntime's optimiser writes (domain com.microsoft) become ONNX's own.

Needs: for FusedMatMul the ranks of its operands. Leaves: none of the operators below. Exact but for rounding: what
was fused is spelled out as onnxruntime's ContribOperators.md defines it.
"""

import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from edgewise_converters.passes.graph_edit import add_constant
from edgewise_converters.passes.subgraphs import add_node, hand_over

_DOMAIN = "com.microsoft"
_NORM_EPSILON = 1e-12
"""What the normalisations with a skip default to."""
_PARAMETERS: dict[str, tuple[str, ...]] = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}
"""What the numbers in activation_params are called in the operator itself."""

Values = list[ir.Value | None]
Speller = Callable[[ir.Node, Values], ir.Value | None]


def apply(model: ir.Model) -> bool:
    """Spell out every one; returns whether there was any."""
    changed = False
    for node in list(model.graph):
        speller = _SPELLERS.get(node.op_type) if node.domain == _DOMAIN else None
        if speller is None:
            continue
        result = speller(node, [*node.inputs, *[None] * 5])
        if result is None:
            continue
        others = [result] * (len(node.outputs) - 1)
        if node.op_type.startswith("Skip") and len(others) == 3:
            others[2] = _normalized(result)
        hand_over(node, [result, *others])
        changed = True
    return changed


def _normalized(result: ir.Value) -> ir.Value:
    """What a normalisation normalised."""
    producer = result.producer()
    assert producer is not None and producer.inputs[0] is not None
    return producer.inputs[0]


def _number(node: ir.Node, value: float) -> ir.Value:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    return add_constant(graph, f"{node.name}/number", np.array(value, np.float32))


def _float(node: ir.Node, name: str, default: float) -> float:
    return node.attributes[name].as_float() if name in node.attributes else default


def _kept(node: ir.Node, *fused: str) -> dict[str, object]:
    """The attributes that the operator has without what was fused into it."""
    return {key: attribute.value for key, attribute in node.attributes.items() if key not in fused}


def _activated(node: ir.Node, value: ir.Value) -> ir.Value:
    kind = node.attributes["activation"].as_string() if "activation" in node.attributes else ""
    if not kind:
        return value
    given = node.attributes["activation_params"].as_floats() if "activation_params" in node.attributes else ()
    if kind == "Clip":
        return add_node(node, "Clip", [value, _number(node, given[0]), _number(node, given[1])])
    names = _PARAMETERS.get(kind, ())
    return add_node(node, kind, [value], **dict(zip(names, given, strict=False)))


def _conv(node: ir.Node, inputs: Values) -> ir.Value:
    kept = _kept(node, "activation", "activation_params")
    value = add_node(node, "Conv", _trimmed(inputs[:3]), **kept)
    if inputs[3] is not None:
        value = add_node(node, "Add", [value, inputs[3]])
    return _activated(node, value)


def _gemm(node: ir.Node, inputs: Values) -> ir.Value:
    kept = {key: value for key, value in _kept(node).items() if not key.startswith("activation")}
    return _activated(node, add_node(node, "Gemm", _trimmed(inputs[:3]), **kept))


def _trimmed(inputs: Values) -> Values:
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    return inputs


def _matmul(node: ir.Node, inputs: Values) -> ir.Value | None:
    sides = []
    for value, letter in ((inputs[0], "A"), (inputs[1], "B")):
        if value is None or value.shape is None:
            return None
        sides.append(_turned(node, value, letter))
    product = add_node(node, "MatMul", sides)
    alpha = _float(node, "alpha", 1.0)
    return product if alpha == 1.0 else add_node(node, "Mul", [product, _number(node, alpha)])


def _turned(node: ir.Node, value: ir.Value, letter: str) -> ir.Value:
    """An operand with its rows and columns exchanged, or its batch axes moved, as the attributes say."""
    assert value.shape is not None
    perm = list(range(len(value.shape)))
    if _flag(node, f"transBatch{letter}"):
        # The matrix's rows come first: [rows, batch..., columns].
        perm = [*perm[1:-1], perm[0], perm[-1]]
    if _flag(node, f"trans{letter}"):
        perm[-2:] = perm[:-3:-1]
    return value if perm == sorted(perm) else add_node(node, "Transpose", [value], perm=perm)


def _flag(node: ir.Node, name: str) -> bool:
    return name in node.attributes and bool(node.attributes[name].as_int())


def _gelu(node: ir.Node, inputs: Values) -> ir.Value:
    """x / 2 * (1 + erf(x / sqrt(2))), of x plus a bias where there is one."""
    x = _biased(node, inputs)
    error = add_node(node, "Erf", [add_node(node, "Mul", [x, _number(node, math.sqrt(0.5))])])
    half = add_node(node, "Mul", [x, _number(node, 0.5)])
    return add_node(node, "Mul", [half, add_node(node, "Add", [error, _number(node, 1.0)])])


def _biased(node: ir.Node, inputs: Values) -> ir.Value:
    assert inputs[0] is not None
    return inputs[0] if inputs[1] is None else add_node(node, "Add", [inputs[0], inputs[1]])


def _fast_gelu(node: ir.Node, inputs: Values) -> ir.Value:
    """x / 2 * (1 + tanh(x * (0.7978845608 + 0.035677408136 * x^2)))."""
    x = _biased(node, inputs)
    scaled = add_node(node, "Mul", [add_node(node, "Mul", [x, x]), _number(node, 0.035677408136300125)])
    inner = add_node(node, "Mul", [x, add_node(node, "Add", [scaled, _number(node, 0.7978845608028654)])])
    half = add_node(node, "Mul", [x, _number(node, 0.5)])
    bent = add_node(node, "Add", [add_node(node, "Tanh", [inner]), _number(node, 1.0)])
    return add_node(node, "Mul", [half, bent])


def _quick_gelu(node: ir.Node, inputs: Values) -> ir.Value:
    scaled = add_node(node, "Mul", [inputs[0], _number(node, _float(node, "alpha", 1.702))])
    return add_node(node, "Mul", [inputs[0], add_node(node, "Sigmoid", [scaled])])


def _skip_layer_norm(node: ir.Node, inputs: Values) -> ir.Value | None:
    """LayerNormalization of input + skip + bias."""
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:3]):
        return None
    total = add_node(node, "Add", [inputs[0], inputs[1]])
    if inputs[4] is not None:
        total = add_node(node, "Add", [total, inputs[4]])
    epsilon = _float(node, "epsilon", _NORM_EPSILON)
    return add_node(
        node, "LayerNormalization", _trimmed([total, inputs[2], inputs[3]]), axis=-1, epsilon=epsilon
    )


def _skip_simplified(node: ir.Node, inputs: Values) -> ir.Value | None:
    """SimplifiedLayerNormalization of input + skip + bias."""
    if any(output.uses() or output.is_graph_output() for output in node.outputs[1:3]):
        return None
    total = add_node(node, "Add", [inputs[0], inputs[1]])
    if inputs[3] is not None:
        total = add_node(node, "Add", [total, inputs[3]])
    epsilon = _float(node, "epsilon", _NORM_EPSILON)
    return add_node(node, "SimplifiedLayerNormalization", [total, inputs[2]], axis=-1, epsilon=epsilon)


_SPELLERS: dict[str, Speller] = {
    "FusedConv": _conv,
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "Gelu": _gelu,
    "BiasGelu": _gelu,
    "FastGelu": _fast_gelu,
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_layer_norm,
    "SkipSimplifiedLayerNormalization": _skip_simplified,
}
