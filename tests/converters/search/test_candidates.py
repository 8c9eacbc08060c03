"""Ways to quantize: what they are judged by, and where their noise is."""

from dataclasses import replace

import numpy as np
from converters.onnx_cases import case
from converters.quantize.int8_parts import smooth_feeds
from converters.search.search_parts import PLAIN, candidates, dense_graph, scaled

from edgewise_converters.agreement import IDENTICAL_DB
from edgewise_converters.quantize import Width
from edgewise_converters.search.candidates import WORTH_DB
from edgewise_converters.search.judging import judged_tensors

SCORES = "a = Conv(x, w) g = GlobalAveragePool(a) f = Flatten(g) s = Gemm<transB=1>(f, v) "
CONSTANTS = {"x": (1, 3, 10, 10), "w": scaled(1, 16, 3, 3, 3), "v": 40 * scaled(2, 12, 16)}
NET = case("a = Conv(x, w) r = Relu(a) y = Conv(r, u)",
           x=(1, 3, 10, 10), w=scaled(1, 16, 3, 3, 3), u=scaled(3, 8, 16, 3, 3))  # fmt: skip


def judged(body: str, **constants: object) -> list[str]:
    return [tensor.name for tensor in judged_tensors(dense_graph(case(body, **(constants or CONSTANTS))))]


def test_scores_are_judged_instead_of_their_softmax() -> None:
    assert judged(SCORES + "y = Softmax<axis=-1>(s)") == ["s"]
    moved = case(SCORES + "p = Softmax<axis=-1>(s) y = Reshape(p, h)", **CONSTANTS, h=np.array([1, 3, 4]))
    assert [tensor.name for tensor in judged_tensors(dense_graph(moved))] == ["s"]


def test_of_a_sigmoid_both_sides_are_judged() -> None:
    assert judged(SCORES + "y = Sigmoid(s)") == ["y", "s"]


def test_outputs_are_judged_where_there_are_no_scores_before_them() -> None:
    assert judged(SCORES + "y = Relu(s)") == ["y"]
    assert judged("y = Softmax<axis=-1>(x)", x=(1, 12)) == ["y"]
    assert judged("y = ArgMax<axis=1>(x)", x=(1, 12)) == ["y"]


def test_a_way_scores_what_its_answers_before_the_softmax_score() -> None:
    trials = [candidates(case(body, **CONSTANTS)).ask(PLAIN, "minmax") for body in (
        SCORES + "y = Softmax<axis=-1>(s)", SCORES + "y = Relu(s)", SCORES + "y = Identity(s)"
    )]  # fmt: skip
    softmax, _, plain = (trial.score_db for trial in trials)
    assert abs(softmax - plain) < 0.5
    assert len(trials[0].agreement.outputs) == 1


def test_worst_cases_are_those_with_values_beyond_the_ranges() -> None:
    feeds = smooth_feeds(NET)
    for place in (7, 2):
        feeds[place] = {name: array * np.float32(place) for name, array in feeds[place].items()}
    assert candidates(NET, feeds).worst_cases(PLAIN, 2) == [2, 7]


def test_asking_some_cases_asks_no_others() -> None:
    ways = candidates(NET)
    assert ways.ask(PLAIN, "all").agreement.cases == len(ways.cases)
    some = ways.ask(PLAIN, "some", cases=[3, 5])
    assert some.agreement.cases == 2
    assert [trial.why for trial in ways.tried] == ["all", "some"]


def test_another_way_must_gain_enough() -> None:
    ways = candidates(NET)
    coarse = replace(PLAIN, rounding="nearest", per_tensor=True)
    first = ways.ask(coarse, "coarse")
    gain = ways.ask(PLAIN, "plain").score_db - first.score_db
    assert gain > WORTH_DB
    assert ways.better(first, [("plain", PLAIN)]).options is PLAIN
    assert ways.better(first, [("plain", PLAIN)], worth_db=gain + 1) is first
    assert ways.better(ways.ask(PLAIN, "plain"), [("coarse", coarse)]).options is PLAIN


def test_worst_cases_are_found_by_answers_that_are_no_numbers() -> None:
    this = case("a = Conv(x, w) m = ReduceMax<axes=[1,2,3],keepdims=0>(a) y = Greater(m, c)",
                x=(1, 3, 10, 10), w=scaled(1, 8, 3, 3, 3), c=np.float32(2))  # fmt: skip
    assert len(candidates(this).worst_cases(PLAIN, 3)) == 3


def test_boxes_are_judged_by_what_they_are_chosen_by() -> None:
    body = "a = Conv(x, w) s = Reshape(a, h) b = Mul(x2, two) y = NonMaxSuppression(b, s, k)"
    names = judged(body, x=(1, 3, 4, 4), x2=(1, 16, 4), w=scaled(1, 1, 3, 1, 1), h=np.array([1, 1, 16]),
                   two=np.float32(2), k=np.array([5]))  # fmt: skip
    assert len(names) == 2 and "y" not in names


def test_a_way_that_the_runtime_refuses_agrees_with_nothing() -> None:
    this = case("a = Conv(x, w) r = Relu(a) y = Conv(r, v)",
                x=(1, 3, 10, 10), w=scaled(1, 64, 3, 3, 3), v=scaled(2, 32, 64, 1, 1))  # fmt: skip
    ways = replace(candidates(this), runtime="tflite-runtime", tried=[])  # the rules are LiteRT's
    pointwise = next(o for o in ways.graph.operators if o.output.name == "y")
    refused = ways.ask(replace(PLAIN, widths_of={id(pointwise): Width.HYBRID}), "a scale for each output")
    assert refused.score_db == -IDENTICAL_DB
    plain = ways.ask(PLAIN, "int8")
    assert ways.better(plain, [("again", refused.options)]) is plain and plain.score_db > 20
