"""Operators that move elements, mostly behind a convolution, where data lies in NHWC."""

import numpy as np
import pytest
from converters.onnx_cases import Case, case, check, check_or_refused, kinds

X = (1, 4, 5, 6)
W = (4, 4, 1, 1)


def ints(*values: int) -> np.ndarray:  # type: ignore[type-arg]  # a shape of no interest
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:  # type: ignore[type-arg]  # a shape of no interest
    return np.array(values, np.float32)


RESHAPES = {
    "flatten": case("a = Conv(x, w) y = Flatten(a)", x=X, w=W),
    "flatten from axis 2": case("a = Conv(x, w) y = Flatten<axis=2>(a)", x=X, w=W),
    "flatten from axis -1": case("a = Conv(x, w) y = Flatten<axis=-1>(a)", x=X, w=W),
    "flatten from axis 0": case("a = Conv(x, w) y = Flatten<axis=0>(a)", x=X, w=W),
    "space joined": case("a = Conv(x, w) y = Reshape(a, s)", x=X, w=W, s=ints(1, 4, -1)),
    "channels split": case("a = Conv(x, w) b = Reshape(a, s) y = Relu(b)", x=X, w=W, s=ints(1, 2, 2, 5, 6)),
    "channels and space mixed": case("a = Conv(x, w) y = Reshape(a, s)", x=X, w=W, s=ints(1, 10, 12)),
    "zero copies a dimension": case("a = Conv(x, w) y = Reshape(a, s)", x=X, w=W, s=ints(0, 0, 30)),
    "to one axis": case("a = Conv(x, w) y = Reshape(a, s)", x=X, w=W, s=ints(-1)),
    "squeeze": case("a = GlobalAveragePool(x) y = Squeeze(a, s)", x=X, s=ints(2, 3)),
    "squeeze all": case("a = GlobalAveragePool(x) y = Squeeze(a)", x=X),
    "squeeze at opset 11": case("a = GlobalAveragePool(x) y = Squeeze<axes=[2,3]>(a)", x=X, opset=11),
    "squeeze the batch": case("a = Conv(x, w) y = Squeeze(a, s)", x=X, w=W, s=ints(0)),
    "unsqueeze": case("a = Conv(x, w) y = Unsqueeze(a, s)", x=X, w=W, s=ints(2)),
    "unsqueeze at opset 11": case("y = Unsqueeze<axes=[0,3]>(x)", x=(4, 5), opset=11),
    "unsqueeze of a vector before a product": case(
        "a = Unsqueeze(x2, s) b = Conv(x, w) y = Mul(b, a)", x=X, w=W, x2=(1, 4), s=ints(2, 3)
    ),
    "reshape to image": case("a = Reshape(x, s) y = Conv(a, w)", x=(1, 120), w=W, s=ints(*X)),
    "allowzero": case("y = Reshape<allowzero=1>(x, s)", x=X, s=ints(1, 4, 30)),
}
SHUFFLE = case(
    "a = Conv(x, w) b = Reshape(a, s) c = Transpose<perm=[0,2,1,3,4]>(b) d = Reshape(c, t) y = Conv(d, w)",
    x=(1, 6, 5, 4), w=(6, 6, 1, 1), s=ints(1, 2, 3, 5, 4), t=ints(1, 6, 5, 4),
)  # fmt: skip
TRANSPOSES = {
    "alone": case("y = Transpose<perm=[0,2,3,1]>(x)", x=X),
    "reversed": case("y = Transpose(x)", x=(2, 3, 4)),
    "behind a convolution": case("a = Conv(x, w) y = Transpose<perm=[0,2,3,1]>(a)", x=X, w=W),
    "there and back": case(
        "a = Conv(x, w) b = Transpose<perm=[0,2,3,1]>(a) c = Relu(b) d = Transpose<perm=[0,3,1,2]>(c) y = Conv(d, w)",
        x=X, w=W,
    ),
    "dense over channels": case(
        "a = Conv(x, w) b = Transpose<perm=[0,2,3,1]>(a) c = MatMul(b, m) d = Transpose<perm=[0,3,1,2]>(c) "
        "y = Conv(d, w)",
        x=X, w=W, m=(4, 4),
    ),
    "NHWC model": case("a = Transpose<perm=[0,3,1,2]>(x) b = Conv(a, w) y = Transpose<perm=[0,2,3,1]>(b)",
                       x=(1, 5, 6, 4), w=W),
    "five axes": case("y = Transpose<perm=[0,3,1,4,2]>(x)", x=(2, 3, 2, 4, 2)),
    "six axes": case("y = Transpose<perm=[0,1,4,2,5,3]>(x)", x=(1, 2, 3, 4, 2, 3)),
    "pixel shuffle by hand": case(
        "a = Reshape(x, s) b = Transpose<perm=[0,1,4,2,5,3]>(a) y = Reshape(b, t)",
        x=(1, 8, 3, 4), s=ints(1, 2, 2, 2, 3, 4), t=ints(1, 2, 6, 8),
    ),
    "channel shuffle": SHUFFLE,
    "output also used": case("a = Conv(x, w) y = Transpose<perm=[0,2,1,3]>(a) y2 = Relu(a)", x=X, w=W),
}  # fmt: skip
JOINS = {
    "concat channels": case("a = Conv(x, w) b = Relu(x) y = Concat<axis=1>(a, b)", x=X, w=W),
    "concat last axis": case("a = Conv(x, w) y = Concat<axis=-1>(a, x)", x=X, w=W),
    "concat with a constant": case("a = Conv(x, w) y = Concat<axis=1>(a, c)", x=X, w=W, c=(1, 2, 5, 6)),
    "concat three vectors": case("y = Concat<axis=1>(x, x2, x)", x=(2, 3), x2=(2, 4)),
    "concat after concat": case("a = Concat<axis=1>(x, x) y = Concat<axis=1>(a, x)", x=X),
    "split equal": case("a = Conv(x, w) y, y2 = Split<axis=1>(a)", x=X, w=W, opset=13),
    "split sizes": case("a = Conv(x, w) y, y2 = Split<axis=1>(a, s)", x=X, w=W, s=ints(1, 3)),
    "split at opset 11": case("a = Conv(x, w) y, y2 = Split<axis=1,split=[1,3]>(a)", x=X, w=W, opset=11),
    "split at opset 18": case("a = Conv(x, w) y, y2 = Split<axis=1,num_outputs=2>(a)", x=X, w=W, opset=18),
    "split unevenly at opset 18": case("y, y2, y3 = Split<axis=2,num_outputs=3>(x)", x=X, opset=18),
    "half of a split unused": case("a, b = Split<axis=1>(x) y = Relu(b)", x=X, opset=13),
    "slice": case("a = Conv(x, w) y = Slice(a, s, e, axes)", x=X, w=W, s=ints(1), e=ints(3), axes=ints(1)),
    "slice with steps": case(
        "y = Slice(x, s, e, axes, t)", x=X, s=ints(1, 0), e=ints(2**62, -1), axes=ints(-2, 3), t=ints(2, 3)
    ),
    "slice from the end": case("y = Slice(x, s, e, axes)", x=X, s=ints(-3), e=ints(-1), axes=ints(2)),
    "slice at opset 9": case("y = Slice<starts=[1],ends=[9],axes=[2]>(x)", x=X, opset=9),
    "slice without axes": case("y = Slice(x, s, e)", x=(4, 5), s=ints(1, 2), e=ints(3, 5)),
    "gather": case("y = Gather<axis=1>(x, i)", x=X, i=ints(2, 0, -1)),
    "gather one": case("a = Conv(x, w) y = Gather<axis=2>(a, i)", x=X, w=W, i=np.int64(-2)),
    "gather a matrix": case("y = Gather(x, i)", x=(5, 3), i=np.array([[0, 4], [2, 1]])),
    "embedding": case("y = Gather(c, x)", x=np.array([[3, 1, 4]], np.int64), c=(6, 8)),
    "expand": case("y = Expand(x, s)", x=(1, 4, 1), s=ints(2, 4, 3)),
    "expand by rank": case("y = Expand(x, s)", x=(3,), s=ints(2, 1)),
    "tile": case("a = Conv(x, w) y = Tile(a, r)", x=X, w=W, r=ints(1, 2, 1, 3)),
    "depth to space": case("y = DepthToSpace<blocksize=2>(x)", x=(1, 8, 3, 4)),
    "depth to space CRD": case('y = DepthToSpace<blocksize=2,mode="CRD">(x)', x=(1, 12, 3, 4)),
    "space to depth": case("y = SpaceToDepth<blocksize=2>(x)", x=(1, 3, 4, 6)),
}
PADS = {
    "spatial zeros": case("a = Relu(x) b = Pad(a, p) y = MaxPool<kernel_shape=[2,2]>(b)",
                          x=X, p=ints(0, 0, 1, 2, 0, 0, 3, 0)),
    "channels": case("a = Conv(x, w) y = Pad(a, p)", x=X, w=W, p=ints(0, 1, 0, 0, 0, 2, 0, 0)),
    "another number": case("a = Conv(x, w) y = Pad(a, p, v)",
                           x=X, w=W, p=ints(0, 0, 1, 1, 0, 0, 1, 1), v=np.float32(-2)),
    "reflect": case('y = Pad<mode="reflect">(x, p)', x=X, p=ints(0, 0, 1, 2, 0, 0, 2, 1)),
    "axes": case("y = Pad(x, p, , axes)", x=X, p=ints(1, 2, 0, 1), axes=ints(2, -1), opset=18),
    "opset 10": case("y = Pad<pads=[0,0,1,1,0,0,0,2],value=1.5>(x)", x=X, opset=10),
    "before a convolution": case("a = Pad(x, p) y = Conv(a, w)", x=X, w=(4, 4, 3, 3), p=ints(0, 0, 1, 1, 0, 0, 1, 1)),
}  # fmt: skip
COORDINATES = "coordinate_transformation_mode"
RESIZES = {
    "nearest twice": case(f'y = Resize<mode="nearest",{COORDINATES}="asymmetric",nearest_mode="floor">(x, , s)',
                          x=X, s=floats(1, 1, 2, 2)),
    "nearest by default": case('y = Resize<mode="nearest">(x, , s)', x=X, s=floats(1, 1, 3, 2)),
    "nearest to sizes": case(f'y = Resize<mode="nearest",{COORDINATES}="asymmetric",nearest_mode="floor">(x, , , s)',
                             x=X, s=ints(1, 4, 8, 9)),
    "linear twice": case('y = Resize<mode="linear">(x, , s)', x=X, s=floats(1, 1, 2, 2)),
    "linear to sizes": case('y = Resize<mode="linear">(x, , , s)', x=X, s=ints(1, 4, 7, 11)),
    "linear pytorch": case(f'y = Resize<mode="linear",{COORDINATES}="pytorch_half_pixel">(x, , , s)',
                           x=X, s=ints(1, 4, 10, 12)),
    "linear aligned": case(f'y = Resize<mode="linear",{COORDINATES}="align_corners">(x, , , s)',
                           x=X, s=ints(1, 4, 9, 11)),
    "linear asymmetric": case(f'y = Resize<mode="linear",{COORDINATES}="asymmetric">(x, , s)',
                              x=X, s=floats(1, 1, 2, 2)),
    "linear smaller": case('y = Resize<mode="linear">(x, , , s)', x=(1, 4, 8, 12), s=ints(1, 4, 4, 6)),
    "nearest at opset 10": case('y = Resize<mode="nearest">(x, s)', x=X, s=floats(1, 1, 2, 2), opset=10),
    "linear at opset 10": case('y = Resize<mode="linear">(x, s)', x=X, s=floats(1, 1, 2, 2), opset=10),
    "nearest at opset 11": case(f'y = Resize<mode="nearest",{COORDINATES}="asymmetric",nearest_mode="floor">(x, r, s)',
                                x=X, r=floats(), s=floats(1, 1, 2, 2), opset=11),
    "linear at opset 13 to sizes": case('y = Resize<mode="linear">(x, , , s)', x=X, s=ints(1, 4, 10, 12), opset=13),
    "upsample at opset 9": case('y = Upsample<mode="nearest">(x, s)', x=X, s=floats(1, 1, 2, 2), opset=9),
    "upsample linear at opset 9": case('y = Upsample<mode="linear">(x, s)', x=X, s=floats(1, 1, 2, 2), opset=9),
    "upsample at opset 7": case("y = Upsample<scales=[1.0,1.0,2.0,2.0]>(x)", x=X, opset=7),
}  # fmt: skip
HARD = {
    "Resize cubic": case('y = Resize<mode="cubic">(x, , s)', x=X, s=floats(1, 1, 2, 2)),
    "Resize nearest upwards": case(f'y = Resize<mode="nearest",nearest_mode="ceil",{COORDINATES}="asymmetric">(x, , s)',
                    x=X, s=floats(1, 1, 2, 2)),
    "Resize antialias": case('y = Resize<mode="linear",antialias=1>(x, , s)', x=X, s=floats(1, 1, 0.5, 0.5), opset=18),
    "Resize broken scale": case('y = Resize<mode="linear">(x, , s)', x=X, s=floats(1, 1, 1.5, 1.3)),
    "Resize channels": case('y = Resize<mode="nearest">(x, , s)', x=X, s=floats(1, 2, 1, 1)),
    "Pad edge": case('y = Pad<mode="edge">(x, p)', x=X, p=ints(0, 0, 1, 1, 0, 0, 1, 1)),
    "Slice backwards": case("y = Slice(x, s, e, axes, t)", x=X, s=ints(-1), e=ints(-9), axes=ints(2), t=ints(-1)),
}  # fmt: skip


