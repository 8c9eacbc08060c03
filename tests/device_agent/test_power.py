"""Watts from every kind of meter, energy per inference, and the mark that tells measured from estimated."""

import time
from pathlib import Path

import pytest
from device_agent.vitals_parts import lay_out

from edgewise.streams import SimulatedI2C
from edgewise_agent.errors import SourceError
from edgewise_agent.settings.config import PowerSettings, parse_settings
from edgewise_agent.vitals.board_power import PublishedPower, published_power
from edgewise_agent.vitals.ina import Chip, InaPower
from edgewise_agent.vitals.power import PowerWatch
from edgewise_agent.vitals.power_choice import check_power, choose_meter, make_power_watch
from edgewise_agent.vitals.power_meters import find_hwmon, find_pmic, find_rapl
from edgewise_messages.metrics import BY_NAME

PMIC = """\
#!/bin/sh
[ "$1" = pmic_read_adc ] || exit 1
echo '   VDD_CORE_A current(7)=2.00000000A'
echo '   VDD_CORE_V volt(15)=0.75000000V'
"""


def chip(registers: dict[int, int]) -> bytearray:
    """Words, high byte first. The simulated bus counts bytes, so words of adjoining registers would overlap."""
    data = bytearray(514)
    for register, word in registers.items():
        data[register : register + 2] = word.to_bytes(2, "big")
    return data


class WordBus:
    """A bus of chips with 16-bit registers, as the INA chips have."""

    def __init__(self, words: dict[int, int], address: int = 0x40) -> None:
        self.words, self.address = words, address

    def read_i2c_block_data(self, address: int, register: int, length: int, /) -> list[int]:
        if address != self.address:
            raise OSError(121, "Remote I/O error")
        return list(self.words.get(register, 0).to_bytes(2, "big"))[:length]


@pytest.mark.parametrize(
    ("kind", "words", "shunt_milliohm", "expected_w"),
    [
        # 5.08 V are 1270 steps of 4 mV, above three flags; 80 mV across 0.1 ohm are 0.8 A.
        ("ina219", {1: 8000, 2: 1270 << 3 | 0b010}, 100.0, 5.08 * 0.8),
        # 5.1 V are 4080 steps of 1.25 mV; 20 mV across 0.01 ohm are 2 A.
        ("ina226", {1: 8000, 2: 4080, 0xFF: 0x2260}, 10.0, 5.1 * 2.0),
        # The shunt is inside: 1.5 A are 1200 steps of 1.25 mA.
        ("ina260", {1: 1200, 2: 4080, 0xFF: 0x2270}, 100.0, 5.1 * 1.5),
        # A current that flows back is no power taken.
        ("ina226", {1: 0xFF00, 2: 4080, 0xFF: 0x2260}, 10.0, 0.0),
    ],
)
def test_an_ina_chip_tells_volts_times_amperes(
    kind: Chip, words: dict[int, int], shunt_milliohm: float, expected_w: float
) -> None:
    meter = InaPower(WordBus(words), kind, address=0x40, shunt_milliohm=shunt_milliohm)
    assert meter.power_w() == pytest.approx(expected_w)
    assert kind in meter.source


def test_an_ina_chip_that_is_another_or_silent_is_told() -> None:
    with pytest.raises(SourceError, match=r"says it is 0x226, expected 0x227"):
        InaPower(WordBus({0xFF: 0x2260}), "ina260", address=0x40, shunt_milliohm=1.0)
    with pytest.raises(SourceError, match=r"power.i2c_address 0x41: no ina219 answers"):
        InaPower(WordBus({}), "ina219", address=0x41, shunt_milliohm=1.0)
    bus = WordBus({2: 1})
    meter = InaPower(bus, "ina219", address=0x40, shunt_milliohm=1.0)
    bus.address = 0
    assert meter.power_w() is None


def test_the_sdks_simulated_bus_fits_the_seam() -> None:
    bus = SimulatedI2C({0x40: chip({1: 0})})
    assert InaPower(bus, "ina219", address=0x40, shunt_milliohm=100.0).power_w() == 0.0
    assert (0x40, 2, 2) in bus.reads


def test_hwmon_tells_power_or_volts_times_amperes(tmp_path: Path) -> None:
    lay_out(
        tmp_path, {"sys/class/hwmon/hwmon0/name": "cpu_thermal\n", "sys/class/hwmon/hwmon1/name": "ina226\n"}
    )
    assert find_hwmon(tmp_path) is None
    folder = lay_out(tmp_path / "sys/class/hwmon/hwmon1", {"in1_input": "5000\n", "curr1_input": "800\n"})
    meter = find_hwmon(tmp_path)
    assert meter is not None
    assert meter.power_w() == pytest.approx(4.0)
    lay_out(folder, {"power1_input": "4100000\n"})
    assert meter.power_w() == pytest.approx(4.1)
    assert "ina226" in meter.source


def test_rapl_is_the_mean_since_the_last_call(tmp_path: Path) -> None:
    folder = lay_out(
        tmp_path / "sys/class/powercap/intel-rapl:0",
        {"energy_uj": "0\n", "max_energy_range_uj": "1000000000\n"},
    )
    meter = find_rapl(tmp_path)
    assert meter is not None
    lay_out(folder, {"energy_uj": "500000\n"})
    began_s = time.monotonic()
    time.sleep(0.05)
    power_w = meter.power_w()
    assert power_w is not None
    assert 0 < power_w <= 0.5 / 0.05
    assert time.monotonic() > began_s
    (folder / "energy_uj").unlink()
    assert meter.power_w() is None
    assert find_rapl(tmp_path) is None


