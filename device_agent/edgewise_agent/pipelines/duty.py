"""How much a device may work: less when it is hot or its battery is low."""

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from edgewise_agent.pipelines.settings import DutySettings

LOOK_EVERY_S = 5.0
COOLER_BY_C = 5.0
"""A limit that was exceeded holds until the board is so much cooler, so that it does not flap."""
FULLER_BY_PERCENT = 5.0
POWER_SUPPLIES = Path("/sys/class/power_supply")


class Duty(StrEnum):
    """What pipelines do."""

    FULL = "full"
    SLOW = "slow"
    PAUSED = "paused"


_RANK = {Duty.FULL: 0, Duty.SLOW: 1, Duty.PAUSED: 2}


class DutyCycle:
    """What all pipelines of a device ask before each input; it looks at the board every few seconds."""

    def __init__(
        self,
        settings: DutySettings,
        *,
        temperature_c: Callable[[], float | None],
        battery_percent: Callable[[], float | None],
        on_change: Callable[[Duty, str], None] = lambda duty, why: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._now_s, self._on_change = settings, now_s, on_change
        self._temperature_c, self._battery_percent = temperature_c, battery_percent
        self._lock = threading.Lock()
        self._heat = self._charge = self._duty = Duty.FULL
        self._next_look_s = now_s()

    def now(self) -> Duty:
        """What holds; a change is told once."""
        with self._lock:
            if self._now_s() < self._next_look_s:
                return self._duty
            self._next_look_s = self._now_s() + LOOK_EVERY_S
            before = self._duty
            why = self._look()
            after = self._duty
        if before is not after:
            self._on_change(after, why)
        return after

    def pause_s(self, duty: Duty, *, busy_s: float, interval_s: float) -> float:
        """How long to wait after an input that took ``busy_s``, instead of ``interval_s`` from its beginning."""
        wait_s = max(interval_s - busy_s, 0.0)
        if duty is not Duty.SLOW:
            return wait_s
        return wait_s + (self._settings.slow_factor - 1) * max(interval_s, busy_s)

    def _look(self) -> str:
        settings = self._settings
        temperature, battery = self._temperature_c(), self._battery_percent()
        self._heat = _judge(
            temperature, settings.slow_above_c, settings.pause_above_c, self._heat, COOLER_BY_C
        )
        self._charge = _judge(
            None if battery is None else -battery,
            -settings.slow_below_battery_percent,
            -settings.pause_below_battery_percent,
            self._charge,
            FULLER_BY_PERCENT,
        )
        self._duty = max(self._heat, self._charge, key=_RANK.__getitem__)
        parts = [f"processor at {temperature:.0f} °C"] if temperature is not None else []
        return ", ".join([*parts, *([f"battery at {battery:.0f} %"] if battery is not None else [])])


def _judge(value: float | None, slow: float, pause: float, before: Duty, back: float) -> Duty:
    """With hysteresis: to fall back the value must be ``back`` below the limit. What cannot be read limits nothing."""
    if value is None:
        return Duty.FULL
    if value > pause - (back if before is Duty.PAUSED else 0.0):
        return Duty.PAUSED
    if value > slow - (back if before is not Duty.FULL else 0.0):
        return Duty.SLOW
    return Duty.FULL


def battery_percent(folder: Path = POWER_SUPPLIES) -> float | None:
    """The charge of the fullest battery that is not charging; None on mains or without one.

    Linux, Documentation/ABI/testing/sysfs-class-power: `type`, `status`, `capacity`.
    """
    found: list[float] = []
    try:
        supplies = sorted(folder.iterdir())
    except OSError:
        return None
    for supply in supplies:
        try:
            if (supply / "type").read_text().strip() != "Battery":
                continue
            if (supply / "status").read_text().strip() in ("Charging", "Full", "Not charging"):
                return None
            found.append(float((supply / "capacity").read_text()))
        except (OSError, ValueError):
            continue
    return max(found, default=None)