@pytest.mark.parametrize("this", RESHAPES.values(), ids=RESHAPES)
def test_reshape_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", TRANSPOSES.values(), ids=TRANSPOSES)
def test_transpose_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", JOINS.values(), ids=JOINS)
def test_joining_and_choosing_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", PADS.values(), ids=PADS)
def test_pad_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("this", RESIZES.values(), ids=RESIZES)
def test_resize_answers_as_onnxruntime(this: Case) -> None:
    check(this)


@pytest.mark.parametrize("name", HARD)
def test_what_tflite_has_no_word_for_is_right_or_refused(name: str) -> None:
    check_or_refused(HARD[name], name.split()[0])


@pytest.mark.parametrize("name", ["there and back", "dense over channels", "NHWC model"])
def test_transposes_cancel(name: str) -> None:
    assert "TRANSPOSE" not in kinds(check(TRANSPOSES[name]))


def test_channel_shuffle_is_one_transpose() -> None:
    assert kinds(check(SHUFFLE)).count("TRANSPOSE") == 1


def test_splitting_channels_moves_nothing() -> None:
    this = case("a = Conv(x, w) b = Reshape(a, s) c = Reshape(b, t) y = Conv(c, w)",
                x=X, w=W, s=ints(1, 2, 2, 5, 6), t=ints(*X))  # fmt: skip
    assert kinds(check(this)) == ["CONV_2D", "CONV_2D"]
