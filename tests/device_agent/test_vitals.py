"""Vital signs from trees of files, and of this very machine."""

import os
import resource
import time
from pathlib import Path

import pytest
from device_agent.vitals_parts import (
    BLOCK_STAT,
    MEMINFO,
    PRESSURE,
    ROUTES,
    SELF_STAT,
    SELF_STATUS,
    SMAPS_ROLLUP,
    STAT,
    WIRELESS,
    lay_out,
)

from edgewise_agent.vitals import Vitals
from edgewise_agent.vitals.board import BoardVitals, parse_pressure
from edgewise_agent.vitals.card_wear import CardWear, parse_life_used_percent, parse_written_bytes
from edgewise_agent.vitals.network import NetworkVitals, parse_default_interface, parse_signal_dbm
from edgewise_agent.vitals.process import ProcessVitals
from edgewise_agent.vitals.processor import ProcessorUse, parse_ticks
from edgewise_messages.metrics import BY_NAME


def test_every_reading_of_this_machine_has_a_standard_name_and_is_plausible(tmp_path: Path) -> None:
    vitals = Vitals(disk=tmp_path, queued=lambda: 3)
    end_s = time.monotonic() + 0.4
    while time.monotonic() < end_s:
        pass
    readings = vitals.read()
    assert set(readings) <= set(BY_NAME)
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < readings["board.memory_available_bytes"] <= total
    assert 0 <= readings["board.memory_used_percent"] <= 100
    assert 0 <= readings["board.cpu_percent"] <= 100
    assert readings["agent.cpu_percent"] > 0, "it was busy just now"
    assert 0 < readings["agent.pss_bytes"] <= readings["agent.memory_bytes"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert readings["agent.memory_bytes"] <= peak * 1.1
    assert readings["agent.threads"] >= 1
    assert readings["agent.open_files"] >= 3
    assert readings["agent.queued_inputs"] == 3


def test_what_a_board_cannot_tell_is_left_out(tmp_path: Path) -> None:
    readings = Vitals(disk=tmp_path / "gone", root=tmp_path, vcgencmd=None).read()
    assert readings == {}


def test_a_pi_tells_temperature_clock_and_throttling_as_bits(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "61834\n",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "50002\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "600000\n",
        },
    )
    readings = BoardVitals(disk=tmp_path, root=root, vcgencmd=None).read()
    assert readings["board.temperature_c"] == 61.834
    assert Vitals(disk=tmp_path, root=root, vcgencmd=None).temperature_c() == 61.834
    assert readings["board.throttled_now"] == 0b0010
    assert readings["board.throttled_since_boot"] == 0b0101
    assert readings["board.cpu_frequency_mhz"] == 1050


def test_the_firmware_is_asked_where_sys_is_silent(tmp_path: Path) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] || exit 1\necho throttled=0x50005\n')
    program.chmod(0o755)
    readings = BoardVitals(disk=tmp_path, root=tmp_path, vcgencmd=str(program)).read()
    assert (readings["board.throttled_now"], readings["board.throttled_since_boot"]) == (0b0101, 0b0101)


def test_memory_swap_and_pressure(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/pressure/memory": PRESSURE,
            "proc/pressure/cpu": "rubbish",
            "proc/loadavg": "2.50 1.00 0.50 3/200 4711\n",
        },
    )
    readings = BoardVitals(disk=tmp_path, root=root, vcgencmd=None).read()
    assert readings["board.memory_used_percent"] == pytest.approx(100 * 1_000_000 / 3_885_396, abs=0.05)
    assert readings["board.memory_available_bytes"] == 2_885_396 * 1024
    assert readings["board.swap_used_bytes"] == 10_240 * 1024
    assert readings["board.memory_pressure_percent"] == 12.34
    assert readings["board.cpu_pressure_percent"] is None
    assert readings["board.load_average"] == 2.5
    assert parse_pressure(None) is None


def test_disk_use_is_what_df_says(tmp_path: Path) -> None:
    readings = BoardVitals(disk=tmp_path, root=tmp_path, vcgencmd=None).read()
    stat = os.statvfs(tmp_path)
    assert readings["board.disk_free_bytes"] == pytest.approx(stat.f_bavail * stat.f_frsize, rel=0.05)
    assert 0 <= (readings["board.disk_used_percent"] or 0) <= 100


def test_the_processor_is_shared_out_between_the_agent_and_others(tmp_path: Path) -> None:
    files = {
        "proc/stat": STAT.format(user=1000, idle=1000),
        "proc/self/stat": SELF_STAT.format(user=10, system=5),
    }
    use = ProcessorUse(lay_out(tmp_path, files))
    lay_out(
        tmp_path,
        {
            "proc/stat": STAT.format(user=1060, idle=1140),
            "proc/self/stat": SELF_STAT.format(user=25, system=10),
        },
    )
    assert use.read() == {
        "board.cpu_percent": 30.0,
        "board.cpu_others_percent": 20.0,
        "agent.cpu_percent": 20.0,
    }