def test_the_pmic_is_asked_through_the_firmware(tmp_path: Path) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text(PMIC)
    program.chmod(0o755)
    meter = find_pmic(str(program))
    assert meter is not None
    assert meter.power_w() == pytest.approx(1.5)
    assert find_pmic("no-such-program") is None


class FakeMeter:
    """Says what it is told to."""

    source = "a fake"

    def __init__(self, *, is_counter: bool) -> None:
        self.is_counter = is_counter
        self.watts: float | None = 4.0

    def power_w(self) -> float | None:
        return self.watts


def test_energy_is_the_power_while_the_model_works_times_its_time() -> None:
    clock = iter((0.0, 0.05, 1.0, 1.15, 2.0, 2.1))
    meter = FakeMeter(is_counter=False)
    watch = PowerWatch(meter, now_s=lambda: next(clock))
    for _ in range(3):
        meter.watts = 3.0
        watch.sample()
        with watch.inference():
            meter.watts = 6.0
            watch.sample()
    readings = watch.read()
    assert readings["power.measured_w"] == pytest.approx(4.5)
    assert readings["energy.inference_measured_mj"] == pytest.approx(6.0 * 100)
    assert not any("estimated" in name for name in readings)
    assert set(readings) <= set(BY_NAME)
    assert watch.source == "measured: a fake"


def test_of_too_few_samples_under_load_no_energy_is_told() -> None:
    watch = PowerWatch(FakeMeter(is_counter=False))
    with watch.inference():
        watch.sample()
    assert watch.read()["energy.inference_measured_mj"] is None


def test_a_counter_needs_no_samples_and_a_silent_meter_gives_nothing() -> None:
    clock = iter((0.0, 0.1))
    meter = FakeMeter(is_counter=True)
    watch = PowerWatch(meter, now_s=lambda: next(clock))
    with watch.inference():
        pass
    assert watch.read() == {"power.measured_w": 4.0, "energy.inference_measured_mj": 400.0}
    meter.watts = None
    assert set(watch.read().values()) == {None}


def test_without_a_meter_figures_of_the_board_give_an_estimate_that_is_named_one() -> None:
    clock = iter((0.0, 0.1))
    watch = PowerWatch(None, PublishedPower(2.0, 6.0, "a table"), now_s=lambda: next(clock))
    with watch.inference():
        pass
    readings = watch.read(cpu_percent=25.0)
    assert readings == {"power.estimated_w": 3.0, "energy.inference_estimated_mj": pytest.approx(600.0)}
    assert watch.source == "estimated: a table"
    assert PowerWatch(None).read(cpu_percent=25.0) == {}
    assert PowerWatch(None).source.startswith("unknown")


def test_published_figures_are_of_the_boards_that_have_them() -> None:
    assert published_power("Raspberry Pi 4 Model B Rev 1.4") is not None
    assert published_power("Raspberry Pi 5 Model B Rev 1.0") is None
    assert published_power("") is None


def test_auto_takes_what_there_is_and_a_named_meter_must_answer(tmp_path: Path) -> None:
    def opener(bus: int) -> WordBus:
        assert bus == 3
        return WordBus({})

    root = lay_out(tmp_path, {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"})
    automatic = make_power_watch(PowerSettings(), root=root, vcgencmd=None)
    assert automatic.source.startswith("estimated: ")
    off = make_power_watch(PowerSettings(meter="none"), root=root, vcgencmd=None)
    assert off.source.startswith("unknown: ")
    with pytest.raises(SourceError, match="no power sensor under /sys/class/hwmon"):
        choose_meter(PowerSettings(meter="hwmon"), root=root, vcgencmd=None, opener=opener)
    by_name = make_power_watch(
        PowerSettings(meter="ina219", i2c_bus=3), root=root, vcgencmd=None, opener=opener
    )
    assert by_name.source.startswith("measured: ina219 at I2C address 0x40")


def test_a_named_meter_that_is_not_there_costs_the_figures_and_not_the_agent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = make_power_watch(PowerSettings(meter="hwmon"), root=tmp_path, vcgencmd=None)
    assert watch.source.startswith("unknown")
    assert "power.meter 'hwmon'" in caplog.text
    (problem,) = check_power(PowerSettings(meter="ina219", i2c_bus=250))
    assert problem.where == "power.i2c_bus"


def test_the_sampling_thread_samples_and_ends() -> None:
    watch = PowerWatch(FakeMeter(is_counter=False), every_s=0.01)
    watch.start()
    deadline_s = time.monotonic() + 30
    while watch.read()["power.measured_w"] is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    watch.close()


WHOLE = b"""
device = {id = "d", state_dir = "s"}
pipelines.main = {model = "m", source = "p"}
broker = {url = "mqtt://h"}
"""


def test_settings_that_contradict_each_other_are_told() -> None:
    _, problems = parse_settings(
        WHOLE + b'[power]\nmeter = "auto"\ni2c_bus = 3\n[status]\naddress = "here"\n', base=Path()
    )
    told = {problem.where for problem in problems}
    assert {"power.meter", "status.address"} <= told
    _, problems = parse_settings(WHOLE + b'[power]\nmeter = "ina260"\nshunt_milliohm = 2.0\n', base=Path())
    assert "power.shunt_milliohm" in {problem.where for problem in problems}
