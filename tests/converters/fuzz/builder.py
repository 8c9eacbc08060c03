"""A graph under construction: every node is run by onnxruntime as it is added, so shapes and values are known.

What onnxruntime refuses is not added; what grows without bounds is taken back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
from converters.fuzz.choices import Choices
from onnx import helper, numpy_helper

from edgewise.tensors import Array

IR_VERSIONS = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9}
LATEST_IR = 10
MOST_ELEMENTS = 3000
_LARGEST = 1e4
"""Larger values would drown all others in float32."""
DIMS = (2, 3, 1, 4, 5, 6, 8)
FLOAT, INT32, INT64, BOOL = np.float32, np.int32, np.int64, np.bool_
_PLAIN = "{}"
NAMES = (
    _PLAIN, "layer/{}:0", "a b {}", "é≠{}", "{}", "'{}\"", "{}.weight", "-{}", "x\\{}", "../{}", "%s{{}}{}", "{}\t",
    "model.layers[{}]", "onnx::Add_{}", "{}\nline",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Value:
    """One value of the graph, with what it is on the first input."""

    name: str
    array: Array
    is_constant: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def rank(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype


@dataclass
class Builder:
    """Nodes, constants and inputs so far."""

    choices: Choices
    opset: int
    values: list[Value] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    inputs: dict[str, tuple[int, Array]] = field(default_factory=dict)
    """By name: the kind of its numbers, and the first of them."""
    style: str = _PLAIN
    count: int = 0

    def name(self) -> str:
        """A name that nothing has yet."""
        self.count += 1
        return self.style.format(f"t{self.count}")

    # -- values -----------------------------------------------------------------------------------------------

    def dims(self, low: int, high: int) -> tuple[int, ...]:
        """A shape of ``low`` to ``high`` axes and not too many elements."""
        shape: list[int] = []
        for _ in range(self.choices.number(low, high)):
            dim = self.choices.pick(DIMS)
            shape.append(dim if np.prod([*shape, dim]) <= MOST_ELEMENTS // 4 else 1)
        return tuple(shape)

    def input(self, shape: Sequence[int], dtype: type = FLOAT) -> Value:
        """A new input."""
        kind = self.choices.number(0, 5)
        name = self.name()
        array = numbers(np.random.default_rng(self.count), shape, np.dtype(dtype), kind)
        self.inputs[name] = kind, array
        return self._keep(Value(name, array))

    def constant(self, array: object, dtype: type | np.dtype | None = None) -> Value:
        """A constant: mostly an initializer, sometimes a node, now and then one that is there already."""
        array = np.asarray(array, dtype)
        if self.choices.chance(20):
            for name, there in self.constants.items():
                if there.dtype == array.dtype and np.array_equal(there, array):
                    return Value(name, there, True)
        name = self.name()
        if self.choices.chance(20):
            tensor = numpy_helper.from_array(array, name if self.choices.chance(50) else "")
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants[name] = array
        return Value(name, array, True)

    def weights(self, *shape: int, dtype: type = FLOAT, kind: int = 0) -> Value:
        """A constant of random numbers."""
        seed = self.choices.number(0, 99)
        return self.constant(numbers(np.random.default_rng(seed), shape, np.dtype(dtype), kind))

    def ints(self, values: object) -> Value:
        """A constant of int64."""
        return self.constant(values, INT64)

    def some(self, fits: Callable[[Value], bool] = lambda value: True) -> Value | None:
        """A value that ``fits``, the newer the likelier."""
        fitting = [value for value in self.values if fits(value)]
        if not fitting:
            return None
        return fitting[-1] if self.choices.chance(60) else self.choices.pick(fitting)

    def floats(self, low: int = 0, high: int = 5) -> Value:
        """A float value of ``low`` to ``high`` axes: one there is, or a new input."""
        found = self.some(lambda value: value.dtype == FLOAT and low <= value.rank <= high)
        return found if found is not None else self.input(self.dims(max(low, 1), high))

    def of(self, *dtypes: type, low: int = 0, high: int = 5) -> Value:
        """A value of one of ``dtypes``: one there is, or a new input."""
        found = self.some(lambda value: value.dtype in dtypes and low <= value.rank <= high)
        return found if found is not None else self.input(self.dims(low, high), self.choices.pick(dtypes))

    # -- nodes ------------------------------------------------------------------------------------------------

    def add(
        self, op_type: str, inputs: Sequence[Value | None], *, outputs: int = 1, **attributes: object
    ) -> list[Value]:
        """A node and its outputs; nothing is added, and none are returned, where onnxruntime refuses it."""
        names = [self.name() for _ in range(outputs)]
        node = helper.make_node(
            op_type,
            [value.name if value is not None else "" for value in inputs],
            names,
            name=self._node_name(op_type),
            **{key: value for key, value in attributes.items() if value is not None},
        )
        given = [value for value in inputs if value is not None]
        results = evaluate(node, given, self.opset)
        if (
            results is None
            or not all(map(_is_suited, results))
            or not self._is_defined(op_type, given, results)
        ):
            return []
        self.nodes.append(node)
        return [self._keep(Value(name, array)) for name, array in zip(names, results, strict=True)]

    def positive(self, value: Value) -> Value:
        """Something like a value that is above 0; mostly the value itself where nothing was computed yet."""
        if (value.name in self.inputs or value.is_constant) and self.choices.chance(40):
            return value
        size = self.add("Abs", [value])
        above = self.add("Add", [size[0], self.constant(0.25, value.dtype)]) if size else []
        return above[0] if above else value

    def _is_defined(self, op_type: str, given: Sequence[Value], results: Sequence[Array]) -> bool:
        """Whether the result is one that every kernel gives: NaN becomes no particular integer, nor has it a rank.

        NaN comes from inputs only: behind a computation rounding would decide what is NaN and what is not.
        """
        sound = all(map(_is_finite, (value.array for value in given)))
        if op_type in ("IsNaN", "IsInf"):
            return True
        if not sound and not all(array.dtype.kind == "f" for array in results):
            return False
        fresh = not sound or all(map(_is_finite, results))
        return fresh or all(value.name in self.inputs or value.is_constant for value in given)

    def _keep(self, value: Value) -> Value:
        self.values.append(value)
        return value

    def _node_name(self, op_type: str) -> str:
        kind = self.choices.number(0, 9)
        return "" if kind > 6 else op_type if kind == 6 else f"{op_type}_{self.count}"


def numbers(rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype, kind: int) -> Array:
    """Random numbers of a kind: usual ones, large ones, rounded ones, positive ones."""
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind == "f":
        array = rng.standard_normal(shape)
        array = {1: array * 30, 2: np.round(array * 2), 3: np.abs(array) + 0.1}.get(kind, array)
        return np.asarray(array, dtype)
    limits = np.iinfo(dtype)
    low, high = {1: (limits.min, limits.max), 2: (0, 2)}.get(kind, (max(-5, limits.min), 6))
    return np.asarray(rng.integers(low, high, shape, dtype))


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _is_suited(array: Array) -> bool:
    """Of a type we know, not empty, neither large nor without any finite number."""
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind not in "fbiu"
        or not 0 < array.size <= MOST_ELEMENTS
    ):
        return False
    if array.dtype.kind != "f":
        return True
    finite = np.isfinite(array)
    return bool(finite.any() and np.abs(array[finite]).max() < _LARGEST)


def evaluate(node: onnx.NodeProto, values: Sequence[Value], opset: int) -> list[Array] | None:
    """The outputs of one node on these inputs; None where onnxruntime refuses."""
    fed = {value.name: value.array for value in values if not value.is_constant}
    fixed = {value.name: value.array for value in values if value.is_constant}
    graph = helper.make_graph(
        [node],
        "one",
        [described(name, array) for name, array in fed.items()],
        [onnx.ValueInfoProto(name=name) for name in node.output],
        [numpy_helper.from_array(array, name) for name, array in fixed.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = IR_VERSIONS.get(opset, LATEST_IR)
    try:
        session = open_session(model.SerializeToString(), optimized=False)
        return run_session(session, fed)
    except RefusedByOnnxruntime:
        return None


def described(name: str, array: Array) -> onnx.ValueInfoProto:
    """A graph's input or output of this type and shape."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


class RefusedByOnnxruntime(Exception):
    """onnxruntime does not load or run a model."""


def open_session(model: bytes, *, optimized: bool) -> onnxruntime.InferenceSession:
    """A quiet session. Raises RefusedByOnnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["QDQS8ToU8Transformer"]
        )
    except Exception as error:
        raise RefusedByOnnxruntime(str(error)) from error


def run_session(session: onnxruntime.InferenceSession, feed: dict[str, Array]) -> list[Array]:
    """Every output. Raises RefusedByOnnxruntime."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    try:
        return list(session.run(None, feed, options))
    except Exception as error:
        raise RefusedByOnnxruntime(str(error)) from error
