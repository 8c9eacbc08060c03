"""Registers of an I2C chip as rows: against a simulated bus, and smbus2 itself where it can be had without a bus."""

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgewise
from edgewise.errors import InvalidInput, SourceError
from edgewise.streams import MPU_6050, I2CRegisters, RegisterMap, SensorSource, SimulatedI2C
from edgewise.streams.clock import SimulatedClock

SDK = str(Path(edgewise.__file__).parents[1])
LITTLE = RegisterMap(channels=("a", "b"), registers=(0x22, 0x28), scales=(0.5, 2.0), byte_order="little")


def chip(first: int = 0, content: bytes = b"") -> bytearray:
    registers = bytearray(256)
    registers[first : first + len(content)] = content
    return registers


def mpu_6050(numbers: Sequence[int] = (0,) * 7) -> bytearray:
    """Asleep, as after a reset, with ranges that somebody else has changed."""
    registers = chip(0x3B, struct.pack(">7h", *numbers))
    registers[0x6B], registers[0x75], registers[0x1B], registers[0x1C] = 0x40, 0x68, 0x18, 0x18
    return registers


def test_an_mpu_6050_is_woken_set_to_its_ranges_and_read_in_one_burst() -> None:
    bus = SimulatedI2C({0x68: mpu_6050((16384, -16384, 8192, 12345, 131, -262, -32768))})
    sensor = I2CRegisters(bus, 0x68, MPU_6050)
    registers = bus.chips[0x68]
    assert (registers[0x6B], registers[0x1B], registers[0x1C]) == (0x01, 0x00, 0x00)
    bus.reads.clear()
    assert sensor.read() == pytest.approx((1, -1, 0.5, 1, -2, -32768 / 131))
    assert bus.reads == [(0x68, 0x3B, 14)]  # temperature lies between, and is left out
    assert sensor.channels == ("ax", "ay", "az", "gx", "gy", "gz")


@given(st.integers(-(1 << 15), (1 << 15) - 1), st.integers(-(1 << 15), (1 << 15) - 1))
def test_every_number_is_what_struct_reads_in_both_byte_orders(one: int, other: int) -> None:
    little = struct.pack("<h4xh", one, other)
    assert LITTLE.row(little) == (one * 0.5, other * 2.0)
    big = replace(LITTLE, byte_order="big", offsets=(1.0, -3.0))
    assert big.row(struct.pack(">h4xh", one, other)) == (one * 0.5 + 1, other * 2.0 - 3)


def test_registers_may_be_in_any_order() -> None:
    turned = RegisterMap(channels=("late", "early"), registers=(0x12, 0x10), scales=(1, 1))
    bus = SimulatedI2C({0x20: chip(0x10, bytes([0, 1, 0xFF, 0xFF]))})
    assert I2CRegisters(bus, 0x20, turned).read() == (-1, 1)
    assert bus.reads == [(0x20, 0x10, 4)]


def test_a_sensor_streams_in_the_channels_units_and_gives_its_bus_back() -> None:
    bus = SimulatedI2C({0x69: mpu_6050((16384, 0, 0, 0, 0, 0, 131))})
    sensor = I2CRegisters.open(1, 0x69, MPU_6050, opener=lambda _: bus)
    clock = SimulatedClock()
    with SensorSource(sensor, rate_hz=500, channels=sensor.channels, block_samples=5, clock=clock) as source:
        block = source.read()
    assert block is not None
    assert np.array_equal(block.samples, np.tile([1, 0, 0, 0, 0, 1], (5, 1)))
    assert bus.is_closed


def test_a_bus_that_was_handed_over_stays_open() -> None:
    bus = SimulatedI2C({0x20: chip()})
    sensor = I2CRegisters(bus, 0x20, LITTLE)
    sensor.close()
    assert not bus.is_closed
    assert sensor.read() == (0, 0)


def test_a_chip_that_goes_away_is_an_error_behind_the_rows_before() -> None:
    bus = SimulatedI2C({0x20: chip()})

    def read() -> tuple[float, ...]:
        if len(bus.reads) == 3:
            bus.chips.clear()  # its cable comes out
        return sensor.read()

    sensor = I2CRegisters(bus, 0x20, LITTLE)
    with SensorSource(read, rate_hz=500, channels=("a", "b"), block_samples=2, is_paced=False) as source:
        blocks = [source.read(), source.read()]
        with pytest.raises(SourceError, match="Remote I/O error; check its wires and address"):
            source.read()
    assert [len(block.samples) for block in blocks if block] == [2, 1]


