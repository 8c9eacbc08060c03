"""Where each axis of an ONNX value lies in the tensor that stores it.

A layout is a permutation: stored axis ``j`` is ONNX axis ``layout[j]``. Transposes only relabel axes until some
operator needs an order, so that pairs of them cancel by themselves.
"""

from collections.abc import Sequence
from typing import TypeAlias

Layout: TypeAlias = tuple[int, ...]

CHANNELS_LAST: Layout = (0, 2, 3, 1)


def identity(rank: int) -> Layout:
    """The order that ONNX writes."""
    return tuple(range(rank))


def channels_last(rank: int) -> Layout:
    """Batch first, channels last, space between in order."""
    return (0, *range(2, rank), 1)


def stored_shape(shape: Sequence[int], layout: Layout) -> tuple[int, ...]:
    """The shape of the stored tensor of a value of ``shape``."""
    return tuple(shape[axis] for axis in layout)


def after_transpose(layout: Layout, perm: Sequence[int]) -> Layout:
    """The layout of ``transpose(x, perm)`` when it shares the tensor that stores x in ``layout``."""
    position = {axis: i for i, axis in enumerate(perm)}
    return tuple(position[axis] for axis in layout)


def before_transpose(layout: Layout, perm: Sequence[int]) -> Layout:
    """The layout x must be stored in so that ``transpose(x, perm)`` is stored in ``layout``."""
    return tuple(perm[axis] for axis in layout)


def without_axes(layout: Layout, axes: Sequence[int]) -> Layout:
    """The layout after the ONNX axes ``axes`` were removed."""
    kept = sorted(set(layout) - set(axes))
    rename = {axis: i for i, axis in enumerate(kept)}
    return tuple(rename[axis] for axis in layout if axis in rename)


def moves_data(shape: Sequence[int], have: Layout, want: Layout) -> bool:
    """Whether going from one layout to another reorders anything but axes of length one."""
    return [a for a in have if shape[a] != 1] != [a for a in want if shape[a] != 1]


def factor_groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Which axes of ``before`` a reshape turns into which axes of ``after``: the finest matching groups.

    Axes of length one belong to no group.
    """
    left = [i for i, dim in enumerate(before) if dim != 1]
    right = [i for i, dim in enumerate(after) if dim != 1]
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(left) or j < len(right):
        ins: list[int] = []
        outs: list[int] = []
        product_in = product_out = 1
        while not ins or not outs or product_in != product_out:
            if (product_in <= product_out and i < len(left)) or j >= len(right):
                ins.append(left[i])
                product_in *= before[left[i]]
                i += 1
            else:
                outs.append(right[j])
                product_out *= after[right[j]]
                j += 1
        groups.append((ins, outs))
    return groups


def with_unit_axes(order: Sequence[int], shape: Sequence[int]) -> Layout:
    """A full layout of ``shape`` from the order of its axes longer than one."""
    if list(order) == sorted(order):
        return identity(len(shape))
    result = list(order)
    for axis, dim in enumerate(shape):
        if dim == 1:
            result.insert(result.index(axis - 1) + 1 if axis - 1 in result else 0, axis)
    return tuple(result)


def reshape_layouts(before: Sequence[int], after: Sequence[int], have: Layout) -> tuple[Layout, Layout]:
    """How to reshape without going back to ONNX's order: the layout to read in, and the one that results."""
    if 0 in before or 0 in after:
        return identity(len(before)), identity(len(after))
    groups = factor_groups(before, after)
    groups.sort(key=lambda group: min(have.index(axis) for axis in group[0]))
    read = [axis for ins, _ in groups for axis in ins]
    written = [axis for _, outs in groups for axis in outs]
    return with_unit_axes(read, before), with_unit_axes(written, after)
