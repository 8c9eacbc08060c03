"""Verification: what is wrong does not pass, whatever it looks like at first."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from converters.onnx_cases import RUNTIMES, ask_onnxruntime, case, feeds_of, lowered, model_of, network_of

from edgewise.tensors import Array
from edgewise_converters.agreement import Agreement, OutputAgreement
from edgewise_converters.errors import VerificationFailed
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.verify import (
    GATES_DB,
    MIN_CASES,
    Case,
    Layouts,
    check_operators,
    measure,
    open_runtime,
    passes,
)

NET = case(
    "a = Conv(x, w, b) c = Relu(a) y = Conv(c, v)", x=(1, 3, 9, 9), w=(4, 3, 3, 3), b=(4,), v=(2, 4, 1, 1)
)
LINEAR = case("y = MatMul(x, w)", x=(1, 1, 4), w=(4, 3))


def judged(network: bytes, low: LoweredGraph, this: object = NET, runtime: str = "litert") -> Agreement:
    model = model_of(this)  # type: ignore[arg-type]
    cases = [Case(feed, ask_onnxruntime(model, feed)) for feed in feeds_of(this, MIN_CASES)]  # type: ignore[arg-type]
    backend = open_runtime(network, runtime)
    result = measure(
        backend, cases, Layouts(low.input_layouts, low.output_layouts), classifies=False, tick=lambda: None
    )
    backend.close()
    return result


def agreement(snr_db: float, *, top1: float | None = None, cases: int = MIN_CASES) -> Agreement:
    return Agreement(cases, (OutputAgreement("y", snr_db, 1.0, 0.0),), top1, cases)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_right_network_passes(runtime: str) -> None:
    low = lowered(model_of(NET))
    assert passes("fp32", judged(network_of(low), low, runtime=runtime), None)


def test_one_changed_weight_is_refused() -> None:
    low = lowered(model_of(NET))
    weights = low.graph.operators[0].inputs[1]
    assert weights is not None and weights.data is not None
    changed: Array = weights.data.copy()
    changed[0, 0, 0, 0] += 0.01
    weights.data = changed
    assert not passes("fp32", judged(network_of(low), low), None)


def test_swapped_channels_are_refused_at_every_precision() -> None:
    low = lowered(model_of(NET))
    weights = low.graph.operators[0].inputs[1]
    assert weights is not None and weights.data is not None
    weights.data = np.ascontiguousarray(weights.data[..., ::-1])
    result = judged(network_of(low), low)
    assert not any(passes(precision, result, None) for precision in GATES_DB)


def leaking(network: bytes) -> bytes:
    """The dense layer of ``network`` as a recurrent one: its first answer is right, and colours the next."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network, 0))
    graph = model.subgraphs[0]
    units, code = (
        graph.tensors[graph.operators[0].outputs[0]].shape[-1],
        schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_RNN,
    )
    recurrent, state = schema.TensorT(), schema.TensorT()
    recurrent.shape, recurrent.name, recurrent.buffer = [units, units], b"recurrent", len(model.buffers)
    state.shape, state.name, state.isVariable = [1, units], b"state", True
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.full((units, units), 0.01, np.float32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    graph.tensors += [recurrent, state]
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = code
    model.operatorCodes[0].version = 1
    operator = graph.operators[0]
    data, weights, bias = operator.inputs
    operator.inputs = [data, weights, len(graph.tensors) - 2, bias, len(graph.tensors) - 1]
    operator.builtinOptionsType, operator.builtinOptions = (
        schema.BuiltinOptions.SequenceRNNOptions,
        schema.SequenceRNNOptionsT(),
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_state_that_leaks_into_the_next_answer_is_noticed(runtime: str) -> None:
    low = lowered(model_of(LINEAR))
    network = leaking(network_of(low))
    feed = feeds_of(LINEAR, 1)[0]
    fresh = open_runtime(network, runtime)
    first = fresh.run([feed["x"]])[0]
    fresh.close()
    np.testing.assert_allclose(first, ask_onnxruntime(model_of(LINEAR), feed)["y"], rtol=1e-5)
    assert not passes("fp32", judged(network, low, LINEAR, runtime), None)


def test_foreign_operators_are_refused() -> None:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network_of(lowered(model_of(LINEAR))), 0))
    model.operatorCodes[0].customCode = b"FlexMatMul"
    model.operatorCodes[0].builtinCode = model.operatorCodes[0].deprecatedBuiltinCode = (
        schema.BuiltinOperator.CUSTOM
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(VerificationFailed, match="FlexMatMul"):
        check_operators(bytes(builder.Output()))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_network_that_no_runtime_loads_is_refused(runtime: str) -> None:
    low = lowered(model_of(LINEAR))
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(network_of(low), 0))
    model.operatorCodes[0].version = 99
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(VerificationFailed, match=f"does not load in {runtime}"):
        open_runtime(bytes(builder.Output()), runtime)


@pytest.mark.parametrize("precision", GATES_DB)
def test_each_precision_has_its_gate(precision: str) -> None:
    gate = GATES_DB[precision]
    assert passes(precision, agreement(gate), None)
    assert not passes(precision, agreement(gate - 0.1), None)


def test_floor_of_float32_lowers_the_gate_by_its_margin_only() -> None:
    floor = agreement(60)
    assert passes("fp32", agreement(55), floor)
    assert not passes("fp32", agreement(53), floor)
    assert not passes("fp32", agreement(89), agreement(140))


def test_classifier_may_pass_by_its_answers_but_not_in_float32() -> None:
    assert passes("int8", agreement(8, top1=0.95), None)
    assert not passes("int8", agreement(8, top1=0.85), None)
    assert not passes("int8", agreement(8, top1=1.0, cases=MIN_CASES - 1), None)
    assert not passes("int8", agreement(-1, top1=1.0), None)
    assert not passes("fp32", agreement(50, top1=1.0), None)
