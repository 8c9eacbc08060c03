"""Poolings over one, two or three axes of space; channels last."""

from dataclasses import replace
from functools import reduce

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import int_of, ints_of, string_of
from edgewise_converters.lower.broadcasting import keep_in_float
from edgewise_converters.lower.layout import channels_last, stored_shape
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.lower.windows import Sides, Window, pad_window, plan_window
from edgewise_converters.tflite.graph import Tensor

MAX_SPATIAL_AXES = 3


@lowers("MaxPool")
def lower_max_pool(low: Lowering, node: ir.Node) -> None:
    """MaxPool to MAX_POOL_2D; padding other than SAME is filled with the lowest number."""
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        before = len(low.graph.operators)
        _max_with_indices(low, node)
        keep_in_float(low, before)
        return
    f, source = Algebra(low, _name(node)), _source(low, node)
    # Kernels take integers for quantized ones, whose scales these have not.
    tensor = pool(low, "MAX_POOL_2D", f.cast(source, np.float32), _window(low, node), _name(node))
    _bind(low, node, f.cast(tensor, source.dtype))


@lowers("AveragePool")
def lower_average_pool(low: Lowering, node: ir.Node) -> None:
    """AveragePool to AVERAGE_POOL_2D, which leaves padding out of the mean as count_include_pad=0 does."""
    window, name = _window(low, node), _name(node)
    data = node.inputs[0]
    assert data is not None
    declared = _declared(node, window)
    includes = int_of(node, "count_include_pad", 0) and any(side != (0, 0) for side in declared)
    if includes or window.is_dilated:
        window = window.spelled_out()
    tensor = pool(low, "AVERAGE_POOL_2D", _source(low, node), window, name)
    if window.needs_pad:
        counted = declared if includes else ((0, 0),) * len(declared)
        factor = _share_counted(low.shape(data)[2:], window, counted)
        if not np.allclose(factor, 1):
            tensor = Algebra(low, name).mul(tensor, factor[None, ..., None])
    _bind(low, node, tensor)


@lowers("LpPool", in_float=True)
def lower_lp_pool(low: Lowering, node: ir.Node) -> None:
    """(sum of |x|^p)^(1/p) over each window."""
    window, f = _window(low, node).spelled_out(), Algebra(low, _name(node))
    p = int_of(node, "p", 2)
    means = pool(low, "AVERAGE_POOL_2D", _power(f, _source(low, node), p), window, f.name)
    _bind(low, node, _root(f, f.mul(means, float(np.prod(window.kernel))), p))


@lowers("GlobalLpPool", in_float=True)
def lower_global_lp_pool(low: Lowering, node: ir.Node) -> None:
    """(sum of |x|^p)^(1/p) over all of space."""
    f, source, p = Algebra(low, _name(node)), _source(low, node), int_of(node, "p", 2)
    _bind(low, node, _root(f, f.reduce("SUM", _power(f, source, p), range(1, len(source.shape) - 1)), p))


def _power(f: Algebra, tensor: Tensor, p: int) -> Tensor:
    if p == 2:
        return f.mul(tensor, tensor)
    size = f.apply("ABS", tensor)
    return size if p == 1 else f.apply("POW", size, float(p))


def _root(f: Algebra, tensor: Tensor, p: int) -> Tensor:
    if p == 1:
        return tensor
    return f.apply("SQRT", tensor) if p == 2 else f.apply("POW", tensor, 1 / p)


