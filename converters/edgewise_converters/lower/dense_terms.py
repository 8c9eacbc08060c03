"""What follows a dense layer and is linear goes into its weights: a bias added, a constant factor."""

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

_DENSE = "FULLY_CONNECTED"


def fold_into_dense(graph: Graph) -> None:
    """Fold ADDs of a row and MULs by a number into the FULLY_CONNECTED before. Exact but for rounding the weights."""
    readers, producers = graph.consumers(), graph.producers()
    leaving = {id(tensor) for tensor in graph.outputs}

    def before(tensor: Tensor | None) -> Operator | None:
        """What makes a tensor that nobody else reads."""
        if tensor is None or len(readers.get(id(tensor), ())) != 1 or id(tensor) in leaving:
            return None
        return producers.get(id(tensor))

    gone: set[int] = set()
    for operator in graph.operators:
        if operator.kind not in ("ADD", "MUL"):
            continue
        term, data = _constant_and_data(operator)
        last = before(data)
        if term is None or term.data is None or last is None:
            continue
        dense: Operator | None = last
        while operator.kind == "MUL" and dense is not None and dense.kind == "RESHAPE":
            dense = before(dense.inputs[0])
        if (
            dense is None
            or not _can_take(dense)
            or not _fits(operator, dense, term.data, direct=dense is last)
        ):
            continue
        (_add if operator.kind == "ADD" else _scale)(dense, term.data)
        if dense is last:
            dense.options["fusedActivationFunction"] = operator.options.get("fusedActivationFunction", 0)
        last.outputs = operator.outputs
        producers[id(operator.output)] = last
        gone.add(id(operator))
    graph.operators = [operator for operator in graph.operators if id(operator) not in gone]


def _constant_and_data(operator: Operator) -> tuple[Tensor | None, Tensor | None]:
    left, right = operator.inputs
    if left is not None and left.data is not None:
        return left, right
    return (right, left) if right is not None and right.data is not None else (None, None)


def _can_take(dense: Operator) -> bool:
    """Whether it is a float dense layer of constant weights that ends without an activation."""
    if dense.kind != _DENSE or dense.options.get("fusedActivationFunction"):
        return False
    weights = dense.inputs[1]
    bias = dense.inputs[2] if len(dense.inputs) > 2 else None
    known = weights is not None and weights.data is not None and weights.is_float
    return known and (bias is None or (bias.data is not None and bias.is_float))


def _fits(operator: Operator, dense: Operator, term: Array, *, direct: bool) -> bool:
    """Whether the term is a row of the layer's outputs, or a number, and changes no shape."""
    if term.dtype != np.float32 or operator.output.shape != _data_shape(operator):
        return False
    if not direct and operator.options.get("fusedActivationFunction"):
        return False
    width = dense.output.shape[-1]
    is_row = term.ndim > 0 and term.size == term.shape[-1] == width
    return term.size == 1 or (operator.kind == "ADD" and is_row)


def _data_shape(operator: Operator) -> tuple[int, ...]:
    data = _constant_and_data(operator)[1]
    return () if data is None else data.shape


def _add(dense: Operator, row: Array) -> None:
    _set_bias(dense, _bias(dense) + row.reshape(-1).astype(np.float64))


def _scale(dense: Operator, number: Array) -> None:
    weights = dense.inputs[1]
    assert weights is not None and weights.data is not None
    factor = float(number.reshape(-1)[0])
    scaled = (weights.data * np.float64(factor)).astype(np.float32)
    dense.inputs[1] = Tensor.constant(weights.name, scaled)
    _set_bias(dense, _bias(dense) * factor)


def _bias(dense: Operator) -> Array:
    """float64 [outputs]."""
    bias = dense.inputs[2] if len(dense.inputs) > 2 else None
    if bias is None or bias.data is None:
        return np.zeros(dense.output.shape[-1], np.float64)
    return bias.data.astype(np.float64)


def _set_bias(dense: Operator, bias: Array) -> None:
    old = dense.inputs[2] if len(dense.inputs) > 2 else None
    name = old.name if old is not None else f"{dense.output.name}/bias"
    width = dense.output.shape[-1]
    dense.inputs[2:] = [Tensor.constant(name, np.broadcast_to(bias, (width,)).astype(np.float32))]
