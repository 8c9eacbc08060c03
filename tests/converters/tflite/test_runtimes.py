"""The table of what runtimes cannot do, entry by entry: each is refused or wrong there, and right elsewhere."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
from converters.tflite.operators_by_type import FLOAT, KINDS, answer, decibel, decibels

from edgewise.errors import BackendUnavailable
from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.narrow_weights import Grid, WeightStore
from edgewise_converters.quantize.rules import FIXED, FREE, SAME_SCALE, WEIGHTED
from edgewise_converters.quantize.stored_int8 import with_weights
from edgewise_converters.quantize.weight_slots import weight_slot
from edgewise_converters.quantize.widths import Width
from edgewise_converters.tflite.graph import Graph, Operator, Tensor
from edgewise_converters.tflite.nibbles import as_int4
from edgewise_converters.tflite.runtimes import RULES, rules_of
from edgewise_converters.tflite.schema import Padding

RIGHT_DB = {"int8": 25.0, "int16": 35.0}
"""A right kernel leaves the rounding of one operator; what is wrong is far below."""


measured = functools.cache(decibels)


def missing(runtime: str, dtype: str) -> frozenset[str]:
    rules = RULES[runtime]
    return rules.no_int8 if dtype == "int8" else rules.no_int16


@pytest.mark.parametrize("runtime", RULES)
@pytest.mark.parametrize("dtype", RIGHT_DB)
@pytest.mark.parametrize("name", KINDS)
def test_a_kind_works_where_the_table_does_not_say_otherwise(name: str, dtype: str, runtime: str) -> None:
    right = measured(runtime, dtype)[name] >= RIGHT_DB[dtype]
    assert right is (name not in missing(runtime, dtype)), measured(runtime, dtype)[name]


@pytest.mark.parametrize("runtime", RULES)
def test_every_entry_is_tried(runtime: str) -> None:
    rules = RULES[runtime]
    assert (rules.no_int8 | rules.no_int16) <= set(KINDS)


def weighted(name: str) -> tuple[Graph, Array]:
    """A float layer with 1024 weights or more whose channels differ in size, and its input."""
    shapes = {
        "CONV_2D": ((1, 6, 6, 16), (16, 3, 3, 16), (1, 6, 6, 16)),
        "DEPTHWISE_CONV_2D": ((1, 6, 6, 128), (1, 3, 3, 128), (1, 6, 6, 128)),
        "FULLY_CONNECTED": ((4, 40), (32, 40), (4, 32)),
        "BATCH_MATMUL": ((2, 4, 24), (2, 24, 32), (2, 4, 32)),
        "TRANSPOSE_CONV": ((1, 6, 6, 16), (16, 3, 3, 16), (1, 12, 12, 16)),
    }
    data_shape, weights_shape, output_shape = shapes[name]
    rng = np.random.default_rng(1)
    data, output = Tensor("x", data_shape, FLOAT), Tensor("y", output_shape, FLOAT)
    size = rng.uniform(0.2, 3, weights_shape[-1] if name in ("DEPTHWISE_CONV_2D", "BATCH_MATMUL") else 1)
    numbers = rng.standard_normal(weights_shape) * size
    if name in ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"):
        numbers = numbers * rng.uniform(0.2, 3, (weights_shape[0], *(1,) * (len(weights_shape) - 1)))
    weights = Tensor.constant("w", numbers.astype(np.float32))
    inputs: list[Tensor | None] = [data, weights]
    if name == "TRANSPOSE_CONV":
        inputs = [Tensor.constant("s", np.array(output_shape, np.int32)), weights, data]
    elif name != "BATCH_MATMUL":
        inputs.append(Tensor.constant("b", np.zeros(output_shape[-1], np.float32)))
    stride = 2 if name == "TRANSPOSE_CONV" else 1
    windows = {"padding": Padding.SAME, "strideH": stride, "strideW": stride}
    options = dict(windows) if "CONV" in name else {}
    if name == "DEPTHWISE_CONV_2D":
        options["depthMultiplier"] = 1
    graph = Graph(name, [data], [output], [Operator(name, inputs, [output], options)])  # type: ignore[arg-type]
    return graph, rng.standard_normal(data_shape).astype(np.float32)


def mixed_db(name: str, runtime: str, *, per_channel: bool) -> float:
    """A layer of int8 weights and float activations against the same with those weights in float32."""
    graph, data = weighted(name)
    (operator,) = graph.operators
    slot = weight_slot(operator)
    assert slot is not None
    narrow = WeightStore().of(operator, slot, Grid(per_channel=per_channel)).tensor
    assert narrow.data is not None and narrow.quantization is not None
    twin = with_weights(
        operator, slot, narrow, WeightStore().of(operator, slot, Grid(per_channel=per_channel))
    )
    real = Tensor.constant("w", narrow.quantization.dequantize(narrow.data))
    slot_inputs = [real if i == slot.index else t for i, t in enumerate(operator.inputs)]
    plain = Operator(name, slot_inputs, operator.outputs, operator.options)
    wanted = answer(Graph(name, graph.inputs, graph.outputs, [plain]), data, "litert")
    try:
        return decibel(wanted, answer(Graph(name, graph.inputs, graph.outputs, [twin]), data, runtime))
    except BackendUnavailable:
        return -np.inf


ROUNDED_INPUT_DB = 30.0
"""Inputs rounded to 8 bits as the layer runs."""
MIXED = ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


@pytest.mark.parametrize("runtime", RULES)
@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
@pytest.mark.parametrize("name", MIXED)
def test_int8_weights_meet_float_inputs_rightly_where_the_table_says(
    name: str, per_channel: bool, runtime: str
) -> None:
    rules = RULES[runtime]
    said = rules.mixed_per_channel if per_channel else rules.mixed_per_tensor
    assert (mixed_db(name, runtime, per_channel=per_channel) >= ROUNDED_INPUT_DB) is (name in said)


@pytest.mark.parametrize("runtime", RULES)
def test_depthwise_weights_of_one_scale_are_computed_wrongly_beside_float_inputs(runtime: str) -> None:
    assert not mixed_db("DEPTHWISE_CONV_2D", runtime, per_channel=False) >= ROUNDED_INPUT_DB
    rules = RULES[runtime]
    assert "DEPTHWISE_CONV_2D" not in rules.mixed_per_tensor | rules.mixed_per_channel


def test_matrices_of_a_scale_per_column_are_computed_wrongly_in_the_old_runtime() -> None:
    assert mixed_db("BATCH_MATMUL", "litert", per_channel=True) >= ROUNDED_INPUT_DB
    assert mixed_db("BATCH_MATMUL", "tflite-runtime", per_channel=True) < 1
    assert not any("BATCH_MATMUL" in r.mixed_per_channel | r.mixed_per_tensor for r in RULES.values())


@pytest.mark.parametrize("runtime", RULES)
@pytest.mark.parametrize("bits", [8, 4])
def test_rows_of_narrow_tables_are_looked_up_where_the_table_says(bits: int, runtime: str) -> None:
    rng = np.random.default_rng(1)
    integers = rng.integers(-7, 8, (10, 6)).astype(np.int8)
    scales = rng.uniform(0.1, 1, 10).astype(np.float32)
    quantization = Quantization(tuple(map(float, scales)), (0,) * 10)
    table = Tensor.constant("t", as_int4(integers) if bits == 4 else integers, quantization)
    indices, output = Tensor("x", (3,), np.dtype(np.int32)), Tensor("y", (3, 6), FLOAT)
    graph = Graph("lookup", [indices], [output], [Operator("EMBEDDING_LOOKUP", [indices, table], [output])])
    chosen = np.array([7, 0, 9], np.int32)
    try:
        right = np.allclose(answer(graph, chosen, runtime), integers[chosen] * scales[chosen, None])
    except BackendUnavailable:
        right = False
    assert right is RULES[runtime].narrow_tables


_ASK = """
import json, sys
import numpy as np
from edgewise.backends import open_backend
backend = open_backend(open(sys.argv[1], "rb").read(), "tflite", name=sys.argv[2], threads=1)
print(json.dumps(backend.run([np.ones((2, 64), np.float32)])[0].tolist()))
"""


@pytest.mark.parametrize("runtime", RULES)
def test_weights_with_a_scale_per_block_run_where_the_table_says(runtime: str, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    # In a process of its own: tflite-runtime 2.14 dies of such a file.
    from edgewise_converters.quantize.four_bits import PER_BLOCK
    from edgewise_converters.tflite.writer import serialize

    data, output = Tensor("x", (2, 64), FLOAT), Tensor("y", (2, 32), FLOAT)
    weights = Tensor.constant("w", np.random.default_rng(1).standard_normal((32, 64)).astype(np.float32))
    operator = Operator("FULLY_CONNECTED", [data, weights, None], [output])
    slot = weight_slot(operator)
    assert slot is not None
    twin = with_weights(operator, slot, *_narrow(operator, slot, PER_BLOCK))
    file = tmp_path_factory.mktemp("blocks") / "model.tflite"
    file.write_bytes(serialize(Graph("g", [data], [output], [twin]), description="", metadata={}))
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(file), runtime], capture_output=True, text=True, check=False
    )
    right = done.returncode == 0 and np.asarray(json.loads(done.stdout.splitlines()[-1])).shape == (2, 32)
    assert right is RULES[runtime].four_bits


def _narrow(operator: Operator, slot, grid: Grid):  # type: ignore[no-untyped-def]
    narrow = WeightStore().of(operator, slot, grid)
    return narrow.tensor, narrow


def test_a_file_for_several_runtimes_keeps_to_the_rules_of_all() -> None:
    both = rules_of(tuple(RULES))
    assert both.no_int8 == RULES["litert"].no_int8 | RULES["tflite-runtime"].no_int8
    assert both.mixed_per_channel == frozenset({"CONV_2D"}) and not both.four_bits


def test_static_kinds_that_a_runtime_lacks_are_in_the_table_or_work() -> None:
    for kind in (FREE | SAME_SCALE | set(FIXED[Width.INT8])) - WEIGHTED:
        assert kind in KINDS or kind not in RULES["tflite-runtime"].no_int8
