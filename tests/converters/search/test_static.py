"""The whole search: by its own measure never worse than uniform int8, and the same again."""

from dataclasses import replace
from pathlib import Path

import pytest
from converters.onnx_cases import Case, case
from converters.search.search_parts import PLAIN, candidates, scaled
from converters.search.test_protect import chain
from converters.search.test_rescue import RESIDUAL, SQUEEZE_AND_EXCITE
from converters.small_nets import write_net

from edgewise_converters.pipeline import convert
from edgewise_converters.quantize import StaticOptions, Width
from edgewise_converters.request import Request
from edgewise_converters.search import Candidates, StaticRequest, Trial, search_static
from edgewise_converters.search.candidates import WORTH_DB
from edgewise_converters.search.single_ranges import Products, choose_ranges, disputed_ranges, proposed_ranges

NETS = {"residual": RESIDUAL, "squeeze and excite": SQUEEZE_AND_EXCITE, "one bad layer": chain(2)}


def search(ways: Candidates, wanted: StaticRequest, first: StaticOptions = PLAIN) -> Trial:
    return search_static(ways, wanted, first, lambda text, count: None)


def of_all_cases(ways: Candidates) -> list[Trial]:
    return [trial for trial in ways.tried if trial.agreement.cases == len(ways.cases)]


@pytest.mark.parametrize("name", NETS)
def test_never_worse_than_uniform_int8(name: str) -> None:
    ways = candidates(NETS[name])
    uniform = ways.ask(PLAIN, "uniform int8")
    best = search(ways, StaticRequest())
    assert best.score_db >= uniform.score_db
    assert best.score_db >= max(t.score_db for t in of_all_cases(ways) if not t.options.widths_of) - WORTH_DB
    again = ways.ask(best.options, "again")
    assert again.score_db == best.score_db


def test_biases_are_measured_last_and_kept_only_where_that_helps() -> None:
    ways = candidates(RESIDUAL)
    best = search(ways, StaticRequest())
    last = ways.tried[-1]
    assert last.options.shifts_of and not any(trial.options.shifts_of for trial in ways.tried[:-1])
    assert bool(best.options.shifts_of) == (best is last)
    assert best.score_db >= last.score_db - WORTH_DB


def test_without_rescue_every_layer_keeps_its_width() -> None:
    ways = candidates(NETS["one bad layer"])
    best = search(ways, StaticRequest(rescue=False))
    assert all(not trial.options.widths_of for trial in ways.tried)
    assert search(ways, StaticRequest()).score_db > best.score_db + 10


def test_ranges_that_are_asked_for_are_kept() -> None:
    ways = candidates(RESIDUAL)
    best = search(ways, StaticRequest(ranges="percentile"))
    assert best.options.ranges == "percentile" and not best.options.ranges_of
    assert {trial.options.ranges for trial in ways.tried} == {"percentile"}


def rare_and_large() -> Case:
    """Cubes have rare large values, over which the ways to choose a range disagree."""
    cubed, data = "", "x"
    for i in range(3):
        cubed += f"a{i} = Conv({data}, w{i}) b{i} = Mul(a{i}, a{i}) c{i} = Mul(b{i}, a{i}) "
        data = f"c{i}"
    weights = {f"w{i}": scaled(i, 8, 8, 1, 1) for i in range(4)}
    return case(cubed + f"y = Conv({data}, w3)", x=(1, 8, 10, 10), **weights)


def test_every_tensor_that_the_choosers_dispute_is_tried_with_another_range() -> None:
    ways = candidates(rare_and_large())
    best = search(ways, StaticRequest(rescue=False))
    disputed = disputed_ranges(ways.graph, ways.shared, replace(best.options, ranges_of={}))
    tried = {tensor for trial in ways.tried for tensor in trial.options.ranges_of}
    assert len(disputed) > 2
    assert {id(dispute.tensor) for dispute in disputed} <= tried
    alone = [trial.why for trial in ways.tried if " range of " in trial.why]
    assert len(alone) >= len(disputed) and not any("more" in why for why in alone)


def test_where_trials_are_dear_the_rest_of_the_tensors_is_tried_in_groups() -> None:
    ways = candidates(rare_and_large())
    first = ways.ask(replace(PLAIN, ranges="percentile"), "percentile ranges")
    small = Products(alone=1, fewest=1)
    proposals = proposed_ranges(ways, first.options, lambda text, count: None, small)
    promising = [proposal for proposal in proposals if proposal.gain > 0]
    assert len(promising) > 2
    best = choose_ranges(ways, first, lambda text, count: None, limits=small)
    tried = {tensor for trial in ways.tried for tensor in trial.options.ranges_of}
    assert {id(proposal.tensor) for proposal in promising} == tried
    assert any(f"and other ranges of {len(promising) - 2} more" in trial.why for trial in ways.tried)
    assert best.score_db >= max(trial.score_db for trial in ways.tried) - 0.3


def test_a_poor_network_is_searched_from_a_second_start() -> None:
    """Cubes one after the other: each spoils the answers, so that sparing one of them shows little."""
    ways = candidates(rare_and_large())
    best = search(ways, StaticRequest())
    seconds = [trial for trial in ways.tried if trial.why == "only layers with weights in int8"]
    assert len(seconds) == 1 and not any(
        width is Width.INT8 for width in seconds[0].options.widths_of.values()
    )
    assert best.score_db >= seconds[0].score_db - 0.3


def test_int16x8_takes_the_widest_ranges_and_no_rescue() -> None:
    ways = candidates(RESIDUAL)
    best = search(ways, StaticRequest(width=Width.INT16), StaticOptions(width=Width.INT16, rules=PLAIN.rules))
    assert best.options.ranges == "minmax" and not best.options.widths_of
    assert len(ways.tried) == 3


@pytest.mark.parametrize("precision", ["int8", "mixed", "mixed16"])
def test_converting_twice_gives_the_same_bytes(precision: str, tmp_path: Path) -> None:
    net = write_net("depthwise", tmp_path)
    written = []
    for turn in range(2):
        out = tmp_path / f"{turn}.tflite"
        request = Request(
            source=net.file,
            target="rpi4",
            precision=precision,
            samples=net.samples,
            out=out,
            command="convert",
        )
        written.append(convert(request).path.read_bytes())
    assert written[0] == written[1]
