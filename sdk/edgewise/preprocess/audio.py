"""From sound to spectra, log-mel energies and MFCC: whole clips, or streams in chunks of any length."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.fft import rfft

from edgewise.audio_card import AudioPreprocess
from edgewise.preprocess.framing import Framer, make_window
from edgewise.preprocess.mel import Numbers, SparseFilters, mel_filters
from edgewise.preprocess.samples import Samples, as_samples
from edgewise.tensors import FloatArray


class _Rows:
    """A stream of rows, one for each frame. Every row is computed by itself, so that chunks do not matter."""

    def __init__(self, spec: AudioPreprocess, width: int) -> None:
        self.spec, self.width = spec, width
        self._window = make_window(spec.window_kind, spec.window, is_periodic=spec.is_window_periodic)
        self._framer = framer_of(spec)
        self._is_power = spec.spectrum == "power"

    def push(self, samples: Any) -> FloatArray:
        """The rows that become complete: (rows, width), float32, yours. ``samples`` (time,), int16 or -1 to 1.

        Raises InvalidInput; the stream is then as it was.
        """
        chunk = as_samples(samples)
        return self._filled(self._framer.push(chunk), self._framer.count(len(chunk)))

    def flush(self) -> FloatArray:
        """The rows that the padding behind the clip completes; the next push begins another clip.

        Raises InvalidInput for a clip that is too short to be mirrored.
        """
        rows = [self._row(frame) for frame in self._framer.flush()]
        return np.array(rows, np.float32).reshape(len(rows), self.width)

    def reset(self) -> None:
        """Forget what was pushed."""
        self._framer.reset()

    def _filled(self, frames: Iterator[Samples], count: int) -> FloatArray:
        rows = np.empty((count, self.width), np.float32)
        for index, frame in enumerate(frames):
            rows[index] = self._row(frame)
        return rows

    def _row(self, frame: Samples) -> Numbers:
        return self._spectrum(frame)

    def _spectrum(self, frame: Samples) -> Numbers:
        """(n_fft // 2 + 1,): squared magnitudes, or magnitudes."""
        bins = rfft(frame * self._window, self.spec.n_fft)
        power = bins.real**2 + bins.imag**2
        return np.asarray(power if self._is_power else np.sqrt(power))


class Spectrogram(_Rows):
    """A stream of short-time spectra, n_fft // 2 + 1 wide: power or magnitude, as ``spec.spectrum`` says."""

    def __init__(self, spec: AudioPreprocess) -> None:
        super().__init__(spec, spec.n_fft // 2 + 1)


class LogMel(_Rows):
    """A stream of log-mel energies, or of MFCC where ``spec.coefficients`` asks for them; ``spec.width`` wide."""

    def __init__(self, spec: AudioPreprocess) -> None:
        super().__init__(spec, spec.width)
        self._filters = SparseFilters.of(mel_filters(spec))
        self._basis = dct_basis(spec.mels)[: spec.coefficients]
        self._mean, self._std = np.array(spec.mean), np.array(spec.std)

    def _row(self, frame: Samples) -> Numbers:
        row = _log(self._filters.apply(self._spectrum(frame)), self.spec)
        if self.spec.coefficients:
            row = (self._basis * row).sum(axis=1)
        return np.asarray((row - self._mean) / self._std)


def framer_of(spec: AudioPreprocess) -> Framer:
    """Frames of ``spec.window`` samples. With padding frame t is centred on sample t * hop.

    There are then 1 + samples // hop of them, as of librosa.stft(center=True), whose window lies in the middle
    of ``n_fft`` samples.
    """
    if spec.pad == "none":
        return Framer(spec.window, spec.hop)
    before = spec.n_fft // 2 - (spec.n_fft - spec.window) // 2
    return Framer(spec.window, spec.hop, before=before, after=spec.window - before, pad=spec.pad)


def spectrogram(samples: Any, spec: AudioPreprocess) -> FloatArray:
    """A whole clip: (frames, n_fft // 2 + 1), float32. Raises InvalidInput."""
    return _whole(Spectrogram(spec), samples)


def log_mel(samples: Any, spec: AudioPreprocess) -> FloatArray:
    """A whole clip: (frames, spec.width), float32. Raises InvalidInput."""
    return _whole(LogMel(spec), samples)


def dct_basis(size: int) -> Numbers:
    """(size, size), float64: the orthonormal DCT-II; row k holds cos(pi k (n + 1/2) / size), scaled.

    Ahmed, Natarajan, Rao, "Discrete cosine transform", IEEE Trans. Computers C-23 (1974), equation 1.
    """
    order, place = np.arange(size)[:, np.newaxis], np.arange(size) + 0.5
    basis = np.sqrt(2 / size) * np.cos(np.pi / size * order * place)
    basis[0] = np.sqrt(1 / size)
    return np.asarray(basis)


def _whole(stream: _Rows, samples: Any) -> FloatArray:
    return np.concatenate([stream.push(samples), stream.flush()])


def _log(energies: Numbers, spec: AudioPreprocess) -> Numbers:
    if spec.log == "none":
        return energies
    if spec.log == "natural-offset":
        return np.asarray(np.log(energies + spec.floor))
    raised = np.maximum(energies, spec.floor)
    if spec.log == "natural":
        return np.asarray(np.log(raised))
    factor = 1.0 if spec.log == "log10" else 10.0 if spec.spectrum == "power" else 20.0
    return np.asarray(factor * np.log10(raised))
