"""Every kind of operator that `runtimes` says something about, as a graph of one, in float32 or in integers.

Run as a program with a runtime, a type and kinds, it prints the decibels of each: some kernels end the process.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edgewise.backends import open_backend
from edgewise.errors import BackendUnavailable, InvalidInput
from edgewise.tensors import Array, Quantization
from edgewise_converters.tflite.graph import Graph, Operator, Option, Tensor
from edgewise_converters.tflite.schema import Padding
from edgewise_converters.tflite.writer import serialize

SHAPE = (1, 8, 8, 4)
FLOAT = np.dtype(np.float32)
_LIMIT = 4.0
_CHANNELS = np.array([0.6, 1.2, -0.9, 1.5], np.float32)
Constants = Callable[["Types"], list[Tensor]]


@dataclass(frozen=True)
class Types:
    """What the activations of a graph are: float32, or integers with zero at zero."""

    dtype: np.dtype[np.generic]

    def quantization(self, limit: float = _LIMIT) -> Quantization | None:
        """Up to plus and minus ``limit``."""
        if self.dtype == FLOAT:
            return None
        return Quantization((float(np.float32(limit / np.iinfo(self.dtype).max)),), (0,))  # type: ignore[type-var]  # numpy's stub knows no dtype by name

    def real(self, name: str, values: Array) -> Tensor:
        """A constant of real numbers, in the activations' scale."""
        quantization = self.quantization()
        data = values if quantization is None else quantization.quantize(values, self.dtype.name)
        return Tensor.constant(name, data, quantization)

    def weights(self, name: str, values: Array) -> Tensor:
        """Constant weights: float32 or int8."""
        if self.dtype == FLOAT:
            return Tensor.constant(name, values)
        quantization = Quantization((float(np.abs(values).max()) / 127,), (0,))
        return Tensor.constant(name, quantization.quantize(values), quantization)


@dataclass(frozen=True)
class Kind:
    """How to write one kind of operator."""

    output: tuple[int, ...] = SHAPE
    options: dict[str, Option] = field(default_factory=dict)
    constants: Constants = lambda types: []
    limit: float = _LIMIT
    """Largest output."""
    grid: Quantization | None = None
    """That the int8 kernel demands of its output."""
    positive: bool = False
    data_last: bool = False


def _ints(*values: object) -> Constants:
    return lambda types: [
        Tensor.constant(f"c{i}", np.array(value, np.int32)) for i, value in enumerate(values)
    ]


def _channels(types: Types) -> list[Tensor]:
    return [types.real("k", _CHANNELS.reshape(1, 1, 1, 4))]


def _transposed(types: Types) -> list[Tensor]:
    weights = np.random.default_rng(5).standard_normal((4, 2, 2, 4)).astype(np.float32) / 4
    return [Tensor.constant("s", np.array((1, 16, 16, 4), np.int32)), types.weights("w", weights)]


def _matrices(types: Types) -> list[Tensor]:
    return [types.real("m", np.random.default_rng(6).uniform(-1, 1, (1, 8, 4, 4)).astype(np.float32))]


