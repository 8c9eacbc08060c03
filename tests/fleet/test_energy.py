"""Energy of a fleet: sums of what was reported, with the marks it was reported with."""

from pathlib import Path

import pytest

from edgewise_fleet.energy import GAP_MS, Factors, counted, integrate, report_energy, sum_energy
from edgewise_fleet.store import RecordsArrival, SqliteStore
from edgewise_messages import Clock, DeviceAddress, Telemetry

HOUR_MS = 3_600_000
END_MS = 1_760_000_000_000 + 2 * HOUR_MS


def reports(
    name: str, metric: str, watts: float, *, every_ms: int = 60_000, count: int = 60
) -> RecordsArrival:
    """An hour, a minute apart, ten inferences in each."""
    begin_ms = END_MS - every_ms * count
    records = tuple(
        Telemetry(
            ts_ms=begin_ms + number * every_ms, mono_ns=number, boot="b", seq=number, clock=Clock.NTP,
            metrics={metric: watts, "model.inferences": 10 * number},
        )
        for number in range(count)
    )  # fmt: skip
    return RecordsArrival(DeviceAddress("shop", name), END_MS, records)


def test_a_watt_for_an_hour_is_a_watt_hour() -> None:
    points = tuple((END_MS - HOUR_MS + number * 60_000, 5.0) for number in range(60))
    assert integrate(points, END_MS) == (pytest.approx(5 * 3600), pytest.approx(1.0))


def test_nothing_is_made_up_for_a_time_without_reports() -> None:
    assert integrate(((END_MS - 10 * HOUR_MS, 4.0),), END_MS) == (
        pytest.approx(4 * GAP_MS / 1000),
        GAP_MS / 3.6e6,
    )
    assert integrate((), END_MS) == (0.0, 0.0)


def test_a_counter_that_began_again_is_counted_on() -> None:
    assert counted(((0, 5.0), (1, 9.0), (2, 2.0), (3, 4.0))) == 4 + 2 + 2


def test_measured_and_estimated_are_kept_apart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "fleet.db")
    store.add([reports("a", "power.measured_w", 6.0), reports("b", "power.estimated_w", 3.0)])
    store.add([reports("c", "board.temperature_c", 50.0)])
    factors = Factors(carbon_g_per_kwh=400.0, price_per_kwh=0.5, cloud_price_per_1000=2.0)
    energy = sum_energy(store, store.devices(), days=1.0, factors=factors, now_ms=END_MS)
    store.close()
    assert (energy.measured_kwh, energy.estimated_kwh) == (pytest.approx(0.006), pytest.approx(0.003))
    assert (energy.devices, energy.measured_devices, energy.unknown_devices) == (3, 1, 1)
    assert energy.mark == "measured in part"
    assert energy.carbon_g == pytest.approx(3.6) and energy.energy_cost == pytest.approx(0.0045)
    assert energy.inferences == 3 * 590 and energy.cloud_cost == pytest.approx(3.54)
    told = report_energy(str(tmp_path / "fleet.db"), days=1e4, group="shop", factors=Factors(), as_json=False)
    assert "measured in part" in told and "in the cloud" not in told and "1 devices told no power" in told
