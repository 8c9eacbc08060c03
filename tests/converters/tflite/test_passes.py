"""Every rewrite of a TFLite graph, on a file that needs it: what is left, and that it computes the same."""

from pathlib import Path

import numpy as np
from converters.tflite_nets import VALID, Net, kinds, rewritten

from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.schema import Activation, Padding


def test_shape_chains_are_computed(tmp_path: Path) -> None:
    net = Net(1, 4, 6)
    shape = net.add("SHAPE", [net.entry], 3, dtype=np.int32, options={"outType": 2})
    strided = net.add(
        "STRIDED_SLICE",
        [shape, net.ints(0), net.ints(1), net.ints(1)],
        dtype=np.int32,
        options={"shrinkAxisMask": 1},
    )
    packed = net.add(
        "PACK", [strided, net.constant(np.int32(24))], 2, dtype=np.int32, options={"valuesCount": 2}
    )
    flat = net.add("RESHAPE", [net.entry, packed], 1, 24)
    graph = rewritten(net.save(tmp_path / "m.tflite", net.add("RELU", [flat], 1, 24)))
    assert kinds(graph) == ["RESHAPE", "RELU"]


def test_weights_stored_in_half_are_restored(tmp_path: Path) -> None:
    net = Net(1, 8)
    half = net.constant(net.weights(4, 8).data.astype(np.float16))  # type: ignore[union-attr]
    weights = net.add("DEQUANTIZE", [half], 4, 8)
    graph = rewritten(
        net.save(tmp_path / "m.tflite", net.add("FULLY_CONNECTED", [net.entry, weights, None], 1, 4))
    )
    assert kinds(graph) == ["FULLY_CONNECTED"]


def test_an_output_that_is_constant_is_still_computed(tmp_path: Path) -> None:
    net = Net(1, 4)
    fixed = net.add("ADD", [net.weights(1, 4), net.weights(1, 4)], 1, 4)
    graph = rewritten(net.save(tmp_path / "m.tflite", net.add("RELU", [net.entry], 1, 4), fixed))
    assert sorted(kinds(graph)) == ["ADD", "RELU"]


def convolution(net: Net, source: Tensor, kind: str = "CONV_2D") -> Tensor:
    """4 channels in, 4 out."""
    weights = net.weights(4, 3, 3, 4) if kind == "CONV_2D" else net.weights(1, 3, 3, 4)
    options = VALID if kind == "CONV_2D" else VALID | {"depthMultiplier": 1}
    height, width = source.shape[1] - 2, source.shape[2] - 2
    return net.add(kind, [source, weights, net.weights(4)], 1, height, width, 4, options=options)


def test_a_spelled_out_batch_norm_goes_into_the_convolution(tmp_path: Path) -> None:
    for kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        net = Net(1, 8, 8, 4)
        scaled = net.add("MUL", [convolution(net, net.entry, kind), net.weights(4)], 1, 6, 6, 4)
        options = {"fusedActivationFunction": Activation.RELU}
        shifted = net.add("SUB", [scaled, net.weights(1, 1, 1, 4)], 1, 6, 6, 4, options=options)
        graph = rewritten(net.save(tmp_path / "m.tflite", shifted))
        assert kinds(graph) == [kind]
        assert graph.operators[0].options["fusedActivationFunction"] == Activation.RELU


def test_a_scale_behind_an_activation_or_for_two_readers_stays(tmp_path: Path) -> None:
    net = Net(1, 8, 8, 4)
    inner = convolution(net, net.entry)
    scaled = net.add("MUL", [inner, net.weights(4)], 1, 6, 6, 4)
    graph = rewritten(net.save(tmp_path / "m.tflite", scaled, net.add("TANH", [inner], 1, 6, 6, 4)))
    assert "MUL" in kinds(graph)


def test_a_scale_along_another_axis_stays(tmp_path: Path) -> None:
    net = Net(1, 6, 6, 4)
    scaled = net.add("MUL", [convolution(net, net.entry), net.weights(4, 1)], 1, 4, 4, 4)
    assert kinds(rewritten(net.save(tmp_path / "m.tflite", scaled))) == ["CONV_2D", "MUL"]


