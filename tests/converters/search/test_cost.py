"""What widths cost, counted by hand."""

from converters.onnx_cases import case
from converters.search.search_parts import dense_graph

from edgewise_converters.quantize import Width
from edgewise_converters.search.cost import TIME, products, time_of, weight_bytes
from edgewise_converters.tflite.graph import Graph

NET = case("a = Conv(x, w) r = Relu(a) d = Conv<group=16>(r, k) y = Mul(d, d)",
           x=(1, 3, 10, 10), w=(16, 3, 3, 3), k=(16, 1, 3, 3))  # fmt: skip
CONV, DEPTHWISE, MUL = 8 * 8 * 16 * 27, 6 * 6 * 16 * 9, 6 * 6 * 16


def all_at(graph: Graph, width: Width) -> dict[int, Width]:
    return {id(operator): width for operator in graph.operators}


def test_products_are_multiplications_or_else_elements() -> None:
    assert [products(operator) for operator in dense_graph(NET).operators] == [CONV, DEPTHWISE, MUL]


def test_time_adds_up_by_width() -> None:
    graph = dense_graph(NET)
    widths = all_at(graph, Width.INT8)
    assert time_of(graph, widths) == CONV + DEPTHWISE + MUL
    widths[id(graph.operators[0])] = Width.FLOAT
    assert time_of(graph, widths) == CONV * TIME[Width.FLOAT] + DEPTHWISE + MUL


def test_int16_is_dear_where_there_are_weights_only() -> None:
    graph = dense_graph(NET)
    conv, _, product = graph.operators
    plain = time_of(graph, all_at(graph, Width.INT8))
    wide_product = time_of(graph, {**all_at(graph, Width.INT8), id(product): Width.INT16})
    wide_conv = time_of(graph, {**all_at(graph, Width.INT8), id(conv): Width.INT16})
    assert (wide_product - plain) / MUL < TIME[Width.FLOAT]
    assert (wide_conv - plain) / CONV == TIME[Width.INT16] - 1


def test_bytes_count_a_float_weight_as_four_and_a_shared_one_once() -> None:
    graph = dense_graph(NET)
    widths = all_at(graph, Width.INT8)
    assert weight_bytes(graph, widths) == 16 * 27 + 16 * 9
    widths[id(graph.operators[1])] = Width.FLOAT
    assert weight_bytes(graph, widths) == 16 * 27 + 4 * 16 * 9
    shared = dense_graph(case("a = Conv(x, w) y = Conv(a, w)", x=(1, 4, 8, 8), w=(4, 4, 3, 3)))
    first, second = shared.operators
    second.inputs[1] = first.inputs[1]
    assert weight_bytes(shared, {id(first): Width.INT8, id(second): Width.FLOAT}) == 4 * 4 * 4 * 9
