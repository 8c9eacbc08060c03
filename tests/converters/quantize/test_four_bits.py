"""4-bit weights: which layers take them, how near the answers stay, and what is done where they do not."""

import dataclasses

import numpy as np
import pytest
from converters.onnx_cases import Case, agreement_db, case, lowered, model_of, network_of
from converters.quantize.int8_parts import smooth_feeds

from edgewise_converters.four_bit_search import Answers, FourBitSearch
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.quantize import Calibration, WeightStore, calibrate
from edgewise_converters.quantize.four_bits import (
    PER_BLOCK,
    PER_CHANNEL,
    possible_grids,
    quantize_four_bits,
)
from edgewise_converters.quantize.narrow_weights import Grid
from edgewise_converters.stored_precisions import answers_of
from edgewise_converters.targets import load_target
from edgewise_converters.tflite.graph import Graph
from edgewise_converters.tflite.runtimes import RULES
from edgewise_converters.verify import Case as Asked
from edgewise_converters.verify import Layouts

LITERT = RULES["litert"]
DENSE = case(
    "a = Gemm(x, w, b) r = Relu(a) y = Gemm(r, v, c)", x=(1, 64), w=(64, 96), b=(96,), v=(96, 64), c=(64,)
)
POINTWISE = case(
    "a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) y = Conv(r, v, c)",
    x=(1, 8, 10, 10), w=(32, 8, 3, 3), v=(64, 32, 1, 1), c=(64,),
)  # fmt: skip
TOKENS = case(
    "e = Gather<axis=0>(t, x) y = MatMul(e, w)", x=np.array([[3, 0, 39, 7]]), t=(40, 32), w=(32, 48)
)  # fmt: skip
FOUR_BITS_DB = 12.0
"""Rounding to nearest on 4 bits leaves 16 dB of a deep net (facts), less where weights have no structure."""


def net_of(low: LoweredGraph, graph: Graph) -> LoweredGraph:
    return dataclasses.replace(low, graph=graph)


def calibrated(low: LoweredGraph, this: Case) -> Calibration:
    feeds = [
        [np.asarray(f[t.name].transpose(low.input_layouts[t.name]), order="C") for t in low.graph.inputs]
        for f in smooth_feeds(this, 24)
    ]
    return calibrate(low.graph, feeds, count=len(feeds), tick=lambda: None, threads=1)


def decibel(this: Case, grid: Grid, *, joint: bool = False) -> float:
    low = lowered(model_of(this))
    store = WeightStore(calibrated(low, this) if joint else None)
    grids = {id(o): grid for o in low.graph.operators if grid in possible_grids(o)}
    assert grids
    four = net_of(low, quantize_four_bits(low.graph, store, LITERT, grids))
    return agreement_db(model_of(this), four, network_of(four), smooth_feeds(this, 6), "litert")


@pytest.mark.parametrize("grid", [PER_CHANNEL, PER_BLOCK], ids=["per channel", "per block"])
@pytest.mark.parametrize("this", [DENSE, POINTWISE], ids=["dense", "pointwise"])
def test_four_bit_layers_answer_in_litert(this: Case, grid: Grid) -> None:
    assert decibel(this, grid) >= FOUR_BITS_DB


def test_a_scale_for_every_block_keeps_more() -> None:
    assert decibel(DENSE, PER_BLOCK) > decibel(DENSE, PER_CHANNEL)


@pytest.mark.parametrize("grid", [PER_CHANNEL, PER_BLOCK], ids=["per channel", "per block"])
def test_joint_rounding_keeps_more_than_rounding_each_weight_alone(grid: Grid) -> None:
    assert decibel(POINTWISE, grid, joint=True) > decibel(POINTWISE, grid)


