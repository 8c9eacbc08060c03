"""Power and energy per inference, measured where a meter is, else estimated and named so."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgewise_agent.vitals.board_power import PublishedPower
from edgewise_agent.vitals.files import Readings
from edgewise_agent.vitals.power_meters import PowerMeter

FEWEST_BUSY_SAMPLES = 3
"""Of fewer samples while the model worked, no energy is told: one would be chance."""
_KEPT = 512


@dataclass
class _Interval:
    busy_s: float = 0.0
    inferences: int = 0
    samples_w: list[float] = field(default_factory=list)
    busy_w: list[float] = field(default_factory=list)


class PowerWatch:
    """Takes samples on a thread of its own, at random moments so that they do not fall in step with the model.

    The energy of an inference is the power while the model works times its time: the whole board's power, idle
    share included. Safe between threads.
    """

    def __init__(
        self,
        meter: PowerMeter | None,
        published: PublishedPower | None = None,
        *,
        every_s: float = 2.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``published`` is what estimates rest on where there is no ``meter``."""
        self._meter, self._published, self._every_s, self._now_s = meter, published, every_s, now_s
        self._lock = threading.Lock()
        self._interval = _Interval()
        self._busy = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def source(self) -> str:
        """For `meta`: measured by what, estimated from what, or why there is nothing."""
        if self._meter is not None:
            return f"measured: {self._meter.source}"
        if self._published is not None:
            return f"estimated: {self._published.source}"
        return "unknown: no meter, and no published figures of this board"

    def start(self) -> None:
        """Begin to sample; a counter and an estimate need no samples."""
        if self._meter is not None and not self._meter.is_counter:
            self._thread = threading.Thread(target=self._work, name="power", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def busy(self) -> None:
        """The model begins to work."""
        with self._lock:
            self._busy += 1

    def done(self, busy_s: float) -> None:
        """An inference that took ``busy_s`` has ended."""
        with self._lock:
            self._busy = max(self._busy - 1, 0)
            self._interval.busy_s += busy_s
            self._interval.inferences += 1

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        """Around one inference: its time, and that the model works meanwhile."""
        began_s = self._now_s()
        self.busy()
        try:
            yield
        finally:
            self.done(self._now_s() - began_s)

    def sample(self) -> None:
        """Ask the meter once. A sample counts as busy when the model worked before and after it."""
        if self._meter is None:
            return
        was_busy = self._busy > 0
        power_w = self._meter.power_w()
        if power_w is None:
            return
        with self._lock:
            kept = [self._interval.samples_w]
            if was_busy and self._busy > 0:
                kept.append(self._interval.busy_w)
            for values in kept:
                if len(values) < _KEPT:
                    values.append(power_w)

    def read(self, *, cpu_percent: float | None = None) -> Readings:
        """Since the last call; ``cpu_percent`` of all cores is what an estimate of the power rests on."""
        if self._meter is not None and self._meter.is_counter:
            self.sample()
        with self._lock:
            done, self._interval = self._interval, _Interval()
        if self._meter is None:
            return self._estimate(done, cpu_percent)
        mean_w = _mean(done.samples_w)
        busy_w = mean_w if self._meter.is_counter else _mean(done.busy_w, FEWEST_BUSY_SAMPLES)
        return {
            "power.measured_w": _rounded(mean_w),
            "energy.inference_measured_mj": _energy_mj(busy_w, done),
        }

    def _estimate(self, done: _Interval, cpu_percent: float | None) -> Readings:
        if self._published is None:
            return {}
        idle_w, load_w = self._published.idle_w, self._published.load_w
        power_w = None if cpu_percent is None else idle_w + (load_w - idle_w) * cpu_percent / 100
        return {
            "power.estimated_w": _rounded(power_w),
            "energy.inference_estimated_mj": _energy_mj(load_w, done),
        }

    def _work(self) -> None:
        chance = random.Random()
        while not self._stop.wait(self._every_s * chance.uniform(0.5, 1.5)):
            self.sample()


def _mean(values: list[float], fewest: int = 1) -> float | None:
    return sum(values) / len(values) if len(values) >= fewest else None


def _energy_mj(power_w: float | None, done: _Interval) -> float | None:
    if power_w is None or not done.inferences:
        return None
    return _rounded(power_w * done.busy_s / done.inferences * 1000)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
