"""4-bit weights: two in a byte, with a scale per channel or per block, as LiteRT reads them."""

import numpy as np
import pytest

from edgewise.backends import open_backend
from edgewise.tensors import Array, Quantization
from edgewise_converters.tflite.graph import BlockScales, Graph, Operator, Tensor
from edgewise_converters.tflite.nibbles import INT4, as_int4, packed
from edgewise_converters.tflite.writer import serialize

ROWS, INPUTS, OUTPUTS = 3, 64, 8
ROUNDED_INPUT_DB = 35.0
"""What rounding each row of activations to 8 bits leaves; a wrong scale or order of nibbles leaves nothing."""


def test_two_go_into_a_byte_the_first_in_the_low_half() -> None:
    assert packed(as_int4(np.array([1, -2, 7, -8, 3]))).tolist() == [0xE1, 0x87, 0x03]


def integers() -> Array:
    return np.random.default_rng(1).integers(-7, 8, (OUTPUTS, INPUTS))


def dense(weights: Tensor) -> bytes:
    data = Tensor("x", (ROWS, INPUTS), np.dtype(np.float32))
    output = Tensor("y", (ROWS, OUTPUTS), np.dtype(np.float32))
    graph = Graph("dense", [data], [output], [Operator("FULLY_CONNECTED", [data, weights, None], [output])])
    return serialize(graph.copy(), description="", metadata={})


def answer(network: bytes, data: Array) -> Array:
    backend = open_backend(network, "tflite", name="litert", threads=1)
    (output,) = backend.run([data])
    backend.close()
    return output


def decibel(wanted: Array, got: Array) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - got).sum()))


def test_a_dense_layer_has_a_scale_for_each_output() -> None:
    scales = np.random.default_rng(2).uniform(0.1, 2, OUTPUTS).astype(np.float32)
    weights = Tensor.constant(
        "w", as_int4(integers()), Quantization(tuple(map(float, scales)), (0,) * OUTPUTS)
    )
    assert weights.dtype == INT4
    data = np.random.default_rng(3).standard_normal((ROWS, INPUTS)).astype(np.float32)
    wanted = data @ (integers() * scales[:, None]).T
    assert decibel(wanted, answer(dense(weights), data)) >= ROUNDED_INPUT_DB


@pytest.mark.parametrize("size", [32, 64])
def test_a_dense_layer_has_a_scale_for_each_block(size: int) -> None:
    scales = np.random.default_rng(2).uniform(0.1, 2, (OUTPUTS, INPUTS // size)).astype(np.float16)
    weights = Tensor.constant("w", as_int4(integers()))
    weights.blocks = BlockScales(Tensor.constant("w/scales", scales), size)
    data = np.random.default_rng(3).standard_normal((ROWS, INPUTS)).astype(np.float32)
    wanted = data @ (integers() * np.repeat(scales.astype(np.float64), size, axis=1)).T
    assert decibel(wanted, answer(dense(weights), data)) >= ROUNDED_INPUT_DB
