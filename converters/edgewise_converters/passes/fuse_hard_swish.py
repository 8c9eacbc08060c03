"""The spelled-out forms of HardSigmoid and HardSwish become those operators.

Needs: constants as initializers. Leaves: HardSigmoid(1/6, 1/2) for clip(x + 3, 0, 6) / 6 and HardSwish for
x * HardSigmoid(x) (Howard et al. 2019, arXiv:1905.02244, section 5.2). Exact but for float32 rounding.
"""

import math

import onnx_ir as ir

from edgewise_converters.passes.graph_edit import only_user, producer, replace, scalar, with_scalar

_SIXTH = 1.0 / 6.0


def apply(model: ir.Model) -> bool:
    """Fuse every occurrence once; returns whether anything was fused."""
    changed = False
    for node in list(model.graph):
        if node.graph is not None:
            changed |= _hard_sigmoid(model.graph, node) or _hard_swish(model.graph, node)
    return changed


def _hard_sigmoid(graph: ir.Graph, node: ir.Node) -> bool:
    """clip(x + 3, 0, 6) / 6, divided by Div or multiplied by Mul."""
    sixth = _is_sixth(node)
    inner = _relu6_of_shifted(sixth) if sixth is not None else None
    if inner is None:
        return False
    data, chain = inner
    replace(graph, [*chain, node], "HardSigmoid", [data], node.outputs[0], alpha=_SIXTH, beta=0.5)
    return True


def _is_sixth(node: ir.Node) -> ir.Value | None:
    """What this node divides by six."""
    pair = with_scalar(node) if node.op_type in ("Div", "Mul") and len(node.inputs) == 2 else None
    if pair is None:
        return None
    value, number = pair
    if node.op_type == "Div":
        return value if value is node.inputs[0] and number == 6.0 else None
    return value if math.isclose(number, _SIXTH, rel_tol=1e-6) else None


def _relu6_of_shifted(value: ir.Value) -> tuple[ir.Value, list[ir.Node]] | None:
    clip = producer(value, "Clip")
    if clip is None or only_user(value) is None or _bounds(clip) != (0.0, 6.0):
        return None
    shifted = clip.inputs[0]
    add = producer(shifted, "Add")
    pair = with_scalar(add) if add is not None else None
    if add is None or pair is None or pair[1] != 3.0 or only_user(add.outputs[0]) is None:
        return None
    return pair[0], [add, clip]


def _bounds(clip: ir.Node) -> tuple[float | None, float | None]:
    if "min" in clip.attributes or "max" in clip.attributes:
        low, high = (clip.attributes[k].as_float() if k in clip.attributes else None for k in ("min", "max"))
        return low, high
    inputs = [*clip.inputs, None, None]
    return scalar(inputs[1]), scalar(inputs[2])


def _hard_swish(graph: ir.Graph, node: ir.Node) -> bool:
    if node.op_type == "Mul" and len(node.inputs) == 2:
        for this, other in ((0, 1), (1, 0)):
            gate = producer(node.inputs[this], "HardSigmoid")
            data = node.inputs[other]
            if (
                gate is not None
                and data is gate.inputs[0]
                and _is_standard(gate)
                and only_user(gate.outputs[0])
            ):
                replace(graph, [gate, node], "HardSwish", [data], node.outputs[0])
                return True
    # (x * clip(x + 3, 0, 6)) / 6
    product = _is_sixth(node)
    mul = producer(product, "Mul")
    if mul is None or product is None or only_user(product) is None:
        return False
    for this, other in ((0, 1), (1, 0)):
        gate_value, data = mul.inputs[this], mul.inputs[other]
        inner = _relu6_of_shifted(gate_value) if gate_value is not None else None
        if inner is not None and inner[0] is data:
            replace(graph, [*inner[1], mul, node], "HardSwish", [data], node.outputs[0])
            return True
    return False


def _is_standard(gate: ir.Node) -> bool:
    alpha = gate.attributes["alpha"].as_float() if "alpha" in gate.attributes else 0.2
    beta = gate.attributes["beta"].as_float() if "beta" in gate.attributes else 0.5
    return math.isclose(alpha, _SIXTH, rel_tol=1e-5) and math.isclose(beta, 0.5, rel_tol=1e-6)
