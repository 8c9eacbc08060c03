"""How sound becomes a model's input: the numbers of a log-mel or MFCC front end."""

from dataclasses import dataclass
from math import isfinite

from edgewise.errors import CardError

WINDOWS = ("hann", "hamming", "blackman", "rectangular")
SCALES = ("htk", "slaney")
SPECTRA = ("power", "magnitude")
LOGS = ("none", "natural", "natural-offset", "log10", "db")
PADS = ("none", "zeros", "reflect")
_FFT_LIMIT, _MELS_LIMIT, _HOP_LIMIT = 1 << 14, 512, 1 << 16
"""A third of a second at 48 kHz, and four times the filters of large speech models: the tables then take less than
100 MB, so that a hostile card does not fill the memory."""


@dataclass(frozen=True, kw_only=True)
class AudioPreprocess:
    """From samples to rows: ``row = (log(filters @ spectrum(frame)) - mean) / std``; samples are -1 to 1.

    The numbers by default are those of 16 kHz speech: 25 ms frames every 10 ms, 40 mel filters.
    """

    rate_hz: int = 16_000
    window: int = 400
    """Samples in a frame."""
    hop: int = 160
    """Samples from one frame to the next."""
    n_fft: int = 512
    """Points of the transform; the frame is filled up with zeros."""
    window_kind: str = "hann"
    is_window_periodic: bool = True
    """Periodic as in TensorFlow, torchaudio and librosa; symmetric otherwise."""
    pad: str = "none"
    """none: frames lie inside the clip. zeros, reflect: frame t is centred on sample t * hop."""
    spectrum: str = "power"
    mels: int = 40
    f_min: float = 0.0
    """Hz, lower edge of the first filter."""
    f_max: float = 0.0
    """Hz, upper edge of the last filter; 0 for half the rate."""
    scale: str = "htk"
    is_area_normalised: bool = False
    """Whether each filter is divided by half its width in Hz (Slaney), so that all have the same area."""
    log: str = "natural"
    """none; natural: ln(max(x, floor)); natural-offset: ln(x + floor); log10: log10(max(x, floor));
    db: 10 log10(max(x, floor)) of power, 20 log10 of magnitude."""
    floor: float = 1e-10
    coefficients: int = 0
    """How many cepstral coefficients (MFCC) are made of the logarithms; 0 for the logarithms themselves."""
    mean: tuple[float, ...] = (0.0,)
    """One value, or one per column."""
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for what, value, allowed in (
            ("window_kind", self.window_kind, WINDOWS),
            ("pad", self.pad, PADS),
            ("spectrum", self.spectrum, SPECTRA),
            ("scale", self.scale, SCALES),
            ("log", self.log, LOGS),
        ):
            if value not in allowed:
                names = ", ".join(map(repr, allowed))
                raise CardError(f"audio {what}: got {value!r}, expected one of {names}")
        self._check_sizes()
        self._check_numbers()

    def _check_sizes(self) -> None:
        if self.rate_hz < 1:
            raise CardError(f"audio rate_hz: got {self.rate_hz}, expected at least 1")
        if not 2 <= self.window <= self.n_fft <= _FFT_LIMIT:
            raise CardError(
                f"audio window, n_fft: got {self.window} and {self.n_fft}, "
                f"expected 2 <= window <= n_fft <= {_FFT_LIMIT}; give n_fft the next power of two"
            )
        most = min(_MELS_LIMIT, self.n_fft)
        for what, size, limit in (("hop", self.hop, _HOP_LIMIT), ("mels", self.mels, most)):
            if not 1 <= size <= limit:
                raise CardError(f"audio {what}: got {size}, expected 1 to {limit}")
        if not 0 <= self.coefficients <= self.mels:
            raise CardError(f"audio coefficients: got {self.coefficients}, expected 0 to mels = {self.mels}")

    def _check_numbers(self) -> None:
        if not 0 <= self.f_min < self.top_hz <= self.rate_hz / 2:
            raise CardError(
                f"audio f_min, f_max: got {self.f_min} and {self.f_max} Hz, "
                f"expected 0 <= f_min < f_max <= {self.rate_hz / 2} (half of rate_hz)"
            )
        if not (self.floor > 0 and isfinite(self.floor)):
            raise CardError(f"audio floor: got {self.floor}, expected a positive number such as 1e-10")
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.width):
                raise CardError(f"audio {what}: got {len(values)} values, expected 1 or {self.width}")
            if not all(map(isfinite, values)):
                raise CardError(f"audio {what}: got {values[:4]}, expected finite numbers")
        if not all(value > 0 for value in self.std):
            raise CardError(f"audio std: got {self.std[:4]}, expected positive numbers")

    @property
    def top_hz(self) -> float:
        """The upper edge of the last filter."""
        return self.f_max or self.rate_hz / 2

    @property
    def width(self) -> int:
        """Numbers in a row: coefficients, or mels where there are none."""
        return self.coefficients or self.mels

    def samples_for(self, rows: int) -> int:
        """The shortest clip that gives this many rows."""
        inside = 0 if self.pad != "none" else self.window
        return inside + (rows - 1) * self.hop
