"""Steps over whole axes: normalisations, reductions, resizing, recurrences, and patterns that rewrites look for."""

import numpy as np
from converters.fuzz.builder import BOOL, FLOAT, INT32, INT64, Builder, Value
from converters.fuzz.layers import picture
from converters.fuzz.moving import an_axis, with_ints

NORMALISATIONS = (
    "BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "LRN", "LpNormalization",
    "MeanVarianceNormalization",
)  # fmt: skip


_SINCE = {"LayerNormalization": 17, "GroupNormalization": 18, "MeanVarianceNormalization": 9}


def normalisation(b: Builder) -> None:
    """Batch, instance, group and layer normalisation, LRN and Lp."""
    kind = b.choices.pick(NORMALISATIONS)
    if b.opset < _SINCE.get(kind, 0) or (
        kind == "GroupNormalization" and b.opset in (19, 20)
    ):  # deprecated there
        return None
    if kind == "LayerNormalization":
        return _layer_normalisation(b)
    data = b.floats(2 if kind == "BatchNormalization" else 3, 5)
    channels = data.shape[1]
    parameters = [b.weights(channels), b.weights(channels)]
    if kind == "BatchNormalization":
        more = [b.weights(channels), b.weights(channels, kind=3)]
        b.add(kind, [data, *parameters, *more], epsilon=b.choices.pick((None, 1e-3)))
    elif kind == "InstanceNormalization":
        b.add(kind, [data, *parameters])
    elif kind == "GroupNormalization":
        groups = b.choices.pick([g for g in range(1, channels + 1) if channels % g == 0])
        size = channels if b.opset >= 21 else groups
        b.add(kind, [data, b.weights(size), b.weights(size)], num_groups=groups)
    elif kind == "LRN":
        b.add(kind, [data], size=b.choices.pick((1, 3, 5)), alpha=b.choices.pick((None, 0.01)))
    elif kind == "LpNormalization":
        b.add(kind, [data], axis=an_axis(b, data.rank), p=b.choices.pick((1, 2)))
    else:
        b.add(kind, [data], axes=[0, 2] if b.choices.chance(50) else None)
    return None


def _layer_normalisation(b: Builder) -> None:
    data = b.floats(2, 4)
    axis = b.choices.number(1, data.rank - 1)
    shape = data.shape[axis:]
    bias = [b.weights(*shape)] if b.choices.chance(60) else []
    b.add(
        "LayerNormalization", [data, b.weights(*shape), *bias], axis=b.choices.pick((axis, axis - data.rank))
    )


def softmax(b: Builder) -> None:
    """Softmax and its kin, by axis or, before opset 13, over all that follows one."""
    data = b.floats(1, 5)
    axis = an_axis(b, data.rank, negative=b.opset >= 11)
    b.add(b.choices.pick(("Softmax", "LogSoftmax", "Hardmax", "Softmax")), [data], axis=axis)


REDUCTIONS = (
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSum", "ReduceLogSumExp",
)  # fmt: skip


_ROUNDED = frozenset({"ReduceMean", "ReduceL2"})
"""Those that ONNX does not say how to round for large integers; a logarithm may even be NaN, which no integer is."""


def reduction(b: Builder) -> None:
    """Reductions over some axes, all, or none."""
    data = b.of(FLOAT, FLOAT, INT32, INT64, low=1)
    kind = b.choices.pick(REDUCTIONS)
    data = b.positive(data) if kind == "ReduceLogSum" else data
    whole = data.dtype.kind == "i"
    if whole and ("Log" in kind or (kind in _ROUNDED and np.abs(data.array.astype(float)).max() > 99)):
        return
    axes = sorted({b.choices.number(0, data.rank - 1) for _ in range(b.choices.number(1, 3))})
    if b.choices.chance(20) and b.opset >= 11:
        axes = [axis - data.rank for axis in axes]
    keep = b.choices.pick((None, 0, 1))
    if b.choices.chance(10):
        b.add(kind, [data], keepdims=keep)
        return
    inputs, attributes = with_ints(b, 13 if kind == "ReduceSum" else 18, axes, "axes")
    b.add(kind, [data, *inputs], keepdims=keep, **attributes)


def arg_extreme(b: Builder) -> None:
    """ArgMax and ArgMin."""
    data = b.of(FLOAT, FLOAT, INT32, low=1)
    attributes = {"axis": an_axis(b, data.rank, negative=b.opset >= 11), "keepdims": b.choices.number(0, 1)}
    if b.opset >= 12:
        attributes["select_last_index"] = b.choices.pick((None, 0, 1))
    b.add(b.choices.pick(("ArgMax", "ArgMin")), [data], **attributes)


