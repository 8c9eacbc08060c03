"""Resize and Upsample: TFLite's own operator where it reads the same pixels, else a product per axis."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import (
    constant_input,
    float_of,
    input_of,
    int_of,
    ints_of,
    normal_axes,
    string_of,
)  # fmt: skip
from edgewise_converters.lower.broadcasting import keep_in_float
from edgewise_converters.lower.interpolation import AxisResize, Kernel, matrix, nearest
from edgewise_converters.lower.layout import CHANNELS_LAST, stored_shape
from edgewise_converters.lower.lowering import Lowering, Stored, lowers
from edgewise_converters.tflite.graph import Tensor

_COORDINATES_OPSET = 11
"""Before it Resize had no choice of coordinates, and its scales were the second input."""
_SCALE_TOLERANCE = 1e-5
_NATIVE_NEAREST = frozenset({np.dtype(t) for t in (np.float32, np.int8, np.uint8, np.int16)})


@dataclass(frozen=True)
class _Plan:
    """What a Resize node asks for."""

    mode: str
    convention: str
    rounding: str
    """nearest_mode; "" where each axis decides by growing or shrinking (before opset 11)."""
    kernel: Kernel
    axes: dict[int, AxisResize]
    """By ONNX axis, those that change."""
    fill: float

    def rounding_of(self, axis: AxisResize) -> str:
        return self.rounding or ("floor" if axis.scale >= 1 else "ceil")


@lowers("Resize", "Upsample")
def lower_resize(low: Lowering, node: ir.Node) -> None:
    """RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR over height and width, else GATHER or matrices axis by axis."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    plan = _plan(low, node)
    if len(low.shape(data)) == 4 and set(plan.axes) <= {2, 3}:
        source = low.read(data, CHANNELS_LAST)
        place = Stored(source, CHANNELS_LAST)
        convention = _native(plan, source.dtype)
        if plan.axes and convention is not None:
            low.bind(result, _resize(low, result, source, plan.mode, convention), CHANNELS_LAST)
            return
    else:
        place = low.stored(data)
    if plan.mode != "nearest" and place.tensor.dtype != np.float32:
        raise low.refuse(node, f"it interpolates {place.tensor.dtype} numbers, expected float32")
    low.bind(result, _axis_by_axis(Algebra(low, str(result.name)), place, plan), place.layout)


def _resize(
    low: Lowering, result: ir.Value, source: Tensor, mode: str, convention: tuple[bool, bool]
) -> Tensor:
    after = low.shape(result)
    kind = "RESIZE_NEAREST_NEIGHBOR" if mode == "nearest" else "RESIZE_BILINEAR"
    size = low.ints(after[2:], f"{result.name}/size")
    options = {"alignCorners": convention[0], "halfPixelCenters": convention[1]}
    return low.emit(
        kind, [source, size], stored_shape(after, CHANNELS_LAST), str(result.name), options=options
    )


def _plan(low: Lowering, node: ir.Node) -> _Plan:
    old = low.opset < _COORDINATES_OPSET
    mode = string_of(node, "mode", "nearest")
    if mode not in ("nearest", "linear", "cubic"):
        raise low.refuse(node, f"its mode is {mode}, expected nearest, linear or cubic")
    kernel = Kernel(
        cubic=mode == "cubic",
        coefficient=float_of(node, "cubic_coeff_a", -0.75),
        antialias=bool(int_of(node, "antialias", 0)),
        exclude_outside=bool(int_of(node, "exclude_outside", 0)),
    )
    convention = "asymmetric" if old else string_of(node, "coordinate_transformation_mode", "half_pixel")
    rounding = "" if old else string_of(node, "nearest_mode", "round_prefer_floor")
    axes = _axes(low, node, convention)
    return _Plan(mode, convention, rounding, kernel, axes, float_of(node, "extrapolation_value", 0.0))


def _axes(low: Lowering, node: ir.Node, convention: str) -> dict[int, AxisResize]:
    data = node.inputs[0]
    assert data is not None
    before, after = low.shape(data), low.shape(node.outputs[0])
    named = normal_axes(ints_of(node, "axes", list(range(len(before)))), len(before))
    scales = _scales(low, node, [before[a] for a in named], [after[a] for a in named])
    roi = constant_input(node, 1) if convention == "tf_crop_and_resize" else None
    if convention == "tf_crop_and_resize" and (roi is None or roi.size != 2 * len(named)):
        raise low.refuse(node, "its region of interest is computed or missing, expected constants")
    axes = {}
    for i, (axis, scale) in enumerate(zip(named, scales, strict=True)):
        start, end = (0.0, 1.0) if roi is None else (float(roi[i]), float(roi[i + len(named)]))
        if before[axis] != after[axis] or scale != 1.0 or (start, end) != (0.0, 1.0):
            axes[axis] = AxisResize(before[axis], after[axis], scale, convention, start, end)
    return axes


