"""Small networks of every usual kind, with weights as trained ones have them, and their samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from converters.onnx_cases import case, model_of

from edgewise.tensors import Array

SAMPLES = 48
_FRESH = 4


@dataclass(frozen=True)
class SmallNet:
    """One network on the disk."""

    name: str
    file: Path
    samples: Path
    """.npz: many samples of each input."""
    fresh: tuple[dict[str, Array], ...]
    """Inputs that are in no sample."""


def _weights(*shape: int, seed: int, inputs: int) -> Array:
    """Normal, with channels of different size, of variance one over the inputs."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.5, 1.5, (shape[0], *(1,) * (len(shape) - 1)))
    return np.asarray(rng.standard_normal(shape) * size / np.sqrt(inputs), np.float32)


def _convolutions() -> onnx.ModelProto:
    return model_of(case(
        "a = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w1, b1) r = Relu(a) c = Conv<pads=[1,1,1,1]>(r, w2) s = Relu(c) "
        "t = Add(r, s) g = GlobalAveragePool(t) f = Flatten(g) y = Gemm<transB=1>(f, w3, b3)",
        x=(1, 3, 16, 16), w1=_weights(16, 3, 3, 3, seed=1, inputs=27), b1=_weights(16, seed=2, inputs=9),
        w2=_weights(16, 16, 3, 3, seed=3, inputs=144), w3=_weights(80, 16, seed=4, inputs=4),
        b3=_weights(80, seed=5, inputs=9),
    ))  # fmt: skip


def _depthwise() -> onnx.ModelProto:
    return model_of(case(
        "a = Conv(x, w1) r = Clip(a, lo, hi) d = Conv<group=48,pads=[1,1,1,1]>(r, w2, b2) s = Clip(d, lo, hi) "
        "y = Conv(s, w3)",
        x=(1, 8, 12, 12), w1=_weights(48, 8, 1, 1, seed=1, inputs=8), w2=_weights(48, 1, 3, 3, seed=2, inputs=9),
        b2=_weights(48, seed=3, inputs=9), w3=_weights(32, 48, 1, 1, seed=4, inputs=48),
        lo=np.float32(0), hi=np.float32(6),
    ))  # fmt: skip


def _dense() -> onnx.ModelProto:
    return model_of(case(
        "a = Gemm<transB=1>(x, w1, b1) r = Relu(a) b = Gemm<transB=1>(r, w2) s = Relu(b) y = Gemm<transB=1>(s, w3)",
        x=(1, 64), w1=_weights(96, 64, seed=1, inputs=64), b1=_weights(96, seed=2, inputs=9),
        w2=_weights(64, 96, seed=3, inputs=64), w3=_weights(32, 64, seed=4, inputs=48),
    ))  # fmt: skip


def _recurrent() -> onnx.ModelProto:
    return model_of(case(
        "h, l = LSTM<hidden_size=16>(x, w, r, b) s = Squeeze(l, zero) y = Gemm<transB=1>(s, v)",
        x=(5, 1, 16), w=_weights(64, 16, seed=1, inputs=8)[None], r=_weights(64, 16, seed=2, inputs=16)[None],
        b=_weights(128, seed=3, inputs=9)[None], zero=np.array([0]), v=_weights(64, 16, seed=4, inputs=4),
    ))  # fmt: skip


def _transformer() -> onnx.ModelProto:
    matrices = {f"w{i}": _weights(32, 32, seed=i, inputs=32) for i in range(1, 5)}
    return model_of(case(
        "n = LayerNormalization(x, g, z) q = MatMul(n, w1) k = MatMul(n, w2) v = MatMul(n, w3) "
        "kt = Transpose<perm=[0,2,1]>(k) s = MatMul(q, kt) s2 = Mul(s, c) p = Softmax<axis=-1>(s2) o = MatMul(p, v) "
        "m = MatMul(o, w4) e = Add(x, m) n2 = LayerNormalization(e, g, z) f = MatMul(n2, w5) r = Relu(f) "
        "h = MatMul(r, w6) y = Add(e, h)",
        x=(1, 10, 32), **matrices, w5=_weights(32, 64, seed=5, inputs=32), w6=_weights(64, 32, seed=6, inputs=64),
        g=np.ones(32, np.float32), z=np.zeros(32, np.float32), c=np.float32(0.18),
    ))  # fmt: skip


