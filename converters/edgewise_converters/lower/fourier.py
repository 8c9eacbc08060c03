"""DFT as a product with a constant matrix, STFT as a convolution with it."""

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import constant_input, input_of, int_of, normal_axes
from edgewise_converters.lower.convolution import convolve
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.matmul import fully_connected
from edgewise_converters.lower.windows import Window
from edgewise_converters.tflite.schema import Padding

_AXIS_INPUT_OPSET = 20
"""From it on DFT's axis is an input, before it an attribute."""
_MAX_WEIGHTS = 1 << 24
"""64 MB; a longer transform should stay in the program around the model."""


@lowers("DFT", in_float=True)
def lower_dft(low: Lowering, node: ir.Node) -> None:
    """The transform of every line along one axis; the last axis holds real and imaginary parts."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    shape, rank = low.shape(data), len(low.shape(data))
    axis = normal_axes([_axis(low, node)], rank)[0]
    length = _scalar(low, node, 1, "length")
    inverse, onesided = bool(int_of(node, "inverse", 0)), bool(int_of(node, "onesided", 0))
    if length is None:
        length = 2 * (shape[axis] - 1) if inverse and onesided else shape[axis]
    weights = transform(shape[axis], shape[-1], length, inverse=inverse, onesided=onesided)
    if weights.size > _MAX_WEIGHTS:
        raise low.refuse(
            node, f"its length is {length}: the matrix would be over 64 MB; transform outside the model"
        )
    f = Algebra(low, str(result.name))
    order = [*(other for other in range(rank - 1) if other != axis), axis, rank - 1]
    lines = f.transpose(low.read(data), order)
    rows = f.reshape(lines, (int(np.prod(lines.shape[:-2])), weights.shape[1]))
    target = (rows.shape[0], weights.shape[0])
    flat = fully_connected(low, rows, weights, np.zeros(weights.shape[0]), target, f.name)
    parts = low.shape(result)[-1]
    tensor = f.reshape(flat, (*lines.shape[:-2], weights.shape[0] // parts, parts))
    low.bind(result, f.transpose(tensor, [order.index(other) for other in range(rank)]))


def _axis(low: Lowering, node: ir.Node) -> int:
    if low.opset < _AXIS_INPUT_OPSET:
        return int_of(node, "axis", 1)
    axis = _scalar(low, node, 2, "axis")
    return -2 if axis is None else axis


def _scalar(low: Lowering, node: ir.Node, index: int, what: str) -> int | None:
    """A constant whole number, None where it is absent."""
    array = constant_input(node, index)
    if array is None and input_of(node, index) is not None:
        raise low.refuse(node, f"its {what} is computed, expected a constant")
    return None if array is None else int(array.reshape(-1)[0])


def transform(size: int, parts: int, length: int, *, inverse: bool, onesided: bool) -> Array:
    """[results, size * parts]: the transform of each unit vector, real and imaginary parts next to each other."""
    units = np.eye(size * parts).reshape(-1, size, parts)
    signal = units[..., 0] + 1j * units[..., 1] if parts == 2 else units[..., 0]
    if inverse and onesided:
        return np.fft.irfft(signal, n=length, axis=1).T
    answer = (np.fft.ifft if inverse else np.fft.fft)(signal, n=length, axis=1)
    if onesided:
        answer = answer[:, : length // 2 + 1]
    return np.stack([answer.real, answer.imag], axis=-1).reshape(size * parts, -1).T


@lowers("STFT", in_float=True)
def lower_stft(low: Lowering, node: ir.Node) -> None:
    """A convolution: each output channel is one frequency's real or imaginary part, the stride is the step."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    batch, size, parts = (*low.shape(data), 1)[:3]
    window, step = constant_input(node, 2), _scalar(low, node, 1, "frame step")
    if input_of(node, 2) is not None and window is None:
        raise low.refuse(node, "its window is computed, expected a constant")
    length = _scalar(low, node, 3, "frame length") or (size if window is None else window.size)
    weights = transform(length, parts, length, inverse=False, onesided=bool(int_of(node, "onesided", 1)))
    kernel = weights.reshape(-1, length, parts).transpose(0, 2, 1)
    if window is not None:
        kernel = kernel * window.reshape(1, 1, -1)
    f = Algebra(low, str(result.name))
    shape, nothing = low.shape(result), ((0, 0),)
    frames = Window((length,), (step or 1,), (1,), Padding.VALID, nothing, nothing, (shape[1],))
    source = f.reshape(low.read(data), (batch, size, parts))
    tensor = convolve(low, source, low.floats(kernel, f"{f.name}/weights"), None, frames, 1, f.name)
    low.bind(result, f.reshape(tensor, shape))
