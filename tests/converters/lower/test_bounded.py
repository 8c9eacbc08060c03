"""Results whose number depends on the data: as many as onnxruntime gives, in its order, in both runtimes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from converters.onnx_cases import RUNTIMES, Case, ask_onnxruntime, case, lowered, model_of, network_of

import edgewise
from edgewise.backends import open_backend
from edgewise.tensors import Array
from edgewise_converters.errors import UnsupportedOperator, VerificationFailed
from edgewise_converters.pipeline import convert
from edgewise_converters.request import Request
from edgewise_converters.verify import Layouts, run_case, to_stored

RNG = np.random.default_rng(4)
BOXES, CLASSES, PICTURES = 40, 3, 2
MOST, OVERLAP, LEAST = np.array([6]), np.array([0.4], np.float32), np.array([0.6], np.float32)
CASES = 12


def corners(count: int, pictures: int = PICTURES) -> Array:
    near = RNG.uniform(0, 10, (pictures, count, 2))
    return np.concatenate([near, near + RNG.uniform(1, 5, (pictures, count, 2))], 2).astype(np.float32)


def feeds_of_boxes(this: Case, count: int = CASES) -> list[dict[str, Array]]:
    shapes = {
        n: np.shape(v) if isinstance(v, np.ndarray) else v for n, v in this.values.items() if n[0] == "x"
    }
    return [
        {n: corners(s[1], s[0]) if n == "xb" else RNG.random(s, np.float32) for n, s in shapes.items()}
        for _ in range(count)
    ]


BATCH = {"xb": (PICTURES, BOXES, 4), "xs": (PICTURES, CLASSES, BOXES), "k": MOST, "t": OVERLAP, "l": LEAST}
ONE = {"xb": (1, BOXES, 4), "xs": (1, 1, BOXES), "k": MOST, "t": OVERLAP, "l": LEAST}
TWO = np.array([2])
SUPPRESSIONS = {
    "pictures and classes": case("y = NonMaxSuppression(xb, xs, k, t, l)", **BATCH),
    "one class": case("y = NonMaxSuppression(xb, xs, k, t, l)", **ONE),
    "no thresholds": case("y = NonMaxSuppression(xb, xs, k)", **{n: v for n, v in ONE.items() if n not in "tl"}),
    "more than there are": case("y = NonMaxSuppression(xb, xs, k, t, l)", **{**ONE, "k": np.array([1000])}),
    "boxes that were chosen": case(
        "n = NonMaxSuppression(xb, xs, k, t, l) j = Gather<axis=1>(n, two) i = Squeeze(j, one) "
        "p = Gather<axis=1>(xb, i) q = Squeeze(p, zero) y = Mul(q, scale) c = Slice(n, one, two, one) "
        "f = Squeeze(c, one) y2 = Cast<to=1>(f)",
        **ONE, two=TWO, one=np.array([1]), zero=np.array([0]), scale=np.float32(3),
    ),
    "points": case(
        "n = NonMaxSuppression(xb, xs, k, t, l) y = GatherND(xs, n) g = Unsqueeze(y, one) h = Cast<to=1>(n) "
        "y2 = Concat<axis=1>(h, g) y3 = Softmax<axis=1>(h)",
        **BATCH, one=np.array([1]),
    ),
}  # fmt: skip
MASKS = {
    "places": case("m = Greater(x, half) y = NonZero(m)", x=(3, 4, 5), half=np.float32(0.5)),
    "places of numbers": case("r = Mul(x, two) c = Cast<to=6>(r) y = NonZero(c)", x=(6,), two=np.float32(2)),
    "turned": case("m = Greater(x, half) n = NonZero(m) y = Transpose(n)", x=(3, 4), half=np.float32(0.5)),
    "rows": case("s = Greater(x2, half) y = Compress<axis=-1>(x, s)", x=(4, 7), x2=(7,), half=np.float32(0.5)),
    "rows computed with": case(
        "s = Greater(x2, half) r = Compress<axis=0>(x, s) m = MatMul(r, w) e = Exp(m) y = ArgMax<axis=1>(e)",
        x=(7, 4), x2=(7,), half=np.float32(0.5), w=(4, 5),
    ),
    "everything in a row": case("s = Greater(x2, half) y = Compress(x, s)", x=(2, 3), x2=(5,), half=np.float32(0.5)),
}  # fmt: skip


def check(this: Case, runtime: str, feeds: list[dict[str, Array]]) -> set[int]:
    """Compare one interpreter's answers; how many results there were."""
    model, low = model_of(this), lowered(model_of(this))
    backend = open_backend(network_of(low), "tflite", name=runtime, threads=1)
    layouts, numbers = Layouts(low.input_layouts, low.output_layouts), set()
    for feed in feeds:
        got = run_case(backend, to_stored(backend, feed, layouts), layouts)
        for name, want in ask_onnxruntime(model, feed).items():
            assert got[name].shape == want.shape and got[name].dtype == want.dtype
            np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-6)
            numbers.add(want.size)
    backend.close()
    return numbers


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("this", SUPPRESSIONS.values(), ids=SUPPRESSIONS)
def test_as_many_boxes_as_onnxruntime_selects(this: Case, runtime: str) -> None:
    check(this, runtime, feeds_of_boxes(this))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("this", MASKS.values(), ids=MASKS)