def _scales(low: Lowering, node: ir.Node, before: list[int], after: list[int]) -> list[float]:
    """The factor of every axis named: given, or what the sizes amount to."""
    if "scales" in node.attributes:
        return list(node.attributes["scales"].as_floats())
    index = 1 if low.opset < _COORDINATES_OPSET else 2
    given = constant_input(node, index)
    if given is not None and given.size:
        return [float(scale) for scale in given.reshape(-1)]
    sizes = constant_input(node, 3)
    if input_of(node, index) is not None and given is None and sizes is None:
        raise low.refuse(node, "its scales are computed, expected constants")
    policy = string_of(node, "keep_aspect_ratio_policy", "stretch")
    wanted = [int(size) for size in sizes.reshape(-1)] if sizes is not None else after
    ratios = [float(np.float32(new) / np.float32(old)) for old, new in zip(before, wanted, strict=True)]
    if policy == "stretch":
        return ratios
    return [min(ratios) if policy == "not_larger" else max(ratios)] * len(ratios)


def _native(plan: _Plan, dtype: np.dtype[np.generic]) -> tuple[bool, bool] | None:
    """(alignCorners, halfPixelCenters) of the TFLite operator that reads the same pixels; None if there is none."""
    axes = list(plan.axes.values())
    if any(abs(a.size * a.scale - a.result) > _SCALE_TOLERANCE * a.result for a in axes):
        return None  # TFLite, which knows the sizes only, would take another scale
    if plan.mode == "nearest":
        whole = all(a.result % a.size == 0 for a in axes)
        if dtype not in _NATIVE_NEAREST:
            return None
        if plan.convention == "asymmetric" and all(plan.rounding_of(a) == "floor" for a in axes):
            return False, False
        centred = plan.convention in ("half_pixel", "pytorch_half_pixel")
        # Every new pixel lies nearest to the old one that floor gives.
        return (False, False) if whole and centred and plan.rounding.startswith("round") else None
    shrinks = any(a.result < a.size for a in axes)
    if plan.mode != "linear" or dtype != np.float32 or (plan.kernel.antialias and shrinks):
        return None
    if plan.kernel.exclude_outside:
        return None
    least = min((a.result for a in axes), default=1)
    if plan.convention == "half_pixel" or (plan.convention == "pytorch_half_pixel" and least > 1):
        return False, True
    return {"align_corners": (True, False), "asymmetric": (False, False)}.get(plan.convention)


def _axis_by_axis(f: Algebra, place: Stored, plan: _Plan) -> Tensor:
    """The axes that shrink most first."""
    tensor, before = place.tensor, len(f.low.graph.operators)
    outside: Array = np.zeros((1,) * len(tensor.shape), bool)
    for axis, resize in sorted(plan.axes.items(), key=lambda item: item[1].result / item[1].size):
        where = place.layout.index(axis)
        shape = [1] * len(tensor.shape)
        shape[where] = resize.result
        outside = outside | resize.outside().reshape(shape)
        if plan.mode == "nearest":
            tensor = f.gather(tensor, nearest(resize, plan.rounding_of(resize)), where)
        else:
            tensor = combine(f, tensor, where, matrix(resize, plan.kernel))
    if outside.any():
        kept = f.mul(tensor, np.where(outside, 0.0, 1.0))
        tensor = f.add(kept, np.where(outside, plan.fill, 0.0))
    if plan.mode != "nearest":
        keep_in_float(f.low, before)
    return tensor


def combine(f: Algebra, tensor: Tensor, axis: int, weights: Array) -> Tensor:
    """Each entry along ``axis`` as a sum of the old ones: ``weights`` are [new, old]."""
    before, after = tensor.shape[:axis], tensor.shape[axis + 1 :]
    target = (*before, weights.shape[0], *after)
    rest = int(np.prod(after))
    if rest == 1:
        rows = f.reshape(tensor, (int(np.prod(before)), weights.shape[1]))
        bias = f.constant(np.zeros(weights.shape[0]))
        inputs = [rows, f.constant(weights), bias]
        shape = (rows.shape[0], weights.shape[0])
        return f.reshape(f.low.emit("FULLY_CONNECTED", inputs, shape, f"{f.name}/product"), target)
    blocks = f.reshape(tensor, (int(np.prod(before)), weights.shape[1], rest))
    return f.reshape(f.product(f.constant(weights[None]), blocks), target)
