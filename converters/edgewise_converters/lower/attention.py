"""Attention and rotary embeddings, as ONNX defines them from opset 23 on."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewise.tensors import Array
from edgewise_converters.lower.algebra import Algebra
from edgewise_converters.lower.attributes import constant_input, float_of, input_of, int_of
from edgewise_converters.lower.lowering import Lowering, lowers
from edgewise_converters.tflite.graph import Tensor

_LOWEST = float(np.finfo(np.float32).min)
_RAW, _CAPPED, _MASKED, _PROBABILITIES = range(4)
"""qk_matmul_output_mode: what the fourth output shows."""


@dataclass(frozen=True)
class _Heads:
    """Queries [batch, heads, length, size], keys and values [batch, key heads, all lengths, size]."""

    query: Tensor
    key: Tensor
    value: Tensor
    past: int
    """How many keys precede those of this call."""

    @property
    def scores_shape(self) -> tuple[int, int, int, int]:
        batch, heads, length, _ = self.query.shape
        return batch, heads, length, self.key.shape[2]


@lowers("Attention", in_float=True)
def lower_attention(low: Lowering, node: ir.Node) -> None:
    """softmax(cap(Q K^T * scale) + masks) V, with grouped heads, a cache and every mask that ONNX knows."""
    result = node.outputs[0]
    f = Algebra(low, str(result.name))
    heads = _heads(low, f, node)
    scale = float_of(node, "scale", 1 / float(np.sqrt(heads.query.shape[-1])))
    raw = _scores(f, heads, scale)
    cap = float_of(node, "softcap", 0.0)
    capped = f.mul(f.apply("TANH", f.div(raw, cap)), cap) if cap > 0 else raw
    bias = _bias(low, f, node, heads)
    masked = capped if bias is None else f.add(capped, bias)
    probabilities = _softmax(f, masked, bias)
    answer = _weighted(f, probabilities, heads.value)
    if len(low.shape(result)) == 3:
        answer = f.reshape(f.transpose(answer, [0, 2, 1, 3]), low.shape(result))
    shown = {_RAW: raw, _CAPPED: capped, _MASKED: masked, _PROBABILITIES: probabilities}
    extra = shown[int_of(node, "qk_matmul_output_mode", _RAW)]
    for output, tensor in zip(node.outputs, (answer, heads.key, heads.value, extra), strict=False):
        if output.uses() or output.is_graph_output():
            low.bind(output, tensor)


def _heads(low: Lowering, f: Algebra, node: ir.Node) -> _Heads:
    tensors = []
    for index, count in enumerate(("q_num_heads", "kv_num_heads", "kv_num_heads")):
        value = node.inputs[index]
        assert value is not None
        tensor = low.read(value)
        if len(tensor.shape) == 3:
            batch, length, width = tensor.shape
            heads = int_of(node, count, 1)
            split = f.reshape(tensor, (batch, length, heads, width // heads))
            tensor = f.transpose(split, [0, 2, 1, 3])
        tensors.append(tensor)
    past = 0
    for index, which in ((4, 1), (5, 2)):
        value = input_of(node, index)
        if value is not None:
            past = low.shape(value)[2]
            tensors[which] = f.concat([low.read(value), tensors[which]], 2)
    return _Heads(tensors[0], tensors[1], tensors[2], past)


def _scores(f: Algebra, heads: _Heads, scale: float) -> Tensor:
    """Q K^T * scale; the query heads that share a key head stand below each other."""
    query = f.mul(heads.query, scale)
    batch, many, length, size = query.shape
    few = heads.key.shape[1]
    grouped = f.reshape(query, (batch, few, many // few * length, size))
    return f.reshape(f.product(grouped, heads.key, transpose_right=True), heads.scores_shape)


def _weighted(f: Algebra, probabilities: Tensor, value: Tensor) -> Tensor:
    batch, many, length, keys = probabilities.shape
    few = value.shape[1]
    grouped = f.reshape(probabilities, (batch, few, many // few * length, keys))
    return f.reshape(f.product(grouped, value), (batch, many, length, value.shape[-1]))


def _softmax(f: Algebra, scores: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax, where a row in which everything is masked is all zero instead of not a number."""
    if bias is None:
        return f.apply("SOFTMAX", scores, beta=1.0)
    # The lowest number instead of minus infinity, which minus itself is none.
    probabilities = f.apply("SOFTMAX", f.apply("MAXIMUM", scores, _LOWEST), beta=1.0)
    if bias.data is not None:
        if np.isfinite(bias.data.max(axis=-1)).all():
            return probabilities
        seen = f.constant(np.isfinite(bias.data.max(axis=-1, keepdims=True)), np.float32)
        return f.mul(probabilities, seen)
    most = f.reduce("REDUCE_MAX", bias, [len(bias.shape) - 1])
    return f.where(f.apply("GREATER", most, _LOWEST), probabilities, 0.0)


