"""Zero padding before a convolution becomes the convolution's own SAME padding where the two pad alike.

Needs: constant pads. Leaves: no such PAD that one VALID convolution alone reads. Exact.
"""

from edgewise_converters.tflite.graph import Graph, Operator
from edgewise_converters.tflite.passes.graph_edit import Links, drop
from edgewise_converters.tflite.schema import Padding

_WINDOWED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})


def apply(graph: Graph) -> bool:
    """Fuse every such PAD; returns whether anything was fused."""
    links = Links.of(graph)
    gone = [operator for operator in graph.operators if operator.kind == "PAD" and _fuse(operator, links)]
    drop(graph, gone)
    return bool(gone)


def _fuse(pad: Operator, links: Links) -> bool:
    user = links.only_reader(pad.output)
    data, amounts = pad.inputs[0], pad.inputs[1]
    if user is None or user.kind not in _WINDOWED or user.inputs[0] is not pad.output:
        return False
    if data is None or amounts is None or amounts.data is None or len(data.shape) != 4:
        return False
    pads = [(int(before), int(after)) for before, after in amounts.data]
    if user.options.get("padding", Padding.SAME) != Padding.VALID or pads[0] != (0, 0) or pads[3] != (0, 0):
        return False
    if [_same(user, data.shape, axis) for axis in (1, 2)] != pads[1:3]:
        return False
    user.inputs[0] = data
    user.options["padding"] = Padding.SAME
    return True


def _same(user: Operator, shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    """What SAME adds before and after an axis (tensorflow/lite/kernels/padding.h, ComputePaddingWithOffset)."""
    weights = user.inputs[1]
    assert weights is not None
    letter = "H" if axis == 1 else "W"
    stride = int(user.options.get(f"stride{letter}", 1) or 1)  # type: ignore[arg-type]  # an option's type is its operator's matter
    dilation = int(user.options.get(f"dilation{letter}Factor", 1) or 1)  # type: ignore[arg-type]  # an option's type is its operator's matter
    reach = (weights.shape[axis] - 1) * dilation + 1
    steps = -(-shape[axis] // stride)
    total = max((steps - 1) * stride + reach - shape[axis], 0)
    return total // 2, total - total // 2
