"""How a series of measurements becomes a model's input: windows of several channels."""

from dataclasses import dataclass
from math import isfinite

from edgewise.errors import CardError

NORMALISES = ("none", "training", "window")
LAYOUTS = ("time-channels", "channels-time")
PADS = ("none", "zeros", "edge")
_CHANNELS_LIMIT, _NUMBERS_LIMIT = 1 << 10, 1 << 22
"""Far beyond any sensor; a window then takes at most 32 MB, so that a hostile card does not fill the memory."""
_FLOOR = 1e-6


@dataclass(frozen=True, kw_only=True)
class SeriesPreprocess:
    """From rows [time, channels] at ``rate_hz`` to windows: ``(x - mean) / std``, channel by channel."""

    rate_hz: float
    window: int
    """Rows in a window."""
    stride: int
    """Rows from one window to the next; as many as ``window`` where they do not overlap."""
    channels: tuple[str, ...]
    """What each column measures: ax, ay, az ..."""
    units: tuple[str, ...] = ()
    """Of each column, such as g or rad/s; none where nobody says."""
    normalise: str = "none"
    """training: by ``mean`` and ``std``. window: each channel by the window's own mean and std."""
    mean: tuple[float, ...] = ()
    """One for each channel, of the data that the model was trained on."""
    std: tuple[float, ...] = ()
    floor: float = _FLOOR
    """For window: a smaller std counts as this, so that a channel at rest becomes 0 and not noise."""
    layout: str = "time-channels"
    """[1, window, channels], or [1, channels, window]."""
    pad: str = "none"
    """What fills up a series, or the end of one, that is shorter than a window: nothing (it is refused, or left
    out), zeros (before normalising), or edge: its last row."""

    def __post_init__(self) -> None:
        for what, value, allowed in (
            ("normalise", self.normalise, NORMALISES),
            ("layout", self.layout, LAYOUTS),
            ("pad", self.pad, PADS),
        ):
            if value not in allowed:
                names = ", ".join(map(repr, allowed))
                raise CardError(f"series {what}: got {value!r}, expected one of {names}")
        self._check_sizes()
        self._check_numbers()

    def _check_sizes(self) -> None:
        if not (self.rate_hz > 0 and isfinite(self.rate_hz)):
            raise CardError(f"series rate_hz: got {self.rate_hz}, expected more than 0")
        if not 1 <= len(self.channels) <= _CHANNELS_LIMIT:
            raise CardError(
                f"series channels: got {len(self.channels)}, expected 1 to {_CHANNELS_LIMIT} names"
            )
        if len(set(self.channels)) < len(self.channels):
            raise CardError(f"series channels: got {self.channels}, expected each name once")
        if len(self.units) not in (0, len(self.channels)):
            raise CardError(f"series units: got {len(self.units)}, expected one for each of {self.channels}")
        most = _NUMBERS_LIMIT // len(self.channels)
        for what, size in (("window", self.window), ("stride", self.stride)):
            if not 1 <= size <= most:
                raise CardError(f"series {what}: got {size}, expected 1 to {most}")

    def _check_numbers(self) -> None:
        wanted = len(self.channels) if self.normalise == "training" else 0
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != wanted:
                raise CardError(
                    f"series {what}: got {len(values)} values with normalise {self.normalise!r}, expected {wanted}"
                )
            if not all(map(isfinite, values)):
                raise CardError(f"series {what}: got {values[:4]}, expected finite numbers")
        if not all(value > 0 for value in self.std):
            raise CardError(f"series std: got {self.std[:4]}, expected positive numbers")
        if not (self.floor > 0 and isfinite(self.floor)):
            raise CardError(f"series floor: got {self.floor}, expected a positive number such as {_FLOOR}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the input."""
        width = len(self.channels)
        return (1, self.window, width) if self.layout == "time-channels" else (1, width, self.window)

    @property
    def window_s(self) -> float:
        """How long a window is."""
        return self.window / self.rate_hz
