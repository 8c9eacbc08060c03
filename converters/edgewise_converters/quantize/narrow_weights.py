"""Weights in 8 or 4 bits, rounded once and shared by all operators that use them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array, Quantization
from edgewise_converters.quantize.calibrate import Calibration
from edgewise_converters.quantize.gptq import round_in_blocks
from edgewise_converters.quantize.moments import Moments
from edgewise_converters.quantize.weight_grids import as_block_scales, least_error_scales
from edgewise_converters.quantize.weight_slots import WeightSlot
from edgewise_converters.spill import release_mapped
from edgewise_converters.tflite.graph import BlockScales, Operator, Tensor
from edgewise_converters.tflite.nibbles import as_int4

_OUTPUTS_AT_ONCE = 64


@dataclass(frozen=True)
class Grid:
    """How weights are to be stored."""

    bits: int = 8
    per_channel: bool = True
    block: int = 0
    """Inputs that share a scale; 0 for all of an output's."""

    @property
    def largest(self) -> int:
        """The largest integer, and minus the smallest: grids are symmetric."""
        return int(2 ** (self.bits - 1) - 1)


@dataclass(frozen=True)
class NarrowWeights:
    """Stored weights, and what rounding adds to each output channel on average (None where that is not known)."""

    tensor: Tensor
    shift: Array | None


class WeightStore:
    """Makes narrow twins of weights; equal weights get the same twin, so that a file holds them once."""

    def __init__(self, calibration: Calibration | None = None) -> None:
        """With ``calibration`` weights are rounded jointly where the moments of their inputs are known."""
        self._calibration = calibration
        self._known: dict[tuple[bytes, int, Grid], NarrowWeights] = {}

    def of(self, operator: Operator, slot: WeightSlot, grid: Grid) -> NarrowWeights:
        """The twin of an operator's weights on a grid."""
        data = np.asarray(slot.tensor.data, order="C")
        digest = hashlib.blake2b(data.reshape(-1).view(np.uint8).data, digest_size=16).digest()
        key = digest, slot.axis, grid
        if key not in self._known:
            moments = self._calibration.moments_of(operator) if self._calibration else None
            self._known[key] = _narrowed(operator, slot, data, grid, moments)
            release_mapped()
        return self._known[key]


def _narrowed(
    operator: Operator, slot: WeightSlot, data: Array, grid: Grid, moments: Moments | None
) -> NarrowWeights:
    rows = np.moveaxis(data, slot.axis, 0)
    batch = 1 if moments is None else moments.mean.shape[0]
    stacked = rows.reshape(batch, rows.shape[0] // batch, -1)
    variance = None if moments is None else moments.variance[:, None, :]
    scales = _scales(stacked, grid, variance)
    if moments is None:
        steps, shift = _nearest(stacked, scales, grid), None
    else:
        steps = round_in_blocks(stacked, _by_weight(scales, stacked.shape[2]), moments, grid.largest)
        shift = _shift(stacked, steps, scales, moments)
    integers = np.ascontiguousarray(np.moveaxis(steps.reshape(rows.shape), 0, slot.axis))
    return NarrowWeights(_stored(slot, integers, scales, grid), shift)


def _parts(outputs: int) -> Iterator[slice]:
    """A few outputs at a time: all of a wide layer's weights in float64 would be hundreds of megabytes."""
    return (slice(start, start + _OUTPUTS_AT_ONCE) for start in range(0, outputs, _OUTPUTS_AT_ONCE))


def _by_weight(scales: Array, size: int) -> Array:
    """The scale of each weight, float64 [B, O, size]."""
    return np.repeat(scales, size // scales.shape[2], axis=2).astype(np.float64)


def _nearest(stacked: Array, scales: Array, grid: Grid) -> Array:
    steps = np.empty(stacked.shape, np.int8)
    for part in _parts(stacked.shape[1]):
        real = stacked[:, part] / _by_weight(scales[:, part], stacked.shape[2])
        steps[:, part] = np.clip(np.rint(real), -grid.largest, grid.largest)
    return steps


def _shift(stacked: Array, steps: Array, scales: Array, moments: Moments) -> Array:
    """What rounding adds to each output on average, float64 [C]."""
    shift = np.empty(stacked.shape[:2])
    for part in _parts(stacked.shape[1]):
        error = steps[:, part] * _by_weight(scales[:, part], stacked.shape[2]) - stacked[:, part]
        shift[:, part] = np.einsum("bok,bk->bo", error, moments.mean)
    return shift.reshape(-1)


def _scales(stacked: Array, grid: Grid, variance: Array | None) -> Array:
    """float32 [B, O, blocks]."""
    batch, outputs = stacked.shape[:2]
    if grid.block:
        pieces = stacked.reshape(batch, outputs, -1, grid.block)
        if variance is not None:
            variance = variance.reshape(batch, 1, -1, grid.block)
        return as_block_scales(least_error_scales(pieces, grid.largest, variance)).astype(np.float32)
    if grid.per_channel:
        rows = [least_error_scales(stacked[:, part], grid.largest, variance) for part in _parts(outputs)]
        return np.concatenate(rows, axis=1)[..., None]
    if variance is not None:
        variance = np.broadcast_to(variance, stacked.shape).reshape(-1)
    one = least_error_scales(stacked.reshape(-1), grid.largest, variance)
    return np.full((batch, outputs, 1), one, np.float32)


def _stored(slot: WeightSlot, steps: Array, scales: Array, grid: Grid) -> Tensor:
    data = as_int4(steps) if grid.bits == 4 else steps
    name = f"{slot.tensor.name}/int{grid.bits}"
    if grid.block:
        tensor = Tensor.constant(name, data)
        blocks = Tensor.constant(f"{name}/scales", scales[0].astype(np.float16))
        tensor.blocks = BlockScales(blocks, grid.block)
        return tensor
    flat = scales.reshape(-1) if grid.per_channel else scales.reshape(-1)[:1]
    axis = slot.axis if grid.per_channel else 0
    return Tensor.constant(name, data, Quantization(tuple(map(float, flat)), (0,) * len(flat), axis))
