"""Sensors as sources: I2C, SPI, serial lines, whatever a Python function can read."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Protocol, TypeAlias

import numpy as np

from edgewise.errors import EdgewiseError, InvalidInput, SourceError
from edgewise.streams.clock import SLICE_S, Clock
from edgewise.streams.frame import SensorBlock
from edgewise.streams.source import SourceBase

_log = logging.getLogger("edgewise.streams")
Row: TypeAlias = Sequence[float] | float | None
_KEPT_S = 10.0
"""So much is kept for a reader that is busy; what comes on top is counted as missed."""
_LOOK_AGAIN = 0.25
"""After so much of a period a sensor that had nothing is asked again."""
_LATE_SHARE = 0.5
"""A row that is read more than half a period after its time is late."""


class Sensor(Protocol):
    """What a `SensorSource` reads. It may have a ``close()`` too, which the source calls."""

    def read(self) -> Row:
        """The numbers of one moment, one for each channel (one channel: a bare number).

        Nothing, (), when there is none yet; None at the end. OSError when the sensor does not answer.
        """


class SensorSource(SourceBase[SensorBlock]):
    """Measurements of a sensor in blocks, read by a thread of their own so that a busy model makes no gaps.

    ``read`` is a function, or a `Sensor`. Row k is read k / ``rate_hz`` seconds after the beginning, by the monotonic
    clock. ``is_paced=False`` is for sensors that set the pace themselves, as a serial line does: each row is read
    when it is there. ``late`` counts rows read half a period or more after their time, ``missed`` those that were
    due and never read, or for which the reader left no room.
    """

    def __init__(
        self,
        read: Callable[[], Row] | Sensor,
        *,
        rate_hz: float,
        channels: Sequence[str],
        block_samples: int | None = None,
        is_paced: bool = True,
        name: str = "sensor",
        clock: Clock | None = None,
    ) -> None:
        """``block_samples`` is by default a tenth of a second. Opens nothing yet. Raises InvalidInput.

        ``clock`` stands in for the monotonic clock in tests.
        """
        if not rate_hz > 0 or not channels or (block_samples is not None and block_samples < 1):
            raise InvalidInput(
                f"rate_hz, channels, block_samples: got {rate_hz}, {list(channels)}, {block_samples}, expected a "
                "positive rate, at least one channel, and at least one row to a block"
            )
        super().__init__(name, clock)
        self._sensor = read
        self._read: Callable[[], Row] = read if callable(read) else read.read
        self.rate_hz, self.channels = rate_hz, tuple(channels)
        self._block_samples = block_samples or max(1, round(rate_hz / 10))
        self._is_paced = is_paced
        self._most = max(round(rate_hz * _KEPT_S), 2 * self._block_samples)
        self._change = Condition()
        self._thread: Thread | None = None
        self.late = self.missed = 0

    def _start(self) -> None:
        self._rows: deque[tuple[tuple[float, ...], float, int]] = deque()
        self._error: Exception | None = None
        self._is_done = False
        self.late = self.missed = 0
        self._thread = Thread(target=self._measure, name=f"edgewise {self.name}", daemon=True)
        self._thread.start()

    def _next(self, index: int) -> SensorBlock | None:
        """Rows that no gap divides: one that comes before the block is full ends it."""
        with self._change:
            while not self._is_ready() and not self._is_done and not self._closing.is_set():
                self._change.wait(SLICE_S)
            if self._closing.is_set():
                return None
            if not self._rows:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                return None
            taken = [self._rows.popleft()]
            while self._rows and len(taken) < self._block_samples and not self._rows[0][2]:
                taken.append(self._rows.popleft())
        samples = np.array([row for row, _, _ in taken], np.float32)
        return SensorBlock(samples, self.rate_hz, index, taken[-1][1], self.name, taken[0][2])

    def _is_ready(self) -> bool:
        gaps = any(missed for _, _, missed in list(self._rows)[1 : self._block_samples])
        return len(self._rows) >= self._block_samples or gaps

    def _stop(self) -> None:
        with self._change:
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        closer = getattr(self._sensor, "close", None)
        if closer is not None:
            closer()
        if self.missed:
            _log.info("%s: %d rows missed, %d late", self.name, self.missed, self.late)

    def _measure(self) -> None:
        """What the thread does."""
        try:
            self._measure_until_closed()
        except EdgewiseError as error:
            self._error = error
        except OSError as error:
            self._error = SourceError(f"{self.name}: it cannot be read: {error}; check its wires and address")
        except Exception as error:  # of somebody else's read(): the reader is told
            self._error = error
        finally:
            with self._change:
                self._is_done = True
                self._change.notify_all()

    def _measure_until_closed(self) -> None:
        began_s, due = self._clock.time_s(), 0
        missed = 0
        while not self._closing.is_set():
            if self._is_paced:
                skipped = self._wait_for(began_s, due)
                if skipped is None:
                    return
                due, missed = due + skipped, missed + skipped
                self.missed += skipped
            row = self._read()
            if row is None:
                return
            numbers = self._checked(row)
            if not numbers:
                self._is_closed_within(_LOOK_AGAIN / self.rate_hz)
                continue
            due += 1
            missed = self._keep(numbers, missed)

    def _wait_for(self, began_s: float, due: int) -> int | None:
        """Wait until row ``due`` is to be read; how many whole periods it is too late for. None when closed."""
        wait_s = began_s + due / self.rate_hz - self._clock.time_s()
        if wait_s > 0:
            return None if self._is_closed_within(wait_s) else 0
        periods = -wait_s * self.rate_hz
        self.late += periods >= _LATE_SHARE
        return int(periods)

    def _checked(self, row: Row) -> tuple[float, ...]:
        """Raises SourceError for another number of numbers than channels."""
        numbers = (float(row),) if isinstance(row, int | float) else tuple(map(float, row or ()))
        if numbers and len(numbers) != len(self.channels):
            raise SourceError(
                f"{self.name}: read() gave {len(numbers)} numbers, expected {len(self.channels)}: "
                f"{', '.join(self.channels)}"
            )
        return numbers

    def _keep(self, numbers: tuple[float, ...], missed: int) -> int:
        """How many are missed before the next one: this one, too, where there is no room."""
        with self._change:
            if len(self._rows) >= self._most:
                self.missed += 1
                return missed + 1
            self._rows.append((numbers, self._clock.time_s(), missed))
            self._change.notify_all()
        return 0
