"""Mean and covariance of what a convolution multiplies with its weights: what rounding them must spare."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgewise.tensors import Array
from edgewise_converters.spill import Spill, Spilled
from edgewise_converters.tflite.graph import Operator
from edgewise_converters.tflite.schema import Padding

_ROWS_PER_UNKNOWN = 8
"""Patches gathered for each weight of an output channel, over all samples; fewer make the covariance noisy."""
_FEWEST_ROWS, _MOST_ROWS = 8, 256
"""Patches gathered from one sample."""
_WIDEST_BLOCK = 1152
"""Weights of an output that are rounded together: 128 channels under a 3x3 kernel."""
_ROWS_AT_ONCE, _DEPTHWISE_ROWS_AT_ONCE = 512, 64
"""Patches that wait to be multiplied together: many make it fast, but they wait in every layer."""


@dataclass(frozen=True)
class Moments:
    """Of the patches under a kernel, K = height x width x inputs weights long (height x width for depthwise).

    Of wide layers only the covariance within blocks of channels is known: all of it has K^2 numbers, and its inversion
    takes K^3 operations.
    """

    mean: Array
    """float64 [B, K], B the channels of a depthwise convolution and 1 for all else."""
    blocks: tuple[Array, ...] | tuple[Spilled, ...]
    """Covariances within blocks of the K, float32 [B, k, k] each."""
    order: Array
    """Which of the K the blocks hold, one after the other, int [K]."""

    @property
    def variance(self) -> Array:
        """Of each of the K, [B, K]."""
        variance = np.empty(self.mean.shape, np.float32)
        for places, covariance in self.parts():
            variance[:, places] = np.diagonal(covariance, axis1=1, axis2=2)
        return variance

    @property
    def inversion_products(self) -> float:
        """Products that inverting the covariance takes, roughly."""
        return sum(float(block.shape[0]) * block.shape[-1] ** 3 for block in self.blocks)

    def parts(self) -> Iterator[tuple[Array, Array]]:
        """Every block: which of the K it holds, and its covariance."""
        start = 0
        for block in self.blocks:
            end = start + block.shape[-1]
            yield self.order[start:end], block.read() if isinstance(block, Spilled) else block
            start = end

    def spilled(self, spill: Spill) -> "Moments":
        """The same with its covariance on the disk."""
        blocks = (block if isinstance(block, Spilled) else spill.put(block) for block in self.blocks)
        return Moments(self.mean, tuple(blocks), self.order)


class MomentSums:
    """Adds up rows of what a layer multiplies with its weights."""

    def __init__(self, channels: Array) -> None:
        """``channels`` tells of each of the K weights which input channel it is for, int [K]."""
        count = -(-len(channels) // _WIDEST_BLOCK)
        block = channels * count // (int(channels.max()) + 1)
        self._order = np.argsort(block, kind="stable")
        self._ends = np.cumsum(np.bincount(block, minlength=count))[:-1]
        self._count = 0
        self._sum: Array | float = 0.0
        self._products: list[Array] = []

    def add(self, rows: Array) -> None:
        """Take in float32 [B, n, K]."""
        self._count += rows.shape[1]
        self._sum = self._sum + rows.sum(axis=1, dtype=np.float64)
        for place, chosen in enumerate(np.split(self._order, self._ends)):
            part = rows if len(self._ends) == 0 else np.ascontiguousarray(rows[:, :, chosen])
            products = np.matmul(part.transpose(0, 2, 1), part)
            if place == len(self._products):
                self._products.append(products)
            else:
                self._products[place] += products

    def result(self) -> Moments:
        """The moments over everything added; what was summed up is used up."""
        count = max(self._count, 1)
        mean = np.asarray(self._sum) / count
        blocks, self._products = tuple(self._products), []
        for chosen, covariance in zip(np.split(self._order, self._ends), blocks, strict=True):
            covariance /= count  # in place: these are the largest arrays of a conversion
            part = mean[:, chosen]
            covariance -= (part[:, :, None] * part[:, None, :]).astype(covariance.dtype)
        return Moments(mean, blocks, self._order)


class MomentsObserver:
    """Adds up patches of a CONV_2D of one group or a DEPTHWISE_CONV_2D, or rows of a dense layer."""

    def __init__(self, operator: Operator, samples: int, *, fewest_rows: int = _FEWEST_ROWS) -> None:
        weights = operator.inputs[1]
        assert weights is not None
        self._operator = operator
        self._depthwise = operator.kind == "DEPTHWISE_CONV_2D"
        self._dense = operator.kind == "FULLY_CONNECTED"
        self._kernel = (1, 1) if self._dense else weights.shape[1:3]
        unknowns = int(np.prod(self._kernel)) * (1 if self._depthwise else weights.shape[-1])
        self._unknowns = unknowns
        wanted = _ROWS_PER_UNKNOWN * unknowns // max(samples, 1)
        self._rows = int(np.clip(wanted, fewest_rows, _MOST_ROWS))
        self._at_once = _DEPTHWISE_ROWS_AT_ONCE if self._depthwise else _ROWS_AT_ONCE
        self._waiting: list[Array] = []
        channels = np.arange(unknowns)
        self._sums = MomentSums(channels if self._depthwise else channels % weights.shape[-1])

    @staticmethod
    def can_observe(operator: Operator) -> bool:
        """Whether this is such an operator."""
        if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            return False
        data, weights = operator.inputs[0], operator.inputs[1]
        if data is None or weights is None or not weights.is_constant or not weights.is_float:
            return False
        return operator.kind != "CONV_2D" or weights.shape[3] == data.shape[3]

    @property
    def size(self) -> int:
        """How many weights an output has: the covariance has its square of numbers."""
        return self._unknowns

    def fits(self, operator: Operator) -> bool:
        """Whether another operator with the same weights looks at its input in the same way."""
        first = self._operator
        return (
            operator.kind == first.kind
            and operator.options == first.options
            and operator.output.shape == first.output.shape
        )

    def add(self, data: Array, rng: np.random.Generator) -> None:
        """Look at one input of the operator, [batch, height, width, channels] ([.., features] of a dense layer)."""
        for image in data.reshape(1, -1, 1, data.shape[-1]) if self._dense else data:
            patches = self._patches(image, rng)
            self._waiting.append(np.array(patches))
            if len(self._waiting) * self._rows >= self._at_once:
                self._sum_up()

    def _sum_up(self) -> None:
        """Take in what waits: products of many rows at once cost little more than those of a few."""
        if not self._waiting:
            return
        patches = np.concatenate(self._waiting)
        self._waiting = []
        if self._depthwise:
            rows = np.ascontiguousarray(patches.transpose(2, 0, 1))  # [channels, rows, K]
        else:
            rows = patches.reshape(1, len(patches), -1)
        self._sums.add(rows)

    def result(self) -> Moments:
        """The moments over everything added."""
        self._sum_up()
        return self._sums.result()

    def _patches(self, image: Array, rng: np.random.Generator) -> Array:
        """Some of the patches that the kernel meets, zero where it reaches past the border: [rows, positions, C]."""
        options = self._operator.options
        strides = int(options.get("strideH", 1)), int(options.get("strideW", 1))  # type: ignore[arg-type]  # an option's type is its operator's matter
        dilations = int(options.get("dilationHFactor", 1)), int(options.get("dilationWFactor", 1))  # type: ignore[arg-type]  # an option's type is its operator's matter
        height, width = image.shape[:2] if self._dense else self._operator.output.shape[1:3]
        total = height * width
        chosen = np.arange(total) if total <= self._rows else rng.choice(total, self._rows, replace=False)
        places = np.divmod(chosen, width)
        if self._kernel == (1, 1):
            return np.asarray(image[places[0] * strides[0], places[1] * strides[1]][:, None, :])
        reach = [
            self._reach(axis, places[axis], image.shape[axis], strides[axis], dilations[axis])
            for axis in (0, 1)
        ]
        (rows, row_inside), (columns, column_inside) = reach
        patches = image[rows[:, :, None], columns[:, None, :]]
        inside = row_inside[:, :, None] & column_inside[:, None, :]
        patches = np.where(inside[..., None], patches, np.float32(0))
        return np.asarray(patches.reshape(len(chosen), -1, image.shape[2]))

    def _reach(self, axis: int, places: Array, size: int, stride: int, dilation: int) -> tuple[Array, Array]:
        """Which indices along an axis a window reads at each place, and which of them lie inside the image."""
        before = 0
        if self._operator.options["padding"] == Padding.SAME:
            output = self._operator.output.shape[1 + axis]
            before = max((output - 1) * stride + (self._kernel[axis] - 1) * dilation + 1 - size, 0) // 2
        indices = (places * stride - before)[:, None] + np.arange(self._kernel[axis]) * dilation
        return np.clip(indices, 0, size - 1), (indices >= 0) & (indices < size)
