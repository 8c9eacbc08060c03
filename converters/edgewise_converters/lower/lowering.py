"""The state of one lowering: which tensor stores which ONNX value, in which layout, and what was emitted."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.errors import UnsupportedOperator
from edgewise_converters.lower.layout import Layout, identity, moves_data, stored_shape
from edgewise_converters.passes import domains
from edgewise_converters.readers.onnx_file import static_shape
from edgewise_converters.tflite.graph import Graph, Operator, Option, Tensor

Lowerer = Callable[["Lowering", ir.Node], None]
LOWERERS: dict[str, Lowerer] = {}

_MAX_TRANSPOSE_RANK = 4
"""Above it TRANSPOSE falls back to a slow generic kernel (TFLite reference_ops); adjacent axes are merged first."""


def lowers(*op_types: str, in_float: bool = False) -> Callable[[Lowerer], Lowerer]:
    """Register a function as the lowering of these operators of the default ONNX domain.

    ``in_float`` keeps everything it emits out of int8, which would not carry the inner values of its formula.
    """

    def register(function: Lowerer) -> Lowerer:
        for op_type in op_types:
            LOWERERS[op_type] = _in_float(function) if in_float else function
        return function

    return register


def _in_float(function: Lowerer) -> Lowerer:
    def lower(low: "Lowering", node: ir.Node) -> None:
        before = len(low.graph.operators)
        function(low, node)
        for operator in low.graph.operators[before:]:
            operator.in_float = True

    return lower


class ShapesDisagree(AssertionError):
    """What was lowered has another shape than the model says: it contradicts itself, or the lowering is wrong."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor and the order of its axes."""

    tensor: Tensor
    layout: Layout


