"""Mean and covariance of what a layer multiplies with its weights, gathered sample by sample."""

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.onnx_out.dense import Dense
from edgewise_converters.onnx_out.weighted import Convolution
from edgewise_converters.quantize.moments import Moments, MomentSums

_ROWS_PER_UNKNOWN = 8
"""Patches gathered for each weight of an output, over all samples; fewer make the covariance noisy."""
_FEWEST_ROWS, _MOST_ROWS = 8, 256
"""Patches gathered from one sample."""
_ROWS_AT_ONCE = 512
"""Patches of one group that wait to be multiplied together."""


class PatchObserver:
    """Adds up the patches of one layer."""

    def __init__(self, layer: Convolution | Dense, samples: int) -> None:
        self._layer = layer
        if isinstance(layer, Dense):
            unknowns, kernel, self._at_once = layer.weights.shape[0], 1, _ROWS_AT_ONCE
        else:
            unknowns, kernel = int(np.prod(layer.weights.shape[1:])), int(np.prod(layer.weights.shape[2:]))
            self._at_once = max(_ROWS_AT_ONCE // layer.groups, 64)
        wanted = _ROWS_PER_UNKNOWN * unknowns // max(samples, 1)
        self._rows = int(np.clip(wanted, _FEWEST_ROWS, _MOST_ROWS))
        self._waiting: list[Array] = []
        self._waiting_rows = 0
        self._sums = MomentSums(np.arange(unknowns) // kernel)

    def add(self, data: Array, rng: np.random.Generator) -> None:
        """Look at one input of the layer, as the layer takes it."""
        rows = self._dense(data, rng) if isinstance(self._layer, Dense) else self._windows(data, rng)
        self._waiting.append(rows)
        self._waiting_rows += rows.shape[1]
        if self._waiting_rows >= self._at_once:
            self._sum_up()

    def result(self) -> Moments:
        """Over everything added, of each group."""
        self._sum_up()
        return self._sums.result()

    def _sum_up(self) -> None:
        """Take in what waits: products of many rows at once cost little more than those of a few."""
        if not self._waiting:
            return
        rows = np.ascontiguousarray(np.concatenate(self._waiting, axis=1))  # [groups, rows, K]
        self._waiting, self._waiting_rows = [], 0
        self._sums.add(rows)

    def _dense(self, data: Array, rng: np.random.Generator) -> Array:
        rows = data.reshape(-1, data.shape[-1])
        if len(rows) > self._rows:
            rows = rows[rng.choice(len(rows), self._rows, replace=False)]
        return np.array(rows[np.newaxis], np.float32)

    def _windows(self, data: Array, rng: np.random.Generator) -> Array:
        """Some of the patches under the kernel, zero where it reaches past the border: [groups, rows, K]."""
        layer = self._layer
        assert isinstance(layer, Convolution)
        padded = np.pad(data, [(0, 0), (0, 0), *layer.pads]) if any(map(any, layer.pads)) else data
        kernel = layer.weights.shape[2:]
        reach = [(size - 1) * dilation for size, dilation in zip(kernel, layer.dilations, strict=True)]
        places = [
            (size - extent - 1) // stride + 1
            for size, extent, stride in zip(padded.shape[2:], reach, layer.strides, strict=True)
        ]
        total = len(data) * int(np.prod(places))
        chosen = np.arange(total) if total <= self._rows else rng.choice(total, self._rows, replace=False)
        image, *starts = np.unravel_index(chosen, (len(data), *places))
        taken = []
        for offset in np.ndindex(*kernel):
            index = tuple(
                start * stride + step * dilation
                for start, stride, step, dilation in zip(
                    starts, layer.strides, offset, layer.dilations, strict=True
                )
            )
            taken.append(np.moveaxis(padded, 1, -1)[(image, *index)])  # [rows, channels]
        patches = np.stack(taken, axis=-1)
        return np.asarray(patches.reshape(len(chosen), layer.groups, -1).transpose(1, 0, 2), np.float32)
