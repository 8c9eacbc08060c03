"""Operators for which others do: EXPAND_DIMS and SQUEEZE become RESHAPE, SQUARE becomes MUL, constant products dense.

Needs: static shapes. Leaves: no EXPAND_DIMS, SQUEEZE or float SQUARE, no BATCH_MATMUL whose right side is one constant
matrix, and no FULLY_CONNECTED with constant weights that lacks its bias (as a convolution it needs one). Exact, but
for the order of summation in products.
"""

import numpy as np

from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_RESHAPING = frozenset({"EXPAND_DIMS", "SQUEEZE"})


def apply(graph: Graph) -> bool:
    """Replace every such operator; returns whether there was any."""
    rewritten = [operator for operator in graph.operators if _rewrite(operator)]
    return bool(rewritten)


def _rewrite(operator: Operator) -> bool:
    source = operator.inputs[0] if operator.inputs else None
    if source is None:
        return False
    if operator.kind in _RESHAPING:
        _as_reshape(operator, source)
    elif operator.kind == "SQUARE" and source.is_float:
        operator.kind, operator.inputs, operator.options = "MUL", [source, source], {}
    elif operator.kind == "BATCH_MATMUL" and _is_dense(operator):
        _as_dense(operator)
        _add_bias(operator)
    elif operator.kind == "FULLY_CONNECTED" and _lacks_bias(operator):
        _add_bias(operator)
    else:
        return False
    return True


def _lacks_bias(operator: Operator) -> bool:
    weights = operator.inputs[1]
    has_bias = len(operator.inputs) > 2 and operator.inputs[2] is not None
    return weights is not None and weights.is_constant and weights.is_float and not has_bias


def _add_bias(operator: Operator) -> None:
    weights = operator.inputs[1]
    assert weights is not None
    zeros = Tensor.constant(f"{operator.output.name}/bias", np.zeros(weights.shape[0], np.float32))
    operator.inputs = [operator.inputs[0], weights, zeros]


def _as_reshape(operator: Operator, source: Tensor) -> None:
    shape = operator.output.shape
    target = Tensor.constant(f"{operator.output.name}/shape", np.array(shape, np.int32))
    operator.kind, operator.inputs, operator.options = "RESHAPE", [source, target], {"newShape": shape}


def _is_dense(operator: Operator) -> bool:
    left, right = operator.inputs[0], operator.inputs[1]
    if (
        left is None
        or right is None
        or right.data is None
        or not left.is_float
        or operator.options.get("adjX")
    ):
        return False
    return (
        len(left.shape) >= 2
        and all(dim == 1 for dim in right.shape[:-2])
        and len(right.shape) <= len(left.shape)
    )


def _as_dense(operator: Operator) -> None:
    weights = operator.inputs[1]
    assert weights is not None and weights.data is not None
    matrix = weights.data.reshape(weights.shape[-2:])
    rows = matrix if operator.options.get("adjY") else matrix.T
    constant = Tensor.constant(f"{weights.name}/rows", np.ascontiguousarray(rows))
    operator.kind = "FULLY_CONNECTED"
    operator.inputs = [operator.inputs[0], constant, None]
    operator.options = {"keepNumDims": True}
