"""What sources give: one picture, one stretch of sound, or some rows of measurements."""

from dataclasses import dataclass
from pathlib import Path

from edgewise.tensors import Array, FloatArray

BLOCK_SAMPLES = 512
"""32 ms at 16 kHz, what voice detectors such as silero-vad take at once."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source."""

    image: Array | Path
    """uint8 (height, width, 3) in RGB order, or a picture file that nobody has opened yet."""
    index: int
    """Which one of the source, from 0; what a live reader drops is counted too."""
    time_s: float
    """When it was read, by `time.monotonic`."""
    source: str
    """The source's name."""


@dataclass(frozen=True, eq=False)
class Block:
    """One stretch of sound of a source."""

    samples: FloatArray
    """float32 (n,), one channel, -1 to 1. The last block of a file is filled up with zeros."""
    sample_rate_hz: int
    index: int
    """Which one of the source, from 0."""
    time_s: float
    """When it was read, by `time.monotonic`."""
    source: str
    """The source's name."""


@dataclass(frozen=True, eq=False)
class SensorBlock:
    """Some rows of measurements of a source."""

    samples: FloatArray
    """float32 (n, channels), as measured."""
    rate_hz: float
    index: int
    """Which one of the source, from 0."""
    time_s: float
    """When its last row was read, by `time.monotonic`."""
    source: str
    """The source's name."""
    missed: int = 0
    """Rows between the last block and this one that nobody measured or had room for."""
