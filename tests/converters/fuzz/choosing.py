"""Steps that choose, place, sort or fill elements."""

import numpy as np
from converters.fuzz.builder import FLOAT, INT32, INT64, Builder
from converters.fuzz.moving import an_axis, any_value
from onnx import numpy_helper


def gather(b: Builder) -> None:
    """Constant indices of any rank, some negative; now and then computed ones."""
    data = any_value(b)
    axis = an_axis(b, data.rank)
    length = data.shape[axis]
    low = -length if b.opset >= 11 else 0
    seed = np.random.default_rng(b.choices.number(0, 99))
    indices = seed.integers(low, length, b.dims(0, 2))
    if b.choices.chance(20):
        source = b.input(b.dims(1, 2), INT64)
        limited = b.add("Clip", [source, b.ints(0), b.ints(length - 1)]) if b.opset >= 12 else []
        if limited:
            b.add("Gather", [data, limited[0]], axis=axis)
        return
    b.add("Gather", [data, b.constant(indices, b.choices.pick((INT64, INT32)))], axis=axis)


def gather_more(b: Builder) -> None:
    """GatherElements and GatherND."""
    data = any_value(b)
    rng = np.random.default_rng(b.choices.number(0, 99))
    if b.choices.chance(50):
        axis = an_axis(b, data.rank)
        b.add(
            "GatherElements",
            [data, b.ints(rng.integers(-data.shape[axis], data.shape[axis], data.shape))],
            axis=axis,
        )
        return
    depth = b.choices.number(1, data.rank)
    rows = b.choices.number(1, 4)
    b.add("GatherND", [data, b.ints(rng.integers(0, data.shape[:depth], (rows, depth)))])


def scatter(b: Builder) -> None:
    """ScatterElements and ScatterND, where every place is written once."""
    data = any_value(b, 1, 4)
    rng = np.random.default_rng(b.choices.number(0, 99))
    axis = an_axis(b, data.rank)
    if b.choices.chance(50):
        order = np.argsort(rng.random(data.shape), axis=axis)
        inputs = [data, b.ints(order), b.weights(*data.shape, dtype=data.dtype.type)]
        b.add("ScatterElements" if b.opset >= 11 else "Scatter", inputs, axis=axis)
        return
    rows = rng.permutation(data.shape[0])[: b.choices.number(1, data.shape[0])]
    updates = b.weights(len(rows), *data.shape[1:], dtype=data.dtype.type)
    kind = b.choices.pick((None, None, "add", "mul", "max")) if b.opset >= 18 else None
    b.add("ScatterND", [data, b.ints(rows.reshape(-1, 1)), updates], reduction=kind)


def pad(b: Builder) -> None:
    """All modes; negative pads cut."""
    data = any_value(b)
    mode = b.choices.pick(("constant", "constant", "reflect", "edge", "wrap"))
    most = [min(2, dim - 1) if mode in ("reflect", "wrap") else 2 for dim in data.shape]
    pads = [
        b.choices.number(-1 if dim > 2 and mode == "constant" else 0, most[i % data.rank])
        for i, dim in enumerate(2 * data.shape)
    ]
    if b.opset < 11:
        b.add("Pad", [data], pads=pads, mode=mode, value=b.choices.pick((None, 1.5)))
        return
    value = [b.constant(1, data.dtype)] if b.choices.chance(40) and mode == "constant" else []
    b.add("Pad", [data, b.ints(pads), *value], mode=mode)


def depth_space(b: Builder) -> None:
    """Blocks to channels and back."""
    data = any_value(b, 4, 4)
    if b.choices.chance(50):
        b.add("SpaceToDepth", [data], blocksize=2)
    else:
        b.add(
            "DepthToSpace",
            [data],
            blocksize=2,
            mode=b.choices.pick(("DCR", "CRD")) if b.opset >= 11 else None,
        )


def sorting(b: Builder) -> None:
    """TopK with both outputs, of which one may be unused."""
    data = b.of(FLOAT, INT32, low=1)
    axis = an_axis(b, data.rank)
    k = b.choices.number(1, data.shape[axis])
    inputs, attributes = ([b.ints([k])], {}) if b.opset >= 10 else ([], {"k": k})
    if b.opset >= 11:
        attributes["largest"] = b.choices.number(0, 1)
    b.add("TopK", [data, *inputs], outputs=2, axis=axis, **attributes)


def cumulating(b: Builder) -> None:
    """CumSum both ways."""
    data = b.of(FLOAT, INT32, INT64, low=1)
    flags = {"exclusive": b.choices.number(0, 1), "reverse": b.choices.number(0, 1)}
    b.add("CumSum", [data, b.constant(an_axis(b, data.rank), INT64)], **flags)


def triangle(b: Builder) -> None:
    """The upper or lower part of matrices."""
    data = any_value(b, 2, 4)
    k = [b.ints(b.choices.number(-2, 2))] if b.choices.chance(60) else []
    b.add("Trilu", [data, *k], upper=b.choices.number(0, 1))


def one_hot(b: Builder) -> None:
    """A new axis with one value on and others off."""
    indices = b.of(INT64, INT32, low=0, high=3)
    values = b.choices.pick((FLOAT, INT32, INT64))
    b.add("OneHot", [indices, b.ints(4), b.constant([0, 1], values)], axis=b.choices.pick((-1, 0)))


def filled(b: Builder) -> None:
    """ConstantOfShape or Range of a shape that is computed, added to what it came from."""
    data = b.floats(1, 4)
    shape = b.add("Shape", [data])
    if shape and b.choices.chance(60):
        value = b.choices.pick((None, onnx_number(1.5)))
        made = b.add("ConstantOfShape", [shape[0]], value=value)
        if made:
            b.add("Add", [data, made[0]])
    elif shape:
        length = b.add("Gather", [shape[0], b.ints(-1)], axis=0)
        steps = b.add("Range", [b.ints(0), length[0], b.ints(1)]) if length else []
        turned = b.add("Cast", [steps[0]], to=1) if steps else []
        if turned:
            b.add("Mul", [data, turned[0]])


def onnx_number(value: float) -> object:
    """A tensor attribute of one number."""
    return numpy_helper.from_array(np.array([value], np.float32))


def found_by_data(b: Builder) -> None:
    """What has no shape before it runs: it can only be refused."""
    if b.choices.chance(20):
        data = b.floats(1, 3)
        b.add(b.choices.pick(("NonZero", "Unique")), [data])


def reversing(b: Builder) -> None:
    """ReverseSequence with a length for each."""
    data = b.floats(2, 4)
    lengths = np.random.default_rng(b.choices.number(0, 99)).integers(1, data.shape[0] + 1, data.shape[1])
    b.add("ReverseSequence", [data, b.ints(lengths)], batch_axis=1, time_axis=0)


STEPS = (
    gather, gather, gather_more, scatter, pad, pad, depth_space, sorting, cumulating, triangle, one_hot, filled,
    found_by_data, reversing,
)  # fmt: skip
