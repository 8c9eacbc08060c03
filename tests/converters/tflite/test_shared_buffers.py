"""Constants with the same bytes take their place in the file once."""

import numpy as np
from converters.onnx_cases import case, check, lowered, model_of, network_of

SIZE = 64
PRODUCTS = case(
    "a = MatMul(x, w) b = Tanh(a) c = MatMul(b, w2) y = Tanh(c)", x=(1, SIZE), w=(SIZE, SIZE), w2=(SIZE, SIZE)
)


def test_equal_weights_are_written_once() -> None:
    model = model_of(PRODUCTS)
    apart = len(network_of(lowered(model)))
    first, second = model.graph.initializer
    second.raw_data = first.raw_data
    shared = len(network_of(lowered(model)))
    saved = np.dtype(np.float32).itemsize * SIZE * SIZE
    assert apart - shared >= saved


def test_a_network_with_shared_weights_answers_right() -> None:
    check(case("a = MatMul(x, w) b = Tanh(a) y = MatMul(b, w)", x=(1, SIZE), w=(SIZE, SIZE)))
