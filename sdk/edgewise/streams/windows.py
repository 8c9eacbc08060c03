"""Blocks of sound and measurements cut into the windows that a model predicts."""

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from edgewise.errors import CardError, InvalidInput
from edgewise.model_card import ANOMALY_DETECTION, AUDIO_CLASSIFICATION, TIME_SERIES_CLASSIFICATION
from edgewise.preprocess.framing import Framer
from edgewise.preprocess.resample import Resampler
from edgewise.preprocess.samples import as_samples
from edgewise.preprocess.series import SeriesWindower
from edgewise.series_card import SeriesPreprocess
from edgewise.streams.frame import Block, SensorBlock
from edgewise.tensors import Array

if TYPE_CHECKING:
    from edgewise.model import Model

_RATE_TOLERANCE = 0.01
"""A sensor's clock is off by less; one that is further off measures at another rate."""


class Windows(Protocol):
    """Cuts one stream. Its memory does not grow."""

    def push(self, item: Block | SensorBlock) -> Iterator[Array]:
        """What `Model.predict` is given, for each window that the block completes. Raises InvalidInput."""

    def go_on_from(self, other: "Windows") -> bool:
        """Take over what ``other`` holds, whose it is no longer; False, and nothing happens, if it cuts otherwise."""

    def copy(self) -> "Windows":
        """Others that hold the same samples and go their own way."""


class SeriesWindows:
    """Windows of a series' card; none of them spans a gap."""

    def __init__(self, spec: SeriesPreprocess) -> None:
        self._spec, self._windower = spec, SeriesWindower(spec)

    def push(self, item: Block | SensorBlock) -> Iterator[Array]:
        """See `Windows.push`."""
        if not isinstance(item, SensorBlock):
            raise InvalidInput(
                f"{item.source}: got sound, expected measurements {', '.join(self._spec.channels)}"
            )
        if abs(item.rate_hz - self._spec.rate_hz) > _RATE_TOLERANCE * self._spec.rate_hz:
            raise InvalidInput(
                f"{item.source}: got {item.rate_hz:g} Hz, the model takes {self._spec.rate_hz:g}; measure at that rate"
            )
        if item.missed:
            self._windower.reset()
        yield from self._windower.push(item.samples)

    def go_on_from(self, other: Windows) -> bool:
        """See `Windows.go_on_from`. How windows are normalised may differ."""
        if not isinstance(other, SeriesWindows) or other._cut != self._cut:
            return False
        self._windower = other._windower
        self._windower.spec = self._spec
        return True

    def copy(self) -> "SeriesWindows":
        """See `Windows.copy`."""
        return copy.deepcopy(self)

    @property
    def _cut(self) -> tuple[object, ...]:
        spec = self._spec
        return spec.rate_hz, spec.window, spec.stride, spec.channels, spec.units


class SoundWindows:
    """Windows of half a window's step, at the model's rate."""

    def __init__(self, samples: int, rate_hz: int, item_rate_hz: int) -> None:
        self._cut = samples, rate_hz, item_rate_hz
        self._framer = Framer(samples, max(1, samples // 2))
        self._resampler = Resampler(item_rate_hz, rate_hz) if item_rate_hz != rate_hz else None

    def push(self, item: Block | SensorBlock) -> Iterator[Array]:
        """See `Windows.push`."""
        if not isinstance(item, Block):
            raise InvalidInput(f"{item.source}: got measurements, expected sound")
        sound = self._resampler.push(item.samples) if self._resampler else item.samples
        for window in self._framer.push(as_samples(sound)):
            yield window.copy()

    def go_on_from(self, other: Windows) -> bool:
        """See `Windows.go_on_from`."""
        if not isinstance(other, SoundWindows) or other._cut != self._cut:
            return False
        self._framer, self._resampler = other._framer, other._resampler
        return True

    def copy(self) -> "SoundWindows":
        """See `Windows.copy`. The resampler's table, which may be large and never changes, is shared."""
        other = copy.copy(self)
        other._framer, other._resampler = copy.deepcopy(self._framer), copy.copy(self._resampler)
        return other


def windows_for(model: "Model", item: Block | SensorBlock) -> Windows | None:
    """How this stream is cut for this model; None where its task knows no windows. Raises CardError."""
    if model.task in (TIME_SERIES_CLASSIFICATION, ANOMALY_DETECTION):
        spec = model.series_preprocess
        if spec is None:
            raise CardError(
                f"{model.path}: its input is no series, expected pictures, got blocks of {item.source}"
            )
        return SeriesWindows(spec)
    if model.task == AUDIO_CLASSIFICATION:
        samples, rate_hz = model.sound_window
        return SoundWindows(samples, rate_hz, item.sample_rate_hz if isinstance(item, Block) else rate_hz)
    return None
