"""Which operator of the file stands behind an operator of XNNPACK, where that is certain.

XNNPACK fuses, splits and adds operators and reports its own names. Its operators with weights run in the order of
the file's, one for one: where the two lists agree in length and in kind at every place, each gets its partner.
"""

from collections.abc import Sequence
from itertools import count

from edgewise.backends.litert_nodes import LitertNode

_DENSE, _DEPTHWISE, _TRANSPOSED = "dense", "depthwise", "transposed"
_OF_FILE = {
    "CONV_2D": _DENSE,
    "FULLY_CONNECTED": _DENSE,
    "DEPTHWISE_CONV_2D": _DEPTHWISE,
    "TRANSPOSE_CONV": _TRANSPOSED,
}


def match_operators(names: Sequence[str], nodes: Sequence[LitertNode]) -> dict[int, LitertNode]:
    """Place in ``names`` (XNNPACK's, as they ran) to the file's operator; empty where the two do not agree."""
    ours = [(place, kind) for place, name in enumerate(names) if (kind := _kind_of(name))]
    taken = sorted(
        (node for node in nodes if node.part is not None and node.kind in _OF_FILE),
        key=lambda node: (node.part, node.index),
    )
    if [kind for _, kind in ours] != [_OF_FILE[node.kind] for node in taken]:
        return {}
    return {place: node for (place, _), node in zip(ours, taken, strict=True)}


def _kind_of(name: str) -> str:
    """Names of xnn_operator_type_to_string with the micro-kernel behind: "Convolution (NHWC, F32) DWConv"."""
    if name.startswith("Deconvolution"):
        return _TRANSPOSED
    if name.startswith("Convolution"):
        return _DEPTHWISE if name.endswith(("DWConv", "VMulCAddC")) else _DENSE
    return _DENSE if name.startswith("Fully Connected") else ""


class Occurrences:
    """Numbers the events of a run that look alike, so that runs can be added up."""

    def __init__(self) -> None:
        self._counters: dict[object, count[int]] = {}

    def key(self, event: object) -> tuple[object, int]:
        """The event's likeness and how many like it came before."""
        return event, next(self._counters.setdefault(event, count()))
