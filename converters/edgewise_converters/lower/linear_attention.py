"""LinearAttention and CausalConvWithState, which carry a state from call to call as input and output (opset 27)."""

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import float_of, input_of, int_of, string_of
from edgewise_converters.lower.convolution import add_computed_bias, constant_bias, convolve, read_weights
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.windows import Window
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.schema import Padding

_MAX_STEPS = 64
"""The recurrence is written out step by step: a dozen operators each."""
_SEQUENCE_LAST = (0, 2, 1)


@lowers("LinearAttention", in_float=True)
def lower_linear_attention(low: Lowering, node: ir.Node) -> None:
    """S = decay * S + k v', out = scale * q S, for one position after the other."""
    f = Algebra(low, str(node.outputs[0].name))
    few, many = int_of(node, "kv_num_heads", 1), int_of(node, "q_num_heads", 1)
    query, key, value = (_heads(low, f, node, i, many if i == 0 else few) for i in range(3))
    batch, steps, _, size = query.shape
    if steps > _MAX_STEPS:
        raise low.refuse(
            node, f"it has {steps} positions, expected at most {_MAX_STEPS}; export it for fewer at once"
        )
    scale = float_of(node, "scale", 0.0) or 1 / float(np.sqrt(size))
    query = f.mul(f.reshape(query, (batch, steps, few, many // few, size)), scale)
    decay = None if input_of(node, 4) is None else f.apply("EXP", _heads(low, f, node, 4, few))
    beta_value = input_of(node, 5)
    beta = None if beta_value is None else _heads(low, f, node, 5, low.shape(beta_value)[2])
    past = input_of(node, 3)
    state = None if past is None else low.read(past)
    answers = []
    for step in range(steps):
        column, row = _step(f, key, step, column=True), _step(f, value, step, column=False)
        if state is not None and decay is not None:
            state = f.mul(state, _step(f, decay, step, column=True))
        if beta is not None:
            if state is not None:
                row = f.sub(row, f.product(_step(f, key, step, column=False), state))
            row = f.mul(row, _step(f, beta, step, column=False))
        change = f.mul(column, row)
        state = change if state is None else f.add(state, change)
        asked = f.reshape(f.part(query, 1, step, step + 1), (batch, few, many // few, size))
        answers.append(f.reshape(f.product(asked, state), (batch, 1, many * state.shape[-1])))
    assert state is not None
    low.bind(node.outputs[0], f.concat(answers, 1))
    if len(node.outputs) > 1:
        low.bind(node.outputs[1], state)


def _heads(low: Lowering, f: Algebra, node: ir.Node, index: int, heads: int) -> Tensor:
    """An input [batch, steps, heads * size] as [batch, steps, heads, size]."""
    value = node.inputs[index]
    assert value is not None
    tensor = low.read(value)
    return f.reshape(tensor, (*tensor.shape[:2], heads, tensor.shape[2] // heads))


def _step(f: Algebra, tensor: Tensor, step: int, *, column: bool) -> Tensor:
    """One position of [batch, steps, heads, size] as columns or rows [batch, heads, ., .]."""
    batch, _, heads, size = tensor.shape
    shape = (batch, heads, size, 1) if column else (batch, heads, 1, size)
    return f.reshape(f.part(tensor, 1, step, step + 1), shape)


@lowers("CausalConvWithState")
def lower_causal_conv(low: Lowering, node: ir.Node) -> None:
    """A depthwise convolution over what came before and what comes now."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    f = Algebra(low, str(result.name))
    source, weights = low.read(data, _SEQUENCE_LAST), read_weights(low, node)
    channels, reach = weights.shape[0], weights.shape[2] - 1
    past = input_of(node, 3)
    if past is None:
        whole = f.pad(source, [(0, 0), (reach, 0), (0, 0)])
    else:
        whole = f.concat([low.read(past, _SEQUENCE_LAST), source], 1) if reach else source
    nothing = ((0, 0),)
    window = Window((reach + 1,), (1,), (1,), Padding.VALID, nothing, nothing, (source.shape[1],))
    tensor = convolve(low, whole, weights, constant_bias(node, 2), window, channels, f.name)
    tensor = add_computed_bias(low, node, tensor)
    if string_of(node, "activation", "none") in ("silu", "swish"):
        tensor = f.mul(tensor, f.apply("LOGISTIC", tensor))
    low.bind(result, tensor, _SEQUENCE_LAST)
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        if not reach:
            raise low.refuse(node, "its state is empty; remove that output")
        last = f.part(whole, 1, whole.shape[1] - reach, whole.shape[1])
        low.bind(node.outputs[1], last, _SEQUENCE_LAST)