def padded(net: Net, pads: list[list[int]], shape: tuple[int, ...]) -> Tensor:
    return net.add("PAD", [net.entry, net.constant(np.array(pads, np.int32))], *shape)


def test_padding_that_same_would_add_goes_into_the_convolution(tmp_path: Path) -> None:
    net = Net(1, 8, 8, 4)
    source = padded(net, [[0, 0], [0, 1], [0, 1], [0, 0]], (1, 9, 9, 4))
    options = VALID | {"strideH": 2, "strideW": 2}
    answer = net.add(
        "CONV_2D", [source, net.weights(4, 3, 3, 4), net.weights(4)], 1, 4, 4, 4, options=options
    )
    graph = rewritten(net.save(tmp_path / "m.tflite", answer))
    assert kinds(graph) == ["CONV_2D"]
    assert graph.operators[0].options["padding"] == Padding.SAME


def test_padding_that_same_would_not_add_stays(tmp_path: Path) -> None:
    net = Net(1, 8, 8, 4)
    source = padded(net, [[0, 0], [1, 0], [1, 0], [0, 0]], (1, 9, 9, 4))
    options = VALID | {"strideH": 2, "strideW": 2}
    answer = net.add(
        "CONV_2D", [source, net.weights(4, 3, 3, 4), net.weights(4)], 1, 4, 4, 4, options=options
    )
    assert kinds(rewritten(net.save(tmp_path / "m.tflite", answer))) == ["PAD", "CONV_2D"]


def test_hard_swish_is_recognised_in_its_spelled_out_forms(tmp_path: Path) -> None:
    three, sixth, six = (np.float32(value) for value in (3, 1 / 6, 6))
    for divides in (True, False):
        for gate_first in (True, False):
            net = Net(1, 4, 4, 8)
            fused = {"fusedActivationFunction": Activation.RELU6}
            gate = net.add("ADD", [net.entry, net.constant(three)], 1, 4, 4, 8, options=fused)
            if gate_first:
                gate = net.add("MUL", [gate, net.constant(sixth)], 1, 4, 4, 8)
                answer = net.add("MUL", [net.entry, gate], 1, 4, 4, 8)
            else:
                product = net.add("MUL", [net.entry, gate], 1, 4, 4, 8)
                last = net.constant(six if divides else sixth)
                answer = net.add("DIV" if divides else "MUL", [product, last], 1, 4, 4, 8)
            assert kinds(rewritten(net.save(tmp_path / "m.tflite", answer))) == ["HARD_SWISH"]


def test_what_only_resembles_hard_swish_stays(tmp_path: Path) -> None:
    net = Net(1, 4, 4, 8)
    fused = {"fusedActivationFunction": Activation.RELU6}
    gate = net.add("ADD", [net.entry, net.constant(np.float32(2))], 1, 4, 4, 8, options=fused)
    product = net.add("MUL", [net.entry, gate], 1, 4, 4, 8)
    answer = net.add("MUL", [product, net.constant(np.float32(1 / 6))], 1, 4, 4, 8)
    assert "HARD_SWISH" not in kinds(rewritten(net.save(tmp_path / "m.tflite", answer)))


def test_squeezes_become_reshapes_and_constant_products_dense_layers(tmp_path: Path) -> None:
    net = Net(1, 1, 5, 8)
    rows = net.add("SQUEEZE", [net.entry], 5, 8, options={"squeezeDims": (0, 1)})
    wide = net.add("EXPAND_DIMS", [rows, net.ints(0)], 1, 5, 8)
    product = net.add("BATCH_MATMUL", [wide, net.weights(8, 3)], 1, 5, 3)
    square = net.add("SQUARE", [product], 1, 5, 3)
    graph = rewritten(net.save(tmp_path / "m.tflite", square))
    assert kinds(graph) == ["RESHAPE", "RESHAPE", "FULLY_CONNECTED", "MUL"]


