"""A large graph run in pieces gives the values and, behind the search, the bytes of a good file."""

from pathlib import Path

import numpy as np
import pytest
from converters.onnx_cases import case
from converters.search.search_parts import candidates, dense_graph
from converters.small_nets import write_net

from edgewise_converters.pipeline import convert
from edgewise_converters.quantize import calibrate
from edgewise_converters.quantize.ranges import quantization_of
from edgewise_converters.request import Request
from edgewise_converters.search.reader_errors import reader_errors
from edgewise_converters.tflite import pieces as pieces_module
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.pieces import cut, map_weights, run_in_pieces

NET = case(
    "a = Conv<pads=[1,1,1,1]>(x, w1) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, w2) d = Add(c, b) "
    "e = Conv(d, w3) f = Add(e, x2) g = GlobalAveragePool(f) h = Flatten(g) y1 = Gemm(h, v) y2 = Relu(d)",
    x=(1, 3, 12, 12), x2=(1, 6, 12, 12), w1=(8, 3, 3, 3), w2=(8, 8, 3, 3), w3=(6, 8, 1, 1), v=(6, 5),
)  # fmt: skip


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every graph counts as large, and a piece is one layer."""
    monkeypatch.setattr(pieces_module, "LARGE_BYTES", 0)
    monkeypatch.setattr(pieces_module, "_MAPPED_BYTES", 0)
    monkeypatch.setattr(cut, "__kwdefaults__", {"most": 1})


def values_of(graph_case: object, samples: list[list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    graph = dense_graph(NET)
    wanted = [tensor for operator in graph.operators for tensor in operator.outputs]
    found: dict[str, list[np.ndarray]] = {tensor.name: [] for tensor in wanted}
    pieces = cut(graph)
    assert (len(pieces) == 1) == (graph_case is None)

    def keep(piece: pieces_module.Piece, values: object) -> None:
        for operator in piece.operators:
            for tensor in operator.outputs:
                found[tensor.name].append(np.array(values[id(tensor)]))  # type: ignore[index]

    run_in_pieces(pieces, samples, wanted, keep, inputs=graph.inputs)
    return found


def test_pieces_give_the_values_of_the_whole(request: pytest.FixtureRequest) -> None:
    samples = candidates(NET).read_inputs(3)
    whole = values_of(None, samples)
    request.getfixturevalue("large")
    parts = values_of("large", samples)
    assert list(parts) == list(whole)
    for name, arrays in whole.items():
        np.testing.assert_allclose(parts[name], arrays, atol=1e-5)


def test_calibration_in_pieces_is_that_of_the_whole(request: pytest.FixtureRequest) -> None:
    graph, samples = dense_graph(NET), candidates(NET).read_inputs(4)
    ticks: list[int] = []

    def seen() -> object:
        return calibrate(graph, iter(samples), count=4, tick=lambda: ticks.append(1), threads=1)

    whole = seen()
    request.getfixturevalue("large")
    parts = seen()
    assert len(ticks) == 8 and whole.samples == parts.samples == 4
    for key, one in whole.by_tensor.items():
        other = parts.by_tensor[key]
        assert (one.minimum, one.maximum) == pytest.approx((other.minimum, other.maximum), abs=1e-5)
        assert one.values.shape == other.values.shape
    assert set(whole.moments) == set(parts.moments) and whole.moments
    for key, moments in whole.moments.items():
        np.testing.assert_allclose(parts.moments[key].variance, moments.variance, rtol=0.5)


def test_errors_behind_readers_in_pieces_are_those_of_the_whole(request: pytest.FixtureRequest) -> None:
    ways = candidates(NET)
    grids = {
        key: [ways.shared.range_of(key, name) for name in ("minmax", "entropy")]
        for key in ways.shared.calibration.by_tensor
    }
    asked = {key: [quantization_of(*ends) for ends in both] for key, both in grids.items()}
    samples = ways.read_inputs(3)
    whole = reader_errors(ways.graph, asked, samples, threads=1, tick=lambda: None)
    request.getfixturevalue("large")
    parts = reader_errors(ways.graph, asked, samples, threads=1, tick=lambda: None)
    cut_off = {
        id(o.output) for o in ways.graph.operators if o.kind in ("MEAN", "RESHAPE")
    }  # readers behind them
    for key, noises in whole.items():
        if key in cut_off:
            assert all(noise > 0 for noise in parts[key])
        else:
            assert parts[key] == pytest.approx(noises, rel=0.02, abs=1e-9)


def test_mapped_weights_are_the_same_and_shared_ones_stay_shared(large: None) -> None:
    graph = dense_graph(NET)
    before = {tensor.name: np.array(tensor.data) for tensor in graph.tensors() if tensor.data is not None}
    first = graph.operators[0].inputs[1]
    assert first is not None
    twin = Tensor("twin", first.shape, first.dtype, first.data)
    graph.operators[0].inputs.append(twin)
    map_weights(graph)
    for tensor in graph.tensors():
        if tensor.name in before:
            assert np.array_equal(tensor.data, before[tensor.name])
    assert twin.data is first.data


def test_nothing_is_cut_behind_results_of_open_length(large: None) -> None:
    graph = dense_graph(NET)
    whole = len(cut(graph))
    graph.operators[1].output.open_axis = 1
    pieces = cut(graph)
    assert whole > 3 and [len(piece.operators) for piece in pieces] == [1, len(graph.operators) - 1]


@pytest.mark.parametrize("precision", ["int8", "dynamic"])
def test_a_large_network_converts_in_pieces_as_well_as_in_one(
    precision: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    net = write_net("depthwise", tmp_path)

    def quality() -> float:
        asked = Request(
            source=net.file,
            target="rpi4",
            precision=precision,
            samples=net.samples,
            out=tmp_path / "out.tflite",
        )
        return convert(asked).agreement["litert"].worst_db

    whole = quality()
    request.getfixturevalue("large")
    assert quality() == pytest.approx(whole, abs=2.0)
