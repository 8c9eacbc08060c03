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
from edgewise_converters.quantize import (
    Grid,
    WeightStore,
    calibrate,
    quantize_dynamic,
    store_float16,
    store_int8,
)
from edgewise_converters.quantize.dense_as_convolution import dense_as_convolution
from edgewise_converters.quantize.float16 import may_compute_in_float16, with_float_constants
from edgewise_converters.quantize.weight_slots import weight_slot
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


def test_float16_leaves_what_would_lose_its_small_numbers() -> None:
    tiny = np.random.default_rng(1).standard_normal((64, 4)).astype(np.float32) * np.float32(1e-7)
    low = lowered(model_of(case("y = MatMul(x, w)", x=(1, 64), w=tiny)))
    assert "DEQUANTIZE" not in kinds(of(store_float16(low.graph), low))


def test_float16_holds_a_few_small_numbers_among_large_ones() -> None:
    mixed = np.random.default_rng(1).standard_normal((64, 4)).astype(np.float32)
    mixed[:5] *= np.float32(1e-7)
    low = lowered(model_of(case("y = MatMul(x, w)", x=(1, 64), w=mixed)))
    assert "DEQUANTIZE" in kinds(of(store_float16(low.graph), low))


def test_a_float16_graph_with_its_constants_restored_is_the_same() -> None:
    low = lowered(model_of(NET))
    half = store_float16(low.graph)
    restored = of(with_float_constants(half), low)
    assert "DEQUANTIZE" not in kinds(restored) and "DEQUANTIZE" in kinds(of(half, low))
    assert agreement_db(model_of(NET), restored, network_of(restored), feeds_of(NET), "litert") >= FLOAT16_DB


@pytest.mark.parametrize(("scale", "fits"), [(1.0, True), (1e5, False)])
def test_float16_arithmetic_is_offered_only_where_values_leave_room(scale: float, fits: bool) -> None:
    low = lowered(model_of(case("a = MatMul(x, w) y = Relu(a)", x=(1, 16), w=(16, 4))))
    data = np.full((1, 16), scale, np.float32)
    seen = calibrate(low.graph, [[data]], count=1, tick=lambda: None, threads=1)
    assert may_compute_in_float16(seen) is fits


STORED = {
    "net": NET,
    "grouped": GROUPED,
    "transposed": case("y = ConvTranspose<strides=[2,2]>(x, w)", x=(1, 16, 6, 6), w=(16, 12, 3, 3)),
    "matrices": case("y = MatMul(x, w)", x=(4, 5, 16), w=(4, 16, 24)),
    "matrices on the left": case("y = MatMul(w, x)", x=(4, 16, 5), w=(4, 24, 16)),
    "volumes": case("y = Conv(x, w)", x=(1, 4, 6, 6, 6), w=(12, 4, 3, 3, 3)),
    "table": case("y = Gather<axis=0>(t, x)", x=np.array([[3, 0], [39, 7]]), t=(40, 32)),
    "table of columns": case("y = Gather<axis=1>(t, x)", x=np.array([3, 0, 30]), t=(40, 32)),
}  # fmt: skip
WEIGHTS8_DB = 35.0
"""Weights of 8 bits with a scale per channel; activations stay float32."""


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("this", STORED.values(), ids=STORED)
def test_weight_only_int8_answers_in_both_runtimes_at_a_quarter_of_the_size(this: Case, runtime: str) -> None:
    low = lowered(model_of(this))
    narrow = store_int8(low.graph, WeightStore(), narrow_tables=RULES[runtime].narrow_tables)
    stored = of(narrow, low)
    weights = [t for t in narrow.tensors() if t.dtype == np.int8]
    assert weights and not any(
        t.data is not None and t.is_float and t.data.size >= 1024 for t in narrow.tensors()
    )
    assert agreement_db(model_of(this), stored, network_of(stored), feeds_of(this), runtime) >= WEIGHTS8_DB


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("this", STORED.values(), ids=STORED)
def test_dynamic_int8_answers_for_every_kind_of_weights(this: Case, runtime: str) -> None:
    low = lowered(model_of(this))
    dynamic = of(quantize_dynamic(low.graph, WeightStore(), RULES[runtime]), low)
    assert agreement_db(model_of(this), dynamic, network_of(dynamic), feeds_of(this), runtime) >= DYNAMIC_DB


def test_tables_are_looked_up_narrow_where_the_runtime_can() -> None:
    low = lowered(model_of(STORED["table"]))
    found = {
        narrow: [o.kind for o in store_int8(low.graph, WeightStore(), narrow_tables=narrow).operators]
        for narrow in (True, False)
    }
    assert "EMBEDDING_LOOKUP" in found[True] and "DEQUANTIZE" not in found[True]
    assert "EMBEDDING_LOOKUP" not in found[False] and "DEQUANTIZE" in found[False]


def test_weights_that_are_no_numbers_stay_as_they_are() -> None:
    weights = np.ones((40, 40), np.float32)
    weights[3, 3] = np.inf
    low = lowered(model_of(case("y = MatMul(x, w)", x=(2, 40), w=weights)))
    assert kinds(of(store_int8(low.graph, WeightStore(), narrow_tables=True), low)) == kinds(low)


def test_equal_weights_are_stored_once() -> None:
    low = lowered(model_of(case("a = MatMul(x, w) y = MatMul(a, w)", x=(2, 40), w=(40, 40))))
    stored = store_int8(low.graph, WeightStore(), narrow_tables=True)
    assert sum(t.dtype == np.int8 for t in stored.tensors()) == 1


def test_the_mean_of_what_rounding_adds_goes_into_the_bias() -> None:
    this = case("y = Gemm(x, w, b)", x=(8, 64), w=(64, 32), b=(32,))
    low = lowered(model_of(this))
    rng = np.random.default_rng(3)
    feeds = [{"x": (rng.standard_normal((8, 64)) + 3).astype(np.float32)} for _ in range(32)]
    calibration = calibrate(low.graph, [[f["x"]] for f in feeds], count=32, tick=lambda: None, threads=1)
    (operator,) = low.graph.operators
    slot = weight_slot(operator)
    assert slot is not None and slot.tensor.data is not None
    narrow = WeightStore(calibration).of(operator, slot, Grid(bits=4))
    assert (
        narrow.tensor.data is not None and narrow.tensor.quantization is not None and narrow.shift is not None
    )
    real = narrow.tensor.quantization.dequantize(narrow.tensor.data.astype(np.int8))
    every = np.concatenate([f["x"] for f in feeds]).astype(np.float64)
    added = (every @ (real - slot.tensor.data).T).mean(axis=0)
    assert np.abs(added - narrow.shift).max() < 0.02 * np.abs(added).max()