def _detector() -> onnx.ModelProto:
    return model_of(case(
        "a = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w1) r = Relu(a) c = Conv<pads=[1,1,1,1],strides=[2,2]>(r, w2) "
        "s = Relu(c) u = Resize<mode=\"nearest\">(s, , two) k = Concat<axis=1>(r, u) "
        "h1 = Conv(k, w3) h2 = Conv(s, w4) f1 = Reshape(h1, shape1) f2 = Reshape(h2, shape2) "
        "y = Concat<axis=2>(f1, f2) l = Slice(y, from, to, axis) y2 = Sigmoid(l)",
        x=(1, 3, 16, 16), w1=_weights(16, 3, 3, 3, seed=1, inputs=27), w2=_weights(24, 16, 3, 3, seed=2, inputs=144),
        w3=_weights(30, 40, 1, 1, seed=3, inputs=40), w4=_weights(30, 24, 1, 1, seed=4, inputs=24),
        two=np.array([1, 1, 2, 2], np.float32), shape1=np.array([1, 30, 64]), shape2=np.array([1, 30, 16]),
        **{"from": np.array([4]), "to": np.array([30]), "axis": np.array([1])},
    ))  # fmt: skip


def _sound() -> onnx.ModelProto:
    return model_of(case(
        "a = Conv<pads=[2,2]>(x, w1, b1) r = Relu(a) p = MaxPool<kernel_shape=[2],strides=[2]>(r) "
        "c = Conv<dilations=[2],pads=[2,2]>(p, w2) s = Relu(c) g = ReduceMean<axes=[2],keepdims=0>(s) "
        "y = Gemm<transB=1>(g, w3)",
        x=(1, 16, 40), w1=_weights(32, 16, 5, seed=1, inputs=80), b1=_weights(32, seed=2, inputs=9),
        w2=_weights(32, 32, 3, seed=3, inputs=96), w3=_weights(40, 32, seed=4, inputs=8),
    ))  # fmt: skip


def _decoder() -> onnx.ModelProto:
    return model_of(case(
        "a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) t = ConvTranspose<strides=[2,2]>(r, w2, b2) s = Relu(t) "
        "y = Conv<pads=[1,1,1,1]>(s, w3)",
        x=(1, 8, 8, 8), w1=_weights(16, 8, 3, 3, seed=1, inputs=72), w2=_weights(16, 16, 2, 2, seed=2, inputs=16),
        b2=_weights(16, seed=3, inputs=9), w3=_weights(8, 16, 3, 3, seed=4, inputs=144),
    ))  # fmt: skip


_MAKERS: dict[str, Callable[[], onnx.ModelProto]] = {
    "convolutions": _convolutions,
    "depthwise": _depthwise,
    "dense": _dense,
    "recurrent": _recurrent,
    "transformer": _transformer,
    "detector": _detector,
    "sound": _sound,
    "decoder": _decoder,
}
NAMES = tuple(_MAKERS)


def write_net(name: str, folder: Path) -> SmallNet:
    """The ONNX file of a small network and its samples, in a folder."""
    model = _MAKERS[name]()
    file, samples = folder / f"{name}.onnx", folder / f"{name}.npz"
    onnx.save(model, str(file))
    (entry,) = model.graph.input
    shape = tuple(dim.dim_value for dim in entry.type.tensor_type.shape.dim)
    feeds = [{entry.name: _signal(shape, seed)} for seed in range(SAMPLES + _FRESH)]
    # An array of samples has an axis more than the input, or its first axis is a batch of one.
    np.savez(samples, **{entry.name: np.stack([feed[entry.name] for feed in feeds[:SAMPLES]])})
    return SmallNet(name, file, samples, tuple(feeds[SAMPLES:]))


def _signal(shape: tuple[int, ...], seed: int) -> Array:
    """Noise in which neighbours are alike, as in pictures and sound, and that is limited as what sensors give."""
    rng = np.random.default_rng(900 + seed)
    noise = rng.standard_normal(shape)
    for axis in range(2, len(shape)):
        noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / 1.7
    return np.asarray(np.clip(noise, -2, 2), np.float32)
