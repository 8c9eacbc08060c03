"""onnxruntime as the one who knows: what a node gives on each of the inputs, and whether rounding decides it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edgewise.tensors import Array

IR_VERSIONS = {7: 3, 8: 3, 9: 4, 10: 5, 11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9}
LATEST_IR = 10
FEEDS = 3
MOST_ELEMENTS = 3000
_LARGEST = 1e4
"""Larger values would drown all others in float32."""
_NUDGE = 1e-5
_PATTERNS = 6
"""More than float32 rounding amounts to behind a few nodes."""
_EXACT = frozenset({
    "Identity", "Relu", "Neg", "Abs", "Max", "Min", "Clip", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten",
    "Expand", "Tile", "Concat", "Split", "Slice", "Gather", "GatherElements", "GatherND", "Pad", "Where", "TopK",
    "DepthToSpace", "SpaceToDepth", "ReduceMax", "ReduceMin", "GlobalMaxPool", "MaxPool", "ReverseSequence", "Trilu",
})  # fmt: skip
"""Operators that round nothing."""
_STEPPED = frozenset(
    {"Floor", "Ceil", "Round", "Sign", "Mod", "Hardmax", "ThresholdedRelu", "Shrink", "ScatterND"}
)
"""Operators whose float results jump where their inputs creep."""


_ADDING = frozenset({"ReduceL1", "ReduceProd", "ReduceSum", "ReduceSumSquare"})
_BLIND_TO_NAN = frozenset(
    {
        "Max",
        "Min",
        "Clip",
        "Relu",
        "MaxPool",
        "GlobalMaxPool",
        "ReduceMax",
        "ReduceMin",
        "TopK",
        "Softmax",
        "LogSoftmax",
    }
)
"""Operators of which every runtime has its own opinion what they make of NaN."""


class RefusedByOnnxruntime(Exception):
    """onnxruntime does not load or run a model."""


@dataclass(frozen=True, eq=False)
class Value:
    """One value of the graph, with what it is on each input."""

    name: str
    arrays: tuple[Array, ...]
    """One for a constant."""
    is_constant: bool = False
    is_exact: bool = True
    """Whether nothing was rounded on the way to it."""

    @property
    def array(self) -> Array:
        return self.arrays[0]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def rank(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def at(self, feed: int) -> Array:
        """What it is on one of the inputs."""
        return self.arrays[feed % len(self.arrays)]


class OneNode:
    """A node on its own."""

    def __init__(self, node: onnx.NodeProto, values: Sequence[Value], opset: int) -> None:
        """Raises RefusedByOnnxruntime."""
        self._node = node
        self._fed = {value.name: value for value in values if not value.is_constant}
        fixed = {value.name: value.array for value in values if value.is_constant}
        graph = helper.make_graph(
            [node],
            "one",
            [described(name, value.array) for name, value in self._fed.items()],
            [onnx.ValueInfoProto(name=name) for name in node.output],
            [numpy_helper.from_array(array, name) for name, array in fixed.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = IR_VERSIONS.get(opset, LATEST_IR)
        self._session = open_session(model.SerializeToString(), optimized=False)

    def outputs(self) -> list[Value] | None:
        """What it gives; None where that is unsuited. Raises RefusedByOnnxruntime."""
        feeds = [{name: value.at(i) for name, value in self._fed.items()} for i in range(FEEDS)]
        results = [run_session(self._session, feed) for feed in feeds]
        if not all(_is_suited(array) for result in results for array in result):
            return None
        if any(len({array.shape for array in arrays}) > 1 for arrays in zip(*results, strict=True)):
            return None
        if not all(self._is_defined(feed, result) for feed, result in zip(feeds, results, strict=True)):
            return None
        exact = all(value.is_exact for value in self._fed.values())
        whole = all(array.dtype.kind != "f" for array in results[0])
        if not exact and (whole or self._node.op_type in _STEPPED) and not self._is_steady(feeds, results):
            return None
        is_exact = exact and (self._node.op_type in _EXACT or whole)
        return [
            Value(name, arrays, is_exact=is_exact)
            for name, arrays in zip(self._node.output, zip(*results, strict=True), strict=True)
        ]

    def _is_defined(self, feed: dict[str, Array], result: list[Array]) -> bool:
        """Whether the result is one that every kernel gives: NaN becomes no particular integer, nor has it a rank.

        Sums of integers that overflow stop at the end of the type in some of onnxruntime's kernels and wrap in others.
        NaN comes from what was not rounded only: else rounding would decide what is NaN and what is not.
        """
        if self._node.op_type in ("IsNaN", "IsInf"):
            return True
        if self._node.op_type in _ADDING and any(map(_is_at_an_end, result)):
            return False
        sound = all(map(_is_finite, feed.values()))
        if not sound and (
            self._node.op_type in _BLIND_TO_NAN or not all(array.dtype.kind == "f" for array in result)
        ):
            return False
        return (
            not sound or all(map(_is_finite, result)) or all(value.is_exact for value in self._fed.values())
        )

    def _is_steady(self, feeds: list[dict[str, Array]], results: list[list[Array]]) -> bool:
        """Whether the results stay when inputs that were rounded move a little either way."""
        for feed, result in zip(feeds, results, strict=True):
            for pattern in range(_PATTERNS):
                moved = {name: _nudged(array, pattern) for name, array in feed.items()}
                again = run_session(self._session, moved)
                if not all(map(_is_close, result, again)):
                    return False
        return True


def _is_close(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-3, equal_nan=True)


def _nudged(array: Array, pattern: int) -> Array:
    """Moved up and down at random: neighbours along any axis part, in one pattern or another."""
    if array.dtype.kind != "f" or not array.size:
        return array
    signs = np.random.default_rng(pattern).choice([-1, 1], array.shape)
    if array.dtype == np.float16:  # what was rounded to it may as well have become its neighbour
        return np.asarray(np.nextafter(array, (signs * np.inf).astype(np.float16)))
    scale = np.abs(np.nan_to_num(array, posinf=0, neginf=0)).max()
    return np.asarray(array + signs * _NUDGE * scale, array.dtype)


def numbers(rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype, kind: int) -> Array:
    """Random numbers of a kind: usual ones, large ones, rounded ones, positive ones."""
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype.kind == "f":
        array = rng.standard_normal(shape)
        array = {1: array * 30, 2: np.round(array * 2), 3: np.abs(array) + 0.1}.get(kind, array)
        return np.asarray(array, dtype)
    limits = np.iinfo(dtype)
    low, high = {1: (limits.min, limits.max), 2: (0, 2)}.get(kind, (max(-5, limits.min), 6))
    return np.asarray(rng.integers(low, high, shape, dtype))


def _is_at_an_end(array: Array) -> bool:
    if array.dtype.kind not in "iu":
        return False
    limits = np.iinfo(array.dtype)
    return bool(np.any((array == limits.max) | ((array == limits.min) & (limits.min < 0))))


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _is_suited(array: Array) -> bool:
    """Of a type we know, not empty, neither large nor without any finite number."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fbiu":
        return False
    if not 0 < array.size <= MOST_ELEMENTS:
        return False
    if array.dtype.kind != "f":
        return True
    finite = np.isfinite(array)
    return bool(finite.any() and np.abs(array[finite]).max() < _LARGEST)


def described(name: str, array: Array) -> onnx.ValueInfoProto:
    """A graph's input or output of this type and shape."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def open_session(model: bytes, *, optimized: bool) -> onnxruntime.InferenceSession:
    """A quiet session. Raises RefusedByOnnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=["QDQS8ToU8Transformer"]
        )
    except Exception as error:
        raise RefusedByOnnxruntime(str(error)) from error


def run_session(session: onnxruntime.InferenceSession, feed: dict[str, Array]) -> list[Array]:
    """Every output. Raises RefusedByOnnxruntime."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    try:
        return list(session.run(None, feed, options))
    except Exception as error:
        raise RefusedByOnnxruntime(str(error)) from error
