"""Energy, CO2e and cost of a fleet from what it reported; each figure says whether it was measured or estimated."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from edgewise_fleet.store import DeviceRow, FleetReader, open_store
from edgewise_fleet.store.base import Points

MEASURED, ESTIMATED = "power.measured_w", "power.estimated_w"
INFERENCES = "model.inferences"
GAP_MS = 900_000
"""Power is taken to hold until the next report, but for no longer than this: past that the device was away."""
POINTS = 20_000
J_PER_KWH = 3.6e6


@dataclass(frozen=True, kw_only=True)
class Factors:
    """What the owner says of grid and prices; docs/fleet/energy.md has where the defaults come from."""

    carbon_g_per_kwh: float = 436.0
    price_per_kwh: float = 0.16
    cloud_price_per_1000: float | None = None


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """Of a stretch of time. What is measured and what is estimated is never added up into one figure unsaid."""

    days: float
    devices: int
    measured_devices: int
    unknown_devices: int
    """Devices that told no power: they are in no figure."""
    measured_kwh: float
    estimated_kwh: float
    covered_hours: float
    """Device hours for which power is known."""
    inferences: float
    carbon_g: float
    energy_cost: float
    cloud_cost: float | None

    @property
    def kwh(self) -> float:
        """Both together."""
        return self.measured_kwh + self.estimated_kwh

    @property
    def mark(self) -> str:
        """What the sum is."""
        if not self.estimated_kwh:
            return "measured" if self.measured_kwh else "unknown"
        return "measured in part" if self.measured_kwh else "estimated"


def integrate(points: Points, until_ms: int) -> tuple[float, float]:
    """Joules and hours of a power in watts, each value held until the next one."""
    joules = hours = 0.0
    for (at_ms, watts), following in pairwise((*points, (until_ms, 0.0))):
        held_ms = min(max(following[0] - at_ms, 0), GAP_MS)
        joules += watts * held_ms / 1000
        hours += held_ms / 3.6e6
    return joules, hours


def counted(points: Points) -> float:
    """How far a counter went; it begins at 0 again with its agent."""
    total = 0.0
    for (_, before), (_, after) in pairwise(points):
        total += after - before if after >= before else after
    return total


def sum_energy(
    store: FleetReader, rows: Sequence[DeviceRow], *, days: float, factors: Factors, now_ms: int
) -> Energy:
    """Over the last days. Measured power counts where a device has it, else estimated."""
    joules = {MEASURED: 0.0, ESTIMATED: 0.0}
    measured = unknown = 0
    hours = inferences = 0.0
    for row in rows:
        counters = [name for name in row.metrics if name.rpartition("/")[2] == INFERENCES]
        series = store.series(
            row.address,
            [MEASURED, ESTIMATED, *counters],
            since_ms=now_ms - int(days * 86_400_000),
            until_ms=now_ms,
            limit=POINTS,
        )
        source = MEASURED if series[MEASURED] else ESTIMATED
        used, known = integrate(series[source], now_ms)
        joules[source] += used
        hours += known
        measured += source == MEASURED
        unknown += not series[source]
        inferences += sum(counted(series[name]) for name in counters)
    kwh = sum(joules.values()) / J_PER_KWH
    return Energy(
        days=days,
        devices=len(rows),
        measured_devices=measured,
        unknown_devices=unknown,
        measured_kwh=joules[MEASURED] / J_PER_KWH,
        estimated_kwh=joules[ESTIMATED] / J_PER_KWH,
        covered_hours=hours,
        inferences=inferences,
        carbon_g=kwh * factors.carbon_g_per_kwh,
        energy_cost=kwh * factors.price_per_kwh,
        cloud_cost=None
        if factors.cloud_price_per_1000 is None
        else inferences / 1000 * factors.cloud_price_per_1000,
    )


def report_energy(store: str, *, days: float, group: str | None, factors: Factors, as_json: bool) -> str:
    """For people or machines. Raises StoreUnusable."""
    opened = open_store(store, read_only=True)
    try:
        rows = [row for row in opened.devices() if group in (None, row.address.group)]
        energy = sum_energy(opened, rows, days=days, factors=factors, now_ms=time.time_ns() // 1_000_000)
    finally:
        opened.close()
    if as_json:
        whole = {**msgspec.to_builtins(energy), "kwh": energy.kwh, "mark": energy.mark}
        return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()
    return "\n".join(_lines(energy, factors))


def _lines(energy: Energy, factors: Factors) -> list[str]:
    per_1000 = energy.kwh * 1e6 / energy.inferences if energy.inferences else 0.0
    lines = [
        f"Last {energy.days:g} days, {energy.devices} devices, power known for {energy.covered_hours:.1f} device hours",
        f"  energy      {energy.kwh:.4g} kWh ({energy.mark}: {energy.measured_kwh:.4g} measured,"
        f" {energy.estimated_kwh:.4g} estimated)",
        f"  CO2e        {energy.carbon_g:.4g} g (estimated, at {factors.carbon_g_per_kwh:g} g/kWh)",
        f"  cost        {energy.energy_cost:.4g} (at {factors.price_per_kwh:g} per kWh)",
        f"  inferences  {energy.inferences:.0f}, {per_1000:.4g} Wh per thousand, whole boards",
    ]
    if energy.cloud_cost is not None:
        price = factors.cloud_price_per_1000
        lines.append(f"  in the cloud they would cost {energy.cloud_cost:.4g} (at {price:g} per thousand)")
    if energy.unknown_devices:
        lines.append(f"  {energy.unknown_devices} devices told no power; they are in no figure of energy")
    return lines
