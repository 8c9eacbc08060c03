"""Small networks in the ways exporters write them, samples for them, and what onnxruntime makes of a file."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from converters.onnx_cases import Case, case, model_of

from edgewise.backends import open_backend
from edgewise.tensors import Array
from edgewise_converters.agreement import Agreement, Meter
from edgewise_converters.onnx_out.observe import Observed, observe
from edgewise_converters.onnx_out.opset import serialized
from edgewise_converters.onnx_out.prepare import prepare

SAMPLES = 24
CNN = case(
    "a = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w1, b1) a1 = Clip(a, lo, hi)"
    "c = Conv<pads=[1,1,1,1], group=16>(a1, w2, b2) c1 = Relu(c)"
    "d = Conv(c1, w3, b3) e = Conv(d, w4) f = Relu(e) g = Add(d, f)"
    "h = Concat<axis=1>(g, a1) i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(h)"
    "j = Conv(i, w5, b5) k = GlobalAveragePool(j) l = Flatten(k) y = Gemm<transB=1>(l, w6, b6)",
    x=(1, 3, 24, 24), w1=(16, 3, 3, 3), b1=(16,), lo=np.array(0, np.float32), hi=np.array(6, np.float32),
    w2=(16, 1, 3, 3), b2=(16,), w3=(24, 16, 1, 1), b3=(24,), w4=(24, 24, 1, 1), w5=(32, 40, 1, 1), b5=(32,),
    w6=(50, 32), b6=(50,),
)  # fmt: skip
MLP = case(
    "a = MatMul(x, w1) a1 = Add(a, b1) c = Relu(a1) d = MatMul(c, w2) e = Add(b2, d) f = Relu(e) y = MatMul(f, w3)",
    x=(1, 6, 96), w1=(96, 128), b1=(128,), w2=(128, 128), b2=(128,), w3=(128, 40),
)  # fmt: skip


def prepared(this: Case) -> ir.Model:
    """The model as every precision starts from it."""
    return prepare(ir.from_proto(model_of(this)))


def samples_of(this: Case, count: int = SAMPLES) -> list[dict[str, Array]]:
    """Seeded inputs of a distribution that calibration can learn."""
    rng = np.random.default_rng(3)
    shapes = {name: shape for name, shape in this.values.items() if name.startswith("x")}
    return [{n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()} for _ in range(count)]  # type: ignore[call-overload]  # numpy's overloads want literals


def observed(model: ir.Model, names: set[str], feeds: list[dict[str, Array]]) -> Observed:
    """What flows through the model on these feeds."""
    return observe(model, names, feeds, count=len(feeds), tick=lambda: None)


def answers(model: ir.Model | bytes, feeds: list[dict[str, Array]]) -> list[dict[str, Array]]:
    """By the SDK's onnxruntime."""
    network = model if isinstance(model, bytes) else serialized(model)
    backend = open_backend(network, "onnx", name="onnxruntime", threads=1)
    names = [spec.name for spec in backend.outputs()]
    order = [spec.name for spec in backend.inputs()]
    found = [dict(zip(names, backend.run([feed[n] for n in order]), strict=True)) for feed in feeds]
    backend.close()
    return found


def agreement(model: ir.Model, other: ir.Model, feeds: list[dict[str, Array]]) -> Agreement:
    """How near the other's answers are to the model's."""
    meter = Meter()
    for want, got in zip(answers(model, feeds), answers(other, feeds), strict=True):
        meter.add(want, got)
    return meter.result()


def kernels(model: ir.Model, *, exact: bool = False) -> Counter[str]:
    """How many kernels of each kind onnxruntime runs: as on ARM, or with ``exact`` as on x86."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry(
        "session.x64quantprecision" if exact else "session.qdqisint8allowed", "1"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(serialized(model), options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(path).graph.node)