def test_as_many_places_as_there_are(this: Case, runtime: str) -> None:
    feeds = [
        {n: RNG.random(v, np.float32) for n, v in this.values.items() if n[0] == "x" and isinstance(v, tuple)}
        for _ in range(CASES)
    ]
    assert len(check(this, runtime, feeds)) > 2  # the number really varies


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("views", [False, True])
def test_nothing_is_an_answer_too(runtime: str, views: bool) -> None:
    low = lowered(model_of(case("y = NonZero(x) y2 = Neg(x)", x=(2, 3))))
    backend = open_backend(network_of(low), "tflite", name=runtime, threads=1)
    for fill, places in ((0, 0), (1, 6), (0, 0)):
        none, other = map(np.array, backend.run([np.full((2, 3), fill, np.float32)], views=views))
        assert none.shape == (2, places) and none.dtype == np.int64
        np.testing.assert_array_equal(other, np.full((2, 3), -fill, np.float32))
    backend.close()


def test_boxes_that_overlap_just_as_much_as_the_threshold_stay() -> None:
    box = np.array([[[0, 0, 1, 1], [0, 0.5, 1, 1.5], [0, 0.25, 1, 1.25]]], np.float32)  # overlap 1/3 and 3/5
    this = case(
        "y = NonMaxSuppression(xb, xs, k, t)",
        xb=(1, 3, 4),
        xs=(1, 1, 3),
        k=MOST,
        t=np.array([0.6], np.float32),
    )
    scores = np.array([[[0.9, 0.8, 0.7]]], np.float32)
    assert check(this, "litert", [{"xb": box, "xs": scores}]) == {9}


@pytest.mark.parametrize("body", [
    "n = NonZero(x) i = Slice(n, one, two, one) y = Mul(i, three)",  # some of the places
    "n = NonZero(x) c = Cast<to=1>(n) y = ReduceSum<keepdims=0>(c)",
    "n = NonZero(x) m = NonZero(x2) y = Concat<axis=1>(n, m)",
    "n = NonZero(x) s = Shape(n) c = Cast<to=1>(s) y = Mul(c, half)",
])  # fmt: skip
def test_what_mixes_results_with_those_that_do_not_count_is_refused(body: str) -> None:
    constants = {"one": np.array([1]), "two": TWO, "three": np.array(3), "half": np.float32(0.5)}
    used = {
        n: v
        for n, v in constants.items()
        if n in body.replace("(", " ").replace(",", " ").replace(")", " ").split()
    }
    with pytest.raises((UnsupportedOperator, Exception), match="depends on the data"):
        lowered(model_of(case(body, x=(2, 5), **({"x2": (2, 5)} if "x2" in body else {}), **used)))


DETECTOR = case(
    "a = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w) r = Relu(a) q = Conv(r, v) m = Mul(q, small) f = Reshape(m, s) "
    "p = Transpose<perm=[0,2,1]>(f) d = Slice(p, zero, four, two) g = Slice(f, four, six, one) h = Sigmoid(g) "
    "boxes = Add(d, anchors) n = NonMaxSuppression<center_point_box=1>(boxes, h, k, t, l) "
    "c = Gather<axis=1>(n, last) e = Gather<axis=1>(boxes, c) y = Squeeze(e, zero)",
    x=(1, 3, 16, 16), w=(8, 3, 3, 3), v=(6, 8, 1, 1), s=np.array([1, 6, 64]), small=np.float32(0.12), k=np.array([64]),
    anchors=np.concatenate([RNG.uniform(0, 10, (1, 64, 2)), np.full((1, 64, 2), 6.0)], 2).astype(np.float32),
    zero=np.array([0]), one=np.array([1]), two=TWO, four=np.array([4]), six=np.array([6]),
    t=np.array([0.9], np.float32), l=np.array([0.51], np.float32), last=np.array(2),
)  # fmt: skip


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    onnx.save(model_of(DETECTOR), tmp_path / "detector.onnx")
    np.save(tmp_path / "samples.npy", RNG.standard_normal((48, 1, 3, 16, 16)).astype(np.float32))
    return tmp_path / "detector.onnx"


def request(detector: Path, precision: str) -> Request:
    out = detector.with_name(f"{precision}.tflite")
    samples = detector.with_name("samples.npy")
    return Request(source=detector, target="rpi4", precision=precision, samples=samples, out=out)


def test_a_detector_converts_and_repeats_its_golden_cases(detector: Path) -> None:
    result = convert(request(detector, "fp32"))
    assert result.agreement["litert"].worst_db > 90
    with edgewise.load(result.path) as model:
        assert model.self_test().passed


def test_int8_that_selects_other_boxes_is_refused_and_auto_goes_on(detector: Path) -> None:
    with pytest.raises(VerificationFailed, match="output 'y' has another number of results"):
        convert(request(detector, "int8"))
    assert convert(request(detector, "auto")).precision in ("dynamic", "fp16", "fp32")
