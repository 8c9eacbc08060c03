import os
from pathlib import Path

import psutil
import pytest

from edgewise_agent.health import BoardHealth, board_name
from edgewise_messages.metrics import BY_NAME


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """The files of a Raspberry Pi 4 that has been under-voltage and is capped now."""
    return lay_out(
        tmp_path,
        {
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "61834\n",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "50002\n",
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        },
    )


def health(root: Path, *, vcgencmd: str | None = None) -> BoardHealth:
    return BoardHealth(disk=root, root=root, vcgencmd=vcgencmd)


def test_a_pi_tells_temperature_throttling_and_name(pi: Path) -> None:
    readings = health(pi).read()
    assert readings["board.temperature_c"] == 61.834
    assert readings["board.throttled_now"] == 0b0010
    assert readings["board.throttled_since_boot"] == 0b0101
    assert board_name(pi) == "Raspberry Pi 4 Model B Rev 1.4"


def test_what_a_board_cannot_tell_is_left_out(tmp_path: Path) -> None:
    readings = health(tmp_path).read()
    assert not {name for name in readings if "temperature" in name or "throttled" in name}
    assert board_name(tmp_path) == ""


def test_every_reading_has_a_standard_name_and_fits_the_machine(tmp_path: Path) -> None:
    readings = health(tmp_path).read()
    assert set(readings) <= set(BY_NAME)
    assert 0 <= readings["board.memory_used_percent"] <= 100
    assert 0 < readings["board.memory_available_bytes"] <= psutil.virtual_memory().total
    assert 0 <= readings["board.disk_used_percent"] <= 100
    assert readings["board.disk_free_bytes"] > 0
    assert readings["agent.memory_bytes"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.5)


def test_a_missing_disk_is_left_out(tmp_path: Path) -> None:
    readings = BoardHealth(disk=tmp_path / "gone", root=tmp_path, vcgencmd=None).read()
    assert not {name for name in readings if "disk" in name}


def test_the_hottest_processor_zone_counts_and_other_zones_do_not(tmp_path: Path) -> None:
    zones = {"acpitz": "99000", "cpu-thermal": "50000", "soc_thermal": "52500", "x86_pkg_temp": "broken"}
    files = {}
    for number, (kind, value) in enumerate(zones.items()):
        files[f"sys/class/thermal/thermal_zone{number}/type"] = kind
        files[f"sys/class/thermal/thermal_zone{number}/temp"] = value
    assert health(lay_out(tmp_path, files)).temperature_c() == 52.5


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("50005", 0x50005), ("rubbish", None), ("", None)])
def test_throttling_is_read_from_sys(tmp_path: Path, text: str, expected: int | None) -> None:
    lay_out(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": text})
    assert health(tmp_path).throttled_flags() == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo throttled=0x50005", 0x50005), ("echo throttled=0x0", 0), ("exit 255", None), ("echo no", None)],
)
def test_throttling_is_asked_of_the_firmware_where_sys_is_silent(
    tmp_path: Path, script: str, expected: int | None
) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(f'#!/bin/sh\n[ "$1" = get_throttled ] || exit 1\n{script}\n')
    program.chmod(0o755)
    assert health(tmp_path, vcgencmd=os.fspath(program)).throttled_flags() == expected


def test_processor_use_needs_a_span_of_time(tmp_path: Path) -> None:
    board = health(tmp_path)
    assert "board.cpu_percent" not in board.read(), "nothing to compare with yet"
    psutil.cpu_percent(interval=0.15)
    assert 0 <= board.read()["board.cpu_percent"] <= 100
