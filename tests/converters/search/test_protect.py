"""Protection names the layer that is bad, and keeps to what it may cost."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case
from converters.search.search_parts import PLAIN, candidates, scaled, weighted

from edgewise_converters.quantize import Width
from edgewise_converters.quantize.ways import widths_of
from edgewise_converters.search import Candidates, Trial, protect
from edgewise_converters.search.cost import time_of, weight_bytes
from edgewise_converters.search.protect import Budget, culprits

LAYERS, CHANNELS = 5, 16


def chain(bad: int) -> Case:
    """Like layers in a row. In the ``bad`` one each output has one huge weight on a channel that is always zero.

    So the float network is as any other, while all other weights of that layer are less than a step.
    """
    weights = {f"w{i}": scaled(i, CHANNELS, CHANNELS, 3, 3) for i in range(LAYERS)}
    weights[f"w{bad}"][:, 0] = 0
    weights[f"w{bad}"][:, 0, 1, 1] = 300
    silent = np.zeros(CHANNELS, np.float32)
    silent[0] = -50
    body = "r0 = Relu(x) "
    for i in range(LAYERS - 1):
        bias = "silent" if i + 1 == bad else "zero"
        body += f"a{i} = Conv<pads=[1,1,1,1]>(r{i}, w{i}, {bias}) r{i + 1} = Relu(a{i}) "
    body += f"y = Conv(r{LAYERS - 1}, w{LAYERS - 1})"
    return case(body, x=(1, CHANNELS, 10, 10), **weights, silent=silent, zero=np.zeros(CHANNELS, np.float32))


def left_int8(ways: Candidates, trial: Trial) -> list[int]:
    """Which layers are not in int8."""
    widths = widths_of(ways.graph, trial.options)
    return [i for i, layer in enumerate(weighted(ways.graph)) if widths[id(layer)] is not Width.INT8]


def protected(ways: Candidates, base: Trial, budget: Budget | None = None) -> Trial:
    return protect(ways, base, lambda text, count: None, budget=budget)


@pytest.mark.parametrize("bad", [1, 3])
def test_bad_layer_is_named_first_and_protected(bad: int) -> None:
    ways = candidates(chain(bad))
    base = ways.ask(PLAIN, "uniform int8")
    named = culprits(ways, base, tick=lambda: None)
    assert named[0].operator is weighted(ways.graph)[bad]
    assert named[0].noise_less > 0.9 * base.noise
    best = protected(ways, base)
    assert bad in left_int8(ways, best)
    assert best.score_db > base.score_db + 20


def test_every_way_out_of_int8_was_measured() -> None:
    ways = candidates(chain(2))
    base = ways.ask(PLAIN, "uniform int8")
    culprits(ways, base, tick=lambda: None)
    tried = [trial.why for trial in ways.tried]
    for layer in weighted(ways.graph):
        assert any(f"'{layer.output.name}'" in why for why in tried)


@pytest.mark.parametrize(
    "budget",
    [
        Budget(time=1.0),
        Budget(time=1.5, size=1.0, spare_bytes=0),
        Budget(time=1.4),
        Budget(time=9, size=9),
    ],
    ids=["no time", "no bytes", "time for one layer", "as much as it likes"],
)
def test_budget_of_time_and_bytes_is_kept(budget: Budget) -> None:
    ways = candidates(chain(1))
    base = ways.ask(PLAIN, "uniform int8")
    best = protected(ways, base, budget)
    before, after = (widths_of(ways.graph, trial.options) for trial in (base, best))
    stored = weight_bytes(ways.graph, before)
    assert time_of(ways.graph, after) <= budget.time * time_of(ways.graph, before)
    assert weight_bytes(ways.graph, after) <= max(stored * budget.size, stored + budget.spare_bytes)
    affordable = budget.time > 1 and budget.spare_bytes > 0
    assert (1 in left_int8(ways, best)) == affordable


def test_it_stops_where_it_is_enough() -> None:
    ways = candidates(chain(1))
    base = ways.ask(PLAIN, "uniform int8")
    asked = len(ways.tried)
    best = protect(ways, base, lambda text, count: None, enough=lambda trial: True)
    whole = [trial for trial in ways.tried[asked:] if trial.agreement.cases == len(ways.cases)]
    assert [trial for trial in whole if "protected" in trial.why] == [best]


def wide_apart() -> Case:
    """A layer whose first output is thousands of times as large as the others; the next one takes as little of it.

    In int8 activations the others are less than a step, in int16 they are not; the weights round well.
    """
    first, second = scaled(1, CHANNELS, CHANNELS, 3, 3), scaled(2, CHANNELS, CHANNELS, 3, 3)
    first[0] *= 2000
    second[:, 0] = 0
    body = "a = Conv<pads=[1,1,1,1]>(x, first) b = Relu(a) y = Conv(b, second)"
    return case(body, x=(1, CHANNELS, 10, 10), first=first, second=second)


def test_what_int8_activations_lose_int16_keeps() -> None:
    ways = candidates(wide_apart())
    base = ways.ask(PLAIN, "uniform int8")
    best = protect(ways, base, lambda text, count: None, budget=Budget(time=1000.0), widths=(Width.INT16,))
    widths = widths_of(ways.graph, best.options)
    assert Width.INT16 in widths.values() and Width.FLOAT not in best.options.widths_of.values()
    assert best.score_db > base.score_db + 20
    assert "in int16x8" in best.why


def test_int16_is_taken_only_where_it_is_asked_for() -> None:
    ways = candidates(wide_apart())
    base = ways.ask(PLAIN, "uniform int8")
    assert Width.INT16 not in protected(ways, base).options.widths_of.values()
