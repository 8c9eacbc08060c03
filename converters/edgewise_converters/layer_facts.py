"""What is measured at every layer of a written file beside the same layer computed in float32."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgewise.drift_baseline import Histogram
from edgewise.tensors import Array, Quantization
from edgewise_converters.agreement import decibel
from edgewise_converters.layer_pairs import matched_layers
from edgewise_converters.layers import precision_of
from edgewise_converters.quantize.calibrate import FILL
from edgewise_converters.tflite.activations import Activations
from edgewise_converters.tflite.graph import Operator, Tensor

_BINS = 48
_KEPT_OF_SAMPLE = 4096
Grid = tuple[Quantization, str]
"""A quantization for the whole tensor, and the type of its integers."""
_FAINT_STEPS = 8


@dataclass(frozen=True)
class LayerFacts:
    """One activation of the written file, over all samples."""

    name: str
    kind: str
    """Of the operator that writes it; "" for an input."""
    precision: str
    shape: tuple[int, ...]
    snr_db: float
    """Against the float layer: the noise of this layer and of all before it."""
    minimum: float
    maximum: float
    """Extremes of the float values."""
    low: float | None
    high: float | None
    """What its integers can represent; None for a layer that is not quantized."""
    grid_db: float | None
    """Noise of putting the float values on that grid, and nothing else."""
    clipped: float
    """Share of float values outside of the range."""
    clipping_part: float
    """Share of the grid's noise that comes from them."""
    at_ends: float
    """Share of float values at the lowest or the highest value seen, zero left out."""
    channel_ratio: float
    """Reach (largest magnitude) of the widest channel over the median one's; 1 without channels."""
    faint_channels: float
    """Share of channels that reach less than eight steps of the grid."""
    histogram: Histogram
    """Of float values."""


@dataclass
class LayerSums:
    """What is added up of one layer over samples."""

    signal: float = 0.0
    noise: float = 0.0
    grid: float = 0.0
    clipping: float = 0.0
    count: int = 0
    clipped: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    reach: Array | None = None
    kept: list[Array] = field(default_factory=list)


@dataclass(frozen=True)
class Layer:
    """Which layer it is."""

    name: str
    kind: str
    precision: str
    shape: tuple[int, ...]


class LayerMeter:
    """Runs a float file and a written one side by side and adds up what differs.

    ``by_order`` says how many layers have other names in the written file and were matched by order and shape.
    """

    def __init__(self, float_file: Activations, written: Activations) -> None:
        self._float, self._written = float_file, written
        self._pairs, self.by_order = matched_layers(float_file.graph, written.graph)
        self._sums = [LayerSums() for _ in self._pairs]
        self._rng = np.random.default_rng(0)
        self.samples = 0

    def add(self, feed: Mapping[str, Array], written_feed: Mapping[str, Array] | None = None) -> None:
        """One sample, real numbers by name of input, in the files' layout."""
        wanted = {id(own) for own, _, _ in self._pairs}
        answers = {
            id(tensor): np.array(array) for tensor, array in self._float.run(feed) if id(tensor) in wanted
        }
        made = {id(t): array for t, array in self._written.run(written_feed or feed)}
        for (own, other, _), sums in zip(self._pairs, self._sums, strict=True):
            if id(own) not in answers or id(other) not in made:
                continue
            if (
                answers[id(own)].size == made[id(other)].size != 0
            ):  # else results whose number depends on the data
                add_sample(sums, answers[id(own)], made[id(other)], _grid(other), self._rng)
        self.samples += 1

    def result(self) -> tuple[LayerFacts, ...]:
        """The facts of every layer that both files have, in the order of the written one."""
        producers = self._written.graph.producers()
        return tuple(
            facts_of(_layer(own, other, operator, producers), sums, _grid(other))
            for (own, other, operator), sums in zip(self._pairs, self._sums, strict=True)
            if sums.count
        )


def _layer(own: Tensor, other: Tensor, operator: Operator | None, producers: Mapping[int, Operator]) -> Layer:
    if operator is None:
        return Layer(own.name, "", other.dtype.name, other.shape)
    return Layer(own.name, operator.kind, precision_of(operator, producers), other.shape)


