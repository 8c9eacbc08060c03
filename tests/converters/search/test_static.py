"""The whole search: by its own measure never worse than uniform int8, and the same again."""

from pathlib import Path

import pytest
from converters.search.search_parts import PLAIN, candidates
from converters.search.test_protect import chain
from converters.search.test_rescue import RESIDUAL, SQUEEZE_AND_EXCITE
from converters.small_nets import write_net

from edgewise_converters.pipeline import convert
from edgewise_converters.quantize import StaticOptions, Width
from edgewise_converters.request import Request
from edgewise_converters.search import Candidates, StaticRequest, Trial, search_static
from edgewise_converters.search.candidates import WORTH_DB

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


def test_int16x8_takes_the_widest_ranges_and_no_rescue() -> None:
    ways = candidates(RESIDUAL)
    best = search(ways, StaticRequest(width=Width.INT16), StaticOptions(width=Width.INT16, rules=PLAIN.rules))
    assert best.options.ranges == "minmax" and not best.options.widths_of
    assert len(ways.tried) == 3


@pytest.mark.parametrize("precision", ["int8", "mixed"])
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
