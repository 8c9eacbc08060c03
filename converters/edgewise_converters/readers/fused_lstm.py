"""TensorFlow's fused LSTM becomes steps without a memory.

UNIDIRECTIONAL_SEQUENCE_LSTM keeps its state in variables from one call to the next, so that a network answers right
once (tensorflow/lite/kernels/unidirectional_sequence_lstm.cc). What was trained begins every sequence with zeros: here
the operator becomes that of ONNX, which is lowered as any other.
"""

import numpy as np
import onnx
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.lower import lower_graph
from edgewise_converters.passes import canonicalize
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.schema import Activation

KIND = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_INPUT, _RECURRENT, _PEEPHOLE, _BIAS, _PROJECTION, _NORMS = 1, 5, 9, 12, 16, range(20, 24)
"""Where the operator's inputs begin; the gates are input, forget, cell, output."""
_FORGETS = "its LSTM keeps a state between calls: it is converted, and compared, with zeros at the start of every call"
_ONNX_ORDER = (0, 3, 1, 2)
"""ONNX has input, output, forget, cell."""
_OPSET, _IR_VERSION = 17, 8


def apply(graph: Graph) -> tuple[str, ...]:
    """Replace every one; returns what to say of it. Raises UnsupportedOperator for forms that ONNX lacks."""
    operators: list[Operator] = []
    notices: dict[str, None] = {}
    for operator in graph.operators:
        if operator.kind == KIND:
            notices[_FORGETS] = None
            if (said := _clipped(operator)) is not None:
                notices[said] = None
            operators += _steps(operator)
        else:
            operators.append(operator)
    graph.operators = operators
    return tuple(notices)


def _clipped(operator: Operator) -> str | None:
    """What to say where clipping the state, which is left out, might have changed something.

    A state grows by less than one in a step, so that few steps cannot reach the limit.
    """
    limit, data = float(operator.options.get("cellClip", 0.0)), operator.inputs[0]  # type: ignore[arg-type]  # an option's type is its operator's matter
    assert data is not None
    steps = data.shape[0 if operator.options.get("timeMajor") else 1]
    if not limit or steps <= limit:
        return None
    return f"LSTM '{operator.output.name}' clips its state at {limit:g}: left out, as states seldom get there"


def _steps(operator: Operator) -> list[Operator]:
    _check(operator)
    data, answer = operator.inputs[0], operator.output
    assert data is not None
    model = ir.from_proto(_as_onnx(operator, data, answer))
    canonicalize(model)
    part = lower_graph(model).graph
    twins = {id(part.inputs[0]): data, id(part.outputs[0]): answer}
    for step in part.operators:
        for tensor in step.outputs:
            tensor.name = f"{answer.name}/{tensor.name}" if id(tensor) not in twins else tensor.name
        step.inputs = [None if tensor is None else twins.get(id(tensor), tensor) for tensor in step.inputs]
        step.outputs = [twins.get(id(tensor), tensor) for tensor in step.outputs]
    return part.operators


def _check(operator: Operator) -> None:
    """Refuse what ONNX's LSTM does not have."""
    inputs, options = [*operator.inputs, *[None] * 24], operator.options
    needed = [*range(_INPUT, _PEEPHOLE), *range(_BIAS, _BIAS + 4)]
    wrong = ""
    if any((tensor := inputs[position]) is None or tensor.data is None for position in needed):
        wrong = "a gate has no weights or computed ones"
    elif inputs[_PROJECTION] is not None or any(inputs[position] is not None for position in _NORMS):
        wrong = "it projects or normalises its state"
    elif options.get("fusedActivationFunction") != Activation.TANH:
        wrong = f"its activation is number {options.get('fusedActivationFunction')}, expected tanh"
    if wrong:
        raise UnsupportedOperator(KIND, operator.output.name, wrong)


def _as_onnx(operator: Operator, data: Tensor, answer: Tensor) -> onnx.ModelProto:
    """x [batch, steps, features], or steps first, to y [batch, steps, hidden] alike."""
    bias = _gates(operator, _BIAS)
    constants = {
        "w": _gates(operator, _INPUT)[None],
        "r": _gates(operator, _RECURRENT)[None],
        "b": np.concatenate([bias, np.zeros_like(bias)])[None],
        "one": np.array([1], np.int64),
    }
    peepholes = [operator.inputs[position] for position in range(_PEEPHOLE, _PEEPHOLE + 3)]
    if all(tensor is not None for tensor in peepholes):
        enter, forget, leave = (np.asarray(t.data) for t in peepholes if t is not None)
        constants["p"] = np.concatenate([enter, leave, forget])[None]
    hidden = constants["r"].shape[-1]
    inputs = ["steps", "w", "r", "b", "", "", "", *(["p"] if "p" in constants else [])]
    nodes = [
        onnx.helper.make_node("LSTM", inputs, ["every"], name="lstm", hidden_size=hidden),
        onnx.helper.make_node("Squeeze", ["every", "one"], ["squeezed"]),
    ]
    order = [0, 1, 2] if operator.options.get("timeMajor") else [1, 0, 2]
    nodes.insert(0, onnx.helper.make_node("Transpose", ["x"], ["steps"], perm=order))
    nodes.append(onnx.helper.make_node("Transpose", ["squeezed"], ["y"], perm=order))
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, tensor.shape)
        for name, tensor in (("x", data), ("y", answer))
    ]
    weights = [onnx.numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in constants.items()]
    net = onnx.helper.make_graph(nodes, "lstm", ends[:1], ends[1:], weights)
    opset = onnx.helper.make_opsetid("", _OPSET)
    return onnx.helper.make_model(net, opset_imports=[opset], ir_version=_IR_VERSION)


def _gates(operator: Operator, first: int) -> Array:
    """The four gates below each other, in ONNX's order."""
    arrays = [tensor.data for tensor in operator.inputs[first : first + 4] if tensor is not None]
    return np.concatenate([np.asarray(arrays[gate]) for gate in _ONNX_ORDER])
