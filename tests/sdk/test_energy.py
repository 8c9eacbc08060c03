"""Energy from counters and from power samples; nothing where there are none."""

import time
from pathlib import Path

import pytest

from edgewise.energy import NoMeter, PmicMeter, RaplMeter, find_energy_meter, parse_pmic_w

PMIC_TEXT = """\
 3V7_WL_SW_A current(0)=0.50000000A
   VDD_CORE_A current(7)=2.00000000A
  3V7_WL_SW_V volt(8)=4.00000000V
   VDD_CORE_V volt(15)=0.75000000V
      EXT5V_V volt(24)=5.10000000V
"""
PMIC_W = 0.5 * 4.0 + 2.0 * 0.75
"""Rails with both current and voltage; the 5 V input tells no current."""


def write_package(root: Path, name: str, energy_uj: int) -> Path:
    """A RAPL zone whose counter starts anew after 1000 microjoules."""
    folder = root / "sys/class/powercap" / name
    folder.mkdir(parents=True)
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text("1000\n")
    return folder


def test_rapl_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first = write_package(tmp_path, "intel-rapl:0", 100)
    second = write_package(tmp_path, "intel-rapl:1", 200)
    part = write_package(tmp_path, "intel-rapl:0:0", 0)
    meter = find_energy_meter(tmp_path, vcgencmd=None)
    assert isinstance(meter, RaplMeter)
    meter.start()
    for folder, energy_uj in ((first, 400), (second, 250), (part, 900)):
        (folder / "energy_uj").write_text(f"{energy_uj}\n")
    assert meter.stop_mj() == pytest.approx((300 + 50) / 1000)


def test_a_rapl_counter_may_begin_anew(tmp_path: Path) -> None:
    folder = write_package(tmp_path, "intel-rapl:0", 900)
    meter = RaplMeter((folder,))
    meter.start()
    (folder / "energy_uj").write_text("50\n")
    assert meter.stop_mj() == pytest.approx((50 - 900 + 1000) / 1000)


def test_a_rapl_counter_that_vanishes_gives_no_number(tmp_path: Path) -> None:
    folder = write_package(tmp_path, "intel-rapl:0", 900)
    meter = RaplMeter((folder,))
    meter.start()
    (folder / "energy_uj").unlink()
    assert meter.stop_mj() is None


def test_a_rapl_counter_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (write_package(tmp_path, "intel-rapl:0", 900) / "energy_uj").unlink()
    meter = find_energy_meter(tmp_path, vcgencmd=None)
    assert isinstance(meter, NoMeter)
    assert "root" in meter.source


def test_a_board_without_any_meter_says_so(tmp_path: Path) -> None:
    meter = find_energy_meter(tmp_path, vcgencmd=None)
    meter.start()
    assert meter.stop_mj() is None
    assert "neither RAPL counters nor the PMIC" in meter.source


def test_power_is_the_sum_over_rails_with_current_and_voltage() -> None:
    assert parse_pmic_w(PMIC_TEXT) == pytest.approx(PMIC_W)
    assert parse_pmic_w("VDD_CORE_A current(7)=2.0A\n") is None
    assert parse_pmic_w('error=1 error_msg="Command not registered"\n') is None


def test_the_pmic_is_integrated_over_time(tmp_path: Path) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f'#!/bin/sh\n[ "$1" = pmic_read_adc ] && cat <<END\n{PMIC_TEXT}END\n')
    program.chmod(0o755)
    meter = find_energy_meter(tmp_path, vcgencmd=str(program))
    assert isinstance(meter, PmicMeter)
    asked = time.monotonic()
    meter.start()
    began = time.monotonic()
    time.sleep(0.2)
    shortest_s = time.monotonic() - began
    energy_mj = meter.stop_mj()
    longest_s = time.monotonic() - asked
    assert energy_mj is not None
    assert shortest_s <= energy_mj / 1000 / PMIC_W <= longest_s
