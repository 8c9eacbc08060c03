"""sounddevice: microphones by way of PortAudio."""

from typing import Any, Protocol

import numpy as np

from edgewise.errors import SourceError
from edgewise.tensors import FloatArray


class Recorder(Protocol):
    """An open microphone. Whoever opened it closes it."""

    def read(self, count: int) -> tuple[FloatArray, bool]:
        """Wait for ``count`` samples: float32 (count,), and whether some were lost before. Raises SourceError."""

    def close(self) -> None:
        """Give it back."""


def open_microphone(device: int | str | None, sample_rate_hz: int) -> "SounddeviceRecorder":
    """Start to record one channel. Raises SourceError, also when sounddevice or PortAudio is not installed."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the PortAudio library is missing
        raise SourceError(
            "microphone: microphones are read by sounddevice, which does not work here: pip install sounddevice, "
            "and apt install libportaudio2"
        ) from error
    try:
        stream = sounddevice.InputStream(
            samplerate=sample_rate_hz, channels=1, dtype="float32", device=device
        )
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise SourceError(
            f"microphone {'' if device is None else device}: does not open at {sample_rate_hz} Hz: {error}; "
            "python -m sounddevice lists the devices"
        ) from error
    return SounddeviceRecorder(stream, sounddevice.PortAudioError)


class SounddeviceRecorder:
    """A Recorder by sounddevice.InputStream."""

    def __init__(self, stream: Any, its_error: type[Exception]) -> None:
        self._stream, self._its_error = stream, its_error

    def read(self, count: int) -> tuple[FloatArray, bool]:
        """See `Recorder.read`."""
        try:
            samples, has_lost = self._stream.read(count)
        except self._its_error as error:
            raise SourceError(f"microphone: it gives no more sound: {error}") from error
        return np.array(samples[:, 0], np.float32), bool(has_lost)

    def close(self) -> None:
        """See `Recorder.close`."""
        self._stream.close()
