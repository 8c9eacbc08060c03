"""Time per operator, from the runtimes' own profilers on real models. No time is asserted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from edgewise.backends.interpreter_nodes import parts_of
from edgewise.backends.litert_nodes import LitertNode
from edgewise.backends.onnxruntime_trace import parse_trace
from edgewise.errors import BackendUnavailable, InvalidInput, ModelFileError
from edgewise.flatbuffer_writer import Writer
from edgewise.operator_match import match_operators
from edgewise.profile import OperatorTime, ProfilePlan, profile_model, totals_by_kind
from edgewise.profile_text import page
from edgewise.testing import write_tiny_model

QUICK = ProfilePlan(runs=5, warmup=1)


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """An .onnx model that adds its input to itself five times, in a Loop."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "x"], ["next"], name="inner_add"),
            helper.make_node("Identity", ["go"], ["go_on"], name="inner_identity"),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [4]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [4]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["five", "yes", "x"], ["sum"], name="outer_loop", body=body),
            helper.make_node("Neg", ["sum"], ["y"], name="outer_neg"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [
            helper.make_tensor("five", TensorProto.INT64, [], [5]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    path = tmp_path / "loop.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_dense_layer_in_xnnpack_has_its_name_and_shape(tiny: Path) -> None:
    profile = profile_model(tiny, QUICK)
    (dense,) = [one for one in profile.operators if one.kind.startswith("Fully Connected")]
    assert (dense.name, dense.shape, dense.where) == ("scores", (1, 3), "XNNPACK")
    assert (profile.backend, profile.runs, profile.input) == ("litert", 5, "its first golden case")
    assert (profile.graph_operators, profile.xnnpack_parts, profile.not_in_xnnpack) == (1, 1, {})
    assert "XNNPACK took 1 of the file's 1 operator, in 1 part" in page(profile, top=5)


@pytest.fixture
def equal(tmp_path: Path) -> Path:
    """A .tflite model of one EQUAL, which XNNPACK does not have: slots and numbers of schema.fbs."""
    float32, boolean, code_of_equal = 0, 6, 71
    writer = Writer()
    tensors = writer.tables(
        [
            writer.table(8, {0: writer.ints([4]), 3: writer.text(name)}, bytes_={1: kind})
            for name, kind in (("a", float32), ("b", float32), ("same", boolean))
        ]
    )
    operator = writer.table(9, {1: writer.ints([0, 1]), 2: writer.ints([2])})
    ends = {1: writer.ints([0, 1]), 2: writer.ints([2]), 3: writer.tables([operator])}
    subgraph = writer.table(5, {0: tensors, **ends})
    code = writer.table(4, words={2: 1, 3: code_of_equal}, bytes_={0: code_of_equal})
    slots = {1: writer.tables([code]), 2: writer.tables([subgraph]), 4: writer.tables([writer.table(3)])}
    path = tmp_path / "equal.tflite"
    path.write_bytes(writer.finish(writer.table(8, slots, words={0: 3}), b"TFL3"))
    return path


def test_an_operator_that_xnnpack_does_not_have_runs_built_in(equal: Path) -> None:
    profile = profile_model(equal, QUICK)
    (only,) = profile.operators
    assert (only.kind, only.name, only.shape, only.where) == ("EQUAL", "same", (4,), "built-in")
    assert (profile.graph_operators, profile.xnnpack_parts, profile.not_in_xnnpack) == (1, 0, {"EQUAL": 1})
    assert "XNNPACK took 0 of the file's 1 operator; built-in kernels ran 1 EQUAL" in page(profile, top=5)


def test_operators_add_up(tmp_path: Path) -> None:
    large = write_tiny_model(tmp_path / "large.tflite", size_wh=(600, 600))
    profile = profile_model(large, QUICK)
    assert sum(one.share for one in profile.operators) == pytest.approx(1)
    assert sum(kind.time_ms for kind in profile.kinds) == pytest.approx(profile.operators_ms)
    times_ms = [one.time_ms for one in profile.operators]
    assert times_ms == sorted(times_ms, reverse=True)
    assert 0 < profile.operators_ms <= profile.profiled_call_ms
    assert profile.call_ms > 0


def test_onnxruntime_tells_names_kinds_and_shapes(tiny_onnx: Path) -> None:
    profile = profile_model(tiny_onnx, QUICK)
    assert {one.kind for one in profile.operators} == {"Reshape", "MatMul"}
    (product,) = [one for one in profile.operators if one.kind == "MatMul"]
    assert (product.name, product.shape, product.where) == ("scores", (1, 3), "CPU")
    assert profile.not_in_xnnpack is None
    assert "all operators ran in its CPU provider" in page(profile, top=5)


def test_operators_in_a_loop_are_added_up_over_its_rounds(loop: Path) -> None:
    profile = profile_model(loop, QUICK)
    assert sorted(one.name for one in profile.operators if one.kind != "Identity") == [
        "inner_add",
        "outer_loop",
        "outer_neg",
    ]
    assert "inside loops and branches" in profile.remarks[0]


def test_equal_kinds_are_added_up_by_where_they_ran() -> None:
    kinds = totals_by_kind(
        (
            OperatorTime("ADD", "a", (1,), "built-in", 3.0, 0.3),
            OperatorTime("ADD", "b", (1,), "XNNPACK", 1.0, 0.1),
            OperatorTime("ADD", "c", None, "XNNPACK", 6.0, 0.6),
        )
    )
    assert [(kind.where, kind.operators, kind.time_ms) for kind in kinds] == [
        ("XNNPACK", 2, 7.0),
        ("built-in", 1, 3.0),
    ]


def test_a_part_of_xnnpack_holds_what_lies_between_its_outputs_and_inputs() -> None:
    details = [
        {"index": 0, "op_name": "CAST", "inputs": [0], "outputs": [1]},
        {"index": 1, "op_name": "CONV_2D", "inputs": [1, 9], "outputs": [2]},
        {"index": 2, "op_name": "ADD", "inputs": [2, 1], "outputs": [3]},
        {"index": 3, "op_name": "ROUND", "inputs": [3], "outputs": [4]},
        {"index": 4, "op_name": "MUL", "inputs": [4, 3], "outputs": [5]},
        {"index": 5, "op_name": "DELEGATE", "inputs": [1, 9], "outputs": [3]},
        {"index": 6, "op_name": "DELEGATE", "inputs": [4, 3], "outputs": [5]},
    ]
    assert parts_of(details) == {1: 5, 2: 5, 4: 6}


def nodes(*kinds: str) -> list[LitertNode]:
    """Operators that XNNPACK took, in order."""
    return [LitertNode(index, kind, f"t{index}", (1,), 9) for index, kind in enumerate(kinds)]


def test_xnnpacks_operators_are_matched_where_number_and_kind_agree() -> None:
    names = [
        "Convert (NC)",
        "Convolution (NHWC, QC8) IGEMM",
        "Convolution (NHWC, QC8) DWConv",
        "Fully Connected (NC)",
    ]
    matched = match_operators(names, nodes("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "FULLY_CONNECTED"))
    assert {place: node.kind for place, node in matched.items()} == {
        1: "CONV_2D",
        2: "DEPTHWISE_CONV_2D",
        3: "FULLY_CONNECTED",
    }
    assert match_operators(names, nodes("CONV_2D", "DEPTHWISE_CONV_2D")) == {}
    assert match_operators(names, nodes("DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED")) == {}


def records(*nodes: tuple[str, str, int, int]) -> Iterator[dict[str, Any]]:
    """A trace with one run of 100 microseconds and these nodes: name, kind, start and duration."""
    yield {"cat": "Session", "name": "model_run", "ts": 0, "dur": 100, "tid": 1}
    for name, kind, start_us, elapsed_us in nodes:
        given = {
            "op_name": kind,
            "provider": "CPUExecutionProvider",
            "output_type_shape": [{"float": [1, 2]}],
        }
        yield {
            "cat": "Node", "name": f"{name}_kernel_time", "ts": start_us, "dur": elapsed_us, "tid": 1, "args": given
        }  # fmt: skip


def test_short_operators_that_share_a_microsecond_are_both_kept() -> None:
    (run,) = parse_trace(list(records(("a", "Add", 5, 3), ("b", "Mul", 6, 1), ("late", "Mul", 200, 1))))
    assert [event.name for event in run.events] == ["a", "b"]
    assert run.call_ms == 0.1


def test_a_loops_own_time_is_what_its_operators_leave() -> None:
    (run,) = parse_trace(
        list(
            records(
                ("loop", "Loop", 0, 50),
                ("branch", "If", 5, 20),
                ("inner", "Add", 10, 12),
                ("inner", "Add", 30, 8),
                ("after", "Mul", 60, 7),
            )
        )
    )
    assert [(event.name, event.own_us) for event in run.events] == [
        ("loop", 22.0), ("branch", 8.0), ("inner", 12.0), ("inner", 8.0), ("after", 7.0)
    ]  # fmt: skip


def test_everything_goes_into_json(tiny: Path) -> None:
    values = json.loads(json.dumps(profile_model(tiny, QUICK).to_dict()))
    assert "scores" in [operator["name"] for operator in values["operators"]]
    assert values["how"].startswith("by LiteRT's own profiler")


def test_the_page_shows_bars_and_how_many_operators_it_left_out(tmp_path: Path) -> None:
    large = write_tiny_model(tmp_path / "large.onnx", size_wh=(600, 600))
    text = page(profile_model(large, QUICK), top=1, bar="=")
    assert f"{'=' * 24} " in text
    assert "and 1 more operator with" in text


def test_a_runtime_without_a_profiler_says_so(tiny: Path) -> None:
    plan = ProfilePlan(runs=5, backend="tflite-runtime")
    with pytest.raises(BackendUnavailable, match="tflite-runtime has no profiler; install ai-edge-litert"):
        profile_model(tiny, plan)


def test_bad_files_and_plans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.tflite: cannot read"):
        profile_model(tmp_path / "gone.tflite")
    with pytest.raises(InvalidInput, match="expected at least 1"):
        ProfilePlan(runs=0)


def test_a_model_fed_given_sizes_is_profiled_with_them(tiny: Path) -> None:
    plan = ProfilePlan(runs=2, shapes={"image": (1, 8, 8, 3)})
    assert profile_model(tiny, plan).input == "random numbers, 1 x 8 x 8 x 3"
