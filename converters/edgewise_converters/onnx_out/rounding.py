"""Integer weights per output channel of each layer, made once and shared by all the ways that are tried."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.onnx_out.dense import Dense
from edgewise_converters.onnx_out.weighted import Convolution, as_stored, grouped
from edgewise_converters.quantize.gptq import round_in_blocks
from edgewise_converters.quantize.moments import Moments
from edgewise_converters.quantize.weights import WEIGHT_MAX, quantize_weights, smallest_scales

_SPARE_FLOOR = 4.0
"""Room to spare in the scales' lower bound, so that another candidate's narrower ranges need no new rounding."""


@dataclass(frozen=True)
class RoundedLayer:
    """A layer's weights as integers."""

    integers: Array
    """int8, shaped as `weighted.as_stored` says."""
    scales: Array
    """float32 [O], symmetric."""
    axis: int
    """Of output channels in ``integers``."""
    shift: Array
    """What rounding adds to each output on average (to be taken from the bias), float64 [O]."""


class LayerRounding:
    """Rounds the weights of the layers of one observed graph."""

    def __init__(self, moments: Mapping[str, Moments]) -> None:
        self._moments = moments
        self._known: dict[tuple[str, str], RoundedLayer] = {}

    def knows(self, name: str) -> bool:
        """Whether the inputs of the layer with this output were looked at."""
        return name in self._moments

    def of(self, layer: Convolution | Dense, input_scale: float, method: str) -> RoundedLayer:
        """The integer weights of a layer whose data have this scale (it bounds how large its int32 bias gets)."""
        name = str(layer.node.outputs[0].name)
        floor = np.zeros(1) if layer.bias is None else smallest_scales(layer.bias, input_scale)
        known = self._known.get((name, method))
        if known is not None and np.all(known.scales >= floor * (1 - 1e-6)):
            return known
        rounded = self._known[name, method] = self._round(layer, floor * _SPARE_FLOOR, method)
        return rounded

    def _round(self, layer: Convolution | Dense, floor: Array, method: str) -> RoundedLayer:
        stacked = grouped(layer)
        rows = stacked.reshape(-1, stacked.shape[2])
        integers, quantization = quantize_weights(rows, 0, floor=floor)
        scales = np.asarray(quantization.scales, np.float64)
        moments = self._moments.get(str(layer.node.outputs[0].name))
        by_group = scales.reshape(stacked.shape[:2])
        steps = integers.reshape(stacked.shape)
        shift = np.zeros(len(scales))
        if moments is not None:
            if method == "gptq":
                steps = round_in_blocks(stacked, by_group, moments, WEIGHT_MAX)
            error = steps * by_group[:, :, None] - stacked
            shift = np.einsum("bok,bk->bo", error, moments.mean).reshape(-1)
        axis = 1 if isinstance(layer, Dense) else 0
        return RoundedLayer(as_stored(layer, steps), scales.astype(np.float32), axis, shift)