def test_rows_of_a_table_are_looked_up_in_four_bits() -> None:
    low = lowered(model_of(TOKENS))
    grids = {id(o): PER_CHANNEL for o in low.graph.operators if possible_grids(o)}
    four = net_of(low, quantize_four_bits(low.graph, WeightStore(), LITERT, grids))
    lookups = [o for o in four.graph.operators if o.kind == "EMBEDDING_LOOKUP"]
    assert [o.inputs[1].dtype.name for o in lookups if o.inputs[1]] == ["int4"]
    feeds = [{"x": np.array([[seed, 1, 39, 2 * seed]])} for seed in range(4)]
    assert agreement_db(model_of(TOKENS), four, network_of(four), feeds, "litert") >= FOUR_BITS_DB


def test_pointwise_convolutions_become_dense_layers_and_others_keep_8_bits() -> None:
    low = lowered(model_of(POINTWISE))
    grids = {id(o): PER_CHANNEL for o in low.graph.operators if possible_grids(o)}
    four = quantize_four_bits(low.graph, WeightStore(), LITERT, grids)
    weights = {o.kind: o.inputs[1].dtype.name for o in four.operators if o.inputs[1] is not None}
    assert weights["CONV_2D"] == "int8" and weights["FULLY_CONNECTED"] == "int4"


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ("y = Conv<strides=[2,2]>(x, w)", {"x": (1, 32, 8, 8), "w": (64, 32, 1, 1)}),
        ("y = Conv<group=2>(x, w)", {"x": (1, 64, 8, 8), "w": (64, 32, 1, 1)}),
        ("y = Conv(x, w)", {"x": (1, 16, 8, 8), "w": (16, 16, 3, 3)}),
        ("y = MatMul(x, w)", {"x": (1, 8), "w": (8, 16)}),
    ],
    ids=["strided", "grouped", "3x3", "few weights"],
)
def test_what_gains_nothing_has_no_four_bit_grid(body: str, values: dict[str, object]) -> None:
    low = lowered(model_of(case(body, **values)))
    assert not any(possible_grids(o) for o in low.graph.operators)


def searched(wanted_db: float) -> tuple[object, LoweredGraph]:
    low = lowered(model_of(DENSE))
    layouts = Layouts(low.input_layouts, low.output_layouts)
    feeds = smooth_feeds(DENSE, 6)
    target = load_target("rpi4")
    names = [tensor.name for tensor in low.graph.outputs]

    def ask(graph: Graph) -> Answers:
        return answers_of(graph, target, layouts, [Asked(f, {}) for f in feeds], lambda: None, names=names)

    search = FourBitSearch(low.graph, WeightStore(), LITERT, ask=ask, expected=ask(low.graph))
    return search.run(wanted_db), low


@pytest.mark.parametrize("wanted_db", [5.0, 18.0, 22.0])
def test_search_reaches_what_is_wanted_with_as_many_narrow_layers_as_it_can(wanted_db: float) -> None:
    found, low = searched(wanted_db)
    four = net_of(low, found.graph)  # type: ignore[attr-defined]
    assert (
        agreement_db(model_of(DENSE), four, network_of(four), smooth_feeds(DENSE, 6), "litert") >= wanted_db
    )


def test_search_widens_layers_as_more_is_wanted_and_says_which() -> None:
    easy, hard = searched(5.0)[0], searched(200.0)[0]
    assert "4-bit weights in 2 of 2 layers" in str(easy)
    assert "8 bits kept in" in str(hard) and "in 0 of 2 layers" in str(hard)


def test_convolutions_take_four_bits_only_where_size_is_all_that_counts() -> None:
    this = case("y = Conv<pads=[1,1,1,1]>(x, w)", x=(1, 16, 8, 8), w=(16, 16, 3, 3))
    low = lowered(model_of(this))
    (operator,) = low.graph.operators
    assert possible_grids(operator, convolutions=True) == (PER_CHANNEL,)
    four = net_of(low, quantize_four_bits(low.graph, WeightStore(), LITERT, {id(operator): PER_CHANNEL}))
    assert [o.kind for o in four.graph.operators] == ["CONV_2D"]
    assert (
        agreement_db(model_of(this), four, network_of(four), smooth_feeds(this, 4), "litert") >= FOUR_BITS_DB
    )
