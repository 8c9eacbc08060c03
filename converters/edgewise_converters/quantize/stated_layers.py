"""One layer of a quantized source with its own integer weights: static where its ends are integers, else dynamic."""

import numpy as np

from edgewise_converters.quantize.stated_constants import symmetric_weights
from edgewise_converters.quantize.weights import channel_axis, quantize_bias
from edgewise_converters.tflite.graph import Operator, Option, Tensor

_DENSE = "FULLY_CONNECTED"
_SMALLEST = 1024
"""A layer of fewer weights stays float where its inputs are: there is nothing to save."""


def static_layer(operator: Operator, data: Tensor, weights: Tensor, output: Tensor) -> list[Operator]:
    """Operators from int8 or int16 ``data`` to ``output`` of the same type.

    A dense layer with scales per output becomes a 1x1 convolution: dense kernels know such from version 12 on, which
    tflite-runtime 2.14 refuses.
    """
    assert data.quantization is not None
    narrow = symmetric_weights(weights, channel_axis(operator.kind), per_channel=True)
    name, channels = operator.output.name, operator.output.shape[-1]
    bias = operator.inputs[2] if len(operator.inputs) > 2 else None
    real = np.zeros(channels, np.float32) if bias is None else np.asarray(bias.data)
    wide = np.dtype(np.int64 if data.dtype == np.int16 else np.int32)
    steps, grid = quantize_bias(real, data.quantization.scale, narrow.quantization, dtype=wide)
    constants = [
        Tensor.constant(f"{name}/weights/int8", narrow.integers, narrow.quantization),
        Tensor.constant(f"{name}/bias/{wide.name}", steps, grid),
    ]
    if operator.kind != _DENSE or narrow.quantization.is_per_tensor:
        return [Operator(operator.kind, [data, *constants], [output], dict(operator.options))]
    return _as_convolution(operator, data, constants[0], constants[1], output)


def _as_convolution(
    operator: Operator, data: Tensor, weights: Tensor, bias: Tensor, output: Tensor
) -> list[Operator]:
    outputs, features = weights.shape
    rows = int(np.prod(data.shape)) // features
    tall = Tensor(f"{output.name}/rows", (1, rows, 1, features), data.dtype, None, data.quantization)
    answer = Tensor(f"{output.name}/columns", (1, rows, 1, outputs), output.dtype, None, output.quantization)
    assert weights.data is not None
    kernel = Tensor.constant(
        weights.name, weights.data.reshape(outputs, 1, 1, features), weights.quantization
    )
    activation = operator.options.get("fusedActivationFunction", 0)
    options: dict[str, Option] = {
        "padding": 1, "strideH": 1, "strideW": 1, "fusedActivationFunction": activation
    }  # fmt: skip
    return [
        _reshape(data, tall),
        Operator("CONV_2D", [tall, kernel, bias], [answer], options),
        _reshape(answer, output),
    ]


def _reshape(source: Tensor, target: Tensor) -> Operator:
    shape = Tensor.constant(f"{target.name}/shape", np.array(target.shape, np.int32))
    return Operator("RESHAPE", [source, shape], [target], {"newShape": target.shape})


def dynamic_layer(
    operator: Operator, data: Tensor, weights: Tensor, *, dense_per_channel: bool
) -> Operator | None:
    """The layer with int8 weights on float32 ``data``, or None where float32 weights serve better."""
    grouped = operator.kind == "CONV_2D" and weights.shape[-1] != data.shape[-1]
    if operator.kind == "DEPTHWISE_CONV_2D" or grouped or np.prod(weights.shape) < _SMALLEST:
        return None
    dense = operator.kind == _DENSE
    narrow = symmetric_weights(weights, 0, per_channel=dense_per_channel or not dense)
    options: dict[str, Option] = dict(operator.options)
    if dense:
        options["asymmetricQuantizeInputs"] = True
    constant = Tensor.constant(f"{operator.output.name}/weights/int8", narrow.integers, narrow.quantization)
    return Operator(operator.kind, [data, constant, *operator.inputs[2:]], operator.outputs, options)
