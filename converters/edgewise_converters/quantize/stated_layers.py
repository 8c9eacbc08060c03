"""One layer of a quantized source with its own integer weights: static where its ends are integers, else dynamic."""

import numpy as np

from edgewise_converters.quantize.stated_constants import symmetric_weights
from edgewise_converters.quantize.weight_grids import as_block_scales
from edgewise_converters.quantize.weights import channel_axis, quantize_bias
from edgewise_converters.tflite.graph import BlockScales, Operator, Option, Tensor
from edgewise_converters.tflite.nibbles import as_int4
from edgewise_converters.tflite.runtimes import RuntimeRules

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
    operator: Operator, data: Tensor, weights: Tensor, rules: RuntimeRules
) -> list[Operator] | None:
    """The layer with narrow weights on float32 ``data``, or None where float32 weights serve better.

    Weights that no kernel mixes with float32 rightly or fast are restored when the model is loaded.
    """
    if np.prod(weights.shape) < _SMALLEST:
        return None
    dense, options = operator.kind == _DENSE, dict(operator.options)
    if dense:
        options["asymmetricQuantizeInputs"] = True
    grouped = operator.kind == "CONV_2D" and weights.shape[-1] != data.shape[-1]
    if dense and rules.four_bits and weights.blocks is not None:
        constant = _four_bits(weights, operator.output.name)
        return [Operator(_DENSE, [data, constant, *operator.inputs[2:]], operator.outputs, options)]
    per_channel = operator.kind in rules.mixed_per_channel
    mixes = (per_channel or operator.kind in rules.mixed_per_tensor) and not grouped
    narrow = symmetric_weights(weights, channel_axis(operator.kind), per_channel=per_channel or not mixes)
    name = f"{operator.output.name}/weights"
    constant = Tensor.constant(f"{name}/int8", narrow.integers, narrow.quantization)
    if mixes:
        return [Operator(operator.kind, [data, constant, *operator.inputs[2:]], operator.outputs, options)]
    real = Tensor(name, weights.shape, np.dtype(np.float32))
    return [
        Operator("DEQUANTIZE", [constant], [real]),
        Operator(operator.kind, [data, real, *operator.inputs[2:]], operator.outputs, dict(operator.options)),
    ]


def _four_bits(weights: Tensor, name: str) -> Tensor:
    """Weights [outputs, inputs] in blocks as LiteRT's dense kernels take them."""
    assert weights.data is not None and weights.blocks is not None and weights.blocks.scales.data is not None
    constant = Tensor.constant(f"{name}/weights/int4", as_int4(weights.data))
    scales = Tensor.constant(f"{constant.name}/scales", as_block_scales(weights.blocks.scales.data))
    constant.blocks = BlockScales(scales, weights.blocks.size)
    return constant