_POOL: dict[str, Option] = {
    "padding": Padding.VALID, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2,
}  # fmt: skip
_AROUND = ((0, 0), (1, 1), (1, 1), (0, 0))
KINDS = {
    "ADD": Kind(constants=_channels, limit=6.0),
    "BATCH_MATMUL": Kind(constants=_matrices, limit=12.0),
    "COS": Kind(limit=1.0),
    "CUMSUM": Kind(constants=_ints(1), limit=24.0),
    "DEPTH_TO_SPACE": Kind((1, 16, 16, 1), {"blockSize": 2}),
    "DIV": Kind(constants=_channels, limit=8.0),
    "ELU": Kind(),
    "FLOOR": Kind(),
    "GELU": Kind(),
    "HARD_SWISH": Kind(),
    "L2_NORMALIZATION": Kind(limit=1.0, grid=Quantization((1 / 128,), (0,))),
    "LOCAL_RESPONSE_NORMALIZATION": Kind(options={"radius": 2, "bias": 1.0, "alpha": 1.0, "beta": 0.5}),
    "LOG": Kind(positive=True, limit=2.0),
    "LOG_SOFTMAX": Kind(limit=16.0, grid=Quantization((16 / 256,), (127,))),
    "MAX_POOL_2D": Kind((1, 4, 4, 4), _POOL),
    "MUL": Kind(constants=_channels, limit=6.0),
    "NEG": Kind(),
    "PRELU": Kind(constants=_channels),
    "RELU": Kind(),
    "RELU_N1_TO_1": Kind(),
    "RESIZE_BILINEAR": Kind((1, 16, 16, 4), {"halfPixelCenters": True}, _ints((16, 16))),
    "ROUND": Kind(),
    "RSQRT": Kind(positive=True, limit=2.0),
    "SIN": Kind(limit=1.0),
    "SPACE_TO_DEPTH": Kind((1, 4, 4, 16), {"blockSize": 2}),
    "SQRT": Kind(positive=True),
    "SQUARE": Kind(limit=16.0),
    "SQUARED_DIFFERENCE": Kind(constants=_channels, limit=24.0),
    "SUB": Kind(constants=_channels, limit=6.0),
    "SUM": Kind((1, 4), {}, _ints((1, 2)), limit=40.0),
    "TILE": Kind((1, 16, 8, 4), {}, _ints((1, 2, 1, 1))),
    "TRANSPOSE": Kind(constants=_ints((0, 2, 1, 3))),
    "TRANSPOSE_CONV": Kind(
        (1, 16, 16, 4), {"padding": Padding.SAME, "strideH": 2, "strideW": 2}, _transposed, data_last=True
    ),
    "PAD": Kind((1, 10, 10, 4), {}, _ints(_AROUND)),
}  # fmt: skip


def graph_of(name: str, dtype: np.dtype[np.generic]) -> Graph:
    """The graph of one operator with activations of a type."""
    kind, types = KINDS[name], Types(dtype)
    data = Tensor("x", SHAPE, dtype, None, types.quantization())
    grid = kind.grid if kind.grid and dtype == np.int8 else types.quantization(kind.limit)
    output = Tensor("y", kind.output, dtype, None, grid)
    constants = kind.constants(types)
    inputs: list[Tensor | None] = [*constants, data] if kind.data_last else [data, *constants]
    return Graph(name, [data], [output], [Operator(name, inputs, [output], dict(kind.options))])


def data_of(name: str) -> Array:
    """Input of the operator, float32, on the grid of int8 so that its rounding is no matter."""
    rng = np.random.default_rng(2)
    steps = rng.integers(8 if KINDS[name].positive else -100, 100, SHAPE)
    return np.asarray(steps * (_LIMIT / 127), np.float32)


def answer(graph: Graph, data: Array, runtime: str) -> Array:
    """What a runtime says, as real numbers. Raises BackendUnavailable or InvalidInput where it refuses."""
    backend = open_backend(serialize(graph, description="", metadata={}), "tflite", name=runtime, threads=1)
    entry, end = graph.inputs[0].quantization, graph.outputs[0].quantization
    stored = entry.quantize(data, graph.inputs[0].dtype.name) if entry else data
    (output,) = backend.run([stored])
    backend.close()
    return end.dequantize(output) if end else output


def decibel(wanted: Array, got: Array) -> float:
    """Signal to noise."""
    noise = np.square(wanted - got, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(wanted, dtype=np.float64).sum() / (noise + 1e-30)))


def decibels(runtime: str, dtype: str) -> dict[str, float]:
    """How near each kind in a type comes to float32, asked in processes of their own; minus infinity if not at all."""
    found: dict[str, float] = {}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    while len(found) < len(KINDS):
        left = [name for name in KINDS if name not in found]
        done = subprocess.run(
            [sys.executable, __file__, runtime, dtype, *left],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        for line in done.stdout.splitlines():
            name, _, number = line.partition(" ")
            found[name] = float(number)
        died_of = next((name for name in left if name not in found), None)
        if died_of is not None:
            assert done.returncode < 0, done.stderr
            found[died_of] = -np.inf
    return found


def _main(runtime: str, dtype: str, names: list[str]) -> None:
    for name in names:
        data = data_of(name)
        wanted = answer(graph_of(name, FLOAT), data, "litert")
        try:
            near = decibel(wanted, answer(graph_of(name, np.dtype(dtype)), data, runtime))
        except (BackendUnavailable, InvalidInput):
            near = -np.inf
        print(name, near, flush=True)  # noqa: T201 - the command's output


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])
