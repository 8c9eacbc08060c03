"""The error behind a tensor's readers, against the same computed in NumPy; and what it makes the search propose."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case
from converters.search.search_parts import PLAIN, candidates, scaled

from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.ranges import quantization_of
from edgewise_converters.search.reader_errors import reader_errors
from edgewise_converters.search.single_ranges import Products, disputed_ranges, proposed_ranges
from edgewise_converters.tflite.graph import Graph, Tensor

GRIDS = [Quantization((0.05,), (3,)), Quantization((0.01,), (-20,))]


def two_readers() -> Case:
    """A tensor that a pointwise convolution and, behind a transposition, a rectifier read."""
    weights = {"w": scaled(0, 6, 4, 1, 1), "v": scaled(1, 5, 6, 1, 1)}
    return case(
        "a = Conv(x, w) y1 = Conv(a, v) t = Transpose<perm=[0,1,3,2]>(a) y2 = Relu(t)",
        **weights,
        x=(1, 4, 5, 7),
    )


def named(graph: Graph, kind: str, place: int = 0) -> Tensor:
    return [operator.output for operator in graph.operators if operator.kind == kind][place]


def noise(clean: Array, rough: Array) -> float:
    return float(np.sum((clean - rough) ** 2) / np.sum(clean**2))


def test_noise_of_several_readers_is_what_numpy_finds() -> None:
    net = two_readers()
    ways = candidates(net)
    samples = ways.read_inputs(4)
    tensor = named(ways.graph, "CONV_2D")
    ticks: list[None] = []
    found = reader_errors(
        ways.graph, {id(tensor): GRIDS}, samples, threads=1, tick=lambda: ticks.append(None)
    )[id(tensor)]
    w, v = (np.asarray(net.values[name], np.float64)[:, :, 0, 0] for name in "wv")
    a = np.stack([sample[0] for sample in samples]) @ w.T
    assert len(found) == len(GRIDS) and len(ticks) == 2 * 4
    for grid, got in zip(GRIDS, found, strict=True):
        rough = grid.dequantize(grid.quantize(a)).astype(np.float64)
        dense = noise(a @ v.T, rough @ v.T)
        assert got == pytest.approx(dense + noise(np.maximum(a, 0), np.maximum(rough, 0)), rel=0.02)


def test_a_tensor_that_leaves_the_network_is_judged_itself() -> None:
    ways = candidates(case("y = Conv(x, w)", w=scaled(0, 6, 4, 1, 1), x=(1, 4, 5, 7)))
    tensor = named(ways.graph, "CONV_2D")
    grids = [Quantization((scale,), (0,)) for scale in (0.2, 0.05)]
    coarse, fine = reader_errors(
        ways.graph, {id(tensor): grids}, ways.read_inputs(2), threads=1, tick=lambda: None
    )[id(tensor)]
    assert coarse > fine > 0


def test_the_other_range_with_the_least_noise_behind_the_readers_is_proposed() -> None:
    w, v = scaled(0, 8, 8, 1, 1), scaled(1, 8, 8, 1, 1)
    ways = candidates(
        case("a = Conv(x, w) b = Mul(a, a) c = Mul(b, a) y = Conv(c, v)", w=w, v=v, x=(1, 8, 10, 10))
    )
    cubes = named(ways.graph, "MUL", 1)
    dispute = next(d for d in disputed_ranges(ways.graph, ways.shared, PLAIN) if d.tensor is cubes)
    assert dispute.choosers[0] == "minmax" and len(set(dispute.choosers)) == len(dispute.choosers) > 2
    c = (np.stack([sample[0] for sample in ways.read_inputs(8)]) @ w[:, :, 0, 0].T.astype(np.float64)) ** 3
    noises = []
    for name in dispute.choosers:
        grid = quantization_of(*ways.shared.range_of(id(cubes), name))
        noises.append(noise(c @ v[:, :, 0, 0].T, grid.dequantize(grid.quantize(c)) @ v[:, :, 0, 0].T))
    proposals = proposed_ranges(ways, PLAIN, lambda text, count: None, Products(samples=(8, 8)))
    proposal = next(p for p in proposals if p.tensor is cubes)
    assert proposal.chooser == dispute.choosers[1 + int(np.argmin(noises[1:]))]
    assert proposal.gain == pytest.approx(noises[0] - min(noises[1:]), rel=0.05)
    assert proposals == sorted(proposals, key=lambda p: -p.gain)
