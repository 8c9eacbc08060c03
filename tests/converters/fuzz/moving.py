"""Steps that move elements, and the chains by which exporters compute shapes."""

import numpy as np
from converters.fuzz.builder import FLOAT, INT32, INT64, Builder, Value


def any_value(b: Builder, low: int = 1, high: int = 5) -> Value:
    """A value of any type."""
    found = b.some(lambda value: low <= value.rank <= high)
    return found if found is not None else b.of(FLOAT, low=low, high=high)


def an_axis(b: Builder, rank: int, *, negative: bool = True) -> int:
    """An axis, counted from either end."""
    axis = b.choices.number(0, rank - 1)
    return axis - rank if negative and b.choices.chance(30) else axis


def with_ints(b: Builder, since: int, values: object, name: str) -> tuple[list[Value], dict[str, object]]:
    """Numbers that are an attribute before opset ``since``, and an input after it."""
    return ([b.ints(values)], {}) if b.opset >= since else ([], {name: values})


def _factors(b: Builder, size: int) -> list[int]:
    dims = []
    while size > 1 and len(dims) < 4:
        dim = b.choices.pick([d for d in range(1, size + 1) if size % d == 0])
        dims.append(dim)
        size //= dim
    return [*dims, size] if size > 1 or not dims else dims


def reshape(b: Builder) -> None:
    """Any factors; with -1 and 0 here and there."""
    data = any_value(b, 0)
    dims = _factors(b, data.array.size)
    if b.choices.chance(30):
        dims[b.choices.number(0, len(dims) - 1)] = -1
    for axis, dim in enumerate(dims):
        if axis < data.rank and dim == data.shape[axis] and b.choices.chance(20):
            dims[axis] = 0
    b.add("Reshape", [data, b.ints(dims)])


def reshape_by_shape(b: Builder) -> None:
    """The chain that exporters write: Shape, Gather or Slice, Concat, Reshape."""
    data = any_value(b, 2)
    shape = b.add("Shape", [data])
    if not shape:
        return
    axis = b.choices.number(0, data.rank - 1)
    picked = b.add("Gather", [shape[0], b.ints(axis)], axis=0)
    if not picked:
        return
    starts = with_ints(b, 13, [0], "axes")
    dim = b.add("Unsqueeze", [picked[0], *starts[0]], **starts[1])
    if dim and b.choices.chance(30):
        dim = b.add("Mul", [dim[0], b.ints([1])])
    if dim:
        rest = [b.ints([-1])]
        target = b.add("Concat", [dim[0], *rest] if b.choices.chance(50) else [*rest, dim[0]], axis=0)
        if target:
            b.add("Reshape", [data, target[0]])


def transpose(b: Builder) -> None:
    """Any order of axes; the reverse if none is said."""
    data = any_value(b)
    axes = list(range(data.rank))
    perm = [axes.pop(b.choices.number(0, len(axes) - 1)) for _ in range(data.rank)]
    b.add("Transpose", [data], perm=None if b.choices.chance(10) else perm)


def squeeze(b: Builder) -> None:
    """Axes of one go."""
    data = any_value(b)
    axes = [axis for axis, dim in enumerate(data.shape) if dim == 1 and b.choices.chance(70)]
    if not axes:
        return
    inputs, attributes = with_ints(b, 13, axes, "axes")
    b.add("Squeeze", [data, *inputs], **attributes)


def unsqueeze(b: Builder) -> None:
    """Axes of one come."""
    data = any_value(b, 0, 4)
    more = b.choices.number(1, min(2, 5 - data.rank))
    axes = sorted({an_axis(b, data.rank + more, negative=False) for _ in range(more)})
    axes = [axis for axis in axes if axis < data.rank + len(axes)]
    if not axes:
        return
    inputs, attributes = with_ints(b, 13, axes, "axes")
    b.add("Unsqueeze", [data, *inputs], **attributes)


def flatten(b: Builder) -> None:
    """Two axes."""
    data = any_value(b)
    b.add("Flatten", [data], axis=b.choices.number(0, data.rank))


def expand(b: Builder) -> None:
    """Axes of one and new axes in front become longer."""
    data = any_value(b, 0, 4)
    dims = [b.choices.pick((1, 2, 3)) if dim == 1 else b.choices.pick((dim, dim, 1)) for dim in data.shape]
    b.add("Expand", [data, b.ints([*b.dims(0, 1), *dims])])


def tile(b: Builder) -> None:
    """Copies along axes."""
    data = any_value(b)
    b.add("Tile", [data, b.ints([b.choices.pick((1, 2, 3)) for _ in data.shape])])


def concat(b: Builder) -> None:
    """One to four values along an axis, some of them the same."""
    data = any_value(b)
    axis = an_axis(b, data.rank)
    others = [data]
    for _ in range(b.choices.number(0, 3)):
        found = b.some(lambda value: value.dtype == data.dtype and _same_but(value.shape, data.shape, axis))
        others.append(found or data) if b.choices.chance(60) else others.append(
            b.weights(*data.shape, dtype=data.dtype.type)
        )
    b.add("Concat", others, axis=axis)


def _same_but(one: tuple[int, ...], other: tuple[int, ...], axis: int) -> bool:
    axis %= len(other)
    return len(one) == len(other) and all(
        a == c for i, (a, c) in enumerate(zip(one, other, strict=True)) if i != axis
    )


def split(b: Builder) -> None:
    """Equal or unequal parts, of which not all are used."""
    data = any_value(b)
    axis = an_axis(b, data.rank)
    length = data.shape[axis]
    if length < 2:
        return
    first = b.choices.number(1, length - 1)
    if b.choices.chance(40) and length % 2 == 0:
        b.add("Split", [data], outputs=2, axis=axis, num_outputs=2 if b.opset >= 18 else None)
        return
    inputs, attributes = with_ints(b, 13, [first, length - first], "split")
    b.add("Split", [data, *inputs], outputs=2, axis=axis, **attributes)


def slicing(b: Builder) -> None:
    """Slices with negative ends and steps."""
    data = any_value(b)
    axes = sorted({b.choices.number(0, data.rank - 1) for _ in range(b.choices.number(1, 2))})
    starts, ends, steps = [], [], []
    for axis in axes:
        length = data.shape[axis]
        step = b.choices.pick((1, 1, 2, -1, -2, 3)) if b.opset >= 10 else 1
        low, high = (
            b.choices.number(0, length - 1),
            b.choices.pick((length, length, 2**31 - 1, -1, 1, 2**63 - 1)),
        )
        starts.append(low if step > 0 else b.choices.pick((length - 1, -1, length + 5)))
        ends.append(high if step > 0 else b.choices.pick((-(2**31), 0, -length - 1, -(2**63))))
        steps.append(step)
    axes = [axis - data.rank if b.choices.chance(20) else axis for axis in axes]
    if b.opset < 10:
        b.add("Slice", [data], starts=starts, ends=ends, axes=axes)
        return
    dtype = b.choices.pick((INT64, INT64, INT32))
    limit = np.iinfo(dtype)
    numbers = [b.constant(np.clip(v, limit.min, limit.max), dtype) for v in (starts, ends, axes, steps)]
    b.add("Slice", [data, *(numbers if b.choices.chance(70) else numbers[:3])])


STEPS = (
    reshape, reshape, reshape_by_shape, transpose, transpose, squeeze, unsqueeze, flatten, expand, tile, concat, concat,
    split, split, slicing, slicing,
)  # fmt: skip
