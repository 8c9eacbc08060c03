"""A model that onnxruntime quantized stays quantized, and answers as onnxruntime does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime.quantization as ortq
import pytest
from converters.onnx_cases import Case, case, model_of
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from edgewise.backends import open_backend
from edgewise_converters.agreement import Agreement, Meter
from edgewise_converters.lower import LoweredGraph, lower_graph
from edgewise_converters.onnx_session import Reference
from edgewise_converters.passes import canonicalize
from edgewise_converters.quantize.stated import Stated, keep_stated
from edgewise_converters.readers import read_onnx
from edgewise_converters.tflite.runtimes import rules_of
from edgewise_converters.tflite.writer import serialize
from edgewise_converters.verify import Layouts, run_case, to_stored

SAME_INTEGERS_DB = 35.0
"""Kernels that round products otherwise differ by a step here and there; most answers are equal to the bit."""
WIDE_DB = 60.0
DYNAMIC_DB = 28.0
"""Two ways to round inputs to 8 bits as the model runs."""
RUNTIMES = ("litert", "tflite-runtime")
RNG = np.random.default_rng(11)


def weights(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


PICTURES = case(
    """
    a = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w0, b0)
    c = Clip(a, zero, six)
    d = Conv<pads=[1,1,1,1],group=8>(c, w1, b1)
    e = Relu(d)
    f = Conv(e, w2)
    g = Add(f, c)
    h = MaxPool<kernel_shape=[3,3],strides=[2,2],pads=[1,1,1,1]>(g)
    i = AveragePool<kernel_shape=[2,2],strides=[2,2]>(g)
    j = Concat<axis=1>(h, i)
    k = GlobalAveragePool(j)
    l = Flatten(k)
    y = Gemm<transB=1>(l, w3, b3)
    """,
    x=(1, 3, 16, 16), w0=weights(8, 3, 3, 3), b0=weights(8, 1)[:, 0], w1=weights(8, 1, 3, 3), b1=weights(8, 1)[:, 0],
    w2=weights(8, 8, 1, 1), w3=weights(5, 16), b3=weights(5, 1)[:, 0],
    zero=np.array(0, np.float32), six=np.array(6, np.float32),
)  # fmt: skip
TOKENS = case(
    """
    q = MatMul(x, wq)  k = MatMul(x, wk)  v0 = MatMul(x, wv)  v = Add(v0, bv)
    t = Transpose<perm=[0,2,1]>(k)
    s0 = MatMul(q, t)  s1 = Mul(s0, scale)  s = Softmax<axis=-1>(s1)
    o = MatMul(s, v)  p = Add(o, x)
    r = MatMul(p, wo)  y = Sigmoid(r)
    """,
    x=(1, 12, 64), wq=weights(64, 64), wk=weights(64, 64), wv=weights(64, 64), wo=weights(64, 32),
    bv=weights(64, 1)[:, 0], scale=np.array(0.125, np.float32),
)  # fmt: skip
NETS = {"pictures": PICTURES, "tokens": TOKENS}
SHAPES = {"pictures": (1, 3, 16, 16), "tokens": (1, 12, 64)}
INT8, UINT8, INT16 = ortq.QuantType.QInt8, ortq.QuantType.QUInt8, ortq.QuantType.QInt16
QDQ, INTEGER_OPERATORS = ortq.QuantFormat.QDQ, ortq.QuantFormat.QOperator
SYMMETRIC = {"ActivationSymmetric": True}


class _Feeds(ortq.CalibrationDataReader):
    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(3)
        self.feeds = iter([{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def saved(net: Case, folder: Path) -> Path:
    path = folder / "float.onnx"
    onnx.save(model_of(net), path)
    return path


def kept(path: Path) -> LoweredGraph:
    _, model = read_onnx(path)
    canonicalize(model, keep_quantization_of_source=True)
    return lower_graph(model)


def agreement(path: Path, lowered: LoweredGraph, stated: Stated, runtime: str) -> Agreement:
    network = serialize(stated.graph, description="test", metadata={})
    backend = open_backend(network, "tflite", name=runtime, threads=1)
    layouts = Layouts(lowered.input_layouts, lowered.output_layouts)
    reference, meter, rng = Reference(path), Meter(), np.random.default_rng(5)
    for _ in range(4):
        feed = {t.name: rng.standard_normal(t.shape).astype(np.float32) for t in lowered.graph.inputs}
        feed = {name: array.transpose(np.argsort(layouts.inputs[name])) for name, array in feed.items()}
        meter.add(reference.run(feed), run_case(backend, to_stored(backend, feed, layouts), layouts))
    backend.close()
    return meter.result()


STATIC = {
    "int8 per channel": {"activation_type": INT8, "weight_type": INT8, "per_channel": True},
    "int8 symmetric": {"activation_type": INT8, "weight_type": INT8, "extra_options": SYMMETRIC},
    "uint8": {"activation_type": UINT8, "weight_type": INT8},
    "uint8 weights with zero points": {"activation_type": UINT8, "weight_type": UINT8},
    "uint8 weights per channel": {"activation_type": UINT8, "weight_type": UINT8, "per_channel": True},
    "integer operators": {"activation_type": UINT8, "weight_type": INT8, "quant_format": INTEGER_OPERATORS},
    "integer operators, zero points": {
        "activation_type": UINT8,
        "weight_type": UINT8,
        "quant_format": INTEGER_OPERATORS,
    },
    "int16": {"activation_type": INT16, "weight_type": INT8, "per_channel": True, "extra_options": SYMMETRIC},
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("form", STATIC)
def test_statically_quantized_layers_stay_integers(net: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "quantized.onnx"
    ortq.quantize_static(saved(NETS[net], tmp_path), path, _Feeds(SHAPES[net]), **STATIC[form])
    lowered = kept(path)
    for runtime in RUNTIMES:
        stated = keep_stated(lowered.graph, rules_of([runtime]))
        layers = [
            o for o in stated.graph.operators if o.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        ]
        assert len(layers) == 4
        assert not any(layer.output.is_float for layer in layers)
        least = WIDE_DB if form == "int16" and net == "pictures" else SAME_INTEGERS_DB
        assert agreement(path, lowered, stated, runtime).worst_db > least, runtime


@pytest.mark.parametrize("form", [{"weight_type": INT8}, {"weight_type": UINT8, "per_channel": True}])
def test_dynamically_quantized_products_become_dynamic_range_layers(
    form: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "quantized.onnx"
    ortq.quantize_dynamic(saved(TOKENS, tmp_path), path, **form)
    lowered = kept(path)
    for runtime in RUNTIMES:
        stated = keep_stated(lowered.graph, rules_of([runtime]))
        assert stated.dynamic == 4
        assert agreement(path, lowered, stated, runtime).worst_db > DYNAMIC_DB, runtime


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("form", [INTEGER_OPERATORS, QDQ])
def test_weights_of_four_bits_become_dynamic_range_layers(
    symmetric: bool, form: ortq.QuantFormat, tmp_path: Path
) -> None:
    path = tmp_path / "quantized.onnx"
    opset = {INTEGER_OPERATORS: 17, QDQ: 21}[form]
    model = model_of(Case(TOKENS.body, TOKENS.values, opset))
    quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=symmetric, quant_format=form)
    quantizer.process()
    quantizer.model.save_model_to_file(str(path))
    lowered = kept(path)
    for runtime in RUNTIMES:
        stated = keep_stated(lowered.graph, rules_of([runtime]))
        assert stated.dynamic == 4
        assert agreement(path, lowered, stated, runtime).worst_db > DYNAMIC_DB, runtime


def test_a_batch_norm_goes_into_the_scales_of_integer_weights(tmp_path: Path) -> None:
    """As training in view of quantization leaves it: weights rounded in the graph, a norm before the next rounding."""
    net = case(
        """
        xq = QuantizeLinear(x, s0, z)  xr = DequantizeLinear(xq, s0, z)
        wq = QuantizeLinear<axis=0>(w, ws, wz)  wr = DequantizeLinear<axis=0>(wq, ws, wz)
        a = Conv<pads=[1,1,1,1]>(xr, wr)
        n = BatchNormalization(a, gamma, beta, mean, variance)
        r = Relu(n)
        q = QuantizeLinear(r, s1, z)  y = DequantizeLinear(q, s1, z)
        """,
        x=(1, 3, 8, 8), w=weights(6, 3, 3, 3), ws=RNG.uniform(0.002, 0.006, 6).astype(np.float32),
        wz=np.zeros(6, np.int8), s0=np.array(0.03, np.float32), s1=np.array(0.02, np.float32), z=np.array(0, np.int8),
        gamma=np.array([1.0, -0.7, 0.3, 2.0, 1.1, -1.4], np.float32), beta=weights(6, 1)[:, 0],
        mean=weights(6, 1)[:, 0], variance=RNG.uniform(0.5, 2, 6).astype(np.float32),
    )  # fmt: skip
    path = saved(net, tmp_path)
    lowered = kept(path)
    for runtime in RUNTIMES:
        stated = keep_stated(lowered.graph, rules_of([runtime]))
        assert [o.kind for o in stated.graph.operators] == ["QUANTIZE", "CONV_2D", "DEQUANTIZE"]
        assert agreement(path, lowered, stated, runtime).worst_db > SAME_INTEGERS_DB, runtime


@pytest.mark.parametrize("steps", [12, 80])
def test_a_dynamically_quantized_lstm_is_computed_in_float_and_stored_in_bytes(
    steps: int, tmp_path: Path
) -> None:
    net = case(
        'y, yh = LSTM<hidden_size=48,direction="bidirectional">(x, w, r, b)',
        x=(steps, 1, 40), w=weights(2, 192, 40), r=weights(2, 192, 48), b=weights(2, 384),
    )  # fmt: skip
    path = tmp_path / "quantized.onnx"
    ortq.quantize_dynamic(saved(net, tmp_path), path, weight_type=INT8)
    lowered = kept(path)
    for runtime in RUNTIMES:
        stated = keep_stated(lowered.graph, rules_of([runtime]))
        dense = [
            o for each in stated.graph.all_graphs() for o in each.operators if o.kind == "FULLY_CONNECTED"
        ]
        assert dense
        assert all(o.inputs[1] is not None and not o.inputs[1].is_constant for o in dense)
        assert agreement(path, lowered, stated, runtime).worst_db > DYNAMIC_DB, runtime


@pytest.mark.parametrize("sign", [1, -1])
def test_blocks_of_four_bits_stay_where_the_kernel_takes_them(sign: int, tmp_path: Path) -> None:
    """LiteRT does, with positive scales: -7 to 7 fits whatever the sign is. tflite-runtime gets int8."""
    rng = np.random.default_rng(13)
    net = case(
        "w = DequantizeLinear<axis=0,block_size=32>(q, s) y = MatMul(x, w)",
        x=(1, 6, 64), q=rng.integers(-7, 8, (64, 48)).astype(np.int8),
        s=(sign * rng.uniform(0.01, 0.05, (2, 48))).astype(np.float32), opset=21,
    )  # fmt: skip
    path = saved(net, tmp_path)
    lowered = kept(path)
    for runtime, dtype in zip(RUNTIMES, ("int4", "int8"), strict=True):
        stated = keep_stated(lowered.graph, rules_of([runtime]))
        (layer,) = [o for o in stated.graph.operators if o.kind == "FULLY_CONNECTED"]
        assert layer.inputs[1] is not None
        assert layer.inputs[1].dtype.name == dtype
        assert agreement(path, lowered, stated, runtime).worst_db > DYNAMIC_DB, runtime


def test_weights_that_no_kernel_mixes_with_floats_are_restored_from_bytes(tmp_path: Path) -> None:
    net = case(
        "w = DequantizeLinear<axis=0>(q, s) y = Conv<group=128,pads=[1,1,1,1]>(x, w)",
        x=(1, 128, 6, 6), q=RNG.integers(-127, 128, (128, 1, 3, 3)).astype(np.int8),
        s=RNG.uniform(0.01, 0.05, 128).astype(np.float32),
    )  # fmt: skip
    path = saved(net, tmp_path)
    lowered = kept(path)
    for runtime in RUNTIMES:
        stated = keep_stated(lowered.graph, rules_of([runtime]))
        assert {o.kind for o in stated.graph.operators} == {"DEQUANTIZE", "DEPTHWISE_CONV_2D"}
        assert agreement(path, lowered, stated, runtime).worst_db > 100, runtime


@pytest.mark.parametrize("form", [INTEGER_OPERATORS, QDQ])
def test_weights_of_four_bits_are_exact_in_float32(form: ortq.QuantFormat, tmp_path: Path) -> None:
    path = tmp_path / "quantized.onnx"
    opset = {INTEGER_OPERATORS: 17, QDQ: 21}[form]
    quantizer = MatMulNBitsQuantizer(
        model_of(Case(TOKENS.body, TOKENS.values, opset)),
        block_size=32,
        is_symmetric=False,
        quant_format=form,
    )
    quantizer.process()
    quantizer.model.save_model_to_file(str(path))
    _, model = read_onnx(path)
    canonicalize(model)
    lowered = lower_graph(model)
    assert agreement(path, lowered, Stated(lowered.graph, 0, 0), "litert").worst_db > 90


@pytest.mark.parametrize("net", NETS)
def test_onnxruntimes_integer_operators_are_exact_in_float32(net: str, tmp_path: Path) -> None:
    """But for a result between two integers, which the one rounds up and the other down."""
    path = tmp_path / "quantized.onnx"
    form = STATIC["integer operators"]
    ortq.quantize_static(saved(NETS[net], tmp_path), path, _Feeds(SHAPES[net]), **form)
    _, model = read_onnx(path)
    canonicalize(model)
    lowered = lower_graph(model)
    assert agreement(path, lowered, Stated(lowered.graph, 0, 0), "litert").worst_db > SAME_INTEGERS_DB


def test_integers_at_the_ends_of_a_model_are_the_sources_own(tmp_path: Path) -> None:
    """A uint8 input and a uint8 output are fed and answered as onnxruntime does, not shifted."""
    net = case(
        "a = DequantizeLinear(x, s, z)  b = Relu(a)  y = QuantizeLinear(b, s2, z2)",
        x=np.zeros((1, 9), np.uint8), s=np.array(0.02, np.float32), z=np.array(120, np.uint8),
        s2=np.array(0.01, np.float32), z2=np.array(7, np.uint8),
    )  # fmt: skip
    path = saved(net, tmp_path)
    lowered = kept(path)
    stated = keep_stated(lowered.graph, rules_of(RUNTIMES))
    assert stated.integer == 1
    feed = {"x": np.array([[0, 1, 119, 120, 121, 130, 200, 254, 255]], np.uint8)}
    layouts = Layouts(lowered.input_layouts, lowered.output_layouts)
    for runtime in RUNTIMES:
        network = serialize(stated.graph, description="test", metadata={})
        backend = open_backend(network, "tflite", name=runtime, threads=1)
        answer = run_case(backend, to_stored(backend, feed, layouts), layouts)["y"]
        assert answer.dtype == np.uint8
        # The kernel rounds the ratio of scales to 31 bits: a tie may fall to the other side.
        assert np.abs(answer.astype(int) - Reference(path).run(feed)["y"]).max() <= 1
        backend.close()
