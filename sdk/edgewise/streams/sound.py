"""WAV files and microphones as sources."""

import os
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgewise.errors import InvalidInput, SourceError
from edgewise.streams.frame import BLOCK_SAMPLES, Block
from edgewise.streams.microphone import Recorder, open_microphone
from edgewise.streams.source import SourceBase
from edgewise.tensors import FloatArray


class WavSource(SourceBase[Block]):
    """A WAV file of integers (8, 16, 24 or 32 bits) in blocks; channels are averaged, the rate stays the file's.

    The last block is filled up with zeros, unless ``is_filled_up`` is False.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        block_samples: int = BLOCK_SAMPLES,
        is_filled_up: bool = True,
    ) -> None:
        """Opens nothing yet. Raises InvalidInput for blocks of no samples."""
        _check_block(block_samples)
        super().__init__(os.fspath(path))
        self._path, self._block_samples = Path(path), block_samples
        self._is_filled_up = is_filled_up
        self._file: wave.Wave_read | None = None

    def _start(self) -> None:
        try:
            self._file = wave.open(str(self._path), "rb")  # noqa: SIM115 - closed by _stop
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror or error}; expected a WAV file") from error
        except (wave.Error, EOFError) as error:
            reason = str(error) or "it is cut off"
            raise SourceError(
                f"{self.name}: got a file that is no WAV of integers ({reason}), expected 8, 16, 24 or 32 bits; "
                "convert it: ffmpeg -i FILE -c:a pcm_s16le OUT.wav"
            ) from error

    def _next(self, index: int) -> Block | None:
        if self._file is None:
            return None
        try:
            data = self._file.readframes(self._block_samples)
        except (OSError, EOFError, wave.Error) as error:
            raise SourceError(f"{self.name}: broken after {index} blocks: {error or 'cut off'}") from error
        samples = decode_samples(data, self._file.getsampwidth(), self._file.getnchannels())
        if not len(samples):
            return None
        if self._is_filled_up:
            samples = np.pad(samples, (0, self._block_samples - len(samples)))
        return Block(samples, self._file.getframerate(), index, time.monotonic(), self.name)

    def _stop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def decode_samples(data: bytes, width: int, channels: int) -> FloatArray:
    """Interleaved PCM of ``width`` bytes as float32 (n,), -1 to 1: the mean of the channels.

    8 bits are unsigned, more are signed and little-endian (Microsoft Multimedia Programming Interface 1.0, "Data
    Format of the Samples"). What is not a whole sample of all channels at the end is left out.
    """
    whole = len(data) // (width * channels) * width * channels
    octets = np.frombuffer(data, np.uint8, whole).reshape(-1, width)
    # Into the upper bytes of 32 bits, so that the sign is right for every width.
    wide = np.zeros((len(octets), 4), np.uint8)
    wide[:, 4 - width :] = octets
    if width == 1:
        wide[:, 3] ^= 0x80
    values = wide.view("<i4").reshape(-1, channels).mean(axis=1, dtype=np.float64)
    return np.asarray(values / 2**31, np.float32)


class MicrophoneSource(SourceBase[Block]):
    """A microphone in blocks of one channel, read by sounddevice (not installed with edgewise).

    A reader that is too slow makes it drop sound; ``dropped`` counts the blocks before which some is missing. A
    gap in speech is worse than a delay that PortAudio's buffer bounds, so it is not live unless asked for.
    ``device`` is a number or a part of a name, None for the default. ``opener`` stands in for sounddevice in tests.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        sample_rate_hz: int = 16_000,
        block_samples: int = BLOCK_SAMPLES,
        opener: Callable[[int | str | None, int], Recorder] = open_microphone,
    ) -> None:
        """Opens nothing yet. Raises InvalidInput for blocks of no samples."""
        _check_block(block_samples)
        super().__init__("microphone" if device is None else f"microphone:{device}")
        self._device, self._sample_rate_hz, self._block_samples = device, sample_rate_hz, block_samples
        self._opener = opener
        self._recorder: Recorder | None = None
        self.dropped = 0

    def _start(self) -> None:
        self.dropped = 0
        self._recorder = self._opener(self._device, self._sample_rate_hz)

    def _next(self, index: int) -> Block | None:
        if self._recorder is None:
            return None
        samples, has_lost = self._recorder.read(self._block_samples)
        self.dropped += has_lost
        return Block(samples, self._sample_rate_hz, index, time.monotonic(), self.name)

    def _stop(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()


def _check_block(block_samples: int) -> None:
    if block_samples < 1:
        raise InvalidInput(f"block_samples: got {block_samples}, expected at least 1")
