"""Operators that move or choose elements: reshape, transpose, concatenate, split, slice, pad, resize."""

import onnx_ir as ir

from edgewise_converters.lower.attributes import (
    constant_input,
    int_of,
    ints_of,
    normal_axes,
    string_of,
)  # fmt: skip
from edgewise_converters.lower.layout import (
    CHANNELS_LAST,
    stored_shape,
)  # fmt: skip
from edgewise_converters.lower.lowering import Lowering, lowers

_COORDINATES_OPSET = 11
"""Before it Resize had no choice of coordinates, and its scales were the second input."""
_SCALE_TOLERANCE = 1e-5


@lowers("Resize", "Upsample")
def lower_resize(low: Lowering, node: ir.Node) -> None:
    """RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR, in the coordinate conventions that TFLite shares with ONNX."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    before, after = low.shape(data), low.shape(result)
    if len(before) != 4 or before[:2] != after[:2]:
        raise low.refuse(node, f"it resizes {before} to {after}, expected height and width of four axes")
    _check_scales(low, node, before, after)
    mode = string_of(node, "mode", "nearest")
    align, half = _conventions(low, node, mode, before, after)
    kind = "RESIZE_NEAREST_NEIGHBOR" if mode == "nearest" else "RESIZE_BILINEAR"
    size = low.ints(after[2:], f"{result.name}/size")
    target = stored_shape(after, CHANNELS_LAST)
    inputs = [low.read(data, CHANNELS_LAST), size]
    options = {"alignCorners": align, "halfPixelCenters": half}
    tensor = low.emit(kind, inputs, target, str(result.name), options=options)
    low.bind(result, tensor, CHANNELS_LAST)


def _check_scales(low: Lowering, node: ir.Node, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Refuse what TFLite, which knows the sizes only, would do with another scale than ONNX does."""
    shrinks = any(new < old for old, new in zip(before, after, strict=True))
    if int_of(node, "antialias", 0) and shrinks:
        raise low.refuse(node, "antialias is set")
    policy = string_of(node, "keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise low.refuse(node, f"keep_aspect_ratio_policy is {policy}, expected stretch")
    if "scales" in node.attributes:
        scales: list[float] = list(node.attributes["scales"].as_floats())
    else:
        array = constant_input(node, 1 if low.opset < _COORDINATES_OPSET else 2)
        scales = [] if array is None else array.reshape(-1).tolist()
    axes = normal_axes(ints_of(node, "axes", list(range(len(before)))), len(before))
    for axis, scale in zip(axes, scales, strict=False):
        if abs(before[axis] * scale - after[axis]) > _SCALE_TOLERANCE * after[axis]:
            raise low.refuse(
                node,
                f"scale {scale:g} of {before[axis]} gives a fraction, expected whole pixels; give sizes instead",
            )


def _conventions(
    low: Lowering, node: ir.Node, mode: str, before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[bool, bool]:
    """(alignCorners, halfPixelCenters) of the TFLite operator that reads the same pixels."""
    old = low.opset < _COORDINATES_OPSET
    convention = "asymmetric" if old else string_of(node, "coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        whole = all(new % old == 0 for old, new in zip(before[2:], after[2:], strict=True))
        # Before the attribute existed, growing rounded down and shrinking rounded up.
        rounding = string_of(node, "nearest_mode", "round_prefer_floor")
        if old:
            rounding = "floor" if all(b <= a for b, a in zip(before, after, strict=True)) else "ceil"
        if convention == "asymmetric" and rounding == "floor":
            return False, False
        if whole and convention in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round"):
            return False, False  # every new pixel lies nearest to the old one that floor gives
        raise low.refuse(node, f"nearest with {convention} and {rounding}")
    if mode != "linear":
        raise low.refuse(node, f"its mode is {mode}, expected nearest or linear")
    if convention == "align_corners":
        return True, False
    if convention == "half_pixel" or (convention == "pytorch_half_pixel" and min(after[2:]) > 1):
        return False, True
    if convention == "asymmetric":
        return False, False
    raise low.refuse(node, f"linear with coordinates {convention}")
