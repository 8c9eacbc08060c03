from pathlib import Path

import pytest

from edgewise_agent.pipelines.duty import LOOK_EVERY_S, Duty, DutyCycle, battery_percent
from edgewise_agent.pipelines.settings import DutySettings


class Board:
    """A board whose heat and charge are as a test says; time goes on by itself."""

    def __init__(self) -> None:
        self.temperature: float | None = 50.0
        self.battery: float | None = None
        self.told: list[tuple[Duty, str]] = []
        self._now_s = 0.0
        self.cycle = DutyCycle(
            DutySettings(),
            temperature_c=lambda: self.temperature,
            battery_percent=lambda: self.battery,
            on_change=lambda duty, why: self.told.append((duty, why)),
            now_s=self._now,
        )

    def _now(self) -> float:
        self._now_s += LOOK_EVERY_S
        return self._now_s

    def at(self, temperature: float | None, battery: float | None = None) -> Duty:
        self.temperature, self.battery = temperature, battery
        return self.cycle.now()


def test_heat_slows_and_pauses_and_the_way_back_is_five_degrees_lower() -> None:
    board = Board()
    course = [79, 81, 77, 74.9, 91, 86, 84.9, 76, 74]
    assert [board.at(degrees) for degrees in course] == [
        Duty.FULL, Duty.SLOW, Duty.SLOW, Duty.FULL, Duty.PAUSED, Duty.PAUSED, Duty.SLOW, Duty.SLOW, Duty.FULL,
    ]  # fmt: skip
    assert board.told == [
        (Duty.SLOW, "processor at 81 °C"),
        (Duty.FULL, "processor at 75 °C"),
        (Duty.PAUSED, "processor at 91 °C"),
        (Duty.SLOW, "processor at 85 °C"),
        (Duty.FULL, "processor at 74 °C"),
    ]


def test_a_low_battery_slows_and_pauses_and_the_stricter_of_both_holds() -> None:
    board = Board()
    assert [board.at(50, 100), board.at(50, 19), board.at(50, 24), board.at(50, 26)] == [
        Duty.FULL, Duty.SLOW, Duty.SLOW, Duty.FULL,
    ]  # fmt: skip
    assert board.at(95, 19) is Duty.PAUSED
    assert board.at(50, 4) is Duty.PAUSED
    assert board.at(None, None) is Duty.FULL, "what cannot be read limits nothing"


def test_a_slow_device_waits_as_often_again_as_the_factor_says() -> None:
    cycle = Board().cycle
    assert cycle.pause_s(Duty.FULL, busy_s=0.2, interval_s=1.0) == pytest.approx(0.8)
    assert cycle.pause_s(Duty.FULL, busy_s=2.0, interval_s=1.0) == 0.0
    assert 0.2 + cycle.pause_s(Duty.SLOW, busy_s=0.2, interval_s=1.0) == pytest.approx(4.0)
    assert 0.5 + cycle.pause_s(Duty.SLOW, busy_s=0.5, interval_s=0.0) == pytest.approx(2.0)


def write_supply(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def test_the_battery_counts_only_while_it_is_drained(tmp_path: Path) -> None:
    assert battery_percent(tmp_path / "none") is None
    write_supply(tmp_path / "a/mains", type="Mains", online="0")
    assert battery_percent(tmp_path / "a") is None
    write_supply(tmp_path / "a/bat", type="Battery", status="Discharging", capacity="17")
    write_supply(tmp_path / "a/odd", type="Battery", status="Discharging", capacity="?")
    assert battery_percent(tmp_path / "a") == 17.0
    (tmp_path / "a/bat/status").write_text("Charging\n")
    assert battery_percent(tmp_path / "a") is None
