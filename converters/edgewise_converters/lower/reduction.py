"""Reductions along axes."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgewise_converters.lower import integers
from edgewise_converters.lower.attributes import input_of, int_of, ints_of_either, normal_axes
from edgewise_converters.lower.broadcasting import keep_in_float
from edgewise_converters.lower.formula import Formula
from edgewise_converters.lower.layout import stored_shape, without_axes
from edgewise_converters.lower.lowering import Lowering, Stored, lowers
from edgewise_converters.tflite.graph import Tensor

_LARGEST = float(np.finfo(np.float32).max)


class _Axes:
    """Reduces tensors of one shape over the same stored axes."""

    def __init__(self, f: Formula, place: Stored, gone: Sequence[int]) -> None:
        self.f = f
        self.gone = sorted(place.layout.index(axis) for axis in gone)
        self.kept_shape = [1 if i in self.gone else dim for i, dim in enumerate(place.tensor.shape)]
        self.count = int(np.prod([place.tensor.shape[i] for i in self.gone]))

    def __call__(self, kind: str, tensor: Tensor) -> Tensor:
        """One builtin; the axes stay, of length one."""
        where = self.f.low.ints(self.gone, f"{self.f.name}/axes")
        name = f"{self.f.name}/{kind.lower()}"
        return self.f.low.emit(kind, [tensor, where], self.kept_shape, name, options={"keepDims": True})


def _mean(f: Formula, over: _Axes, x: Tensor) -> Tensor:
    if x.is_float:
        return over("MEAN", x)
    # MEAN of integers rounds in its own way.
    return integers.divide(f, over("SUM", x), f.constant(over.count, x.dtype))


def _extreme(kind: str, of_booleans: str) -> Callable[[Formula, _Axes, Tensor], Tensor]:
    return lambda f, over, x: over(of_booleans if x.dtype == np.bool_ else kind, x)


def _absolute(f: Formula, x: Tensor) -> Tensor:
    return f("ABS", x) if x.is_float else integers.absolute(f, x)


def _root(f: Formula, total: Tensor) -> Tensor:
    return f.cast(f("SQRT", f.cast(total, np.float32)), total.dtype)


def _log(f: Formula, total: Tensor) -> Tensor:
    return f.cast(f("LOG", f.cast(total, np.float32)), total.dtype)


def _log_sum_exp(f: Formula, over: _Axes, x: Tensor) -> Tensor:
    """log(sum(exp(x - max))) + max, which overflows nowhere; infinities are no maximum to subtract."""
    real = f.cast(x, np.float32)
    largest = f("MINIMUM", f("MAXIMUM", over("REDUCE_MAX", real), -_LARGEST), _LARGEST)
    total = f("LOG", over("SUM", f("EXP", f("SUB", real, largest))))
    return f.cast(f("ADD", total, largest), x.dtype)


_REDUCERS: dict[str, Callable[[Formula, _Axes, Tensor], Tensor]] = {
    "ReduceMean": _mean,
    "ReduceSum": lambda _, over, x: over("SUM", x),
    "ReduceProd": lambda _, over, x: over("REDUCE_PROD", x),
    "ReduceMax": _extreme("REDUCE_MAX", "REDUCE_ANY"),
    "ReduceMin": _extreme("REDUCE_MIN", "REDUCE_ALL"),
    "ReduceL1": lambda f, over, x: over("SUM", _absolute(f, x)),
    "ReduceL2": lambda f, over, x: _root(f, over("SUM", f("MUL", x, x))),
    "ReduceSumSquare": lambda f, over, x: over("SUM", f("MUL", x, x)),
    "ReduceLogSum": lambda f, over, x: _log(f, over("SUM", x)),
    "ReduceLogSumExp": _log_sum_exp,
}


@lowers(*_REDUCERS)
def lower_reduce(low: Lowering, node: ir.Node) -> None:
    """A reduction over constant axes, wherever they are stored."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    place = low.stored(data)
    rank = len(place.layout)
    axes = ints_of_either(node, "axes", 1)
    if axes is None and input_of(node, 1) is not None:
        raise low.refuse(node, "its axes are computed, expected constants")
    if not axes and int_of(node, "noop_with_empty_axes", 0):
        low.bind(result, place.tensor, place.layout)
        return
    if 0 in place.tensor.shape:
        raise low.refuse(node, f"its input is empty, of shape {low.shape(data)}; expected some elements")
    axes = normal_axes(axes or list(range(rank)), rank)
    f = Formula(low, str(result.name))
    before = len(low.graph.operators)
    tensor = _REDUCERS[node.op_type](f, _Axes(f, place, axes), place.tensor)
    if len(low.graph.operators) > before + 1:
        keep_in_float(low, before)
    layout = place.layout
    if not int_of(node, "keepdims", 1):
        layout = without_axes(layout, axes)
        tensor = _without_ones(low, tensor, stored_shape(low.shape(result), layout))
    tensor.name = low.name(f.name)
    low.bind(result, tensor, layout)


def _without_ones(low: Lowering, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The reduction itself leaves its axes out where it came last; otherwise a reshape does."""
    last = low.graph.operators[-1]
    if last.output is tensor and "keepDims" in last.options:
        last.options["keepDims"] = False
        tensor.shape = shape
        return tensor
    return low.reshape(tensor, shape, f"{tensor.name}/kept")
