"""The map of the overview as SVG: devices at their places, near ones together, on a net of degrees. Pure.

It works without internet, so there is no picture of streets underneath. Projection: Mercator (Snyder 1987, "Map
projections: a working manual", USGS PP 1395, equations 7-1 and 7-2), which keeps angles, as maps on the web do.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, urlencode

from edgewise_fleet.steering.positions import Position
from edgewise_fleet.summary import Condition, DeviceSummary
from edgewise_messages import DeviceAddress

WIDTH, HEIGHT, MARGIN = 1000, 280, 36
CELL = 34
"""Devices whose places fall into one square of this size are one dot."""
LEAST_DEGREES = 0.004
"""A map of one place still shows some hundreds of metres."""
MOST_LATITUDE = 85.0
NAMED = 6
EARTH_KM = 40_075.017
"""The equator, WGS 84."""
WORST = (Condition.OFFLINE, Condition.SILENT, Condition.ONLINE, Condition.STOPPED)
"""What colours a dot that stands for several."""
STEPS = tuple(base * 10.0**power for power in range(-4, 2) for base in (1, 2, 5)) + (30.0,)


@dataclass(frozen=True)
class Dot:
    """One place on the map, in pixels, and who is there."""

    x: float
    y: float
    devices: tuple[DeviceSummary, ...]

    @property
    def condition(self) -> Condition:
        """The worst of them."""
        found = {device.condition for device in self.devices}
        return next(kind for kind in WORST if kind in found)


@dataclass(frozen=True)
class Frame:
    """What part of the earth is shown."""

    west: float
    """In degrees; places are at this longitude or up to 360 degrees east of it."""
    left: float
    """Of the picture, in radians of Mercator east of ``west``."""
    top: float
    scale: float
    """Pixels of one radian."""

    def place(self, position: Position) -> tuple[float, float]:
        """Pixels from the left and from the top."""
        east = math.radians((position.longitude - self.west) % 360)
        return (east - self.left) * self.scale, (self.top - _northing(position.latitude)) * self.scale


def frame_of(positions: Sequence[Position]) -> Frame:
    """The smallest part with all of them, also where they lie on both sides of 180 degrees."""
    west, span = _narrowest([position.longitude % 360 for position in positions])
    norths = [_northing(position.latitude) for position in positions]
    width = max(math.radians(span), math.radians(LEAST_DEGREES))
    height = max(max(norths) - min(norths), math.radians(LEAST_DEGREES) / 2)
    scale = min((WIDTH - 2 * MARGIN) / width, (HEIGHT - 2 * MARGIN) / height)
    middle_x, middle_y = math.radians(span) / 2, (max(norths) + min(norths)) / 2
    return Frame(west, middle_x - WIDTH / 2 / scale, middle_y + HEIGHT / 2 / scale, scale)


def dots_of(devices: Iterable[tuple[DeviceSummary, Position]], frame: Frame) -> tuple[Dot, ...]:
    """One for each square with devices, at their mean."""
    squares: defaultdict[tuple[int, int], list[tuple[float, float, DeviceSummary]]] = defaultdict(list)
    for device, position in devices:
        x, y = frame.place(position)
        squares[int(x // CELL), int(y // CELL)].append((x, y, device))
    return tuple(
        Dot(
            sum(x for x, _, _ in found) / len(found),
            sum(y for _, y, _ in found) / len(found),
            tuple(device for _, _, device in found),
        )
        for _, found in sorted(squares.items())
    )


def draw_map(devices: Iterable[DeviceSummary], positions: Mapping[DeviceAddress, Position]) -> str:
    """SVG of those that have a position; empty without any."""
    located = [
        (device, positions[address])
        for device in devices
        if (address := DeviceAddress(device.group, device.device)) in positions
    ]
    if not located:
        return ""
    frame = frame_of([position for _, position in located])
    dots = dots_of(located, frame)
    label = f"Map of {len(located):,} devices at {len(dots):,} places"
    inside = [*_net(frame), *_scale_bar(frame, [position for _, position in located]), *map(_dot, dots)]
    return (
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{label}">'
        f"{''.join(inside)}</svg>"
    )


class Cartographer:
    """Draws for all open pages, anew only when something changed. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: tuple[object, object] = (None, None)
        self._drawn = ""

    def draw(self, devices: tuple[DeviceSummary, ...], positions: Mapping[DeviceAddress, Position]) -> str:
        """As `draw_map`; what is handed in must not change later."""
        with self._lock:
            if self._of[0] is not devices or self._of[1] is not positions:
                self._drawn = draw_map(devices, positions)
                self._of = (devices, positions)
            return self._drawn


def _northing(latitude: float) -> float:
    limited = max(-MOST_LATITUDE, min(MOST_LATITUDE, latitude))
    return math.log(math.tan(math.pi / 4 + math.radians(limited) / 2))


def _latitude(northing: float) -> float:
    return math.degrees(2 * math.atan(math.exp(northing)) - math.pi / 2)


