"""What the app feeds: an input of the converted file in the order of axes that was asked for.

A TRANSPOSE at the entry turns it into the order that the network computes in.
"""

import difflib
from collections.abc import Mapping

import numpy as np

from edgewise_converters.errors import SourceError
from edgewise_converters.lower import LoweredGraph
from edgewise_converters.lower.layout import CHANNELS_LAST, Layout, identity, moves_data, stored_shape
from edgewise_converters.readers import Source
from edgewise_converters.readers.source import TFLITE
from edgewise_converters.samples import image_layout
from edgewise_converters.tflite.graph import Graph, Operator, Tensor

ONLY_INPUT = ""
"""Stands for the name of a model's only input."""
CHANNELS_FIRST: Layout = (0, 3, 1, 2)
"""Of an original whose channels are last."""
_PLANE = 4


def feed_as(lowered: LoweredGraph, source: Source, asked: Mapping[str, str]) -> None:
    """Have inputs fed as nchw or nhwc, by name (or `ONLY_INPUT`). Raises SourceError for inputs that are no planes."""
    for name, layout in asked.items():
        tensor = _input_named(lowered.graph, name)
        if len(tensor.shape) != _PLANE:
            raise SourceError(
                f"--layout {tensor.name}={layout}: the input has {len(tensor.shape)} axes, expected 4 (batch, "
                "channels, height, width); others are always fed as the original takes them"
            )
        fed = tensor.name
        have = lowered.input_layouts[fed]
        want = wanted_order(source, fed, have, layout)
        if want != have:
            _transpose_entry(lowered.graph, tensor, have, want)
            lowered.input_layouts[fed] = want


def wanted_order(source: Source, name: str, have: Layout, layout: str) -> Layout:
    """The order of the original's axes in which an input is nchw or nhwc."""
    shape = next(entry.shape for entry in source.inputs if entry.name == name)
    if have == CHANNELS_LAST:
        original = "nchw"
    else:
        original = image_layout((1, *shape[1:])) or ("nhwc" if source.format == TFLITE else "nchw")
    if layout == original:
        return identity(_PLANE)
    return CHANNELS_LAST if layout == "nhwc" else CHANNELS_FIRST


def _input_named(graph: Graph, name: str) -> Tensor:
    names = [tensor.name for tensor in graph.inputs]
    if name == ONLY_INPUT and len(names) == 1:
        return graph.inputs[0]
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        what = (
            f"{name}: the model has no such input"
            if name
            else "which input? Say --layout NAME=nchw or NAME=nhwc"
        )
        raise SourceError(f"--layout {what}; its inputs are {', '.join(names)}{hint}")
    return graph.inputs[names.index(name)]


def _transpose_entry(graph: Graph, inner: Tensor, have: Layout, want: Layout) -> None:
    """Put a new input before ``inner``, which keeps its layout ``have`` and loses its name."""
    order = [want.index(axis) for axis in have]
    original = stored_shape(inner.shape, tuple(have.index(axis) for axis in range(len(have))))
    entry = Tensor(inner.name, stored_shape(original, want), inner.dtype, None, inner.quantization)
    inner.name = f"{entry.name}/network"
    if moves_data(original, want, have):
        numbers, kind, options = order, "TRANSPOSE", {}
    else:
        numbers, kind, options = list(inner.shape), "RESHAPE", {"newShape": inner.shape}
    parameter = Tensor.constant(f"{entry.name}/{kind.lower()}", np.array(numbers, np.int32))
    graph.operators.insert(0, Operator(kind, [entry, parameter], [inner], dict(options)))
    graph.inputs = [entry if tensor is inner else tensor for tensor in graph.inputs]