def _bias(low: Lowering, f: Algebra, node: ir.Node, heads: _Heads) -> Tensor | None:
    """What is added to the scores: zero or minus infinity, or the mask's own numbers. None for nothing."""
    total = _constant_bias(node, heads)
    mask = input_of(node, 3)
    computed = None
    if mask is not None:
        array = constant_input(node, 3)
        if array is not None:
            total = total + _as_bias(array, heads.scores_shape[3])
        else:
            computed = _mask_bias(low, f, mask, heads.scores_shape[3])
    valid = input_of(node, 6)
    if valid is not None:
        length = f.reshape(f.cast(low.read(valid), np.int32), (heads.scores_shape[0], 1, 1, 1))
        padding = _cache_bias(f, node, heads, length)
        computed = padding if computed is None else f.add(computed, padding)
    if computed is None:
        return f.constant(total) if total.any() else None
    return f.add(computed, f.constant(total)) if total.any() else computed


def _distances(heads: _Heads) -> Array:
    """[1, 1, queries, keys]: how far after its query each key lies, were there no cache."""
    _, _, queries, keys = heads.scores_shape
    return np.asarray(np.arange(keys)[None, :] - np.arange(queries)[:, None])[None, None]


def _constant_bias(node: ir.Node, heads: _Heads) -> Array:
    """Of the causal mask and the sliding window, where they do not depend on a length given at run time."""
    if input_of(node, 6) is not None:
        return np.zeros((1, 1, 1, 1), np.float32)
    ahead = _distances(heads) - heads.past
    hidden = np.zeros(ahead.shape, bool)
    for allowed in _limits(node):
        hidden |= ~allowed(ahead)
    return np.where(hidden, np.float32(-np.inf), np.float32(0))


def _limits(node: ir.Node) -> list["_Limit"]:
    """Which distances of a key ahead of its query may be seen."""
    left, right = int_of(node, "left_window_size", -1), int_of(node, "right_window_size", -1)
    limits = []
    if int_of(node, "is_causal", 0):
        limits.append(_Limit(0, 1))
    if right >= 0:
        limits.append(_Limit(right, 1))
    if left >= 0:
        limits.append(_Limit(left, -1))
    return limits


@dataclass(frozen=True)
class _Limit:
    """``sign`` * distance may be at most ``most``."""

    most: int
    sign: int

    def __call__(self, ahead: Array) -> Array:
        return np.asarray(self.sign * ahead <= self.most)


def _cache_bias(f: Algebra, node: ir.Node, heads: _Heads, length: Tensor) -> Tensor:
    """Of keys behind the ``length`` [batch, 1, 1, 1] of what is valid, which the last query is level with."""
    _, _, queries, keys = heads.scores_shape
    positions = f.constant(np.arange(keys).reshape(1, 1, 1, -1), np.int32)
    seen = f.apply("LESS", positions, length)
    ahead = _distances(heads) + queries
    for limit in _limits(node):
        if limit.sign > 0:  # ahead - length <= most
            allowed = f.apply("LESS_EQUAL", f.constant(ahead - limit.most, np.int32), length)
        else:  # length - ahead <= most
            allowed = f.apply("GREATER_EQUAL", f.constant(ahead + limit.most, np.int32), length)
        seen = f.apply("LOGICAL_AND", seen, allowed)
    return f.where(seen, f.constant(0.0), f.constant(-np.inf))