def test_the_processor_use_of_too_short_a_time_is_left_out_and_counted_later(tmp_path: Path) -> None:
    self_stat = SELF_STAT.format(user=0, system=0)
    use = ProcessorUse(
        lay_out(tmp_path, {"proc/stat": STAT.format(user=0, idle=0), "proc/self/stat": self_stat})
    )
    lay_out(tmp_path, {"proc/stat": STAT.format(user=5, idle=5)})
    assert use.read() == {}
    lay_out(tmp_path, {"proc/stat": STAT.format(user=50, idle=50)})
    assert use.read()["board.cpu_percent"] == 50.0


@pytest.mark.parametrize("stat", ["", "cpu 1 2", "cpu a b c d e f"])
def test_a_stat_that_is_none_gives_nothing(stat: str) -> None:
    assert parse_ticks(stat, SELF_STAT.format(user=1, system=1)) is None


def test_the_default_route_with_the_lowest_metric_says_the_interface(tmp_path: Path) -> None:
    assert parse_default_interface(ROUTES) == "wlan0"
    assert parse_default_interface("Iface\tDestination\n") is None
    counters = {
        "rx_bytes": 1000,
        "tx_bytes": 500,
        "rx_errors": 2,
        "tx_errors": 1,
        "rx_dropped": 4,
        "tx_dropped": 0,
    }
    files = {f"sys/class/net/wlan0/statistics/{name}": f"{value}\n" for name, value in counters.items()}
    root = lay_out(tmp_path, {"proc/net/route": ROUTES, "proc/net/wireless": WIRELESS, **files})
    assert NetworkVitals(root).read() == {
        "network.received_bytes": 1000,
        "network.sent_bytes": 500,
        "network.errors": 3,
        "network.dropped": 4,
        "network.signal_dbm": -56.0,
    }


def test_without_a_default_route_the_only_interface_that_is_up_counts(tmp_path: Path) -> None:
    lay_out(tmp_path, {"sys/class/net/eth0/operstate": "up\n", "sys/class/net/lo/operstate": "unknown\n"})
    assert NetworkVitals(tmp_path).interface() == "eth0"
    lay_out(tmp_path, {"sys/class/net/usb0/operstate": "up\n"})
    assert NetworkVitals(tmp_path).interface() is None, "of two, nobody says which"
    assert NetworkVitals(tmp_path).read() == {}


def test_no_level_of_the_signal_is_made_up() -> None:
    assert parse_signal_dbm(WIRELESS, "wlan1") is None
    assert parse_signal_dbm(WIRELESS.replace("-56.", "-256"), "wlan0") is None
    assert parse_signal_dbm(WIRELESS.replace("-56.", "44."), "wlan0") is None, "a quality, not a level"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0x01 0x02", 20), ("0x0b 0x01", 110), ("0x00 0x00", None), ("", None), ("x", None)],
)
def test_the_life_of_an_emmc_is_the_more_worn_of_its_two_parts(text: str, expected: int | None) -> None:
    assert parse_life_used_percent(text) == expected


def test_the_card_of_the_state_is_found_through_its_partition(tmp_path: Path) -> None:
    block = tmp_path / "sys/devices/mmc0/block/mmcblk0"
    lay_out(
        block,
        {
            "stat": BLOCK_STAT,
            "device/life_time": "0x03 0x01\n",
            "device/pre_eol_info": "0x02\n",
            "mmcblk0p2/partition": "2\n",
        },
    )
    number = tmp_path.stat().st_dev
    links = tmp_path / "sys/dev/block"
    links.mkdir(parents=True)
    (links / f"{os.major(number)}:{os.minor(number)}").symlink_to(block / "mmcblk0p2")
    assert CardWear(disk=tmp_path, root=tmp_path).read() == {
        "board.disk_written_bytes": 20480 * 512,
        "board.card_life_used_percent": 30,
        "board.card_pre_eol": 2,
    }


def test_a_state_on_no_block_device_tells_no_wear(tmp_path: Path) -> None:
    assert CardWear(disk=tmp_path, root=tmp_path).read() == {}
    assert parse_written_bytes("1 2 3") is None


def test_the_process_tells_pss_threads_and_files(tmp_path: Path) -> None:
    folder = lay_out(
        tmp_path,
        {
            "proc/self/status": SELF_STATUS,
            "proc/self/smaps_rollup": SMAPS_ROLLUP,
            "proc/self/fd/0": "",
            "proc/self/fd/1": "",
        },
    )
    readings = ProcessVitals(folder).read()
    assert readings["agent.memory_bytes"] == 61440 * 1024
    assert readings["agent.pss_bytes"] == 51200 * 1024
    assert (readings["agent.threads"], readings["agent.open_files"]) == (6, 2)
    assert readings["agent.queued_inputs"] is None