def resize(b: Builder) -> None:
    """Resize by scales or sizes in its modes, Upsample before opset 10."""
    data = picture(b, b.choices.pick((2, 2, 1)))
    axes = data.rank - 2
    mode = b.choices.pick(("nearest", "linear", "cubic"))
    scales = [1.0, 1.0, *(b.choices.pick((1.0, 2.0, 0.5, 1.5, 3.0)) for _ in range(axes))]
    if b.opset < 11:
        mode = "nearest" if mode == "cubic" else mode
        if b.opset < 9:
            b.add("Upsample", [data], mode=mode, scales=scales)
        else:
            b.add("Resize" if b.opset == 10 else "Upsample", [data, b.constant(scales, FLOAT)], mode=mode)
        return
    attributes: dict[str, object] = {"mode": mode}
    attributes["coordinate_transformation_mode"] = b.choices.pick(
        (None, "half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
    )
    if mode == "nearest":
        attributes["nearest_mode"] = b.choices.pick(
            (None, "floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
        )
    roi = None if b.opset >= 13 else b.constant([], FLOAT)
    if b.choices.chance(40):
        sizes = [*data.shape[:2], *(b.choices.number(1, 9) for _ in range(axes))]
        empty = None if b.opset >= 13 else b.constant([], FLOAT)
        b.add("Resize", [data, roi, empty, b.ints(sizes)], **attributes)
    else:
        b.add("Resize", [data, roi, b.constant(scales, FLOAT)], **attributes)


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrence(b: Builder) -> None:
    """LSTM, GRU and RNN, both ways, with and without a first state."""
    data = b.floats(3, 3)
    _, batch, width = data.shape
    kind = b.choices.pick(tuple(GATES))
    hidden, gates = b.choices.pick((2, 3)), GATES[kind]
    direction = b.choices.pick(("forward", "reverse", "bidirectional"))
    both = 2 if direction == "bidirectional" else 1
    inputs: list[Value | None] = [
        data,
        b.weights(both, gates * hidden, width),
        b.weights(both, gates * hidden, hidden),
    ]
    inputs.append(b.weights(both, 2 * gates * hidden) if b.choices.chance(60) else None)
    inputs.append(None)
    if b.choices.chance(40):
        inputs.append(b.weights(both, batch, hidden))
        inputs += [b.weights(both, batch, hidden)] if kind == "LSTM" else []
    before = b.choices.number(0, 1) if kind == "GRU" else None
    outputs = b.choices.number(1, 3 if kind == "LSTM" else 2)
    b.add(kind, inputs, outputs=outputs, hidden_size=hidden, direction=direction, linear_before_reset=before)


def quantized(b: Builder) -> None:
    """A value rounded to eight bits and back."""
    data = b.floats(1, 5)
    dtype = b.choices.pick((np.uint8, np.int8))
    scale, zero = b.constant(0.05, FLOAT), b.constant(b.choices.pick((0, 3)), dtype)
    rounded = b.add("QuantizeLinear", [data, scale, zero])
    if rounded:
        b.add("DequantizeLinear", [rounded[0], scale, zero])


def attention(b: Builder) -> None:
    """Attention spelled out, over the last two axes."""
    data = b.floats(3, 4)
    turned = b.add("Transpose", [data], perm=[*range(data.rank - 2), data.rank - 1, data.rank - 2])
    scores = b.add("MatMul", [data, turned[0]]) if turned else []
    scaled = b.add("Mul", [scores[0], b.constant(0.3, FLOAT)]) if scores else []
    shares = b.add("Softmax", [scaled[0]], axis=scaled[0].rank - 1) if scaled else []
    if shares:
        b.add("MatMul", [shares[0], data])


def spelled_out(b: Builder) -> None:
    """Patterns that rewrites look for: HardSwish, Gelu, a scale behind a convolution, zeros put before one."""
    data = picture(b, 2)
    half = b.choices.pick((3.0, 3.0, 2.0))
    kind = b.choices.pick(("hard swish", "gelu", "scale", "pad"))
    if kind == "hard swish" and b.opset >= 11:
        shifted = b.add("Add", [data, b.constant(half, FLOAT)])
        cut = b.add("Clip", [shifted[0], b.constant(0, FLOAT), b.constant(6, FLOAT)]) if shifted else []
        times = b.add("Mul", [data, cut[0]]) if cut else []
        if times:
            b.add("Div", [times[0], b.constant(6, FLOAT)])
    elif kind == "gelu":
        ratio = b.add("Div", [data, b.constant(1.41421356, FLOAT)])
        error = b.add("Erf", ratio) if ratio else []
        more = b.add("Add", [error[0], b.constant(1, FLOAT)]) if error else []
        times = b.add("Mul", [data, more[0]]) if more else []
        if times:
            b.add("Mul", [times[0], b.constant(0.5, FLOAT)])
    elif kind == "scale":
        result = b.add("Conv", [data, b.weights(3, data.shape[1], 1, 1)])
        times = (
            b.add("Mul", [result[0], b.weights(*b.choices.pick(((3, 1, 1), (1, 3, 1, 1), (1,), ())))])
            if result
            else []
        )
        if times:
            b.add("Add", [times[0], b.weights(3, 1, 1)])
    elif b.opset >= 11:
        padded = b.add(
            "Pad", [data, b.ints([0, 0, 1, 1, 0, 0, 1, 1])], mode=b.choices.pick(("constant", "reflect"))
        )
        if padded:
            b.add("Conv", [padded[0], b.weights(2, data.shape[1], 3, 3)])


def choice(b: Builder) -> None:
    """The larger of two by comparison, as exporters write masks."""
    data = b.floats(1, 4)
    mask = b.add("Greater", [data, b.weights(*data.shape[-1:])])
    turned = b.add("Cast", [mask[0]], to=1) if mask and mask[0].dtype == BOOL else []
    if turned:
        b.add("Mul", [data, turned[0]])


STEPS = (
    normalisation, normalisation, softmax, reduction, reduction, arg_extreme, resize, recurrence, quantized, attention,
    spelled_out, choice,
)  # fmt: skip
