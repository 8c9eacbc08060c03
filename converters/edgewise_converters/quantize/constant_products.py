"""Products with constant matrices and the additions behind them, as layers with weights and a bias.

A quantized source's weights are no constants of the graph when it is lowered, but a DEQUANTIZE of constants; so
its dense layers come out as BATCH_MATMUL and ADD.
"""

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.tflite.graph import Graph, Operator, Option, Tensor

_BIASED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


def dense_from_products(graph: Graph, constants: frozenset[int]) -> None:
    """Rewrite BATCH_MATMUL whose right side is one matrix among ``constants`` (ids of tensors). Exact."""
    operators: list[Operator] = []
    for operator in graph.operators:
        left, right = operator.inputs[0], operator.inputs[1] if len(operator.inputs) > 1 else None
        fits = (
            operator.kind == "BATCH_MATMUL"
            and left is not None
            and right is not None
            and id(right) in constants
            and id(left) not in constants
            and not operator.options.get("adjX")
            and all(dim == 1 for dim in right.shape[:-2])
            and len(right.shape) <= len(left.shape)
        )
        if fits and left is not None and right is not None:
            operators += _dense(operator, left, right)
        else:
            operators.append(operator)
    graph.operators = operators


def _dense(operator: Operator, left: Tensor, right: Tensor) -> list[Operator]:
    name, weights = operator.output.name, right
    moves: list[Operator] = []
    if len(right.shape) > 2:
        weights = Tensor(f"{name}/matrix", right.shape[-2:], right.dtype)
        shape = Tensor.constant(f"{weights.name}/shape", np.array(weights.shape, np.int32))
        moves.append(Operator("RESHAPE", [right, shape], [weights], {"newShape": weights.shape}))
    if not operator.options.get("adjY"):
        turned = Tensor(f"{name}/weights", weights.shape[::-1], weights.dtype)
        perm = Tensor.constant(f"{turned.name}/perm", np.array([1, 0], np.int32))
        moves.append(Operator("TRANSPOSE", [weights, perm], [turned]))
        weights = turned
    bias = Tensor.constant(f"{name}/bias", np.zeros(weights.shape[0], np.float32))
    options: dict[str, Option] = {"keepNumDims": len(left.shape) > 2}
    return [*moves, Operator("FULLY_CONNECTED", [left, weights, bias], operator.outputs, options)]


def absorb_additions(graph: Graph) -> None:
    """An ADD or SUB of one constant for each channel behind a layer becomes its bias. Exact but for rounding."""
    readers, producers = graph.consumers(), graph.producers()
    leaving = {id(tensor) for tensor in graph.outputs}
    kept: list[Operator] = []
    for operator in graph.operators:
        found = _layer_and_addend(operator, producers)
        if found is None:
            kept.append(operator)
            continue
        layer, addend = found
        result = layer.output
        if id(result) in leaving or len(readers[id(result)]) != 1:
            kept.append(operator)
            continue
        old = layer.inputs[2] if len(layer.inputs) > 2 else None
        total = addend if old is None else np.asarray(old.data) + addend
        name = result.name if old is None else old.name
        layer.inputs = [*layer.inputs[:2], Tensor.constant(f"{name}/bias", np.asarray(total, np.float32))]
        layer.options = {
            **layer.options,
            "fusedActivationFunction": operator.options.get("fusedActivationFunction", 0),
        }
        layer.outputs = operator.outputs
        producers[id(operator.output)] = layer
    graph.operators = kept


def _layer_and_addend(operator: Operator, producers: dict[int, Operator]) -> tuple[Operator, Array] | None:
    """The layer that an addition stands behind, and what it adds to each channel."""
    if operator.kind not in ("ADD", "SUB"):
        return None
    for data, other in ((0, 1), (1, 0)) if operator.kind == "ADD" else ((0, 1),):
        source, addend = operator.inputs[data], operator.inputs[other]
        layer = producers.get(id(source))
        if (
            source is None
            or addend is None
            or addend.data is None
            or layer is None
            or layer.kind not in _BIASED
        ):
            continue
        channels = source.shape[-1]
        old = layer.inputs[2] if len(layer.inputs) > 2 else None
        if layer.options.get("fusedActivationFunction") or (old is not None and old.data is None):
            continue
        along = addend.shape[-1:] == (channels,) and addend.data.size == channels
        if operator.output.shape == source.shape and (along or addend.data.size == 1):
            values = np.broadcast_to(addend.data.reshape(-1), (channels,))
            return layer, values if operator.kind == "ADD" else -values
    return None
