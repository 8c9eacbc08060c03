"""Resize in every mode, in both runtimes, against onnxruntime."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, kinds

X, W = (1, 3, 6, 5), (3, 3, 1, 1)


def resize(
    attributes: str, *, scales: tuple[float, ...] = (), sizes: tuple[int, ...] = (), **values: object
) -> Case:
    """A Resize behind a convolution, so that its input has its channels last."""
    values = {"x": X, "w": W, **values}
    if scales:
        body = f"a = Conv(x, w) y = Resize<{attributes}>(a, , s)"
        return case(body, s=np.array(scales, np.float32), opset=19, **values)  # type: ignore[arg-type]  # keywords by name, checked when called
    body = f"a = Conv(x, w) y = Resize<{attributes}>(a, , , s)"
    return case(body, s=np.array(sizes, np.int64), opset=19, **values)  # type: ignore[arg-type]  # keywords by name, checked when called


BROKEN, DOWN = (1.0, 1.0, 1.7, 1.3), (1.0, 1.0, 0.6, 0.7)
CONVENTIONS = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
RESIZES = {
    f"{mode} {convention} {scale}": resize(
        f'mode="{mode}",coordinate_transformation_mode="{convention}"', scales=BROKEN if scale == "up" else DOWN
    )
    for mode in ("nearest", "linear", "cubic")
    for convention in CONVENTIONS
    for scale in ("up", "down")
} | {
    f"nearest {rounding}": resize(f'mode="nearest",nearest_mode="{rounding}"', sizes=(1, 3, 9, 4))
    for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
} | {
    "linear antialias": resize('mode="linear",antialias=1', scales=(1.0, 1.0, 0.5, 0.4)),
    "cubic antialias": resize('mode="cubic",antialias=1', sizes=(1, 3, 3, 2)),
    "cubic, nothing outside": resize('mode="cubic",exclude_outside=1,cubic_coeff_a=-0.5', sizes=(1, 3, 11, 9)),
    "channels": resize('mode="nearest"', scales=(1.0, 2.0, 1.0, 1.0)),
    "axes": resize('mode="linear",axes=[3,2]', sizes=(8, 9)),
    "not larger": resize('mode="nearest",axes=[2,3],keep_aspect_ratio_policy="not_larger"', sizes=(9, 12)),
    "not smaller": resize('mode="linear",axes=[2,3],keep_aspect_ratio_policy="not_smaller"', sizes=(7, 9)),
    "one pixel": resize('mode="linear",coordinate_transformation_mode="pytorch_half_pixel"', sizes=(1, 3, 1, 1)),
    "region": case(
        'y = Resize<mode="linear",coordinate_transformation_mode="tf_crop_and_resize",extrapolation_value=7.0>'
        "(x, r, , s)",
        x=X, r=np.array([0, 0, 0.2, -0.3, 1, 1, 0.7, 1.2], np.float32), s=np.array([1, 3, 4, 7], np.int64), opset=19,
    ),
    "line": case('y = Resize<mode="linear">(x, , s)', x=(2, 3, 9), s=np.array([1, 1, 1.5], np.float32), opset=19),
    "volume": case('y = Resize<mode="linear">(x, , s)',
                   x=(1, 2, 4, 5, 3), s=np.array([1, 1, 2, 2, 2], np.float32), opset=19),
    "volume, nearest": case('y = Resize<mode="nearest">(x, , s)',
                            x=(1, 2, 4, 5, 3), s=np.array([1, 1, 2, 2, 2], np.float32), opset=19),
    "whole numbers": case('y = Resize<mode="nearest">(x, , s)',
                          x=np.arange(12, dtype=np.int32).reshape(1, 1, 3, 4), s=np.array([1, 1, 2, 2], np.float32)),
}  # fmt: skip


@pytest.mark.parametrize("this", RESIZES.values(), ids=RESIZES)
def test_resize_answers_as_onnxruntime(this: Case) -> None:
    check(this)


def test_what_tflite_resizes_alike_is_its_own_operator() -> None:
    doubled = (1.0, 1.0, 2.0, 2.0)
    assert kinds(check(resize('mode="linear"', scales=doubled))) == ["CONV_2D", "RESIZE_BILINEAR"]
    assert kinds(check(resize('mode="nearest"', scales=doubled))) == ["CONV_2D", "RESIZE_NEAREST_NEIGHBOR"]


def test_cubic_is_a_product_for_each_axis() -> None:
    assert kinds(check(RESIZES["cubic half_pixel up"])).count("BATCH_MATMUL") == 2
