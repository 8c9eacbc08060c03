"""Padding of convolutions and poolings: when TFLite's SAME or VALID says it, and what to add where neither does."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from edgewise_converters.lower.attributes import int_of, ints_of, string_of
from edgewise_converters.tflite.schema import Padding


@dataclass(frozen=True)
class Window:
    """A window that slides over [height, width]: ``explicit`` is what must be padded by an operator of its own."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    padding: int
    explicit: tuple[tuple[int, int], tuple[int, int]]
    """((top, bottom), (left, right)), zero where TFLite's own padding does it."""
    pads: tuple[tuple[int, int], tuple[int, int]]
    """What ONNX pads, whoever does it."""
    output: tuple[int, int]

    @property
    def needs_pad(self) -> bool:
        return any(amount for side in self.explicit for amount in side)


def plan_window(node: ir.Node, space: Sequence[int], kernel: Sequence[int], output: Sequence[int]) -> Window:
    """Plan the window of ``node`` over an input of [height, width] ``space`` with the given output size."""
    strides = ints_of(node, "strides", [1, 1])
    dilations = ints_of(node, "dilations", [1, 1])
    mode = string_of(node, "auto_pad", "NOTSET")
    declared = ints_of(node, "pads", [0, 0, 0, 0])
    sides = []
    for axis in (0, 1):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        total = (output[axis] - 1) * strides[axis] + reach - space[axis]
        if mode == "NOTSET":
            before = declared[axis]
            # ceil_mode may need more at the end than declared; floor mode may leave a rest unread.
            after = max(total - before, 0) if int_of(node, "ceil_mode", 0) else declared[axis + 2]
        else:
            spare = max(total, 0) if mode.startswith("SAME") else 0
            before = spare - spare // 2 if mode == "SAME_LOWER" else spare // 2
            after = spare - before
        sides.append((before, after))
    pads = (sides[0], sides[1])
    padding, explicit = Padding.VALID, pads
    if all(_is_same(space[a], kernel[a], strides[a], dilations[a], pads[a], output[a]) for a in (0, 1)):
        padding, explicit = Padding.SAME, ((0, 0), (0, 0))
    if pads == ((0, 0), (0, 0)):
        padding = Padding.VALID
    return Window(_pair(kernel), _pair(strides), _pair(dilations), padding, explicit, pads, _pair(output))


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _is_same(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], output: int) -> bool:
    """Whether SAME pads just so (TFLite kernels/padding.h: the odd one goes to the end)."""
    wanted = -(-size // stride)
    total = max((wanted - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return output == wanted and pads == (total // 2, total - total // 2)
