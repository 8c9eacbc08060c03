"""Tensors whose range deserves a choice of its own."""

import numpy as np

from edgewise_converters.quantize import Shared, StaticOptions
from edgewise_converters.quantize.ranges import CHOOSERS
from edgewise_converters.quantize.static import widths_of
from edgewise_converters.quantize.widths import Width
from edgewise_converters.tflite.graph import Graph, Tensor

_SMALLEST = 1e-12
_APART = 1.15
"""Ranges that differ by less are the same choice."""


def disputed_ranges(graph: Graph, shared: Shared, options: StaticOptions) -> list[tuple[Tensor, str]]:
    """Tensors in int8 with the chooser that differs most from theirs, the widest apart first."""
    widths = widths_of(graph, options)
    found: list[tuple[float, int, Tensor, str]] = []
    for place, operator in enumerate(graph.operators):
        if widths[id(operator)] is not Width.INT8:
            continue
        for tensor in operator.outputs:
            if id(tensor) not in shared.calibration.by_tensor:
                continue
            apart, name = _furthest(shared, id(tensor), options.ranges)
            if apart >= _APART:
                found.append((-apart, place, tensor, name))
    return [(tensor, name) for _, _, tensor, name in sorted(found, key=lambda entry: entry[:2])]


def _furthest(shared: Shared, tensor: int, own: str) -> tuple[float, str]:
    """How far another chooser's range is from this one's, as a ratio of widths, and its name."""
    apart = {
        name: abs(float(np.log(_span(shared, tensor, name) / _span(shared, tensor, own))))
        for name in CHOOSERS
        if name not in (own, "entropy")
    }
    name = max(apart, key=lambda key: apart[key])
    return float(np.exp(apart[name])), name


def _span(shared: Shared, tensor: int, chooser: str) -> float:
    low, high = shared.range_of(tensor, chooser)
    return max(max(high, 0.0) - min(low, 0.0), _SMALLEST)
