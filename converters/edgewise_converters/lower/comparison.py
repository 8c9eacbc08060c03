"""Operators that answer with booleans."""

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower import integers
from edgewise_converters.lower.attributes import int_of
from edgewise_converters.lower.broadcasting import broadcast, through
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_KINDS = {
    "Equal": "EQUAL", "Greater": "GREATER", "GreaterOrEqual": "GREATER_EQUAL", "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL", "And": "LOGICAL_AND", "Or": "LOGICAL_OR", "Xor": "NOT_EQUAL",
}  # fmt: skip


@lowers(*_KINDS)
def lower_comparison(low: Lowering, node: ir.Node) -> None:
    """Two operands, broadcast as NumPy does."""
    broadcast(low, node, lambda f, tensors: integers.in_wide(f, _KINDS[node.op_type], *tensors))


@lowers("Not")
def lower_not(low: Lowering, node: ir.Node) -> None:
    """LOGICAL_NOT."""
    through(low, node, lambda f, x: f("LOGICAL_NOT", x))


@lowers("IsNaN")
def lower_is_nan(low: Lowering, node: ir.Node) -> None:
    """Only NaN differs from itself."""
    through(low, node, lambda f, x: f("NOT_EQUAL", x, x))


@lowers("IsInf")
def lower_is_inf(low: Lowering, node: ir.Node) -> None:
    """EQUAL to the infinities asked for."""
    negative, positive = int_of(node, "detect_negative", 1), int_of(node, "detect_positive", 1)

    def compute(f: Formula, x: Tensor) -> Tensor:
        if negative and positive:
            return f("EQUAL", f("ABS", x), np.inf)
        if not negative and not positive:
            return f("GREATER", x, np.inf)  # nothing is
        return f("EQUAL", x, np.inf if positive else -np.inf)

    through(low, node, compute)
