"""Models that compute in float16 convert, agree as far as float16 itself does, and say what became of it."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewise.backends import litert
from edgewise_converters.comparison import compare
from edgewise_converters.pipeline import convert
from edgewise_converters.readers.half_precision import computes_in_half, widen
from edgewise_converters.request import Request

RNG = np.random.default_rng(8)
HALF, FULL = TensorProto.FLOAT16, TensorProto.FLOAT
FLOAT16_DB = 50.0
"""float16 keeps 11 bits (66 dB); three layers that each round lose some of them."""


def halves(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float16)


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], ends: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "half",
        [helper.make_tensor_value_info("x", ends, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", ends, (1, 5))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def network(*, ends: int) -> onnx.ModelProto:
    """A convolution, a mean and a dense layer in float16; with float32 ends, Casts stand before and behind."""
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.float16(0.5)))]
        + [helper.make_node("Mul", ["m", "k"], ["scaled"])],
        "branch", [], [helper.make_tensor_value_info("scaled", HALF, None)],
    )  # fmt: skip
    same = helper.make_graph(
        [helper.make_node("Identity", ["m"], ["same"])],
        "other", [], [helper.make_tensor_value_info("same", HALF, None)],
    )  # fmt: skip
    first, last = ("x", "y") if ends == HALF else ("h", "z")
    nodes = [
        helper.make_node("Conv", [first, "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["m"]),
        helper.make_node("ReduceSum", ["m"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["chosen"], then_branch=branch, else_branch=same),
        helper.make_node("Flatten", ["chosen"], ["f"]),
        helper.make_node("Gemm", ["f", "v", "b"], [last], transB=1),
    ]
    if ends == FULL:
        nodes = [
            helper.make_node("Cast", ["x"], ["h"], to=HALF),
            *nodes,
            helper.make_node("Cast", ["z"], ["y"], to=FULL),
        ]
    constants = {"w": halves(6, 3, 3, 3), "v": halves(5, 6), "b": halves(5, 1)[:, 0], "zero": np.float16(0)}
    return model_of(nodes, constants, ends)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "dynamic"])
@pytest.mark.parametrize("ends", [HALF, FULL], ids=["float16 ends", "float32 ends"])
def test_a_model_in_float16_converts_with_float32_ends(ends: int, precision: str, tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    onnx.save(network(ends=ends), path)
    request = Request(source=path, target="rpi4", precision=precision, out=tmp_path / "half.tflite")
    result = convert(request)
    assert any("half precision" in notice for notice in result.notices)
    assert result.agreement["litert"].worst_db >= FLOAT16_DB
    backend = litert.open_model(result.path, threads=1)
    assert {spec.dtype for spec in (*backend.inputs(), *backend.outputs())} == {"float32"}
    backend.close()


def test_an_original_in_float16_can_be_compared(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    onnx.save(network(ends=HALF), path)
    written = convert(
        Request(source=path, target="rpi4", precision="fp32", out=tmp_path / "half.tflite")
    ).path
    assert compare(path, written).agreement.worst_db >= FLOAT16_DB


def test_what_rounds_to_float16_between_casts_still_rounds(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=HALF),
        helper.make_node("Clip", ["h", "low"], ["l"]),
        helper.make_node("Cast", ["l"], ["r"], to=FULL),
        helper.make_node("ReduceMax", ["r"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("Slice", ["m", "start", "end", "axis"], ["y"]),
    ]
    constants = {"start": np.array([0]), "end": np.array([5]), "axis": np.array([1]), "low": np.float16(-0.5)}
    path = tmp_path / "rounds.onnx"
    onnx.save(model_of(nodes, constants, FULL), path)
    result = convert(Request(source=path, target="rpi4", precision="fp32", out=tmp_path / "rounds.tflite"))
    assert not any("half precision" in notice for notice in result.notices)
    assert result.agreement["litert"].worst_db >= 150  # to the bit


def test_nothing_in_half_precision_is_left() -> None:
    model = ir.from_proto(network(ends=FULL))
    assert computes_in_half(model)
    widen(model)
    assert not computes_in_half(model)
    written = ir.to_proto(model)
    onnx.checker.check_model(written, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(written)
    assert all(value.type.tensor_type.elem_type != HALF for value in inferred.graph.value_info)
