"""What is read of a board, from fake trees of /proc and /sys and from a vcgencmd that is a script."""

from pathlib import Path

import pytest

from edgewise.device import (
    CpuFeatures,
    Throttling,
    ask_firmware,
    cpu_features,
    cpu_name,
    parse_throttled,
    read_condition,
    read_device,
)
from edgewise.testing import write_board

A76_FEATURES = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)


@pytest.fixture
def vcgencmd(tmp_path: Path) -> Path:
    """A firmware tool that answers get_throttled."""
    program = tmp_path / "vcgencmd"
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n')
    program.chmod(0o755)
    return program


def test_a_raspberry_pi_4_is_known_from_its_files(tmp_path: Path) -> None:
    device = read_device(write_board(tmp_path), vcgencmd=None)
    assert device.board == "Raspberry Pi 4 Model B Rev 1.4"
    assert (device.cpu, device.cores) == ("Cortex-A72", 4)
    assert device.features == CpuFeatures(
        dot_product=False, fp16_arithmetic=False, int8_matmul=False, neon=True
    )
    assert device.governors == ("ondemand",)
    assert device.memory_total_bytes == 3884380 * 1024
    assert device.memory_available_bytes == 3_000_000 * 1024
    assert device.load_average == 0.1
    assert device.condition.frequencies_mhz == (1500.0,) * 4
    assert device.condition.temperature_c == 48.5
    assert device.condition.throttling == Throttling((), ())


def test_a_raspberry_pi_5_has_dot_product_and_fp16_but_no_i8mm(tmp_path: Path) -> None:
    device = read_device(write_board(tmp_path, part="0xd0b", features=A76_FEATURES), vcgencmd=None)
    assert device.cpu == "Cortex-A76"
    assert device.features == CpuFeatures(
        dot_product=True, fp16_arithmetic=True, int8_matmul=False, neon=True
    )


def test_a_feature_counts_only_when_every_core_has_it() -> None:
    big, little = f"Features : {A76_FEATURES}\n\n", "Features : fp asimd\n\n"
    assert cpu_features(big + big).dot_product is True
    assert cpu_features(big + little).dot_product is False


def test_different_cores_are_all_named() -> None:
    core = "CPU implementer\t: 0x41\nCPU part\t: {}\n\n"
    assert cpu_name(core.format("0xd05") + core.format("0xd0b")) == "Cortex-A55 + Cortex-A76"
    assert cpu_name(core.format("0xfff")) == "implementer 0x41 part 0xfff"


def test_nothing_is_made_up_of_an_empty_tree(tmp_path: Path) -> None:
    device = read_device(tmp_path, vcgencmd=None)
    assert (device.board, device.cpu, device.governors) == ("", "", ())
    assert device.features == CpuFeatures(None, None, None)
    assert device.memory_total_bytes is device.memory_available_bytes is device.load_average is None
    assert device.condition.frequencies_mhz == ()
    assert device.condition.temperature_c is device.condition.throttling is None


def test_the_bits_of_get_throttled_become_words() -> None:
    assert parse_throttled("throttled=0x50005\n") == Throttling(
        ("under-voltage", "throttled"), ("under-voltage", "throttled")
    )
    assert parse_throttled("throttled=0xa0008") == Throttling(
        ("soft temperature limit",), ("frequency capped", "soft temperature limit")
    )
    assert parse_throttled("error=1 error_msg=Command not registered") is None
    assert parse_throttled("VCHI initialization failed") is None


def test_the_firmware_is_asked_where_its_file_is_not(tmp_path: Path, vcgencmd: Path) -> None:
    root = write_board(tmp_path / "root", throttled=None)
    asked = read_condition(root, vcgencmd=str(vcgencmd)).throttling
    assert asked is not None
    assert asked.now == ("under-voltage", "throttled")
    assert read_condition(root, vcgencmd=None).throttling is None


def test_a_firmware_tool_that_fails_says_nothing(vcgencmd: Path) -> None:
    assert ask_firmware(str(vcgencmd), "get_throttled") == "throttled=0x50005\n"
    assert ask_firmware(str(vcgencmd), "something_else") == ""
    assert ask_firmware("no-such-tool-anywhere", "get_throttled") == ""
    assert ask_firmware(None, "get_throttled") == ""


@pytest.mark.parametrize(("alarm", "expected"), [("1", ("under-voltage",)), ("0", ())])
def test_the_kernels_voltage_alarm_is_heard(tmp_path: Path, alarm: str, expected: tuple[str, ...]) -> None:
    root = write_board(tmp_path, throttled=None)
    sensor = root / "sys/class/hwmon/hwmon1"
    sensor.mkdir(parents=True)
    (sensor / "name").write_text("rpi_volt\n")
    (sensor / "in0_lcrit_alarm").write_text(f"{alarm}\n")
    assert read_condition(root, vcgencmd=None).throttling == Throttling((), expected)


def test_a_zone_that_is_not_the_processors_is_left_out(tmp_path: Path) -> None:
    root = write_board(tmp_path, temperature_c=50.0)
    zone = root / "sys/class/thermal/thermal_zone1"
    zone.mkdir()
    (zone / "type").write_text("battery\n")
    (zone / "temp").write_text("90000\n")
    assert read_condition(root, vcgencmd=None).temperature_c == 50.0
