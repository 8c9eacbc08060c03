"""FULLY_CONNECTED as a 1x1 CONV_2D.

int8 FULLY_CONNECTED has one weight scale in every runtime (per channel only from version 12 on, which
tflite-runtime 2.14 refuses); a convolution has one per output everywhere, at the same speed.
"""

import numpy as np

from edgewise_converters.tflite.graph import Graph, Operator, Tensor


def dense_as_convolution(graph: Graph) -> None:
    """Rewrite every FULLY_CONNECTED with constant weights. Exact; weights that several share stay shared."""
    operators: list[Operator] = []
    kernels: dict[int, Tensor] = {}
    for operator in graph.operators:
        weights = operator.inputs[1] if operator.kind == "FULLY_CONNECTED" else None
        if (
            weights is None
            or weights.data is None
            or operator.inputs[0] is None
            or not operator.inputs[0].is_float
            or operator.in_float
        ):
            operators.append(operator)
            continue
        if id(weights) not in kernels:
            data = weights.data.reshape(weights.shape[0], 1, 1, weights.shape[1])
            kernels[id(weights)] = Tensor.constant(weights.name, data)
        operators += _convolution(operator, operator.inputs[0], kernels[id(weights)])
    graph.operators = operators


def _convolution(operator: Operator, data: Tensor, kernel: Tensor) -> list[Operator]:
    outputs, _, _, features = kernel.shape
    rows = int(np.prod(data.shape)) // features
    name = operator.output.name
    tall = Tensor(f"{name}/rows", (1, rows, 1, features), data.dtype)
    answer = Tensor(f"{name}/columns", (1, rows, 1, outputs), data.dtype)
    activation = operator.options.get("fusedActivationFunction", 0)
    options = {"padding": 1, "strideH": 1, "strideW": 1, "fusedActivationFunction": activation}
    return [
        _reshape(data, tall),
        Operator("CONV_2D", [tall, kernel, *operator.inputs[2:]], [answer], dict(options)),
        _reshape(answer, operator.output),
    ]


def _reshape(source: Tensor, target: Tensor) -> Operator:
    shape = Tensor.constant(f"{target.name}/shape", np.array(target.shape, np.int32))
    return Operator("RESHAPE", [source, shape], [target], {"newShape": target.shape})