class Lowering:
    """Reads ONNX values in the layout asked for, and emits TFLite operators."""

    def __init__(self, name: str, *, opset: int, keeps_quantization: bool = False) -> None:
        self.graph = Graph(name)
        self.keeps_quantization = keeps_quantization
        """Whether QuantizeLinear and DequantizeLinear become QUANTIZE and DEQUANTIZE, not the arithmetic they mean."""
        self.integers: dict[int, Stored] = {}
        """By id of an integer value, the quantized tensor that stores it, where its quantization is kept."""
        self.opset = opset
        """Version of ONNX's operators in the model: some changed their meaning (Softmax, Resize)."""
        self._places: dict[int, list[Stored]] = {}
        self._names: set[str] = set()

    # -- reading --------------------------------------------------------------------------------------------

    def stored(self, value: ir.Value) -> Stored:
        """The first place a value was stored in; a constant is stored as ONNX has it."""
        places = self._places.get(id(value))
        if places:
            return places[0]
        array = self.constant(value)
        if array is None:
            node = value.producer()
            if node is None:
                raise KeyError(f"value '{value.name}' is read before it is computed")
            raise self.refuse(node, f"its output '{value.name}' is used, expected only the first")
        return self.bind(value, Tensor.constant(self.name(str(value.name)), _narrowed(array)))

    def constant(self, value: ir.Value | None) -> Array | None:
        """The array of a constant value, else None."""
        if value is None or value.const_value is None:
            return None
        return np.asarray(value.const_value.numpy())

    def read(self, value: ir.Value, layout: Layout | None = None) -> Tensor:
        """The tensor of a value in ``layout`` (ONNX's own order if not given), transposed if it must be."""
        shape = self.shape(value)
        want = identity(len(shape)) if layout is None else layout
        first = self.stored(value)
        for place in self._places[id(value)]:
            if place.layout == want:
                return place.tensor
        array = self.constant(value)
        if array is not None:
            tensor = Tensor.constant(
                self.name(f"{value.name}/{_letters(want)}"), _narrowed(array).transpose(want)
            )
        else:
            tensor = self._move(first, shape, want)
        self._places[id(value)].append(Stored(tensor, want))
        return tensor

    def read_broadcast(self, value: ir.Value, rank: int, layout: Layout) -> Tensor:
        """The tensor of a value as an operand of ``rank`` axes in ``layout``: ONNX prepends axes of length one."""
        shape = self.shape(value)
        if len(shape) == rank:
            return self.read(value, layout)
        full = (1,) * (rank - len(shape)) + shape
        array = self.constant(value)
        if array is not None:
            return Tensor.constant(
                self.name(f"{value.name}/{rank}d"), _narrowed(array).reshape(full).transpose(layout)
            )
        if len(shape) == 0:
            return self.read(value)
        widened = self.reshape(self.read(value), full, f"{value.name}/{rank}d")
        return self._move(Stored(widened, identity(rank)), full, layout)

    def shape(self, value: ir.Value) -> tuple[int, ...]:
        """The static shape of a value, in ONNX's order."""
        return static_shape(value)

    # -- writing --------------------------------------------------------------------------------------------

    def bind(self, value: ir.Value, tensor: Tensor, layout: Layout | None = None) -> Stored:
        """Say that ``tensor`` stores ``value`` in ``layout`` (ONNX's own order if not given)."""
        place = Stored(tensor, identity(len(tensor.shape)) if layout is None else layout)
        expected = stored_shape(self.shape(value), place.layout)
        if tensor.shape != expected:
            raise ShapesDisagree(
                f"the lowering gives its result '{value.name}' the shape {tensor.shape}, ONNX's rules say {expected}"
            )
        self._places.setdefault(id(value), []).append(place)
        return place

    def emit(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        shape: Sequence[int],
        name: str,
        *,
        dtype: np.dtype[np.generic] | type | None = None,
        options: Mapping[str, Option] | None = None,
    ) -> Tensor:
        """Append an operator with one output of ``shape``, of the first input's dtype if none is given."""
        first = next(tensor for tensor in inputs if tensor is not None)
        output = Tensor(
            self.name(name), tuple(int(d) for d in shape), np.dtype(dtype) if dtype else first.dtype
        )
        self.graph.operators.append(Operator(kind, list(inputs), [output], dict(options or {})))
        return output

    def emit_many(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        shapes: Sequence[Sequence[int]],
        name: str,
        options: Mapping[str, Option] | None = None,
    ) -> list[Tensor]:
        """Append an operator with several outputs of the dtype of its last input."""
        data = next(tensor for tensor in inputs if tensor is not None and not tensor.is_constant)
        outputs = [
            Tensor(self.name(f"{name}/{i}"), tuple(shape), data.dtype) for i, shape in enumerate(shapes)
        ]
        self.graph.operators.append(Operator(kind, list(inputs), outputs, dict(options or {})))
        return outputs

    def ints(self, values: int | Sequence[int] | Sequence[Sequence[int]], name: str) -> Tensor:
        """A constant int32 tensor: an axis, a shape, or pads in rows."""
        return Tensor.constant(self.name(name), np.asarray(values, np.int32))

    def floats(self, values: object, name: str) -> Tensor:
        """A constant float32 tensor."""
        return Tensor.constant(self.name(name), np.asarray(values, np.float32))

    def reshape(self, tensor: Tensor, shape: Sequence[int], name: str) -> Tensor:
        """The same elements in another shape; nothing is emitted where the shape is the same."""
        target = tuple(int(dim) for dim in shape)
        if tensor.shape == target:
            return tensor
        if math.prod(tensor.shape) != math.prod(target):
            raise ShapesDisagree(f"{name}: {tensor.shape} holds other elements than {target}")
        return self.emit(
            "RESHAPE",
            [tensor, self.ints(target, f"{name}/shape")],
            target,
            name,
            options={"newShape": target},
        )

    def name(self, wanted: str) -> str:
        """``wanted``, made unique in this graph."""
        unique, count = wanted, 1
        while unique in self._names:
            count += 1
            unique = f"{wanted}_{count}"
        self._names.add(unique)
        return unique

    def refuse(self, node: ir.Node, why: str) -> UnsupportedOperator:
        """The error for a node that cannot be lowered: `raise lowering.refuse(node, "...")`."""
        domain = f"{node.domain}::" if node.domain not in ("", "ai.onnx", *domains.OWN) else ""
        return UnsupportedOperator(domain + node.op_type, str(node.name or node.outputs[0].name), why)

    # -- moving ---------------------------------------------------------------------------------------------

    def _move(self, place: Stored, shape: tuple[int, ...], want: Layout) -> Tensor:
        if place.layout == want:
            return place.tensor
        target = stored_shape(shape, want)
        name = f"{place.tensor.name}/{_letters(want)}"
        if not moves_data(shape, place.layout, want):
            return self.reshape(place.tensor, target, name)
        perm = [place.layout.index(axis) for axis in want]
        return self.transpose(place.tensor, perm, name)

    def transpose(self, tensor: Tensor, perm: Sequence[int], name: str) -> Tensor:
        """Emit a TRANSPOSE, of few axes where some can be taken together."""
        target = [tensor.shape[axis] for axis in perm]
        if len(perm) <= _MAX_TRANSPOSE_RANK:
            return self.emit("TRANSPOSE", [tensor, self.ints(perm, f"{name}/perm")], target, name)
        shape, order = _merged(tensor.shape, perm)
        small = self.reshape(tensor, shape, f"{name}/merged")
        moved_shape = [shape[axis] for axis in order]
        moved = self.emit(
            "TRANSPOSE", [small, self.ints(order, f"{name}/perm")], moved_shape, f"{name}/moved"
        )
        return self.reshape(moved, target, name)


def _merged(shape: Sequence[int], perm: Sequence[int]) -> tuple[list[int], list[int]]:
    """The same transposition with axes that stay neighbours taken together, and those of length one dropped."""
    runs: list[list[int]] = []
    for axis in (axis for axis in perm if shape[axis] != 1):
        follows = (
            runs
            and all(shape[between] == 1 for between in range(runs[-1][-1] + 1, axis))
            and axis > runs[-1][-1]
        )
        if follows:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    ordered = sorted(runs)
    sizes = [int(np.prod([shape[axis] for axis in run])) for run in ordered]
    return sizes, [ordered.index(run) for run in runs]


def _narrowed(array: Array) -> Array:
    """float64 and float16 constants as float32: TFLite kernels have neither."""
    return array.astype(np.float32) if array.dtype in (np.float64, np.float16) else array


def _letters(layout: Layout) -> str:
    return (
        "nhwc" if layout == (0, 2, 3, 1) else "nchw" if layout == (0, 1, 2, 3) else "".join(map(str, layout))
    )
