"""Operators for which others do: EXPAND_DIMS and SQUEEZE become RESHAPE, SQUARE becomes MUL, constant products dense.

Needs: static shapes. Leaves: no EXPAND_DIMS, SQUEEZE or float SQUARE, and no BATCH_MATMUL whose right side is one
constant matrix. Exact, but for the order of summation in products.
"""

import numpy as np

from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_RESHAPING = frozenset({"EXPAND_DIMS", "SQUEEZE"})


def apply(graph: Graph) -> bool:
    """Replace every such operator; returns whether there was any."""
    changed = False
    for operator in graph.operators:
        source = operator.inputs[0] if operator.inputs else None
        if source is None:
            continue
        if operator.kind in _RESHAPING:
            _as_reshape(operator, source)
        elif operator.kind == "SQUARE" and source.is_float:
            operator.kind, operator.inputs, operator.options = "MUL", [source, source], {}
        elif operator.kind == "BATCH_MATMUL" and _is_dense(operator):
            _as_dense(operator)
        else:
            continue
        changed = True
    return changed


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
