"""A graph under construction: every node is run by onnxruntime as it is added, so shapes and values are known.

What onnxruntime refuses is not added, nor what grows without bounds or would be decided by rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from converters.fuzz.choices import Choices
from converters.fuzz.onnx_nodes import FEEDS, MOST_ELEMENTS, OneNode, RefusedByOnnxruntime, Value, numbers
from onnx import helper, numpy_helper

from edgewise.tensors import Array

DIMS = (2, 3, 1, 4, 5, 6, 8)
FLOAT, INT32, INT64, BOOL = np.float32, np.int32, np.int64, np.bool_
_PLAIN = "{}"
NAMES = (
    _PLAIN, "layer/{}:0", "a b {}", "é≠{}", "{}", "'{}\"", "{}.weight", "-{}", "x\\{}", "../{}", "%s{{}}{}", "{}\t",
    "model.layers[{}]", "onnx::Add_{}", "{}\nline",
)  # fmt: skip


@dataclass
class Builder:
    """Nodes, constants and inputs so far."""

    choices: Choices
    opset: int
    values: list[Value] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    inputs: dict[str, Value] = field(default_factory=dict)
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
        seeds = [np.random.default_rng([self.count, feed]) for feed in range(FEEDS)]
        arrays = tuple(numbers(rng, shape, np.dtype(dtype), kind) for rng in seeds)
        self.inputs[name] = self._keep(Value(name, arrays))
        return self.inputs[name]

    def constant(self, array: object, dtype: type | np.dtype | None = None) -> Value:
        """A constant: mostly an initializer, sometimes a node, now and then one that is there already."""
        array = np.asarray(array, dtype)
        if self.choices.chance(20):
            for name, there in self.constants.items():
                if there.dtype == array.dtype and np.array_equal(there, array):
                    return Value(name, (there,), True)
        name = self.name()
        if self.choices.chance(20):
            tensor = numpy_helper.from_array(array, name if self.choices.chance(50) else "")
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants[name] = array
        return Value(name, (array,), True)

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
        try:
            results = OneNode(node, given, self.opset).outputs()
        except RefusedByOnnxruntime:
            results = None
        if results is None:
            return []
        self.nodes.append(node)
        return [self._keep(value) for value in results]

    def positive(self, value: Value) -> Value:
        """Something like a value that is above 0; mostly the value itself where nothing was computed yet."""
        if value.is_exact and self.choices.chance(40):
            return value
        size = self.add("Abs", [value])
        above = self.add("Add", [size[0], self.constant(0.25, value.dtype)]) if size else []
        return above[0] if above else value

    def _keep(self, value: Value) -> Value:
        self.values.append(value)
        return value

    def _node_name(self, op_type: str) -> str:
        kind = self.choices.number(0, 9)
        return "" if kind > 6 else op_type if kind == 6 else f"{op_type}_{self.count}"