def _grid(tensor: Tensor) -> Grid | None:
    if tensor.quantization is None or tensor.is_float or not tensor.quantization.is_per_tensor:
        return None
    return tensor.quantization, tensor.dtype.name


def add_sample(
    sums: LayerSums, own: Array, other: Array, grid: Grid | None, rng: np.random.Generator
) -> None:
    """One sample of a float layer and of its written counterpart, real numbers, channels last."""
    values = np.where(own <= FILL, np.float32(0), own)
    flat = np.asarray(values, np.float64).reshape(-1)
    other = np.where(other <= FILL, np.float32(0), other)
    difference = flat - np.asarray(other, np.float64).reshape(-1)
    sums.signal += float(flat @ flat)
    sums.noise += float(difference @ difference)
    sums.count += flat.size
    sums.minimum, sums.maximum = min(sums.minimum, float(flat.min())), max(sums.maximum, float(flat.max()))
    if grid is not None:
        quantization, dtype = grid
        error = flat - quantization.dequantize(quantization.quantize(flat.astype(np.float32), dtype))
        low, high = representable(quantization, dtype)
        outside = (flat < low - quantization.scale / 2) | (flat > high + quantization.scale / 2)
        sums.grid += float(error @ error)
        sums.clipping += float(error[outside] @ error[outside])
        sums.clipped += int(outside.sum())
    if values.ndim > 1 and values.shape[-1] > 1:
        reach = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
        sums.reach = reach if sums.reach is None else np.maximum(sums.reach, reach)
    many = flat.size > _KEPT_OF_SAMPLE
    sums.kept.append(flat[rng.integers(0, flat.size, _KEPT_OF_SAMPLE)] if many else flat)


def facts_of(layer: Layer, sums: LayerSums, grid: Grid | None) -> LayerFacts:
    """What the samples amount to."""
    low, high = representable(*grid) if grid else (None, None)
    kept = np.concatenate(sums.kept)
    ends = (np.isclose(kept, sums.minimum) | np.isclose(kept, sums.maximum)) & (kept != 0)
    return LayerFacts(
        name=layer.name,
        kind=layer.kind,
        precision=layer.precision,
        shape=layer.shape,
        snr_db=decibel(sums.signal, sums.noise),
        minimum=sums.minimum,
        maximum=sums.maximum,
        low=low,
        high=high,
        grid_db=decibel(sums.signal, sums.grid) if grid else None,
        clipped=sums.clipped / sums.count,
        clipping_part=sums.clipping / sums.grid if sums.grid else 0.0,
        at_ends=float(ends.mean()),
        channel_ratio=_channel_ratio(sums.reach),
        faint_channels=_faint_channels(sums.reach, grid[0] if grid else None),
        histogram=_histogram(kept, sums.minimum, sums.maximum),
    )


def representable(quantization: Quantization, dtype: str) -> tuple[float, float]:
    """The smallest and the largest real number of a per-tensor quantization."""
    limits = np.iinfo(dtype)
    scale, zero_point = quantization.scale, quantization.zero_point
    return (limits.min - zero_point) * scale, (limits.max - zero_point) * scale


def _channel_ratio(reach: Array | None) -> float:
    if reach is None:
        return 1.0
    usual = float(np.median(reach))
    return float(reach.max()) / usual if usual > 0 else 1.0


def _faint_channels(reach: Array | None, quantization: Quantization | None) -> float:
    if reach is None or quantization is None:
        return 0.0
    return float(np.mean((reach > 0) & (reach < _FAINT_STEPS * quantization.scale)))


def _histogram(values: Array, low: float, high: float) -> Histogram:
    if high <= low:
        high = low + max(abs(low), 1.0)
    edges = np.linspace(low, high, _BINS + 1)
    counts, _ = np.histogram(values, edges)
    return Histogram(tuple(map(float, edges)), tuple(map(int, counts)))


def measure_layers(
    float_network: bytes, written: bytes, feeds: Iterable[Mapping[str, Array]]
) -> tuple[LayerFacts, ...]:
    """The facts of all layers over ``feeds``; both files take the same inputs, by name."""
    first, second = Activations(float_network), Activations(written)
    try:
        meter = LayerMeter(first, second)
        for feed in feeds:
            meter.add(feed)
        return meter.result()
    finally:
        first.close()
        second.close()