def _narrowest(longitudes: Sequence[float]) -> tuple[float, float]:
    """The west end and the width of the narrowest strip with all: what is left of the circle without its widest gap."""
    around = sorted(set(longitudes))
    gaps = [(after - before) % 360 for before, after in zip(around, around[1:] + around[:1], strict=True)]
    if len(around) == 1:
        return around[0], 0.0
    widest = max(range(len(gaps)), key=gaps.__getitem__)
    return around[(widest + 1) % len(around)], 360 - gaps[widest]


def _net(frame: Frame) -> list[str]:
    """Meridians and parallels at round degrees, with their names."""
    middle = frame.west + math.degrees(frame.left + WIDTH / 2 / frame.scale)
    half = min(
        math.degrees(WIDTH / 2 / frame.scale), 180.0
    )  # a fleet from pole to pole is higher than the earth is wide
    step = next((step for step in STEPS if 2 * half / step <= 8), STEPS[-1])
    digits = max(0, -math.floor(math.log10(step)))
    made = []
    for number in range(math.ceil((middle - half) / step), math.floor((middle + half) / step) + 1):
        x = (math.radians(number * step - frame.west) - frame.left) * frame.scale
        name = _degrees(((number * step + 180) % 360) - 180, digits, "EW")
        made.append(
            f'<path class="net" d="M{x:.1f} 0V{HEIGHT}"/><text x="{x + 4:.1f}" y="{HEIGHT - 6}">{name}</text>'
        )
    bottom, top = _latitude(frame.top - HEIGHT / frame.scale), _latitude(frame.top)
    for number in range(math.ceil(bottom / step), math.floor(top / step) + 1):
        y = (frame.top - _northing(number * step)) * frame.scale
        name = _degrees(number * step, digits, "NS")
        made.append(f'<path class="net" d="M0 {y:.1f}H{WIDTH}"/><text x="6" y="{y - 4:.1f}">{name}</text>')
    return made


def _degrees(value: float, digits: int, sides: str) -> str:
    side = sides[value < 0] if abs(value) > 1e-9 else ""
    return f"{abs(value):.{digits}f}°{side}"


def _scale_bar(frame: Frame, positions: Sequence[Position]) -> list[str]:
    """A round length in the middle's scale; Mercator's own changes with the latitude."""
    middle = math.radians(sum(position.latitude for position in positions) / len(positions))
    km_per_px = EARTH_KM / (2 * math.pi) * max(math.cos(middle), 0.01) / frame.scale
    length = max(
        base * 10.0**power
        for power in range(-5, 6)
        for base in (1, 2, 5)
        if base * 10.0**power <= 160 * km_per_px
    )
    right = WIDTH - 16
    left = right - length / km_per_px
    name = f"{length:g} km" if length >= 1 else f"{length * 1000:g} m"
    return [
        f'<path class="bar-km" d="M{left:.1f} 14v6H{right}v-6"/>',
        f'<text x="{right}" y="34" text-anchor="end">{name}</text>',
    ]


def _dot(dot: Dot) -> str:
    count = len(dot.devices)
    radius = 7 + (3 + 3 * math.log10(count) if count > 1 else 0)
    number = f'<text class="count" x="{dot.x:.1f}" y="{dot.y + 4:.1f}">{_short(count)}</text>'
    title = escape(_title(dot))
    drawn = f'<circle cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="{radius:.1f}"/>{number if count > 1 else ""}'
    drawn += f"<title>{title}</title>"
    words = f'class="dot dot-{dot.condition.value}"'
    target = _target(dot)
    if target is None:
        return f'<g {words} role="img" aria-label="{title}" tabindex="0">{drawn}</g>'
    return f'<a {words} href="{escape(target)}" aria-label="{title}">{drawn}</a>'


def _target(dot: Dot) -> str | None:
    """The device, or the list of the group where all are of one."""
    first = dot.devices[0]
    if len(dot.devices) == 1:
        return f"/device/{quote(first.group, safe='')}/{quote(first.device, safe='')}"
    groups = {device.group for device in dot.devices}
    return f"/?{urlencode({'group': first.group})}" if len(groups) == 1 else None


def _title(dot: Dot) -> str:
    if len(dot.devices) == 1:
        (one,) = dot.devices
        return f"{one.group}/{one.device}, {one.condition.value}"
    states = Counter(device.condition for device in dot.devices)
    said = ", ".join(f"{states[kind]:,} {kind.value}" for kind in WORST if states[kind])
    ordered = sorted(dot.devices, key=lambda device: WORST.index(device.condition))
    names = ", ".join(f"{device.group}/{device.device}" for device in ordered[:NAMED])
    more = f" and {len(ordered) - NAMED:,} more" if len(ordered) > NAMED else ""
    return f"{len(ordered):,} devices: {said}: {names}{more}"


def _short(count: int) -> str:
    return f"{count}" if count < 1000 else f"{count / 1000:.0f}k"
