"""Padding of convolutions and poolings: when TFLite's SAME or VALID says it, and what to add where neither does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from edgewise_converters.lower.attributes import int_of, ints_of, string_of
from edgewise_converters.lower.lowering import Lowering
from edgewise_converters.tflite.graph import Tensor
from edgewise_converters.tflite.schema import Padding

Sides = tuple[tuple[int, int], ...]
"""What is added before and after each axis."""


@dataclass(frozen=True)
class Window:
    """A window that slides over space: ``explicit`` is what must be padded by an operator of its own."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: int
    explicit: Sides
    """Zero where TFLite's own padding does it."""
    pads: Sides
    """What ONNX pads, whoever does it."""
    output: tuple[int, ...]

    @property
    def needs_pad(self) -> bool:
        return any(amount for side in self.explicit for amount in side)

    @property
    def is_dilated(self) -> bool:
        return any(dilation != 1 for dilation in self.dilations)

    def spelled_out(self, pads: Sides | None = None) -> "Window":
        """The same with all padding by an operator of its own, or with other ``pads``."""
        return replace(self, padding=Padding.VALID, explicit=self.pads if pads is None else pads)

    def of(self, axes: Sequence[int]) -> "Window":
        """The window over some of the axes."""
        return Window(
            tuple(self.kernel[a] for a in axes),
            tuple(self.strides[a] for a in axes),
            tuple(self.dilations[a] for a in axes),
            self.padding,
            tuple(self.explicit[a] for a in axes),
            tuple(self.pads[a] for a in axes),
            tuple(self.output[a] for a in axes),
        )

    def over_a_plane(self, *, line: int = 1) -> "Window":
        """A window over a line as one over a plane, in which the line is axis ``line`` and the other has length one."""

        def plane(own: int, other: int) -> tuple[int, int]:
            return (other, own) if line else (own, other)

        nothing = (0, 0)
        explicit, pads = self.explicit[0], self.pads[0]
        return Window(
            plane(self.kernel[0], 1),
            plane(self.strides[0], 1),
            plane(self.dilations[0], 1),
            self.padding,
            (nothing, explicit) if line else (explicit, nothing),
            (nothing, pads) if line else (pads, nothing),
            plane(self.output[0], 1),
        )


def plan_window(node: ir.Node, space: Sequence[int], kernel: Sequence[int], output: Sequence[int]) -> Window:
    """Plan the window of ``node`` over an input of ``space`` (a length, height and width, ...)."""
    axes = range(len(space))
    strides = ints_of(node, "strides", [1] * len(space))
    dilations = ints_of(node, "dilations", [1] * len(space))
    mode = string_of(node, "auto_pad", "NOTSET")
    declared = ints_of(node, "pads", [0] * (2 * len(space)))
    sides = []
    for axis in axes:
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        total = (output[axis] - 1) * strides[axis] + reach - space[axis]
        if mode == "NOTSET":
            before = declared[axis]
            # ceil_mode may need more at the end than declared; floor mode may leave a rest unread.
            after = max(total - before, 0) if int_of(node, "ceil_mode", 0) else declared[axis + len(space)]
        else:
            spare = max(total, 0) if mode.startswith("SAME") else 0
            before = spare - spare // 2 if mode == "SAME_LOWER" else spare // 2
            after = spare - before
        sides.append((before, after))
    pads = tuple(sides)
    nothing = ((0, 0),) * len(space)
    padding, explicit = Padding.VALID, pads
    if all(_is_same(space[a], kernel[a], strides[a], dilations[a], pads[a], output[a]) for a in axes):
        padding, explicit = Padding.SAME, nothing
    if pads == nothing:
        padding = Padding.VALID
    return Window(
        tuple(map(int, kernel)),
        tuple(strides),
        tuple(dilations),
        padding,
        explicit,
        pads,
        tuple(map(int, output)),
    )


def pad_window(
    low: Lowering, tensor: Tensor, window: Window, name: str, *, fill: float | None = None
) -> Tensor:
    """Put a PAD (or a PADV2 with ``fill``) before a window where it needs one; ``tensor`` has its channels last."""
    if not window.needs_pad:
        return tensor
    sides = [(0, 0), *window.explicit, (0, 0)]
    shape = [dim + before + after for dim, (before, after) in zip(tensor.shape, sides, strict=True)]
    amounts = low.ints(sides, f"{name}/pads")
    if fill is None:
        return low.emit("PAD", [tensor, amounts], shape, f"{name}/padded")
    return low.emit("PADV2", [tensor, amounts, low.floats([fill], f"{name}/fill")], shape, f"{name}/padded")


def _is_same(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], output: int) -> bool:
    """Whether SAME pads just so (TFLite kernels/padding.h: the odd one goes to the end)."""
    wanted = -(-size // stride)
    total = max((wanted - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return output == wanted and pads == (total // 2, total - total // 2)
