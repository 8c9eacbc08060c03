"""For tests of what is built on streams: pictures given, or made, measurements at a rate, and an I2C bus."""

import errno
import os
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from edgewise.errors import InvalidInput
from edgewise.preprocess.series import as_series
from edgewise.streams.frame import Frame, SensorBlock
from edgewise.streams.source import SourceBase
from edgewise.tensors import Array


class SimulatedSource(SourceBase[Frame]):
    """Frames of a list, or grey fields that grow lighter; no camera needed.

    ``images`` are uint8 arrays (height, width, 3) or paths. Without them ``count`` fields of ``size_wh`` are made,
    all pixels of frame i being i modulo 256; None for as many as are read. ``rate_hz`` is how many frames a second
    come, None for as fast as they are read. ``is_live`` says that a slow reader drops frames, as with a camera.
    """

    def __init__(
        self,
        images: Sequence[Array | str | PathLike[str]] | None = None,
        *,
        count: int | None = None,
        rate_hz: float | None = None,
        size_wh: tuple[int, int] = (64, 48),
        is_live: bool = False,
        name: str = "simulated",
    ) -> None:
        """Raises InvalidInput for a rate, a size or a count that makes no sense."""
        if rate_hz is not None and rate_hz <= 0:
            raise InvalidInput(f"rate_hz: got {rate_hz}, expected more than 0, or None")
        if min(size_wh) < 1 or (count is not None and count < 0):
            raise InvalidInput(f"size_wh, count: got {size_wh}, {count}, expected at least 1 and 0")
        super().__init__(name)
        self.is_live = is_live
        self._images = images
        self._count_wanted = len(images) if images is not None else count
        self._rate_hz, self._size_wh = rate_hz, size_wh
        self._started_s = 0.0

    def _start(self) -> None:
        self._started_s = time.monotonic()

    def _next(self, index: int) -> Frame | None:
        if self._count_wanted is not None and index >= self._count_wanted:
            return None
        if self._rate_hz is not None:
            due_s = self._started_s + index / self._rate_hz
            if self._is_closed_within(due_s - time.monotonic()):
                return None
        return Frame(self._image(index), index, time.monotonic(), self.name)

    def _image(self, index: int) -> Array | Path:
        if self._images is None:
            width, height = self._size_wh
            return np.full((height, width, 3), index % 256, np.uint8)
        image = self._images[index]
        return image if isinstance(image, np.ndarray) else Path(image)


class SimulatedSensor(SourceBase[SensorBlock]):
    """Measurements of an array [time, channels], in blocks; no sensor needed.

    ``is_paced`` makes them come at ``rate_hz``; otherwise they come as fast as they are read.
    """

    def __init__(
        self,
        rows: Array,
        *,
        rate_hz: float,
        channels: Sequence[str],
        block_samples: int = 10,
        is_paced: bool = False,
        name: str = "simulated sensor",
    ) -> None:
        """Raises InvalidInput for a rate, a block or an array that makes no sense."""
        if not rate_hz > 0 or block_samples < 1:
            raise InvalidInput(
                f"rate_hz, block_samples: got {rate_hz}, {block_samples}, expected more than 0 and at least 1"
            )
        super().__init__(name)
        self._rows = as_series(rows, tuple(channels))
        self._rate_hz, self._block_samples, self._is_paced = rate_hz, block_samples, is_paced
        self._started_s = 0.0

    def _start(self) -> None:
        self._started_s = time.monotonic()

    def _next(self, index: int) -> SensorBlock | None:
        start = index * self._block_samples
        rows = self._rows[start : start + self._block_samples]
        if not len(rows):
            return None
        due_s = self._started_s + (start + len(rows)) / self._rate_hz
        if self._is_paced and self._is_closed_within(due_s - time.monotonic()):
            return None
        return SensorBlock(rows.copy(), self._rate_hz, index, time.monotonic(), self.name)


class SimulatedI2C:
    """An I2C bus of chips that are nothing but their registers; no bus needed.

    ``chips`` maps each address to the 256 bytes of its registers, which a test may change at any time.
    """

    def __init__(self, chips: dict[int, bytearray]) -> None:
        self.chips = chips
        self.reads: list[tuple[int, int, int]] = []
        """Address, register and length of each."""
        self.is_closed = False

    def read_i2c_block_data(self, address: int, register: int, length: int, /) -> list[int]:
        """See `I2CBus.read_i2c_block_data`."""
        self.reads.append((address, register, length))
        return list(self._chip(address)[register : register + length])

    def write_byte_data(self, address: int, register: int, value: int, /) -> None:
        """See `I2CBus.write_byte_data`."""
        self._chip(address)[register] = value

    def close(self) -> None:
        """See `I2CBus.close`."""
        self.is_closed = True

    def _chip(self, address: int) -> bytearray:
        """Raises what Linux raises where no chip answers."""
        if self.is_closed or address not in self.chips:
            number = errno.EBADF if self.is_closed else errno.EREMOTEIO
            raise OSError(number, os.strerror(number))
        return self.chips[address]