def _as_bias(mask: Array, keys: int) -> Array:
    """A constant mask as what is added, of four axes and filled up to the number of keys."""
    if mask.dtype == np.bool_:
        mask = np.where(mask, np.float32(0), np.float32(-np.inf))
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    missing = keys - mask.shape[-1]
    return np.pad(mask, [(0, 0)] * 3 + [(0, missing)], constant_values=-np.inf) if missing else mask


def _mask_bias(low: Lowering, f: Algebra, mask: ir.Value, keys: int) -> Tensor:
    """The same of a computed mask."""
    tensor = low.read(mask)
    tensor = f.reshape(tensor, (1,) * (4 - len(tensor.shape)) + tensor.shape)
    if tensor.dtype == np.bool_:
        tensor = f.where(tensor, f.constant(0.0), f.constant(-np.inf))
    return f.pad(tensor, [(0, 0)] * 3 + [(0, keys - tensor.shape[-1])], fill=-np.inf)


@lowers("RotaryEmbedding", in_float=True)
def lower_rotary_embedding(low: Lowering, node: ir.Node) -> None:
    """Pairs of features turned by the angles of their positions, as [batch, length, heads, size]."""
    data, result = node.inputs[0], node.outputs[0]
    assert data is not None
    f = Algebra(low, str(result.name))
    tensor = low.read(data)
    if len(tensor.shape) == 4:
        tensor = f.transpose(tensor, [0, 2, 1, 3])
    else:
        batch, length, width = tensor.shape
        heads = int_of(node, "num_heads", 1)
        tensor = f.reshape(tensor, (batch, length, heads, width // heads))
    size = tensor.shape[3]
    turned = int_of(node, "rotary_embedding_dim", 0) or size
    cosine, sine = _angles(low, f, node, tensor.shape)
    parts = [_turn(f, f.part(tensor, 3, 0, turned), cosine, sine, bool(int_of(node, "interleaved", 0)))]
    if turned < size:
        parts.append(f.part(tensor, 3, turned, size))
    answer = f.concat(parts, 3)
    if len(low.shape(result)) == 4:
        low.bind(result, f.transpose(answer, [0, 2, 1, 3]))
    else:
        low.bind(result, f.reshape(answer, low.shape(result)))


def _angles(low: Lowering, f: Algebra, node: ir.Node, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Cosines and sines [batch, length, 1, turned / 2]."""
    positions = input_of(node, 3)
    answers = []
    for index in (1, 2):
        value = node.inputs[index]
        assert value is not None
        cache = low.read(value)
        if positions is not None:
            cache = f.gather(cache, f.cast(low.read(positions), np.int32), 0)
        answers.append(f.reshape(cache, (shape[0], shape[1], 1, cache.shape[-1])))
    return answers[0], answers[1]


def _turn(f: Algebra, tensor: Tensor, cosine: Tensor, sine: Tensor, interleaved: bool) -> Tensor:
    size = tensor.shape[3]
    if interleaved:
        first, second = f.part(tensor, 3, 0, size, 2), f.part(tensor, 3, 1, size, 2)
    else:
        first, second = f.part(tensor, 3, 0, size // 2), f.part(tensor, 3, size // 2, size)
    real = f.sub(f.mul(cosine, first), f.mul(sine, second))
    imaginary = f.add(f.mul(sine, first), f.mul(cosine, second))
    if not interleaved:
        return f.concat([real, imaginary], 3)
    rows = int(np.prod(real.shape))
    pairs = [f.reshape(part, (rows, 1)) for part in (real, imaginary)]
    return f.reshape(f.concat(pairs, 1), tensor.shape)