def test_a_spelled_out_layer_norm_is_kept_out_of_int8(tmp_path: Path) -> None:
    net = Net(1, 5, 16)
    dense = net.add(
        "FULLY_CONNECTED", [net.entry, net.weights(16, 16), None], 1, 5, 16, options={"keepNumDims": True}
    )
    keep = {"keepDims": True}
    mean = net.add("MEAN", [dense, net.ints(2)], 1, 5, 1, options=keep)
    squares = net.add("SQUARED_DIFFERENCE", [dense, mean], 1, 5, 16)
    variance = net.add("MEAN", [squares, net.ints(2)], 1, 5, 1, options=keep)
    root = net.add("RSQRT", [net.add("ADD", [variance, net.constant(np.float32(1e-3))], 1, 5, 1)], 1, 5, 1)
    gain = net.add("MUL", [root, net.weights(16)], 1, 5, 16)
    scaled = net.add("MUL", [dense, gain], 1, 5, 16)
    shift = net.add("SUB", [net.weights(16), net.add("MUL", [mean, gain], 1, 5, 16)], 1, 5, 16)
    normal = net.add("ADD", [scaled, shift], 1, 5, 16)
    answer = net.add("ADD", [net.entry, normal], 1, 5, 16)
    graph = rewritten(net.save(tmp_path / "m.tflite", answer))
    marked = {operator.output.name for operator in graph.operators if operator.in_float}
    assert {t.name for t in (squares, variance, root, gain, scaled, shift, normal)} <= marked
    assert {dense.name, answer.name}.isdisjoint(marked)


def test_a_dilated_convolution_is_recognised(tmp_path: Path) -> None:
    for same in (True, False):
        net = Net(1, 8, 8, 4)
        pad, side = (2, 8) if same else (0, 4)
        pads = net.constant(np.full((2, 2), pad, np.int32))
        inner = (8 + 2 * pad) // 2
        batches = net.add("SPACE_TO_BATCH_ND", [net.entry, net.ints(2, 2), pads], 4, inner, inner, 4)
        weights = net.weights(4, 3, 3, 4)
        maps = net.add(
            "CONV_2D", [batches, weights, net.weights(4)], 4, inner - 2, inner - 2, 4, options=VALID
        )
        crops = net.constant(np.zeros((2, 2), np.int32))
        answer = net.add("BATCH_TO_SPACE_ND", [maps, net.ints(2, 2), crops], 1, side, side, 4)
        graph = rewritten(net.save(tmp_path / "m.tflite", answer))
        assert kinds(graph) == ["CONV_2D"]
        assert graph.operators[0].options["padding"] == (Padding.SAME if same else Padding.VALID)


def test_a_dilated_convolution_over_a_line_takes_the_batch_norm_behind_it(tmp_path: Path) -> None:
    net = Net(1, 40, 4)
    pads = net.constant(np.array([[4, 4]], np.int32))
    batches = net.add("SPACE_TO_BATCH_ND", [net.entry, net.ints(4), pads], 4, 12, 4)
    plane = net.add("EXPAND_DIMS", [batches, net.ints(-3)], 4, 1, 12, 4)
    maps = net.add("CONV_2D", [plane, net.weights(6, 1, 3, 4), net.weights(6)], 4, 1, 10, 6, options=VALID)
    line = net.add("SQUEEZE", [maps], 4, 10, 6, options={"squeezeDims": (-3,)})
    joined = net.add(
        "BATCH_TO_SPACE_ND", [line, net.ints(4), net.constant(np.zeros((1, 2), np.int32))], 1, 40, 6
    )
    graph = rewritten(net.save(tmp_path / "m.tflite", net.add("MUL", [joined, net.weights(6)], 1, 40, 6)))
    assert kinds(graph) == ["RESHAPE", "CONV_2D", "RESHAPE"]


def test_padding_that_is_not_around_the_middle_keeps_its_batches(tmp_path: Path) -> None:
    net = Net(1, 8, 8, 4)
    pads = net.constant(np.array([[4, 0], [4, 0]], np.int32))
    batches = net.add("SPACE_TO_BATCH_ND", [net.entry, net.ints(2, 2), pads], 4, 6, 6, 4)
    maps = net.add("CONV_2D", [batches, net.weights(4, 3, 3, 4), net.weights(4)], 4, 4, 4, 4, options=VALID)
    crops = net.constant(np.zeros((2, 2), np.int32))
    answer = net.add("BATCH_TO_SPACE_ND", [maps, net.ints(2, 2), crops], 1, 8, 8, 4)
    assert "SPACE_TO_BATCH_ND" in kinds(rewritten(net.save(tmp_path / "m.tflite", answer)))
