"""What a simulated board measures: a day's warmth, throttling, drift, all from a seed. Nothing here was measured."""

import math
import zlib
from dataclasses import dataclass

BOARDS = (
    "Raspberry Pi 4 Model B Rev 1.4",
    "Raspberry Pi 5 Model B Rev 1.0",
    "Raspberry Pi 3 Model B Plus Rev 1.3",
)
LATENCY_MS = (24.0, 11.0, 61.0)
WATTS = (4.6, 6.1, 3.8)
THROTTLE_C = 80.0
"""Where a Pi's firmware begins to slow down (raspberrypi.com, "Frequency management and thermal control")."""
BADLY_COOLED = 0.03
SLOT_S = 600.0
"""Outages, kills and drift are drawn for each device and each stretch of this length."""


def chance(seed: int, device: int, step: int, what: str) -> float:
    """From 0 to 1, the same whenever it is asked: no generator's state is kept for a device."""
    return zlib.crc32(f"{seed}.{device}.{step}.{what}".encode()) / 2**32


@dataclass(frozen=True, kw_only=True)
class World:
    """What all devices share."""

    seed: int = 0
    day_s: float = 86_400.0
    drift_share: float = 0.01
    """Of the stretches of ten minutes in which a device's inputs drift."""
    outage_share: float = 0.005
    kill_share: float = 0.001


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One moment of one board."""

    temperature_c: float
    is_throttled: bool
    latency_ms: float
    watts: float
    drift_moved: int


def read_board(
    world: World, device: int, now_s: float, *, slowdown: float = 1.0, extra_drift: int = 0
) -> Reading:
    """The board at a time since the simulation began; ``slowdown`` and ``extra_drift`` are its model's."""
    kind = device % len(BOARDS)
    step, slot = int(now_s * 10), int(now_s / SLOT_S)
    noise = chance(world.seed, device, step, "noise") - 0.5
    is_badly_cooled = chance(world.seed, device, 0, "cooling") < BADLY_COOLED
    place_c = 18 + 8 * chance(world.seed, device, 0, "place")
    day_c = 7 * math.sin(2 * math.pi * (now_s / world.day_s - 0.375))  # warmest in the afternoon
    load_c = 26 + (24 if is_badly_cooled else 0) + 4 * math.log(slowdown)
    temperature_c = place_c + day_c + load_c + 2 * noise
    is_throttled = temperature_c >= THROTTLE_C
    drifts = chance(world.seed, device, slot, "drift") < world.drift_share
    return Reading(
        temperature_c=temperature_c,
        is_throttled=is_throttled,
        latency_ms=LATENCY_MS[kind] * slowdown * (1.4 if is_throttled else 1.0) * (1 + 0.08 * noise),
        watts=WATTS[kind] + 0.3 * noise,
        drift_moved=(2 if drifts else 0) + extra_drift,
    )


def is_cut(world: World, device: int, now_s: float) -> bool:
    """Whether the network of this device is away just now: the first minute or two of a stretch that was drawn."""
    slot, into_s = divmod(now_s, SLOT_S)
    drawn = chance(world.seed, device, int(slot), "outage")
    return drawn < world.outage_share and into_s < 30 + 90 * chance(world.seed, device, int(slot), "length")


def is_killed(world: World, device: int, before_s: float, now_s: float) -> bool:
    """Whether its agent was killed since ``before_s``."""
    slot = int(now_s / SLOT_S)
    at_s = slot * SLOT_S + SLOT_S * chance(world.seed, device, slot, "moment")
    return before_s < at_s <= now_s and chance(world.seed, device, slot, "kill") < world.kill_share
