"""Joint rounding and the moments it needs."""

import numpy as np
import pytest
from converters.onnx_cases import case, lowered, model_of

from edgewise_converters.quantize import calibrate
from edgewise_converters.quantize import moments as moments_module
from edgewise_converters.quantize.gptq import round_in_blocks, round_jointly
from edgewise_converters.quantize.moments import MomentsObserver, MomentSums
from edgewise_converters.tflite.graph import Operator, Tensor
from edgewise_converters.tflite.schema import Padding


def correlated(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """Inputs with shared directions, as activations have them."""
    return rng.standard_normal((rows, 4)) @ rng.standard_normal((4, size)) + 0.3 * rng.standard_normal(
        (rows, size)
    )


def test_joint_rounding_keeps_outputs_nearer_than_rounding_each_weight_alone() -> None:
    rng = np.random.default_rng(1)
    inputs = correlated(rng, 2000, 100)
    weights = rng.standard_normal((1, 8, 100))
    scales = np.abs(weights).max(axis=2) / 7  # 4 bits, so that rounding matters
    joint = round_jointly(weights, scales, np.cov(inputs.T, bias=True)[None], 7)
    alone = np.clip(np.rint(weights / scales[..., None]), -7, 7)

    def error(integers: np.ndarray) -> float:
        difference = (integers * scales[..., None] - weights)[0] @ inputs.T
        return float(np.var(difference, axis=1).sum())

    assert error(joint) < 0.3 * error(alone)
    assert np.abs(joint).max() <= 7


def test_joint_rounding_of_a_batch_is_that_of_each_alone() -> None:
    rng = np.random.default_rng(2)
    weights, scales = rng.standard_normal((5, 2, 9)), np.full((5, 2), 0.2)
    covariance = np.stack([np.cov(correlated(rng, 200, 9).T) for _ in range(5)])
    together = round_jointly(weights, scales, covariance, 127)
    for i in range(5):
        one = round_jointly(weights[i : i + 1], scales[i : i + 1], covariance[i : i + 1], 127)
        assert np.array_equal(together[i], one[0])


def test_inputs_that_never_vary_do_not_break_it() -> None:
    weights = np.full((1, 3, 4), 0.26)
    rounded = round_jointly(weights, np.full((1, 3), 0.1), np.zeros((1, 4, 4)), 127)
    assert np.array_equal(rounded, np.full((1, 3, 4), 3))


def test_layers_that_share_weights_are_looked_at_together() -> None:
    low = lowered(model_of(case("a = MatMul(x, w) y = MatMul(a, w)", x=(32, 40), w=(40, 40))))
    data = np.random.default_rng(5).standard_normal((32, 40)).astype(np.float32) + 1
    weights = low.graph.operators[0].inputs[1]
    assert weights is not None and weights.data is not None
    low.graph.operators[1].inputs[1] = weights
    moments = calibrate(low.graph, [[data]], count=1, tick=lambda: None, threads=1).moments[id(weights)]
    both = np.concatenate([data, data @ weights.data.T])
    np.testing.assert_allclose(moments.mean[0], both.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(moments.blocks[0][0], np.cov(both.T, bias=True), atol=1e-2)


def test_layers_too_wide_for_a_covariance_are_left_out() -> None:
    low = lowered(model_of(case("a = MatMul(x, w) y = MatMul(a, v)", x=(8, 40), w=(40, 30), v=(30, 8))))
    data = np.ones((8, 40), np.float32)
    found = calibrate(low.graph, [[data]], count=1, tick=lambda: None, threads=1, most_weights=30)
    first, second = low.graph.operators
    assert found.moments_of(first) is None and found.moments_of(second) is not None


def test_wide_layers_are_rounded_within_blocks_of_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments_module, "_WIDEST_BLOCK", 40)
    rng = np.random.default_rng(6)
    inputs = correlated(rng, 500, 90)
    sums = MomentSums(np.arange(90) % 10)  # nine positions of ten channels
    for rows in np.split(inputs.astype(np.float32), 5):
        sums.add(rows[None])
    moments = sums.result()
    whole = np.cov(inputs.T, bias=True)
    assert [len(covariance[0]) for covariance in moments.blocks] == [36, 27, 27]
    for places, covariance in moments.parts():
        assert len({place % 10 for place in places}) * 9 == len(places)
        np.testing.assert_allclose(covariance[0], whole[np.ix_(places, places)], atol=1e-2)
    np.testing.assert_allclose(moments.variance[0], np.diag(whole), atol=1e-2)
    weights, scales = rng.standard_normal((1, 8, 90)), np.full((1, 8), 0.5)
    rounded = round_in_blocks(weights, scales, moments, 7)
    for places, covariance in moments.parts():
        alone = round_jointly(weights[:, :, places], scales, covariance, 7)
        assert np.array_equal(rounded[:, :, places], alone)


def test_a_covariance_that_rounding_has_spoilt_does_not_break_it() -> None:
    rng = np.random.default_rng(4)
    spoilt = rng.standard_normal((1, 12, 12))
    spoilt = (spoilt + spoilt.transpose(0, 2, 1)) * 1e-3 + np.eye(12) * 1e-3  # has negative eigenvalues
    assert np.linalg.eigvalsh(spoilt[0])[0] < 0
    weights = rng.standard_normal((1, 5, 12))
    scales = np.abs(weights).max(axis=2) / 127
    rounded = round_jointly(weights, scales, spoilt, 127)
    assert np.abs(rounded * scales[..., None] - weights).max() < 0.2


def convolution(kind: str, kernel: tuple[int, int], *, stride: int, dilation: int, padding: int) -> Operator:
    data = Tensor("x", (1, 9, 8, 3), np.dtype(np.float32))
    shape = (1, *kernel, 3) if kind.startswith("DEPTH") else (5, *kernel, 3)
    weights = Tensor.constant("w", np.ones(shape, np.float32))
    reach = [(k - 1) * dilation + 1 for k in kernel]
    sizes = data.shape[1:3]
    same = padding == Padding.SAME
    out = [-(-s // stride) if same else (s - r) // stride + 1 for s, r in zip(sizes, reach, strict=True)]
    output = Tensor("y", (1, *out, shape[0] if shape[0] > 1 else 3), np.dtype(np.float32))
    options = {
        "strideH": stride,
        "strideW": stride,
        "dilationHFactor": dilation,
        "dilationWFactor": dilation,
        "padding": padding,
    }
    return Operator(kind, [data, weights], [output], options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D"])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("padding", [Padding.SAME, Padding.VALID])
def test_moments_are_those_of_the_patches_the_kernel_meets(
    kind: str, kernel: tuple[int, int], stride: int, dilation: int, padding: int
) -> None:
    operator = convolution(kind, kernel, stride=stride, dilation=dilation, padding=padding)
    observer = MomentsObserver(operator, samples=1, fewest_rows=100)
    image = np.random.default_rng(3).standard_normal((1, 9, 8, 3)).astype(np.float32)
    observer.add(image, np.random.default_rng(0))
    moments = observer.result()
    rows = every_patch(image[0], operator, kernel, stride, dilation)
    if kind == "CONV_2D":
        rows = rows.reshape(1, len(rows), -1)
    else:
        rows = rows.transpose(2, 0, 1)
    np.testing.assert_allclose(moments.mean, rows.mean(axis=1), atol=1e-5)
    for got, patch in zip(moments.blocks[0], rows, strict=True):
        np.testing.assert_allclose(got, np.cov(patch.T, bias=True).reshape(got.shape), atol=1e-4)


def every_patch(
    image: np.ndarray, operator: Operator, kernel: tuple[int, int], stride: int, dilation: int
) -> np.ndarray:
    """By plain loops: [rows, positions, channels]."""
    height, width = operator.output.shape[1:3]
    before = [0, 0]
    if operator.options["padding"] == Padding.SAME:
        before = [
            max((out - 1) * stride + (k - 1) * dilation + 1 - size, 0) // 2
            for out, k, size in zip((height, width), kernel, image.shape[:2], strict=True)
        ]
    patches = []
    for y in range(height):
        for x in range(width):
            patch = []
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    row, column = y * stride - before[0] + i * dilation, x * stride - before[1] + j * dilation
                    inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
                    patch.append(image[row, column] if inside else np.zeros(3, np.float32))
            patches.append(patch)
    return np.array(patches)