def test_what_does_not_answer_or_is_another_chip_is_an_error_that_says_so_and_closes_the_bus() -> None:
    for chips, message in (
        ({}, "I2C address 0x68: nobody answers: Remote I/O error; check its wires, and i2cdetect"),
        ({0x68: chip(0x75, b"\x70")}, "register 0x75 says 0x70, expected 0x68: it is another chip"),
    ):
        bus = SimulatedI2C(chips)
        with pytest.raises(SourceError, match=message):
            I2CRegisters.open(1, 0x68, MPU_6050, opener=lambda _, bus=bus: bus)  # type: ignore[misc]  # mypy types no lambda with a default
        assert bus.is_closed
    clone = SimulatedI2C({0x68: chip(0x75, b"\x70")})
    assert I2CRegisters(clone, 0x68, replace(MPU_6050, identity=None)).read() == (0,) * 6


def test_a_bus_that_gives_too_few_bytes_is_an_error() -> None:
    bus = SimulatedI2C({0x20: bytearray(0x29)})
    with pytest.raises(SourceError, match="I2C address 0x20: got 7 bytes, expected 8"):
        I2CRegisters(bus, 0x20, LITTLE).read()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": (1.0,)}, "got 2 channels, 2 registers, 1 scales"),
        ({"offsets": (1.0,)}, "1 offsets"),
        ({"units": ("g",)}, "1 units"),
        ({"channels": (), "registers": (), "scales": ()}, "got 0 channels"),
        ({"registers": (0x00, 0x1F)}, "33 bytes apart, expected at most 32"),
        ({"registers": (0x00, 0x100)}, "expected registers and bytes of 0 to 255"),
        ({"setup": ((0x10, 300),)}, "expected registers and bytes of 0 to 255"),
        ({"byte_order": "middle"}, "byte_order: got 'middle', expected 'big' or 'little'"),
    ],
)
def test_maps_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        replace(LITTLE, **changes)  # type: ignore[arg-type]  # keywords by name, checked when called


@pytest.mark.parametrize("address", [0x00, 0x07, 0x78, 0xD0])
def test_addresses_that_no_chip_can_have_are_refused(address: int) -> None:
    with pytest.raises(InvalidInput, match="expected 0x08 to 0x77"):
        I2CRegisters(SimulatedI2C({}), address, LITTLE)


OPENING = """
import os, sys
import edgewise
from edgewise.streams import MPU_6050, I2CRegisters
{before}
for bus in {buses!r}:
    try:
        I2CRegisters.open(bus, 0x68, MPU_6050)
    except edgewise.SourceError as error:
        print(error)
"""


def errors_of(python: Path, buses: list[int | str], before: str) -> list[str]:
    words = [str(python), "-c", OPENING.format(buses=buses, before=before)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": SDK}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_smbus2_the_error_says_how_to_install_it() -> None:
    (line,) = errors_of(Path(sys.executable), [1], "sys.modules['smbus2'] = None")
    assert line == (
        "/dev/i2c-1: I2C is read by smbus2, which is not installed here: pip install smbus2, or "
        "apt install python3-smbus2"
    )


def test_smbus2_says_of_a_bus_that_is_missing_forbidden_or_none_what_to_do(tmp_path: Path) -> None:
    """The library is asked for in an environment of its own. No real chip was read, nor the kernel's i2c-stub."""
    from model_sources.environments import environment

    python = environment("smbus2", ["smbus2==0.5.0", "numpy<2"])
    (tmp_path / "file").touch()
    (tmp_path / "secret").touch(mode=0)
    missing, none = errors_of(python, [251, str(tmp_path / "file")], "")
    assert missing == (
        "/dev/i2c-251: it does not open: No such file or directory; ls /dev/i2c-* lists the buses; on a Raspberry Pi "
        "turn I2C on: sudo raspi-config nonint do_i2c 0"
    )
    assert none.endswith("file: it does not open: Inappropriate ioctl for device; is it an I2C bus?")
    loaded = "import smbus2; os.geteuid() or os.seteuid(65534)"  # root may everything, "nobody" may not
    (forbidden,) = errors_of(python, [str(tmp_path / "secret")], loaded)
    assert forbidden.endswith(
        "secret: it does not open: Permission denied; let yourself use it, and log in again: "
        "sudo usermod -aG i2c $USER"
    )
