"""float16, dynamic-range int8, and dense layers as convolutions."""

import numpy as np
import pytest
from converters.onnx_cases import (
    FLOAT32_DB,
    RUNTIMES,
    Case,
    agreement_db,
    case,
    feeds_of,
    kinds,
    lowered,
    model_of,
    network_of,
)

from edgewise_converters.lower import LoweredGraph
from edgewise_converters.quantize import WeightStore, quantize_dynamic, store_float16, store_int8
from edgewise_converters.quantize.dense_as_convolution import dense_as_convolution
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.runtimes import RULES

NET = case(
    "a = Conv<pads=[1,1,1,1]>(x, w, b) r = Relu(a) d = Conv<group=32,pads=[1,1,1,1]>(r, k) g = GlobalAveragePool(d) "
    "f = Flatten(g) y = Gemm(f, v, o)",
    x=(1, 8, 10, 10), w=(32, 8, 3, 3), b=(32,), k=(32, 1, 3, 3), v=(32, 40), o=(40,),
)  # fmt: skip
GROUPED = case("y = Conv<group=2,pads=[1,1,1,1]>(x, w)", x=(1, 16, 10, 10), w=(32, 8, 3, 3))
FLOAT16_DB, DYNAMIC_DB = 60.0, 30.0
"""float16 has 11 bits of mantissa; dynamic-range int8 rounds weights and activations to 8 bits."""


def of(graph: Graph, low: LoweredGraph) -> LoweredGraph:
    return LoweredGraph(graph, low.input_layouts, low.output_layouts)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_float16_answers_in_both_runtimes_at_half_the_size(runtime: str) -> None:
    low = lowered(model_of(NET))
    half = of(store_float16(low.graph), low)
    assert agreement_db(model_of(NET), half, network_of(half), feeds_of(NET), runtime) >= FLOAT16_DB
    assert len(network_of(half)) < 0.65 * len(network_of(low))


def test_float16_is_restored_once_per_constant() -> None:
    low = lowered(
        model_of(
            case(
                "a = Conv(x, w) c = Conv(x2, w) y = Add(a, c)",
                x=(1, 8, 9, 9),
                x2=(1, 8, 9, 9),
                w=(8, 8, 3, 3),
            )
        )
    )
    names = [o.output.name for o in store_float16(low.graph).operators if o.kind == "DEQUANTIZE"]
    assert len(names) == len(set(names)) >= 1


def test_float16_leaves_what_it_cannot_hold() -> None:
    low = lowered(model_of(case("y = MatMul(x, w)", x=(1, 64), w=np.full((64, 4), 1e6, np.float32))))
    assert "DEQUANTIZE" not in kinds(of(store_float16(low.graph), low))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["net", "grouped"])
def test_dynamic_int8_answers_in_both_runtimes(runtime: str, name: str) -> None:
    this = {"net": NET, "grouped": GROUPED}[name]
    low = lowered(model_of(this))
    dynamic = of(quantize_dynamic(low.graph, WeightStore(), RULES[runtime]), low)
    assert agreement_db(model_of(this), dynamic, network_of(dynamic), feeds_of(this), runtime) >= DYNAMIC_DB


def test_dynamic_int8_weights_are_per_channel_but_for_dense_layers_of_the_old_runtime() -> None:
    graph = quantize_dynamic(lowered(model_of(NET)).graph, WeightStore(), RULES["tflite-runtime"])
    scales = {
        o.kind: len(o.inputs[1].quantization.scales)
        for o in graph.operators
        if o.inputs[1] is not None and o.inputs[1].quantization
    }
    assert scales == {"CONV_2D": 32, "FULLY_CONNECTED": 1}


def test_source_graph_is_left_as_it_is() -> None:
    low = lowered(model_of(NET))
    before = network_of(low)
    store_float16(low.graph)
    quantize_dynamic(low.graph, WeightStore(), RULES["litert"])
    store_int8(low.graph, WeightStore(), narrow_tables=True)
    dense_as_convolution(low.graph.copy())
    assert network_of(low) == before


DENSE = {
    "one row": case("y = Gemm(x, w, b)", x=(1, 12), w=(12, 5), b=(5,)),
    "many rows": case("y = MatMul(x, w)", x=(1, 3, 4, 12), w=(12, 5)),
    "with relu": case("a = Gemm(x, w, b) y = Relu(a)", x=(3, 12), w=(12, 5), b=(5,)),
    "shared weights": case("a = MatMul(x, w) y = MatMul(a, w)", x=(2, 6), w=(6, 6)),
}


@pytest.mark.parametrize("this", DENSE.values(), ids=DENSE)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_dense_layer_is_the_same_as_a_convolution(this: Case, runtime: str) -> None:
    model = model_of(this)
    low = lowered(model)
    dense_as_convolution(low.graph)
    assert "FULLY_CONNECTED" not in kinds(low) and "CONV_2D" in kinds(low)
    assert agreement_db(model, low, network_of(low), feeds_of(this), runtime) >= FLOAT32_DB
