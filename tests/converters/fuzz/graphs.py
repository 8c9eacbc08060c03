"""A whole random model: steps of all kinds, and the oddities of real files around them."""

from dataclasses import dataclass

import numpy as np
import onnx
from converters.fuzz import choosing, elementwise, layers, moving, over_axes
from converters.fuzz.builder import BOOL, FLOAT, INT32, INT64, NAMES, Builder
from converters.fuzz.choices import Choices
from converters.fuzz.onnx_nodes import FEEDS, IR_VERSIONS, LATEST_IR, Value, described
from onnx import helper, numpy_helper

from edgewise.tensors import Array

OPSETS = tuple(range(7, 22))
MOST_STEPS = 8
_STEPS = (elementwise.STEPS, moving.STEPS + choosing.STEPS, layers.STEPS + over_axes.STEPS)
_ABOUT_LAYOUT = (
    (layers.convolution, layers.pooling, over_axes.softmax, over_axes.reduction, layers.product),
    (elementwise.arithmetic, elementwise.prelu, elementwise.unary),
    (moving.transpose, moving.reshape, moving.concat, choosing.pad, moving.slicing, moving.split),
)
"""Steps between which the order of axes is carried along or changed: networks are made of these."""
_ENTRANCES = ((FLOAT, 12), (INT32, 1), (INT64, 1), (BOOL, 1), (np.int8, 1), (np.uint8, 1))


@dataclass(frozen=True)
class Drawn:
    """A model and consecutive inputs for it."""

    model: onnx.ModelProto
    feeds: list[dict[str, Array]]


def draw_model(choices: Choices) -> Drawn | None:
    """A random model; None where nothing came of it, or where onnxruntime does not take the whole."""
    b = Builder(choices, choices.pick(OPSETS))
    b.style = NAMES[0] if choices.chance(60) else choices.pick(NAMES)
    for _ in range(choices.number(1, 2)):
        dtype = choices.pick([dtype for dtype, weight in _ENTRANCES for _ in range(weight)])
        picture = choices.chance(50) and dtype is FLOAT
        b.input(
            (1, choices.pick((3, 1, 2, 4)), *(choices.pick((4, 6, 8, 5)),) * 2) if picture else b.dims(0, 5),
            dtype,
        )
    steps = choices.pick((_STEPS, _STEPS, _ABOUT_LAYOUT))
    for _ in range(choices.number(1, MOST_STEPS)):
        choices.pick(choices.pick(steps))(b)
    if not b.nodes or not b.inputs:
        return None
    model = _model(b, _outputs(b))
    return Drawn(model, [{n: v.at(i) for n, v in b.inputs.items()} for i in range(FEEDS)])


def _outputs(b: Builder) -> list[Value]:
    """What leaves: mostly the last value, now and then a few, an input, or a constant."""
    computed = [value for value in b.values if value.name not in b.inputs]
    leaving = [computed[-1]] if computed else []
    leaving += [b.choices.pick(b.values) for _ in range(b.choices.number(0, 2))]
    if b.choices.chance(4) and b.constants:
        name = b.choices.pick(sorted(b.constants))
        leaving.append(Value(name, (b.constants[name],), True))
    if b.choices.chance(8) and leaving:
        leaving += b.add("Identity", [leaving[-1]])
    return list({value.name: value for value in leaving}.values())


def _model(b: Builder, outputs: list[Value]) -> onnx.ModelProto:
    ir_version = IR_VERSIONS.get(b.opset, LATEST_IR)
    entries = [described(name, value.array) for name, value in b.inputs.items()]
    if b.choices.chance(6):
        b.constants[b.name()] = np.arange(3.0, dtype=np.float32)  # used by nobody
    if ir_version < 4 or b.choices.chance(10):
        entries += [described(name, array) for name, array in b.constants.items()]
    if b.choices.chance(10):
        for entry in entries[: len(b.inputs)]:
            _open_batch(entry)
    graph = helper.make_graph(
        b.nodes,
        b.choices.pick(("graph", "main", "a/b")),
        entries,
        [described(value.name, value.array) for value in outputs],
        [numpy_helper.from_array(array, name) for name, array in b.constants.items()],
    )
    if b.choices.chance(30):
        del graph.value_info[:]
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(b.choices.pick(("", "", "ai.onnx")), b.opset)]
    )
    model.ir_version = ir_version
    return model


def _open_batch(entry: onnx.ValueInfoProto) -> None:
    """A leading dimension of one under a name instead of a number."""
    dims = entry.type.tensor_type.shape.dim
    if dims and dims[0].dim_value == 1:
        dims[0].dim_param = "batch"