@lowers("GlobalAveragePool", "GlobalMaxPool")
def lower_global_pool(low: Lowering, node: ir.Node) -> None:
    """The mean or maximum over all spatial axes, which stay with length one."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    layout = channels_last(len(low.shape(data)))
    source = low.read(data, layout)
    axes = low.ints(list(range(1, len(layout) - 1)), f"{result.name}/axes")
    kind = "MEAN" if node.op_type == "GlobalAveragePool" else "REDUCE_MAX"
    shape = stored_shape(low.shape(result), layout)
    low.bind(
        result, low.emit(kind, [source, axes], shape, str(result.name), options={"keepDims": True}), layout
    )


def pool(low: Lowering, kind: str, source: Tensor, window: Window, name: str) -> Tensor:
    """MAX_POOL_2D or AVERAGE_POOL_2D over any axes of space; explicit padding is lowest or zero."""
    f = Algebra(low, name)
    batch, channels = source.shape[0], source.shape[-1]
    if window.is_dilated:
        return _slide(f, kind, source, window)
    if len(window.kernel) == 1:
        plane = f.reshape(source, (batch, 1, source.shape[1], channels))
        return f.reshape(
            _pool_plane(low, kind, plane, window.over_a_plane(), name), (batch, *window.output, channels)
        )
    if len(window.kernel) == 2:
        return _pool_plane(low, kind, source, window, name)
    depth, height, width = source.shape[1:4]
    slices = f.reshape(source, (batch * depth, height, width, channels))
    flat = _pool_plane(low, kind, slices, window.of([1, 2]), f"{name}/slices")
    # Along the depth: a plane in which height and width are one axis, which the window does not cross.
    columns = f.reshape(flat, (batch, depth, flat.shape[1] * flat.shape[2], channels))
    line = window.of([0]).over_a_plane(line=0)
    line = replace(line, output=(window.output[0], columns.shape[2]))
    deep = _pool_plane(low, kind, columns, line, f"{name}/depth")
    return f.reshape(deep, (batch, *window.output, channels))


def _pool_plane(low: Lowering, kind: str, source: Tensor, window: Window, name: str) -> Tensor:
    fill = _lowest(source.dtype) if kind == "MAX_POOL_2D" else None
    options = {
        "padding": window.padding,
        "strideH": window.strides[0],
        "strideW": window.strides[1],
        "filterHeight": window.kernel[0],
        "filterWidth": window.kernel[1],
    }
    source = pad_window(low, source, window, name, fill=fill)
    shape = (source.shape[0], *window.output, source.shape[3])
    return low.emit(kind, [source], shape, name, options=options)


def _slide(f: Algebra, kind: str, source: Tensor, window: Window) -> Tensor:
    """A dilated pooling: axis by axis the maximum or mean of shifted slices."""
    largest = kind == "MAX_POOL_2D"
    window = window.spelled_out()
    before = len(f.low.graph.operators)
    sides = [(0, 0), *window.explicit, (0, 0)]
    tensor = f.pad(source, sides, _lowest(source.dtype) if largest else 0.0)
    for axis, (size, output) in enumerate(zip(window.kernel, window.output, strict=True)):
        slices = [_offset(f, tensor, window, axis, i, output) for i in range(size)]
        tensor = reduce(lambda a, b: f.apply("MAXIMUM" if largest else "ADD", a, b), slices)
    tensor = tensor if largest else f.mul(tensor, 1 / float(np.prod(window.kernel)))
    keep_in_float(f.low, before)  # int8 has no number below all others to pad with
    return tensor


def _offset(f: Algebra, tensor: Tensor, window: Window, axis: int, i: int, output: int) -> Tensor:
    """What the ``i``-th place of the window sees along one axis of space."""
    begin, stride = i * window.dilations[axis], window.strides[axis]
    return f.part(tensor, axis + 1, begin, begin + (output - 1) * stride + 1, stride)


def _max_with_indices(low: Lowering, node: ir.Node) -> None:
    """The maxima and where in the flattened input each was found: one comparison per place of the window."""
    window, source, f = _window(low, node).spelled_out(), _source(low, node), Algebra(low, _name(node))
    space = source.shape[1:-1]
    padded = f.pad(source, [(0, 0), *window.explicit, (0, 0)], _lowest(source.dtype))
    order = "F" if int_of(node, "storage_order", 0) else "C"
    numbers = np.arange(int(np.prod(space))).reshape(space, order=order)  # type: ignore[call-overload]  # numpy's overloads want literals
    numbers = np.pad(numbers, window.explicit)
    best: Tensor | None = None
    where: Tensor | None = None
    for places in np.ndindex(*window.kernel):
        value, steps = padded, []
        for axis, (i, output) in enumerate(zip(places, window.output, strict=True)):
            value = _offset(f, value, window, axis, i, output)
            begin, stride = i * window.dilations[axis], window.strides[axis]
            steps.append(slice(begin, begin + (output - 1) * stride + 1, stride))
        number = f.constant(numbers[tuple(steps)][None, ..., None], np.int32)
        if best is None or where is None:
            best, where = value, number
            continue
        where = f.where(f.apply("GREATER", value, best), number, where)
        best = f.apply("MAXIMUM", value, best)
    assert best is not None and where is not None
    pictures = np.arange(source.shape[0] * source.shape[-1]).reshape(source.shape[0], source.shape[-1])
    first = (pictures * int(np.prod(space))).reshape(source.shape[0], *(1 for _ in space), source.shape[-1])
    _bind(low, node, best)
    indices = f.cast(f.apply("ADD", where, first), np.int64)
    low.bind(node.outputs[1], indices, channels_last(len(source.shape)))


@lowers("MaxUnpool")
def lower_max_unpool(low: Lowering, node: ir.Node) -> None:
    """Every maximum back to where it was found, by SCATTER_ND."""
    data, indices, result = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    kernel = ints_of(node, "kernel_shape", [])
    strides = ints_of(node, "strides", [1] * len(kernel))
    if any(stride < size for stride, size in zip(strides, kernel, strict=True)):
        raise low.refuse(node, "its windows overlap, expected strides as large as the kernel")
    f = Algebra(low, _name(node))
    values = low.read(data)
    count = int(np.prod(values.shape))
    shape = low.shape(result)
    where = f.reshape(f.cast(low.read(indices), np.int32), (count, 1))
    size = low.ints([int(np.prod(shape))], f"{f.name}/size")
    flat = low.emit(
        "SCATTER_ND",
        [where, f.reshape(values, (count,)), size],
        [int(np.prod(shape))],
        f.name,
        dtype=values.dtype,
    )
    low.bind(result, f.reshape(flat, shape))


def _share_counted(space: tuple[int, ...], window: Window, counted: Sides) -> Array:
    """How many places a window has, by how many of them count; [*output]."""
    share = np.ones(())
    for axis, size in enumerate(space):
        starts = np.arange(window.output[axis]) * window.strides[axis] - window.pads[axis][0]
        places = starts[:, None] + np.arange(window.kernel[axis])[None, :] * window.dilations[axis]
        before, after = counted[axis]
        within = (places >= -before) & (places < size + after)
        share = np.multiply.outer(share, window.kernel[axis] / np.maximum(within.sum(axis=1), 1))
    return share


def _declared(node: ir.Node, window: Window) -> Sides:
    """What is padded, without what ceil_mode adds."""
    if string_of(node, "auto_pad", "NOTSET") != "NOTSET":
        return window.pads
    count = len(window.kernel)
    pads = ints_of(node, "pads", [0] * (2 * count))
    return tuple((pads[a], pads[a + count]) for a in range(count))


def _lowest(dtype: np.dtype[np.generic]) -> float:
    return float(np.finfo(np.float32).min if dtype.kind == "f" else np.iinfo(dtype.name).min)


def _name(node: ir.Node) -> str:
    return str(node.outputs[0].name)


def _window(low: Lowering, node: ir.Node) -> Window:
    kernel, data = ints_of(node, "kernel_shape", []), node.inputs[0]
    assert data is not None
    if not 1 <= len(kernel) <= MAX_SPATIAL_AXES:
        raise low.refuse(node, f"it has {len(kernel)} spatial axes, expected 1 to {MAX_SPATIAL_AXES}")
    return plan_window(node, low.shape(data)[2:], kernel, low.shape(node.outputs[0])[2:])


def _source(low: Lowering, node: ir.Node) -> Tensor:
    data = node.inputs[0]
    assert data is not None
    return low.read(data, channels_last(len(low.shape(data))))


def _bind(low: Lowering, node: ir.Node, tensor: Tensor) -> None:
    low.bind(node.outputs[0], tensor, channels_last(len(tensor.shape)))
